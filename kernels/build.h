/* Names of one build. Every kernel file is compiled once per build with -DBUILD=scalar, avx2 or
 * avx512 and gives its functions that suffix: KERNEL(add) is add_avx512. */
#ifndef BUILD_H
#define BUILD_H

#include "weight.h"

#define BUILD_JOIN2(a, b) a##_##b
#define BUILD_JOIN(a, b)  BUILD_JOIN2(a, b)
#define KERNEL(name)      BUILD_JOIN(name, BUILD)

#define OP(name, parameters, ...) void KERNEL(name) parameters;
#include "ops.def"
#undef OP

enum { LANES = 32 };

/* How many threads an op gets. cost is about what one thread of a machine with AVX-512 takes for
 * it, in nanoseconds: a fourth to a whole one for an element of a pass, a 64th for an fma of a
 * product. No bit depends on it. */
static inline int threads_for(Context *ctx, size_t cost)
{
    return ctx->threads == 1 ? 1 : pace_threads(&ctx->pace, ctx->threads, cost);
}

/* lane[l] += lane[l + 16], 8, 4, 2, 1: what a warp does with __shfl_xor_sync. */
static inline float lanes_sum(float lane[LANES])
{
    for (int half = LANES / 2; half > 0; half /= 2) {
        for (int l = 0; l < half; l++) {
            lane[l] += lane[l + half];
        }
    }
    return lane[0];
}

/* lanes over a row of n values, and over the products of two rows. */
static inline float row_sum(const float *x, size_t n)
{
    float lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t l = 0; l < LANES; l++) {
            lane[l] += x[i + l];
        }
    }
    for (size_t l = 0; i + l < n; l++) {
        lane[l] += x[i + l];
    }
    return lanes_sum(lane);
}

static inline float row_dot(const float *a, const float *b, size_t n)
{
    float lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t l = 0; l < LANES; l++) {
            lane[l] = fmaf(a[i + l], b[i + l], lane[l]);
        }
    }
    for (size_t l = 0; i + l < n; l++) {
        lane[l] = fmaf(a[i + l], b[i + l], lane[l]);
    }
    return lanes_sum(lane);
}

/* out[i] = kept ? x[i] / (1 - p) : 0 for a row of n values; out may be x. */
static inline void row_dropout(float *out, const float *x, size_t n, const DropoutSite *site,
                               uint32_t position, uint32_t head, uint32_t slot)
{
    uint32_t threshold = dropout_threshold(site->p);
    float scale = 1.0f / (1.0f - site->p);
    for (size_t block = 0; block < n; block += DROPOUT_BLOCK) {
        uint32_t words[DROPOUT_BLOCK];
        for (uint32_t l = 0; l < DROPOUT_LANES; l++) {
            Philox p = dropout_words(site, (uint32_t)(block / 4) + l, position, head, slot);
            for (int w = 0; w < 4; w++) {
                words[w * DROPOUT_LANES + (int)l] = p.word[w];
            }
        }
        size_t width = n - block < DROPOUT_BLOCK ? n - block : DROPOUT_BLOCK;
#pragma omp simd
        for (size_t i = 0; i < width; i++) {
            out[block + i] = words[i] >= threshold ? x[block + i] * scale : 0.0f;
        }
    }
}

#endif
