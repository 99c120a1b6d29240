/* attention_mma_backward.cuh by blocks of 16 on tensor cores, and the ops. */
#include "attention_mma_backward.cuh"

void gradients_block16(const Context *ctx, const Gradients *x, const AttentionShape *shape,
                       const DropoutSite *dropout, const Products *products)
{
    gradients<16>(ctx, x, shape, dropout, products);
}

static void backward(Context *ctx, BlockSum sum, const Gradients *x, const AttentionShape *shape,
                     const DropoutSite *dropout)
{
    Products products = {sum, shape->D,
                         shape->D % FOUR == 0 && rows_aligned(x->dout, shape->H * shape->D) &&
                             rows_aligned(x->q, shape->q_stride) &&
                             rows_aligned(x->k, shape->kv_stride) &&
                             rows_aligned(x->v, shape->kv_stride)};
    gradients_function *of_length = mma_length(ctx) != sum.length ? gradients_model
                                    : sum.length == 16            ? gradients_block16
                                                                  : gradients_block8;
    of_length(ctx, x, shape, dropout, &products);
}

void KERNEL(attention_backward_block16)(Context *ctx, float *dq, float *dk, float *dv,
                                        const float *dout, const float *q, const float *k,
                                        const float *v, const float *out, const float *max,
                                        const float *rsum, const AttentionShape *shape,
                                        const DropoutSite *dropout)
{
    Gradients x = {dq, dk, dv, dout, q, k, v, out, max, rsum};
    backward(ctx, BLOCK16, &x, shape, dropout);
}

void KERNEL(attention_backward_block8)(Context *ctx, float *dq, float *dk, float *dv,
                                       const float *dout, const float *q, const float *k,
                                       const float *v, const float *out, const float *max,
                                       const float *rsum, const AttentionShape *shape,
                                       const DropoutSite *dropout)
{
    Gradients x = {dq, dk, dv, dout, q, k, v, out, max, rsum};
    backward(ctx, BLOCK8, &x, shape, dropout);
}
