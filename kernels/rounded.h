/* Arithmetic of numbers with a bound on their rounding error, and what the ops of ops_rounding share
 * (rounding.h). Every function gives what float64 makes of the values, and the error of float32:
 * what comes from the operands, and one rounding of its own. */
#ifndef ROUNDED_H
#define ROUNDED_H

#include "rounding.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDING(name)            name##_rounding
#define OP(name, parameters, ...) void ROUNDING(name) parameters;
#include "ops.def"
#undef OP

/* u, and half of the smallest subnormal number: the error of a product that underflows. */
#define ROUNDING_UNIT 0x1p-24
#define ROUNDING_TINY 0x1p-150

static inline double rounding_gamma(double n)
{
    return n * ROUNDING_UNIT < 1 ? n * ROUNDING_UNIT / (1 - n * ROUNDING_UNIT) : INFINITY;
}

static inline Rounded exactly(double value)
{
    return (Rounded){value, 0};
}

/* Element i of an input. */
static inline Rounded at(const float *x, size_t i)
{
    return exactly((double)x[i]);
}

/* A value that is off by error before it is rounded so many times. */
static inline Rounded rounded(double value, double error, double times)
{
    double most = fabs(value) + error;
    return (Rounded){value, most <= (double)FLT_MAX
                                ? error + times * (ROUNDING_UNIT * most + ROUNDING_TINY)
                                : INFINITY};
}

static inline Rounded negative(Rounded a)
{
    return (Rounded){-a.value, a.error};
}

static inline Rounded plus(Rounded a, Rounded b)
{
    return rounded(a.value + b.value, a.error + b.error, 1);
}

static inline Rounded minus(Rounded a, Rounded b)
{
    return plus(a, negative(b));
}

/* The product before it is rounded. */
static inline Rounded product(Rounded a, Rounded b)
{
    return (Rounded){a.value * b.value,
                     fabs(a.value) * b.error + fabs(b.value) * a.error + a.error * b.error};
}

static inline Rounded times(Rounded a, Rounded b)
{
    Rounded p = product(a, b);
    return rounded(p.value, p.error, 1);
}

/* a b + c, rounded once by fma, or twice. */
static inline Rounded times_plus(Rounded a, Rounded b, Rounded c)
{
    return plus(times(a, b), c);
}

static inline Rounded over(Rounded a, Rounded b)
{
    double value = a.value / b.value, low = fabs(b.value) - b.error;
    if (fabs(b.value) > (double)FLT_MAX / 2 && a.error < INFINITY) { /* b may overflow: 0 then */
        return rounded(value, 2 * fabs(value), 1);
    }
    return low > 0 ? rounded(value, (a.error + fabs(value) * b.error) / low, 1)
                   : (Rounded){value, INFINITY};
}

static inline Rounded root(Rounded a)
{
    double value = sqrt(a.value), low = a.value > a.error ? sqrt(a.value - a.error) : 0;
    return rounded(value, a.error > 0 ? a.error / (value + low) : 0, 1);
}

/* Functions within 2 ulp: an ulp is at most twice the error of a rounding, twice over. */
static inline Rounded exponential(Rounded a)
{
    double value = exp(a.value);
    return rounded(value, value * expm1(a.error), 4);
}

static inline Rounded logarithm(Rounded a)
{
    return a.error < a.value ? rounded(log(a.value), -log1p(-a.error / a.value), 4)
                             : (Rounded){log(a.value), INFINITY};
}

static inline Rounded hyperbolic_tangent(Rounded a)
{
    return rounded(tanh(a.value), a.error, 4);
}

/* Its slope is largest where it is nearest to 0. */
static inline Rounded error_function(Rounded a)
{
    double near = fmax(0, fabs(a.value) - a.error), slope = 1.1283791670955126 * exp(-near * near);
    return rounded(erf(a.value), slope * a.error, 4);
}

/* What a mask that is drawn again makes of x at element (channel or key) i of a row. */
static inline Rounded dropped_out(Rounded x, const DropoutSite *site, size_t i, int position,
                                  int head, int slot)
{
    if (site->p <= 0.0f) {
        return x;
    }
    uint32_t group = (uint32_t)(i / DROPOUT_BLOCK * DROPOUT_LANES + i % DROPOUT_LANES);
    Philox words = dropout_words(site, group, (uint32_t)position, (uint32_t)head, (uint32_t)slot);
    Rounded share = minus(exactly(1), exactly((double)site->p));
    return words.word[i / DROPOUT_LANES % 4] >= dropout_threshold(site->p)
               ? times(x, over(exactly(1), share))
               : exactly(0);
}

/* --- sums, in any order --- */

typedef struct RoundedSum {
    double value, size, error; /* size: of the terms; error: that of the terms by themselves */
    size_t terms;
    int products; /* some terms are products, and rounded once more */
    int bf16;     /* their factors are rounded to bf16 first, and blocks are cut (block_sum.h) */
} RoundedSum;

/* A sum of a matrix product, which --dtype may have made another one. */
static inline RoundedSum matrix_sum(const Context *ctx)
{
    return (RoundedSum){.bf16 = ctx->bf16};
}

static inline void sum_add(RoundedSum *sum, Rounded term)
{
    sum->value += term.value;
    sum->size += fabs(term.value) + term.error;
    sum->error += term.error;
    sum->terms++;
}

/* Of a product with factors at most so large, as bf16: what is subnormal, and may be taken for a zero,
 * counts as 2^-118; beyond its largest number is infinity. */
static inline void sum_add_factors(RoundedSum *sum, double a, double b)
{
    if (sum->bf16) {
        sum->size += 0x1p-118 * (a + b);
        sum->error += a > 0x1.FEp127 || b > 0x1.FEp127 ? INFINITY : 0;
    }
}

static inline void sum_add_product(RoundedSum *sum, Rounded a, Rounded b)
{
    sum_add(sum, product(a, b));
    sum_add_factors(sum, fabs(a.value) + a.error, fabs(b.value) + b.error);
    sum->products = 1;
}

/* a[i a_step] b[i b_step] for n values of i. */
static inline void sum_add_products(RoundedSum *sum, const float *a, size_t a_step, const float *b,
                                    size_t b_step, size_t n)
{
    double value = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        double term = (double)a[i * a_step] * (double)b[i * b_step];
        value += term;
        size += fabs(term);
        sum_add_factors(sum, fabs((double)a[i * a_step]), fabs((double)b[i * b_step]));
    }
    sum->value += value;
    sum->size += size;
    sum->terms += n;
    sum->products = 1;
}

/* n terms go through n - 1 additions at most. Of bf16 both factors are off by 2^-8 of their size. A
 * block of 16 cuts 17 numbers at 2^-25 of the largest and their sum at 2^-23, which is less than
 * 2^-24 (16 + 11) of the size; one of 8 cuts 9 at 2^-24, less than 2^-24 (2 8 + 11). tile flushes
 * each of its operations. */
static inline Rounded sum_end(const RoundedSum *sum)
{
    double roundings = sum->terms ? (double)sum->terms - 1 + sum->products : 0, error = sum->error,
           tiny = ROUNDING_TINY;
    if (sum->bf16 && sum->products) {
        roundings = 2 * (double)sum->terms + 11;
        error += (0x1p-7 + 0x1p-16) * sum->size;
        tiny = 0x1p-124;
    }
    error += rounding_gamma(roundings) * sum->size +
             (sum->products ? (double)sum->terms * tiny : 0);
    return sum->size + error <= (double)FLT_MAX ? (Rounded){sum->value, error}
                                                : (Rounded){sum->value, INFINITY};
}

/* --- inputs and outputs --- */

/* Copies of a call's inputs on the host. */
typedef struct Inputs {
    Context *ctx;
    void *copy[16];
    int count;
} Inputs;

void *input_bytes(Inputs *in, const void *from, size_t bytes); /* NULL of NULL */
const float *input_floats(Inputs *in, const float *from, size_t n);
const int *input_ints(Inputs *in, const int *from, size_t n);
const float *input_weight(Inputs *in, Weight from, size_t n);
void inputs_free(Inputs *in);

/* Whether an output is wanted, by its number, and its element i. Behind a float64 sum that rounds at
 * 2^-53 the bound has a millionth to spare. */
static inline int is_wanted(const Context *ctx, int output)
{
    return ctx->watch->rounding->output[output] != NULL;
}

static inline void output_set(Context *ctx, int output, size_t i, Rounded x)
{
    Rounded *elements = ctx->watch->rounding->output[output];
    if (elements) {
        x.error *= 1 + 0x1p-20;
        elements[i] = isnan(x.error) || isnan(x.value) ? (Rounded){x.value, INFINITY} : x;
    }
}

#endif
