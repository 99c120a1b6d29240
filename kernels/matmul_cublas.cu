/* The variants cublas and tf32 of the products: cublasSgemm, whose order of sums is its own. */
#include "cublas.h"
#include "cuda.cuh"

enum { THREADS = 256 };

/* out[i] = bias[i % O], or 0: thread i. */
static __global__ void __launch_bounds__(THREADS)
    fill_rows(float *out, const float *bias, size_t n, size_t O)
{
    size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < n) {
        out[i] = bias ? bias[i % O] : 0.0f;
    }
}

/* out[i] = element i of the weight: thread i. */
static __global__ void __launch_bounds__(THREADS) widen(float *out, Weight weight, size_t n)
{
    size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < n) {
        out[i] = weight_at(weight, i);
    }
}

/* The weight in float32: itself, or its copy in the scratch. */
static const float *float32_of(Context *ctx, Weight weight, size_t n)
{
    if (weight.f32) {
        return weight.f32;
    }
    widen<<<blocks_for(n, THREADS), THREADS, 0, stream_of(ctx)>>>(ctx->scratch, weight, n);
    return ctx->scratch;
}

static void forward(Context *ctx, CublasMath math, float *out, const float *x, Weight weight,
                    const float *bias, int M, int K, int O)
{
    size_t k = (size_t)K, o = (size_t)O, n = (size_t)M * o;
    const float *w = float32_of(ctx, weight, o * k);
    fill_rows<<<blocks_for(n, THREADS), THREADS, 0, stream_of(ctx)>>>(out, bias, n, o);
    cublas_add_product(ctx->stream, math, out, x, 0, w, 1, M, O, K);
}

static void backward_input(Context *ctx, CublasMath math, float *dx, const float *dout,
                           Weight weight, int M, int K, int O, int accumulate)
{
    const float *w = float32_of(ctx, weight, (size_t)O * (size_t)K);
    if (!accumulate) {
        ctx->inner.fill_zero(ctx, dx, (size_t)M * (size_t)K);
    }
    cublas_add_product(ctx->stream, math, dx, dout, 0, w, 0, M, K, O);
}

static void backward_weight(Context *ctx, CublasMath math, float *dweight, const float *dout,
                            const float *x, int M, int K, int O)
{
    cublas_add_product(ctx->stream, math, dweight, dout, 1, x, 0, O, K, M);
}

#define PRODUCTS(variant, math)                                                                    \
    void KERNEL(matmul_forward_##variant)(Context * ctx, float *out, const float *x,               \
                                          Weight weight, const float *bias, int M, int K, int O)   \
    {                                                                                              \
        forward(ctx, math, out, x, weight, bias, M, K, O);                                         \
    }                                                                                              \
    void KERNEL(matmul_backward_input_##variant)(Context * ctx, float *dx, const float *dout,      \
                                                 Weight weight, int M, int K, int O,               \
                                                 int accumulate)                                   \
    {                                                                                              \
        backward_input(ctx, math, dx, dout, weight, M, K, O, accumulate);                          \
    }                                                                                              \
    void KERNEL(matmul_backward_weight_##variant)(Context * ctx, float *dweight,                   \
                                                  const float *dout, const float *x, int M, int K, \
                                                  int O)                                           \
    {                                                                                              \
        backward_weight(ctx, math, dweight, dout, x, M, K, O);                                     \
    }
PRODUCTS(cublas, CUBLAS_FLOAT32)
PRODUCTS(tf32, CUBLAS_TF32)
