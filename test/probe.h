/* The sums of ops.def, each as a function of its terms, for probe.c. */
#ifndef PROBE_H
#define PROBE_H

#include "backend.h"
#include "sum_tree.h"

/* How a term is made of what the op reads. */
typedef enum TermKind {
    TERM_PLAIN,    /* a itself */
    TERM_PRODUCT,  /* a b */
    TERM_SQUARE,   /* a a */
    TERM_CENTERED, /* (a - mean)^2, where the mean of all a has to be 0 */
    TERM_EXP       /* exp(a), of which the largest is exp(0) */
} TermKind;

typedef enum Order {
    ORDER_CHAIN,      /* from the start, where there is one, in ascending order */
    ORDER_LANES,      /* lanes of ops.h */
    ORDER_TOKENS,     /* tokens of ops.h: of the sequences in probe_lengths */
    ORDER_WIDE_LANES, /* of gradient_norm: 1,024 */
    ORDER_BLOCKS /* of linear_cross_entropy: lanes of each VOCABULARY_BLOCK words, one by one */
} Order;

enum { SEQUENCES = 5 };
extern const int probe_lengths[SEQUENCES];

typedef struct Probe {
    Backend backend;
    float *a, *b;      /* [terms + 1] the factors; the last is the start */
    int rows, columns; /* of a product's output; the sum is that of the last element */
    float *memory;     /* of the device, that the host may touch */
    size_t used;
} Probe;

typedef struct Sum {
    const char *op, *what;
    TermKind kind;
    Order order;
    int terms, start; /* start: the sum goes on from a value that is there */
    int wide;         /* in double */
    /* The sum, or what grows or shrinks with it. observe: the largest term of TERM_EXP, else one
     * that is 0. */
    double (*run)(Probe *probe, int n, int observe);
} Sum;

typedef struct SumList {
    const Sum *sums;
    int count;
} SumList;
extern const SumList probe_products, probe_attention;

/* The tree of ops.def; the start is the last leaf. The caller frees it. */
void probe_contract(SumTree *tree, const Sum *sum);

#endif
