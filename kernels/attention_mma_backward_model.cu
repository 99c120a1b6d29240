/* attention_mma_backward.cuh by blocks of either length, without tensor cores. */
#include "attention_mma_backward.cuh"

void gradients_model(const Context *ctx, const Gradients *x, const AttentionShape *shape,
                     const DropoutSite *dropout, const Products *products)
{
    gradients<0>(ctx, x, shape, dropout, products);
}
