/* The product by blocks of tile on AMX, in the build for AVX-512 alone and private to block_gemm.c, whose
 * functions block_gemm and block_rows these are. */
#ifndef BLOCK_AMX_H
#define BLOCK_AMX_H

#include "block_gemm.h"

#define block_amx      KERNEL(block_amx)
#define block_amx_rows KERNEL(block_amx_rows)

void block_amx(Context *ctx, float *c, size_t ldc, Strided a, Strided b, size_t M, size_t N,
               size_t K, GemmStart start, const float *bias);

void block_amx_rows(float *c, size_t ldc, Strided a, const float *packed, size_t depth,
                    size_t first, size_t M, size_t N, size_t K, GemmStart start, const float *bias);

#endif
