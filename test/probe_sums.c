/* Every sum of ops.def, set up so that each of its terms can be chosen. What else the op computes
 * is made exact: factors of 1, means of 0, exp(0), divisions by powers of two. */
#include "probe.h"

#include <stdlib.h>
#include <string.h>

const int probe_lengths[SEQUENCES] = {7, 2, 0, 18, 13};
enum { TOKENS = 40 };

/* Zeroed floats of the device, until the sum was computed. */
static float *floats(Probe *p, size_t n)
{
    float *x = p->memory + p->used;
    p->used += (n + 15) / 16 * 16;
    memset(x, 0, n * sizeof *x);
    return x;
}

static float *filled(Probe *p, size_t n, float value)
{
    float *x = floats(p, n);
    for (size_t i = 0; i < n; i++) {
        x[i] = value;
    }
    return x;
}

static float *terms(Probe *p, const float *from, int n)
{
    float *x = floats(p, (size_t)n);
    memcpy(x, from, (size_t)n * sizeof *x);
    return x;
}

static int *integers(Probe *p, const int *values, int n)
{
    int *x = (int *)(void *)floats(p, (size_t)n);
    memcpy(x, values, (size_t)n * sizeof *x);
    return x;
}

/* Ends of sequences whose lengths are those of probe_lengths. */
static const int *sequences(Probe *p)
{
    int cu[SEQUENCES + 1] = {0};
    for (int i = 0; i < SEQUENCES; i++) {
        cu[i + 1] = cu[i] + probe_lengths[i];
    }
    return integers(p, cu, SEQUENCES + 1);
}

static double result(Probe *p, const float *at)
{
    Error error = {0};
    if (backend_wait(&p->backend, &error)) {
        fprintf(stderr, "probe: %s\n", error.text);
        exit(error.code);
    }
    p->used = 0;
    return (double)*at;
}

#define CALL(op, ...) p->backend.ops.op(&p->backend.ctx, __VA_ARGS__)

static Weight weight(const float *x)
{
    return (Weight){x, NULL};
}

/* --- products --- */

/* Factors in the last of `rows` rows, or columns; all others are 0. */
static float *last_row(Probe *p, const float *from, int rows, int n)
{
    float *x = floats(p, (size_t)rows * (size_t)n);
    memcpy(x + (size_t)(rows - 1) * (size_t)n, from, (size_t)n * sizeof *x);
    return x;
}

static float *last_column(Probe *p, const float *from, int n, int columns)
{
    float *x = floats(p, (size_t)n * (size_t)columns);
    for (int i = 0; i < n; i++) {
        x[(size_t)(i + 1) * (size_t)columns - 1] = from[i];
    }
    return x;
}

static double matmul_forward(Probe *p, int n, int observe)
{
    (void)observe;
    int M = p->rows, O = p->columns;
    float *out = floats(p, (size_t)M * (size_t)O);
    CALL(matmul_forward, out, last_row(p, p->a, M, n), weight(last_row(p, p->b, O, n)),
         last_row(p, p->a + n, O, 1), M, n, O);
    return result(p, out + (size_t)M * (size_t)O - 1);
}

static double matmul_backward_input(Probe *p, int n, int observe)
{
    (void)observe;
    int M = p->rows, K = p->columns;
    float *dx = last_row(p, p->a + n, M * K, 1);
    CALL(matmul_backward_input, dx, last_row(p, p->a, M, n), weight(last_column(p, p->b, n, K)), M,
         K, n, 1);
    return result(p, dx + (size_t)M * (size_t)K - 1);
}

static double matmul_backward_weight(Probe *p, int n, int observe)
{
    (void)observe;
    int O = p->rows, K = p->columns;
    float *dweight = last_row(p, p->a + n, O * K, 1);
    CALL(matmul_backward_weight, dweight, last_column(p, p->a, n, O), last_column(p, p->b, n, K), n,
         K, O);
    return result(p, dweight + (size_t)O * (size_t)K - 1);
}

/* --- adapters: scale 1, nothing dropped --- */

static double lora_forward_mid(Probe *p, int n, int observe)
{
    (void)observe;
    float *mid = floats(p, 1);
    Lora lora = {.a = terms(p, p->b, n), .b = floats(p, 1), .R = 1, .scale = 1};
    CALL(lora_forward, floats(p, 1), mid, terms(p, p->a, n), &lora, 1, n, 1);
    return result(p, mid);
}

static double lora_forward_out(Probe *p, int n, int observe)
{
    (void)observe;
    float *out = terms(p, p->a + n, 1);
    Lora lora = {.a = terms(p, p->a, n), .b = terms(p, p->b, n), .R = n, .scale = 1};
    CALL(lora_forward, out, floats(p, (size_t)n), filled(p, 1, 1), &lora, 1, 1, 1);
    return result(p, out);
}

/* N tokens, or O outputs, or R ranks; all else 1. */
static void lora_backward(Probe *p, float *dx, float *da, float *db, const float *dout,
                          const float *mid, const float *x, const float *a, const float *b, int N,
                          int O, int R)
{
    Lora lora = {.a = a, .b = b, .R = R, .scale = 1};
    CALL(lora_backward, dx, da, db, dout, mid, x, &lora, N, 1, O);
}

static double lora_backward_db(Probe *p, int n, int observe)
{
    (void)observe;
    float *db = terms(p, p->a + n, 1);
    lora_backward(p, NULL, floats(p, 1), db, terms(p, p->a, n), terms(p, p->b, n),
                  floats(p, (size_t)n), floats(p, 1), floats(p, 1), n, 1, 1);
    return result(p, db);
}

static double lora_backward_da(Probe *p, int n, int observe)
{
    (void)observe;
    float *da = terms(p, p->a + n, 1);
    lora_backward(p, NULL, da, floats(p, 1), terms(p, p->a, n), floats(p, (size_t)n),
                  terms(p, p->b, n), floats(p, 1), filled(p, 1, 1), n, 1, 1);
    return result(p, da);
}

static double lora_backward_dmid(Probe *p, int n, int observe)
{
    (void)observe;
    float *da = floats(p, 1);
    lora_backward(p, NULL, da, floats(p, (size_t)n), terms(p, p->a, n), floats(p, 1),
                  filled(p, 1, 1), floats(p, 1), terms(p, p->b, n), 1, n, 1);
    return result(p, da);
}

static double lora_backward_dx(Probe *p, int n, int observe)
{
    (void)observe;
    float *dx = terms(p, p->a + n, 1);
    lora_backward(p, dx, floats(p, (size_t)n), floats(p, (size_t)n), filled(p, 1, 1),
                  floats(p, (size_t)n), floats(p, 1), terms(p, p->b, n), terms(p, p->a, n), 1, 1,
                  n);
    return result(p, dx);
}

/* --- gradients over tokens --- */

static double bias_backward(Probe *p, int n, int observe)
{
    (void)observe;
    float *dbias = terms(p, p->a + n, 1);
    CALL(bias_backward, dbias, terms(p, p->a, n), sequences(p), SEQUENCES, n, 1);
    return result(p, dbias);
}

static double embedding_backward(Probe *p, int n, int observe)
{
    (void)observe;
    float *dtable = terms(p, p->a + n, 1);
    int *order = (int *)(void *)floats(p, (size_t)n);
    for (int i = 0; i < n; i++) {
        order[i] = i;
    }
    CALL(embedding_backward, dtable, terms(p, p->a, n), integers(p, (int[]){0}, 1),
         integers(p, (int[]){0, n}, 2), order, 1, n, 1);
    return result(p, dtable);
}

/* dweight and dbias of a channel; xhat is b. */
static double layernorm_backward_parameter(Probe *p, int n, int bias)
{
    float *dweight = terms(p, p->a + n, 1), *dbias = terms(p, p->a + n, 1),
          *dx = floats(p, (size_t)n);
    CALL(layernorm_backward, dx, dweight, dbias, terms(p, p->a, n), terms(p, p->b, n),
         floats(p, (size_t)n), filled(p, (size_t)n, 1), filled(p, 1, 1), sequences(p), SEQUENCES, n,
         1);
    return result(p, bias ? dbias : dweight);
}

static double layernorm_backward_dweight(Probe *p, int n, int observe)
{
    (void)observe;
    return layernorm_backward_parameter(p, n, 0);
}

static double layernorm_backward_dbias(Probe *p, int n, int observe)
{
    (void)observe;
    return layernorm_backward_parameter(p, n, 1);
}

static double rmsnorm_backward_dweight(Probe *p, int n, int observe)
{
    (void)observe;
    float *dweight = terms(p, p->a + n, 1);
    CALL(rmsnorm_backward, floats(p, (size_t)n), dweight, terms(p, p->a, n), terms(p, p->b, n),
         filled(p, (size_t)n, 1), filled(p, 1, 1), sequences(p), SEQUENCES, n, 1);
    return result(p, dweight);
}

/* --- norms: one row --- */

typedef struct Row {
    float *out, *sum, *mean, *rstd, *x, *residual, *weight, *bias;
} Row;

static Row row(Probe *p, int n)
{
    size_t C = (size_t)n;
    return (Row){floats(p, C),      floats(p, C), floats(p, 1),    floats(p, 1),
                 terms(p, p->a, n), floats(p, C), filled(p, C, 1), floats(p, C)};
}

static Row layernorm(Probe *p, int n, int residual)
{
    Row r = row(p, n);
    if (residual) {
        CALL(residual_layernorm_forward, r.out, r.sum, r.mean, r.rstd, r.residual, r.x, r.weight,
             r.bias, 1, n, 0);
    } else {
        CALL(layernorm_forward, r.out, r.mean, r.rstd, r.x, r.weight, r.bias, 1, n, 0);
    }
    return r;
}

static double layernorm_mean(Probe *p, int n, int observe)
{
    (void)observe;
    return result(p, layernorm(p, n, 0).mean);
}

static double residual_layernorm_mean(Probe *p, int n, int observe)
{
    (void)observe;
    return result(p, layernorm(p, n, 1).mean);
}

static double layernorm_squares(Probe *p, int n, int observe)
{
    (void)observe;
    return result(p, layernorm(p, n, 0).rstd);
}

static double residual_layernorm_squares(Probe *p, int n, int observe)
{
    (void)observe;
    return result(p, layernorm(p, n, 1).rstd);
}

static double rmsnorm_squares(Probe *p, int n, int observe)
{
    (void)observe;
    Row r = row(p, n);
    CALL(rmsnorm_forward, r.out, r.rstd, r.x, r.weight, 1, n, 0);
    return result(p, r.rstd);
}

static double residual_rmsnorm_squares(Probe *p, int n, int observe)
{
    (void)observe;
    Row r = row(p, n);
    CALL(residual_rmsnorm_forward, r.out, r.sum, r.rstd, r.residual, r.x, r.weight, 1, n, 0);
    return result(p, r.rstd);
}

/* lanes(g), where xhat is 0: dx of a channel without a gradient. */
static double layernorm_backward_mean(Probe *p, int n, int observe)
{
    size_t C = (size_t)n;
    float *dx = floats(p, C);
    CALL(layernorm_backward, dx, NULL, NULL, terms(p, p->a, n), floats(p, C), floats(p, 1),
         filled(p, 1, 1), filled(p, C, 1), NULL, 1, 1, n);
    return result(p, dx + observe);
}

/* lanes(g xhat): xhat is 2^20 b, and g 2^-20 a, so that lanes(g) is small beside it. */
static double backward_product(Probe *p, int n, int observe, int rms)
{
    size_t C = (size_t)n;
    float *dx = floats(p, C), *dout = terms(p, p->a, n), *x = terms(p, p->b, n);
    for (int c = 0; c < n; c++) {
        dout[c] *= 0x1p-20f;
        x[c] *= 0x1p20f;
    }
    x[observe] = 1;
    if (rms) {
        CALL(rmsnorm_backward, dx, NULL, dout, x, filled(p, 1, 1), filled(p, C, 1), NULL, 1, 1, n);
    } else {
        CALL(layernorm_backward, dx, NULL, NULL, dout, x, floats(p, 1), filled(p, 1, 1),
             filled(p, C, 1), NULL, 1, 1, n);
    }
    return result(p, dx + observe);
}

static double layernorm_backward_product(Probe *p, int n, int observe)
{
    return backward_product(p, n, observe, 0);
}

static double rmsnorm_backward_product(Probe *p, int n, int observe)
{
    return backward_product(p, n, observe, 1);
}

/* --- attention: one sequence, one head, queries, keys and channels as asked for --- */

typedef struct Attention {
    float *q, *k, *v, *dout, *out, *max, *rsum, *dq, *dk, *dv;
    AttentionShape shape;
    DropoutSite site;
} Attention;

static Attention attention(Probe *p, int heads, int queries, int keys, int D)
{
    size_t of_q = (size_t)queries * (size_t)heads * (size_t)D, of_k = (size_t)keys * (size_t)D,
           rows = (size_t)queries * (size_t)heads;
    return (Attention){.q = floats(p, of_q),
                       .k = floats(p, of_k),
                       .v = floats(p, of_k),
                       .dout = floats(p, of_q),
                       .out = floats(p, of_q),
                       .max = floats(p, rows),
                       .rsum = filled(p, rows, 1),
                       .dq = floats(p, of_q),
                       .dk = floats(p, of_k),
                       .dv = floats(p, of_k),
                       .shape = {.B = 1,
                                 .H = heads,
                                 .K = 1,
                                 .D = D,
                                 .q_rows = queries,
                                 .k_rows = keys,
                                 .longest = queries > keys ? queries : keys,
                                 .scale = 1,
                                 .cu_q = integers(p, (int[]){0, queries}, 2),
                                 .cu_k = integers(p, (int[]){0, keys}, 2),
                                 .q_position = integers(p, (int[]){0}, 1),
                                 .slot = integers(p, (int[]){0}, 1),
                                 .q_stride = heads * D,
                                 .kv_stride = D}};
}

static void forward(Probe *p, Attention *t)
{
    CALL(attention_forward, t->out, t->max, t->rsum, t->q, t->k, t->v, &t->shape, &t->site);
}

static void backward(Probe *p, Attention *t)
{
    CALL(attention_backward, t->dq, t->dk, t->dv, t->dout, t->q, t->k, t->v, t->out, t->max,
         t->rsum, &t->shape, &t->site);
}

static void set(float *to, const float *from, int n, int stride)
{
    for (int i = 0; i < n; i++) {
        to[i * stride] = from[i];
    }
}

static double attention_score(Probe *p, int n, int observe)
{
    (void)observe;
    Attention t = attention(p, 1, 1, 1, n);
    set(t.q, p->a, n, 1);
    set(t.k, p->b, n, 1);
    forward(p, &t);
    return result(p, t.max);
}

static double attention_normaliser(Probe *p, int n, int observe)
{
    (void)observe;
    Attention t = attention(p, 1, 1, n, 1);
    set(t.k, p->a, n, 1);
    t.q[0] = 1;
    forward(p, &t);
    return result(p, t.rsum);
}

/* Equal scores: weights of 1, and one over a power of two. */
static double attention_out(Probe *p, int n, int observe)
{
    (void)observe;
    Attention t = attention(p, 1, 1, n, 1);
    set(t.v, p->a, n, 1);
    forward(p, &t);
    return result(p, t.out);
}

/* exp(score - max), in dv: the max is that of the large term alone. */
static double attention_backward_score(Probe *p, int n, int observe)
{
    (void)observe;
    Attention t = attention(p, 1, 1, 1, n);
    set(t.q, p->a, n, 1);
    set(t.k, p->b, n, 1);
    t.max[0] = 1;
    t.dout[0] = 1;
    backward(p, &t);
    return result(p, t.dv);
}

static double attention_backward_mean(Probe *p, int n, int observe)
{
    Attention t = attention(p, 1, 1, 1, n);
    set(t.dout, p->a, n, 1);
    set(t.out, p->b, n, 1);
    t.k[observe] = 1;
    backward(p, &t);
    return result(p, t.dq + observe);
}

static double attention_backward_dp(Probe *p, int n, int observe)
{
    Attention t = attention(p, 1, 1, 1, n);
    set(t.dout, p->a, n, 1);
    set(t.v, p->b, n, 1);
    t.k[observe] = 1;
    backward(p, &t);
    return result(p, t.dq + observe);
}

static double attention_backward_dq(Probe *p, int n, int observe)
{
    (void)observe;
    Attention t = attention(p, 1, 1, n, 1);
    set(t.v, p->a, n, 1);
    set(t.k, p->b, n, 1);
    t.dout[0] = 1;
    backward(p, &t);
    return result(p, t.dq);
}

enum { GROUP = 4 }; /* heads that share the keys */

/* Terms go over the heads of the group, and for each over its queries. */
static void set_queries(float *to, const float *from, int n)
{
    for (int i = 0; i < n; i++) {
        to[i % (n / GROUP) * GROUP + i / (n / GROUP)] = from[i];
    }
}

static double attention_backward_dk(Probe *p, int n, int observe)
{
    (void)observe;
    Attention t = attention(p, GROUP, n / GROUP, 1, 1);
    set_queries(t.dout, p->a, n);
    set_queries(t.q, p->b, n);
    t.v[0] = 1;
    backward(p, &t);
    return result(p, t.dk);
}

static double attention_backward_dv(Probe *p, int n, int observe)
{
    (void)observe;
    Attention t = attention(p, GROUP, n / GROUP, 1, 1);
    set_queries(t.dout, p->a, n);
    backward(p, &t);
    return result(p, t.dv);
}

/* --- losses --- */

/* log(sum), for a label that has the largest score, 0. */
static double cross_entropy(Probe *p, int n, int observe)
{
    float *losses = floats(p, 1);
    CALL(cross_entropy, losses, NULL, terms(p, p->a, n), integers(p, &observe, 1), 1, n, 1);
    return result(p, losses);
}

static double vocabulary_score(Probe *p, int n, int observe)
{
    (void)observe;
    float *losses = floats(p, 1), *words = floats(p, 2 * (size_t)n);
    for (int c = 0; c < n; c++) {
        words[c] = 128 * p->b[c];
    }
    CALL(linear_cross_entropy, losses, NULL, NULL, terms(p, p->a, n), weight(words),
         integers(p, (int[]){1}, 1), 1, n, 2, 1);
    return result(p, losses);
}

static double vocabulary_normaliser(Probe *p, int n, int observe)
{
    float *losses = floats(p, 1);
    CALL(linear_cross_entropy, losses, NULL, NULL, filled(p, 1, 1), weight(terms(p, p->a, n)),
         integers(p, &observe, 1), 1, 1, n, 1);
    return result(p, losses);
}

/* Equal scores; the gradients of all words but the target are 1. */
static double vocabulary_dx(Probe *p, int n, int observe)
{
    float *dx = floats(p, 2), *words = floats(p, 2 * (size_t)n);
    set(words + 1, p->a, n, 2);
    CALL(linear_cross_entropy, floats(p, 1), dx, NULL, floats(p, 2), weight(words),
         integers(p, &observe, 1), 1, 2, n, (float)n);
    return result(p, dx + 1);
}

static double vocabulary_dweight(Probe *p, int n, int observe)
{
    (void)observe;
    float *dweight = floats(p, 2);
    dweight[1] = p->a[n];
    CALL(linear_cross_entropy, floats(p, (size_t)n), floats(p, (size_t)n), dweight,
         terms(p, p->a, n), weight(floats(p, 2)), (int *)(void *)floats(p, (size_t)n), n, 1, 2, 2);
    return result(p, dweight + 1);
}

static double sum_losses(Probe *p, int n, int observe)
{
    (void)observe;
    double *sum = (double *)(void *)floats(p, 2);
    *sum = (double)p->a[n];
    CALL(sum_losses, sum, terms(p, p->a, n), n);
    result(p, p->memory);
    return *sum;
}

/* --- the optimizer, the embedding --- */

static double sum_squares(Probe *p, int n, int observe)
{
    (void)observe;
    float *partial = floats(p, 1);
    CALL(sum_squares, partial, terms(p, p->a, n), (size_t)n);
    return result(p, partial);
}

static double gradient_norm(Probe *p, int n, int observe)
{
    (void)observe;
    StepSums *sums = (StepSums *)(void *)floats(p, sizeof *sums / sizeof(float));
    CALL(gradient_norm, sums, terms(p, p->a, n), (size_t)n, 0);
    result(p, p->memory);
    return sums->norm;
}

static double embedding_forward(Probe *p, int n, int observe)
{
    (void)n;
    (void)observe;
    float *out = floats(p, 1);
    const int *first = integers(p, (int[]){0}, 1);
    CALL(embedding_forward, out, first, first, first, weight(terms(p, p->a, 1)),
         weight(terms(p, p->a + 2, 1)), weight(terms(p, p->a + 1, 1)), 1, 1);
    return result(p, out);
}

const Sum probe_sums[] = {
    {"embedding_forward", "out, over word, type, position", TERM_PLAIN, ORDER_CHAIN, 3, 0, 0,
     embedding_forward},
    {"embedding_backward", "dtable, over tokens", TERM_PLAIN, ORDER_CHAIN, 50, 1, 0,
     embedding_backward},
    {"layernorm_forward", "mean, over channels", TERM_PLAIN, ORDER_LANES, 256, 0, 0,
     layernorm_mean},
    {"layernorm_forward", "rstd, over channels", TERM_CENTERED, ORDER_LANES, 230, 0, 0,
     layernorm_squares},
    {"residual_layernorm_forward", "mean, over channels", TERM_PLAIN, ORDER_LANES, 256, 0, 0,
     residual_layernorm_mean},
    {"residual_layernorm_forward", "rstd, over channels", TERM_CENTERED, ORDER_LANES, 230, 0, 0,
     residual_layernorm_squares},
    {"layernorm_backward", "dx, lanes(g)", TERM_PLAIN, ORDER_LANES, 256, 0, 0,
     layernorm_backward_mean},
    {"layernorm_backward", "dx, lanes(g xhat)", TERM_PRODUCT, ORDER_LANES, 256, 0, 0,
     layernorm_backward_product},
    {"layernorm_backward", "dweight, over tokens", TERM_PRODUCT, ORDER_TOKENS, TOKENS, 1, 0,
     layernorm_backward_dweight},
    {"layernorm_backward", "dbias, over tokens", TERM_PLAIN, ORDER_TOKENS, TOKENS, 1, 0,
     layernorm_backward_dbias},
    {"rmsnorm_forward", "rstd, over channels", TERM_SQUARE, ORDER_LANES, 230, 0, 0,
     rmsnorm_squares},
    {"residual_rmsnorm_forward", "rstd, over channels", TERM_SQUARE, ORDER_LANES, 230, 0, 0,
     residual_rmsnorm_squares},
    {"rmsnorm_backward", "dx, lanes(g xhat)", TERM_PRODUCT, ORDER_LANES, 256, 0, 0,
     rmsnorm_backward_product},
    {"rmsnorm_backward", "dweight, over tokens", TERM_PRODUCT, ORDER_TOKENS, TOKENS, 1, 0,
     rmsnorm_backward_dweight},
    {"matmul_forward", "out, over k", TERM_PRODUCT, ORDER_CHAIN, 700, 1, 0, matmul_forward},
    {"matmul_backward_input", "dx, over o", TERM_PRODUCT, ORDER_CHAIN, 700, 1, 0,
     matmul_backward_input},
    {"matmul_backward_weight", "dweight, over tokens", TERM_PRODUCT, ORDER_CHAIN, 700, 1, 0,
     matmul_backward_weight},
    {"lora_forward", "mid, over c", TERM_PRODUCT, ORDER_CHAIN, 300, 0, 0, lora_forward_mid},
    {"lora_forward", "out, over r", TERM_PRODUCT, ORDER_CHAIN, 40, 1, 0, lora_forward_out},
    {"lora_backward", "db, over tokens", TERM_PRODUCT, ORDER_CHAIN, 150, 1, 0, lora_backward_db},
    {"lora_backward", "da, over tokens", TERM_PRODUCT, ORDER_CHAIN, 150, 1, 0, lora_backward_da},
    {"lora_backward", "dmid, over o", TERM_PRODUCT, ORDER_CHAIN, 300, 0, 0, lora_backward_dmid},
    {"lora_backward", "dx, over r", TERM_PRODUCT, ORDER_CHAIN, 40, 1, 0, lora_backward_dx},
    {"bias_backward", "dbias, over tokens", TERM_PLAIN, ORDER_TOKENS, TOKENS, 1, 0, bias_backward},
    {"attention_forward", "max, over d", TERM_PRODUCT, ORDER_CHAIN, 128, 0, 0, attention_score},
    {"attention_forward", "rsum, over keys", TERM_EXP, ORDER_LANES, 300, 0, 0,
     attention_normaliser},
    {"attention_forward", "out, over keys", TERM_PLAIN, ORDER_CHAIN, 512, 0, 0, attention_out},
    {"attention_backward", "scores, over d", TERM_PRODUCT, ORDER_CHAIN, 128, 0, 0,
     attention_backward_score},
    {"attention_backward", "mean, over d", TERM_PRODUCT, ORDER_LANES, 128, 0, 0,
     attention_backward_mean},
    {"attention_backward", "dp, over d", TERM_PRODUCT, ORDER_CHAIN, 128, 0, 0,
     attention_backward_dp},
    {"attention_backward", "dq, over keys", TERM_PRODUCT, ORDER_CHAIN, 300, 0, 0,
     attention_backward_dq},
    {"attention_backward", "dk, over heads and queries", TERM_PRODUCT, ORDER_CHAIN, 300, 0, 0,
     attention_backward_dk},
    {"attention_backward", "dv, over heads and queries", TERM_PLAIN, ORDER_CHAIN, 300, 0, 0,
     attention_backward_dv},
    {"cross_entropy", "sum, over classes", TERM_EXP, ORDER_LANES, 100, 0, 0, cross_entropy},
    {"linear_cross_entropy", "scores, over c", TERM_PRODUCT, ORDER_CHAIN, 300, 0, 0,
     vocabulary_score},
    {"linear_cross_entropy", "sum, over words", TERM_EXP, ORDER_BLOCKS, VOCABULARY_BLOCK + 100, 0,
     0, vocabulary_normaliser},
    {"linear_cross_entropy", "dx, over words", TERM_PLAIN, ORDER_CHAIN, 256, 0, 0, vocabulary_dx},
    {"linear_cross_entropy", "dweight, over tokens", TERM_PLAIN, ORDER_CHAIN, 100, 1, 0,
     vocabulary_dweight},
    {"sum_losses", "over examples", TERM_PLAIN, ORDER_CHAIN, 50, 1, 1, sum_losses},
    {"sum_squares", "of a group", TERM_SQUARE, ORDER_LANES, 1000, 0, 0, sum_squares},
    {"gradient_norm", "over groups", TERM_PLAIN, ORDER_WIDE_LANES, 2500, 0, 1, gradient_norm},
};
const int probe_sum_count = sizeof probe_sums / sizeof *probe_sums;

/* Lanes of the terms from first on: their sum's node. */
static int add_lanes(SumTree *tree, int first, int terms, int lanes)
{
    int nodes[1024];
    for (int l = 0; l < lanes; l++) {
        nodes[l] = l < terms ? first + l : -1;
        for (int i = l + lanes; i < terms; i += lanes) {
            nodes[l] = sum_tree_add(tree, nodes[l], first + i);
        }
    }
    for (int half = lanes / 2; half; half /= 2) {
        for (int l = 0; l < half; l++) {
            if (nodes[l + half] >= 0) { /* an empty lane adds 0 */
                nodes[l] = sum_tree_add(tree, nodes[l], nodes[l + half]);
            }
        }
    }
    return nodes[0];
}

static int add_chain(SumTree *tree, int from, int first, int terms)
{
    int node = from;
    for (int i = 0; i < terms; i++) {
        node = node < 0 ? first + i : sum_tree_add(tree, node, first + i);
    }
    return node;
}

void probe_contract(SumTree *tree, const Sum *sum)
{
    int n = sum->terms, start = sum->start ? n : -1;
    sum_tree_init(tree, n + sum->start);
    if (sum->order == ORDER_CHAIN) {
        add_chain(tree, start, 0, n);
    } else if (sum->order == ORDER_TOKENS) {
        for (int s = 0, first = 0, all = start; s < SEQUENCES; first += probe_lengths[s++]) {
            int one = add_chain(tree, -1, first, probe_lengths[s]);
            all = one < 0 ? all : sum_tree_add(tree, all, one);
        }
    } else if (sum->order == ORDER_BLOCKS) {
        int all = -1;
        for (int first = 0; first < n; first += VOCABULARY_BLOCK) {
            int words = n - first < VOCABULARY_BLOCK ? n - first : VOCABULARY_BLOCK;
            int block = add_lanes(tree, first, words, LANES);
            all = all < 0 ? block : sum_tree_add(tree, all, block);
        }
    } else {
        add_lanes(tree, 0, n, sum->order == ORDER_LANES ? LANES : 1024);
    }
}
