/* Cases of attention.c: both directions or causal, grouped heads, all queries of a sequence or its
 * first or last ones, dropout, gaps between rows. k and v stand side by side, as a model has them.
 */
#include "base.h"
#include "harness.h"
#include "ops_reference.h"

#include <stdlib.h>

enum { MAX_D = 256 };

/* The tensors of a case, and their copies in double. */
typedef struct Attention {
    AttentionShape shape;
    DropoutSite dropout;
    size_t v; /* where v begins in a row of kv */
    double *q, *kv;
    const float *dout;
    int b, first_head, end_head; /* what attention_value sums over */
} Attention;

static Attention attention_of(Run *r, const int *s)
{
    int B = s[0], H = s[2], K = s[3], D = s[4], some = s[6]; /* queries: 0 all, n first, -n last */
    Packed p = packed(r, B, s[1]);
    int *numbers = memory_calloc(4 * (size_t)B + 2, sizeof *numbers), *cu_q = numbers,
        *position = cu_q + B + 1, *slot = position + B, longest = 0;
    for (int b = 0; b < B; b++) {
        int length = p.cu[b + 1] - p.cu[b];
        longest = length > longest ? length : longest;
        int queries = some && abs(some) < length ? abs(some) : length;
        cu_q[b + 1] = cu_q[b] + queries;
        position[b] = some < 0 ? length - queries : 0;
        slot[b] = length ? p.slot[p.cu[b]] : 0;
    }
    Attention a = {.shape = {.B = B,
                             .H = H,
                             .K = K,
                             .D = D,
                             .q_rows = cu_q[B],
                             .k_rows = p.N,
                             .longest = longest,
                             .causal = s[5],
                             .scale = 1.0f / sqrtf((float)D),
                             .cu_q = integers(r, "cu_q", cu_q, (size_t)B + 1),
                             .cu_k = p.cu,
                             .q_position = integers(r, "q_position", position, (size_t)B),
                             .slot = integers(r, "slot", slot, (size_t)B),
                             .q_stride = H * D + s[8],
                             .kv_stride = 2 * K * D + s[8]},
                   .dropout = {.seed = 9, .step = 3, .site = 5, .p = (float)s[7] / 100},
                   .v = (size_t)(K * D)};
    free(numbers);
    return a;
}

/* out of a query in double: mix [D], without its weight in dout. */
static void mix_of(double *mix, const Attention *a, int b, int h, int i)
{
    const AttentionShape *s = &a->shape;
    size_t D = (size_t)s->D, kv_stride = (size_t)s->kv_stride,
           head = (size_t)(h / (s->H / s->K)) * D;
    int position = s->q_position[b] + i, keys = s->cu_k[b + 1] - s->cu_k[b],
        seen = s->causal && position + 1 < keys ? position + 1 : keys;
    const double *q = a->q + (size_t)(s->cu_q[b] + i) * (size_t)s->q_stride + (size_t)h * D,
                 *k = a->kv + (size_t)s->cu_k[b] * kv_stride + head;
    double max = -INFINITY, sum = 0, *p = memory_calloc((size_t)keys + 1, sizeof *p);
    for (int j = 0; j < seen; j++) {
        p[j] = 0;
        for (size_t d = 0; d < D; d++) {
            p[j] += q[d] * k[(size_t)j * kv_stride + d] / sqrt((double)D);
        }
        max = fmax(max, p[j]);
    }
    for (int j = 0; j < seen; j++) {
        p[j] = exp(p[j] - max);
        sum += p[j];
    }
    for (size_t d = 0; d < D; d++) {
        mix[d] = 0;
    }
    for (int j = 0; j < seen; j++) {
        double kept = (double)dropped(1, &a->dropout, (size_t)j, position, h, s->slot[b]);
        for (size_t d = 0; d < D; d++) {
            mix[d] += kept * p[j] / sum * k[(size_t)j * kv_stride + a->v + d];
        }
    }
    free(p);
}

/* sum(out dout) of one sequence and some heads. */
static double attention_value(const void *arg)
{
    const Attention *a = arg;
    const AttentionShape *s = &a->shape;
    double mix[MAX_D], sum = 0;
    for (int h = a->first_head; h < a->end_head; h++) {
        for (int i = 0; i < s->cu_q[a->b + 1] - s->cu_q[a->b]; i++) {
            mix_of(mix, a, a->b, h, i);
            for (int d = 0; d < s->D; d++) {
                size_t row = (size_t)(s->cu_q[a->b] + i);
                sum += mix[d] *
                       (double)a->dout[(row * (size_t)s->H + (size_t)h) * (size_t)s->D + (size_t)d];
            }
        }
    }
    return sum;
}

/* Scores of size below 20 have 2 D roundings each, exp turns them into relative errors of p; outputs
 * and gradients are sums of at most `longest` (times heads) such products of size below 30. */
static double attention_tolerance(const AttentionShape *s)
{
    return (2.0 * s->D + s->longest) * ULP * 30;
}

/* Chains that end in -0, from products that round to it. tiny 1: v or dout, and so products with p; 2:
 * all inputs, and so products with ds; 3: q and k, and so scores, of which the largest is a zero. x
 * [rows, cols] has values of v or dout from column first on. */
static void make_tiny(float *x, size_t rows, size_t cols, size_t first, int tiny)
{
    static const int by[][2] = {{0, 0}, {0, -150}, {-50, -50}, {-75, 0}, {0, 0}};
    for (size_t i = 0; i < (tiny ? rows * cols : 0); i++) {
        x[i] = ldexpf(x[i], by[tiny][i % cols >= first]);
    }
}

/* Where values of the masked rows are large and those of the others hardly there, a block of zeros
 * times the former would cut sums of the latter (block_sum.h): the blocks in which all is masked for
 * a row must be left out. tiny 4: of x [rows, cols] the columns from first on, 16 rows and the rest. */
static void make_steep(float *x, size_t rows, size_t cols, size_t first, int tiny, int by, int rest)
{
    for (size_t i = 0; i < (tiny == 4 ? rows * cols : 0); i++) {
        if (i % cols >= first) {
            x[i] = ldexpf(x[i], i / cols < 16 ? by : rest);
        }
    }
}

static void attention_forward(Run *r, const int *s)
{
    Attention a = attention_of(r, s);
    const AttentionShape *shape = &a.shape;
    size_t rows = (size_t)shape->q_rows, H = (size_t)shape->H, D = (size_t)shape->D,
           q_floats = rows * (size_t)shape->q_stride,
           kv_floats = (size_t)shape->k_rows * (size_t)shape->kv_stride;
    float *q = input(r, "q", rows, (size_t)shape->q_stride),
          *kv = input(r, "kv", (size_t)shape->k_rows, (size_t)shape->kv_stride),
          *out = output(r, "out", rows, H * D), *max = output(r, "max", rows, H),
          *rsum = output(r, "rsum", rows, H);
    make_tiny(q, rows, (size_t)shape->q_stride, SIZE_MAX, s[9]);
    make_tiny(kv, (size_t)shape->k_rows, (size_t)shape->kv_stride, a.v, s[9]);
    make_steep(kv, (size_t)shape->k_rows, (size_t)shape->kv_stride, a.v, s[9], -125, 6);
    CALL(r, attention_forward, out, max, rsum, q, kv, kv + a.v, shape, &a.dropout)
    if (!r->check) {
        return;
    }
    a.q = doubles(r, q, q_floats);
    a.kv = doubles(r, kv, kv_floats);
    for (int b = 0; b < shape->B; b++) {
        for (int i = shape->cu_q[b]; i < shape->cu_q[b + 1]; i++) {
            for (size_t h = 0; h < H; h++) {
                double mix[MAX_D];
                mix_of(mix, &a, b, (int)h, i - shape->cu_q[b]);
                for (size_t d = 0; d < D; d++) {
                    expect(r, &out[((size_t)i * H + h) * D + d], mix[d],
                           attention_tolerance(shape));
                }
            }
        }
    }
}

/* How many elements are compared with differences, each of which runs through a sequence twice. */
static size_t attention_samples(const AttentionShape *s)
{
    double run = (4.0 * s->D + 200) * (s->H / s->K) * s->q_rows * s->longest / s->B;
    return run < 1e6 ? 300 : run > 3e7 ? 10 : (size_t)(3e8 / run);
}

static void attention_backward(Run *r, const int *s)
{
    Attention a = attention_of(r, s);
    const AttentionShape *shape = &a.shape;
    size_t rows = (size_t)shape->q_rows, H = (size_t)shape->H, D = (size_t)shape->D,
           q_stride = (size_t)shape->q_stride, kv_stride = (size_t)shape->kv_stride,
           keys = (size_t)shape->k_rows;
    float *q = input(r, "q", rows, q_stride), *kv = input(r, "kv", keys, kv_stride),
          *dout = input(r, "dout", rows, H * D);
    float *out = output(r, "out", rows, H * D), *max = output(r, "max", rows, H),
          *rsum = output(r, "rsum", rows, H), *dq = output(r, "dq", rows, q_stride),
          *dkv = output(r, "dkv", keys, kv_stride);
    make_tiny(q, rows, q_stride, SIZE_MAX, s[9]);
    make_tiny(kv, keys, kv_stride, a.v, s[9]);
    make_tiny(dout, rows, H * D, 0, s[9]);
    make_steep(dout, rows, H * D, 0, s[9], 6, -125);
    const Ops *definition = r->ctx.bf16 ? reference_blocks(r->backend->dtype) : &ops_reference;
    definition->attention_forward(&r->ctx, out, max, rsum, q, kv, kv + a.v, shape, &a.dropout);
    CALL(r, attention_backward, dq, dkv, dkv + a.v, dout, q, kv, kv + a.v, out, max, rsum, shape,
         &a.dropout)
    if (!r->check) {
        return;
    }
    a.q = doubles(r, q, rows * q_stride);
    a.kv = doubles(r, kv, keys * kv_stride);
    a.dout = dout;
    int group = shape->H / shape->K;
    size_t q_row = H * D, kv_row = 2 * a.v, samples = attention_samples(shape),
           q_step = 1 + rows * q_row / samples, kv_step = 1 + keys * kv_row / samples;
    for (a.b = 0; a.b < shape->B; a.b++) {
        size_t end = (size_t)shape->cu_q[a.b + 1] * q_row;
        for (size_t i = (size_t)shape->cu_q[a.b] * q_row; i < end; i += q_step) {
            size_t at = i / q_row * q_stride + i % q_row;
            a.first_head = (int)(i % q_row / D);
            a.end_head = a.first_head + 1;
            expect(r, &dq[at], slope(attention_value, &a, &a.q[at], 1e-5),
                   attention_tolerance(shape) + 1e-7);
        }
        end = (size_t)shape->cu_k[a.b + 1] * kv_row;
        for (size_t i = (size_t)shape->cu_k[a.b] * kv_row; i < end; i += kv_step) {
            size_t at = i / kv_row * kv_stride + i % kv_row;
            a.first_head = (int)(i % a.v / D) * group;
            a.end_head = a.first_head + group;
            expect(r, &dkv[at], slope(attention_value, &a, &a.kv[at], 1e-5),
                   3 * attention_tolerance(shape) + 1e-7);
        }
    }
}

static const Shape attention_shapes[] = {{{1, 0, 1, 1, 1}},
                                         {{5, 0, 3, 3, 12}},
                                         {{5, 0, 4, 2, 16, 1}},
                                         {{5, 0, 6, 2, 10, 1, 0, 30, 5}},
                                         {{5, 0, 2, 2, 33, 0, 1}},
                                         {{5, 0, 4, 1, 8, 1, -1, 10, 3}},
                                         {{5, 0, 3, 1, 8, 0, 0, 25}},
                                         {{7, 0, 2, 1, 33, 1}},
                                         {{5, 0, 4, 2, 7, 1, 0, 0, 0, 1}},
                                         {{5, 0, 4, 2, 7, 1, 0, 0, 0, 2}},
                                         {{1, 70, 2, 1, 5, 1, 0, 0, 0, 4}},
                                         {{4, -2, 4, 2, 24, 1, 0, 10}},
                                         {{3, 1, 2, 1, 80, 1}},
                                         {{3, 130, 2, 1, 24, 1, 0, 20}},
                                         {{1, 200, 2, 2, 64, 1}},
                                         {{2, 129, 4, 2, 4, 1, -66, 30, 4}},
                                         {{1, 129, 2, 1, 128, 0, 65, 10}},
                                         {{1, 66, 1, 1, 256, 1}},
                                         {{1, 70, 2, 2, 65, 0, 0, 50, 1}},
                                         {{1, 300, 3, 1, 4, 1}},
                                         {{2, 513, 2, 2, 8, 1, -7, 20}},
                                         {{1, 2048, 2, 1, 80, 1, -3, 10}},
                                         {{1, 140, 2, 1, 5, 0, 0, 0, 0, 3}},
                                         {{1, 530, 2, 1, 2, 1, 0, 10, 2}},
                                         {{32, 31, 8, 2, 1, 1}},
                                         {{0}}};
static const Shape attention_real[] = {{{16, 128, 16, 16, 64}}, {{16, 128, 24, 8, 128, 1}}, {{0}}};

const OpCase attention_cases[] = {{"attention_forward", "B T H K D causal queries percent gap tiny",
                                   attention_forward, attention_shapes, attention_real, 0},
                                  {"attention_backward",
                                   "B T H K D causal queries percent gap tiny", attention_backward,
                                   attention_shapes, attention_real, 1},
                                  {0}};
