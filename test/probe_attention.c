/* The sums of attention and of losses. */
#include "probe_terms.h"

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

static const Sum sums[] = {
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
};
const SumList probe_attention = {sums, sizeof sums / sizeof *sums};
