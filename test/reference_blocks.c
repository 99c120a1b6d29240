/* The definitions of ops.def's products by blocks of bf16 operands, as --dtype has them: written from
 * DETERMINISM.md as plain loops, over the models of block sums of test/tensor_core.c. */
#include "ops_reference.h"
#include "tensor_core.h"

#include <stdlib.h>
#include <string.h>

/* Which one: blocks of 16 or 8 of tensor cores, or of AMX's 32. */
typedef struct Definition {
    size_t length;
    TensorCore core; /* length 0: AMX */
} Definition;

static const Definition block16 = {16, {16, 25}}, block8 = {8, {8, 24}}, tile = {32, {0, 0}};

/* The nearer one of the two bf16 numbers around x; of two that are as near the one that ends in 0. */
static uint16_t nearest(float x)
{
    uint32_t toward_zero = float_to_bits(x) & 0xFFFF0000u;
    double exact = fabs((double)x), low = fabs((double)bits_to_float(toward_zero)),
           high = ldexp(1, 128);
    if ((toward_zero & 0x7FFF0000u) != 0x7F7F0000u) {
        high = fabs((double)bits_to_float(toward_zero + 0x10000u));
    }
    int up = exact - low > high - exact || (exact - low == high - exact && toward_zero >> 16 & 1);
    return (uint16_t)((toward_zero >> 16) + (uint32_t)up);
}

static float flushed(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}

/* a b + c of bf16 a, b, where subnormal numbers are zeros: what has more than 24 bits is rounded as if
 * exponents had no end, and is a zero if that is below 2^-126. */
static float flushing_fma(float a, float b, float c)
{
    double exact = (double)flushed(a) * (double)flushed(b) + (double)flushed(c);
    float sum = fmaf(flushed(a), flushed(b), flushed(c));
    return fabs(exact) < 0x1.ffffffp-127 && !(fabsf(sum) > 0x1p-126f) ? copysignf(0, sum)
                                                                      : flushed(sum);
}

static float amx_block(const uint16_t *a, const uint16_t *b, float c)
{
    float even = 0, odd = 0;
    for (int i = 0; i < 32; i += 2) {
        even = flushing_fma(bits_to_float((uint32_t)a[i] << 16),
                            bits_to_float((uint32_t)b[i] << 16), even);
        odd = flushing_fma(bits_to_float((uint32_t)a[i + 1] << 16),
                           bits_to_float((uint32_t)b[i + 1] << 16), odd);
    }
    return flushed(flushed(c) + flushed(even + odd));
}

/* A copy in bf16 that the caller frees. */
static uint16_t *halves(const float *x, size_t n)
{
    uint16_t *copy = malloc((n + 1) * sizeof *copy);
    for (size_t i = 0; i < n; i++) {
        copy[i] = nearest(x[i]);
    }
    return copy;
}

static uint16_t *weight_halves(Weight weight, size_t n)
{
    uint16_t *copy = malloc((n + 1) * sizeof *copy);
    for (size_t i = 0; i < n; i++) {
        copy[i] = nearest(weight_at(weight, i));
    }
    return copy;
}

/* start + a b over n values, in blocks from the first one on; strides in elements. */
static float sum_of(const Definition *d, float start, const uint16_t *a, size_t a_stride,
                    const uint16_t *b, size_t b_stride, size_t n)
{
    for (size_t i = 0; i < n; i += d->length) {
        uint16_t x[32] = {0}, y[32] = {0};
        for (size_t j = 0; j < d->length && i + j < n; j++) {
            x[j] = a[(i + j) * a_stride];
            y[j] = b[(i + j) * b_stride];
        }
        start = d->core.length ? tensor_core_dot(d->core, x, y, d->length, start)
                               : amx_block(x, y, start);
    }
    return start;
}

/* --- linear layers --- */

static void forward(const Definition *d, float *out, const float *x, Weight weight,
                    const float *bias, int M, int K, int O)
{
    size_t k = (size_t)K, o = (size_t)O, m = (size_t)M;
    uint16_t *w = weight_halves(weight, k * o), *a = halves(x, m * k);
    for (size_t i = 0; i < m * o; i++) {
        out[i] = sum_of(d, bias ? bias[i % o] : 0, a + i / o * k, 1, w + i % o * k, 1, k);
    }
    free(w);
    free(a);
}

static void backward_input(const Definition *d, float *dx, const float *dout, Weight weight, int M,
                           int K, int O, int accumulate)
{
    size_t k = (size_t)K, o = (size_t)O, m = (size_t)M;
    uint16_t *w = weight_halves(weight, k * o), *a = halves(dout, m * o);
    for (size_t i = 0; i < m * k; i++) {
        dx[i] = sum_of(d, accumulate ? dx[i] : 0, a + i / k * o, 1, w + i % k, k, o);
    }
    free(w);
    free(a);
}

static void backward_weight(const Definition *d, float *dweight, const float *dout, const float *x,
                            int M, int K, int O)
{
    size_t k = (size_t)K, o = (size_t)O, m = (size_t)M;
    uint16_t *a = halves(dout, m * o), *b = halves(x, m * k);
    for (size_t i = 0; i < o * k; i++) {
        dweight[i] = sum_of(d, dweight[i], a + i / k, o, b + i % k, k, m);
    }
    free(a);
    free(b);
}

/* --- LoRA --- */

/* drop(x) [N, C]; the caller frees it. */
static float *dropped_rows(const float *x, const Lora *lora, size_t N, size_t C)
{
    float *copy = malloc((N * C + 1) * sizeof *copy);
    for (size_t i = 0; i < N * C; i++) {
        copy[i] = dropped(x[i], &lora->dropout, i % C, lora->positions[i / C], 0,
                          lora->slots[i / C]);
    }
    return copy;
}

static void adapter_forward(const Definition *d, float *out, float *mid, const float *x,
                            const Lora *lora, int N, int C, int O)
{
    size_t n = (size_t)N, c = (size_t)C, o = (size_t)O, R = (size_t)lora->R;
    float *kept = dropped_rows(x, lora, n, c);
    uint16_t *input = halves(kept, n * c), *a = halves(lora->a, R * c), *b = halves(lora->b, o * R);
    for (size_t i = 0; i < n * R; i++) {
        mid[i] = lora->scale * sum_of(d, 0, input + i / R * c, 1, a + i % R * c, 1, c);
    }
    uint16_t *middle = halves(mid, n * R);
    for (size_t i = 0; i < n * o; i++) {
        out[i] = sum_of(d, out[i], middle + i / o * R, 1, b + i % o * R, 1, R);
    }
    free(kept);
    free(input);
    free(a);
    free(b);
    free(middle);
}

static void adapter_backward(const Definition *d, float *dx, float *da, float *db,
                             const float *dout, const float *mid, const float *x, const Lora *lora,
                             int N, int C, int O)
{
    size_t n = (size_t)N, c = (size_t)C, o = (size_t)O, R = (size_t)lora->R;
    float *kept = dropped_rows(x, lora, n, c), *dmid = malloc((n * R + 1) * sizeof *dmid);
    uint16_t *input = halves(kept, n * c), *a = halves(lora->a, R * c), *b = halves(lora->b, o * R),
             *dout_halves = halves(dout, n * o), *mid_halves = halves(mid, n * R);
    for (size_t i = 0; i < n * R; i++) {
        dmid[i] = lora->scale * sum_of(d, 0, dout_halves + i / R * o, 1, b + i % R, R, o);
    }
    uint16_t *dmid_halves = halves(dmid, n * R);
    for (size_t i = 0; i < (dx ? n * c : 0); i++) {
        int drops = lora->dropout.p > 0;
        float share = sum_of(d, drops ? 0 : dx[i], dmid_halves + i / c * R, 1, a + i % c, c, R);
        dx[i] = drops ? dx[i] + dropped(share, &lora->dropout, i % c, lora->positions[i / c], 0,
                                        lora->slots[i / c])
                      : share;
    }
    for (size_t i = 0; i < R * c; i++) {
        da[i] = sum_of(d, da[i], dmid_halves + i / c, R, input + i % c, c, n);
    }
    for (size_t i = 0; i < o * R; i++) {
        db[i] = sum_of(d, db[i], dout_halves + i / R, o, mid_halves + i % R, R, n);
    }
    free(kept);
    free(dmid);
    free(input);
    free(a);
    free(b);
    free(dout_halves);
    free(mid_halves);
    free(dmid_halves);
}

/* --- attention --- */

/* One sequence and head: matrices [queries, keys] of what its queries make of its keys, 0 where a key
 * is masked. */
typedef struct Pair {
    const AttentionShape *s;
    const DropoutSite *site;
    int b, h;
    size_t queries, keys, q_at, k_at, o_at, row; /* where its first rows stand */
    float *p, *ds;
    uint16_t *q, *k, *v, *dout; /* [rows, D] of its rows */
} Pair;

/* [rows, D] of rows that are stride apart; NULL of NULL. The caller frees it. */
static uint16_t *row_halves(const float *x, size_t rows, size_t stride, size_t D)
{
    uint16_t *copy = x ? malloc((rows * D + 1) * sizeof *copy) : NULL;
    for (size_t i = 0; x && i < rows * D; i++) {
        copy[i] = nearest(x[i / D * stride + i % D]);
    }
    return copy;
}

static Pair pair_at(const AttentionShape *s, const DropoutSite *site, int b, int h, const float *q,
                    const float *k, const float *v, const float *dout)
{
    Pair x = {.s = s,
              .site = site,
              .b = b,
              .h = h,
              .queries = (size_t)(s->cu_q[b + 1] - s->cu_q[b]),
              .keys = (size_t)(s->cu_k[b + 1] - s->cu_k[b]),
              .row = (size_t)s->cu_q[b]};
    size_t D = (size_t)s->D;
    x.q_at = x.row * (size_t)s->q_stride + (size_t)h * D;
    x.k_at = (size_t)s->cu_k[b] * (size_t)s->kv_stride + (size_t)(h / (s->H / s->K)) * D;
    x.o_at = x.row * (size_t)s->H * D + (size_t)h * D;
    x.p = calloc(x.queries * x.keys + 1, sizeof *x.p);
    x.ds = calloc(x.queries * x.keys + 1, sizeof *x.ds);
    x.q = row_halves(q + x.q_at, x.queries, (size_t)s->q_stride, D);
    x.k = row_halves(k + x.k_at, x.keys, (size_t)s->kv_stride, D);
    x.v = row_halves(v + x.k_at, x.keys, (size_t)s->kv_stride, D);
    x.dout = row_halves(dout ? dout + x.o_at : NULL, x.queries, (size_t)s->H * D, D);
    return x;
}

static void pair_free(Pair *x)
{
    free(x->p);
    free(x->ds);
    free(x->q);
    free(x->k);
    free(x->v);
    free(x->dout);
}

static int sees(const Pair *x, size_t i, size_t j)
{
    return !x->s->causal || j <= (size_t)x->s->q_position[x->b] + i;
}

static size_t seen_by(const Pair *x, size_t i)
{
    size_t n = 0;
    while (n < x->keys && sees(x, i, n)) {
        n++;
    }
    return n;
}

static float key_dropped(const Pair *x, float value, size_t i, size_t j)
{
    return dropped(value, x->site, j, x->s->q_position[x->b] + (int)i, x->h, x->s->slot[x->b]);
}

/* Sum over the keys, or of a transposed matrix over the queries, in blocks of which the other side
 * sees one at least: [first, end) are those that count. */
static float mix_of(const Definition *d, float start, const uint16_t *w, size_t w_stride,
                    const uint16_t *x, size_t x_stride, size_t first, size_t end, size_t n)
{
    if (first == end) {
        return start;
    }
    size_t from = first / d->length * d->length, to = (end + d->length - 1) / d->length * d->length;
    to = to < n ? to : n;
    return sum_of(d, start, w + from * w_stride, w_stride, x + from * x_stride, x_stride,
                  to - from);
}

static void attend(const Definition *d, float *out, float *max, float *rsum, const float *q,
                   const float *k, const float *v, const AttentionShape *s, const DropoutSite *site)
{
    size_t D = (size_t)s->D, H = (size_t)s->H;
    for (int task = 0; task < s->B * s->H; task++) {
        Pair x = pair_at(s, site, task / s->H, task % s->H, q, k, v, NULL);
        for (size_t i = 0; i < x.queries; i++) {
            size_t seen = seen_by(&x, i), at = (x.row + i) * H + (size_t)x.h;
            float *p = x.p + i * x.keys, m = -INFINITY;
            Lanes sum = {{0}};
            for (size_t j = 0; j < seen; j++) {
                p[j] = s->scale * sum_of(d, 0, x.q + i * D, 1, x.k + j * D, 1, D);
                m = p[j] > m ? p[j] : m;
            }
            for (size_t j = 0; j < seen; j++) {
                p[j] = scalar_exp(p[j] - m);
                sum.lane[j % 32] += p[j];
            }
            max[at] = m + 0.0f;
            rsum[at] = 1.0f / lanes_sum(sum);
            for (size_t j = 0; j < seen; j++) {
                p[j] = key_dropped(&x, p[j], i, j);
            }
            uint16_t *weights = halves(p, x.keys);
            for (size_t c = 0; c < D; c++) {
                float mix = mix_of(d, 0, weights, 1, x.v + c, D, 0, seen, x.keys);
                out[x.o_at + i * H * D + c] = rsum[at] * (mix + 0.0f);
            }
            free(weights);
        }
        pair_free(&x);
    }
}

static void attend_backward(const Definition *d, float *dq, float *dk, float *dv, const float *dout,
                            const float *q, const float *k, const float *v, const float *out,
                            const float *max, const float *rsum, const AttentionShape *s,
                            const DropoutSite *site)
{
    size_t D = (size_t)s->D, H = (size_t)s->H, q_stride = (size_t)s->q_stride,
           stride = (size_t)s->kv_stride, group = (size_t)(s->H / s->K);
    for (int task = 0; task < s->B * s->H; task++) {
        Pair x = pair_at(s, site, task / s->H, task % s->H, q, k, v, dout);
        for (size_t i = 0; i < x.queries; i++) {
            size_t seen = seen_by(&x, i), at = (x.row + i) * H + (size_t)x.h,
                   o = x.o_at + i * H * D;
            float *p = x.p + i * x.keys, *ds = x.ds + i * x.keys;
            Lanes mean = {{0}};
            for (size_t c = 0; c < D; c++) {
                mean.lane[c % 32] = fmaf(dout[o + c], out[o + c], mean.lane[c % 32]);
            }
            float row_mean = lanes_sum(mean);
            for (size_t j = 0; j < seen; j++) {
                float score = s->scale * sum_of(d, 0, x.q + i * D, 1, x.k + j * D, 1, D);
                float dp = sum_of(d, 0, x.dout + i * D, 1, x.v + j * D, 1, D);
                p[j] = scalar_exp(score - max[at]) * rsum[at];
                ds[j] = p[j] * (key_dropped(&x, dp, i, j) - row_mean) * s->scale;
                p[j] = key_dropped(&x, p[j], i, j);
            }
        }
        uint16_t *p = halves(x.p, x.queries * x.keys), *ds = halves(x.ds, x.queries * x.keys);
        for (size_t i = 0; i < x.queries * D; i++) {
            dq[x.q_at + i / D * q_stride + i % D] = mix_of(d, 0, ds + i / D * x.keys, 1,
                                                           x.k + i % D, D, 0, seen_by(&x, i / D),
                                                           x.keys) +
                                                    0.0f;
        }
        for (size_t j = 0; j < x.keys; j++) {
            size_t first = 0, head = (size_t)x.h % group, n = x.queries;
            while (first < n && !sees(&x, first, j)) {
                first++;
            }
            for (size_t c = 0; c < D; c++) {
                float *to_k = dk + x.k_at + j * stride + c, *to_v = dv + x.k_at + j * stride + c,
                      end = head + 1 == group ? 0.0f : -0.0f; /* + 0 behind the last head */
                *to_k = mix_of(d, head ? *to_k : 0, ds + j, x.keys, x.q + c, D, first, n, n) + end;
                *to_v = mix_of(d, head ? *to_v : 0, p + j, x.keys, x.dout + c, D, first, n, n) +
                        end;
            }
        }
        free(p);
        free(ds);
        pair_free(&x);
    }
}

/* --- tables --- */

#define REFERENCES(name)                                                                           \
    static void forward_##name(Context *ctx, float *out, const float *x, Weight weight,            \
                               const float *bias, int M, int K, int O)                             \
    {                                                                                              \
        (void)ctx;                                                                                 \
        forward(&name, out, x, weight, bias, M, K, O);                                             \
    }                                                                                              \
    static void backward_input_##name(Context *ctx, float *dx, const float *dout, Weight weight,   \
                                      int M, int K, int O, int accumulate)                         \
    {                                                                                              \
        (void)ctx;                                                                                 \
        backward_input(&name, dx, dout, weight, M, K, O, accumulate);                              \
    }                                                                                              \
    static void backward_weight_##name(Context *ctx, float *dweight, const float *dout,            \
                                       const float *x, int M, int K, int O)                        \
    {                                                                                              \
        (void)ctx;                                                                                 \
        backward_weight(&name, dweight, dout, x, M, K, O);                                         \
    }                                                                                              \
    static void adapter_forward_##name(Context *ctx, float *out, float *mid, const float *x,       \
                                       const Lora *lora, int N, int C, int O)                      \
    {                                                                                              \
        (void)ctx;                                                                                 \
        adapter_forward(&name, out, mid, x, lora, N, C, O);                                        \
    }                                                                                              \
    static void adapter_backward_##name(Context *ctx, float *dx, float *da, float *db,             \
                                        const float *dout, const float *mid, const float *x,       \
                                        const Lora *lora, int N, int C, int O)                     \
    {                                                                                              \
        (void)ctx;                                                                                 \
        adapter_backward(&name, dx, da, db, dout, mid, x, lora, N, C, O);                          \
    }                                                                                              \
    static void attend_##name(Context *ctx, float *out, float *max, float *rsum, const float *q,   \
                              const float *k, const float *v, const AttentionShape *shape,         \
                              const DropoutSite *dropout)                                          \
    {                                                                                              \
        (void)ctx;                                                                                 \
        attend(&name, out, max, rsum, q, k, v, shape, dropout);                                    \
    }                                                                                              \
    static void attend_backward_##name(                                                            \
        Context *ctx, float *dq, float *dk, float *dv, const float *dout, const float *q,          \
        const float *k, const float *v, const float *out, const float *max, const float *rsum,     \
        const AttentionShape *shape, const DropoutSite *dropout)                                   \
    {                                                                                              \
        (void)ctx;                                                                                 \
        attend_backward(&name, dq, dk, dv, dout, q, k, v, out, max, rsum, shape, dropout);         \
    }
REFERENCES(block16)
REFERENCES(block8)
REFERENCES(tile)

#define TABLE(name)                                                                                \
    {                                                                                              \
        .matmul_forward = forward_##name, .matmul_backward_input = backward_input_##name,          \
        .matmul_backward_weight = backward_weight_##name, .lora_forward = adapter_forward_##name,  \
        .lora_backward = adapter_backward_##name, .attention_forward = attend_##name,              \
        .attention_backward = attend_backward_##name                                               \
    }

const Ops *reference_blocks(const char *dtype)
{
    static const Ops tables[] = {TABLE(block16), TABLE(block8), TABLE(tile)};
    return &tables[!strcmp(dtype, "bf16-block16") ? 0 : !strcmp(dtype, "bf16-block8") ? 1 : 2];
}
