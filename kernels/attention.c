/* Attention over packed sequences. A task of the forward pass is one sequence and one head, of the
 * backward pass one sequence and one key/value head; scores live in the scratch of its thread and
 * are computed again in the backward pass, so no [T, T] tensor is kept between the two. */
#include "gemm.h"

#include <omp.h>
#include <string.h>

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

static float row_max(const float *x, size_t n)
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

static Head head_at(const AttentionShape *shape, int b, int h)
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
static size_t attention_cost(const AttentionShape *shape, size_t products)
{
    size_t cost = 0, H = (size_t)shape->H;
    for (int b = 0; b < shape->B; b++) {
        Head head = head_at(shape, b, 0);
        cost += H * head.queries * head.keys * (1 + products * (size_t)shape->D / 64);
    }
    return cost;
}

/* s[i][j] = scale * chain over d of q k */
static void scores(float *s, size_t lds, const float *q, const float *k,
                   const AttentionShape *shape, const Head *head, float *panels_)
{
    size_t D = (size_t)shape->D;
    Strided rows = strided(q + head->q_row * (size_t)shape->q_stride + (size_t)head->h * D,
                           (size_t)shape->q_stride, 1);
    Strided columns = strided(k + head->k_row * (size_t)shape->kv_stride + (size_t)head->kv * D, 1,
                              (size_t)shape->kv_stride);
    gemm_small(s, lds, rows, columns, head->queries, head->keys, D, START_ZERO, panels_);
    for (size_t i = 0; i < head->queries; i++) {
        for (size_t j = 0; j < head->keys; j++) {
            s[i * lds + j] *= shape->scale;
        }
    }
}

void KERNEL(attention_forward)(Context *ctx, float *out, float *max, float *rsum, const float *q,
                               const float *k, const float *v, const AttentionShape *shape,
                               const DropoutSite *dropout)
{
    size_t D = (size_t)shape->D, H = (size_t)shape->H,
           share = ctx->scratch_size / (size_t)ctx->threads / 16 * 16;
#pragma omp parallel for schedule(dynamic) num_threads(threads_for(ctx, attention_cost(shape, 2)))
    for (int task = 0; task < shape->B * shape->H; task++) {
        Head head = head_at(shape, task / shape->H, task % shape->H);
        float *s = ctx->scratch + (size_t)omp_get_thread_num() * share;
        size_t lds = padded(head.keys);
        float *rest = s + padded(head.queries) * lds;
        scores(s, lds, q, k, shape, &head, rest);
        for (size_t i = 0; i < head.queries; i++) {
            float *p = s + i * lds;
            size_t n = keys_seen(shape, head.b, i, head.keys);
            float m = row_max(p, n);
            for (size_t j = 0; j < n; j++) {
                p[j] = scalar_exp(p[j] - m);
            }
            float r = 1.0f / row_sum(p, n);
            for (size_t j = 0; j < n; j++) {
                p[j] *= r;
            }
            for (size_t j = n; j < head.keys; j++) {
                p[j] = 0.0f;
            }
            max[(head.q_row + i) * H + (size_t)head.h] = m;
            rsum[(head.q_row + i) * H + (size_t)head.h] = r;
            if (dropout->p > 0.0f) {
                row_dropout(p, p, n, dropout, (uint32_t)shape->q_position[head.b] + (uint32_t)i,
                            (uint32_t)head.h, (uint32_t)shape->slot[head.b]);
            }
        }
        Strided rows = strided(s, lds, 1),
                columns = strided(v + head.k_row * (size_t)shape->kv_stride + (size_t)head.kv * D,
                                  (size_t)shape->kv_stride, 1);
        gemm_small(out + head.q_row * H * D + (size_t)head.h * D, H * D, rows, columns,
                   head.queries, D, head.keys, START_ZERO, rest);
    }
}

void KERNEL(attention_backward)(Context *ctx, float *dq, float *dk, float *dv, const float *dout,
                                const float *q, const float *k, const float *v, const float *max,
                                const float *rsum, const AttentionShape *shape,
                                const DropoutSite *dropout)
{
    size_t D = (size_t)shape->D, H = (size_t)shape->H,
           share = ctx->scratch_size / (size_t)ctx->threads / 16 * 16;
    size_t q_stride = (size_t)shape->q_stride, kv_stride = (size_t)shape->kv_stride;
    int group = shape->H / shape->K;
    /* One task owns one key/value head, so that dk and dv have one writer; its query heads come in
     * order. */
#pragma omp parallel for schedule(dynamic) num_threads(threads_for(ctx, attention_cost(shape, 5)))
    for (int task = 0; task < shape->B * shape->K; task++) {
        int b = task / shape->K, kv = task % shape->K;
        for (int h = kv * group; h < (kv + 1) * group; h++) {
            Head head = head_at(shape, b, h);
            size_t lds = padded(head.keys), first_q = head.q_row * q_stride + (size_t)h * D;
            size_t first_out = head.q_row * H * D + (size_t)h * D,
                   first_k = head.k_row * kv_stride + (size_t)kv * D;
            float *p = ctx->scratch + (size_t)omp_get_thread_num() * share,
                  *dp = p + padded(head.queries) * lds;
            float *rest = dp + padded(head.queries) * lds;
            GemmStart start = h == kv * group ? START_ZERO : START_C;
            scores(p, lds, q, k, shape, &head, rest);
            /* forward: out = p v, so dp[i][j] = chain over d of dout v */
            gemm_small(dp, lds, strided(dout + first_out, H * D, 1),
                       strided(v + first_k, 1, kv_stride), head.queries, head.keys, D, START_ZERO,
                       rest);
            for (size_t i = 0; i < head.queries; i++) {
                float *p_i = p + i * lds, *dp_i = dp + i * lds;
                size_t n = keys_seen(shape, b, i, head.keys),
                       row = (head.q_row + i) * H + (size_t)h;
                float m = max[row], r = rsum[row];
                for (size_t j = 0; j < n; j++) {
                    p_i[j] = scalar_exp(p_i[j] - m) * r;
                }
                uint32_t position = (uint32_t)shape->q_position[b] + (uint32_t)i;
                if (dropout->p > 0.0f) {
                    row_dropout(dp_i, dp_i, n, dropout, position, (uint32_t)h,
                                (uint32_t)shape->slot[b]);
                }
                float mean = row_dot(p_i, dp_i, n);
                for (size_t j = 0; j < n; j++) {
                    dp_i[j] = p_i[j] * (dp_i[j] - mean) * shape->scale; /* ds */
                }
                if (dropout->p > 0.0f) {
                    row_dropout(p_i, p_i, n, dropout, position, (uint32_t)h,
                                (uint32_t)shape->slot[b]);
                }
                for (size_t j = n; j < head.keys; j++) {
                    p_i[j] = dp_i[j] = 0.0f;
                }
            }
            /* dq[i] = chain over j of ds[i][j] k[j]; dk[j] = chain over i of ds[i][j] q[i]; dv[j]
             * of p[i][j] dout[i] */
            gemm_small(dq + first_q, q_stride, strided(dp, lds, 1),
                       strided(k + first_k, kv_stride, 1), head.queries, D, head.keys, START_ZERO,
                       rest);
            gemm_small(dk + first_k, kv_stride, strided(dp, 1, lds),
                       strided(q + first_q, q_stride, 1), head.keys, D, head.queries, start, rest);
            gemm_small(dv + first_k, kv_stride, strided(p, 1, lds),
                       strided(dout + first_out, H * D, 1), head.keys, D, head.queries, start,
                       rest);
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
                                        const float *v, const float *max, const float *rsum,
                                        const AttentionShape *shape, const DropoutSite *dropout)
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
                float mean = dot_double(0.0, p_i, 1, ds_i, 1, n);
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
