/* attention_mma_backward.cuh by blocks of 8 on tensor cores. */
#include "attention_mma_backward.cuh"

void gradients_block8(const Context *ctx, const Gradients *x, const AttentionShape *shape,
                      const DropoutSite *dropout, const Products *products)
{
    gradients<8>(ctx, x, shape, dropout, products);
}
