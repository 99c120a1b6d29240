/* Layer and root mean square normalisation, forward and backward. */
#include "build.h"

static float row_squares(const float *x, float mean, size_t C)
{
    float lane[LANES] = {0};
    size_t c = 0;
    for (; c + LANES <= C; c += LANES) {
        for (int l = 0; l < LANES; l++) {
            float d = x[c + (size_t)l] - mean;
            lane[l] = fmaf(d, d, lane[l]);
        }
    }
    for (int l = 0; c + (size_t)l < C; l++) {
        float d = x[c + (size_t)l] - mean;
        lane[l] = fmaf(d, d, lane[l]);
    }
    return lanes_sum(lane);
}

static void row_forward(float *out, float *mean, float *rstd, const float *x, const float *weight,
                        const float *bias, size_t C, float eps)
{
    float m = row_sum(x, C) / (float)C;
    float r = 1.0f / sqrtf(row_squares(x, m, C) / (float)C + eps);
    for (size_t c = 0; c < C; c++) {
        out[c] = fmaf((x[c] - m) * r, weight[c], bias[c]);
    }
    *mean = m;
    *rstd = r;
}

void KERNEL(layernorm_forward)(Context *ctx, float *out, float *mean, float *rstd, const float *x,
                               const float *weight, const float *bias, int N, int C, float eps)
{
#pragma omp parallel for schedule(static) num_threads(threads_for(ctx, (size_t)N * (size_t)C / 2))
    for (int n = 0; n < N; n++) {
        size_t row = (size_t)n * (size_t)C;
        row_forward(out + row, mean + n, rstd + n, x + row, weight, bias, (size_t)C, eps);
    }
}

void KERNEL(residual_layernorm_forward)(Context *ctx, float *out, float *sum, float *mean,
                                        float *rstd, const float *residual, const float *x,
                                        const float *weight, const float *bias, int N, int C,
                                        float eps)
{
#pragma omp parallel for schedule(static) num_threads(threads_for(ctx, (size_t)N * (size_t)C / 2))
    for (int n = 0; n < N; n++) {
        size_t row = (size_t)n * (size_t)C;
#pragma omp simd
        for (size_t c = 0; c < (size_t)C; c++) {
            sum[row + c] = residual[row + c] + x[row + c];
        }
        row_forward(out + row, mean + n, rstd + n, sum + row, weight, bias, (size_t)C, eps);
    }
}

/* dx of one row, in place if dx is dout. */
static void row_backward(float *dx, const float *dout, const float *x, float mean, float rstd,
                         const float *weight, size_t C)
{
    float sum[LANES] = {0}, dot[LANES] = {0};
    size_t c = 0;
    for (; c + LANES <= C; c += LANES) {
        for (int l = 0; l < LANES; l++) {
            float g = dout[c + (size_t)l] * weight[c + (size_t)l];
            sum[l] += g;
            dot[l] = fmaf(g, (x[c + (size_t)l] - mean) * rstd, dot[l]);
        }
    }
    for (int l = 0; c + (size_t)l < C; l++) {
        float g = dout[c + (size_t)l] * weight[c + (size_t)l];
        sum[l] += g;
        dot[l] = fmaf(g, (x[c + (size_t)l] - mean) * rstd, dot[l]);
    }
    float g_mean = lanes_sum(sum) / (float)C, gx_mean = lanes_sum(dot) / (float)C;
#pragma omp simd
    for (c = 0; c < C; c++) {
        float g = dout[c] * weight[c], xhat = (x[c] - mean) * rstd;
        dx[c] = rstd * fmaf(-xhat, gx_mean, g - g_mean);
    }
}

void KERNEL(layernorm_backward)(Context *ctx, float *dx, float *dweight, float *dbias,
                                const float *dout, const float *x, const float *mean,
                                const float *rstd, const float *weight, const int *cu_seqlens,
                                int B, int N, int C)
{
    size_t channels = (size_t)C;
#pragma omp parallel num_threads(threads_for(ctx, (size_t)N * channels))
    {
        /* forward: out = xhat weight + bias, so dweight += dout xhat, dbias += dout; before dx,
         * which may be dout */
#pragma omp for schedule(static)
        for (int c0 = 0; c0 < (dweight ? C : 0); c0 += LANES) {
            int width = C - c0 < LANES ? C - c0 : LANES;
            for (int b = 0; b < B; b++) {
                float weight_sum[LANES] = {0}, bias_sum[LANES] = {0};
                int first = cu_seqlens ? cu_seqlens[b] : b,
                    end = cu_seqlens ? cu_seqlens[b + 1] : b + 1;
                for (int n = first; n < end; n++) {
                    const float *dout_n = dout + (size_t)n * channels + c0,
                                *x_n = x + (size_t)n * channels + c0;
                    float m = mean[n], r = rstd[n];
                    if (width == LANES) {
                        for (int l = 0; l < LANES; l++) {
                            weight_sum[l] = fmaf(dout_n[l], (x_n[l] - m) * r, weight_sum[l]);
                            bias_sum[l] += dout_n[l];
                        }
                    } else {
                        for (int l = 0; l < width; l++) {
                            weight_sum[l] = fmaf(dout_n[l], (x_n[l] - m) * r, weight_sum[l]);
                            bias_sum[l] += dout_n[l];
                        }
                    }
                }
                for (int l = 0; l < width; l++) {
                    dweight[c0 + l] += weight_sum[l];
                    dbias[c0 + l] += bias_sum[l];
                }
            }
        }
#pragma omp for schedule(static)
        for (int n = 0; n < N; n++) {
            size_t row = (size_t)n * channels;
            row_backward(dx + row, dout + row, x + row, mean[n], rstd[n], weight, channels);
        }
    }
}

static void rms_row_forward(float *out, float *rstd, const float *x, const float *weight, size_t C,
                            float eps)
{
    float r = 1.0f / sqrtf(row_squares(x, 0, C) / (float)C + eps);
#pragma omp simd
    for (size_t c = 0; c < C; c++) {
        out[c] = x[c] * r * weight[c];
    }
    *rstd = r;
}

void KERNEL(rmsnorm_forward)(Context *ctx, float *out, float *rstd, const float *x,
                             const float *weight, int N, int C, float eps)
{
#pragma omp parallel for schedule(static) num_threads(threads_for(ctx, (size_t)N * (size_t)C / 2))
    for (int n = 0; n < N; n++) {
        size_t row = (size_t)n * (size_t)C;
        rms_row_forward(out + row, rstd + n, x + row, weight, (size_t)C, eps);
    }
}

void KERNEL(residual_rmsnorm_forward)(Context *ctx, float *out, float *sum, float *rstd,
                                      const float *residual, const float *x, const float *weight,
                                      int N, int C, float eps)
{
#pragma omp parallel for schedule(static) num_threads(threads_for(ctx, (size_t)N * (size_t)C / 2))
    for (int n = 0; n < N; n++) {
        size_t row = (size_t)n * (size_t)C;
#pragma omp simd
        for (size_t c = 0; c < (size_t)C; c++) {
            sum[row + c] = residual[row + c] + x[row + c];
        }
        rms_row_forward(out + row, rstd + n, sum + row, weight, (size_t)C, eps);
    }
}

/* forward: out = xhat weight with xhat = x rstd; dx of one row, in place if dx is dout. */
static void rms_row_backward(float *dx, const float *dout, const float *x, float rstd,
                             const float *weight, size_t C)
{
    float dot[LANES] = {0};
    size_t c = 0;
    for (; c + LANES <= C; c += LANES) {
        for (int l = 0; l < LANES; l++) {
            float g = dout[c + (size_t)l] * weight[c + (size_t)l];
            dot[l] = fmaf(g, x[c + (size_t)l] * rstd, dot[l]);
        }
    }
    for (int l = 0; c + (size_t)l < C; l++) {
        float g = dout[c + (size_t)l] * weight[c + (size_t)l];
        dot[l] = fmaf(g, x[c + (size_t)l] * rstd, dot[l]);
    }
    float gx_mean = lanes_sum(dot) / (float)C;
#pragma omp simd
    for (c = 0; c < C; c++) {
        dx[c] = rstd * fmaf(-(x[c] * rstd), gx_mean, dout[c] * weight[c]);
    }
}

void KERNEL(rmsnorm_backward)(Context *ctx, float *dx, float *dweight, const float *dout,
                              const float *x, const float *rstd, const float *weight,
                              const int *cu_seqlens, int B, int N, int C)
{
    size_t channels = (size_t)C;
#pragma omp parallel num_threads(threads_for(ctx, (size_t)N * channels))
    {
        /* forward: out = xhat weight, so dweight += dout xhat; before dx, which may be dout */
#pragma omp for schedule(static)
        for (int c0 = 0; c0 < (dweight ? C : 0); c0 += LANES) {
            int width = C - c0 < LANES ? C - c0 : LANES;
            for (int b = 0; b < B; b++) {
                float sum[LANES] = {0};
                int first = cu_seqlens ? cu_seqlens[b] : b,
                    end = cu_seqlens ? cu_seqlens[b + 1] : b + 1;
                for (int n = first; n < end; n++) {
                    const float *dout_n = dout + (size_t)n * channels + c0,
                                *x_n = x + (size_t)n * channels + c0;
                    float r = rstd[n];
                    for (int l = 0; l < width; l++) {
                        sum[l] = fmaf(dout_n[l], x_n[l] * r, sum[l]);
                    }
                }
                for (int l = 0; l < width; l++) {
                    dweight[c0 + l] += sum[l];
                }
            }
        }
#pragma omp for schedule(static)
        for (int n = 0; n < N; n++) {
            size_t row = (size_t)n * channels;
            rms_row_backward(dx + row, dout + row, x + row, rstd[n], weight, channels);
        }
    }
}
