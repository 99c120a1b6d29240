/* Bounds of the ops that are made of products: linear layers, LoRA, attention (rounding.h). The loss
 * of a language model stands in rounding_losses.c. */
#include "rounded.h"

/* --- linear layers --- */

/* out[m, n] = start + sum over k of a[m a_row + k a_step] b[n b_row + k b_step]; output i goes on from
 * start[i % start_period], or from 0 if start is NULL. */
typedef struct LinearProduct {
    const float *a, *b, *start;
    size_t a_row, a_step, b_row, b_step;
    size_t M, N, K, start_period;
} LinearProduct;

static void linear_product(Context *ctx, const LinearProduct *p)
{
#pragma omp parallel for num_threads(ctx->threads)
    for (size_t i = 0; i < p->M * p->N; i++) {
        RoundedSum sum = matrix_sum(ctx);
        if (p->start) {
            sum_add(&sum, at(p->start, i % p->start_period));
        }
        sum_add_products(&sum, p->a + i / p->N * p->a_row, p->a_step, p->b + i % p->N * p->b_row,
                         p->b_step, p->K);
        output_set(ctx, 0, i, sum_end(&sum));
    }
}

void ROUNDING(matmul_forward)(Context *ctx, float *out, const float *x, Weight weight,
                              const float *bias, int M, int K, int O)
{
    (void)out;
    size_t m = (size_t)M, k = (size_t)K, o = (size_t)O;
    Inputs in = {.ctx = ctx};
    LinearProduct p = {.a = input_floats(&in, x, m * k),
                       .b = input_weight(&in, weight, o * k),
                       .start = input_floats(&in, bias, o),
                       .start_period = o,
                       .a_row = k,
                       .a_step = 1,
                       .b_row = k,
                       .b_step = 1,
                       .M = m,
                       .N = o,
                       .K = k};
    linear_product(ctx, &p);
    inputs_free(&in);
}

void ROUNDING(matmul_backward_input)(Context *ctx, float *dx, const float *dout, Weight weight,
                                     int M, int K, int O, int accumulate)
{
    size_t m = (size_t)M, k = (size_t)K, o = (size_t)O;
    Inputs in = {.ctx = ctx};
    LinearProduct p = {.a = input_floats(&in, dout, m * o),
                       .b = input_weight(&in, weight, o * k),
                       .start = accumulate ? input_floats(&in, dx, m * k) : NULL,
                       .start_period = m * k,
                       .a_row = o,
                       .a_step = 1,
                       .b_row = 1,
                       .b_step = k,
                       .M = m,
                       .N = k,
                       .K = o};
    linear_product(ctx, &p);
    inputs_free(&in);
}

void ROUNDING(matmul_backward_weight)(Context *ctx, float *dweight, const float *dout,
                                      const float *x, int M, int K, int O)
{
    size_t m = (size_t)M, k = (size_t)K, o = (size_t)O;
    Inputs in = {.ctx = ctx};
    LinearProduct p = {.a = input_floats(&in, dout, m * o),
                       .b = input_floats(&in, x, m * k),
                       .start = input_floats(&in, dweight, o * k),
                       .start_period = o * k,
                       .a_row = 1,
                       .a_step = o,
                       .b_row = 1,
                       .b_step = k,
                       .M = o,
                       .N = k,
                       .K = m};
    linear_product(ctx, &p);
    inputs_free(&in);
}

/* --- LoRA --- */

/* What both ops read of an adapter, on the host. */
typedef struct Adapter {
    const float *a, *b;
    const int *positions, *slots;
    Rounded scale;
} Adapter;

static Adapter adapter_of(Inputs *in, const Lora *lora, size_t N, size_t C, size_t O)
{
    size_t R = (size_t)lora->R;
    int dropout = lora->dropout.p > 0.0f;
    return (Adapter){input_floats(in, lora->a, R * C), input_floats(in, lora->b, O * R),
                     dropout ? input_ints(in, lora->positions, N) : NULL,
                     dropout ? input_ints(in, lora->slots, N) : NULL, exactly((double)lora->scale)};
}

static Rounded adapter_dropped(const Adapter *adapter, const Lora *lora, Rounded x, size_t n,
                               size_t c)
{
    return adapter->slots
               ? dropped_out(x, &lora->dropout, c, adapter->positions[n], 0, adapter->slots[n])
               : x;
}

void ROUNDING(lora_forward)(Context *ctx, float *out, float *mid, const float *x, const Lora *lora,
                            int N, int C, int O)
{
    (void)mid;
    size_t rows = (size_t)N, width = (size_t)C, outputs = (size_t)O, R = (size_t)lora->R;
    Inputs in = {.ctx = ctx};
    Adapter adapter = adapter_of(&in, lora, rows, width, outputs);
    const float *values = input_floats(&in, x, rows * width),
                *before = input_floats(&in, out, rows * outputs);
    Rounded *mids = memory_alloc(rows * R + 1, sizeof *mids);
#pragma omp parallel for num_threads(ctx->threads)
    for (size_t n = 0; n < rows; n++) {
        for (size_t r = 0; r < R; r++) {
            RoundedSum sum = matrix_sum(ctx);
            for (size_t c = 0; c < width; c++) {
                sum_add_product(&sum,
                                adapter_dropped(&adapter, lora, at(values, n * width + c), n, c),
                                at(adapter.a, r * width + c));
            }
            mids[n * R + r] = times(adapter.scale, sum_end(&sum));
            output_set(ctx, 0, n * R + r, mids[n * R + r]);
        }
        for (size_t o = 0; o < outputs; o++) {
            RoundedSum sum = matrix_sum(ctx);
            sum_add(&sum, at(before, n * outputs + o));
            for (size_t r = 0; r < R; r++) {
                sum_add_product(&sum, mids[n * R + r], at(adapter.b, o * R + r));
            }
            output_set(ctx, 1, n * outputs + o, sum_end(&sum));
        }
    }
    free(mids);
    inputs_free(&in);
}

void ROUNDING(lora_backward)(Context *ctx, float *dx, float *da, float *db, const float *dout,
                             const float *mid, const float *x, const Lora *lora, int N, int C,
                             int O)
{
    size_t rows = (size_t)N, width = (size_t)C, outputs = (size_t)O, R = (size_t)lora->R;
    Inputs in = {.ctx = ctx};
    Adapter adapter = adapter_of(&in, lora, rows, width, outputs);
    const float *values = input_floats(&in, x, rows * width),
                *mids = input_floats(&in, mid, rows * R),
                *d = input_floats(&in, dout, rows * outputs),
                *dx_before = input_floats(&in, dx, rows * width),
                *da_before = input_floats(&in, da, R * width),
                *db_before = input_floats(&in, db, outputs * R);
    Rounded *dmid = memory_alloc(rows * R + 1, sizeof *dmid);
#pragma omp parallel for num_threads(ctx->threads)
    for (size_t n = 0; n < rows; n++) {
        for (size_t r = 0; r < R; r++) {
            RoundedSum sum = matrix_sum(ctx);
            sum_add_products(&sum, d + n * outputs, 1, adapter.b + r, R, outputs);
            dmid[n * R + r] = times(adapter.scale, sum_end(&sum));
        }
        for (size_t c = 0; c < (dx ? width : 0); c++) {
            RoundedSum sum = matrix_sum(ctx);
            Rounded start = at(dx_before, n * width + c);
            sum_add(&sum, adapter.slots ? exactly(0) : start);
            for (size_t r = 0; r < R; r++) {
                sum_add_product(&sum, dmid[n * R + r], at(adapter.a, r * width + c));
            }
            Rounded share = adapter_dropped(&adapter, lora, sum_end(&sum), n, c);
            output_set(ctx, 0, n * width + c, adapter.slots ? plus(start, share) : share);
        }
    }
#pragma omp parallel for num_threads(ctx->threads)
    for (size_t i = 0; i < (is_wanted(ctx, 1) ? R * width : 0); i++) {
        RoundedSum sum = matrix_sum(ctx);
        sum_add(&sum, at(da_before, i));
        for (size_t n = 0; n < rows; n++) {
            size_t c = i % width;
            sum_add_product(&sum, dmid[n * R + i / width],
                            adapter_dropped(&adapter, lora, at(values, n * width + c), n, c));
        }
        output_set(ctx, 1, i, sum_end(&sum));
    }
#pragma omp parallel for num_threads(ctx->threads)
    for (size_t i = 0; i < outputs * R; i++) {
        RoundedSum sum = matrix_sum(ctx);
        sum_add(&sum, at(db_before, i));
        sum_add_products(&sum, d + i / R, outputs, mids + i % R, R, rows);
        output_set(ctx, 2, i, sum_end(&sum));
    }
    free(dmid);
    inputs_free(&in);
}

/* --- attention --- */

/* The inputs of a call on the host. */
typedef struct Attention {
    const AttentionShape *shape;
    const DropoutSite *dropout;
    const float *q, *k, *v;
    const int *cu_q, *cu_k, *q_position, *slot;
    size_t H, K, D, q_stride, kv_stride;
} Attention;

static Attention attention_of(Inputs *in, const float *q, const float *k, const float *v,
                              const AttentionShape *s, const DropoutSite *dropout)
{
    Attention a = {.shape = s,
                   .dropout = dropout,
                   .H = (size_t)s->H,
                   .K = (size_t)s->K,
                   .D = (size_t)s->D,
                   .q_stride = (size_t)s->q_stride,
                   .kv_stride = (size_t)s->kv_stride};
    size_t B = (size_t)s->B, q_rows = (size_t)s->q_rows, k_rows = (size_t)s->k_rows,
           q_floats = q_rows ? (q_rows - 1) * a.q_stride + a.H * a.D : 0,
           kv_floats = k_rows ? (k_rows - 1) * a.kv_stride + a.K * a.D : 0;
    a.q = input_floats(in, q, q_floats);
    a.k = input_floats(in, k, kv_floats);
    a.v = input_floats(in, v, kv_floats);
    a.cu_q = input_ints(in, s->cu_q, B + 1);
    a.cu_k = input_ints(in, s->cu_k, B + 1);
    a.q_position = input_ints(in, s->q_position, B);
    a.slot = input_ints(in, s->slot, B);
    return a;
}

/* One query of a head: its row, the first key of its sequence, how many it sees; where its D values
 * stand in q, and those of its first key in k and v, kv_stride from key to key. */
typedef struct Query {
    int position, head, slot;
    size_t row, seen, first, q_at, k_at;
} Query;

static Query query_of(const Attention *a, int b, size_t h, int i)
{
    int keys = a->cu_k[b + 1] - a->cu_k[b], position = a->q_position[b] + i,
        seen = a->shape->causal && position + 1 < keys ? position + 1 : keys;
    Query q = {.position = position,
               .head = (int)h,
               .slot = a->slot[b],
               .row = (size_t)(a->cu_q[b] + i),
               .seen = (size_t)seen,
               .first = (size_t)a->cu_k[b]};
    q.q_at = q.row * a->q_stride + h * a->D;
    q.k_at = q.first * a->kv_stride + h / (a->H / a->K) * a->D;
    return q;
}

static Rounded score(const Context *ctx, const Attention *a, const Query *q, size_t j)
{
    RoundedSum sum = matrix_sum(ctx);
    sum_add_products(&sum, a->q + q->q_at, 1, a->k + q->k_at + j * a->kv_stride, 1, a->D);
    return times(exactly((double)a->shape->scale), sum_end(&sum));
}

static Rounded key_dropped(const Attention *a, const Query *q, Rounded x, size_t j)
{
    return dropped_out(x, a->dropout, j, q->position, q->head, q->slot);
}

/* out, max and rsum of a query. e [seen] to work in. */
static void query_forward(Context *ctx, const Attention *a, const Query *q, Rounded *e)
{
    size_t to = q->row * a->H + (size_t)q->head;
    Rounded max = {-INFINITY, 0};
    RoundedSum sum = {0}, sum_of_max = {0};
    for (size_t j = 0; j < q->seen; j++) {
        e[j] = score(ctx, a, q, j);
        max.value = fmax(max.value, e[j].value);
        max.error = fmax(max.error, e[j].error);
    }
    output_set(ctx, 0, to, max);
    /* out is the same whatever is taken off the scores, so the error of max is in rsum alone, and in
     * the rounding of score - max */
    for (size_t j = 0; j < q->seen; j++) {
        double d = e[j].value - max.value;
        Rounded lower = rounded(d, e[j].error + ROUNDING_UNIT * max.error, 1);
        sum_add(&sum_of_max, exponential(minus(e[j], max)));
        e[j] = exponential(lower);
        sum_add(&sum, e[j]);
        e[j] = key_dropped(a, q, e[j], j);
    }
    output_set(ctx, 1, to, over(exactly(1), sum_end(&sum_of_max)));
    Rounded rsum = over(exactly(1), sum_end(&sum));
    for (size_t d = 0; d < (is_wanted(ctx, 2) ? a->D : 0); d++) {
        RoundedSum mix = matrix_sum(ctx);
        for (size_t j = 0; j < q->seen; j++) {
            sum_add_product(&mix, e[j], at(a->v, q->k_at + j * a->kv_stride + d));
        }
        output_set(ctx, 2, to * a->D + d, times(rsum, sum_end(&mix)));
    }
}

void ROUNDING(attention_forward)(Context *ctx, float *out, float *max, float *rsum, const float *q,
                                 const float *k, const float *v, const AttentionShape *shape,
                                 const DropoutSite *dropout)
{
    (void)out, (void)max, (void)rsum;
    Inputs in = {.ctx = ctx};
    Attention a = attention_of(&in, q, k, v, shape, dropout);
#pragma omp parallel for schedule(dynamic) num_threads(ctx->threads)
    for (int task = 0; task < shape->B * shape->H; task++) {
        int b = task / shape->H;
        Rounded *e = memory_alloc((size_t)shape->k_rows + 1, sizeof *e);
        for (int i = 0; i < a.cu_q[b + 1] - a.cu_q[b]; i++) {
            Query query = query_of(&a, b, (size_t)(task % shape->H), i);
            query_forward(ctx, &a, &query, e);
        }
        free(e);
    }
    inputs_free(&in);
}

/* What attention_backward reads besides, and the sums of dk and dv. */
typedef struct Gradients {
    const float *dout, *out, *max, *rsum;
    RoundedSum *dk, *dv; /* [k_rows, K D] */
} Gradients;

static void query_backward(Context *ctx, const Attention *a, const Gradients *g, const Query *q,
                           Rounded *ds)
{
    size_t D = a->D, to = q->row * a->H + (size_t)q->head, kv = (size_t)q->head / (a->H / a->K);
    const float *dout = g->dout + to * D;
    RoundedSum sum = {0};
    sum_add_products(&sum, dout, 1, g->out + to * D, 1, D);
    Rounded mean = sum_end(&sum), scale = exactly((double)a->shape->scale);
    for (size_t j = 0; j < q->seen; j++) {
        RoundedSum dot = matrix_sum(ctx);
        sum_add_products(&dot, dout, 1, a->v + q->k_at + j * a->kv_stride, 1, D);
        Rounded p = times(exponential(minus(score(ctx, a, q, j), at(g->max, to))), at(g->rsum, to)),
                dp = key_dropped(a, q, sum_end(&dot), j);
        ds[j] = times(times(p, minus(dp, mean)), scale);
        p = key_dropped(a, q, p, j);
        for (size_t d = 0; d < D; d++) {
            size_t key = ((q->first + j) * a->K + kv) * D + d;
            sum_add_product(&g->dk[key], ds[j], at(a->q, q->q_at + d));
            sum_add_product(&g->dv[key], p, at(dout, d));
        }
    }
    for (size_t d = 0; d < (is_wanted(ctx, 0) ? D : 0); d++) {
        RoundedSum dq = matrix_sum(ctx);
        for (size_t j = 0; j < q->seen; j++) {
            sum_add_product(&dq, ds[j], at(a->k, q->k_at + j * a->kv_stride + d));
        }
        output_set(ctx, 0, to * D + d, sum_end(&dq));
    }
}

void ROUNDING(attention_backward)(Context *ctx, float *dq, float *dk, float *dv, const float *dout,
                                  const float *q, const float *k, const float *v, const float *out,
                                  const float *max, const float *rsum, const AttentionShape *shape,
                                  const DropoutSite *dropout)
{
    (void)dq, (void)dk, (void)dv;
    Inputs in = {.ctx = ctx};
    Attention a = attention_of(&in, q, k, v, shape, dropout);
    size_t q_heads = (size_t)shape->q_rows * a.H, sums = (size_t)shape->k_rows * a.K * a.D;
    Gradients g = {.dout = input_floats(&in, dout, q_heads * a.D),
                   .out = input_floats(&in, out, q_heads * a.D),
                   .max = input_floats(&in, max, q_heads),
                   .rsum = input_floats(&in, rsum, q_heads),
                   .dk = memory_alloc(2 * sums + 1, sizeof *g.dk)};
    for (size_t i = 0; i < 2 * sums; i++) {
        g.dk[i] = matrix_sum(ctx);
    }
    g.dv = g.dk + sums;
    int group = shape->H / shape->K;
#pragma omp parallel for schedule(dynamic) num_threads(ctx->threads)
    for (int task = 0; task < shape->B * shape->K; task++) { /* a group of heads shares its keys */
        int b = task / shape->K, queries = a.cu_q[b + 1] - a.cu_q[b];
        Rounded *ds = memory_alloc((size_t)shape->k_rows + 1, sizeof *ds);
        for (int i = 0; i < queries * group; i++) {
            size_t head = (size_t)(task % shape->K * group + i / queries);
            Query query = query_of(&a, b, head, i % queries);
            query_backward(ctx, &a, &g, &query, ds);
        }
        free(ds);
    }
    for (size_t i = 0; i < sums; i++) {
        output_set(ctx, 1, i, sum_end(&g.dk[i]));
        output_set(ctx, 2, i, sum_end(&g.dv[i]));
    }
    free(g.dk);
    inputs_free(&in);
}
