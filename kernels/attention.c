/* Attention over packed sequences. A task is one sequence and head, and backward a block of its keys.
 * Queries go by in strips as high as a tile of the product, and no strip computes keys behind the
 * last one that it sees: causal attention does about half the work. Scores live in the scratch of
 * the task's thread and are computed again in the backward pass, so no [T, T] tensor is kept between
 * the two; backward they stay in the second level cache, however long the sequence is. */
#include "attention_rows.h"
#include "base.h"
#include "gemm.h"
#include "order.h"

#include <omp.h>
#include <string.h>

/* Rows of the strip that begins at i. */
static inline size_t strip_rows(size_t i, size_t n)
{
    return n - i < TILE_ROWS ? n - i : TILE_ROWS;
}

void KERNEL(attention_forward)(Context *ctx, float *out, float *max, float *rsum, const float *q,
                               const float *k, const float *v, const AttentionShape *shape,
                               const DropoutSite *dropout)
{
    size_t D = (size_t)shape->D, H = (size_t)shape->H,
           share = ctx->scratch_size / (size_t)ctx->threads / 16 * 16;
    size_t q_stride = (size_t)shape->q_stride, kv_stride = (size_t)shape->kv_stride;
#pragma omp parallel for schedule(dynamic) num_threads(threads_for(ctx, attention_cost(shape, 2)))
    for (int task = 0; task < shape->B * shape->H; task++) {
        Head head = head_at(shape, task / shape->H, task % shape->H);
        size_t lds = padded(head.keys), first_k = head.k_row * kv_stride + (size_t)head.kv * D;
        float *scratch = ctx->scratch + (size_t)omp_get_thread_num() * share;
        float *e = take(&scratch, TILE_ROWS * lds), *k_panels = take(&scratch, lds * D),
              *v_panels = take(&scratch, head.keys * padded(D)), *a_panel = scratch;
        gemm_pack(k_panels, strided(k + first_k, 1, kv_stride), head.keys, D);
        gemm_pack(v_panels, strided(v + first_k, kv_stride, 1), D, head.keys);
        for (size_t i0 = 0; i0 < head.queries; i0 += TILE_ROWS) {
            size_t rows = strip_rows(i0, head.queries), row = head.q_row + i0,
                   seen = keys_seen(shape, head.b, i0 + rows - 1, head.keys);
            float *out_strip = out + row * H * D + (size_t)head.h * D;
            gemm_rows(e, lds, strided(q + row * q_stride + (size_t)head.h * D, q_stride, 1),
                      k_panels, D, rows, panels(seen, TILE_COLS) * TILE_COLS, D, START_ZERO,
                      a_panel);
            float r[TILE_ROWS];
            for (size_t i = 0; i < rows; i++) {
                float *e_i = e + i * lds;
                size_t n = keys_seen(shape, head.b, i0 + i, head.keys);
                r[i] = row_forward(e_i, n, shape->scale, &max[(row + i) * H + (size_t)head.h],
                                   dropout,
                                   (uint32_t)shape->q_position[head.b] + (uint32_t)(i0 + i),
                                   (uint32_t)head.h, (uint32_t)shape->slot[head.b]);
                rsum[(row + i) * H + (size_t)head.h] = r[i];
                for (size_t j = n; j < seen; j++) {
                    e_i[j] = 0.0f;
                }
            }
            gemm_rows(out_strip, H * D, strided(e, lds, 1), v_panels, head.keys, rows, D, seen,
                      START_ZERO, a_panel);
            for (size_t i = 0; i < rows; i++) {
                float *out_i = out_strip + i * H * D;
                for (size_t d = 0; d < D; d++) {
                    out_i[d] = (out_i[d] + 0.0f) * r[i];
                }
            }
        }
    }
}

/* Keys of a block of the backward pass, whose dropout words begin anew, and queries, of which the
 * weights and their gradients stay in the second level cache. */
enum { KEY_BLOCK = 2 * DROPOUT_BLOCK, QUERY_BLOCK = 252 / TILE_ROWS * TILE_ROWS };

/* The operands of attention_backward. */
typedef struct Backward {
    float *dq, *dk, *dv;
    const float *dout, *q, *k, *v, *out, *max, *rsum;
    const AttentionShape *shape;
    const DropoutSite *dropout;
} Backward;

/* Of `keys` from key j0 on, what query i sees. */
static inline size_t block_seen(const Backward *of, const Head *head, size_t i, size_t j0,
                                size_t keys)
{
    size_t seen = keys_seen(of->shape, head->b, i, head->keys);
    return seen < j0 ? 0 : size_min(seen - j0, keys);
}

/* to[j] += chain over the queries i from i0 on that see key j0 + j of w[i][j] x[i], x packed. */
static void sum_over_queries(float *to, const float *w, size_t lds, const float *x, size_t i0,
                             size_t queries, size_t j0, size_t keys, const AttentionShape *shape,
                             const Head *head, float *a_panel)
{
    size_t D = (size_t)shape->D, kv_stride = (size_t)shape->kv_stride;
    for (size_t j = 0; j < keys; j += TILE_ROWS) {
        size_t sees = first_to_see(shape, head->b, j0 + j, head->queries),
               first = sees > i0 ? sees - i0 : 0;
        if (first < queries) {
            gemm_rows(to + j * kv_stride, kv_stride, strided(w + first * lds + j, 1, lds),
                      x + first * TILE_COLS, queries, strip_rows(j, keys), D, queries - first,
                      START_C, a_panel);
        }
    }
}

/* x = 0 */
static void clear_rows(float *x, size_t stride, size_t rows, size_t D)
{
    for (size_t i = 0; i < rows; i++) {
        memset(x + i * stride, 0, D * sizeof *x);
    }
}

/* What the queries of a head, maybe the first, add to its keys and values from j0 on, and these keys
 * to dq. */
static void backward_block(const Backward *of, const Head *head, size_t j0, int begins,
                           float *scratch)
{
    const AttentionShape *shape = of->shape;
    size_t D = (size_t)shape->D, H = (size_t)shape->H, h = (size_t)head->h,
           q_stride = (size_t)shape->q_stride, kv_stride = (size_t)shape->kv_stride,
           keys = size_min(head->keys - j0, KEY_BLOCK), lds = padded(keys),
           most = size_min(head->queries, QUERY_BLOCK),
           at_k = (head->k_row + j0) * kv_stride + (size_t)head->kv * D;
    float *p = take(&scratch, most * lds), *dp = take(&scratch, most * lds),
          *k_columns = take(&scratch, lds * D), *v_columns = take(&scratch, lds * D),
          *k_panels = take(&scratch, keys * padded(D)),
          *q_panels = take(&scratch, most * padded(D)),
          *dout_panels = take(&scratch, most * padded(D)), *a_panel = scratch;
    if (begins) {
        clear_rows(of->dk + at_k, kv_stride, keys, D);
        clear_rows(of->dv + at_k, kv_stride, keys, D);
    }
    gemm_pack(k_columns, strided(of->k + at_k, 1, kv_stride), keys, D);
    gemm_pack(v_columns, strided(of->v + at_k, 1, kv_stride), keys, D);
    gemm_pack(k_panels, strided(of->k + at_k, kv_stride, 1), D, keys);
    size_t first = first_to_see(shape, head->b, j0, head->queries) / TILE_ROWS * TILE_ROWS;
    for (size_t block = first, queries; block < head->queries; block += queries) {
        queries = size_min(head->queries - block, QUERY_BLOCK);
        size_t row = head->q_row + block;
        const float *q = of->q + row * q_stride + h * D, *dout = of->dout + (row * H + h) * D,
                    *out = of->out + (row * H + h) * D;
        float *dq = of->dq + row * q_stride + h * D;
        for (size_t i0 = 0; i0 < queries; i0 += TILE_ROWS) {
            size_t rows = strip_rows(i0, queries),
                   seen = block_seen(of, head, block + i0 + rows - 1, j0, keys),
                   width = panels(seen, TILE_COLS) * TILE_COLS;
            float *p_strip = p + i0 * lds, *dp_strip = dp + i0 * lds;
            /* s = chain over d of q k; forward: out = p v, so dp = chain over d of dout v */
            gemm_rows(p_strip, lds, strided(q + i0 * q_stride, q_stride, 1), k_columns, D, rows,
                      width, D, START_ZERO, a_panel);
            gemm_rows(dp_strip, lds, strided(dout + i0 * H * D, H * D, 1), v_columns, D, rows,
                      width, D, START_ZERO, a_panel);
            float mean[TILE_ROWS]; /* together, so that the reads of out overlap */
            for (size_t i = 0; i < rows; i++) {
                mean[i] = row_dot(dout + (i0 + i) * H * D, out + (i0 + i) * H * D, D);
            }
            for (size_t i = i0; i < i0 + rows; i++) {
                float *p_i = p + i * lds, *dp_i = dp + i * lds;
                size_t n = block_seen(of, head, block + i, j0, keys), at = (row + i) * H + h;
                row_backward(p_i, dp_i, j0, n, of->max[at], of->rsum[at], mean[i - i0],
                             shape->scale, of->dropout,
                             (uint32_t)shape->q_position[head->b] + (uint32_t)(block + i),
                             (uint32_t)h, (uint32_t)shape->slot[head->b]);
                /* as far as a strip of queries, here, or of keys, below, can reach */
                for (size_t j = n; j < n + TILE_ROWS && j < keys; j++) {
                    p_i[j] = dp_i[j] = 0.0f;
                }
            }
            /* dq[i] = chain over j of ds[i][j] k[j] */
            gemm_rows(dq + i0 * q_stride, q_stride, strided(dp_strip, lds, 1), k_panels, keys, rows,
                      D, seen, j0 ? START_C : START_ZERO, a_panel);
            clear_sign_of_zero(dq + i0 * q_stride, q_stride, rows, D);
        }
        gemm_pack(q_panels, strided(q, q_stride, 1), D, queries);
        gemm_pack(dout_panels, strided(dout, H * D, 1), D, queries);
        /* dk[j] = chain over i of ds[i][j] q[i]; dv[j] of p[i][j] dout[i] */
        sum_over_queries(of->dk + at_k, dp, lds, q_panels, block, queries, j0, keys, shape, head,
                         a_panel);
        sum_over_queries(of->dv + at_k, p, lds, dout_panels, block, queries, j0, keys, shape, head,
                         a_panel);
    }
    clear_sign_of_zero(of->dk + at_k, kv_stride, keys, D);
    clear_sign_of_zero(of->dv + at_k, kv_stride, keys, D);
}

void KERNEL(attention_backward)(Context *ctx, float *dq, float *dk, float *dv, const float *dout,
                                const float *q, const float *k, const float *v, const float *out,
                                const float *max, const float *rsum, const AttentionShape *shape,
                                const DropoutSite *dropout)
{
    const Backward of = {dq, dk, dv, dout, q, k, v, out, max, rsum, shape, dropout};
    size_t share = ctx->scratch_size / (size_t)ctx->threads / 16 * 16, D = (size_t)shape->D,
           q_stride = (size_t)shape->q_stride, kv_stride = (size_t)shape->kv_stride;
    int group = shape->H / shape->K;
    /* A task is one head and a block of keys. Those of a block of dk and dv come in the order of the
     * heads that share it, those of a head's dq in the order of the keys. */
#pragma omp parallel for schedule(dynamic) num_threads(threads_for(ctx, attention_cost(shape, 5)))
    for (int shared = 0; shared < shape->B * shape->K; shared++) {
        int kv = shared % shape->K;
        for (int h = kv * group; h < (kv + 1) * group; h++) {
            Head head = head_at(shape, shared / shape->K, h);
            float *dq_0 = dq + head.q_row * q_stride + (size_t)h * D;
            if (!head.keys) {
                clear_rows(dq_0, q_stride, head.queries, D);
            }
            for (size_t j = 0; j < head.keys; j += KEY_BLOCK) {
#pragma omp task if (head.keys > KEY_BLOCK)                                                        \
    depend(inout : dq_0[0], dk[(head.k_row + j) * kv_stride + (size_t)kv * D])
                backward_block(&of, &head, j, h == kv * group,
                               ctx->scratch + (size_t)omp_get_thread_num() * share);
            }
        }
    }
}

/* --- variants --- */

/* s = the first n scores of query i of a head, each chain in double. */
static void scores_double(float *s, const float *q, const float *k, const AttentionShape *shape,
                          const Head *head, size_t i, size_t n)
{
    size_t D = (size_t)shape->D, stride = (size_t)shape->kv_stride;
    const float *q_i = q + (head->q_row + i) * (size_t)shape->q_stride + (size_t)head->h * D,
                *k_0 = k + head->k_row * stride + (size_t)head->kv * D;
    for (size_t j = 0; j < n; j++) {
        s[j] = shape->scale * dot_double(0.0, q_i, 1, k_0 + j * stride, 1, D);
    }
}

static void drop_query(float *x, size_t n, const DropoutSite *dropout, const AttentionShape *shape,
                       const Head *head, size_t i)
{
    if (dropout->p > 0.0f) {
        row_dropout(x, x, n, dropout, (uint32_t)shape->q_position[head->b] + (uint32_t)i,
                    (uint32_t)head->h, (uint32_t)shape->slot[head->b]);
    }
}

void KERNEL(attention_forward_float64)(Context *ctx, float *out, float *max, float *rsum,
                                       const float *q, const float *k, const float *v,
                                       const AttentionShape *shape, const DropoutSite *dropout)
{
    size_t D = (size_t)shape->D, H = (size_t)shape->H, stride = (size_t)shape->kv_stride,
           share = ctx->scratch_size / (size_t)ctx->threads / 16 * 16;
#pragma omp parallel for schedule(dynamic) num_threads(ctx->threads)
    for (int task = 0; task < shape->B * shape->H; task++) {
        Head head = head_at(shape, task / shape->H, task % shape->H);
        float *e = ctx->scratch + (size_t)omp_get_thread_num() * share;
        for (size_t i = 0; i < head.queries; i++) {
            size_t n = keys_seen(shape, head.b, i, head.keys),
                   row = (head.q_row + i) * H + (size_t)head.h;
            double sum = 0.0;
            scores_double(e, q, k, shape, &head, i, n);
            max[row] = row_max(e, n);
            for (size_t j = 0; j < n; j++) {
                e[j] = scalar_exp(e[j] - max[row]);
                sum += (double)e[j];
            }
            rsum[row] = (float)(1.0 / sum);
            drop_query(e, n, dropout, shape, &head, i);
            const float *v_0 = v + head.k_row * stride + (size_t)head.kv * D;
            for (size_t d = 0; d < D; d++) {
                out[row * D + d] = rsum[row] * dot_double(0.0, e, 1, v_0 + d, stride, n);
            }
        }
    }
}

void KERNEL(attention_backward_float64)(Context *ctx, float *dq, float *dk, float *dv,
                                        const float *dout, const float *q, const float *k,
                                        const float *v, const float *out, const float *max,
                                        const float *rsum, const AttentionShape *shape,
                                        const DropoutSite *dropout)
{
    size_t D = (size_t)shape->D, H = (size_t)shape->H, q_stride = (size_t)shape->q_stride,
           stride = (size_t)shape->kv_stride,
           share = ctx->scratch_size / (size_t)ctx->threads / 16 * 16;
    int group = shape->H / shape->K;
#pragma omp parallel for schedule(dynamic) num_threads(ctx->threads)
    for (int task = 0; task < shape->B * shape->K; task++) {
        int kv = task % shape->K;
        for (int h = kv * group; h < (kv + 1) * group; h++) {
            Head head = head_at(shape, task / shape->K, h);
            size_t lds = head.keys, first_k = head.k_row * stride + (size_t)kv * D,
                   first_q = head.q_row * q_stride + (size_t)h * D;
            float *p = ctx->scratch + (size_t)omp_get_thread_num() * share,
                  *ds = p + head.queries * lds;
            memset(p, 0, 2 * head.queries * lds * sizeof *p);
            for (size_t i = 0; i < head.queries; i++) {
                size_t n = keys_seen(shape, head.b, i, head.keys),
                       row = (head.q_row + i) * H + (size_t)h;
                float *p_i = p + i * lds, *ds_i = ds + i * lds;
                scores_double(p_i, q, k, shape, &head, i, n);
                for (size_t j = 0; j < n; j++) {
                    p_i[j] = scalar_exp(p_i[j] - max[row]) * rsum[row];
                    ds_i[j] = dot_double(0.0, dout + row * D, 1, v + first_k + j * stride, 1, D);
                }
                drop_query(ds_i, n, dropout, shape, &head, i);
                float mean = dot_double(0.0, dout + row * D, 1, out + row * D, 1, D);
                for (size_t j = 0; j < n; j++) {
                    ds_i[j] = p_i[j] * (ds_i[j] - mean) * shape->scale;
                }
                drop_query(p_i, n, dropout, shape, &head, i);
                for (size_t d = 0; d < D; d++) {
                    dq[first_q + i * q_stride + d] = dot_double(0.0, ds_i, 1, k + first_k + d,
                                                                stride, n);
                }
            }
            for (size_t at = 0; at < head.keys * D; at++) {
                size_t j = at / D, d = at % D, to = first_k + j * stride + d;
                size_t from = head.q_row * H * D + (size_t)h * D + d;
                int first = h == kv * group;
                dk[to] = dot_double(first ? 0.0 : (double)dk[to], ds + j, lds, q + first_q + d,
                                    q_stride, head.queries);
                dv[to] = dot_double(first ? 0.0 : (double)dv[to], p + j, lds, dout + from, H * D,
                                    head.queries);
            }
        }
    }
}

/* [D, keys] of a head's keys or values. */
static void turn(float *turned, const float *x, size_t stride, size_t keys, size_t D)
{
    for (size_t j = 0; j < keys; j++) {
        for (size_t d = 0; d < D; d++) {
            turned[d * keys + j] = x[j * stride + d];
        }
    }
}

/* products[j] = chain over d of x[d] turned[d, j], n of them. */
static void row_products(float *products, const float *x, const float *turned, size_t keys,
                         size_t n, size_t D)
{
    memset(products, 0, n * sizeof *products);
    for (size_t d = 0; d < D; d++) {
        for (size_t j = 0; j < n; j++) {
            products[j] = fmaf(x[d], turned[d * keys + j], products[j]);
        }
    }
}

/* sum[d] = a chain from sum[d] over the terms i from `from` to `end` - 1, in a drawn order, of
 * weights[i] x[i, d]. */
static void add_shuffled(float *sum, const float *weights, size_t weight_stride, const float *x,
                         size_t stride, const Order *order, size_t from, size_t end, size_t D)
{
    for (size_t t = 0; t < order->n; t++) {
        size_t i = order_at(order, t);
        if (i < from || i >= end) {
            continue;
        }
        for (size_t d = 0; d < D; d++) {
            sum[d] = fmaf(weights[i * weight_stride], x[i * stride + d], sum[d]);
        }
    }
}

/* Sums over keys in a drawn order of all keys of the sequence, of which those count that the query
 * sees. */
void KERNEL(attention_forward_shuffled)(Context *ctx, float *out, float *max, float *rsum,
                                        const float *q, const float *k, const float *v,
                                        const AttentionShape *shape, const DropoutSite *dropout)
{
    size_t D = (size_t)shape->D, H = (size_t)shape->H, stride = (size_t)shape->kv_stride,
           share = ctx->scratch_size / (size_t)ctx->threads / 16 * 16;
    Philox drawn = order_draw(ctx, ORDER_ATTENTION_FORWARD);
#pragma omp parallel for schedule(dynamic) num_threads(ctx->threads)
    for (int task = 0; task < shape->B * shape->H; task++) {
        Head head = head_at(shape, task / shape->H, task % shape->H);
        float *turned = ctx->scratch + (size_t)omp_get_thread_num() * share,
              *e = turned + D * head.keys, *come = e + head.keys;
        size_t first_k = head.k_row * stride + (size_t)head.kv * D;
        Order order = order_of(&drawn, head.keys);
        turn(turned, k + first_k, stride, head.keys, D);
        for (size_t i = 0; i < head.queries; i++) {
            size_t n = keys_seen(shape, head.b, i, head.keys), count = 0,
                   row = (head.q_row + i) * H + (size_t)head.h;
            float *out_i = out + row * D;
            row_products(e, q + (head.q_row + i) * (size_t)shape->q_stride + (size_t)head.h * D,
                         turned, head.keys, n, D);
            for (size_t j = 0; j < n; j++) {
                e[j] *= shape->scale;
            }
            max[row] = row_max(e, n) + 0.0f;
            for (size_t j = 0; j < n; j++) {
                e[j] = scalar_exp(e[j] - max[row]);
            }
            for (size_t t = 0; t < head.keys; t++) {
                size_t j = order_at(&order, t);
                if (j < n) {
                    come[count++] = e[j];
                }
            }
            rsum[row] = 1.0f / row_sum(come, n);
            drop_query(e, n, dropout, shape, &head, i);
            memset(out_i, 0, D * sizeof *out_i);
            add_shuffled(out_i, e, 1, v + first_k, stride, &order, 0, n, D);
            for (size_t d = 0; d < D; d++) {
                out_i[d] = rsum[row] * out_i[d] + 0.0f;
            }
        }
    }
}

/* Sums over keys and over queries in drawn orders. */
void KERNEL(attention_backward_shuffled)(Context *ctx, float *dq, float *dk, float *dv,
                                         const float *dout, const float *q, const float *k,
                                         const float *v, const float *out, const float *max,
                                         const float *rsum, const AttentionShape *shape,
                                         const DropoutSite *dropout)
{
    size_t D = (size_t)shape->D, H = (size_t)shape->H, q_stride = (size_t)shape->q_stride,
           stride = (size_t)shape->kv_stride,
           share = ctx->scratch_size / (size_t)ctx->threads / 16 * 16;
    int group = shape->H / shape->K;
    Philox drawn = order_draw(ctx, ORDER_ATTENTION_BACKWARD);
#pragma omp parallel for schedule(dynamic) num_threads(ctx->threads)
    for (int task = 0; task < shape->B * shape->K; task++) {
        int kv = task % shape->K;
        for (int h = kv * group; h < (kv + 1) * group; h++) {
            Head head = head_at(shape, task / shape->K, h);
            size_t lds = head.keys, first_k = head.k_row * stride + (size_t)kv * D,
                   first_q = head.q_row * q_stride + (size_t)h * D;
            float *p = ctx->scratch + (size_t)omp_get_thread_num() * share,
                  *ds = p + head.queries * lds, *k_turned = ds + head.queries * lds,
                  *v_turned = k_turned + D * lds;
            Order of_keys = order_of(&drawn, head.keys),
                  of_queries = order_of(&drawn, head.queries);
            turn(k_turned, k + first_k, stride, head.keys, D);
            turn(v_turned, v + first_k, stride, head.keys, D);
            for (size_t i = 0; i < head.queries; i++) {
                size_t n = keys_seen(shape, head.b, i, head.keys),
                       row = (head.q_row + i) * H + (size_t)h;
                float *p_i = p + i * lds, *ds_i = ds + i * lds, *dq_i = dq + first_q + i * q_stride;
                row_products(p_i, q + first_q + i * q_stride, k_turned, lds, n, D);
                row_products(ds_i, dout + row * D, v_turned, lds, n, D);
                for (size_t j = 0; j < n; j++) {
                    p_i[j] = scalar_exp(p_i[j] * shape->scale - max[row]) * rsum[row];
                }
                drop_query(ds_i, n, dropout, shape, &head, i);
                float mean = row_dot(dout + row * D, out + row * D, D);
                for (size_t j = 0; j < n; j++) {
                    ds_i[j] = p_i[j] * (ds_i[j] - mean) * shape->scale;
                }
                drop_query(p_i, n, dropout, shape, &head, i);
                memset(dq_i, 0, D * sizeof *dq_i);
                add_shuffled(dq_i, ds_i, 1, k + first_k, stride, &of_keys, 0, n, D);
                clear_sign_of_zero(dq_i, q_stride, 1, D);
            }
            for (size_t j = 0; j < head.keys; j++) {
                size_t from = first_to_see(shape, head.b, j, head.queries),
                       at = first_k + j * stride;
                if (h == kv * group) {
                    memset(dk + at, 0, D * sizeof *dk);
                    memset(dv + at, 0, D * sizeof *dv);
                }
                add_shuffled(dk + at, ds + j, lds, q + first_q, q_stride, &of_queries, from,
                             head.queries, D);
                add_shuffled(dv + at, p + j, lds, dout + head.q_row * H * D + (size_t)h * D, H * D,
                             &of_queries, from, head.queries, D);
                clear_sign_of_zero(dk + at, stride, 1, D);
                clear_sign_of_zero(dv + at, stride, 1, D);
            }
        }
    }
}
