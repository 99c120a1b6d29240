/* The products of product.cuh with k contiguous in neither operand. */
#include "tile.cuh"

void product_tn(const Context *ctx, const Product *product)
{
    if (product->sums.length) {
        product_blocks(ctx, product, 0, 0);
    } else {
        product_launch<0, 0>(ctx, product, product->b.f32);
    }
}
