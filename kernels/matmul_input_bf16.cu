/* product_nn with a b of bf16. */
#include "tile.cuh"

void product_nn_bf16(const Context *ctx, const Product *product)
{
    product_launch<1, 0>(ctx, product, product->b.bf16);
}
