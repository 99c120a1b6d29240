/* Cases of hash.c. */
#include "base.h"
#include "check.h"
#include "harness.h"

#include <math.h>
#include <stdlib.h>

/* gap: words between the rows; listed: every other row of a table, backwards; place: of the first
 * block. */
static void hash(Run *r, const int *s)
{
    size_t rows = (size_t)s[0], columns = (size_t)s[1], stride = columns + (size_t)s[2];
    size_t all = s[3] ? 2 * rows : rows;
    const float *x = input(r, "x", all, stride);
    const uint64_t start = 0x0123456789ABCDEFu;
    int *list = memory_alloc(rows + 1, sizeof *list);
    for (int i = 0; i < s[0]; i++) {
        list[i] = 2 * (s[0] - 1 - i) + 1;
    }
    const int *listed = s[3] ? integers(r, "list", list, rows) : NULL;
    uint64_t *sum = wide_values(r, "sum", &start, 1);
    CALL(r, hash, sum, x, listed, rows, columns, stride, (size_t)s[4])
    free(list);
}

/* The estimate of the norm has a relative deviation of sqrt(2 / 256), and is within four of them
 * for many values; for few it is exact but for the fractions. */
static void sketch(Run *r, const int *s)
{
    size_t n = (size_t)s[0];
    const float *x = input(r, "x", 1, n);
    const uint64_t start[SKETCH_SUMS] = {0};
    uint64_t *sums = wide_values(r, "sums", start, SKETCH_SUMS);
    CALL(r, sketch, sums, x, n)
    double squares = 0, truth = 0;
    for (int k = 0; k < SKETCH_SUMS && r->check; k++) {
        double sum = (double)(int64_t)sums[k] * 0x1p-40;
        squares += sum * sum;
    }
    for (size_t i = 0; i < n && r->check; i++) {
        truth += (double)x[i] * (double)x[i];
    }
    double most = n > SKETCH_SUMS ? 4 * sqrt(2.0 / SKETCH_SUMS) : 1e-9;
    CHECK(!r->check || fabs(squares - truth) <= most * truth, "%s: squares %g, estimated %g",
          r->what, truth, squares);
}

static const Shape hash_shapes[] = {{{1, 1}},
                                    {{1, 2}},
                                    {{1, 31}},
                                    {{1, 32, 0, 0, 5}},
                                    {{1, 33}},
                                    {{1, 1023}},
                                    {{1, 1024, 0, 0, 77}},
                                    {{1, 1025}},
                                    {{1, 50000}},
                                    {{300, 1}},
                                    {{301, 2, 1}},
                                    {{7, 31, 3}},
                                    {{5, 32, 2, 1}},
                                    {{9, 33, 0, 1, 3}},
                                    {{3, 64}},
                                    {{67, 100, 7, 1}},
                                    {{13, 1024, 8}},
                                    {{3, 1025, 0, 1}},
                                    {{4, 3000, 1, 1, 9}},
                                    {{0, 5}},
                                    {{9000, 1}},
                                    {{2, 2048}},
                                    {{0}}};
static const Shape sketch_shapes[] = {{{1}},    {{2}},    {{63}},   {{64}},   {{65}},    {{255}},
                                      {{256}},  {{257}},  {{511}},  {{512}},  {{513}},   {{1000}},
                                      {{1024}}, {{2047}}, {{4096}}, {{5000}}, {{16384}}, {{20001}},
                                      {{767}},  {{768}},  {{769}},  {{0}}};
static const Shape hash_real[] = {{{1, 16 * 1024 * 1024}}, {{850, 3072}}, {{850, 1}}, {{0}}};
static const Shape sketch_real[] = {{{16 * 1024 * 1024}}, {{0}}};

const OpCase hash_cases[] = {
    {"hash", "rows columns gap listed place", hash, hash_shapes, hash_real, 0},
    {"sketch", "n", sketch, sketch_shapes, sketch_real, 0},
    {0}};
