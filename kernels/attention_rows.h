/* What attention.c and attention_block.c share: which rows a sequence and head have, and what becomes
 * of a row of scores. */
#ifndef ATTENTION_ROWS_H
#define ATTENTION_ROWS_H

#include "rows.h"

static inline size_t padded(size_t n)
{
    return (n + LANES - 1) / LANES * LANES;
}

/* Keys that the query at this row of the sequence sees. */
static inline size_t keys_seen(const AttentionShape *shape, int b, size_t i, size_t keys)
{
    size_t limit = (size_t)shape->q_position[b] + i + 1;
    return shape->causal && limit < keys ? limit : keys;
}

static inline float row_max(const float *x, size_t n)
{
    float lane[LANES];
    for (int l = 0; l < LANES; l++) {
        lane[l] = -INFINITY;
    }
    size_t j = 0;
    for (; j + LANES <= n; j += LANES) {
        for (int l = 0; l < LANES; l++) {
            lane[l] = x[j + (size_t)l] > lane[l] ? x[j + (size_t)l] : lane[l];
        }
    }
    for (int l = 0; j + (size_t)l < n; l++) {
        lane[l] = x[j + (size_t)l] > lane[l] ? x[j + (size_t)l] : lane[l];
    }
    float max = lane[0];
    for (int l = 1; l < LANES; l++) {
        max = lane[l] > max ? lane[l] : max;
    }
    return max;
}

/* One sequence and head: where its rows are. */
typedef struct Head {
    int b, h, kv;
    size_t q_row, k_row;  /* first rows in q, out and in k, v */
    size_t queries, keys; /* how many */
} Head;

static inline Head head_at(const AttentionShape *shape, int b, int h)
{
    return (Head){.b = b,
                  .h = h,
                  .kv = h / (shape->H / shape->K),
                  .q_row = (size_t)shape->cu_q[b],
                  .k_row = (size_t)shape->cu_k[b],
                  .queries = (size_t)(shape->cu_q[b + 1] - shape->cu_q[b]),
                  .keys = (size_t)(shape->cu_k[b + 1] - shape->cu_k[b])};
}

/* For threads_for: passes over the scores, and products of depth D with as many packed operands. */
static inline size_t attention_cost(const AttentionShape *shape, size_t products)
{
    size_t cost = 0, H = (size_t)shape->H;
    for (int b = 0; b < shape->B; b++) {
        Head head = head_at(shape, b, 0);
        cost += H * head.queries * head.keys * (1 + products * (size_t)shape->D / 64);
    }
    return cost;
}

/* The first query of the sequence that sees key j, or all of them if none does. */
static inline size_t first_to_see(const AttentionShape *shape, int b, size_t j, size_t queries)
{
    size_t position = (size_t)shape->q_position[b];
    size_t first = shape->causal && j > position ? j - position : 0;
    return first < queries ? first : queries;
}

/* A part of the scratch, 64-byte aligned. */
static inline float *take(float **scratch, size_t floats)
{
    float *part = *scratch;
    *scratch += (floats + 15) / 16 * 16;
    return part;
}

/* x += 0: a sum that ends in -0 becomes +0. */
static inline void clear_sign_of_zero(float *x, size_t stride, size_t rows, size_t D)
{
    for (size_t i = 0; i < rows; i++) {
        for (size_t d = 0; d < D; d++) {
            x[i * stride + d] += 0.0f;
        }
    }
}

/* The n scores of a query, before scale, become its dropped weights; their maximum, and the returned
 * one over their sum. */
static inline float row_forward(float *e, size_t n, float scale, float *max,
                                const DropoutSite *dropout, uint32_t position, uint32_t head,
                                uint32_t slot)
{
    for (size_t j = 0; j < n; j++) {
        e[j] *= scale;
    }
    float m = row_max(e, n);
    for (size_t j = 0; j < n; j++) {
        e[j] = scalar_exp(e[j] - m);
    }
    float r = 1.0f / row_sum(e, n);
    *max = m + 0.0f;
    if (dropout->p > 0.0f) {
        row_dropout(e, e, n, dropout, position, head, slot);
    }
    return r;
}

/* One row of the backward pass: s, the scores before scale, becomes the dropped p, and dp becomes
 * ds, over n keys that the query sees, from one on where a block of dropout words begins. */
static inline void row_backward(float *restrict s, float *restrict dp, size_t first, size_t n,
                                float max, float rsum, float mean, float scale,
                                const DropoutSite *dropout, uint32_t position, uint32_t head,
                                uint32_t slot)
{
    uint32_t words[DROPOUT_BLOCK], threshold = dropout_threshold(dropout->p);
    float kept = 1.0f / (1.0f - dropout->p);
    int drops = dropout->p > 0.0f;
    for (size_t block = 0; block < n; block += DROPOUT_BLOCK) {
        size_t width = n - block < DROPOUT_BLOCK ? n - block : DROPOUT_BLOCK;
        float *s_b = s + block, *dp_b = dp + block;
        if (drops) { /* words are the dearest part: drawn once for both */
            dropout_block(words, first + block, dropout, position, head, slot);
            for (size_t j = 0; j < width; j++) {
                dp_b[j] = words[j] >= threshold ? dp_b[j] * kept : 0.0f;
            }
        }
        for (size_t j = 0; j < width; j++) {
            s_b[j] = scalar_exp(s_b[j] * scale - max) * rsum;
        }
        for (size_t j = 0; j < width; j++) {
            dp_b[j] = s_b[j] * (dp_b[j] - mean) * scale;
        }
        for (size_t j = 0; j < width && drops; j++) {
            s_b[j] = words[j] >= threshold ? s_b[j] * kept : 0.0f;
        }
    }
}

#endif
