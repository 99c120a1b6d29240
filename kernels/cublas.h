/* The product of an installed cuBLAS, for the variants cublas and tf32 of matmul_cublas.cu. */
#ifndef CUBLAS_H
#define CUBLAS_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Loads cuBLAS and makes its handle, after the device of this name was started and before any op
 * runs. *version lives as long as the program: "cuBLAS 13.1.0". The emulator's memory is no GPU's:
 * for sim there is libcublas_sim.so of the tests alone. Errors: 69 if it is not installed, is not of
 * versions 11 to 13, or does not start; 64 if the environment would let it compute in another
 * precision than the variant has. */
int cublas_open(const char *device, const char **version, Error *error);

/* c [M, N] += a b on a stream of CUDA's, all of the device and dense row-major: a [M, K], or [K, M]
 * with turn_a; b [K, N], or [N, K] with turn_b. Ends the program with 69 if cuBLAS fails. FLOAT32 is
 * its pedantic mode: float32 in every step, where its default leaves the choice to it. TF32: a and b
 * rounded to 10 bits of fraction, products and sums in the float32 of tensor cores. */
typedef enum CublasMath { CUBLAS_FLOAT32, CUBLAS_TF32 } CublasMath;
void cublas_add_product(void *stream, CublasMath math, float *c, const float *a, int turn_a,
                        const float *b, int turn_b, int M, int N, int K);

#ifdef __cplusplus
}
#endif

#endif
