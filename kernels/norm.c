/* Layer and root mean square normalisation, forward and backward. */
#include "order.h"
#include "rows.h"

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

/* Mean and 1 / standard deviation of a row; mean NULL: 1 / root of the mean square, as RMSNorm has
 * it. */
typedef void Statistics(float *mean, float *rstd, const float *x, size_t C, float eps);

static void by_lanes(float *mean, float *rstd, const float *x, size_t C, float eps)
{
    float m = 0.0f;
    if (mean) {
        m = row_sum(x, C) / (float)C;
        *mean = m;
    }
    *rstd = 1.0f / sqrtf(row_squares(x, m, C) / (float)C + eps);
}

/* The four forward ops: of x, or of sum = residual + x; mean and bias NULL: RMSNorm. */
static void norm_rows(Context *ctx, Statistics *statistics, float *out, float *sum, float *mean,
                      float *rstd, const float *residual, const float *x, const float *weight,
                      const float *bias, int N, size_t C, float eps)
{
    int threads = threads_for(ctx, (size_t)N * C / 2);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int n = 0; n < N; n++) {
        const float *x_n = x + (size_t)n * C;
        float *out_n = out + (size_t)n * C, *mean_n = mean ? mean + n : NULL;
        if (residual) {
            const float *residual_n = residual + (size_t)n * C;
            float *sum_n = sum + (size_t)n * C;
#pragma omp simd
            for (size_t c = 0; c < C; c++) {
                sum_n[c] = residual_n[c] + x_n[c];
            }
            x_n = sum_n;
        }
        statistics(mean_n, rstd + n, x_n, C, eps);
        float m = mean ? *mean_n : 0.0f, r = rstd[n];
        if (bias) {
#pragma omp simd
            for (size_t c = 0; c < C; c++) {
                out_n[c] = fmaf((x_n[c] - m) * r, weight[c], bias[c]);
            }
        } else {
#pragma omp simd
            for (size_t c = 0; c < C; c++) {
                out_n[c] = x_n[c] * r * weight[c];
            }
        }
    }
}

void KERNEL(layernorm_forward)(Context *ctx, float *out, float *mean, float *rstd, const float *x,
                               const float *weight, const float *bias, int N, int C, float eps)
{
    norm_rows(ctx, by_lanes, out, NULL, mean, rstd, NULL, x, weight, bias, N, (size_t)C, eps);
}

void KERNEL(residual_layernorm_forward)(Context *ctx, float *out, float *sum, float *mean,
                                        float *rstd, const float *residual, const float *x,
                                        const float *weight, const float *bias, int N, int C,
                                        float eps)
{
    norm_rows(ctx, by_lanes, out, sum, mean, rstd, residual, x, weight, bias, N, (size_t)C, eps);
}

void KERNEL(rmsnorm_forward)(Context *ctx, float *out, float *rstd, const float *x,
                             const float *weight, int N, int C, float eps)
{
    norm_rows(ctx, by_lanes, out, NULL, NULL, rstd, NULL, x, weight, NULL, N, (size_t)C, eps);
}

void KERNEL(residual_rmsnorm_forward)(Context *ctx, float *out, float *sum, float *rstd,
                                      const float *residual, const float *x, const float *weight,
                                      int N, int C, float eps)
{
    norm_rows(ctx, by_lanes, out, sum, NULL, rstd, residual, x, weight, NULL, N, (size_t)C, eps);
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
    int threads = threads_for(ctx, (size_t)N * channels);
#pragma omp parallel num_threads(threads)
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
    int threads = threads_for(ctx, (size_t)N * channels);
#pragma omp parallel num_threads(threads)
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

/* --- variants --- */

static void in_double(float *mean, float *rstd, const float *x, size_t C, float eps)
{
    double sum = 0.0, m = 0.0, squares = 0.0;
    if (mean) {
        for (size_t c = 0; c < C; c++) {
            sum += (double)x[c];
        }
        m = sum / (double)C;
        *mean = (float)m;
    }
    for (size_t c = 0; c < C; c++) {
        squares = fma((double)x[c] - m, (double)x[c] - m, squares);
    }
    *rstd = (float)(1.0 / sqrt(squares / (double)C + (double)eps));
}

void KERNEL(layernorm_forward_float64)(Context *ctx, float *out, float *mean, float *rstd,
                                       const float *x, const float *weight, const float *bias,
                                       int N, int C, float eps)
{
    norm_rows(ctx, in_double, out, NULL, mean, rstd, NULL, x, weight, bias, N, (size_t)C, eps);
}

void KERNEL(residual_layernorm_forward_float64)(Context *ctx, float *out, float *sum, float *mean,
                                                float *rstd, const float *residual, const float *x,
                                                const float *weight, const float *bias, int N,
                                                int C, float eps)
{
    norm_rows(ctx, in_double, out, sum, mean, rstd, residual, x, weight, bias, N, (size_t)C, eps);
}

void KERNEL(rmsnorm_forward_float64)(Context *ctx, float *out, float *rstd, const float *x,
                                     const float *weight, int N, int C, float eps)
{
    norm_rows(ctx, in_double, out, NULL, NULL, rstd, NULL, x, weight, NULL, N, (size_t)C, eps);
}

void KERNEL(residual_rmsnorm_forward_float64)(Context *ctx, float *out, float *sum, float *rstd,
                                              const float *residual, const float *x,
                                              const float *weight, int N, int C, float eps)
{
    norm_rows(ctx, in_double, out, sum, NULL, rstd, residual, x, weight, NULL, N, (size_t)C, eps);
}

static void by_chain(float *mean, float *rstd, const float *x, size_t C, float eps)
{
    float sum = 0.0f, m = 0.0f, squares = 0.0f;
    if (mean) {
        for (size_t c = 0; c < C; c++) {
            sum += x[c];
        }
        m = sum / (float)C;
        *mean = m;
    }
    for (size_t c = 0; c < C; c++) {
        squares = fmaf(x[c] - m, x[c] - m, squares);
    }
    *rstd = 1.0f / sqrtf(squares / (float)C + eps);
}

void KERNEL(layernorm_forward_serial)(Context *ctx, float *out, float *mean, float *rstd,
                                      const float *x, const float *weight, const float *bias, int N,
                                      int C, float eps)
{
    norm_rows(ctx, by_chain, out, NULL, mean, rstd, NULL, x, weight, bias, N, (size_t)C, eps);
}

void KERNEL(residual_layernorm_forward_serial)(Context *ctx, float *out, float *sum, float *mean,
                                               float *rstd, const float *residual, const float *x,
                                               const float *weight, const float *bias, int N, int C,
                                               float eps)
{
    norm_rows(ctx, by_chain, out, sum, mean, rstd, residual, x, weight, bias, N, (size_t)C, eps);
}

void KERNEL(rmsnorm_forward_serial)(Context *ctx, float *out, float *rstd, const float *x,
                                    const float *weight, int N, int C, float eps)
{
    norm_rows(ctx, by_chain, out, NULL, NULL, rstd, NULL, x, weight, NULL, N, (size_t)C, eps);
}

void KERNEL(residual_rmsnorm_forward_serial)(Context *ctx, float *out, float *sum, float *rstd,
                                             const float *residual, const float *x,
                                             const float *weight, int N, int C, float eps)
{
    norm_rows(ctx, by_chain, out, sum, NULL, rstd, residual, x, weight, NULL, N, (size_t)C, eps);
}

/* Both backward ops; mean and dbias NULL: RMSNorm. */
static void backward_in_double(Context *ctx, float *dx, float *dweight, float *dbias,
                               const float *dout, const float *x, const float *mean,
                               const float *rstd, const float *weight, int N, size_t C)
{
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (size_t c = 0; c < (dweight ? C : 0); c++) { /* before dx, which may be dout */
        double weight_sum = (double)dweight[c], bias_sum = dbias ? (double)dbias[c] : 0.0;
        for (size_t n = 0; n < (size_t)N; n++) {
            double d = (double)dout[n * C + c], m = mean ? (double)mean[n] : 0.0;
            weight_sum = fma(d, ((double)x[n * C + c] - m) * (double)rstd[n], weight_sum);
            bias_sum += d;
        }
        dweight[c] = (float)weight_sum;
        if (dbias) {
            dbias[c] = (float)bias_sum;
        }
    }
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (size_t n = 0; n < (size_t)N; n++) {
        const float *dout_n = dout + n * C, *x_n = x + n * C;
        double sum = 0.0, dot = 0.0, m = mean ? (double)mean[n] : 0.0, r = (double)rstd[n];
        for (size_t c = 0; c < C; c++) {
            double g = (double)dout_n[c] * (double)weight[c];
            sum += mean ? g : 0.0;
            dot = fma(g, ((double)x_n[c] - m) * r, dot);
        }
        for (size_t c = 0; c < C; c++) {
            double g = (double)dout_n[c] * (double)weight[c];
            double xhat = ((double)x_n[c] - m) * r;
            dx[n * C + c] = (float)(r * (g - sum / (double)C - xhat * dot / (double)C));
        }
    }
}

void KERNEL(layernorm_backward_float64)(Context *ctx, float *dx, float *dweight, float *dbias,
                                        const float *dout, const float *x, const float *mean,
                                        const float *rstd, const float *weight,
                                        const int *cu_seqlens, int B, int N, int C)
{
    (void)cu_seqlens, (void)B; /* one sum over all tokens */
    backward_in_double(ctx, dx, dweight, dbias, dout, x, mean, rstd, weight, N, (size_t)C);
}

void KERNEL(rmsnorm_backward_float64)(Context *ctx, float *dx, float *dweight, const float *dout,
                                      const float *x, const float *rstd, const float *weight,
                                      const int *cu_seqlens, int B, int N, int C)
{
    (void)cu_seqlens, (void)B; /* one sum over all tokens */
    backward_in_double(ctx, dx, dweight, NULL, dout, x, NULL, rstd, weight, N, (size_t)C);
}

/* The op sequence by sequence, in a drawn order: t is one, which begins with the value `at`. */
#define IN_DRAWN_ORDER(ordered, op, ...)                                                           \
    (void)N;                                                                                       \
    Philox drawn = order_draw(ctx, ordered);                                                       \
    Order order = order_of(&drawn, (size_t)B);                                                     \
    for (int i = 0; i < B; i++) {                                                                  \
        Tokens t = sequence_tokens(cu_seqlens, order_at(&order, (size_t)i));                       \
        size_t at = t.first * (size_t)C;                                                           \
        int one[2] = {0, t.count};                                                                 \
        KERNEL(op)(ctx, dx + at, __VA_ARGS__, weight, one, 1, t.count, C);                         \
    }

void KERNEL(layernorm_backward_shuffled)(Context *ctx, float *dx, float *dweight, float *dbias,
                                         const float *dout, const float *x, const float *mean,
                                         const float *rstd, const float *weight,
                                         const int *cu_seqlens, int B, int N, int C)
{
    IN_DRAWN_ORDER(ORDER_LAYERNORM, layernorm_backward, dweight, dbias, dout + at, x + at,
                   mean + t.first, rstd + t.first)
}

void KERNEL(rmsnorm_backward_shuffled)(Context *ctx, float *dx, float *dweight, const float *dout,
                                       const float *x, const float *rstd, const float *weight,
                                       const int *cu_seqlens, int B, int N, int C)
{
    IN_DRAWN_ORDER(ORDER_RMSNORM, rmsnorm_backward, dweight, dout + at, x + at, rstd + t.first)
}
