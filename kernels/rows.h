/* What the kernels of the CPU share: threads for an op, passes over elements, rows of 32 lanes. */
#ifndef ROWS_H
#define ROWS_H

#include "build.h"
#include "weight.h"

/* How many threads an op gets. cost is about what one thread of a machine with AVX-512 takes for
 * it, in nanoseconds: a fourth to a whole one for an element of a pass, a 64th for an fma of a
 * product. No bit depends on it. */
static inline int threads_for(Context *ctx, size_t cost)
{
    return ctx->threads == 1 ? 1 : pace_threads(&ctx->pace, ctx->threads, cost);
}

/* Elements a thread takes at a time. */
enum { CHUNK = 4096 };

/* Of hash.c, for an op that hashes what it has just written: the hash of a block of at most HASH_BLOCK
 * words, the place-th; key[j] = hash_key(j). */
uint64_t KERNEL(block_hash)(const uint32_t *words, size_t count, uint64_t place,
                            const uint64_t key[LANES]);

/* Runs body for i in [begin, end) of n elements, in chunks over threads. simd says that elements do
 * not depend on each other: without it a pass in place (out is x) would not be vectorized. */
#define FOR_EACH(n, body)                                                                          \
    _Pragma("omp parallel for schedule(static) num_threads(threads_for(ctx, (n) / 2))")            \
    for (size_t begin = 0; begin < (n); begin += CHUNK)                                            \
    {                                                                                              \
        size_t end = (n)-begin < CHUNK ? (n) : begin + CHUNK;                                      \
        _Pragma("omp simd") for (size_t i = begin; i < end; i++)                                   \
        {                                                                                          \
            body;                                                                                  \
        }                                                                                          \
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

/* For variants: the chain of products of two rows with these steps, in double from start. */
static inline float dot_double(double start, const float *a, size_t a_step, const float *b,
                               size_t b_step, size_t n)
{
    double sum = start;
    for (size_t i = 0; i < n; i++) {
        sum = fma((double)a[i * a_step], (double)b[i * b_step], sum);
    }
    return (float)sum;
}

/* The words of elements block .. block + DROPOUT_BLOCK - 1 of a row. */
static inline void dropout_block(uint32_t words[DROPOUT_BLOCK], size_t block,
                                 const DropoutSite *site, uint32_t position, uint32_t head,
                                 uint32_t slot)
{
    for (uint32_t l = 0; l < DROPOUT_LANES; l++) {
        Philox p = dropout_words(site, (uint32_t)(block / 4) + l, position, head, slot);
        for (int w = 0; w < 4; w++) {
            words[w * DROPOUT_LANES + (int)l] = p.word[w];
        }
    }
}

/* out[i] = kept ? x[i] / (1 - p) : 0 for a row of n values; out may be x. */
static inline void row_dropout(float *out, const float *x, size_t n, const DropoutSite *site,
                               uint32_t position, uint32_t head, uint32_t slot)
{
    uint32_t threshold = dropout_threshold(site->p);
    float scale = 1.0f / (1.0f - site->p);
    for (size_t block = 0; block < n; block += DROPOUT_BLOCK) {
        uint32_t words[DROPOUT_BLOCK];
        dropout_block(words, block, site, position, head, slot);
        size_t width = n - block < DROPOUT_BLOCK ? n - block : DROPOUT_BLOCK;
#pragma omp simd
        for (size_t i = 0; i < width; i++) {
            out[block + i] = words[i] >= threshold ? x[block + i] * scale : 0.0f;
        }
    }
}

#endif
