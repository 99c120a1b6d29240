/* The product of an installed OpenBLAS, for the variant openblas of matmul.c. */
#ifndef OPENBLAS_H
#define OPENBLAS_H

#include "base.h"

/* cblas_sgemm, so that its header is not needed: order 101 row-major, 111 no transpose, 112
 * transpose. NULL until openblas_open, which comes before any op runs. */
extern void (*openblas_sgemm)(int order, int trans_a, int trans_b, int m, int n, int k,
                              float alpha, const float *a, int lda, const float *b, int ldb,
                              float beta, float *c, int ldc);

/* Loads OpenBLAS. *version lives as long as the program: "OpenBLAS 0.3.21 (Haswell)", with the
 * processor whose kernels it chose. Error 69 if it is not installed, or its sizes have 64 bits. */
int openblas_open(const char **version, Error *error);

#endif
