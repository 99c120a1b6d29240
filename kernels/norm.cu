/* CUDA twins of norm.c, bit for bit. A warp owns a row: its 32 lanes are the 32 lanes of the
 * definition, and shuffles add them up in the definition's tree, so no other grid or block can
 * change a sum. */
#include "cuda.cuh"

enum { WARPS = 8 }; /* of a block */

static __global__ void __launch_bounds__(WARPS *LANES)
    rmsnorm_rows(float *out, float *rstd, const float *x, const float *weight, int N, int C,
                 float eps)
{
    int lane = (int)threadIdx.x % LANES, n = (int)blockIdx.x * WARPS + (int)threadIdx.x / LANES;
    if (n >= N) {
        return; /* the whole warp */
    }
    const float *x_n = x + (size_t)n * (size_t)C;
    float *out_n = out + (size_t)n * (size_t)C, squares = 0.0f;
    for (int c = lane; c < C; c += LANES) {
        squares = fmaf(x_n[c], x_n[c], squares);
    }
    float r = 1.0f / sqrtf(warp_sum(squares) / (float)C + eps);
    for (int c = lane; c < C; c += LANES) {
        out_n[c] = x_n[c] * r * weight[c];
    }
    if (lane == 0) {
        rstd[n] = r;
    }
}

void KERNEL(rmsnorm_forward)(Context *ctx, float *out, float *rstd, const float *x,
                             const float *weight, int N, int C, float eps)
{
    rmsnorm_rows<<<blocks_for(N, WARPS), WARPS * LANES, 0, stream_of(ctx)>>>(out, rstd, x, weight,
                                                                             N, C, eps);
}
