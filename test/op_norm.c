/* Cases of norm.c and rope.c. */
#include "harness.h"
#include "ops_reference.h"

static const float eps = 1e-5f;

/* Either norm in double; RMSNorm has no bias and takes no mean off. */
typedef struct Norm {
    size_t C;
    double *x, *weight, *bias;
    const double *dout;
    size_t first, end; /* rows that norm_value sums over */
} Norm;

static void row_moments(const Norm *f, size_t n, double *mean, double *rstd)
{
    const double *x = f->x + n * f->C;
    double sum = 0, squares = 0;
    for (size_t c = 0; c < f->C && f->bias; c++) {
        sum += x[c];
    }
    *mean = sum / (double)f->C;
    for (size_t c = 0; c < f->C; c++) {
        squares += (x[c] - *mean) * (x[c] - *mean);
    }
    *rstd = 1 / sqrt(squares / (double)f->C + (double)eps);
}

/* sum(out dout) */
static double norm_value(const void *arg)
{
    const Norm *f = arg;
    double sum = 0, mean, rstd;
    for (size_t n = f->first; n < f->end; n++) {
        row_moments(f, n, &mean, &rstd);
        for (size_t c = 0; c < f->C; c++) {
            double xhat = (f->x[n * f->C + c] - mean) * rstd;
            sum += (xhat * f->weight[c] + (f->bias ? f->bias[c] : 0)) * f->dout[n * f->C + c];
        }
    }
    return sum;
}

/* Values are of order 1 to 4, and every step adds at most a few roundings of the row's largest
 * value: C + 8 of them in the mean and the variance. */
static double norm_tolerance(size_t C)
{
    return ((double)C + 8) * ULP * 20;
}

static void expect_norm(Run *r, const float *out, const float *x, const float *weight,
                        const float *bias, size_t N, size_t C)
{
    Norm f = {.C = C,
              .x = doubles(r, x, N * C),
              .weight = doubles(r, weight, C),
              .bias = bias ? doubles(r, bias, C) : NULL};
    for (size_t n = 0; n < N; n++) {
        double mean, rstd;
        row_moments(&f, n, &mean, &rstd);
        for (size_t c = 0; c < C; c++) {
            double xhat = (f.x[n * C + c] - mean) * rstd;
            expect(r, &out[n * C + c], xhat * f.weight[c] + (bias ? f.bias[c] : 0),
                   norm_tolerance(C));
        }
    }
}

/* dx has terms that may cancel, of order rstd g xhat^2, up to 20 here; with C = 1 they cancel
 * wholly but for eps, and only an absolute error is left. dweight and dbias are sums of N terms up
 * to 60. */
static void expect_norm_gradients(Run *r, Norm *f, const float *dx, const float *dweight,
                                  const float *dbias, size_t N)
{
    double dx_tolerance = f->C == 1 ? 1e-4 : 20 * norm_tolerance(f->C) + 1e-6;
    for (size_t i = 0; i < N * f->C; i++) {
        f->first = i / f->C;
        f->end = f->first + 1;
        expect(r, &dx[i], slope(norm_value, f, &f->x[i], 1e-5), dx_tolerance);
    }
    f->first = 0;
    f->end = N;
    for (size_t c = 0; c < (dweight ? f->C : 0); c++) {
        expect(r, &dweight[c], before(r, &dweight[c]) + slope(norm_value, f, &f->weight[c], 1e-3),
               (double)N * ULP * 60);
        if (dbias) {
            expect(r, &dbias[c], before(r, &dbias[c]) + slope(norm_value, f, &f->bias[c], 1e-3),
                   (double)N * ULP * 60);
        }
    }
}

static void layernorm_forward(Run *r, const int *s)
{
    int N = s[0], C = s[1];
    size_t n = (size_t)N, c = (size_t)C;
    const float *x = input(r, "x", n, c), *weight = input(r, "weight", 1, c),
                *bias = input(r, "bias", 1, c);
    float *out = output(r, "out", n, c), *mean = output(r, "mean", n, 1),
          *rstd = output(r, "rstd", n, 1);
    CALL(r, layernorm_forward, out, mean, rstd, x, weight, bias, N, C, eps)
    if (r->check) {
        expect_norm(r, out, x, weight, bias, n, c);
    }
}

static void residual_layernorm_forward(Run *r, const int *s)
{
    int N = s[0], C = s[1], in_place = s[2];
    size_t n = (size_t)N, c = (size_t)C;
    float *x = in_place ? updated(r, "x and sum", n, c) : input(r, "x", n, c),
          *sum = in_place ? x : output(r, "sum", n, c);
    const float *residual = input(r, "residual", n, c), *weight = input(r, "weight", 1, c),
                *bias = input(r, "bias", 1, c);
    float *out = output(r, "out", n, c), *mean = output(r, "mean", n, 1),
          *rstd = output(r, "rstd", n, 1);
    CALL(r, residual_layernorm_forward, out, sum, mean, rstd, residual, x, weight, bias, N, C, eps)
    if (r->check) {
        for (size_t i = 0; i < n * c; i++) { /* one rounding of values up to 10 */
            expect(r, &sum[i], before(r, &x[i]) + (double)residual[i], 10 * ULP);
        }
        expect_norm(r, out, sum, weight, bias, n, c);
    }
}

static void layernorm_backward(Run *r, const int *s)
{
    int C = s[2], in_place = s[3], frozen = s[4];
    Packed p = packed(r, s[0], s[1]);
    size_t n = (size_t)p.N, c = (size_t)C;
    const float *x = input(r, "x", n, c), *weight = input(r, "weight", 1, c);
    float *dout = in_place ? updated(r, "dout and dx", n, c) : input(r, "dout", n, c),
          *dx = in_place ? dout : output(r, "dx", n, c);
    float *mean = input(r, "mean", n, 1), *rstd = input(r, "rstd", n, 1),
          *bias = input(r, "bias", 1, c), *out = output(r, "out of forward", n, c);
    float *dweight = frozen ? NULL : updated(r, "dweight", 1, c),
          *dbias = frozen ? NULL : updated(r, "dbias", 1, c);
    ops_reference.layernorm_forward(&r->ctx, out, mean, rstd, x, weight, bias, p.N, C, eps);
    CALL(r, layernorm_backward, dx, dweight, dbias, dout, x, mean, rstd, weight, p.cu, p.B, p.N, C)
    if (r->check) {
        double *d = doubles(r, NULL, n * c);
        for (size_t i = 0; i < n * c; i++) {
            d[i] = before(r, &dout[i]);
        }
        Norm f = {.C = c,
                  .x = doubles(r, x, n * c),
                  .weight = doubles(r, weight, c),
                  .bias = doubles(r, bias, c),
                  .dout = d};
        expect_norm_gradients(r, &f, dx, dweight, dbias, n);
    }
}

static void rmsnorm_forward(Run *r, const int *s)
{
    int N = s[0], C = s[1];
    size_t n = (size_t)N, c = (size_t)C;
    const float *x = input(r, "x", n, c), *weight = input(r, "weight", 1, c);
    float *out = output(r, "out", n, c), *rstd = output(r, "rstd", n, 1);
    CALL(r, rmsnorm_forward, out, rstd, x, weight, N, C, eps)
    if (r->check) {
        expect_norm(r, out, x, weight, NULL, n, c);
    }
}

static void residual_rmsnorm_forward(Run *r, const int *s)
{
    int N = s[0], C = s[1], in_place = s[2];
    size_t n = (size_t)N, c = (size_t)C;
    float *x = in_place == 1 ? updated(r, "x and sum", n, c) : input(r, "x", n, c),
          *residual = in_place == 2 ? updated(r, "residual and sum", n, c)
                                    : input(r, "residual", n, c),
          *sum = in_place == 1   ? x
                 : in_place == 2 ? residual
                                 : output(r, "sum", n, c);
    const float *weight = input(r, "weight", 1, c);
    float *out = output(r, "out", n, c), *rstd = output(r, "rstd", n, 1);
    CALL(r, residual_rmsnorm_forward, out, sum, rstd, residual, x, weight, N, C, eps)
    if (r->check) {
        for (size_t i = 0; i < n * c; i++) {
            expect(r, &sum[i], before(r, &x[i]) + before(r, &residual[i]), 10 * ULP);
        }
        expect_norm(r, out, sum, weight, NULL, n, c);
    }
}

static void rmsnorm_backward(Run *r, const int *s)
{
    int C = s[2], in_place = s[3], frozen = s[4];
    Packed p = packed(r, s[0], s[1]);
    size_t n = (size_t)p.N, c = (size_t)C;
    const float *x = input(r, "x", n, c), *weight = input(r, "weight", 1, c);
    float *dout = in_place ? updated(r, "dout and dx", n, c) : input(r, "dout", n, c),
          *dx = in_place ? dout : output(r, "dx", n, c);
    float *rstd = input(r, "rstd", n, 1), *out = output(r, "out of forward", n, c);
    float *dweight = frozen ? NULL : updated(r, "dweight", 1, c);
    ops_reference.rmsnorm_forward(&r->ctx, out, rstd, x, weight, p.N, C, eps);
    CALL(r, rmsnorm_backward, dx, dweight, dout, x, rstd, weight, p.cu, p.B, p.N, C)
    if (r->check) {
        double *d = doubles(r, NULL, n * c);
        for (size_t i = 0; i < n * c; i++) {
            d[i] = before(r, &dout[i]);
        }
        Norm f = {.C = c, .x = doubles(r, x, n * c), .weight = doubles(r, weight, c), .dout = d};
        expect_norm_gradients(r, &f, dx, dweight, NULL, n);
    }
}

static const Shape forward_shapes[] = {
    {{1, 1}},    {{67, 33}},  {{5, 31}},   {{9, 64}},   {{3, 32}},  {{6, 100}},
    {{3, 1029}}, {{0, 5}},    {{1, 2}},    {{2, 7}},    {{8, 16}},  {{17, 63}},
    {{9, 65}},   {{4, 95}},   {{3, 127}},  {{16, 129}}, {{5, 257}}, {{2, 1023}},
    {{2, 1024}}, {{1, 1025}}, {{2, 2049}}, {{0}}};
static const Shape residual_shapes[] = {
    {{1, 1, 0}},    {{67, 33, 1}},  {{9, 64, 2}},  {{3, 1029, 0}}, {{6, 100, 1}},  {{0, 5, 1}},
    {{1, 2, 1}},    {{2, 7, 2}},    {{8, 16, 0}},  {{17, 63, 1}},  {{9, 65, 2}},   {{4, 95, 0}},
    {{3, 127, 1}},  {{16, 129, 2}}, {{5, 257, 0}}, {{2, 1023, 1}}, {{2, 1024, 2}}, {{1, 1025, 1}},
    {{2, 2049, 2}}, {{2, 1056, 1}}, {{0}}};
static const Shape backward_shapes[] = {
    {{1, 0, 1}},        {{5, 0, 33}},         {{7, 0, 100, 1}},  {{4, 3, 64}},   {{40, -1, 45}},
    {{5, 0, 65, 0, 1}}, {{3, 2, 517, 1}},     {{1, 9, 2}},       {{2, 8, 7, 1}}, {{8, -2, 31}},
    {{6, -2, 32, 1}},   {{9, 7, 16}},         {{17, -1, 63, 1}}, {{3, 17, 95}},  {{2, 16, 127, 1}},
    {{1, 33, 129}},     {{2, 3, 1023}},       {{3, 1, 1024, 1}}, {{1, 9, 1025}}, {{2, 2, 1061, 1}},
    {{9, -1, 1030}},    {{3, 1, 1056, 1, 1}}, {{1, -2, 5}},      {{0}}};
static const Shape forward_real[] = {{{2048, 1024}}, {{2048, 3072}}, {{0}}};
static const Shape backward_real[] = {{{16, 128, 1024}}, {{16, 128, 3072, 0, 1}}, {{0}}};

const OpCase norm_cases[] = {
    {"layernorm_forward", "N C", layernorm_forward, forward_shapes, forward_real, 0},
    {"residual_layernorm_forward", "N C in_place", residual_layernorm_forward, residual_shapes,
     forward_real, 0},
    {"layernorm_backward", "B T C in_place frozen", layernorm_backward, backward_shapes,
     backward_real, 1},
    {"rmsnorm_forward", "N C", rmsnorm_forward, forward_shapes, forward_real, 0},
    {"residual_rmsnorm_forward", "N C in_place", residual_rmsnorm_forward, residual_shapes,
     forward_real, 0},
    {"rmsnorm_backward", "B T C in_place frozen", rmsnorm_backward, backward_shapes, backward_real,
     1},
    {0}};

/* --- rope --- */

static void rope(Run *r, const int *s)
{
    int N = s[0], H = s[1], D = s[2], stride = H * D + s[3], direction = s[4] ? -1 : 1;
    size_t n = (size_t)N, half = (size_t)D / 2;
    int positions[4096];
    for (int i = 0; i < N; i++) {
        positions[i] = i * 5 % N;
    }
    float *x = updated(r, "x", n, (size_t)stride);
    const float *cosine = input(r, "cosine", n, half), *sine = input(r, "sine", n, half);
    const int *at = integers(r, "positions", positions, n);
    CALL(r, rope, x, at, cosine, sine, N, H, D, stride, direction)
    for (size_t i = 0; i < n * (size_t)H * half && r->check; i++) {
        size_t row = i / half / (size_t)H, head = i / half % (size_t)H, k = i % half,
               angle = (size_t)at[row] * half + k;
        float *a = x + row * (size_t)stride + head * (size_t)D + k, *b = a + half;
        double p = before(r, a), q = before(r, b), c = (double)cosine[angle],
               t = direction * (double)sine[angle];
        expect(r, a, p * c - q * t, 2 * ULP * (fabs(p * c) + fabs(q * t)));
        expect(r, b, q * c + p * t, 2 * ULP * (fabs(q * c) + fabs(p * t)));
    }
}

static const Shape rope_shapes[] = {{{1, 1, 2}},        {{67, 3, 10, 0, 0}}, {{67, 3, 10, 7, 1}},
                                    {{9, 2, 64, 0, 1}}, {{5, 1, 70, 3, 0}},  {{0, 2, 6}},
                                    {{1, 1, 4, 1, 1}},  {{2, 5, 2, 0, 1}},   {{3, 1, 64, 5}},
                                    {{3, 9, 64, 1, 1}}, {{2, 4, 128}},       {{2, 5, 128, 3, 1}},
                                    {{33, 1, 6, 2}},    {{7, 7, 14, 1}},     {{4, 16, 32, 0, 1}},
                                    {{4, 17, 32, 9}},   {{2, 3, 174, 1, 1}}, {{300, 1, 2, 1}},
                                    {{1, 24, 128}},     {{2, 8, 66, 0, 1}},  {{0}}};
static const Shape rope_real[] = {{{2048, 24, 128}}, {{2048, 8, 128}}, {{0}}};

const OpCase rope_cases[] = {{"rope", "N H D gap backward", rope, rope_shapes, rope_real, 0}, {0}};
