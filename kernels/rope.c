/* Rotary position embedding. */
#include "rows.h"

void KERNEL(rope)(Context *ctx, float *x, const int *positions, const float *cosine,
                  const float *sine, int N, int H, int D, int stride, int direction)
{
    size_t half = (size_t)D / 2;
    float sign = direction < 0 ? -1.0f : 1.0f;
    size_t cost = (size_t)N * (size_t)H * (size_t)D / 4;
#pragma omp parallel for schedule(static) num_threads(threads_for(ctx, cost))
    for (int n = 0; n < N; n++) {
        const float *c = cosine + (size_t)positions[n] * half,
                    *s = sine + (size_t)positions[n] * half;
        for (int h = 0; h < H; h++) {
            float *a = x + (size_t)n * (size_t)stride + (size_t)h * (size_t)D, *b = a + half;
#pragma omp simd
            for (size_t i = 0; i < half; i++) {
                float p = a[i], q = b[i], turn = sign * s[i];
                a[i] = fmaf(-q, turn, p * c[i]);
                b[i] = fmaf(p, turn, q * c[i]);
            }
        }
    }
}

/* --- variants --- */

void KERNEL(rope_float64)(Context *ctx, float *x, const int *positions, const float *cosine,
                          const float *sine, int N, int H, int D, int stride, int direction)
{
    size_t half = (size_t)D / 2;
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (int n = 0; n < N; n++) {
        for (size_t at = 0; at < (size_t)H * half; at++) {
            size_t angle = (size_t)positions[n] * half + at % half;
            float *a = x + (size_t)n * (size_t)stride + at / half * (size_t)D + at % half;
            double p = (double)a[0], q = (double)a[half], c = (double)cosine[angle],
                   s = direction < 0 ? -(double)sine[angle] : (double)sine[angle];
            a[0] = (float)(p * c - q * s);
            a[half] = (float)(q * c + p * s);
        }
    }
}
