/* product_nt with a b of bf16. */
#include "tile.cuh"

void product_nt_bf16(const Context *ctx, const Product *product)
{
    product_launch<1, 1>(ctx, product, product->b.bf16);
}
