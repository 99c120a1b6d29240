/* Linear layers: three products of one packed routine, and the gradient of the bias. */
#include "gemm.h"

#include <omp.h>
#include <string.h>

/* Blocks of C that stay in the second level cache while k goes by in blocks: the panel of B in the
 * first level cache is K_BLOCK x TILE_COLS floats (docs/BENCH.md). */
enum { K_BLOCK = 256, BLOCK_ROWS = 10, BLOCK_COLS = 12 };

static inline size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* C [M, N], ldc floats a row = A [M, K] B [K, N], by all threads. */
static void product(Context *ctx, float *c, size_t ldc, Strided a, Strided b, size_t M, size_t N,
                    size_t K, GemmStart start, const float *bias)
{
    size_t a_panels = panels(M, TILE_ROWS), b_panels = panels(N, TILE_COLS);
    size_t row_blocks = panels(a_panels, BLOCK_ROWS), col_blocks = panels(b_panels, BLOCK_COLS);
    float *packed_b = ctx->scratch, *packed_a = packed_b + b_panels * TILE_COLS * K;
#pragma omp parallel num_threads(ctx->threads)
    {
#pragma omp for schedule(static) nowait
        for (size_t j = 0; j < b_panels; j++) {
            gemm_pack(packed_b + j * TILE_COLS * K, (Strided){b.p, b.col, b.row}, N, K, j,
                      TILE_COLS);
        }
#pragma omp for schedule(static)
        for (size_t i = 0; i < a_panels; i++) {
            gemm_pack(packed_a + i * TILE_ROWS * K, a, M, K, i, TILE_ROWS);
        }
#pragma omp for schedule(dynamic)
        for (size_t block = 0; block < row_blocks * col_blocks; block++) {
            size_t i0 = block % row_blocks * BLOCK_ROWS, i1 = min_size(i0 + BLOCK_ROWS, a_panels);
            size_t j0 = block / row_blocks * BLOCK_COLS, j1 = min_size(j0 + BLOCK_COLS, b_panels);
            for (size_t k = 0; k < K || k == 0; k += K_BLOCK) {
                size_t depth = min_size(K - k, K_BLOCK);
                for (size_t j = j0; j < j1; j++) {
                    const float *panel = packed_b + (j * K + k) * TILE_COLS,
                                *next = panel + K * TILE_COLS;
                    int cols = (int)min_size(N - j * TILE_COLS, TILE_COLS);
                    for (size_t i = i0; i < i1; i++) {
                        int rows = (int)min_size(M - i * TILE_ROWS, TILE_ROWS);
                        /* Every tile fetches its share of the next panel of B into the second level
                         * cache. */
                        const float *share = next + (i - i0) % TILE_VECS * depth * 16;
                        gemm_tile(depth, packed_a + (i * K + k) * TILE_ROWS, panel,
                                  c + i * TILE_ROWS * ldc + j * TILE_COLS, ldc, rows, cols,
                                  k ? START_C : start, bias ? bias + j * TILE_COLS : NULL, share);
                    }
                }
            }
        }
    }
}

void KERNEL(matmul_forward)(Context *ctx, float *out, const float *x, const float *weight,
                            const float *bias, int M, int K, int O)
{
    size_t m = (size_t)M, k = (size_t)K, o = (size_t)O;
    product(ctx, out, o, (Strided){x, k, 1}, (Strided){weight, 1, k}, m, o, k,
            bias ? START_BIAS : START_ZERO, bias);
}

void KERNEL(matmul_backward_input)(Context *ctx, float *dx, const float *dout, const float *weight,
                                   int M, int K, int O, int accumulate)
{
    /* forward: out[m, o] += x[m, k] weight[o, k], so dx[m, k] += dout[m, o] weight[o, k] */
    size_t m = (size_t)M, k = (size_t)K, o = (size_t)O;
    product(ctx, dx, k, (Strided){dout, o, 1}, (Strided){weight, k, 1}, m, k, o,
            accumulate ? START_C : START_ZERO, NULL);
}

void KERNEL(matmul_backward_weight)(Context *ctx, float *dweight, const float *dout, const float *x,
                                    int M, int K, int O)
{
    /* forward: out[m, o] += x[m, k] weight[o, k], so dweight[o, k] += dout[m, o] x[m, k] */
    size_t m = (size_t)M, k = (size_t)K, o = (size_t)O;
    product(ctx, dweight, k, (Strided){dout, 1, o}, (Strided){x, k, 1}, o, k, m, START_C, NULL);
}

void KERNEL(bias_backward)(Context *ctx, float *dbias, const float *dout, const int *cu_seqlens,
                           int B, int O)
{
    size_t o = (size_t)O;
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (int o0 = 0; o0 < O; o0 += LANES) {
        int width = O - o0 < LANES ? O - o0 : LANES;
        float total[LANES] = {0};
        memcpy(total, dbias + o0, (size_t)width * sizeof *total);
        for (int b = 0; b < B; b++) {
            float sum[LANES] = {0};
            int first = cu_seqlens ? cu_seqlens[b] : b,
                end = cu_seqlens ? cu_seqlens[b + 1] : b + 1;
            for (int n = first; n < end; n++) {
                const float *row = dout + (size_t)n * o + o0;
                if (width == LANES) {
                    for (int l = 0; l < LANES; l++) {
                        sum[l] += row[l];
                    }
                } else {
                    for (int l = 0; l < width; l++) {
                        sum[l] += row[l];
                    }
                }
            }
            for (int l = 0; l < LANES; l++) {
                total[l] += sum[l];
            }
        }
        memcpy(dbias + o0, total, (size_t)width * sizeof *total);
    }
}
