/* Linear layers: three products of one packed routine, and the gradient of the bias. */
#include "gemm.h"
#include "openblas.h"
#include "order.h"

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
    int threads = threads_for(ctx, (size_t)N * o / 4);
#pragma omp parallel for schedule(static) num_threads(threads)
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

/* --- variants --- */

/* [O, K] in float32: the weight itself, or its copy in the scratch. */
static const float *widened(const Context *ctx, Weight weight, size_t n)
{
    if (weight.f32) {
        return weight.f32;
    }
    weight_row(ctx->scratch, weight, 0, n);
    return ctx->scratch;
}

/* c [M, N] = chain over k of a(m, k) b[k, n] in double, rounded once.
 * a(m, k) is a[m row + k col]. */
static void product_in_double(Context *ctx, float *c, const float *a, size_t row, size_t col,
                              const float *b, size_t M, size_t N, size_t K, GemmStart start,
                              const float *bias)
{
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (size_t m = 0; m < M; m++) {
        for (size_t n = 0; n < N; n += LANES) {
            size_t width = size_min(N - n, LANES);
            const float *from = start == START_BIAS ? bias + n : c + m * N + n;
            double sum[LANES] = {0};
            for (size_t l = 0; l < width && start != START_ZERO; l++) {
                sum[l] = (double)from[l];
            }
            for (size_t k = 0; k < K; k++) {
                double a_k = (double)a[m * row + k * col];
                for (size_t l = 0; l < width; l++) {
                    sum[l] = fma(a_k, (double)b[k * N + n + l], sum[l]);
                }
            }
            for (size_t l = 0; l < width; l++) {
                c[m * N + n + l] = (float)sum[l];
            }
        }
    }
}

void KERNEL(matmul_forward_float64)(Context *ctx, float *out, const float *x, Weight weight,
                                    const float *bias, int M, int K, int O)
{
    size_t k_count = (size_t)K, o_count = (size_t)O;
    float *turned = ctx->scratch; /* the weight as [K, O] */
    for (size_t o = 0; o < o_count; o++) {
        for (size_t k = 0; k < k_count; k++) {
            weight_row(turned + k * o_count + o, weight, o * k_count + k, 1);
        }
    }
    product_in_double(ctx, out, x, k_count, 1, turned, (size_t)M, o_count, k_count,
                      bias ? START_BIAS : START_ZERO, bias);
}

/* Sum of n products as a binary tree over blocks of 32. */
static float dot_pairwise(const float *a, const float *b, size_t n)
{
    if (n <= 32) {
        float sum = 0.0f;
        for (size_t i = 0; i < n; i++) {
            sum = fmaf(a[i], b[i], sum);
        }
        return sum;
    }
    size_t half = (n / 2 + 31) / 32 * 32;
    return dot_pairwise(a, b, half) + dot_pairwise(a + half, b + half, n - half);
}

void KERNEL(matmul_forward_pairwise)(Context *ctx, float *out, const float *x, Weight weight,
                                     const float *bias, int M, int K, int O)
{
    size_t k = (size_t)K, o_count = (size_t)O;
    const float *w = widened(ctx, weight, o_count * k);
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (int m = 0; m < M; m++) {
        for (size_t o = 0; o < o_count; o++) {
            out[(size_t)m * o_count + o] = dot_pairwise(x + (size_t)m * k, w + o * k, k) +
                                           (bias ? bias[o] : 0.0f);
        }
    }
}

void KERNEL(matmul_forward_openblas)(Context *ctx, float *out, const float *x, Weight weight,
                                     const float *bias, int M, int K, int O)
{
    /* OpenBLAS has threads of its own */
    const float *w = widened(ctx, weight, (size_t)O * (size_t)K);
    for (int m = 0; m < M; m++) {
        for (int o = 0; o < O; o++) {
            out[(size_t)m * (size_t)O + (size_t)o] = bias ? bias[o] : 0.0f;
        }
    }
    openblas_sgemm(101, 111, 112, M, O, K, 1.0f, x, K, w, K, 1.0f, out, O);
}

void KERNEL(matmul_backward_input_float64)(Context *ctx, float *dx, const float *dout,
                                           Weight weight, int M, int K, int O, int accumulate)
{
    size_t k = (size_t)K, o = (size_t)O;
    product_in_double(ctx, dx, dout, o, 1, widened(ctx, weight, o * k), (size_t)M, k, o,
                      accumulate ? START_C : START_ZERO, NULL);
}

void KERNEL(matmul_backward_weight_float64)(Context *ctx, float *dweight, const float *dout,
                                            const float *x, int M, int K, int O)
{
    size_t k = (size_t)K, o = (size_t)O;
    product_in_double(ctx, dweight, dout, 1, o, x, o, k, (size_t)M, START_C, NULL);
}

void KERNEL(bias_backward_float64)(Context *ctx, float *dbias, const float *dout,
                                   const int *cu_seqlens, int B, int N, int O)
{
    (void)cu_seqlens, (void)B; /* one sum over all tokens */
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (int o = 0; o < O; o++) {
        double sum = (double)dbias[o];
        for (int n = 0; n < N; n++) {
            sum += (double)dout[(size_t)n * (size_t)O + (size_t)o];
        }
        dbias[o] = (float)sum;
    }
}

void KERNEL(bias_backward_chain)(Context *ctx, float *dbias, const float *dout,
                                 const int *cu_seqlens, int B, int N, int O)
{
    (void)cu_seqlens, (void)B; /* one sum over all tokens */
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (int o = 0; o < O; o++) {
        float sum = 0.0f;
        for (int n = 0; n < N; n++) {
            sum += dout[(size_t)n * (size_t)O + (size_t)o];
        }
        dbias[o] += sum;
    }
}

/* The product in runs of neighbouring k that come in a drawn order; each goes on from C. */
static void product_shuffled(Context *ctx, float *c, Strided a, Strided b, size_t M, size_t N,
                             size_t K, GemmStart start, const float *bias, OrderedOp op)
{
    enum { RUNS = 8 };
    Philox drawn = order_draw(ctx, op);
    size_t runs = size_max(size_min(K, RUNS), 1);
    Order order = order_of(&drawn, runs);
    for (size_t i = 0; i < runs; i++) {
        size_t run = order_at(&order, i), first = K * run / runs, end = K * (run + 1) / runs;
        gemm(ctx, c, N, strided_from(a, first * a.col), strided_from(b, first * b.row), M, N,
             end - first, i ? START_C : start, bias);
    }
}

void KERNEL(matmul_forward_shuffled)(Context *ctx, float *out, const float *x, Weight weight,
                                     const float *bias, int M, int K, int O)
{
    size_t m = (size_t)M, k = (size_t)K, o = (size_t)O;
    product_shuffled(ctx, out, strided(x, k, 1), (Strided){weight, 1, k}, m, o, k,
                     bias ? START_BIAS : START_ZERO, bias, ORDER_MATMUL_FORWARD);
}

void KERNEL(matmul_backward_input_shuffled)(Context *ctx, float *dx, const float *dout,
                                            Weight weight, int M, int K, int O, int accumulate)
{
    size_t m = (size_t)M, k = (size_t)K, o = (size_t)O;
    product_shuffled(ctx, dx, strided(dout, o, 1), (Strided){weight, k, 1}, m, k, o,
                     accumulate ? START_C : START_ZERO, NULL, ORDER_MATMUL_INPUT);
}

void KERNEL(matmul_backward_weight_shuffled)(Context *ctx, float *dweight, const float *dout,
                                             const float *x, int M, int K, int O)
{
    size_t m = (size_t)M, k = (size_t)K, o = (size_t)O;
    product_shuffled(ctx, dweight, strided(dout, 1, o), strided(x, k, 1), o, k, m, START_C, NULL,
                     ORDER_MATMUL_WEIGHT);
}

void KERNEL(bias_backward_shuffled)(Context *ctx, float *dbias, const float *dout,
                                    const int *cu_seqlens, int B, int N, int O)
{
    (void)N;
    Philox drawn = order_draw(ctx, ORDER_BIAS);
    Order order = order_of(&drawn, (size_t)B);
    for (int i = 0; i < B; i++) { /* sequence by sequence, in a drawn order */
        Tokens t = sequence_tokens(cu_seqlens, order_at(&order, (size_t)i));
        int one[2] = {0, t.count};
        KERNEL(bias_backward)(ctx, dbias, dout + t.first * (size_t)O, one, 1, t.count, O);
    }
}
