/* Shared by the cases of test_ops.c: their shapes, their outputs and their helpers. */
#ifndef OP_CASES_H
#define OP_CASES_H

#include "check.h"
#include "backend.h"

#include <stdlib.h>
#include <string.h>

/* Half a unit in the last place of float32, relative. */
static const double U = 0x1p-24;

/* A variant has another order of sums: its values are compared, its bits are not. */
extern int variant_runs;

/* What one run of a case wrote, all outputs one behind the other. */
typedef struct Output {
    float *x;
    size_t n;
} Output;
void output_put(Output *out, const float *x, size_t n);

/* Normal numbers, the same for every build. Whoever calls these frees what they return. */
float *input(uint64_t key, size_t n);
double *zeros(size_t n);
float *zeros_float(size_t n);
double *doubles(const float *x, size_t n);

/* The values of x rounded toward zero to bf16, and as stored. */
uint16_t *to_bf16(float *x, size_t n);

/* ours against truth, with one tolerance for each element or one for all. */
void near(const char *what, const float *ours, const double *truth, const double *tolerance,
          size_t n);
void near_all(const char *what, const float *ours, const double *truth, double tolerance, size_t n);

/* Packed sequences of odd lengths, one of them a single token; a token's place in its sequence and
 * its slot. */
enum { B = 5, N = 67 };
extern const int cu[B + 1], slots[B];

/* Elements of a vector that ops go through one by one. */
enum { E = 5003 };

/* The language model's loss: tokens, width, the largest vocabulary. */
enum { LM_N = 19, LM_C = 33, LM_V = 5003 };

/* run calls ops and writes what they gave; check compares that with a float64 definition. */
void run_matmul(const Ops *ops, Context *ctx, Output *out);
void check_matmul(const float *out);
void run_bias(const Ops *ops, Context *ctx, Output *out);
void check_bias(const float *out);
void run_lora(const Ops *ops, Context *ctx, Output *out);
void check_lora(const float *out);
void run_norm(const Ops *ops, Context *ctx, Output *out);
void check_norm(const float *out);
void run_decoder(const Ops *ops, Context *ctx, Output *out);
void check_decoder(const float *out);
void run_attention(const Ops *ops, Context *ctx, Output *out);
void check_attention(const float *out);
void run_elementwise(const Ops *ops, Context *ctx, Output *out);
void check_elementwise(const float *out);
void run_rows(const Ops *ops, Context *ctx, Output *out);
void check_rows(const float *out);
void run_loss(const Ops *ops, Context *ctx, Output *out);
void check_loss(const float *out);
void run_language(const Ops *ops, Context *ctx, Output *out);
void check_language(const float *out);

#endif
