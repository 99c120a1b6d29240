/* The harness of test_ops.c. A case is one function that makes the tensors of an op, calls the op
 * and says what float64 gives. The reference runs it first, then every build with every number of
 * threads; all must leave the same bits in every tensor. Tensors and scratch are exactly as large
 * as asked for, between inaccessible pages. */
#ifndef HARNESS_H
#define HARNESS_H

#include "backend.h"

#include <math.h>

/* What the inputs hold. */
typedef enum Fill {
    FILL_NORMAL, /* normal numbers: those that float64 is compared for */
    FILL_WIDE,   /* magnitudes of 24 binades, pairs that cancel, subnormal numbers */
    FILL_ZERO,   /* whole rows and columns of the first input are -0, the second is positive, the
                    third negative, and += goes on from -0: every product of a chain may be -0 */
    FILLS
} Fill;

typedef struct Shape {
    int n[10];
} Shape;

typedef struct Run Run;

/* One op. The lists of shapes end with one that is all zero. */
typedef struct OpCase {
    const char *op;
    const char *letters; /* what the numbers of a shape are: "N C" */
    void (*run)(Run *run, const int *shape);
    const Shape *shapes;
    const Shape *real; /* of RoBERTa-large and Llama-3.2-3B, for --mode perf */
    int gradient;      /* its float64 check goes by central differences: --mode grad */
} OpCase;

/* The cases of one file of kernels/; each list ends with one without an op. */
extern const OpCase matmul_cases[], lora_cases[], attention_cases[], norm_cases[], rope_cases[],
    elementwise_cases[], embedding_cases[], loss_cases[], optimizer_cases[], hash_cases[];

/* --- what a case is written with --- */

typedef struct Tensor Tensor;
struct Run {
    const Ops *ops; /* for CALL */
    Context ctx;
    int check; /* whether expect is to be called now */

    /* private to harness.c */
    const OpCase *op;
    const int *shape;
    Fill fill;
    Tensor *tensors;            /* in the order in which the case makes them */
    size_t count, next, floats; /* floats: how many of them are not integers */
    struct Guarded *scratch;
    const Device *device;
    const Backend *backend;
    double slack; /* of tolerances: each of two factors of TF32 has 2^13 times the rounding error, of
                     bf16 2^16 times */
    const Ops *table; /* that is run */
    int kept;         /* whether a first run is */
    double *began;    /* when each call did, if they are timed, else NULL */
    double most;      /* FLOPs of a call that is timed */
    int calls;
    double **temporary; /* of doubles */
    size_t temporaries;
    double flops, bytes; /* of one call, as ops.def has them */
    char sizes[96];      /* "N 67 C 33" */
    char what[256];      /* for messages: "add: avx2, 3 threads, n 31 in_place 0, wide" */
};

/* A float tensor [rows, cols]. input: read. output: written, NaN before. updated: what += goes on
 * from. A case may change what input and updated hold before it calls the op. */
float *input(Run *run, const char *name, size_t rows, size_t cols);
float *output(Run *run, const char *name, size_t rows, size_t cols);
float *updated(Run *run, const char *name, size_t rows, size_t cols);

/* An input that is stored as float32, or as bf16 if half. */
Weight stored(Run *run, const char *name, size_t rows, size_t cols, int half);

/* n integers of the device; a few doubles, which the op may change. */
const int *integers(Run *run, const char *name, const int *values, size_t n);
void *wide_values(Run *run, const char *name, const void *values, size_t n);

/* Sequences packed into N rows. T > 0: B of T rows; T = 0: B of odd lengths, at most 8; T = -1:
 * every row is a sequence, which cu NULL says; T = -2: as 0, but every other one is empty. */
typedef struct Packed {
    int B, N;
    const int *cu;              /* [B + 1] */
    const int *position, *slot; /* [N] */
} Packed;
Packed packed(Run *run, int B, int T);

/* CALL(run, add, out, a, b, n): the op of the table that is being run. */
#define CALL(run, op, ...)                                                                         \
    for (call_begin(run); call_again(run);) {                                                      \
        (run)->ops->op(&(run)->ctx, __VA_ARGS__);                                                  \
    }
void call_begin(Run *run);
int call_again(Run *run);

/* The element that `at` points to must be within tolerance of truth. */
#define expect(run, at, truth, tolerance) expect_value(run, at, (double)*(at), truth, tolerance)
void expect_value(Run *run, const void *at, double ours, double truth, double tolerance);

/* What stood there before the call. */
double before(const Run *run, const float *at);

/* A copy in double, or count zeros where x is NULL; freed with the run. */
double *doubles(Run *run, const float *x, size_t count);

/* d value / dx by central differences with step h. */
double slope(double (*value)(const void *arg), const void *arg, double *x, double h);

/* Half a unit in the last place of float32, relative. */
#define ULP 0x1p-24

/* --- what test_ops.c runs cases with --- */

/* device: whose memory the tensors are in, or NULL: the host's. */
Run *run_new(const OpCase *op, const int *shape, Fill fill, const Device *device);
void run_free(Run *run);

/* Runs the case by a backend, with scratch of our own. The first run is kept; later ones must leave
 * the same bits if same_bits. check: compare with float64. The counts of check.h go on. */
void run_case(Run *run, const Backend *backend, int same_bits, int check);

/* Whether there is one among the values that the last run left: its bits are not defined. */
int run_has_nan(const Run *run);

/* Seconds of a call, the fastest of several; on a GPU of several in a row, without a wait between
 * them. INFINITY, and nothing is called, if it has more than most FLOPs. */
double run_seconds(Run *run, const Backend *backend, double most);

#endif
