/* Studied alternatives of single ops: other orders or precisions of the same sums. Written to be
 * read, not to be fast: they answer "would it have mattered?". Each is compiled once, for the
 * baseline, and gives the same bits everywhere unless its class in variants.def says otherwise. */
#include "variants.h"
#include "weight.h"

#include <dlfcn.h>
#include <string.h>

/* dot(a, b) over n steps with the given strides, in double from start */
static float dot_double(double start, const float *a, size_t a_step, const float *b, size_t b_step,
                        size_t n)
{
    double sum = start;
    for (size_t i = 0; i < n; i++) {
        sum = fma((double)a[i * a_step], (double)b[i * b_step], sum);
    }
    return (float)sum;
}

/* [O, K] in float32: the weight itself, or its copy in the scratch. */
static const float *widened(const Context *ctx, Weight weight, size_t n)
{
    if (weight.f32) {
        return weight.f32;
    }
    weight_row(ctx->scratch, weight, 0, n);
    return ctx->scratch;
}

static void matmul_forward_float64(Context *ctx, float *out, const float *x, Weight weight,
                                   const float *bias, int M, int K, int O)
{
    size_t k = (size_t)K, o_count = (size_t)O;
    const float *w = widened(ctx, weight, o_count * k);
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (int m = 0; m < M; m++) {
        for (size_t o = 0; o < o_count; o++) {
            out[(size_t)m * o_count + o] = dot_double(bias ? bias[o] : 0.0, x + (size_t)m * k, 1,
                                                      w + o * k, 1, k);
        }
    }
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

static void matmul_forward_pairwise(Context *ctx, float *out, const float *x, Weight weight,
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

/* cblas_sgemm's type, so that its header is not needed: order 101 row-major, 111 no transpose, 112
 * transpose. */
typedef void (*Sgemm)(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                      const float *a, int lda, const float *b, int ldb, float beta, float *c,
                      int ldc);
static Sgemm openblas_sgemm; /* set once by variants_open_openblas, before any op runs */

int variants_open_openblas(Error *error)
{
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "cblas_sgemm") : NULL;
    if (!symbol) {
        return error_set(error, 69,
                         "kernel variant openblas: libopenblas.so.0 cannot be loaded; install it "
                         "with: apt install libopenblas0");
    }
    memcpy(&openblas_sgemm, &symbol, sizeof symbol);
    return 0;
}

static void matmul_forward_openblas(Context *ctx, float *out, const float *x, Weight weight,
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

static void matmul_backward_input_float64(Context *ctx, float *dx, const float *dout, Weight weight,
                                          int M, int K, int O, int accumulate)
{
    size_t k_count = (size_t)K, o = (size_t)O;
    const float *w = widened(ctx, weight, o * k_count);
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (int m = 0; m < M; m++) {
        for (size_t k = 0; k < k_count; k++) {
            float *d = dx + (size_t)m * k_count + k;
            *d = dot_double(accumulate ? *d : 0.0, dout + (size_t)m * o, 1, w + k, k_count, o);
        }
    }
}

static void matmul_backward_weight_float64(Context *ctx, float *dweight, const float *dout,
                                           const float *x, int M, int K, int O)
{
    size_t k_count = (size_t)K, o_count = (size_t)O;
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (int o = 0; o < O; o++) {
        for (size_t k = 0; k < k_count; k++) {
            float *d = dweight + (size_t)o * k_count + k;
            *d = dot_double(*d, dout + o, o_count, x + k, k_count, (size_t)M);
        }
    }
}

static void layernorm_forward_float64(Context *ctx, float *out, float *mean, float *rstd,
                                      const float *x, const float *weight, const float *bias, int N,
                                      int C, float eps)
{
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (int n = 0; n < N; n++) {
        const float *x_n = x + (size_t)n * (size_t)C;
        double sum = 0.0, squares = 0.0;
        for (int c = 0; c < C; c++) {
            sum += (double)x_n[c];
        }
        double m = sum / C;
        for (int c = 0; c < C; c++) {
            squares = fma((double)x_n[c] - m, (double)x_n[c] - m, squares);
        }
        mean[n] = (float)m;
        rstd[n] = (float)(1.0 / sqrt(squares / C + (double)eps));
        for (int c = 0; c < C; c++) {
            out[(size_t)n * (size_t)C + (size_t)c] = fmaf((x_n[c] - mean[n]) * rstd[n], weight[c],
                                                          bias[c]);
        }
    }
}

static void layernorm_forward_serial(Context *ctx, float *out, float *mean, float *rstd,
                                     const float *x, const float *weight, const float *bias, int N,
                                     int C, float eps)
{
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (int n = 0; n < N; n++) {
        const float *x_n = x + (size_t)n * (size_t)C;
        float sum = 0.0f, squares = 0.0f;
        for (int c = 0; c < C; c++) {
            sum += x_n[c];
        }
        float m = sum / (float)C;
        for (int c = 0; c < C; c++) {
            squares = fmaf(x_n[c] - m, x_n[c] - m, squares);
        }
        mean[n] = m;
        rstd[n] = 1.0f / sqrtf(squares / (float)C + eps);
        for (int c = 0; c < C; c++) {
            out[(size_t)n * (size_t)C + (size_t)c] = fmaf((x_n[c] - m) * rstd[n], weight[c],
                                                          bias[c]);
        }
    }
}

static void layernorm_backward_float64(Context *ctx, float *dx, float *dweight, float *dbias,
                                       const float *dout, const float *x, const float *mean,
                                       const float *rstd, const float *weight,
                                       const int *cu_seqlens, int B, int N, int C)
{
    (void)cu_seqlens, (void)B; /* one sum over all tokens */
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (int c = 0; c < C; c++) {
        double weight_sum = (double)dweight[c], bias_sum = (double)dbias[c];
        for (int n = 0; n < N; n++) {
            size_t at = (size_t)n * (size_t)C + (size_t)c;
            weight_sum = fma((double)dout[at], ((double)x[at] - (double)mean[n]) * (double)rstd[n],
                             weight_sum);
            bias_sum += (double)dout[at];
        }
        dweight[c] = (float)weight_sum;
        dbias[c] = (float)bias_sum;
    }
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (int n = 0; n < N; n++) {
        const float *dout_n = dout + (size_t)n * (size_t)C, *x_n = x + (size_t)n * (size_t)C;
        double sum = 0.0, dot = 0.0, m = (double)mean[n], r = (double)rstd[n];
        for (int c = 0; c < C; c++) {
            double g = (double)dout_n[c] * (double)weight[c];
            sum += g;
            dot = fma(g, ((double)x_n[c] - m) * r, dot);
        }
        for (int c = 0; c < C; c++) {
            double g = (double)dout_n[c] * (double)weight[c];
            dx[(size_t)n * (size_t)C + (size_t)c] =
                (float)(r * (g - sum / C - ((double)x_n[c] - m) * r * dot / C));
        }
    }
}

static void attention_forward_float64(Context *ctx, float *out, float *max, float *rsum,
                                      const float *q, const float *k, const float *v,
                                      const AttentionShape *shape, const DropoutSite *dropout)
{
    size_t D = (size_t)shape->D, H = (size_t)shape->H;
    uint32_t threshold = dropout_threshold(dropout->p);
#pragma omp parallel for schedule(dynamic) num_threads(ctx->threads)
    for (int task = 0; task < shape->B * shape->H; task++) {
        int b = task / shape->H, h = task % shape->H, kv = h / (shape->H / shape->K);
        int keys = shape->cu_k[b + 1] - shape->cu_k[b];
        for (int i = shape->cu_q[b]; i < shape->cu_q[b + 1]; i++) {
            const float *q_i = q + (size_t)i * (size_t)shape->q_stride + (size_t)h * D;
            uint32_t position = (uint32_t)(shape->q_position[b] + i - shape->cu_q[b]);
            int n = shape->causal && (int)position + 1 < keys ? (int)position + 1 : keys;
            float *out_i = out + (size_t)i * H * D + (size_t)h * D;
            float m = -INFINITY;
            double sum = 0.0;
            /* Three passes over the keys: the largest score, the sum, the mixture. */
            for (int pass = 0; pass < 3; pass++) {
                double mixture[512] = {0};
                for (int j = 0; j < n; j++) {
                    const float *k_j = k + (size_t)(shape->cu_k[b] + j) * (size_t)shape->kv_stride +
                                       (size_t)kv * D;
                    float s = dot_double(0.0, q_i, 1, k_j, 1, D) * shape->scale;
                    if (pass == 0) {
                        m = s > m ? s : m;
                    } else if (pass == 1) {
                        sum += (double)scalar_exp(s - m);
                    } else {
                        double p = (double)scalar_exp(s - m) / sum;
                        if (dropout->p > 0.0f) {
                            uint32_t e = (uint32_t)j,
                                     group = e / DROPOUT_BLOCK * DROPOUT_LANES + e % DROPOUT_LANES;
                            Philox words = dropout_words(dropout, group, position, (uint32_t)h,
                                                         (uint32_t)shape->slot[b]);
                            p = words.word[e / DROPOUT_LANES % 4] >= threshold
                                    ? p / (1.0 - (double)dropout->p)
                                    : 0.0;
                        }
                        const float *v_j = v + (k_j - k);
                        for (size_t d = 0; d < D && d < 512; d++) {
                            mixture[d] = fma(p, (double)v_j[d], mixture[d]);
                        }
                    }
                }
                for (size_t d = 0; pass == 2 && d < D && d < 512; d++) {
                    out_i[d] = (float)mixture[d];
                }
            }
            max[(size_t)i * H + (size_t)h] = m;
            rsum[(size_t)i * H + (size_t)h] = (float)(1.0 / sum);
        }
    }
}

static void bias_backward_float64(Context *ctx, float *dbias, const float *dout,
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

static void bias_backward_chain(Context *ctx, float *dbias, const float *dout,
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

static void embedding_backward_reverse(Context *ctx, float *dword, float *dposition, float *dtype,
                                       const float *dout, const int *tokens, const int *positions,
                                       const int *types, int N, int C, int padding,
                                       int position_padding)
{
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (int c = 0; c < C; c++) {
        for (int n = N - 1; n >= 0; n--) {
            float d = dout[(size_t)n * (size_t)C + (size_t)c];
            if (tokens[n] != padding) {
                dword[(size_t)tokens[n] * (size_t)C + (size_t)c] += d;
            }
            if (positions[n] != position_padding) {
                dposition[(size_t)positions[n] * (size_t)C + (size_t)c] += d;
            }
            if (dtype) {
                dtype[(size_t)types[n] * (size_t)C + (size_t)c] += d;
            }
        }
    }
}

static void cross_entropy_float64(Context *ctx, float *losses, float *dlogits, const float *logits,
                                  const int *labels, int B, int O, float scale)
{
    (void)ctx;
    for (int b = 0; b < B; b++) {
        const float *z = logits + (size_t)b * (size_t)O;
        float max = z[0];
        double sum = 0.0;
        for (int o = 1; o < O; o++) {
            max = z[o] > max ? z[o] : max;
        }
        for (int o = 0; o < O; o++) {
            sum += (double)scalar_exp(z[o] - max);
        }
        losses[b] = scalar_log((float)sum) + (max - z[labels[b]]);
        for (int o = 0; dlogits && o < O; o++) {
            double p = (double)scalar_exp(z[o] - max) / sum;
            dlogits[(size_t)b * (size_t)O + (size_t)o] = (float)((p - (o == labels[b])) *
                                                                 (double)scale);
        }
    }
}

static void sum_squares_float64(Context *ctx, float *partial, const float *x, size_t n)
{
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (size_t group = 0; group < (n + SUM_GROUP - 1) / SUM_GROUP; group++) {
        size_t count = n - group * SUM_GROUP < SUM_GROUP ? n - group * SUM_GROUP : SUM_GROUP;
        partial[group] = dot_double(0.0, x + group * SUM_GROUP, 1, x + group * SUM_GROUP, 1, count);
    }
}

#define VARIANT(op, variant, class, what) const op##_op op##_##variant##_variant = op##_##variant;
#include "variants.def"
#undef VARIANT
