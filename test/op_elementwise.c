/* Cases of elementwise.c and embedding.c. */
#include "base.h"
#include "check.h"
#include "harness.h"
#include "ops_reference.h"

#include <stdlib.h>

static void multiply(float *x, size_t n, float factor)
{
    for (size_t i = 0; i < n; i++) {
        x[i] *= factor;
    }
}

/* Floats of tensor t of a case of n elements. A tensor ends before a guard page: it begins on a
 * boundary of 16 bytes if their number is rounded up, which bit t of the mask asks for. */
static size_t floats_of(size_t n, int mask, int t)
{
    return mask >> t & 1 ? (n + 3) / 4 * 4 : n;
}

/* --- functions of one number --- */

static double gelu(double x)
{
    return x / 2 * erfc(-x / sqrt(2.0));
}

static double silu(double x)
{
    return x / (1 + exp(-x));
}

static double gelu_at(const void *x)
{
    return gelu(*(const double *)x);
}

static double silu_at(const void *x)
{
    return silu(*(const double *)x);
}

static double tanh_at(const void *x)
{
    return tanh(*(const double *)x);
}

static double slope_at(double (*function)(const void *), double x)
{
    return slope(function, &x, &x, 1e-5);
}

/* Values up to 15 with at most 8 roundings of 1 ulp; 1 + erf cancels to an absolute error of 2 ulp
 * of 1. */
static void gelu_forward(Run *r, const int *s)
{
    size_t n = (size_t)s[0];
    float *x = input(r, "x", 1, floats_of(n, s[1], 0)),
          *out = output(r, "out", 1, floats_of(n, s[1], 1));
    multiply(x, n, 3);
    CALL(r, gelu_forward, out, x, n)
    for (size_t i = 0; i < n && r->check; i++) {
        expect(r, &out[i], gelu((double)x[i]), 8 * 15 * ULP);
    }
}

static void gelu_backward(Run *r, const int *s)
{
    size_t n = (size_t)s[0];
    size_t dout_n = floats_of(n, s[2], 1);
    float *x = input(r, "x", 1, floats_of(n, s[2], 0)),
          *dout = s[1] ? updated(r, "dout and dx", 1, dout_n) : input(r, "dout", 1, dout_n),
          *dx = s[1] ? dout : output(r, "dx", 1, floats_of(n, s[2], 2));
    multiply(x, n, 3);
    CALL(r, gelu_backward, dx, dout, x, n)
    for (size_t i = 0; i < n && r->check; i++) {
        expect(r, &dx[i], before(r, &dout[i]) * slope_at(gelu_at, (double)x[i]),
               8 * 15 * ULP + 1e-8);
    }
}

static void tanh_forward(Run *r, const int *s)
{
    size_t n = (size_t)s[0];
    size_t x_n = floats_of(n, s[2], 0);
    float *x = s[1] ? updated(r, "x and out", 1, x_n) : input(r, "x", 1, x_n),
          *out = s[1] ? x : output(r, "out", 1, floats_of(n, s[2], 1));
    multiply(x, n, 3);
    CALL(r, tanh_forward, out, x, n)
    for (size_t i = 0; i < n && r->check; i++) {
        expect(r, &out[i], tanh(before(r, &x[i])), 2 * ULP);
    }
}

/* out^2 has three roundings of 1, times dout up to 5. */
static void tanh_backward(Run *r, const int *s)
{
    size_t n = (size_t)s[0];
    size_t dout_n = floats_of(n, s[2], 1);
    float *x = input(r, "x", 1, n), *out = input(r, "out", 1, floats_of(n, s[2], 0)),
          *dout = s[1] ? updated(r, "dout and dx", 1, dout_n) : input(r, "dout", 1, dout_n),
          *dx = s[1] ? dout : output(r, "dx", 1, floats_of(n, s[2], 2));
    for (size_t i = 0; i < n; i++) {
        out[i] = (float)tanh((double)x[i]);
    }
    CALL(r, tanh_backward, dx, dout, out, n)
    for (size_t i = 0; i < n && r->check; i++) {
        expect(r, &dx[i], before(r, &dout[i]) * slope_at(tanh_at, (double)x[i]),
               8 * 5 * ULP + 1e-8);
    }
}

/* Far out too: exp(-gate) overflows. */
static float *gate_input(Run *r, size_t n, int in_place)
{
    float *gate = in_place ? updated(r, "gate and dgate", 1, n) : input(r, "gate", 1, n);
    for (size_t i = 0; i < n; i++) {
        gate[i] *= i % 100 == 0 ? 100.0f : 5.0f;
    }
    return gate;
}

/* A handful of roundings of the factors; 1 - s is off by a rounding of 1, times gate. */
static double swiglu_tolerance(double gate, double up, double dout)
{
    return 16 * ULP * (1 + fabs(gate)) * (1 + fabs(up)) * (1 + fabs(dout));
}

static void swiglu_forward(Run *r, const int *s)
{
    size_t n = (size_t)s[0];
    float *gate = gate_input(r, floats_of(n, s[1], 0), 0),
          *up = input(r, "up", 1, floats_of(n, s[1], 1)),
          *out = output(r, "out", 1, floats_of(n, s[1], 2));
    CALL(r, swiglu_forward, out, gate, up, n)
    for (size_t i = 0; i < n && r->check; i++) {
        expect(r, &out[i], silu((double)gate[i]) * (double)up[i],
               swiglu_tolerance((double)gate[i], (double)up[i], 0));
    }
}

/* in_place 1: dgate is gate and dup is up; 2: dgate is dout; 3: dup is dout. */
static void swiglu_backward(Run *r, const int *s)
{
    size_t n = (size_t)s[0];
    int in_place = s[1];
    size_t up_n = floats_of(n, s[2], 1), dout_n = floats_of(n, s[2], 2);
    float *gate = gate_input(r, floats_of(n, s[2], 0), in_place == 1),
          *up = in_place == 1 ? updated(r, "up and dup", 1, up_n) : input(r, "up", 1, up_n),
          *dout = in_place > 1 ? updated(r, "dout and a gradient", 1, dout_n)
                               : input(r, "dout", 1, dout_n),
          *dgate = in_place == 1   ? gate
                   : in_place == 2 ? dout
                                   : output(r, "dgate", 1, floats_of(n, s[2], 3)),
          *dup = in_place == 1   ? up
                 : in_place == 3 ? dout
                                 : output(r, "dup", 1, floats_of(n, s[2], 4));
    CALL(r, swiglu_backward, dgate, dup, dout, gate, up, n)
    for (size_t i = 0; i < n && r->check; i++) {
        double g = before(r, &gate[i]), u = before(r, &up[i]), d = before(r, &dout[i]);
        expect(r, &dgate[i], d * u * slope_at(silu_at, g), swiglu_tolerance(g, u, d) + 1e-7);
        expect(r, &dup[i], d * silu(g), swiglu_tolerance(g, u, d));
    }
}

/* --- rows and their copies --- */

static void add(Run *r, const int *s)
{
    size_t n = (size_t)s[0];
    size_t a_n = floats_of(n, s[2], 0), b_n = floats_of(n, s[2], 1);
    float *a = s[1] == 1 ? updated(r, "a and out", 1, a_n) : input(r, "a", 1, a_n),
          *b = s[1] == 2 ? updated(r, "b and out", 1, b_n) : input(r, "b", 1, b_n),
          *out = s[1] == 1   ? a
                 : s[1] == 2 ? b
                             : output(r, "out", 1, floats_of(n, s[2], 2));
    CALL(r, add, out, a, b, n)
    for (size_t i = 0; i < n && r->check; i++) {
        double sum = before(r, &a[i]) + before(r, &b[i]);
        expect(r, &out[i], sum, ULP * fabs(sum));
    }
}

static void copy(Run *r, const int *s)
{
    size_t n = (size_t)s[0];
    float *x = input(r, "x", 1, floats_of(n, s[1], 0)),
          *out = output(r, "out", 1, floats_of(n, s[1], 1));
    CALL(r, copy, out, x, n)
    for (size_t i = 0; i < n && r->check; i++) {
        expect(r, &out[i], (double)x[i], 0);
    }
}

static void fill_zero(Run *r, const int *s)
{
    size_t n = (size_t)s[0];
    float *x = updated(r, "x", 1, floats_of(n, s[1], 0));
    CALL(r, fill_zero, x, n)
    for (size_t i = 0; i < n && r->check; i++) {
        expect(r, &x[i], 0.0, 0);
    }
}

/* R distinct rows of a table of 3 R, in no order. Both cases: bits 0 and 1 of the number behind a
 * shape move a tensor by one element, off a boundary of 16 bytes. */
static const int *distinct_rows(Run *r, int R)
{
    int *rows = memory_alloc((size_t)R, sizeof *rows);
    for (int i = 0; i < R; i++) {
        rows[i] = (i % 2 ? 3 * R - 1 - i : i);
    }
    const int *tensor = integers(r, "rows", rows, (size_t)R);
    free(rows);
    return tensor;
}

static void gather_rows(Run *r, const int *s)
{
    int R = s[0], C = s[1];
    size_t width = (size_t)C;
    const int *rows = distinct_rows(r, R);
    Weight x = stored(r, "x", 1, 3 * (size_t)R * width + (s[3] & 1), s[2]);
    float *out = output(r, "out", 1, (size_t)R * width + (s[3] >> 1 & 1));
    CALL(r, gather_rows, out, x, rows, R, C)
    for (size_t i = 0; i < (size_t)R * width && r->check; i++) {
        expect(r, &out[i], (double)weight_at(x, (size_t)rows[i / width] * width + i % width), 0);
    }
}

static void scatter_add_rows(Run *r, const int *s)
{
    int R = s[0], C = s[1];
    size_t width = (size_t)C;
    const int *rows = distinct_rows(r, R);
    float *dx = updated(r, "dx", 1, 3 * (size_t)R * width + (s[2] & 1));
    const float *dout = input(r, "dout", 1, (size_t)R * width + (s[2] >> 1 & 1));
    CALL(r, scatter_add_rows, dx, dout, rows, R, C)
    for (size_t i = 0; i < (size_t)R * width && r->check; i++) {
        const float *at = &dx[(size_t)rows[i / width] * width + i % width];
        double sum = before(r, at) + (double)dout[i];
        expect(r, at, sum, ULP * fabs(sum));
    }
}

/* Means of 1 to 9 rows. */
static void divide_rows(Run *r, const int *s)
{
    int R = s[0], C = s[1], *list = memory_alloc((size_t)R, sizeof *list);
    size_t n = (size_t)R * (size_t)C;
    for (int i = 0; i < R; i++) {
        list[i] = 1 + i * 5 % 9;
    }
    const int *counts = integers(r, "counts", list, (size_t)R);
    free(list);
    float *x = s[2] ? updated(r, "x and out", 1, n + (s[3] & 1))
                    : input(r, "x", 1, n + (s[3] & 1)),
          *out = s[2] ? x : output(r, "out", 1, n + (s[3] >> 1 & 1));
    CALL(r, divide_rows, out, x, counts, R, C)
    for (size_t i = 0; i < n && r->check; i++) {
        double mean = before(r, &x[i]) / counts[i / (size_t)C];
        expect(r, &out[i], mean, ULP * fabs(mean));
    }
}

/* Masks themselves are compared in test_random; here the scale, and the share that is dropped: six
 * standard errors among N C independent draws. */
static void dropout(Run *r, const int *s)
{
    int C = s[2];
    Packed p = packed(r, s[0], s[1]);
    size_t n = (size_t)p.N * (size_t)C, dropped_count = 0;
    DropoutSite site = {.seed = 1, .step = 2, .site = 3, .p = (float)s[3] / 100};
    float *x = s[4] ? updated(r, "x and out", (size_t)p.N, (size_t)C)
                    : input(r, "x", (size_t)p.N, (size_t)C),
          *out = s[4] ? x : output(r, "out", (size_t)p.N, (size_t)C);
    CALL(r, dropout, out, x, p.position, p.slot, p.N, C, &site)
    for (size_t i = 0; i < n && r->check; i++) {
        double kept = before(r, &x[i]) / (1 - (double)site.p);
        expect(r, &out[i], out[i] == 0 ? 0 : kept, 2 * ULP * fabs(kept));
        dropped_count += out[i] == 0;
    }
    double share = (double)dropped_count / (double)n, q = (double)site.p;
    CHECK(!r->check || !n || fabs(share - q) <= 6 * sqrt(q * (1 - q) / (double)n),
          "%s: a share of %g is dropped", r->what, share);
}

static const Shape lengths[] = {{{0, 1}},    {{1}},     {{31}},      {{5003}},    {{8192 + 17}},
                                {{2, 3}},    {{3, 3}},  {{4}},       {{5, 3}},    {{6, 1}},
                                {{7, 2}},    {{8}},     {{15, 3}},   {{16}},      {{17, 1}},
                                {{33, 2}},   {{63, 3}}, {{127, 7}},  {{129, 5}},  {{255, 6}},
                                {{1021, 7}}, {{1024}},  {{1025, 7}}, {{2047, 3}}, {{0}}};
static const Shape lengths_in_place[] = {
    {{0, 1}},      {{1}},         {{31, 1}},      {{5003, 2}},  {{5003, 1}},    {{8192 + 17}},
    {{2, 0, 7}},   {{3, 1, 7}},   {{4}},          {{5, 2, 7}},  {{6, 0, 1}},    {{7, 0, 6}},
    {{8, 1}},      {{15, 0, 3}},  {{16}},         {{17, 0, 5}}, {{33, 0, 2}},   {{63, 1, 7}},
    {{127, 0, 7}}, {{129, 2, 5}}, {{1021, 0, 7}}, {{1024, 1}},  {{1025, 0, 7}}, {{0}}};
static const Shape swiglu_shapes[] = {
    {{0, 1}},         {{1}},           {{5003}},      {{5003, 1}},   {{31, 2}},
    {{8192 + 17, 3}}, {{2, 0, 31}},    {{3, 1, 31}},  {{4}},         {{5, 2, 31}},
    {{6, 3, 31}},     {{7, 0, 30}},    {{8, 1}},      {{15, 0, 29}}, {{16}},
    {{17, 0, 27}},    {{33, 0, 23}},   {{63, 0, 15}}, {{127, 3, 7}}, {{129, 0, 16}},
    {{1021, 0, 31}},  {{1025, 1, 31}}, {{0}}};
static const Shape row_shapes[] = {
    {{1, 1}},        {{4, 37, 0}},  {{23, 100, 1}},  {{7, 64, 0}},     {{0, 4}},
    {{3, 2, 1}},     {{2, 3, 0}},   {{5, 4, 0, 1}},  {{6, 5, 1}},      {{9, 8, 0, 2}},
    {{8, 16, 1, 3}}, {{17, 31, 0}}, {{1, 32, 1, 2}}, {{2, 63, 0, 1}},  {{3, 96, 0, 3}},
    {{4, 127, 1}},   {{5, 128, 0}}, {{1, 129, 0}},   {{2, 132, 1, 1}}, {{33, 260, 0}},
    {{3, 513, 1}},   {{0}}};
static const Shape scatter_shapes[] = {
    {{1, 1}},      {{4, 37}},    {{23, 100, 1}}, {{7, 64}},   {{0, 4}},     {{3, 2, 1}},
    {{2, 3}},      {{5, 4, 1}},  {{6, 5}},       {{9, 8, 2}}, {{8, 16, 3}}, {{17, 31}},
    {{1, 32, 2}},  {{2, 63, 1}}, {{3, 96, 3}},   {{4, 127}},  {{5, 128}},   {{1, 129}},
    {{2, 132, 1}}, {{33, 260}},  {{3, 513}},     {{0}}};
static const Shape divide_shapes[] = {
    {{1, 1}},         {{4, 37}},          {{23, 100, 1}},     {{7, 64}},        {{0, 4}},
    {{3, 2, 1, 1}},   {{2, 3}},           {{5, 4, 0, 1}},     {{6, 5, 1}},      {{9, 8, 0, 2}},
    {{8, 16, 0, 3}},  {{17, 31}},         {{1, 32, 0, 2}},    {{2, 63, 1, 1}},  {{3, 96, 0, 3}},
    {{4, 127}},       {{5, 128, 1}},      {{1, 129}},         {{2, 132, 0, 1}}, {{33, 260, 1}},
    {{3, 513, 0, 2}}, {{0}}};
static const Shape dropout_shapes[] = {{{5, 0, 37, 10}},     {{7, 0, 300, 25, 1}},
                                       {{5, 0, 128, 0}},     {{3, 40, 1000, 50}},
                                       {{1, 1, 1, 10}},      {{2, 3, 2, 50, 1}},
                                       {{8, 0, 31, 10}},     {{3, 5, 32, 90}},
                                       {{4, -2, 33, 10, 1}}, {{2, 9, 63, 20}},
                                       {{1, 8, 64, 10}},     {{1, 9, 65, 30, 1}},
                                       {{2, 2, 95, 10}},     {{3, 3, 96, 1}},
                                       {{2, 7, 97, 10, 1}},  {{2, 1, 127, 10}},
                                       {{2, 4, 129, 10}},    {{1, 1, 255, 60, 1}},
                                       {{1, 3, 256, 10}},    {{1, 2, 257, 10}},
                                       {{1, -2, 40, 10}},    {{0}}};
static const Shape hidden_real[] = {{{2048 * 1024}}, {{2048 * 3072}}, {{0}}};
static const Shape ffn_real[] = {{{2048 * 4096}}, {{0}}};
static const Shape swiglu_real[] = {{{2048 * 8192}}, {{0}}};
static const Shape pooled_real[] = {{{16 * 1024}}, {{0}}};
static const Shape row_real[] = {{{16, 1024}}, {{2048, 3072, 1}}, {{0}}};
static const Shape scatter_real[] = {{{16, 1024}}, {{0}}};
static const Shape divide_real[] = {{{48, 1024}}, {{0}}};
static const Shape dropout_real[] = {{{16, 128, 1024, 10}}, {{0}}};

const OpCase elementwise_cases[] = {
    {"gelu_forward", "n aligned", gelu_forward, lengths, ffn_real, 0},
    {"gelu_backward", "n in_place aligned", gelu_backward, lengths_in_place, ffn_real, 1},
    {"swiglu_forward", "n aligned", swiglu_forward, lengths, swiglu_real, 0},
    {"swiglu_backward", "n in_place aligned", swiglu_backward, swiglu_shapes, swiglu_real, 1},
    {"tanh_forward", "n in_place aligned", tanh_forward, lengths_in_place, pooled_real, 0},
    {"tanh_backward", "n in_place aligned", tanh_backward, lengths_in_place, pooled_real, 1},
    {"dropout", "B T C percent in_place", dropout, dropout_shapes, dropout_real, 0},
    {"add", "n in_place aligned", add, lengths_in_place, hidden_real, 0},
    {"copy", "n aligned", copy, lengths, hidden_real, 0},
    {"gather_rows", "R C bf16 moved", gather_rows, row_shapes, row_real, 0},
    {"scatter_add_rows", "R C moved", scatter_add_rows, scatter_shapes, scatter_real, 0},
    {"divide_rows", "R C in_place moved", divide_rows, divide_shapes, divide_real, 0},
    {"fill_zero", "n aligned", fill_zero, lengths, hidden_real, 0},
    {0}};

/* --- embedding --- */

/* Token n of a vocabulary of V; a third of all are word 7, so that its sum is long. */
static const int *tokens_of(Run *r, int N, int V)
{
    int *tokens = memory_alloc((size_t)N, sizeof *tokens);
    for (int n = 0; n < N; n++) {
        tokens[n] = n % 3 ? n * 7 % V : 7 % V;
    }
    const int *tensor = integers(r, "tokens", tokens, (size_t)N);
    free(tokens);
    return tensor;
}

static const int *types_of(Run *r, int N)
{
    int *types = memory_alloc((size_t)N, sizeof *types);
    for (int n = 0; n < N; n++) {
        types[n] = n / 3 % 2;
    }
    const int *tensor = integers(r, "types", types, (size_t)N);
    free(types);
    return tensor;
}

/* moved: one of the tensors does not begin on a boundary of 16 bytes; 1 word, 2 position, 3 type, 4
 * out. */
static void embedding_forward(Run *r, const int *s)
{
    int C = s[2], V = s[3], moved = s[6];
    Packed p = packed(r, s[0], s[1]);
    size_t n = (size_t)p.N, width = (size_t)C;
    const int *tokens = tokens_of(r, p.N, V), *types = types_of(r, p.N);
    Weight word = stored(r, "word", 1, (size_t)V * width + (moved == 1), s[5]),
           position = stored(r, "position", 1, 128 * width + (moved == 2), s[5]), type = {0};
    if (!s[4]) {
        type = stored(r, "type", 1, 2 * width + (moved == 3), s[5]);
    }
    float *out = output(r, "out", 1, n * width + (moved == 4));
    CALL(r, embedding_forward, out, tokens, p.position, types, word, position, type, p.N, C)
    for (size_t i = 0; i < n * width && r->check; i++) {
        size_t row = i / width, c = i % width;
        double w = (double)weight_at(word, (size_t)tokens[row] * width + c),
               q = (double)weight_at(position, (size_t)p.position[row] * width + c),
               t = s[4] ? 0 : (double)weight_at(type, (size_t)types[row] * width + c);
        expect(r, &out[i], w + q + t, 2 * ULP * (fabs(w) + fabs(q) + fabs(t)));
    }
}

/* Tokens grouped by the row that they look up, of a table of V rows, from the last row on; those of
 * the row skip are left out. A sum of at most N terms up to 5. */
static void embedding_backward(Run *r, const int *s)
{
    int C = s[2], V = s[3], skip = s[4] ? 7 : -1, U = 0, used = 0;
    Packed p = packed(r, s[0], s[1]);
    size_t n = (size_t)p.N, width = (size_t)C;
    const int *tokens = tokens_of(r, p.N, V);
    int *list = memory_calloc(3 * n + 1, sizeof *list), *starts = list + n, *order = starts + n + 1;
    for (int row = V - 1; row >= 0; row--) {
        for (int t = 0; t < p.N && row != skip; t++) {
            if (tokens[t] == row) {
                order[used++] = t;
            }
        }
        if (used > starts[U]) {
            list[U++] = row;
            starts[U] = used;
        }
    }
    float *dtable = updated(r, "dtable", (size_t)V, width);
    const float *dout = input(r, "dout", n, width);
    const int *rows = integers(r, "rows", list, n), *begin = integers(r, "starts", starts, n + 1),
              *by_row = integers(r, "order", order, n);
    free(list);
    CALL(r, embedding_backward, dtable, dout, rows, begin, by_row, U, used, C)
    if (!r->check) {
        return;
    }
    double *truth = doubles(r, NULL, (size_t)V * width);
    for (size_t i = 0; i < n * width; i++) {
        int row = tokens[i / width];
        truth[(size_t)row * width + i % width] += row == skip ? 0 : (double)dout[i];
    }
    for (size_t i = 0; i < (size_t)V * width; i++) {
        expect(r, &dtable[i], before(r, &dtable[i]) + truth[i],
               (double)n * ULP * 5 * sqrt((double)n));
    }
}

static const Shape embedding_shapes[] = {
    {{1, 0, 1, 5}},           {{5, 0, 37, 23}},         {{7, 0, 100, 23, 1}},
    {{5, 0, 64, 23, 0, 1}},   {{1, 1, 2, 5}},           {{2, 3, 3, 7, 1}},
    {{3, 2, 5, 5, 0, 1}},     {{9, 1, 8, 11}},          {{1, 9, 16, 3, 1, 1}},
    {{4, -2, 31, 9}},         {{2, 17, 32, 23}},        {{3, 5, 33, 4, 1}},
    {{1, 33, 63, 50, 0, 1}},  {{2, 4, 65, 23, 1, 1}},   {{1, 7, 95, 8}},
    {{2, 2, 127, 23}},        {{1, 3, 128, 23, 1}},     {{3, 1, 129, 23, 0, 1}},
    {{1, 2, 257, 23}},        {{1, -2, 8, 5}},          {{2, 3, 12, 7, 0, 0, 1}},
    {{2, 3, 16, 7, 0, 1, 1}}, {{1, 4, 20, 7, 0, 1, 2}}, {{1, 5, 132, 7, 0, 1, 3}},
    {{3, 1, 24, 7, 0, 0, 3}}, {{3, 2, 8, 7, 0, 0, 4}},  {{0}}};
static const Shape table_shapes[] = {{{1, 0, 1, 5}},
                                     {{5, 0, 37, 23}},
                                     {{7, 0, 100, 23, 1}},
                                     {{5, 0, 64, 1}},
                                     {{8, 0, 130, 8, 1}},
                                     {{1, 1, 2, 5}},
                                     {{2, 3, 3, 7, 1}},
                                     {{3, 2, 5, 5}},
                                     {{9, 1, 8, 11, 1}},
                                     {{1, 9, 16, 3}},
                                     {{4, -2, 31, 9}},
                                     {{2, 17, 32, 23, 1}},
                                     {{3, 5, 33, 4}},
                                     {{1, 33, 63, 50, 1}},
                                     {{2, 4, 65, 1}},
                                     {{1, 16, 95, 1}},
                                     {{1, 48, 12, 1}},
                                     {{2, 2, 127, 23}},
                                     {{1, 3, 128, 23, 1}},
                                     {{3, 1, 129, 23}},
                                     {{1, 2, 257, 23}},
                                     {{1, -2, 8, 5}},
                                     {{0}}};
static const Shape embedding_real[] = {{{16, 128, 1024, 50265}}, {{0}}};

const OpCase embedding_cases[] = {
    {"embedding_forward", "B T C V no_types bf16 moved", embedding_forward, embedding_shapes,
     embedding_real, 0},
    {"embedding_backward", "B T C V padding", embedding_backward, table_shapes, embedding_real, 0},
    {0}};
