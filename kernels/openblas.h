/* The product of an installed OpenBLAS, for the variant openblas of matmul.c. */
#ifndef OPENBLAS_H
#define OPENBLAS_H

#include "base.h"

/* cblas_sgemm, so that its header is not needed: order 101 row-major, 111 no transpose, 112
 * transpose. NULL until openblas_open, which comes before any op runs. */
extern void (*openblas_sgemm)(int order, int trans_a, int trans_b, int m, int n, int k,
                              float alpha, const float *a, int lda, const float *b, int ldb,
                              float beta, float *c, int ldc);

/* Loads OpenBLAS. Error 69 if it is not installed. */
int openblas_open(Error *error);

#endif
