/* The products of linear layers by blocks of bf16 operands: what --dtype has them be. */
#include "block_gemm.h"

static void forward(Context *ctx, BlockSum sum, float *out, const float *x, Weight weight,
                    const float *bias, int M, int K, int O)
{
    size_t m = (size_t)M, k = (size_t)K, o = (size_t)O;
    block_gemm(ctx, sum, out, o, strided(x, k, 1), (Strided){weight, 1, k}, m, o, k,
               bias ? START_BIAS : START_ZERO, bias);
}

static void backward_input(Context *ctx, BlockSum sum, float *dx, const float *dout, Weight weight,
                           int M, int K, int O, int accumulate)
{
    size_t m = (size_t)M, k = (size_t)K, o = (size_t)O;
    block_gemm(ctx, sum, dx, k, strided(dout, o, 1), (Strided){weight, k, 1}, m, k, o,
               accumulate ? START_C : START_ZERO, NULL);
}

static void backward_weight(Context *ctx, BlockSum sum, float *dweight, const float *dout,
                            const float *x, int M, int K, int O)
{
    size_t m = (size_t)M, k = (size_t)K, o = (size_t)O;
    block_gemm(ctx, sum, dweight, k, strided(dout, 1, o), strided(x, k, 1), o, k, m, START_C, NULL);
}

#define PRODUCTS(name, sum)                                                                        \
    void KERNEL(matmul_forward_##name)(Context * ctx, float *out, const float *x, Weight weight,   \
                                       const float *bias, int M, int K, int O)                     \
    {                                                                                              \
        forward(ctx, sum, out, x, weight, bias, M, K, O);                                          \
    }                                                                                              \
    void KERNEL(matmul_backward_input_##name)(Context * ctx, float *dx, const float *dout,         \
                                              Weight weight, int M, int K, int O, int accumulate)  \
    {                                                                                              \
        backward_input(ctx, sum, dx, dout, weight, M, K, O, accumulate);                           \
    }                                                                                              \
    void KERNEL(matmul_backward_weight_##name)(Context * ctx, float *dweight, const float *dout,   \
                                               const float *x, int M, int K, int O)                \
    {                                                                                              \
        backward_weight(ctx, sum, dweight, dout, x, M, K, O);                                      \
    }
PRODUCTS(block16, BLOCK16)
PRODUCTS(block8, BLOCK8)
PRODUCTS(tile, TILE32)
