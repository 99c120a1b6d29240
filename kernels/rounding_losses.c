/* Bounds of losses and of the optimizer: rounding.h. */
#include "rounded.h"

/* --- losses --- */

/* Of one example: the largest logit, exp(z - max) of each, their sum, and the loss. */
typedef struct Softmax {
    Rounded *e;
    RoundedSum sum;
    double max;
} Softmax;

/* The result does not depend on what is taken off, so the error of max counts in the rounding of z -
 * max alone. blocks: how often at most the sum of some exp is rescaled by another exp and an fma. */
static void softmax_of(Softmax *softmax, const Rounded *z, size_t n, size_t blocks)
{
    double max_error = 0;
    softmax->max = -INFINITY;
    softmax->sum = (RoundedSum){0};
    for (size_t i = 0; i < n; i++) {
        softmax->max = fmax(softmax->max, z[i].value);
        max_error = fmax(max_error, z[i].error);
    }
    for (size_t i = 0; i < n; i++) {
        double d = z[i].value - softmax->max;
        Rounded argument = rounded(d, z[i].error + ROUNDING_UNIT * max_error, 1);
        softmax->e[i] = exponential(argument);
        softmax->e[i].error += (double)blocks * 5 * ROUNDING_UNIT *
                               (softmax->e[i].value + softmax->e[i].error);
        sum_add(&softmax->sum, softmax->e[i]);
    }
}

/* log(sum) + (max - z) */
static Rounded softmax_loss(const Softmax *softmax, Rounded z)
{
    return plus(logarithm(sum_end(&softmax->sum)), minus(exactly(softmax->max), z));
}

/* (exp(z - max) / sum - onehot) scale */
static Rounded softmax_gradient(const Softmax *softmax, size_t i, int onehot, float scale)
{
    Rounded p = over(softmax->e[i], sum_end(&softmax->sum));
    return times(minus(p, exactly(onehot)), exactly((double)scale));
}

void ROUNDING(cross_entropy)(Context *ctx, float *losses, float *dlogits, const float *logits,
                             const int *labels, int B, int O, float scale)
{
    (void)losses, (void)dlogits;
    size_t rows = (size_t)B, width = (size_t)O;
    Inputs in = {.ctx = ctx};
    const float *values = input_floats(&in, logits, rows * width);
    const int *label = input_ints(&in, labels, rows);
    Rounded *z = memory_alloc(2 * width + 1, sizeof *z);
    Softmax softmax = {.e = z + width};
    for (size_t b = 0; b < rows; b++) {
        for (size_t o = 0; o < width; o++) {
            z[o] = at(values, b * width + o);
        }
        softmax_of(&softmax, z, width, 0);
        output_set(ctx, 0, b, softmax_loss(&softmax, z[label[b]]));
        for (size_t o = 0; o < width; o++) {
            output_set(ctx, 1, b * width + o,
                       softmax_gradient(&softmax, o, (int)o == label[b], scale));
        }
    }
    free(z);
    inputs_free(&in);
}

void ROUNDING(linear_cross_entropy)(Context *ctx, float *losses, float *dx, float *dweight,
                                    const float *x, Weight weight, const int *targets, int N, int C,
                                    int V, float scale)
{
    (void)losses, (void)dx;
    size_t rows = (size_t)N, width = (size_t)C, words = (size_t)V,
           sums = is_wanted(ctx, 2) ? words * width : 0;
    Inputs in = {.ctx = ctx};
    const float *values = input_floats(&in, x, rows * width),
                *w = input_weight(&in, weight, words * width),
                *before = sums ? input_floats(&in, dweight, sums) : NULL;
    const int *target = input_ints(&in, targets, rows);
    Rounded *z = memory_alloc(3 * words + 1, sizeof *z), *dz = z + 2 * words;
    RoundedSum *dweights = memory_alloc(sums + 1, sizeof *dweights);
    Softmax softmax = {.e = z + words};
    for (size_t i = 0; i < sums; i++) {
        dweights[i] = matrix_sum(ctx);
        sum_add(&dweights[i], at(before, i));
    }
    for (size_t n = 0; n < rows; n++) {
        const float *x_n = values + n * width;
#pragma omp parallel for num_threads(ctx->threads)
        for (size_t v = 0; v < words; v++) {
            RoundedSum sum = matrix_sum(ctx);
            sum_add_products(&sum, x_n, 1, w + v * width, 1, width);
            z[v] = sum_end(&sum);
        }
        softmax_of(&softmax, z, words, (words + VOCABULARY_BLOCK - 1) / VOCABULARY_BLOCK);
        int none = target[n] < 0;
        output_set(ctx, 0, n, none ? exactly(0) : softmax_loss(&softmax, z[target[n]]));
        for (size_t v = 0; v < words; v++) {
            dz[v] = none ? exactly(0) : softmax_gradient(&softmax, v, (int)v == target[n], scale);
        }
#pragma omp parallel for num_threads(ctx->threads)
        for (size_t c = 0; c < (is_wanted(ctx, 1) ? width : 0); c++) {
            RoundedSum sum = matrix_sum(ctx);
            for (size_t v = 0; v < words; v++) {
                sum_add_product(&sum, dz[v], at(w, v * width + c));
            }
            output_set(ctx, 1, n * width + c, sum_end(&sum));
        }
#pragma omp parallel for num_threads(ctx->threads)
        for (size_t i = 0; i < sums; i++) {
            sum_add_product(&dweights[i], dz[i / width], at(x_n, i % width));
        }
    }
    for (size_t i = 0; i < sums; i++) {
        output_set(ctx, 2, i, sum_end(&dweights[i]));
    }
    free(dweights);
    free(z);
    inputs_free(&in);
}

void ROUNDING(mean_squared_error)(Context *ctx, float *losses, float *dlogits, const float *logits,
                                  const float *targets, int B, float scale)
{
    (void)losses, (void)dlogits;
    Inputs in = {.ctx = ctx};
    const float *values = input_floats(&in, logits, (size_t)B),
                *target = input_floats(&in, targets, (size_t)B);
    for (size_t b = 0; b < (size_t)B; b++) {
        Rounded d = minus(at(values, b), at(target, b));
        output_set(ctx, 0, b, times(d, d));
        output_set(ctx, 1, b, times(times(exactly(2), d), exactly((double)scale)));
    }
    inputs_free(&in);
}

/* In double: u is 2^-53 here, so the value is computed in long double. */
void ROUNDING(sum_losses)(Context *ctx, double *sum, const float *losses, int n)
{
    Inputs in = {.ctx = ctx};
    const float *values = input_floats(&in, losses, (size_t)n);
    const double *before = input_bytes(&in, sum, sizeof *before);
    long double value = *before, size = fabs(*before);
    for (int i = 0; i < n; i++) {
        value += values[i];
        size += fabsf(values[i]);
    }
    output_set(ctx, 0, 0, (Rounded){(double)value, (double)size * ((double)n + 1) * 0x1p-53});
    inputs_free(&in);
}

/* --- the optimizer --- */

void ROUNDING(sum_squares)(Context *ctx, float *partial, const float *x, size_t n)
{
    (void)partial;
    Inputs in = {.ctx = ctx};
    const float *values = input_floats(&in, x, n);
    for (size_t first = 0; first < n; first += SUM_GROUP) {
        RoundedSum sum = {0};
        sum_add_products(&sum, values + first, 1, values + first, 1,
                         size_min(SUM_GROUP, n - first));
        output_set(ctx, 0, first / SUM_GROUP, sum_end(&sum));
    }
    inputs_free(&in);
}

void ROUNDING(adamw)(Context *ctx, float *parameter, float *m, float *v, float *gradient,
                     const StepSums *sums, const AdamW *step)
{
    size_t n = adamw_size(step);
    Inputs in = {.ctx = ctx};
    const float *values = input_floats(&in, parameter, n), *first = input_floats(&in, m, n),
                *second = input_floats(&in, v, n), *gradients = input_floats(&in, gradient, n);
    const StepSums *known = input_bytes(&in, sums, sizeof *known);
    Rounded scale = exactly((double)known->gradient_scale), rate = exactly((double)step->rate),
            correction = exactly((double)step->correction), eps = exactly((double)step->eps),
            beta1_rest = exactly((double)step->beta1_rest), beta2 = exactly((double)step->beta2),
            beta2_rest = exactly((double)step->beta2_rest);
    for (size_t i = 0, segment = 0; i < n; i++) {
        while (i >= step->segment[segment].end) {
            segment++;
        }
        Rounded p_i = at(values, i), m_i = at(first, i), v_i = at(second, i), g = at(gradients, i);
        if (known->finite) {
            g = times(g, scale);
            m_i = times_plus(beta1_rest, minus(g, m_i), m_i);
            v_i = times_plus(times(beta2_rest, g), g, times(v_i, beta2));
            Rounded update = over(times(rate, m_i), plus(over(root(v_i), correction), eps));
            p_i = minus(times(p_i, exactly((double)step->segment[segment].shrink)), update);
            g = exactly(0);
        }
        output_set(ctx, 0, i, p_i);
        output_set(ctx, 1, i, m_i);
        output_set(ctx, 2, i, v_i);
        output_set(ctx, 3, i, g);
    }
    inputs_free(&in);
}

/* --- of which nothing is known --- */

void ROUNDING(gradient_norm)(Context *ctx, StepSums *sums, const float *partial, size_t n,
                             double clip)
{
    (void)ctx, (void)sums, (void)partial, (void)n, (void)clip;
}

void ROUNDING(hash)(Context *ctx, uint64_t *sum, const void *data, const int *list, size_t rows,
                    size_t columns, size_t stride, size_t place)
{
    (void)ctx, (void)sum, (void)data, (void)list, (void)rows, (void)columns, (void)stride;
    (void)place;
}

void ROUNDING(sketch)(Context *ctx, uint64_t *sums, const float *x, size_t n)
{
    (void)ctx, (void)sums, (void)x, (void)n;
}
