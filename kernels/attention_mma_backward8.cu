/* attention_mma_backward.cuh by blocks of 8. */
#include "attention_mma_backward.cuh"

void KERNEL(attention_backward_block8)(Context *ctx, float *dq, float *dk, float *dv,
                                       const float *dout, const float *q, const float *k,
                                       const float *v, const float *out, const float *max,
                                       const float *rsum, const AttentionShape *shape,
                                       const DropoutSite *dropout)
{
    backward<8>(ctx, dq, dk, dv, dout, q, k, v, out, max, rsum, shape, dropout);
}
