/* Losses with their gradients, and the sums of squares of the gradient norm. */
#include "build.h"

static inline float exp_shifted(float z, float max)
{
    return scalar_exp(z - max);
}

void KERNEL(cross_entropy)(Context *ctx, float *losses, float *dlogits, const float *logits,
                           const int *labels, int B, int O, float scale)
{
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (int b = 0; b < B; b++) {
        const float *z = logits + (size_t)b * (size_t)O;
        float max = z[0], lane[LANES] = {0};
        for (int o = 1; o < O; o++) {
            max = z[o] > max ? z[o] : max;
        }
        for (int o = 0; o < O; o++) {
            lane[o % LANES] += exp_shifted(z[o], max);
        }
        float sum = lanes_sum(lane);
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

void KERNEL(sum_squares)(Context *ctx, float *partial, const float *x, size_t n)
{
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (size_t group = 0; group < (n + SUM_GROUP - 1) / SUM_GROUP; group++) {
        const float *x_g = x + group * SUM_GROUP;
        size_t count = n - group * SUM_GROUP < SUM_GROUP ? n - group * SUM_GROUP : SUM_GROUP;
        partial[group] = row_dot(x_g, x_g, count);
    }
}
