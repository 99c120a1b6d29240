/* The definitions of ops.def that are made of products: linear layers, LoRA, attention, the
 * language model's loss. */
#include "ops_reference.h"

#include <stdlib.h>

/* start + a[0] b[0] + a[1] b[1] + ..., one fma after another; strides in elements. */
static float chain(float start, const float *a, size_t a_stride, const float *b, size_t b_stride,
                   size_t n)
{
    for (size_t i = 0; i < n; i++) {
        start = fmaf(a[i * a_stride], b[i * b_stride], start);
    }
    return start;
}

/* --- linear layers --- */

void REFERENCE(matmul_forward)(Context *ctx, float *out, const float *x, Weight weight,
                               const float *bias, int M, int K, int O)
{
    (void)ctx;
    size_t depth = (size_t)K, outputs = (size_t)O;
    for (size_t m = 0; m < (size_t)M; m++) {
        for (size_t o = 0; o < outputs; o++) {
            float sum = bias ? bias[o] : 0.0f;
            for (size_t k = 0; k < depth; k++) {
                sum = fmaf(x[m * depth + k], weight_at(weight, o * depth + k), sum);
            }
            out[m * outputs + o] = sum;
        }
    }
}

void REFERENCE(matmul_backward_input)(Context *ctx, float *dx, const float *dout, Weight weight,
                                      int M, int K, int O, int accumulate)
{
    (void)ctx;
    size_t depth = (size_t)K, outputs = (size_t)O;
    for (size_t m = 0; m < (size_t)M; m++) {
        for (size_t k = 0; k < depth; k++) {
            float sum = accumulate ? dx[m * depth + k] : 0.0f;
            for (size_t o = 0; o < outputs; o++) {
                sum = fmaf(dout[m * outputs + o], weight_at(weight, o * depth + k), sum);
            }
            dx[m * depth + k] = sum;
        }
    }
}

void REFERENCE(matmul_backward_weight)(Context *ctx, float *dweight, const float *dout,
                                       const float *x, int M, int K, int O)
{
    (void)ctx;
    size_t depth = (size_t)K, outputs = (size_t)O;
    for (size_t o = 0; o < outputs; o++) {
        for (size_t k = 0; k < depth; k++) {
            float *sum = dweight + o * depth + k;
            *sum = chain(*sum, dout + o, outputs, x + k, depth, (size_t)M);
        }
    }
}

/* --- LoRA --- */

void REFERENCE(lora_forward)(Context *ctx, float *out, float *mid, const float *x, const Lora *lora,
                             int N, int C, int O)
{
    (void)ctx;
    size_t width = (size_t)C, outputs = (size_t)O, R = (size_t)lora->R;
    for (size_t n = 0; n < (size_t)N; n++) {
        for (size_t r = 0; r < R; r++) {
            float sum = 0.0f;
            for (size_t c = 0; c < width; c++) {
                float x_c = dropped(x[n * width + c], &lora->dropout, c, lora->positions[n], 0,
                                    lora->slots[n]);
                sum = fmaf(x_c, lora->a[r * width + c], sum);
            }
            mid[n * R + r] = lora->scale * sum;
        }
        for (size_t o = 0; o < outputs; o++) {
            float *sum = out + n * outputs + o;
            *sum = chain(*sum, mid + n * R, 1, lora->b + o * R, 1, R);
        }
    }
}

void REFERENCE(lora_backward)(Context *ctx, float *dx, float *da, float *db, const float *dout,
                              const float *mid, const float *x, const Lora *lora, int N, int C,
                              int O)
{
    (void)ctx;
    size_t rows = (size_t)N, width = (size_t)C, outputs = (size_t)O, R = (size_t)lora->R;
    float *dmid = malloc(rows * R * sizeof *dmid);
    for (size_t n = 0; n < rows; n++) {
        for (size_t r = 0; r < R; r++) {
            dmid[n * R + r] = lora->scale *
                              chain(0.0f, dout + n * outputs, 1, lora->b + r, R, outputs);
        }
        for (size_t c = 0; c < width; c++) {
            for (size_t r = 0; r < R; r++) { /* row n of the chains over n */
                float x_c = dropped(x[n * width + c], &lora->dropout, c, lora->positions[n], 0,
                                    lora->slots[n]);
                da[r * width + c] = fmaf(dmid[n * R + r], x_c, da[r * width + c]);
            }
        }
        for (size_t c = 0; c < (dx ? width : 0); c++) {
            float *sum = dx + n * width + c;
            if (lora->dropout.p <= 0.0f) {
                *sum = chain(*sum, dmid + n * R, 1, lora->a + c, width, R);
            } else {
                *sum += dropped(chain(0.0f, dmid + n * R, 1, lora->a + c, width, R), &lora->dropout,
                                c, lora->positions[n], 0, lora->slots[n]);
            }
        }
    }
    for (size_t o = 0; o < outputs; o++) {
        for (size_t r = 0; r < R; r++) {
            db[o * R + r] = chain(db[o * R + r], dout + o, outputs, mid + r, R, rows);
        }
    }
    free(dmid);
}

/* --- attention --- */

/* One query of a head: which rows belong to it. */
typedef struct Query {
    int b, h, position;    /* sequence, head, position in the sequence */
    size_t row, first, kv; /* its row; row of the sequence's first key; key/value head */
    size_t seen;           /* how many keys of its sequence it sees */
} Query;

static Query query_at(const AttentionShape *s, int b, int h, int i)
{
    Query q = {.b = b, .h = h, .position = s->q_position[b] + i};
    q.row = (size_t)(s->cu_q[b] + i);
    q.first = (size_t)s->cu_k[b];
    q.kv = (size_t)(h / (s->H / s->K));
    q.seen = (size_t)(s->cu_k[b + 1] - s->cu_k[b]);
    if (s->causal && (size_t)q.position + 1 < q.seen) {
        q.seen = (size_t)q.position + 1;
    }
    return q;
}

/* Where the query's values stand in q or dq; where key j's stand in k, v or their gradients. */
static size_t q_at(const AttentionShape *s, const Query *q)
{
    return q->row * (size_t)s->q_stride + (size_t)(q->h * s->D);
}

static size_t k_at(const AttentionShape *s, const Query *q, size_t j)
{
    return (q->first + j) * (size_t)s->kv_stride + q->kv * (size_t)s->D;
}

static float dropped_key(float x, const DropoutSite *site, const AttentionShape *s, const Query *q,
                         size_t j)
{
    return dropped(x, site, j, q->position, q->h, s->slot[q->b]);
}

void REFERENCE(attention_forward)(Context *ctx, float *out, float *max, float *rsum, const float *q,
                                  const float *k, const float *v, const AttentionShape *shape,
                                  const DropoutSite *dropout)
{
    (void)ctx;
    size_t D = (size_t)shape->D, H = (size_t)shape->H;
    for (int task = 0; task < shape->B * shape->H; task++) {
        int b = task / shape->H, h = task % shape->H;
        for (int i = 0; i < shape->cu_q[b + 1] - shape->cu_q[b]; i++) {
            Query at = query_at(shape, b, h, i);
            size_t row = at.row * H + (size_t)h;
            float *e = malloc(at.seen * sizeof *e), m = -INFINITY;
            Lanes sum = {{0}};
            for (size_t j = 0; j < at.seen; j++) {
                e[j] = shape->scale *
                       chain(0.0f, q + q_at(shape, &at), 1, k + k_at(shape, &at, j), 1, D);
                m = e[j] > m ? e[j] : m;
            }
            for (size_t j = 0; j < at.seen; j++) {
                e[j] = scalar_exp(e[j] - m);
                sum.lane[j % 32] += e[j];
            }
            max[row] = m + 0.0f;
            rsum[row] = 1.0f / lanes_sum(sum);
            for (size_t j = 0; j < at.seen; j++) {
                e[j] = dropped_key(e[j], dropout, shape, &at, j);
            }
            for (size_t d = 0; d < D; d++) {
                float mix = chain(0.0f, e, 1, v + k_at(shape, &at, 0) + d, (size_t)shape->kv_stride,
                                  at.seen);
                out[row * D + d] = rsum[row] * (mix + 0.0f);
            }
            free(e);
        }
    }
}

/* Adds what one query gives: dq, and its share of dk and dv of the keys that it sees. dout, out:
 * its D values. */
static void query_backward(float *dq, float *dk, float *dv, const float *dout, const float *q,
                           const float *k, const float *v, const float *out, float max, float rsum,
                           const AttentionShape *shape, const DropoutSite *dropout, Query at)
{
    size_t D = (size_t)shape->D, q_first = q_at(shape, &at);
    float *ds = malloc(at.seen * sizeof *ds);
    Lanes mean = {{0}};
    for (size_t d = 0; d < D; d++) {
        mean.lane[d % 32] = fmaf(dout[d], out[d], mean.lane[d % 32]);
    }
    float row_mean = lanes_sum(mean);
    for (size_t j = 0; j < at.seen; j++) {
        size_t key = k_at(shape, &at, j);
        float s = shape->scale * chain(0.0f, q + q_first, 1, k + key, 1, D);
        float dp = chain(0.0f, dout, 1, v + key, 1, D), p = scalar_exp(s - max) * rsum;
        ds[j] = p * (dropped_key(dp, dropout, shape, &at, j) - row_mean) * shape->scale;
        p = dropped_key(p, dropout, shape, &at, j);
        for (size_t d = 0; d < D; d++) {
            dk[key + d] = fmaf(ds[j], q[q_first + d], dk[key + d]);
            dv[key + d] = fmaf(p, dout[d], dv[key + d]);
        }
    }
    for (size_t d = 0; d < D; d++) {
        dq[q_first + d] = chain(0.0f, ds, 1, k + k_at(shape, &at, 0) + d, (size_t)shape->kv_stride,
                                at.seen) +
                          0.0f;
    }
    free(ds);
}

void REFERENCE(attention_backward)(Context *ctx, float *dq, float *dk, float *dv, const float *dout,
                                   const float *q, const float *k, const float *v, const float *out,
                                   const float *max, const float *rsum, const AttentionShape *shape,
                                   const DropoutSite *dropout)
{
    (void)ctx;
    size_t D = (size_t)shape->D, H = (size_t)shape->H;
    for (int row = 0; row < shape->cu_k[shape->B]; row++) {
        for (size_t i = 0; i < (size_t)shape->K * D; i++) {
            dk[(size_t)row * (size_t)shape->kv_stride + i] = 0.0f;
            dv[(size_t)row * (size_t)shape->kv_stride + i] = 0.0f;
        }
    }
    for (int task = 0; task < shape->B * shape->H; task++) {
        int b = task / shape->H, h = task % shape->H;
        for (int i = 0; i < shape->cu_q[b + 1] - shape->cu_q[b]; i++) {
            Query at = query_at(shape, b, h, i);
            size_t row = at.row * H + (size_t)h;
            query_backward(dq, dk, dv, dout + row * D, q, k, v, out + row * D, max[row], rsum[row],
                           shape, dropout, at);
        }
    }
    for (int row = 0; row < shape->cu_k[shape->B]; row++) {
        for (size_t i = 0; i < (size_t)shape->K * D; i++) {
            dk[(size_t)row * (size_t)shape->kv_stride + i] += 0.0f;
            dv[(size_t)row * (size_t)shape->kv_stride + i] += 0.0f;
        }
    }
}

/* --- the language model's loss --- */

void REFERENCE(linear_cross_entropy)(Context *ctx, float *losses, float *dx, float *dweight,
                                     const float *x, Weight weight, const int *targets, int N,
                                     int C, int V, float scale)
{
    (void)ctx;
    size_t width = (size_t)C, words = (size_t)V;
    float *z = malloc(words * sizeof *z);
    for (size_t n = 0; n < (size_t)N; n++) {
        const float *x_n = x + n * width;
        float max = -INFINITY, sum = 0.0f;
        for (size_t w = 0; w < words; w++) {
            z[w] = 0.0f;
            for (size_t c = 0; c < width; c++) {
                z[w] = fmaf(x_n[c], weight_at(weight, w * width + c), z[w]);
            }
        }
        for (size_t first = 0; first < words; first += 2048) {
            size_t end = words - first < 2048 ? words : first + 2048;
            float block_max = -INFINITY;
            Lanes exps = {{0}};
            for (size_t w = first; w < end; w++) {
                block_max = z[w] > block_max ? z[w] : block_max;
            }
            for (size_t w = first; w < end; w++) {
                exps.lane[(w - first) % 32] += scalar_exp(z[w] - block_max);
            }
            if (block_max > max) {
                sum = fmaf(sum, scalar_exp(max - block_max), lanes_sum(exps));
                max = block_max;
            } else {
                sum = fmaf(lanes_sum(exps), scalar_exp(block_max - max), sum);
            }
        }
        losses[n] = targets[n] < 0 ? 0.0f : scalar_log(sum) + (max - z[targets[n]]);
        for (size_t w = 0; w < (dx ? words : 0); w++) {
            float onehot = (int)w == targets[n] ? 1.0f : 0.0f;
            float dz = (scalar_exp(z[w] - max) / sum - onehot) * (targets[n] < 0 ? 0.0f : scale);
            for (size_t c = 0; c < width; c++) {
                float *dx_c = dx + n * width + c;
                *dx_c = fmaf(dz, weight_at(weight, w * width + c), w ? *dx_c : 0.0f);
                if (dweight) { /* token n of the chain over tokens */
                    dweight[w * width + c] = fmaf(dz, x_n[c], dweight[w * width + c]);
                }
            }
        }
    }
    free(z);
}
