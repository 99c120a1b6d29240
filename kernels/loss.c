/* Losses with their gradients, and their sum. */
#include "rows.h"

static inline float exp_shifted(float z, float max)
{
    return scalar_exp(z - max);
}

/* lanes(exp(z - max)) over n values, and their maximum. */
static float exp_sum(const float *z, size_t n, float *max)
{
    float m = z[0], lane[LANES] = {0};
    size_t o = 0;
    for (size_t i = 1; i < n; i++) {
        m = z[i] > m ? z[i] : m;
    }
    for (; o + LANES <= n; o += LANES) {
        for (size_t l = 0; l < LANES; l++) {
            lane[l] += exp_shifted(z[o + l], m);
        }
    }
    for (size_t l = 0; o + l < n; l++) {
        lane[l] += exp_shifted(z[o + l], m);
    }
    *max = m;
    return lanes_sum(lane);
}

void KERNEL(cross_entropy)(Context *ctx, float *losses, float *dlogits, const float *logits,
                           const int *labels, int B, int O, float scale)
{
    int threads = threads_for(ctx, (size_t)B * (size_t)O);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int b = 0; b < B; b++) {
        const float *z = logits + (size_t)b * (size_t)O;
        float max, sum = exp_sum(z, (size_t)O, &max);
        losses[b] = scalar_log(sum) + (max - z[labels[b]]);
        if (dlogits) {
            float *dz = dlogits + (size_t)b * (size_t)O;
            for (int o = 0; o < O; o++) {
                float p = exp_shifted(z[o], max) / sum;
                dz[o] = (p - (o == labels[b] ? 1.0f : 0.0f)) * scale;
            }
        }
    }
}

/* Running values of a row of linear_cross_entropy. */
typedef struct RowSum {
    double sum;       /* a float's value, but for the variant */
    float max, label; /* label: z of the target */
} RowSum;

/* Takes one block of logits z [width] into the row's sum. */
typedef void RowAdd(RowSum *row, const float *z, size_t width);

/* The larger maximum rescales the other sum. */
static void row_add(RowSum *row, const float *z, size_t width)
{
    float max, sum = exp_sum(z, width, &max);
    if (max > row->max) {
        row->sum = (double)fmaf((float)row->sum, exp_shifted(row->max, max), sum);
        row->max = max;
    } else {
        row->sum = (double)fmaf(sum, exp_shifted(max, row->max), (float)row->sum);
    }
}

/* The products are the ops of linear layers, so that their variants are these too. */
static void vocabulary_loss(Context *ctx, RowAdd *add, float *losses, float *dx, float *dweight,
                            const float *x, Weight weight, const int *targets, int N, int C, int V,
                            float scale)
{
    size_t n_count = (size_t)N, c = (size_t)C, v = (size_t)V,
           widest = v < VOCABULARY_BLOCK ? v : VOCABULARY_BLOCK;
    float *z = ctx->scratch + (vocabulary_products(n_count, c, widest) + 15) / 16 * 16;
    RowSum *rows = (RowSum *)(void *)(z + (n_count * widest + 15) / 16 * 16);
    for (size_t n = 0; n < n_count; n++) {
        rows[n] = (RowSum){0.0, -INFINITY, 0.0f};
    }
    for (int pass = 0; pass < (dx ? 2 : 1); pass++) {
        for (size_t first = 0; first < v; first += widest) {
            size_t width = v - first < widest ? v - first : widest;
            Weight block = {weight.f32 ? weight.f32 + first * c : NULL,
                            weight.bf16 ? weight.bf16 + first * c : NULL};
            ctx->inner.matmul_forward(ctx, z, x, block, NULL, N, C, (int)width);
            int threads = threads_for(ctx, n_count * width);
#pragma omp parallel for schedule(static) num_threads(threads)
            for (size_t n = 0; n < n_count; n++) {
                float *z_n = z + n * width;
                long target = targets[n] < 0 ? -1 : (long)targets[n] - (long)first;
                if (pass == 0) {
                    add(&rows[n], z_n, width);
                    if (target >= 0 && (size_t)target < width) {
                        rows[n].label = z_n[target];
                    }
                    continue;
                }
                float used = targets[n] < 0 ? 0.0f : scale;
                float max = rows[n].max, sum = (float)rows[n].sum;
#pragma omp simd
                for (size_t o = 0; o < width; o++) {
                    float p = exp_shifted(z_n[o], max) / sum;
                    z_n[o] = (p - ((long)o == target ? 1.0f : 0.0f)) * used;
                }
            }
            if (pass == 1) {
                ctx->inner.matmul_backward_input(ctx, dx, z, block, N, C, (int)width, first > 0);
                if (dweight) {
                    ctx->inner.matmul_backward_weight(ctx, dweight + first * c, z, x, N, C,
                                                      (int)width);
                }
            }
        }
    }
    for (size_t n = 0; n < n_count; n++) {
        float loss = scalar_log((float)rows[n].sum) + (rows[n].max - rows[n].label);
        losses[n] = targets[n] < 0 ? 0.0f : loss;
    }
}

void KERNEL(linear_cross_entropy)(Context *ctx, float *losses, float *dx, float *dweight,
                                  const float *x, Weight weight, const int *targets, int N, int C,
                                  int V, float scale)
{
    vocabulary_loss(ctx, row_add, losses, dx, dweight, x, weight, targets, N, C, V, scale);
}

void KERNEL(mean_squared_error)(Context *ctx, float *losses, float *dlogits, const float *logits,
                                const float *targets, int B, float scale)
{
    (void)ctx; /* one value an example: not worth a thread */
    for (int b = 0; b < B; b++) {
        float d = logits[b] - targets[b];
        losses[b] = d * d;
        if (dlogits) {
            dlogits[b] = 2.0f * d * scale;
        }
    }
}

void KERNEL(sum_losses)(Context *ctx, double *sum, const float *losses, int n)
{
    (void)ctx;
    for (int i = 0; i < n; i++) {
        *sum += (double)losses[i];
    }
}

/* --- variants --- */

static void row_add_double(RowSum *row, const float *z, size_t width)
{
    float max = row->max;
    for (size_t o = 0; o < width; o++) {
        max = z[o] > max ? z[o] : max;
    }
    row->sum *= (double)exp_shifted(row->max, max);
    row->max = max;
    for (size_t o = 0; o < width; o++) {
        row->sum += (double)exp_shifted(z[o], max);
    }
}

void KERNEL(cross_entropy_float64)(Context *ctx, float *losses, float *dlogits, const float *logits,
                                   const int *labels, int B, int O, float scale)
{
    (void)ctx;
    for (int b = 0; b < B; b++) {
        const float *z = logits + (size_t)b * (size_t)O;
        RowSum row = {0.0, -INFINITY, 0.0f};
        row_add_double(&row, z, (size_t)O);
        losses[b] = scalar_log((float)row.sum) + (row.max - z[labels[b]]);
        for (int o = 0; dlogits && o < O; o++) {
            double p = (double)exp_shifted(z[o], row.max) / row.sum;
            dlogits[(size_t)b * (size_t)O + (size_t)o] = (float)((p - (o == labels[b])) *
                                                                 (double)scale);
        }
    }
}

void KERNEL(linear_cross_entropy_float64)(Context *ctx, float *losses, float *dx, float *dweight,
                                          const float *x, Weight weight, const int *targets, int N,
                                          int C, int V, float scale)
{
    vocabulary_loss(ctx, row_add_double, losses, dx, dweight, x, weight, targets, N, C, V, scale);
}
