/* Cases of optimizer.c. */
#include "base.h"
#include "check.h"
#include "harness.h"
#include "ops_reference.h"

#include <stdlib.h>

static void sum_squares(Run *r, const int *s)
{
    size_t n = (size_t)s[0], groups = (n + 4095) / 4096;
    const float *x = input(r, "x", 1, n);
    float *partial = output(r, "partial", 1, groups);
    CALL(r, sum_squares, partial, x, n)
    for (size_t g = 0; g < groups && r->check; g++) {
        double sum = 0;
        for (size_t i = 4096 * g; i < n && i < 4096 * (g + 1); i++) {
            sum += (double)x[i] * (double)x[i];
        }
        expect(r, &partial[g], sum, (4096 / 32 + 5) * ULP * sum);
    }
}

/* clip: 0 none, 1 below the norm, 2 above it. bad 1: the loss is NaN; 2, 3: a partial sum is
 * infinite, or NaN. */
static void gradient_norm(Run *r, const int *s)
{
    size_t n = (size_t)s[0];
    double clip = s[1] == 2 ? 1e9 : s[1], truth = 0;
    StepSums start = {.loss = s[2] == 1 ? (double)NAN : 3.5};
    float *partial = input(r, "partial", 1, n);
    /* 512 values of 1 to 2, and many so small that one of them is lost when it is added to one of
     * the 512, but several together are not: it shows which are added first */
    for (size_t i = 0; i < n; i++) {
        float square = partial[i] * partial[i];
        partial[i] = (1 + square / (1 + square)) * (i < 512 ? 1.0f : 0x1p-54f);
        truth += (double)partial[i];
    }
    if (s[2] >= 2) {
        truth = partial[n / 2] = s[2] == 2 ? INFINITY : NAN;
    }
    StepSums *sums = wide_values(r, "sums", &start, sizeof start / sizeof(double));
    CALL(r, gradient_norm, sums, partial, n, clip)
    truth = sqrt(truth);
    float factor = s[1] == 1 && truth > 1 ? (float)(1 / (truth + 1e-6)) : 1.0f;
    CHECK(!r->check || sums->norm == truth || fabs(sums->norm - truth) < 1e-12 * truth ||
              (isnan(sums->norm) && isnan(truth)),
          "%s: norm %.17g, expected %.17g", r->what, sums->norm, truth);
    CHECK(!r->check || fabs((double)(sums->gradient_scale - factor)) <= ULP * (double)factor,
          "%s: factor %.9g, expected %.9g", r->what, (double)sums->gradient_scale, (double)factor);
    CHECK(!r->check || sums->finite == !s[2], "%s: finite is %d", r->what, sums->finite);
}

/* Two segments; where not all is finite nothing changes. spare: elements behind them that nobody
 * may touch; tensors end at a page, so it says on which boundary they begin. */
static void adamw(Run *r, const int *s)
{
    size_t n = (size_t)s[0], decayed = (size_t)s[1], all = n + (size_t)s[3];
    float *parameter = updated(r, "parameter", 1, all), *m = updated(r, "m", 1, all),
          *v = updated(r, "v", 1, all), *gradient = updated(r, "gradient", 1, all);
    for (size_t i = 0; i < all; i++) {
        v[i] *= v[i];
    }
    StepSums known = {.gradient_scale = 0.7f, .finite = !s[2]};
    const StepSums *sums = wide_values(r, "sums", &known, sizeof known / sizeof(double));
    AdamW step = {.beta1_rest = 0.1f,
                  .beta2 = 0.98f,
                  .beta2_rest = 0.02f,
                  .eps = 1e-6f,
                  .rate = 2e-3f,
                  .correction = 0.5f,
                  .segments = 2,
                  .segment = {{decayed, 0.9999f}, {n, 1.0f}}};
    CALL(r, adamw, parameter, m, v, gradient, sums, &step)
    for (size_t i = 0; i < n && r->check; i++) {
        double g = before(r, &gradient[i]) * (double)0.7f,
               shrink = i < decayed ? (double)0.9999f : 1.0,
               first = before(r, &m[i]) + (double)0.1f * (g - before(r, &m[i])),
               second = (double)0.98f * before(r, &v[i]) + (double)0.02f * g * g,
               update = (double)2e-3f * first / (sqrt(second) / 0.5 + (double)1e-6f);
        expect(r, &m[i], s[2] ? before(r, &m[i]) : first, 4 * 8 * ULP);
        expect(r, &v[i], s[2] ? before(r, &v[i]) : second, 4 * 20 * ULP);
        expect(r, &parameter[i],
               s[2] ? before(r, &parameter[i]) : shrink * before(r, &parameter[i]) - update,
               8 * 8 * ULP);
        expect(r, &gradient[i], s[2] ? before(r, &gradient[i]) : 0.0, 0);
    }
}

static const Shape group_lengths[] = {
    {{1}},    {{4096}}, {{3 * 4096 + 77}}, {{2}},    {{31}},   {{32}},       {{33}},
    {{63}},   {{65}},   {{511}},           {{1000}}, {{2049}}, {{4064}},     {{4065}},
    {{4095}}, {{4097}}, {{8191}},          {{8192}}, {{8193}}, {{8 * 4096}}, {{9 * 4096 + 1}},
    {{0}}};
static const Shape norm_shapes[] = {
    {{1, 1}},     {{1000, 1}}, {{16 * 1024 + 5}}, {{3 * 1024 + 5, 2}}, {{70, 1, 1}},   {{70, 1, 2}},
    {{70, 1, 3}}, {{2}},       {{3, 2}},          {{31, 1}},           {{32}},         {{33, 1}},
    {{511}},      {{512, 1}},  {{513, 2}},        {{1023, 1}},         {{1024}},       {{1025, 1}},
    {{2047, 2}},  {{2048, 1}}, {{2049}},          {{5000, 0, 2}},      {{5000, 2, 3}}, {{0, 1}},
    {{0}}};
static const Shape update_shapes[] = {{{1}},
                                      {{31, 31}},
                                      {{5003, 1700}},
                                      {{9000, 4096}},
                                      {{5003, 1700, 1}},
                                      {{2, 1}},
                                      {{3, 2}},
                                      {{4, 1}},
                                      {{4, 4}},
                                      {{5, 3}},
                                      {{7, 6}},
                                      {{8, 2}},
                                      {{9, 8, 1}},
                                      {{33, 17}},
                                      {{100, 0}},
                                      {{128, 63}},
                                      {{1023, 1}},
                                      {{1024, 1024}},
                                      {{1025, 1023}},
                                      {{1026, 513}},
                                      {{4099, 4097}},
                                      {{5003, 1700, 0, 1}},
                                      {{6, 5, 0, 2}},
                                      {{2049, 2049, 0, 3}},
                                      {{1, 0, 0, 3}},
                                      {{0, 0, 0, 4}},
                                      {{0}}};
static const Shape update_real[] = {{{16 * 1024 * 1024, 16 * 1024 * 1000}}, {{0}}};
static const Shape arena_real[] = {{{16 * 1024 * 1024}}, {{0}}};
static const Shape partial_real[] = {{{355359744 / 4096, 1}}, {{0}}};

const OpCase optimizer_cases[] = {
    {"sum_squares", "n", sum_squares, group_lengths, arena_real, 0},
    {"gradient_norm", "n clip bad", gradient_norm, norm_shapes, partial_real, 0},
    {"adamw", "n decayed bad spare", adamw, update_shapes, update_real, 0},
    {0}};
