/* Linear layers: three products of one packed routine, and the gradient of the bias. */
#include "gemm.h"

#include <string.h>

void KERNEL(matmul_forward)(Context *ctx, float *out, const float *x, Weight weight,
                            const float *bias, int M, int K, int O)
{
    size_t m = (size_t)M, k = (size_t)K, o = (size_t)O;
    gemm(ctx, out, o, strided(x, k, 1), (Strided){weight, 1, k}, m, o, k,
         bias ? START_BIAS : START_ZERO, bias);
}

void KERNEL(matmul_backward_input)(Context *ctx, float *dx, const float *dout, Weight weight, int M,
                                   int K, int O, int accumulate)
{
    /* forward: out[m, o] += x[m, k] weight[o, k], so dx[m, k] += dout[m, o] weight[o, k] */
    size_t m = (size_t)M, k = (size_t)K, o = (size_t)O;
    gemm(ctx, dx, k, strided(dout, o, 1), (Strided){weight, k, 1}, m, k, o,
         accumulate ? START_C : START_ZERO, NULL);
}

void KERNEL(matmul_backward_weight)(Context *ctx, float *dweight, const float *dout, const float *x,
                                    int M, int K, int O)
{
    /* forward: out[m, o] += x[m, k] weight[o, k], so dweight[o, k] += dout[m, o] x[m, k] */
    size_t m = (size_t)M, k = (size_t)K, o = (size_t)O;
    gemm(ctx, dweight, k, strided(dout, 1, o), strided(x, k, 1), o, k, m, START_C, NULL);
}

void KERNEL(bias_backward)(Context *ctx, float *dbias, const float *dout, const int *cu_seqlens,
                           int B, int N, int O)
{
    size_t o = (size_t)O;
#pragma omp parallel for schedule(static) num_threads(threads_for(ctx, (size_t)N * o / 4))
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
