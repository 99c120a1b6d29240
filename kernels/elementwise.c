/* Ops without sums: each output element is a function of one or two inputs. */
#include "rows.h"

#include <string.h>

static const float sqrt_half = 0x1.6a09e6p-1f; /* 1 / sqrt(2) */
static const float density = 0x1.988454p-2f;   /* 1 / sqrt(2 pi) */

void KERNEL(gelu_forward)(Context *ctx, float *out, const float *x, size_t n)
{
    FOR_EACH(n, out[i] = 0.5f * x[i] * (1.0f + scalar_erf(x[i] * sqrt_half)))
}

static inline float gelu_slope(float x)
{
    float cdf = 0.5f * (1.0f + scalar_erf(x * sqrt_half)),
          pdf = density * scalar_exp(-0.5f * x * x);
    return fmaf(x, pdf, cdf);
}

void KERNEL(gelu_backward)(Context *ctx, float *dx, const float *dout, const float *x, size_t n)
{
    FOR_EACH(n, dx[i] = dout[i] * gelu_slope(x[i]))
}

static inline float sigmoid(float x)
{
    return 1.0f / (1.0f + scalar_exp(-x));
}

void KERNEL(swiglu_forward)(Context *ctx, float *out, const float *gate, const float *up, size_t n)
{
    FOR_EACH(n, out[i] = gate[i] * sigmoid(gate[i]) * up[i])
}

void KERNEL(swiglu_backward)(Context *ctx, float *dgate, float *dup, const float *dout,
                             const float *gate, const float *up, size_t n)
{
    /* forward: out = gate sigmoid(gate) up */
    FOR_EACH(n, float s = sigmoid(gate[i]); float x = gate[i]; float d = dout[i];
             float slope = s * fmaf(x, 1.0f - s, 1.0f); dgate[i] = d * up[i] * slope;
             dup[i] = d * (x * s))
}

void KERNEL(tanh_forward)(Context *ctx, float *out, const float *x, size_t n)
{
    FOR_EACH(n, out[i] = scalar_tanh(x[i]))
}

void KERNEL(tanh_backward)(Context *ctx, float *dx, const float *dout, const float *out, size_t n)
{
    FOR_EACH(n, dx[i] = dout[i] * fmaf(-out[i], out[i], 1.0f))
}

void KERNEL(add)(Context *ctx, float *out, const float *a, const float *b, size_t n)
{
    FOR_EACH(n, out[i] = a[i] + b[i])
}

void KERNEL(copy)(Context *ctx, float *out, const float *x, size_t n)
{
    FOR_EACH(n, out[i] = x[i])
}

void KERNEL(fill_zero)(Context *ctx, float *x, size_t n)
{
    FOR_EACH(n, x[i] = 0.0f)
}

void KERNEL(gather_rows)(Context *ctx, float *out, Weight x, const int *rows, int R, int C)
{
    int threads = threads_for(ctx, (size_t)R * (size_t)C / 4);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int r = 0; r < R; r++) {
        weight_row(out + (size_t)r * (size_t)C, x, (size_t)rows[r] * (size_t)C, (size_t)C);
    }
}

void KERNEL(scatter_add_rows)(Context *ctx, float *dx, const float *dout, const int *rows, int R,
                              int C)
{
    int threads = threads_for(ctx, (size_t)R * (size_t)C / 4);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int r = 0; r < R; r++) {
        float *to = dx + (size_t)rows[r] * (size_t)C;
        const float *from = dout + (size_t)r * (size_t)C;
        for (int c = 0; c < C; c++) {
            to[c] += from[c];
        }
    }
}

void KERNEL(divide_rows)(Context *ctx, float *out, const float *x, const int *counts, int R, int C)
{
    int threads = threads_for(ctx, (size_t)R * (size_t)C / 4);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int r = 0; r < R; r++) {
        size_t row = (size_t)r * (size_t)C;
        float count = (float)counts[r];
        for (size_t i = row; i < row + (size_t)C; i++) {
            out[i] = x[i] / count;
        }
    }
}

void KERNEL(dropout)(Context *ctx, float *out, const float *x, const int *positions,
                     const int *slots, int N, int C, const DropoutSite *dropout)
{
    int threads = threads_for(ctx, (size_t)N * (size_t)C);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int n = 0; n < N; n++) {
        size_t row = (size_t)n * (size_t)C;
        row_dropout(out + row, x + row, (size_t)C, dropout, (uint32_t)positions[n], 0,
                    (uint32_t)slots[n]);
    }
}

/* --- variants --- */

static inline double sigmoid_double(float x)
{
    return 1.0 / (1.0 + (double)scalar_exp(-x));
}

void KERNEL(swiglu_forward_float64)(Context *ctx, float *out, const float *gate, const float *up,
                                    size_t n)
{
    FOR_EACH(n, out[i] = (float)((double)gate[i] * sigmoid_double(gate[i]) * (double)up[i]))
}

void KERNEL(swiglu_backward_float64)(Context *ctx, float *dgate, float *dup, const float *dout,
                                     const float *gate, const float *up, size_t n)
{
    FOR_EACH(n, double s = sigmoid_double(gate[i]); double x = (double)gate[i];
             double d = (double)dout[i];
             dgate[i] = (float)(d * (double)up[i] * s * (1.0 + x * (1.0 - s)));
             dup[i] = (float)(d * x * s))
}
