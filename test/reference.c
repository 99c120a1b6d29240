/* The definitions of ops.def without products: norms, rope, elementwise ops, rows and tables,
 * losses, optimizer. Products stand in reference_products.c. */
#include "ops_reference.h"

const Ops ops_reference = {
    .build = "reference",
#define OP(name, ...) .name = REFERENCE(name),
#include "ops.def"
#undef OP
};

/* --- embedding --- */

void REFERENCE(embedding_forward)(Context *ctx, float *out, const int *tokens, const int *positions,
                                  const int *types, Weight word, Weight position, Weight type,
                                  int N, int C)
{
    (void)ctx;
    size_t width = (size_t)C;
    for (size_t n = 0; n < (size_t)N; n++) {
        for (size_t c = 0; c < width; c++) {
            float sum = weight_at(word, (size_t)tokens[n] * width + c);
            if (type.f32 || type.bf16) {
                sum += weight_at(type, (size_t)types[n] * width + c);
            }
            out[n * width + c] = sum + weight_at(position, (size_t)positions[n] * width + c);
        }
    }
}

void REFERENCE(embedding_backward)(Context *ctx, float *dtable, const float *dout, const int *rows,
                                   const int *starts, const int *order, int U, int N, int C)
{
    (void)ctx, (void)N;
    size_t width = (size_t)C;
    for (int u = 0; u < U; u++) {
        for (int i = starts[u]; i < starts[u + 1]; i++) {
            for (size_t c = 0; c < width; c++) {
                dtable[(size_t)rows[u] * width + c] += dout[(size_t)order[i] * width + c];
            }
        }
    }
}

/* --- norms --- */

void REFERENCE(layernorm_forward)(Context *ctx, float *out, float *mean, float *rstd,
                                  const float *x, const float *weight, const float *bias, int N,
                                  int C, float eps)
{
    (void)ctx;
    size_t width = (size_t)C;
    for (size_t n = 0; n < (size_t)N; n++) {
        const float *x_n = x + n * width;
        Lanes sum = {{0}}, squares = {{0}};
        for (size_t c = 0; c < width; c++) {
            sum.lane[c % 32] += x_n[c];
        }
        mean[n] = lanes_sum(sum) / (float)C;
        for (size_t c = 0; c < width; c++) {
            float d = x_n[c] - mean[n];
            squares.lane[c % 32] = fmaf(d, d, squares.lane[c % 32]);
        }
        rstd[n] = 1.0f / sqrtf(lanes_sum(squares) / (float)C + eps);
        for (size_t c = 0; c < width; c++) {
            out[n * width + c] = fmaf((x_n[c] - mean[n]) * rstd[n], weight[c], bias[c]);
        }
    }
}

void REFERENCE(residual_layernorm_forward)(Context *ctx, float *out, float *sum, float *mean,
                                           float *rstd, const float *residual, const float *x,
                                           const float *weight, const float *bias, int N, int C,
                                           float eps)
{
    REFERENCE(add)(ctx, sum, residual, x, (size_t)N * (size_t)C);
    REFERENCE(layernorm_forward)(ctx, out, mean, rstd, sum, weight, bias, N, C, eps);
}

/* First row of sequence b; without cu_seqlens every row is a sequence. */
static size_t first_row(const int *cu_seqlens, int b)
{
    return (size_t)(cu_seqlens ? cu_seqlens[b] : b);
}

void REFERENCE(layernorm_backward)(Context *ctx, float *dx, float *dweight, float *dbias,
                                   const float *dout, const float *x, const float *mean,
                                   const float *rstd, const float *weight, const int *cu_seqlens,
                                   int B, int N, int C)
{
    (void)ctx;
    size_t width = (size_t)C;
    for (size_t c = 0; c < (dweight ? width : 0); c++) {
        for (int b = 0; b < B; b++) {
            float weight_sum = 0.0f, bias_sum = 0.0f;
            for (size_t n = first_row(cu_seqlens, b); n < first_row(cu_seqlens, b + 1); n++) {
                float d = dout[n * width + c], xhat = (x[n * width + c] - mean[n]) * rstd[n];
                weight_sum = fmaf(d, xhat, weight_sum);
                bias_sum += d;
            }
            dweight[c] += weight_sum;
            dbias[c] += bias_sum;
        }
    }
    for (size_t n = 0; n < (size_t)N; n++) {
        const float *x_n = x + n * width, *dout_n = dout + n * width;
        Lanes sum = {{0}}, dot = {{0}};
        for (size_t c = 0; c < width; c++) {
            float g = dout_n[c] * weight[c], xhat = (x_n[c] - mean[n]) * rstd[n];
            sum.lane[c % 32] += g;
            dot.lane[c % 32] = fmaf(g, xhat, dot.lane[c % 32]);
        }
        float g_mean = lanes_sum(sum) / (float)C, gx_mean = lanes_sum(dot) / (float)C;
        for (size_t c = 0; c < width; c++) {
            float g = dout_n[c] * weight[c], xhat = (x_n[c] - mean[n]) * rstd[n];
            dx[n * width + c] = rstd[n] * fmaf(-xhat, gx_mean, g - g_mean);
        }
    }
}

void REFERENCE(rmsnorm_forward)(Context *ctx, float *out, float *rstd, const float *x,
                                const float *weight, int N, int C, float eps)
{
    (void)ctx;
    size_t width = (size_t)C;
    for (size_t n = 0; n < (size_t)N; n++) {
        const float *x_n = x + n * width;
        Lanes squares = {{0}};
        for (size_t c = 0; c < width; c++) {
            squares.lane[c % 32] = fmaf(x_n[c], x_n[c], squares.lane[c % 32]);
        }
        rstd[n] = 1.0f / sqrtf(lanes_sum(squares) / (float)C + eps);
        for (size_t c = 0; c < width; c++) {
            out[n * width + c] = x_n[c] * rstd[n] * weight[c];
        }
    }
}

void REFERENCE(residual_rmsnorm_forward)(Context *ctx, float *out, float *sum, float *rstd,
                                         const float *residual, const float *x, const float *weight,
                                         int N, int C, float eps)
{
    REFERENCE(add)(ctx, sum, residual, x, (size_t)N * (size_t)C);
    REFERENCE(rmsnorm_forward)(ctx, out, rstd, sum, weight, N, C, eps);
}

void REFERENCE(rmsnorm_backward)(Context *ctx, float *dx, float *dweight, const float *dout,
                                 const float *x, const float *rstd, const float *weight,
                                 const int *cu_seqlens, int B, int N, int C)
{
    (void)ctx;
    size_t width = (size_t)C;
    for (size_t c = 0; c < (dweight ? width : 0); c++) {
        for (int b = 0; b < B; b++) {
            float sum = 0.0f;
            for (size_t n = first_row(cu_seqlens, b); n < first_row(cu_seqlens, b + 1); n++) {
                sum = fmaf(dout[n * width + c], x[n * width + c] * rstd[n], sum);
            }
            dweight[c] += sum;
        }
    }
    for (size_t n = 0; n < (size_t)N; n++) {
        const float *x_n = x + n * width, *dout_n = dout + n * width;
        Lanes dot = {{0}};
        for (size_t c = 0; c < width; c++) {
            dot.lane[c % 32] = fmaf(dout_n[c] * weight[c], x_n[c] * rstd[n], dot.lane[c % 32]);
        }
        float gx_mean = lanes_sum(dot) / (float)C;
        for (size_t c = 0; c < width; c++) {
            dx[n * width + c] = rstd[n] * fmaf(-(x_n[c] * rstd[n]), gx_mean, dout_n[c] * weight[c]);
        }
    }
}

void REFERENCE(bias_backward)(Context *ctx, float *dbias, const float *dout, const int *cu_seqlens,
                              int B, int N, int O)
{
    (void)ctx;
    (void)N;
    size_t width = (size_t)O;
    for (size_t o = 0; o < width; o++) {
        for (int b = 0; b < B; b++) {
            float sum = 0.0f;
            for (size_t n = first_row(cu_seqlens, b); n < first_row(cu_seqlens, b + 1); n++) {
                sum += dout[n * width + o];
            }
            dbias[o] += sum;
        }
    }
}

void REFERENCE(rope)(Context *ctx, float *x, const int *positions, const float *cosine,
                     const float *sine, int N, int H, int D, int stride, int direction)
{
    (void)ctx;
    size_t half = (size_t)D / 2;
    for (size_t n = 0; n < (size_t)N; n++) {
        for (size_t h = 0; h < (size_t)H; h++) {
            for (size_t i = 0; i < half; i++) {
                float *first = x + n * (size_t)stride + h * (size_t)D + i, *second = first + half;
                float cos_i = cosine[(size_t)positions[n] * half + i],
                      sin_i = (float)direction * sine[(size_t)positions[n] * half + i];
                float a = *first, b = *second;
                *first = fmaf(-b, sin_i, a * cos_i);
                *second = fmaf(a, sin_i, b * cos_i);
            }
        }
    }
}

/* --- elementwise --- */

static const float sqrt_half = 0x1.6a09e6p-1f;   /* 1 / sqrt(2) */
static const float normal_peak = 0x1.988454p-2f; /* 1 / sqrt(2 pi) */

static float normal_cdf(float x)
{
    return 0.5f * (1.0f + scalar_erf(x * sqrt_half));
}

void REFERENCE(gelu_forward)(Context *ctx, float *out, const float *x, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        out[i] = 0.5f * x[i] * (1.0f + scalar_erf(x[i] * sqrt_half));
    }
}

void REFERENCE(gelu_backward)(Context *ctx, float *dx, const float *dout, const float *x, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        float pdf = normal_peak * scalar_exp(-0.5f * x[i] * x[i]);
        dx[i] = dout[i] * fmaf(x[i], pdf, normal_cdf(x[i]));
    }
}

static float sigmoid(float x)
{
    return 1.0f / (1.0f + scalar_exp(-x));
}

void REFERENCE(swiglu_forward)(Context *ctx, float *out, const float *gate, const float *up,
                               size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        out[i] = gate[i] * sigmoid(gate[i]) * up[i];
    }
}

void REFERENCE(swiglu_backward)(Context *ctx, float *dgate, float *dup, const float *dout,
                                const float *gate, const float *up, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        float g = gate[i], d = dout[i], s = sigmoid(g);
        float slope = s * fmaf(g, 1.0f - s, 1.0f);
        dgate[i] = d * up[i] * slope;
        dup[i] = d * (g * s);
    }
}

void REFERENCE(tanh_forward)(Context *ctx, float *out, const float *x, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        out[i] = scalar_tanh(x[i]);
    }
}

void REFERENCE(tanh_backward)(Context *ctx, float *dx, const float *dout, const float *out,
                              size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        dx[i] = dout[i] * fmaf(-out[i], out[i], 1.0f);
    }
}

void REFERENCE(dropout)(Context *ctx, float *out, const float *x, const int *positions,
                        const int *slots, int N, int C, const DropoutSite *dropout)
{
    (void)ctx;
    size_t width = (size_t)C;
    for (size_t n = 0; n < (size_t)N; n++) {
        for (size_t c = 0; c < width; c++) {
            out[n * width + c] = dropped(x[n * width + c], dropout, c, positions[n], 0, slots[n]);
        }
    }
}

void REFERENCE(add)(Context *ctx, float *out, const float *a, const float *b, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        out[i] = a[i] + b[i];
    }
}

void REFERENCE(copy)(Context *ctx, float *out, const float *x, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        out[i] = x[i];
    }
}

void REFERENCE(gather_rows)(Context *ctx, float *out, Weight x, const int *rows, int R, int C)
{
    (void)ctx;
    size_t width = (size_t)C;
    for (size_t i = 0; i < (size_t)R * width; i++) {
        out[i] = weight_at(x, (size_t)rows[i / width] * width + i % width);
    }
}

void REFERENCE(scatter_add_rows)(Context *ctx, float *dx, const float *dout, const int *rows, int R,
                                 int C)
{
    (void)ctx;
    size_t width = (size_t)C;
    for (size_t i = 0; i < (size_t)R * width; i++) {
        dx[(size_t)rows[i / width] * width + i % width] += dout[i];
    }
}

void REFERENCE(divide_rows)(Context *ctx, float *out, const float *x, const int *counts, int R,
                            int C)
{
    (void)ctx;
    size_t width = (size_t)C;
    for (size_t i = 0; i < (size_t)R * width; i++) {
        out[i] = x[i] / (float)counts[i / width];
    }
}

void REFERENCE(fill_zero)(Context *ctx, float *x, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        x[i] = 0.0f;
    }
}

/* --- losses and optimizer --- */

void REFERENCE(cross_entropy)(Context *ctx, float *losses, float *dlogits, const float *logits,
                              const int *labels, int B, int O, float scale)
{
    (void)ctx;
    size_t width = (size_t)O;
    for (size_t b = 0; b < (size_t)B; b++) {
        const float *z = logits + b * width;
        float max = z[0];
        Lanes exps = {{0}};
        for (size_t o = 0; o < width; o++) {
            max = z[o] > max ? z[o] : max;
        }
        for (size_t o = 0; o < width; o++) {
            exps.lane[o % 32] += scalar_exp(z[o] - max);
        }
        float sum = lanes_sum(exps);
        losses[b] = scalar_log(sum) + (max - z[labels[b]]);
        for (size_t o = 0; o < (dlogits ? width : 0); o++) {
            float onehot = o == (size_t)labels[b] ? 1.0f : 0.0f;
            dlogits[b * width + o] = (scalar_exp(z[o] - max) / sum - onehot) * scale;
        }
    }
}

void REFERENCE(mean_squared_error)(Context *ctx, float *losses, float *dlogits, const float *logits,
                                   const float *targets, int B, float scale)
{
    (void)ctx;
    for (int b = 0; b < B; b++) {
        float d = logits[b] - targets[b];
        losses[b] = d * d;
        if (dlogits) {
            dlogits[b] = 2.0f * d * scale;
        }
    }
}

void REFERENCE(sum_squares)(Context *ctx, float *partial, const float *x, size_t n)
{
    (void)ctx;
    for (size_t first = 0; first < n; first += 4096) {
        Lanes squares = {{0}};
        for (size_t i = 0; i < 4096 && first + i < n; i++) {
            float value = x[first + i];
            squares.lane[i % 32] = fmaf(value, value, squares.lane[i % 32]);
        }
        partial[first / 4096] = lanes_sum(squares);
    }
}

void REFERENCE(sum_losses)(Context *ctx, double *sum, const float *losses, int n)
{
    (void)ctx;
    for (int i = 0; i < n; i++) {
        *sum += (double)losses[i];
    }
}

void REFERENCE(gradient_norm)(Context *ctx, StepSums *sums, const float *partial, size_t n,
                              double clip)
{
    (void)ctx;
    double lane[1024] = {0};
    for (size_t i = 0; i < n; i++) {
        lane[i % 1024] += (double)partial[i];
    }
    for (int half = 512; half > 0; half /= 2) {
        for (int l = 0; l < half; l++) {
            lane[l] += lane[l + half];
        }
    }
    sums->norm = sqrt(lane[0]);
    sums->gradient_scale = clip > 0 ? (float)fmin(1.0, clip / (sums->norm + 1e-6)) : 1.0f;
    sums->finite = isfinite(sums->norm) && isfinite(sums->loss);
}

void REFERENCE(adamw)(Context *ctx, float *parameter, float *m, float *v, float *gradient,
                      const StepSums *sums, const AdamW *step)
{
    (void)ctx;
    for (size_t i = 0; i < adamw_size(step) && sums->finite; i++) {
        int segment = 0;
        while (i >= step->segment[segment].end) {
            segment++;
        }
        float g = gradient[i] * sums->gradient_scale;
        m[i] = fmaf(step->beta1_rest, g - m[i], m[i]);
        v[i] = fmaf(step->beta2_rest * g, g, v[i] * step->beta2);
        float update = step->rate * m[i] / (sqrtf(v[i]) / step->correction + step->eps);
        parameter[i] = fmaf(parameter[i], step->segment[segment].shrink, -update);
        gradient[i] = 0.0f;
    }
}

/* splitmix64's finalizer of a number at a place. */
static uint64_t mix(uint64_t place, uint64_t x)
{
    x ^= (place + 1) * 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

void REFERENCE(hash)(Context *ctx, uint64_t *sum, const void *data, const int *list, size_t rows,
                     size_t columns, size_t stride, size_t place)
{
    (void)ctx;
    for (size_t r = 0; r < rows; r++) {
        size_t row = list ? (size_t)list[r] : r;
        const uint32_t *words = (const uint32_t *)data + row * stride;
        for (size_t b = 0; b * 1024 < columns; b++) {
            for (size_t l = 0; l < 32 && 1024 * b + l < columns; l++) {
                uint64_t lane = 0;
                for (size_t j = 0; j < 32 && 1024 * b + 32 * j + l < columns; j++) {
                    lane += (mix(j, 0) | 1) * words[1024 * b + 32 * j + l];
                }
                sum[0] += mix(32 * (place + row * ((columns + 1023) / 1024) + b) + l, lane);
            }
        }
    }
}

void REFERENCE(sketch)(Context *ctx, uint64_t *sums, const float *x, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        size_t b = i / 256, l = i % 256;
        int64_t value = fabsf(x[i]) < 0x1p22f ? (int64_t)((double)x[i] * 0x1p40) : 0;
        uint64_t minus = mix(4 * b + l / 64, 1) >> (l % 64) & 1;
        sums[(l + mix(b, 2) % 256) % 256] += (uint64_t)(minus ? -value : value);
    }
}
