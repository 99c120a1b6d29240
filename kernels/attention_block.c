/* Attention whose products are by blocks of bf16 operands: what --dtype has it be. As in attention.c
 * a task is one sequence and one head, of queries forward, of keys and values backward. Which blocks
 * a sum has is a part of the definition, so the rows of a strip all have the same ones. */
#include "attention_rows.h"
#include "block_gemm.h"

#include <omp.h>

enum { MOST_ROWS = 16 }; /* of a strip */

/* Blocks of keys of which the query at this row of the sequence sees at least one. */
static size_t blocks_seen(const AttentionShape *shape, const Head *head, size_t i, size_t length)
{
    return panels(keys_seen(shape, head->b, i, head->keys), length);
}

/* Rows from i on that see the same blocks, as many as a strip has. */
static size_t query_rows(const AttentionShape *shape, const Head *head, size_t i, size_t length)
{
    size_t rows = 1, blocks = blocks_seen(shape, head, i, length);
    while (rows < MOST_ROWS && i + rows < head->queries &&
           blocks_seen(shape, head, i + rows, length) == blocks) {
        rows++;
    }
    return rows;
}

static void forward(Context *ctx, BlockSum sum, float *out, float *max, float *rsum, const float *q,
                    const float *k, const float *v, const AttentionShape *shape,
                    const DropoutSite *dropout)
{
    size_t D = (size_t)shape->D, H = (size_t)shape->H, length = (size_t)sum.length,
           share = ctx->scratch_size / (size_t)ctx->threads / 16 * 16;
    size_t q_stride = (size_t)shape->q_stride, kv_stride = (size_t)shape->kv_stride;
    int threads = threads_for(ctx, 8 * attention_cost(shape, 2));
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int task = 0; task < shape->B * shape->H; task++) {
        Head head = head_at(shape, task / shape->H, task % shape->H);
        size_t lds = padded(head.keys), first_k = head.k_row * kv_stride + (size_t)head.kv * D;
        float *scratch = ctx->scratch + (size_t)omp_get_thread_num() * share;
        float *e = take(&scratch, MOST_ROWS * lds),
              *k_panels = take(&scratch, block_packed(head.keys, D)), *v_panels = scratch;
        block_pack(sum, k_panels, strided(k + first_k, 1, kv_stride), head.keys, D);
        block_pack(sum, v_panels, strided(v + first_k, kv_stride, 1), D, head.keys);
        for (size_t i0 = 0, rows; i0 < head.queries; i0 += rows) {
            rows = query_rows(shape, &head, i0, length);
            size_t row = head.q_row + i0, width = blocks_seen(shape, &head, i0, length) * length;
            width = width < head.keys ? width : head.keys;
            float *out_strip = out + row * H * D + (size_t)head.h * D, r[MOST_ROWS];
            block_rows(ctx, sum, e, lds,
                       strided(q + row * q_stride + (size_t)head.h * D, q_stride, 1), k_panels, D,
                       0, rows, width, D, START_ZERO, NULL);
            for (size_t i = 0; i < rows; i++) {
                size_t n = keys_seen(shape, head.b, i0 + i, head.keys),
                       at = (row + i) * H + (size_t)head.h;
                r[i] = row_forward(e + i * lds, n, shape->scale, &max[at], dropout,
                                   (uint32_t)shape->q_position[head.b] + (uint32_t)(i0 + i),
                                   (uint32_t)head.h, (uint32_t)shape->slot[head.b]);
                rsum[at] = r[i];
                for (size_t j = n; j < width; j++) {
                    e[i * lds + j] = 0.0f;
                }
            }
            block_rows(ctx, sum, out_strip, H * D, strided(e, lds, 1), v_panels, head.keys, 0, rows,
                       D, width, START_ZERO, NULL);
            for (size_t i = 0; i < rows; i++) {
                for (size_t d = 0; d < D; d++) {
                    out_strip[i * H * D + d] = (out_strip[i * H * D + d] + 0.0f) * r[i];
                }
            }
        }
    }
}

/* to[j] = sum over the queries that see key j of w[i][j] x[i], x packed, in blocks of queries of
 * which at least one sees it. */
static void sum_over_queries(const Context *ctx, BlockSum sum, float *to, const float *w,
                             size_t lds, const float *x, const AttentionShape *shape,
                             const Head *head, GemmStart start)
{
    size_t D = (size_t)shape->D, stride = (size_t)shape->kv_stride, queries = head->queries,
           length = (size_t)sum.length;
    for (size_t j = 0, rows; j < head->keys; j += rows) {
        size_t first = first_to_see(shape, head->b, j, queries), block = first / length;
        for (rows = 1; rows < MOST_ROWS && j + rows < head->keys; rows++) {
            size_t next = first_to_see(shape, head->b, j + rows, queries);
            if (next / length != block || (next == queries) != (first == queries)) {
                break;
            }
        }
        size_t from = first == queries ? queries : block * length;
        block_rows(ctx, sum, to + j * stride, stride, strided(w + from * lds + j, 1, lds), x,
                   queries, from, rows, D, queries - from, start, NULL);
    }
}

static void backward(Context *ctx, BlockSum sum, float *dq, float *dk, float *dv, const float *dout,
                     const float *q, const float *k, const float *v, const float *out,
                     const float *max, const float *rsum, const AttentionShape *shape,
                     const DropoutSite *dropout)
{
    size_t D = (size_t)shape->D, H = (size_t)shape->H, length = (size_t)sum.length,
           share = ctx->scratch_size / (size_t)ctx->threads / 16 * 16;
    size_t q_stride = (size_t)shape->q_stride, kv_stride = (size_t)shape->kv_stride;
    int group = shape->H / shape->K, threads = threads_for(ctx, 8 * attention_cost(shape, 5));
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int task = 0; task < shape->B * shape->K; task++) {
        int b = task / shape->K, kv = task % shape->K;
        Head head = head_at(shape, b, kv * group);
        size_t queries = head.queries, keys = head.keys, lds = padded(keys),
               first_k = head.k_row * kv_stride + (size_t)kv * D;
        float *scratch = ctx->scratch + (size_t)omp_get_thread_num() * share;
        float *p = take(&scratch, queries * lds), *dp = take(&scratch, queries * lds),
              *k_columns = take(&scratch, block_packed(keys, D)),
              *v_columns = take(&scratch, block_packed(keys, D)),
              *k_panels = take(&scratch, block_packed(D, keys)),
              *q_panels = take(&scratch, block_packed(D, queries)), *dout_panels = scratch;
        block_pack(sum, k_columns, strided(k + first_k, 1, kv_stride), keys, D);
        block_pack(sum, v_columns, strided(v + first_k, 1, kv_stride), keys, D);
        block_pack(sum, k_panels, strided(k + first_k, kv_stride, 1), D, keys);
        for (int h = kv * group; h < (kv + 1) * group; h++) {
            size_t first_q = head.q_row * q_stride + (size_t)h * D,
                   first_out = head.q_row * H * D + (size_t)h * D;
            for (size_t i0 = 0, rows; i0 < queries; i0 += rows) {
                rows = query_rows(shape, &head, i0, length);
                size_t width = blocks_seen(shape, &head, i0, length) * length;
                width = width < keys ? width : keys;
                block_rows(ctx, sum, p + i0 * lds, lds,
                           strided(q + first_q + i0 * q_stride, q_stride, 1), k_columns, D, 0, rows,
                           width, D, START_ZERO, NULL);
                block_rows(ctx, sum, dp + i0 * lds, lds,
                           strided(dout + first_out + i0 * H * D, H * D, 1), v_columns, D, 0, rows,
                           width, D, START_ZERO, NULL);
                for (size_t i = i0; i < i0 + rows; i++) {
                    float *p_i = p + i * lds, *dp_i = dp + i * lds;
                    size_t n = keys_seen(shape, b, i, keys), at = (head.q_row + i) * H + (size_t)h,
                           from = first_out + i * H * D;
                    row_backward(p_i, dp_i, 0, n, max[at], rsum[at],
                                 row_dot(dout + from, out + from, D), shape->scale, dropout,
                                 (uint32_t)shape->q_position[b] + (uint32_t)i, (uint32_t)h,
                                 (uint32_t)shape->slot[b]);
                    /* as far as a block of keys, here, or of queries, below, can reach */
                    for (size_t j = n; j < n + length && j < keys; j++) {
                        p_i[j] = dp_i[j] = 0.0f;
                    }
                }
                float *dq_strip = dq + first_q + i0 * q_stride;
                block_rows(ctx, sum, dq_strip, q_stride, strided(dp + i0 * lds, lds, 1), k_panels,
                           keys, 0, rows, D, width, START_ZERO, NULL);
                clear_sign_of_zero(dq_strip, q_stride, rows, D);
            }
            block_pack(sum, q_panels, strided(q + first_q, q_stride, 1), D, queries);
            block_pack(sum, dout_panels, strided(dout + first_out, H * D, 1), D, queries);
            GemmStart start = h == kv * group ? START_ZERO : START_C;
            sum_over_queries(ctx, sum, dk + first_k, dp, lds, q_panels, shape, &head, start);
            sum_over_queries(ctx, sum, dv + first_k, p, lds, dout_panels, shape, &head, start);
        }
        clear_sign_of_zero(dk + first_k, kv_stride, keys, D);
        clear_sign_of_zero(dv + first_k, kv_stride, keys, D);
    }
}

#define ATTENTION(name, sum)                                                                       \
    void KERNEL(attention_forward_##name)(Context * ctx, float *out, float *max, float *rsum,      \
                                          const float *q, const float *k, const float *v,          \
                                          const AttentionShape *shape, const DropoutSite *dropout) \
    {                                                                                              \
        forward(ctx, sum, out, max, rsum, q, k, v, shape, dropout);                                \
    }                                                                                              \
    void KERNEL(attention_backward_##name)(                                                        \
        Context * ctx, float *dq, float *dk, float *dv, const float *dout, const float *q,         \
        const float *k, const float *v, const float *out, const float *max, const float *rsum,     \
        const AttentionShape *shape, const DropoutSite *dropout)                                   \
    {                                                                                              \
        backward(ctx, sum, dq, dk, dv, dout, q, k, v, out, max, rsum, shape, dropout);             \
    }
ATTENTION(block16, BLOCK16)
ATTENTION(block8, BLOCK8)
ATTENTION(tile, TILE32)
