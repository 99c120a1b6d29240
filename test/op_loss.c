/* Cases of loss.c. */
#include "base.h"
#include "check.h"
#include "harness.h"
#include "ops_reference.h"

#include <stdlib.h>

static const float scale = 0.25f;

/* --- losses of examples --- */

/* n targets below limit; every fifth is `none` where that is negative. */
static const int *targets_of(Run *r, int n, int limit, int none)
{
    int *targets = memory_alloc((size_t)n, sizeof *targets);
    for (int i = 0; i < n; i++) {
        targets[i] = none < 0 && i % 5 == 3 ? none : i * 401 % limit;
    }
    const int *tensor = integers(r, "targets", targets, (size_t)n);
    free(targets);
    return tensor;
}

/* log(sum(exp(z))) - z[target]; grown to the gradient of z by logits_gradient. */
static double logits_loss(const double *z, size_t n, int target)
{
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++) {
        max = fmax(max, z[i]);
    }
    for (size_t i = 0; i < n; i++) {
        sum += exp(z[i] - max);
    }
    return log(sum) + max - z[target];
}

typedef struct Logits {
    double *z;
    size_t n;
    int target;
} Logits;

static double logits_value(const void *arg)
{
    const Logits *l = arg;
    return logits_loss(l->z, l->n, l->target);
}

/* log of the sum: O / 32 + 5 roundings and 2 ulp each of exp and log, on values up to 12. */
static void cross_entropy(Run *r, const int *s)
{
    int B = s[0], O = s[1], in_place = s[2] == 1, no_gradient = s[2] == 2;
    size_t rows = (size_t)B, width = (size_t)O;
    const int *labels = targets_of(r, B, O, 0);
    float *logits = in_place ? updated(r, "logits and dlogits", rows, width)
                             : input(r, "logits", rows, width),
          *losses = output(r, "losses", 1, rows),
          *dlogits = in_place      ? logits
                     : no_gradient ? NULL
                                   : output(r, "dlogits", rows, width);
    CALL(r, cross_entropy, losses, dlogits, logits, labels, B, O, scale)
    double *z = doubles(r, NULL, rows * width), tolerance = ((double)O / 32 + 10) * ULP;
    for (size_t i = 0; i < rows * width && r->check; i++) {
        z[i] = before(r, &logits[i]);
    }
    for (size_t b = 0; b < rows && r->check; b++) {
        Logits l = {z + b * width, width, labels[b]};
        expect(r, &losses[b], logits_value(&l), 12 * tolerance);
        for (size_t o = 0; o < (dlogits ? width : 0); o++) {
            expect(r, &dlogits[b * width + o],
                   (double)scale * slope(logits_value, &l, &l.z[o], 1e-5), tolerance + 1e-9);
        }
    }
}

static void mean_squared_error(Run *r, const int *s)
{
    int B = s[0];
    size_t n = (size_t)B;
    const float *logits = input(r, "logits", 1, n), *targets = input(r, "targets", 1, n);
    float *losses = output(r, "losses", 1, n), *dlogits = s[1] ? NULL : output(r, "dlogits", 1, n);
    CALL(r, mean_squared_error, losses, dlogits, logits, targets, B, scale)
    for (size_t b = 0; b < n && r->check; b++) {
        double d = (double)logits[b] - (double)targets[b];
        expect(r, &losses[b], d * d, 3 * ULP * d * d);
        if (dlogits) {
            expect(r, &dlogits[b], 2 * d * (double)scale, 2 * ULP * fabs(d));
        }
    }
}

/* --- the language model's loss --- */

/* Loss of one token as a function of x and of the weights. */
typedef struct Language {
    size_t C, V;
    double *x, *weight;
    double *z; /* [V] to work in */
    int target;
} Language;

static double language_value(const void *arg)
{
    const Language *f = arg;
    for (size_t v = 0; v < f->V; v++) {
        f->z[v] = 0;
        for (size_t c = 0; c < f->C; c++) {
            f->z[v] += f->x[c] * f->weight[v * f->C + c];
        }
    }
    return f->target < 0 ? 0 : logits_loss(f->z, f->V, f->target);
}

/* z is a chain of C terms of order 1 with sums up to 30: off by C U 30, and the loss by as much;
 * the gradient by that relative to p, of order 1, times weights up to 5, over words whose p sum to
 * 1. Differences with h = 1e-4 are off by h^2 times third derivatives below 1e2. */
static void linear_cross_entropy(Run *r, const int *s)
{
    int N = s[0], C = s[1], V = s[2], half = s[3], no_gradient = s[4] == 2, frozen = s[4] >= 1;
    size_t rows = (size_t)N, width = (size_t)C, words = (size_t)V;
    const int *targets = targets_of(r, N, V, -100);
    const float *x = input(r, "x", rows, width);
    Weight weight = stored(r, "weight", words, width, half);
    float *losses = output(r, "losses", 1, rows),
          *dx = no_gradient ? NULL : output(r, "dx", rows, width),
          *dweight = frozen ? NULL : updated(r, "dweight", words, width);
    CALL(r, linear_cross_entropy, losses, dx, dweight, x, weight, targets, N, C, V, scale)
    if (!r->check) {
        return;
    }
    double *w = doubles(r, NULL, words * width), *sum = doubles(r, NULL, words * width),
           tolerance = 30 * C * ULP;
    for (size_t i = 0; i < words * width; i++) {
        w[i] = (double)weight_at(weight, i);
    }
    Language f = {width, words, doubles(r, x, rows * width), w, doubles(r, NULL, words), 0};
    for (size_t n = 0; n < rows; n++, f.x += width) {
        f.target = targets[n];
        expect(r, &losses[n], language_value(&f), tolerance);
        double loss = logits_loss(f.z, words, 0); /* + z[0] is the log of the sum */
        for (size_t v = 0; v < (dweight && f.target >= 0 ? words : 0); v++) {
            double p = exp(f.z[v] - f.z[0] - loss), dz = (double)scale * (p - ((int)v == f.target));
            for (size_t c = 0; c < width; c++) {
                sum[v * width + c] += dz * f.x[c];
            }
        }
        for (size_t c = 0; c < (dx ? width : 0); c += 1 + words / 500) {
            expect(r, &dx[n * width + c], (double)scale * slope(language_value, &f, &f.x[c], 1e-4),
                   10 * tolerance + 1e-6);
        }
    }
    for (size_t i = 0; i < (dweight ? words * width : 0); i++) {
        expect(r, &dweight[i], before(r, &dweight[i]) + sum[i], 5 * tolerance);
    }
}

/* --- the sum of a step --- */

static void sum_losses(Run *r, const int *s)
{
    double start = 0.25;
    float *losses = input(r, "losses", 1, (size_t)s[0]);
    for (int i = 0; i < s[0]; i++) { /* 41 binades: in double, too, there is something to round */
        losses[i] = ldexpf(losses[i], -(i * 11 % 41));
    }
    double *sum = wide_values(r, "sum", &start, 1);
    CALL(r, sum_losses, sum, losses, s[0])
    for (int i = 0; i < s[0]; i++) {
        start += (double)losses[i];
    }
    CHECK(!r->check || fabs(*sum - start) < 1e-12 * (1 + fabs(start)), "%s: %.17g, expected %.17g",
          r->what, *sum, start);
}

static const Shape class_shapes[] = {
    {{67, 1}},    {{67, 2, 1}},   {{67, 3}},     {{29, 211, 1}}, {{5, 64}},    {{5, 100, 2}},
    {{1, 1, 1}},  {{1, 2}},       {{2, 31, 1}},  {{3, 32}},      {{9, 33, 2}}, {{7, 63, 1}},
    {{8, 65}},    {{4, 127, 1}},  {{3, 128, 2}}, {{2, 129}},     {{257, 2}},   {{33, 4, 1}},
    {{16, 5, 2}}, {{1, 1021, 1}}, {{2, 2048}},   {{64, 7}},      {{0, 3}},     {{0}}};
static const Shape error_shapes[] = {
    {{1}},      {{67}},  {{67, 1}}, {{2}},       {{3, 1}},  {{4}},    {{5, 1}},   {{31}},
    {{32, 1}},  {{33}},  {{63, 1}}, {{64}},      {{65, 1}}, {{127}},  {{129, 1}}, {{255}},
    {{256, 1}}, {{257}}, {{513}},   {{1021, 1}}, {{3001}},  {{0, 1}}, {{0}}};
/* one block of words, exactly one, and more of them; the last is short */
static const Shape language_shapes[] = {{{19, 33, 7}},
                                        {{19, 5, 2048, 1}},
                                        {{19, 5, 5003, 0}},
                                        {{3, 33, 4500}},
                                        {{5, 64, 2100, 0, 2}},
                                        {{3, 33, 4096 + 40, 1, 1}},
                                        {{1, 1, 1}},
                                        {{1, 7, 31}},
                                        {{2, 5, 32, 1}},
                                        {{3, 3, 33}},
                                        {{9, 3, 65}},
                                        {{5, 6, 129, 1, 2}},
                                        {{33, 2, 3}},
                                        {{17, 15, 16, 1, 1}},
                                        {{4, 9, 100, 0, 2}},
                                        {{2, 300, 9}},
                                        {{2, 4, 2047}},
                                        {{1, 1, 2048, 0, 1}},
                                        {{2, 16, 2049}},
                                        {{1, 17, 4096, 1, 2}},
                                        {{1, 5, 4097, 1}},
                                        {{11, 2, 2050, 0, 2}},
                                        {{0, 5, 7}},
                                        {{0}}};
/* tiles of the device's kernel are of 4,096 */
static const Shape loss_lengths[] = {{{1}},    {{67}},   {{5003}}, {{2}},    {{3}},    {{16}},
                                     {{31}},   {{32}},   {{33}},   {{64}},   {{255}},  {{256}},
                                     {{257}},  {{1000}}, {{2048}}, {{4095}}, {{4096}}, {{4097}},
                                     {{8191}}, {{8192}}, {{8193}}, {{0}}};
static const Shape class_real[] = {{{16, 2}}, {{0}}};
static const Shape error_real[] = {{{16}}, {{0}}};
static const Shape language_real[] = {{{128, 1024, 16384, 0, 1}}, {{0}}};

const OpCase loss_cases[] = {
    {"cross_entropy", "B O in_place_or_no_gradient", cross_entropy, class_shapes, class_real, 1},
    {"mean_squared_error", "B no_gradient", mean_squared_error, error_shapes, error_real, 0},
    {"linear_cross_entropy", "N C V bf16 frozen", linear_cross_entropy, language_shapes,
     language_real, 1},
    {"sum_losses", "n", sum_losses, loss_lengths, error_real, 0},
    {0}};
