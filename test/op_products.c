/* Cases of matmul.c and lora.c. */
#include "harness.h"
#include "ops_reference.h"

/* --- linear layers --- */

/* start + sum over i of a[i a_stride] b(i b_stride), and the size of its terms. */
typedef struct Sum {
    double value, size;
} Sum;

static Sum sum_of(double start, const float *a, size_t a_stride, Weight b, size_t b_first,
                  size_t b_stride, size_t n)
{
    Sum sum = {start, fabs(start)};
    for (size_t i = 0; i < n; i++) {
        double term = (double)a[i * a_stride] * (double)weight_at(b, b_first + i * b_stride);
        sum.value += term;
        sum.size += fabs(term);
    }
    return sum;
}

static void matmul_forward(Run *r, const int *s)
{
    int M = s[0], K = s[1], O = s[2];
    size_t m = (size_t)M, k = (size_t)K, o = (size_t)O;
    const float *x = input(r, "x", m, k);
    Weight weight = stored(r, "weight", o, k, s[4]);
    const float *bias = s[3] ? updated(r, "bias", 1, o) : NULL;
    float *out = output(r, "out", m, o);
    CALL(r, matmul_forward, out, x, weight, bias, M, K, O)
    for (size_t i = 0; i < m * o && r->check; i++) {
        Sum sum = sum_of(bias ? (double)bias[i % o] : 0, x + i / o * k, 1, weight, i % o * k, 1, k);
        expect(r, &out[i], sum.value, ((double)K + 1) * ULP * sum.size);
    }
}

static void matmul_backward_input(Run *r, const int *s)
{
    int M = s[0], K = s[1], O = s[2], accumulate = s[3];
    size_t m = (size_t)M, k = (size_t)K, o = (size_t)O;
    const float *dout = input(r, "dout", m, o);
    Weight weight = stored(r, "weight", o, k, s[4]);
    float *dx = accumulate ? updated(r, "dx", m, k) : output(r, "dx", m, k);
    CALL(r, matmul_backward_input, dx, dout, weight, M, K, O, accumulate)
    for (size_t i = 0; i < m * k && r->check; i++) {
        Sum sum = sum_of(accumulate ? before(r, &dx[i]) : 0, dout + i / k * o, 1, weight, i % k, k,
                         o);
        expect(r, &dx[i], sum.value, ((double)O + 1) * ULP * sum.size);
    }
}

static void matmul_backward_weight(Run *r, const int *s)
{
    int M = s[0], K = s[1], O = s[2];
    size_t m = (size_t)M, k = (size_t)K, o = (size_t)O;
    const float *dout = input(r, "dout", m, o), *x = input(r, "x", m, k);
    float *dweight = updated(r, "dweight", o, k);
    CALL(r, matmul_backward_weight, dweight, dout, x, M, K, O)
    for (size_t i = 0; i < o * k && r->check; i++) {
        Sum sum = sum_of(before(r, &dweight[i]), dout + i / k, o, (Weight){.f32 = x}, i % k, k, m);
        expect(r, &dweight[i], sum.value, ((double)M + 1) * ULP * sum.size);
    }
}

static void bias_backward(Run *r, const int *s)
{
    int O = s[2];
    Packed p = packed(r, s[0], s[1]);
    size_t n = (size_t)p.N, o = (size_t)O;
    const float *dout = input(r, "dout", n, o);
    float *dbias = updated(r, "dbias", 1, o);
    CALL(r, bias_backward, dbias, dout, p.cu, p.B, p.N, O)
    static const float one = 1;
    for (size_t i = 0; i < o && r->check; i++) {
        Sum sum = sum_of(before(r, &dbias[i]), dout + i, o, (Weight){.f32 = &one}, 0, 0, n);
        expect(r, &dbias[i], sum.value, ((double)n + p.B) * ULP * sum.size);
    }
}

/* Whole tiles, their edges, more than a block of rows (140), columns (384) and depth (256) of the
 * CPU; each tile of CUDA's kernel with rows that are aligned and not, in float32 and bf16. */
static const Shape product_shapes[] = {
    {{1, 1, 1, 1}},          {{13, 7, 5, 0}},
    {{67, 33, 70, 1}},       {{29, 300, 50, 0, 1}},
    {{100, 64, 31, 1, 1}},   {{70, 31, 96, 0}},
    {{150, 20, 401, 1}},     {{15, 530, 33, 1, 1}},
    {{64, 128, 32, 0, 1}},   {{3, 401, 150, 0}},
    {{300, 17, 33}},         {{0, 5, 7}},
    {{1, 16, 200, 1}},       {{2, 1, 9, 1, 1}},
    {{33, 15, 32, 1}},       {{17, 48, 9, 0, 1}},
    {{30, 45, 50, 1, 1}},    {{40, 48, 36, 0, 1}},
    {{61, 63, 59}},          {{61, 63, 59, 1, 1}},
    {{72, 60, 68, 1}},       {{72, 60, 68, 0, 1}},
    {{90, 83, 97, 0, 1}},    {{2, 1100, 33, 1}}, /* AMX goes through K in two parts */
    {{96, 80, 112, 1}},      {{96, 80, 112, 1, 1}},
    {{129, 131, 127, 1}},    {{129, 131, 127, 0, 1}},
    {{130, 132, 124, 1, 1}}, {{128, 160, 128}},
    {{1025, 3, 5}},          {{0}}};
/* the last five are too much for a CPU */
static const Shape product_real[] = {{{512, 1024, 1024, 1}},     {{512, 3072, 1024, 0, 1}},
                                     {{2048, 1024, 1024, 1}},    {{2048, 1024, 4096, 1}},
                                     {{2048, 4096, 1024, 1}},    {{2048, 3072, 8192, 0, 1}},
                                     {{2048, 8192, 3072, 0, 1}}, {{0}}};
static const Shape bias_shapes[] = {
    {{1, 0, 1}},    {{5, 0, 45}},   {{67, -1, 45}}, {{8, 0, 64}},   {{3, 1, 100}},   {{1, 9, 2}},
    {{2, 8, 7}},    {{8, -2, 31}},  {{6, -2, 32}},  {{9, 7, 16}},   {{17, -1, 63}},  {{3, 17, 95}},
    {{2, 16, 127}}, {{1, 33, 129}}, {{2, 3, 257}},  {{9, -1, 255}}, {{16, -1, 256}}, {{1, -2, 5}},
    {{3, 15, 3}},   {{40, 1, 33}},  {{0}}};
static const Shape bias_real[] = {{{16, 128, 1024}}, {{16, 128, 4096}}, {{0}}};

const OpCase matmul_cases[] = {
    {"matmul_forward", "M K O bias bf16", matmul_forward, product_shapes, product_real, 0},
    {"matmul_backward_input", "M K O accumulate bf16", matmul_backward_input, product_shapes,
     product_real, 0},
    {"matmul_backward_weight", "M K O", matmul_backward_weight, product_shapes, product_real, 0},
    {"bias_backward", "B T O", bias_backward, bias_shapes, bias_real, 0},
    {0}};

/* --- LoRA --- */

/* out = start + scale b (a drop(x)) in double; lora_value is its sum(out dout) without start. */
typedef struct LoraTruth {
    size_t C, O, R, first, end; /* rows that lora_value sums over */
    double *x, *a, *b;
    const double *kept; /* [N, C] what the mask multiplies x by */
    const float *dout;
    double scale;
} LoraTruth;

static double lora_mid(const LoraTruth *f, size_t n, size_t k)
{
    double sum = 0;
    for (size_t c = 0; c < f->C; c++) {
        sum += f->x[n * f->C + c] * f->kept[n * f->C + c] * f->a[k * f->C + c];
    }
    return f->scale * sum;
}

static double lora_value(const void *arg)
{
    const LoraTruth *f = arg;
    double sum = 0;
    for (size_t n = f->first; n < f->end; n++) {
        for (size_t k = 0; k < f->R; k++) {
            double mid = lora_mid(f, n, k);
            for (size_t o = 0; o < f->O; o++) {
                sum += mid * f->b[o * f->R + k] * (double)f->dout[n * f->O + o];
            }
        }
    }
    return sum;
}

static LoraTruth lora_truth(Run *r, const Lora *lora, const float *x, size_t N, size_t C, size_t O)
{
    size_t R = (size_t)lora->R;
    double *kept = doubles(r, NULL, N * C);
    for (size_t i = 0; i < N * C; i++) {
        kept[i] = (double)dropped(1, &lora->dropout, i % C, lora->positions[i / C], 0,
                                  lora->slots[i / C]);
    }
    return (LoraTruth){.C = C,
                       .O = O,
                       .R = R,
                       .scale = (double)lora->scale,
                       .x = doubles(r, x, N * C),
                       .a = doubles(r, lora->a, R * C),
                       .b = doubles(r, lora->b, O * R),
                       .kept = kept};
}

static Lora lora_inputs(Run *r, const Packed *p, size_t C, size_t O, int R, int percent)
{
    return (Lora){.a = input(r, "a", (size_t)R, C),
                  .b = input(r, "b", O, (size_t)R),
                  .R = R,
                  .scale = 0.75f,
                  .dropout = {.seed = 5, .step = 2, .site = 2050, .p = (float)percent / 100},
                  .positions = p->position,
                  .slots = p->slot};
}

/* Values are of order 1, sums have a few hundred terms of order 10 times what 17 ranks and a mask
 * of 1 / 0.7 make of them: 1e4 roundings are an ample bound, and a missing term would be of order
 * 1. */
static const double lora_tolerance = 2e4 * ULP;

static void lora_forward(Run *r, const int *s)
{
    int C = s[2], O = s[3];
    Packed p = packed(r, s[0], s[1]);
    size_t n = (size_t)p.N, c = (size_t)C, o = (size_t)O, rank = (size_t)s[4];
    const float *x = input(r, "x", n, c);
    Lora lora = lora_inputs(r, &p, c, o, s[4], s[5]);
    float *out = updated(r, "out", n, o), *mid = output(r, "mid", n, rank);
    CALL(r, lora_forward, out, mid, x, &lora, p.N, C, O)
    if (!r->check) {
        return;
    }
    LoraTruth f = lora_truth(r, &lora, x, n, c, o);
    for (size_t i = 0; i < n; i++) {
        double exact[32];
        for (size_t k = 0; k < rank; k++) {
            exact[k] = lora_mid(&f, i, k);
            expect(r, &mid[i * rank + k], exact[k], lora_tolerance);
        }
        for (size_t j = 0; j < o; j++) {
            double sum = before(r, &out[i * o + j]);
            for (size_t k = 0; k < rank; k++) {
                sum += exact[k] * f.b[j * rank + k];
            }
            expect(r, &out[i * o + j], sum, lora_tolerance);
        }
    }
}

/* The function is linear in each of x, a and b: a difference with any step is its slope. */
static void lora_backward(Run *r, const int *s)
{
    int C = s[2], O = s[3];
    Packed p = packed(r, s[0], s[1]);
    size_t n = (size_t)p.N, c = (size_t)C, o = (size_t)O, rank = (size_t)s[4];
    const float *dout = input(r, "dout", n, o), *x = input(r, "x", n, c);
    Lora lora = lora_inputs(r, &p, c, o, s[4], s[5]);
    float *ignored = output(r, "out of forward", n, o), *mid = output(r, "mid", n, rank);
    float *dx = s[6] ? NULL : updated(r, "dx", n, c), *da = updated(r, "da", rank, c),
          *db = updated(r, "db", o, rank);
    ops_reference.lora_forward(&r->ctx, ignored, mid, x, &lora, p.N, C, O);
    CALL(r, lora_backward, dx, da, db, dout, mid, x, &lora, p.N, C, O)
    if (!r->check) {
        return;
    }
    LoraTruth f = lora_truth(r, &lora, x, n, c, o);
    f.dout = dout;
    for (size_t i = 0; i < (dx ? n * c : 0); i++) {
        f.first = i / c;
        f.end = f.first + 1;
        expect(r, &dx[i], before(r, &dx[i]) + slope(lora_value, &f, &f.x[i], 1), lora_tolerance);
    }
    f.first = 0;
    f.end = n;
    for (size_t i = 0; i < rank * c; i += 3) { /* every third: each goes over all rows */
        expect(r, &da[i], before(r, &da[i]) + slope(lora_value, &f, &f.a[i], 1),
               10 * lora_tolerance);
    }
    for (size_t i = 0; i < o * rank; i += 3) {
        expect(r, &db[i], before(r, &db[i]) + slope(lora_value, &f, &f.b[i], 1),
               10 * lora_tolerance);
    }
}

/* More and less than LORA_BLOCK rows and channels. */
static const Shape lora_shapes[] = {{{5, 0, 33, 45, 4, 0}},     {{5, 0, 33, 45, 4, 30}},
                                    {{4, 0, 64, 20, 8, 30, 1}}, {{3, 0, 5, 70, 17, 0}},
                                    {{3, 0, 130, 140, 5, 30}},  {{5, 0, 65, 129, 1, 0, 1}},
                                    {{1, 0, 1, 1, 1, 0}},       {{1, 0, 48, 96, 8, 10}},
                                    {{0, 0, 9, 7, 2, 10}},      {{1, 1, 200, 16, 2, 50}},
                                    {{2, 0, 128, 64, 16, 20}},  {{2, 17, 36, 52, 12, 0, 1}},
                                    {{3, 65, 31, 1, 3, 90}},    {{1, 20, 20, 65, 31, 0}},
                                    {{16, 1, 72, 40, 6, 10}},   {{2, 5, 1, 257, 9, 25}},
                                    {{4, 32, 256, 4, 1, 10}},   {{1, 300, 7, 6, 2, 0}},
                                    {{1, 9, 33, 33, 20, 75}},   {{7, 0, 12, 100, 4, 10, 1}},
                                    {{1, 2, 129, 3, 32, 5}},    {{0}}};
static const Shape lora_real[] = {
    {{16, 128, 3072, 3072, 8, 0}}, {{16, 128, 3072, 1024, 8, 5}}, {{0}}};

const OpCase lora_cases[] = {
    {"lora_forward", "B T C O R percent", lora_forward, lora_shapes, lora_real, 0},
    {"lora_backward", "B T C O R percent no_dx", lora_backward, lora_shapes, lora_real, 1},
    {0}};
