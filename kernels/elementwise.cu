/* CUDA twins of elementwise.c, bit for bit: each output element is a function of one to three
 * inputs. A thread owns four neighbours, which it reads and writes 16 bytes at a time (bf16 8) where
 * all tensors of the call begin on such a boundary, else one by one. A thread has read what it writes,
 * so an output may be an input. Memory bounds all of them; the erf and exp of a gelu take about as
 * long as its bytes (computed). */
#include "cuda.cuh"

enum { THREADS = 256 };

/* The first of a thread's four elements. */
static __device__ __forceinline__ size_t first_element(void)
{
    return ((size_t)blockIdx.x * THREADS + threadIdx.x) * FOUR;
}

/* out[i] = function(a[i]), function(a[i], b[i]); 8 or 12 bytes an element. */
template <float function(float)>
static __global__ void __launch_bounds__(THREADS)
    map(float *out, const float *a, size_t n, int wide)
{
    size_t i = first_element();
    if (i >= n) {
        return;
    }
    int count = four_count(i, n);
    float x[FOUR];
    four_get(x, a + i, count, wide);
#pragma unroll
    for (int j = 0; j < FOUR; j++) {
        x[j] = function(x[j]);
    }
    four_put(out + i, x, count, wide);
}

template <float function(float, float)>
static __global__ void __launch_bounds__(THREADS)
    map2(float *out, const float *a, const float *b, size_t n, int wide)
{
    size_t i = first_element();
    if (i >= n) {
        return;
    }
    int count = four_count(i, n);
    float x[FOUR], y[FOUR];
    four_get(x, a + i, count, wide);
    four_get(y, b + i, count, wide);
#pragma unroll
    for (int j = 0; j < FOUR; j++) {
        x[j] = function(x[j], y[j]);
    }
    four_put(out + i, x, count, wide);
}

template <float function(float)>
static void for_each(Context *ctx, float *out, const float *a, size_t n)
{
    map<function><<<blocks_for(n, THREADS * FOUR), THREADS, 0, stream_of(ctx)>>>(
        out, a, n, aligned(out) && aligned(a));
}

template <float function(float, float)>
static void for_each2(Context *ctx, float *out, const float *a, const float *b, size_t n)
{
    map2<function><<<blocks_for(n, THREADS * FOUR), THREADS, 0, stream_of(ctx)>>>(
        out, a, b, n, aligned(out) && aligned(a) && aligned(b));
}

static __device__ __forceinline__ float gelu(float x)
{
    const float sqrt_half = 0x1.6a09e6p-1f; /* 1 / sqrt(2) */
    return 0.5f * x * (1.0f + scalar_erf(x * sqrt_half));
}

void KERNEL(gelu_forward)(Context *ctx, float *out, const float *x, size_t n)
{
    for_each<gelu>(ctx, out, x, n);
}

static __device__ __forceinline__ float gelu_gradient(float dout, float x)
{
    const float sqrt_half = 0x1.6a09e6p-1f; /* 1 / sqrt(2) */
    const float density = 0x1.988454p-2f;   /* 1 / sqrt(2 pi) */
    float cdf = 0.5f * (1.0f + scalar_erf(x * sqrt_half)),
          pdf = density * scalar_exp(-0.5f * x * x);
    return dout * fmaf(x, pdf, cdf);
}

void KERNEL(gelu_backward)(Context *ctx, float *dx, const float *dout, const float *x, size_t n)
{
    for_each2<gelu_gradient>(ctx, dx, dout, x, n);
}

static __device__ __forceinline__ float sigmoid(float x)
{
    return 1.0f / (1.0f + scalar_exp(-x));
}

static __device__ __forceinline__ float swiglu(float gate, float up)
{
    return gate * sigmoid(gate) * up;
}

void KERNEL(swiglu_forward)(Context *ctx, float *out, const float *gate, const float *up, size_t n)
{
    for_each2<swiglu>(ctx, out, gate, up, n);
}

/* forward: out = gate sigmoid(gate) up. *up becomes dup. */
static __device__ __forceinline__ float swiglu_gradients(float dout, float gate, float *up)
{
    float s = sigmoid(gate), slope = s * fmaf(gate, 1.0f - s, 1.0f), dgate = dout * *up * slope;
    *up = dout * (gate * s);
    return dgate;
}

static __global__ void __launch_bounds__(THREADS)
    swiglu_backward(float *dgate, float *dup, const float *dout, const float *gate, const float *up,
                    size_t n, int wide)
{
    size_t i = first_element();
    if (i >= n) {
        return;
    }
    int count = four_count(i, n);
    float d[FOUR], g[FOUR], u[FOUR];
    four_get(d, dout + i, count, wide);
    four_get(g, gate + i, count, wide);
    four_get(u, up + i, count, wide);
#pragma unroll
    for (int j = 0; j < FOUR; j++) {
        g[j] = swiglu_gradients(d[j], g[j], &u[j]);
    }
    four_put(dgate + i, g, count, wide);
    four_put(dup + i, u, count, wide);
}

void KERNEL(swiglu_backward)(Context *ctx, float *dgate, float *dup, const float *dout,
                             const float *gate, const float *up, size_t n)
{
    int wide = aligned(dgate) && aligned(dup) && aligned(dout) && aligned(gate) && aligned(up);
    swiglu_backward<<<blocks_for(n, THREADS * FOUR), THREADS, 0, stream_of(ctx)>>>(
        dgate, dup, dout, gate, up, n, wide);
}

void KERNEL(tanh_forward)(Context *ctx, float *out, const float *x, size_t n)
{
    for_each<scalar_tanh>(ctx, out, x, n);
}

static __device__ __forceinline__ float tanh_gradient(float dout, float out)
{
    return dout * fmaf(-out, out, 1.0f);
}

void KERNEL(tanh_backward)(Context *ctx, float *dx, const float *dout, const float *out, size_t n)
{
    for_each2<tanh_gradient>(ctx, dx, dout, out, n);
}

static __device__ __forceinline__ float sum(float a, float b)
{
    return a + b;
}

void KERNEL(add)(Context *ctx, float *out, const float *a, const float *b, size_t n)
{
    for_each2<sum>(ctx, out, a, b, n);
}

static __device__ __forceinline__ float same(float x)
{
    return x;
}

void KERNEL(copy)(Context *ctx, float *out, const float *x, size_t n)
{
    for_each<same>(ctx, out, x, n);
}

static __global__ void __launch_bounds__(THREADS) set_zero(float *x, size_t n, int wide)
{
    const float zeros[FOUR] = {};
    size_t i = first_element();
    if (i < n) {
        four_put(x + i, zeros, four_count(i, n), wide);
    }
}

void KERNEL(fill_zero)(Context *ctx, float *x, size_t n)
{
    set_zero<<<blocks_for(n, THREADS * FOUR), THREADS, 0, stream_of(ctx)>>>(x, n, aligned(x));
}

/* --- rows: each is a warp's --- */

/* out[r] = x[rows[r]], bf16 widened. Lane l takes the channels 4 l to 4 l + 3, then those 128
 * further on. */
static __global__ void __launch_bounds__(THREADS)
    gather(float *out, Weight x, const int *rows, int R, int C, int wide)
{
    size_t r = (size_t)blockIdx.x * (THREADS / LANES) + threadIdx.x / LANES, channels = (size_t)C;
    if (r >= (size_t)R) {
        return;
    }
    float *out_r = out + r * channels;
    size_t row = (size_t)rows[r] * channels;
    for (size_t c = threadIdx.x % LANES * FOUR; c < channels; c += LANES * FOUR) {
        int count = four_count(c, channels);
        float v[FOUR];
        weight_get(v, x, row + c, count, wide);
        four_put(out_r + c, v, count, wide);
    }
}

void KERNEL(gather_rows)(Context *ctx, float *out, Weight x, const int *rows, int R, int C)
{
    int wide = rows_aligned(out, C) && weight_rows_aligned(x, C);
    gather<<<blocks_for((size_t)R, THREADS / LANES), THREADS, 0, stream_of(ctx)>>>(out, x, rows, R,
                                                                                   C, wide);
}

/* dx[rows[r]] += dout[r]; rows are distinct, so nobody else adds to what a warp adds to. */
static __global__ void __launch_bounds__(THREADS)
    scatter_add(float *dx, const float *dout, const int *rows, int R, int C, int wide)
{
    size_t r = (size_t)blockIdx.x * (THREADS / LANES) + threadIdx.x / LANES, channels = (size_t)C;
    if (r >= (size_t)R) {
        return;
    }
    float *dx_r = dx + (size_t)rows[r] * channels;
    const float *dout_r = dout + r * channels;
    for (size_t c = threadIdx.x % LANES * FOUR; c < channels; c += LANES * FOUR) {
        int count = four_count(c, channels);
        float v[FOUR], d[FOUR];
        four_get(v, dx_r + c, count, wide);
        four_get(d, dout_r + c, count, wide);
#pragma unroll
        for (int j = 0; j < FOUR; j++) {
            v[j] += d[j];
        }
        four_put(dx_r + c, v, count, wide);
    }
}

void KERNEL(scatter_add_rows)(Context *ctx, float *dx, const float *dout, const int *rows, int R,
                              int C)
{
    int wide = rows_aligned(dx, C) && rows_aligned(dout, C);
    scatter_add<<<blocks_for((size_t)R, THREADS / LANES), THREADS, 0, stream_of(ctx)>>>(
        dx, dout, rows, R, C, wide);
}

/* out[r] = x[r] / counts[r]. */
static __global__ void __launch_bounds__(THREADS)
    divide(float *out, const float *x, const int *counts, int R, int C, int wide)
{
    size_t r = (size_t)blockIdx.x * (THREADS / LANES) + threadIdx.x / LANES, channels = (size_t)C;
    if (r >= (size_t)R) {
        return;
    }
    float *out_r = out + r * channels, divisor = (float)counts[r];
    const float *x_r = x + r * channels;
    for (size_t c = threadIdx.x % LANES * FOUR; c < channels; c += LANES * FOUR) {
        int count = four_count(c, channels);
        float v[FOUR];
        four_get(v, x_r + c, count, wide);
#pragma unroll
        for (int j = 0; j < FOUR; j++) {
            v[j] /= divisor;
        }
        four_put(out_r + c, v, count, wide);
    }
}

void KERNEL(divide_rows)(Context *ctx, float *out, const float *x, const int *counts, int R, int C)
{
    int wide = rows_aligned(out, C) && rows_aligned(x, C);
    divide<<<blocks_for((size_t)R, THREADS / LANES), THREADS, 0, stream_of(ctx)>>>(out, x, counts,
                                                                                   R, C, wide);
}

/* out = kept ? x / (1 - p) : 0. A warp owns DROPOUT_BLOCK elements of a row: a lane draws the four
 * words of one counter, which are those of its elements l, l + 32, l + 64 and l + 96. */
static __global__ void __launch_bounds__(THREADS)
    dropout_rows(float *out, const float *x, const int *positions, const int *slots, int N, int C,
                 DropoutSite site)
{
    size_t warp = (size_t)blockIdx.x * (THREADS / LANES) + threadIdx.x / LANES,
           blocks = ((size_t)C + DROPOUT_BLOCK - 1) / DROPOUT_BLOCK, n = warp / blocks;
    if (n >= (size_t)N) {
        return;
    }
    uint32_t block = (uint32_t)(warp % blocks), lane = threadIdx.x % LANES,
             threshold = dropout_threshold(site.p);
    float scale = 1.0f / (1.0f - site.p);
    Philox words = dropout_words(&site, block * DROPOUT_LANES + lane, (uint32_t)positions[n], 0,
                                 (uint32_t)slots[n]);
#pragma unroll
    for (int w = 0; w < 4; w++) {
        size_t c = (size_t)block * DROPOUT_BLOCK + (size_t)w * DROPOUT_LANES + lane,
               at = n * (size_t)C + c;
        if (c < (size_t)C) {
            out[at] = words.word[w] >= threshold ? x[at] * scale : 0.0f;
        }
    }
}

void KERNEL(dropout)(Context *ctx, float *out, const float *x, const int *positions,
                     const int *slots, int N, int C, const DropoutSite *dropout)
{
    size_t blocks = ((size_t)C + DROPOUT_BLOCK - 1) / DROPOUT_BLOCK;
    dropout_rows<<<blocks_for((size_t)N * blocks, THREADS / LANES), THREADS, 0, stream_of(ctx)>>>(
        out, x, positions, slots, N, C, *dropout);
}

/* --- variants --- */

static __device__ __forceinline__ float gelu_erff(float x)
{
    const float sqrt_half = 0x1.6a09e6p-1f; /* 1 / sqrt(2) */
    return 0.5f * x * (1.0f + erff(x * sqrt_half));
}

void KERNEL(gelu_forward_erff)(Context *ctx, float *out, const float *x, size_t n)
{
    for_each<gelu_erff>(ctx, out, x, n);
}

static __device__ __forceinline__ float swiglu_fast(float gate, float up)
{
    return gate / (1.0f + __expf(-gate)) * up;
}

void KERNEL(swiglu_forward_fast)(Context *ctx, float *out, const float *gate, const float *up,
                                 size_t n)
{
    for_each2<swiglu_fast>(ctx, out, gate, up, n);
}
