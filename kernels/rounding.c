/* Bounds of embeddings, norms, rope and elementwise ops, and what all of rounding*.c share. The formulas
 * are those of ops.def; where it says how a sum is ordered, no order is kept here. */
#include "rounded.h"

const Ops ops_rounding = {
    .build = "rounding",
#define OP(name, ...) .name = ROUNDING(name),
#include "ops.def"
#undef OP
};

/* --- inputs and outputs --- */

void rounding_want(Rounding *rounding, const WatchOutput *output)
{
    size_t n = output->rows * output->columns;
    Rounded *elements = memory_alloc(n + 1, sizeof *elements);
    for (size_t i = 0; i < n; i++) {
        elements[i] = (Rounded){NAN, INFINITY};
    }
    free(rounding->output[output->output]);
    rounding->output[output->output] = elements;
}

void rounding_free(Rounding *rounding)
{
    for (int i = 0; i < MOST_OUTPUTS; i++) {
        free(rounding->output[i]);
        rounding->output[i] = NULL;
    }
}

void *input_bytes(Inputs *in, const void *from, size_t bytes)
{
    Watch *watch = in->ctx->watch;
    Error error;
    if (!from) {
        return NULL;
    }
    void *copy = in->copy[in->count++] = memory_alloc(bytes + 1, 1);
    watch->device->get(copy, from, bytes);
    if (watch->device->wait(&error)) {
        watch->error = watch->error.code ? watch->error : error;
        memset(copy, 0, bytes);
    }
    return copy;
}

const float *input_floats(Inputs *in, const float *from, size_t n)
{
    return input_bytes(in, from, n * sizeof *from);
}

const int *input_ints(Inputs *in, const int *from, size_t n)
{
    return input_bytes(in, from, n * sizeof *from);
}

const float *input_weight(Inputs *in, Weight from, size_t n)
{
    if (!from.bf16) {
        return input_floats(in, from.f32, n);
    }
    const uint16_t *half = input_bytes(in, from.bf16, n * sizeof *half);
    float *wide = in->copy[in->count++] = memory_alloc(n + 1, sizeof *wide);
    for (size_t i = 0; i < n; i++) {
        wide[i] = bits_to_float((uint32_t)half[i] << 16);
    }
    return wide;
}

void inputs_free(Inputs *in)
{
    for (int i = 0; i < in->count; i++) {
        free(in->copy[i]);
    }
}

/* --- embedding --- */

/* Row `row` of a table. */
static const float *table_row(Inputs *in, Weight table, int row, size_t width)
{
    size_t first = (size_t)row * width;
    return input_weight(
        in, (Weight){table.f32 ? table.f32 + first : NULL, table.bf16 ? table.bf16 + first : NULL},
        width);
}

void ROUNDING(embedding_forward)(Context *ctx, float *out, const int *tokens, const int *positions,
                                 const int *types, Weight word, Weight position, Weight type, int N,
                                 int C)
{
    (void)out;
    size_t rows = (size_t)N, width = (size_t)C;
    Inputs in = {.ctx = ctx};
    int has_types = type.f32 || type.bf16;
    const int *token = input_ints(&in, tokens, rows), *place = input_ints(&in, positions, rows),
              *kind = has_types ? input_ints(&in, types, rows) : NULL;
    for (size_t n = 0; n < rows; n++) {
        Inputs row = {.ctx = ctx};
        const float *w = table_row(&row, word, token[n], width),
                    *p = table_row(&row, position, place[n], width),
                    *t = has_types ? table_row(&row, type, kind[n], width) : NULL;
        for (size_t c = 0; c < width; c++) {
            RoundedSum sum = {0};
            sum_add(&sum, at(w, c));
            sum_add(&sum, at(p, c));
            if (t) {
                sum_add(&sum, at(t, c));
            }
            output_set(ctx, 0, n * width + c, sum_end(&sum));
        }
        inputs_free(&row);
    }
    inputs_free(&in);
}

void ROUNDING(embedding_backward)(Context *ctx, float *dtable, const float *dout, const int *rows,
                                  const int *starts, const int *order, int U, int N, int C)
{
    size_t width = (size_t)C;
    Inputs in = {.ctx = ctx};
    const int *row = input_ints(&in, rows, (size_t)U),
              *start = input_ints(&in, starts, (size_t)U + 1),
              *token = input_ints(&in, order, (size_t)N);
    int tokens = 0; /* of dout */
    for (int i = 0; i < N; i++) {
        tokens = token[i] >= tokens ? token[i] + 1 : tokens;
    }
    const float *d = input_floats(&in, dout, (size_t)tokens * width);
    for (size_t u = 0; u < (size_t)U; u++) {
        Inputs before = {.ctx = ctx};
        const float *there = input_floats(&before, dtable + (size_t)row[u] * width, width);
        for (size_t c = 0; c < width; c++) {
            RoundedSum sum = {0};
            sum_add(&sum, at(there, c));
            for (int i = start[u]; i < start[u + 1]; i++) {
                sum_add(&sum, at(d, (size_t)token[i] * width + c));
            }
            output_set(ctx, 0, u * width + c, sum_end(&sum));
        }
        inputs_free(&before);
    }
    inputs_free(&in);
}

/* --- norms --- */

/* 1 / sqrt(sum / C + eps) */
static Rounded reciprocal_deviation(const RoundedSum *squares, int C, float eps)
{
    Rounded variance = over(sum_end(squares), exactly(C));
    return over(exactly(1), root(plus(variance, exactly((double)eps))));
}

/* Where the outputs of a norm's op stand in its list; -1: it has none. */
typedef struct NormOutputs {
    int out, sum, mean, rstd;
} NormOutputs;

/* Of layernorm (with a bias and a mean) or rmsnorm, of x or of residual + x. */
static void norm_forward(Context *ctx, NormOutputs to, const float *residual, const float *x,
                         const float *weight, const float *bias, int N, int C, float eps)
{
    size_t width = (size_t)C, rows = (size_t)N;
    Inputs in = {.ctx = ctx};
    const float *values = input_floats(&in, x, rows * width),
                *others = input_floats(&in, residual, rows * width),
                *w = input_floats(&in, weight, width), *b = input_floats(&in, bias, width);
    Rounded *row = memory_alloc(width + 1, sizeof *row);
    for (size_t n = 0; n < rows; n++) {
        RoundedSum sum = {0}, squares = {0};
        for (size_t c = 0; c < width; c++) {
            row[c] = at(values, n * width + c);
            if (others) { /* the sum is rounded before all else: as good as an input */
                row[c] = plus(at(others, n * width + c), row[c]);
                output_set(ctx, to.sum, n * width + c, row[c]);
                row[c] = exactly((double)(others[n * width + c] + values[n * width + c]));
            }
            sum_add(&sum, row[c]);
        }
        Rounded mean = b ? over(sum_end(&sum), exactly(C)) : exactly(0);
        /* An error d of the mean adds C d^2 to the sum of squares, for sum (x - mean) = 0. */
        squares.error = (double)width * mean.error * mean.error;
        for (size_t c = 0; c < width; c++) {
            Rounded centred = b ? rounded(row[c].value - mean.value, ROUNDING_UNIT * mean.error, 1)
                                : row[c];
            sum_add_product(&squares, centred, centred);
            row[c] = b ? minus(row[c], mean) : row[c];
        }
        Rounded rstd = reciprocal_deviation(&squares, C, eps);
        for (size_t c = 0; c < width; c++) {
            Rounded scaled = times(times(row[c], rstd), at(w, c));
            output_set(ctx, to.out, n * width + c, b ? plus(scaled, at(b, c)) : scaled);
        }
        if (b) {
            output_set(ctx, to.mean, n, mean);
        }
        output_set(ctx, to.rstd, n, rstd);
    }
    free(row);
    inputs_free(&in);
}

void ROUNDING(layernorm_forward)(Context *ctx, float *out, float *mean, float *rstd, const float *x,
                                 const float *weight, const float *bias, int N, int C, float eps)
{
    (void)out, (void)mean, (void)rstd;
    norm_forward(ctx, (NormOutputs){0, -1, 1, 2}, NULL, x, weight, bias, N, C, eps);
}

void ROUNDING(residual_layernorm_forward)(Context *ctx, float *out, float *sum, float *mean,
                                          float *rstd, const float *residual, const float *x,
                                          const float *weight, const float *bias, int N, int C,
                                          float eps)
{
    (void)out, (void)sum, (void)mean, (void)rstd;
    norm_forward(ctx, (NormOutputs){3, 0, 1, 2}, residual, x, weight, bias, N, C, eps);
}

void ROUNDING(rmsnorm_forward)(Context *ctx, float *out, float *rstd, const float *x,
                               const float *weight, int N, int C, float eps)
{
    (void)out, (void)rstd;
    norm_forward(ctx, (NormOutputs){0, -1, -1, 1}, NULL, x, weight, NULL, N, C, eps);
}

void ROUNDING(residual_rmsnorm_forward)(Context *ctx, float *out, float *sum, float *rstd,
                                        const float *residual, const float *x, const float *weight,
                                        int N, int C, float eps)
{
    (void)out, (void)sum, (void)rstd;
    norm_forward(ctx, (NormOutputs){2, 0, -1, 1}, residual, x, weight, NULL, N, C, eps);
}

/* Of both norms; mean NULL: rmsnorm, and then no dbias. */
static void norm_backward(Context *ctx, float *dweight, float *dbias, const float *dout,
                          const float *x, const float *mean, const float *rstd, const float *weight,
                          int N, int C)
{
    size_t rows = (size_t)N, width = (size_t)C;
    Inputs in = {.ctx = ctx};
    const float *d = input_floats(&in, dout, rows * width), *w = input_floats(&in, weight, width),
                *values = input_floats(&in, x, rows * width),
                *means = input_floats(&in, mean, rows), *rstds = input_floats(&in, rstd, rows),
                *dweight_before = input_floats(&in, dweight, width),
                *dbias_before = input_floats(&in, dbias, width);
    RoundedSum *weight_sums = memory_calloc(2 * width + 1, sizeof *weight_sums),
               *bias_sums = weight_sums + width;
    Rounded *xhat = memory_alloc(width + 1, sizeof *xhat);
    for (size_t c = 0; c < width && dweight; c++) {
        sum_add(&weight_sums[c], at(dweight_before, c));
        sum_add(&bias_sums[c], dbias ? at(dbias_before, c) : exactly(0));
    }
    for (size_t n = 0; n < rows; n++) {
        RoundedSum sum = {0}, dot = {0};
        for (size_t c = 0; c < width; c++) {
            Rounded x_c = at(values, n * width + c), d_c = at(d, n * width + c),
                    g = times(d_c, at(w, c));
            xhat[c] = times(means ? minus(x_c, at(means, n)) : x_c, at(rstds, n));
            sum_add(&sum, g);
            sum_add_product(&dot, g, xhat[c]);
            sum_add_product(&weight_sums[c], d_c, xhat[c]);
            sum_add(&bias_sums[c], d_c);
        }
        Rounded g_mean = means ? over(sum_end(&sum), exactly(C)) : exactly(0),
                gx_mean = over(sum_end(&dot), exactly(C));
        for (size_t c = 0; c < width; c++) {
            Rounded g = times(at(d, n * width + c), at(w, c)), rest = means ? minus(g, g_mean) : g;
            output_set(ctx, 0, n * width + c,
                       times(at(rstds, n), times_plus(negative(xhat[c]), gx_mean, rest)));
        }
    }
    for (size_t c = 0; c < width && dweight; c++) {
        output_set(ctx, 1, c, sum_end(&weight_sums[c]));
        if (dbias) {
            output_set(ctx, 2, c, sum_end(&bias_sums[c]));
        }
    }
    free(weight_sums);
    free(xhat);
    inputs_free(&in);
}

void ROUNDING(layernorm_backward)(Context *ctx, float *dx, float *dweight, float *dbias,
                                  const float *dout, const float *x, const float *mean,
                                  const float *rstd, const float *weight, const int *cu_seqlens,
                                  int B, int N, int C)
{
    (void)dx, (void)cu_seqlens, (void)B;
    norm_backward(ctx, dweight, dbias, dout, x, mean, rstd, weight, N, C);
}

void ROUNDING(rmsnorm_backward)(Context *ctx, float *dx, float *dweight, const float *dout,
                                const float *x, const float *rstd, const float *weight,
                                const int *cu_seqlens, int B, int N, int C)
{
    (void)dx, (void)cu_seqlens, (void)B;
    norm_backward(ctx, dweight, NULL, dout, x, NULL, rstd, weight, N, C);
}

void ROUNDING(bias_backward)(Context *ctx, float *dbias, const float *dout, const int *cu_seqlens,
                             int B, int N, int O)
{
    (void)cu_seqlens, (void)B;
    size_t width = (size_t)O;
    Inputs in = {.ctx = ctx};
    const float *before = input_floats(&in, dbias, width),
                *d = input_floats(&in, dout, (size_t)N * width);
    for (size_t o = 0; o < width; o++) {
        RoundedSum sum = {0};
        sum_add(&sum, at(before, o));
        for (size_t n = 0; n < (size_t)N; n++) {
            sum_add(&sum, at(d, n * width + o));
        }
        output_set(ctx, 0, o, sum_end(&sum));
    }
    inputs_free(&in);
}

void ROUNDING(rope)(Context *ctx, float *x, const int *positions, const float *cosine,
                    const float *sine, int N, int H, int D, int stride, int direction)
{
    size_t rows = (size_t)N, half = (size_t)D / 2, width = (size_t)H * (size_t)D;
    Inputs in = {.ctx = ctx};
    const float *values = input_floats(&in, x, rows ? (rows - 1) * (size_t)stride + width : 0);
    const int *position = input_ints(&in, positions, rows);
    for (size_t n = 0; n < rows; n++) {
        Inputs row = {.ctx = ctx};
        const float *cosines = input_floats(&row, cosine + (size_t)position[n] * half, half),
                    *sines = input_floats(&row, sine + (size_t)position[n] * half, half);
        for (size_t i = 0; i < (size_t)H * half; i++) {
            size_t first = i / half * (size_t)D + i % half;
            Rounded a = at(values, n * (size_t)stride + first),
                    b = at(values, n * (size_t)stride + first + half), c = at(cosines, i % half),
                    s = exactly(direction * (double)sines[i % half]);
            output_set(ctx, 0, n * width + first, times_plus(negative(b), s, times(a, c)));
            output_set(ctx, 0, n * width + first + half, times_plus(a, s, times(b, c)));
        }
        inputs_free(&row);
    }
    inputs_free(&in);
}

/* --- elementwise --- */

/* erf(x sqrt(1/2)); the constant is rounded. */
static Rounded error_function_of(Rounded x)
{
    return error_function(times(x, rounded(0.70710678118654752, 0, 1)));
}

void ROUNDING(gelu_forward)(Context *ctx, float *out, const float *x, size_t n)
{
    (void)out;
    Inputs in = {.ctx = ctx};
    const float *values = input_floats(&in, x, n);
    for (size_t i = 0; i < n; i++) {
        Rounded half = times(exactly(0.5), at(values, i)),
                twice = plus(exactly(1), error_function_of(at(values, i)));
        output_set(ctx, 0, i, times(half, twice));
    }
    inputs_free(&in);
}

void ROUNDING(gelu_backward)(Context *ctx, float *dx, const float *dout, const float *x, size_t n)
{
    (void)dx;
    Inputs in = {.ctx = ctx};
    const float *values = input_floats(&in, x, n), *d = input_floats(&in, dout, n);
    for (size_t i = 0; i < n; i++) {
        Rounded x_i = at(values, i), peak = rounded(0.39894228040143268, 0, 1),
                power = times(times(exactly(-0.5), x_i), x_i),
                pdf = times(peak, exponential(power)),
                cdf = times(exactly(0.5), plus(exactly(1), error_function_of(x_i)));
        output_set(ctx, 0, i, times(at(d, i), times_plus(x_i, pdf, cdf)));
    }
    inputs_free(&in);
}

/* 1 / (1 + exp(-x)) */
static Rounded sigmoid(Rounded x)
{
    return over(exactly(1), plus(exactly(1), exponential(negative(x))));
}

void ROUNDING(swiglu_forward)(Context *ctx, float *out, const float *gate, const float *up,
                              size_t n)
{
    (void)out;
    Inputs in = {.ctx = ctx};
    const float *gates = input_floats(&in, gate, n), *ups = input_floats(&in, up, n);
    for (size_t i = 0; i < n; i++) {
        Rounded g = at(gates, i);
        output_set(ctx, 0, i, times(times(g, sigmoid(g)), at(ups, i)));
    }
    inputs_free(&in);
}

void ROUNDING(swiglu_backward)(Context *ctx, float *dgate, float *dup, const float *dout,
                               const float *gate, const float *up, size_t n)
{
    (void)dgate, (void)dup;
    Inputs in = {.ctx = ctx};
    const float *gates = input_floats(&in, gate, n), *ups = input_floats(&in, up, n),
                *d = input_floats(&in, dout, n);
    for (size_t i = 0; i < n; i++) {
        Rounded g = at(gates, i), s = sigmoid(g),
                slope = times(s, times_plus(g, minus(exactly(1), s), exactly(1)));
        output_set(ctx, 0, i, times(times(at(d, i), at(ups, i)), slope));
        output_set(ctx, 1, i, times(at(d, i), times(g, s)));
    }
    inputs_free(&in);
}

void ROUNDING(tanh_forward)(Context *ctx, float *out, const float *x, size_t n)
{
    (void)out;
    Inputs in = {.ctx = ctx};
    const float *values = input_floats(&in, x, n);
    for (size_t i = 0; i < n; i++) {
        output_set(ctx, 0, i, hyperbolic_tangent(at(values, i)));
    }
    inputs_free(&in);
}

void ROUNDING(tanh_backward)(Context *ctx, float *dx, const float *dout, const float *out, size_t n)
{
    (void)dx;
    Inputs in = {.ctx = ctx};
    const float *values = input_floats(&in, out, n), *d = input_floats(&in, dout, n);
    for (size_t i = 0; i < n; i++) {
        Rounded t = at(values, i);
        output_set(ctx, 0, i, times(at(d, i), times_plus(negative(t), t, exactly(1))));
    }
    inputs_free(&in);
}

void ROUNDING(dropout)(Context *ctx, float *out, const float *x, const int *positions,
                       const int *slots, int N, int C, const DropoutSite *dropout)
{
    (void)out;
    size_t rows = (size_t)N, width = (size_t)C;
    Inputs in = {.ctx = ctx};
    const float *values = input_floats(&in, x, rows * width);
    const int *position = input_ints(&in, positions, rows), *slot = input_ints(&in, slots, rows);
    for (size_t i = 0; i < rows * width; i++) {
        size_t n = i / width;
        output_set(ctx, 0, i,
                   dropped_out(at(values, i), dropout, i % width, position[n], 0, slot[n]));
    }
    inputs_free(&in);
}

void ROUNDING(add)(Context *ctx, float *out, const float *a, const float *b, size_t n)
{
    (void)out;
    Inputs in = {.ctx = ctx};
    const float *first = input_floats(&in, a, n), *second = input_floats(&in, b, n);
    for (size_t i = 0; i < n; i++) {
        output_set(ctx, 0, i, plus(at(first, i), at(second, i)));
    }
    inputs_free(&in);
}

void ROUNDING(copy)(Context *ctx, float *out, const float *x, size_t n)
{
    (void)out;
    Inputs in = {.ctx = ctx};
    const float *values = input_floats(&in, x, n);
    for (size_t i = 0; i < n; i++) {
        output_set(ctx, 0, i, at(values, i));
    }
    inputs_free(&in);
}

void ROUNDING(gather_rows)(Context *ctx, float *out, Weight x, const int *rows, int R, int C)
{
    (void)out;
    size_t width = (size_t)C;
    Inputs in = {.ctx = ctx};
    const int *row = input_ints(&in, rows, (size_t)R);
    for (size_t r = 0; r < (size_t)R; r++) {
        Inputs one = {.ctx = ctx};
        const float *values = table_row(&one, x, row[r], width);
        for (size_t c = 0; c < width; c++) {
            output_set(ctx, 0, r * width + c, at(values, c));
        }
        inputs_free(&one);
    }
    inputs_free(&in);
}

void ROUNDING(scatter_add_rows)(Context *ctx, float *dx, const float *dout, const int *rows, int R,
                                int C)
{
    size_t width = (size_t)C;
    Inputs in = {.ctx = ctx};
    const float *d = input_floats(&in, dout, (size_t)R * width);
    const int *row = input_ints(&in, rows, (size_t)R);
    for (size_t r = 0; r < (size_t)R; r++) {
        Inputs one = {.ctx = ctx};
        const float *before = input_floats(&one, dx + (size_t)row[r] * width, width);
        for (size_t c = 0; c < width; c++) {
            output_set(ctx, 0, r * width + c, plus(at(before, c), at(d, r * width + c)));
        }
        inputs_free(&one);
    }
    inputs_free(&in);
}

void ROUNDING(divide_rows)(Context *ctx, float *out, const float *x, const int *counts, int R, int C)
{
    (void)out;
    size_t width = (size_t)C;
    Inputs in = {.ctx = ctx};
    const float *values = input_floats(&in, x, (size_t)R * width);
    const int *count = input_ints(&in, counts, (size_t)R);
    for (size_t i = 0; i < (size_t)R * width; i++) {
        output_set(ctx, 0, i, over(at(values, i), exactly(count[i / width])));
    }
    inputs_free(&in);
}

void ROUNDING(fill_zero)(Context *ctx, float *x, size_t n)
{
    (void)x;
    for (size_t i = 0; i < n; i++) {
        output_set(ctx, 0, i, exactly(0));
    }
}
