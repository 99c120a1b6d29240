/* CUDA twin of matmul.c: the linear layers' three products. Those of other layouts and types are
 * compiled in matmul_*.cu, side by side, for each has five tiles. */
#include "tile.cuh"

void product_nt(const Context *ctx, const Product *product)
{
    if (product->sums.length) {
        product_blocks(ctx, product, 1, 1);
    } else if (product->b.f32) {
        product_launch<1, 1>(ctx, product, product->b.f32);
    } else {
        product_nt_bf16(ctx, product);
    }
}

void KERNEL(matmul_forward)(Context *ctx, float *out, const float *x, Weight weight,
                            const float *bias, int M, int K, int O)
{
    Product product = {out, x, weight, bias, 0, 1.0f, M, O, K, {0, NULL}};
    product_nt(ctx, &product);
}

void KERNEL(matmul_backward_input)(Context *ctx, float *dx, const float *dout, Weight weight, int M,
                                   int K, int O, int accumulate)
{
    /* forward: out[m, o] += x[m, k] weight[o, k], so dx[m, k] += dout[m, o] weight[o, k] */
    Product product = {dx, dout, weight, NULL, accumulate, 1.0f, M, K, O, {0, NULL}};
    product_nn(ctx, &product);
}

void KERNEL(matmul_backward_weight)(Context *ctx, float *dweight, const float *dout, const float *x,
                                    int M, int K, int O)
{
    /* forward: out[m, o] += x[m, k] weight[o, k], so dweight[o, k] += dout[m, o] x[m, k] */
    Product product = {dweight, dout, {x, NULL}, NULL, 1, 1.0f, O, K, M, {0, NULL}};
    product_tn(ctx, &product);
}
