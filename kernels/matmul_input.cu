/* The products of product.cuh with k contiguous in a alone. */
#include "tile.cuh"

void product_nn(const Context *ctx, const Product *product)
{
    if (product->sums.length) {
        product_blocks(ctx, product, 1, 0);
    } else if (product->b.f32) {
        product_launch<1, 0>(ctx, product, product->b.f32);
    } else {
        product_nn_bf16(ctx, product);
    }
}
