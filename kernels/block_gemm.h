/* The matrix product of the CPU by blocks of bf16 operands (block_sum.h), under matmul_block.c,
 * attention_block.c and lora.c and private to them; one of each build.
 *
 * C[m, n] = start, to which blocks of A[m, k] B[k, n] are added, the first k first. Operands are
 * rounded to bf16 as they are packed. Vectors run over n, so the bits depend on A, B, the start and
 * the sum alone. */
#ifndef BLOCK_GEMM_H
#define BLOCK_GEMM_H

#include "block_sum.h"
#include "gemm.h"

#define block_pack  KERNEL(block_pack)
#define block_rows  KERNEL(block_rows)
#define block_small KERNEL(block_small)
#define block_gemm  KERNEL(block_gemm)

/* C [M, N], ldc floats a row = A [M, K] B [K, N] by all threads, with the context's scratch
 * (matmul_scratch). bias [N] with START_BIAS. */
void block_gemm(Context *ctx, BlockSum sum, float *c, size_t ldc, Strided a, Strided b, size_t M,
                size_t N, size_t K, GemmStart start, const float *bias);

/* Floats of a B [K, N] that is packed. */
static inline size_t block_packed(size_t N, size_t K)
{
    return (N + 31) / 32 * 32 * K;
}

/* All of B [K, N]: block_packed floats, 64-byte aligned. */
void block_pack(BlockSum sum, float *packed, Strided b, size_t N, size_t K);

/* Rows of C by the calling thread, from a B [K, N] that was packed with `depth` rows of which the
 * first K from row `first` on count; first is a multiple of the length of a block. */
void block_rows(const Context *ctx, BlockSum sum, float *c, size_t ldc, Strided a,
                const float *packed, size_t depth, size_t first, size_t M, size_t N, size_t K,
                GemmStart start, const float *bias);

/* A whole small product by the calling thread. scratch: block_packed floats, and up to 16 to align
 * them. */
void block_small(const Context *ctx, BlockSum sum, float *c, size_t ldc, Strided a, Strided b,
                 size_t M, size_t N, size_t K, GemmStart start, float *scratch);

#endif
