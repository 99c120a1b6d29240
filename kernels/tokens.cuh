/* Gradients of parameters that every token adds to: biases, weights of norms. A thread owns the
 * chain of one sequence and channel; a second launch adds the sequences to the parameter in their
 * order. Without cu_seqlens every row is a sequence, and a thread owns all of a channel.
 *
 *     dweight[c] += dout[n, c] xhat[n, c]     xhat = (x - mean) rstd; mean NULL: x rstd
 *     dbias[c] += dout[n, c]
 *
 * Either may be NULL; without dweight x, mean and rstd are not read. dout, x [N, C];
 * mean, rstd [N].
 *
 * Reads dout and x once: 8 N C bytes for 5 N C FLOPs. Where sequences are few, B C chains, each
 * TOKENS loads at a time, wait for memory instead: 16 x 128 tokens of 1,024 channels take about 10
 * us (computed). */
#ifndef TOKENS_CUH
#define TOKENS_CUH

#include "cuda.cuh"

enum { TOKEN_WARPS = 8, TOKENS = 8 };

/* dout and xhat of channel c of the tokens n, n + 1, ... before end; all loads are under way at
 * once. */
static __device__ __forceinline__ void tokens_read(float d[TOKENS], float xhat[TOKENS],
                                                   const float *dout, const float *x,
                                                   const float *mean, const float *rstd, int n,
                                                   int end, int C, int c)
{
#pragma unroll
    for (int i = 0; i < TOKENS; i++) {
        size_t at = (size_t)(n + i) * (size_t)C + (size_t)c;
        d[i] = i < end - n ? dout[at] : 0.0f;
        xhat[i] = 0.0f;
        if (x && i < end - n) {
            float m = mean ? mean[n + i] : 0.0f; /* x - 0 is x */
            xhat[i] = (x[at] - m) * rstd[n + i];
        }
    }
}

/* weight_sums, bias_sums [B, C]: the sums of each sequence, from 0. A warp owns 32 channels of one.
 */
static __global__ void __launch_bounds__(TOKEN_WARPS *LANES)
    token_sums(float *weight_sums, float *bias_sums, const float *dout, const float *x,
               const float *mean, const float *rstd, const int *cu_seqlens, int B, int C)
{
    size_t warp = (size_t)blockIdx.x * TOKEN_WARPS + threadIdx.x / LANES,
           warps = ((size_t)C + LANES - 1) / LANES; /* of a sequence */
    size_t b = warp / warps;
    int c = (int)(warp % warps * LANES + threadIdx.x % LANES);
    if (b >= (size_t)B || c >= C) {
        return;
    }
    float weight_sum = 0.0f, bias_sum = 0.0f;
    int end = cu_seqlens[b + 1];
    for (int n = cu_seqlens[b]; n < end; n += TOKENS) {
        float d[TOKENS], xhat[TOKENS];
        tokens_read(d, xhat, dout, x, mean, rstd, n, end, C, c);
#pragma unroll
        for (int i = 0; i < TOKENS; i++) {
            weight_sum = i < end - n ? fmaf(d[i], xhat[i], weight_sum) : weight_sum;
            bias_sum = i < end - n ? bias_sum + d[i] : bias_sum;
        }
    }
    size_t at = b * (size_t)C + (size_t)c;
    if (weight_sums) {
        weight_sums[at] = weight_sum;
    }
    if (bias_sums) {
        bias_sums[at] = bias_sum;
    }
}

/* The sums of the sequences in their order, from what is there. */
static __global__ void __launch_bounds__(TOKEN_WARPS *LANES)
    sequence_sums(float *dweight, float *dbias, const float *weight_sums, const float *bias_sums,
                  int B, int C)
{
    size_t channels = (size_t)C, c = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= channels) {
        return;
    }
    float weight_sum = dweight ? dweight[c] : 0.0f, bias_sum = dbias ? dbias[c] : 0.0f;
#pragma unroll TOKENS
    for (size_t b = 0; b < (size_t)B; b++) {
        weight_sum += dweight ? weight_sums[b * channels + c] : 0.0f;
        bias_sum += dbias ? bias_sums[b * channels + c] : 0.0f;
    }
    if (dweight) {
        dweight[c] = weight_sum;
    }
    if (dbias) {
        dbias[c] = bias_sum;
    }
}

/* Where every row is a sequence: its one term, from 0, is added to what is there. */
static __global__ void __launch_bounds__(TOKEN_WARPS *LANES)
    row_sums(float *dweight, float *dbias, const float *dout, const float *x, const float *mean,
             const float *rstd, int N, int C)
{
    int c = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (c >= C) {
        return;
    }
    float weight_sum = dweight ? dweight[c] : 0.0f, bias_sum = dbias ? dbias[c] : 0.0f;
    for (int n = 0; n < N; n += TOKENS) {
        float d[TOKENS], xhat[TOKENS];
        tokens_read(d, xhat, dout, x, mean, rstd, n, N, C, c);
#pragma unroll
        for (int i = 0; i < TOKENS; i++) {
            weight_sum = i < N - n ? weight_sum + fmaf(d[i], xhat[i], 0.0f) : weight_sum;
            bias_sum = i < N - n ? bias_sum + (0.0f + d[i]) : bias_sum;
        }
    }
    if (dweight) {
        dweight[c] = weight_sum;
    }
    if (dbias) {
        dbias[c] = bias_sum;
    }
}

/* scratch: B C floats for each gradient, if cu_seqlens. */
static void add_token_sums(Context *ctx, float *dweight, float *dbias, const float *dout,
                           const float *x, const float *mean, const float *rstd,
                           const int *cu_seqlens, int B, int N, int C)
{
    enum { THREADS = TOKEN_WARPS * LANES };
    if (!cu_seqlens) {
        row_sums<<<blocks_for((size_t)C, THREADS), THREADS, 0, stream_of(ctx)>>>(
            dweight, dbias, dout, x, mean, rstd, N, C);
        return;
    }
    size_t size = (size_t)B * (size_t)C, warps = (size_t)B * (((size_t)C + LANES - 1) / LANES);
    float *weight_sums = dweight ? ctx->scratch : NULL,
          *bias_sums = dbias ? ctx->scratch + (dweight ? size : 0) : NULL;
    token_sums<<<blocks_for(warps, TOKEN_WARPS), THREADS, 0, stream_of(ctx)>>>(
        weight_sums, bias_sums, dout, x, mean, rstd, cu_seqlens, B, C);
    sequence_sums<<<blocks_for((size_t)C, THREADS), THREADS, 0, stream_of(ctx)>>>(
        dweight, dbias, weight_sums, bias_sums, B, C);
}

/* --- variants --- */

/* Sums of GROUP tokens, whatever their sequences, added by atomics: in any order. A warp owns 32
 * channels of a group. */
enum { GROUP = 64 };

static __global__ void __launch_bounds__(TOKEN_WARPS *LANES)
    token_sums_atomic(float *dweight, float *dbias, const float *dout, const float *x,
                      const float *mean, const float *rstd, int N, int C)
{
    size_t warp = (size_t)blockIdx.x * TOKEN_WARPS + threadIdx.x / LANES,
           warps = ((size_t)C + LANES - 1) / LANES, /* of a group */
        first = warp / warps * GROUP;
    int c = (int)(warp % warps * LANES + threadIdx.x % LANES);
    if (first >= (size_t)N || c >= C) {
        return;
    }
    float weight_sum = 0.0f, bias_sum = 0.0f;
    int end = N - (int)first < GROUP ? N : (int)first + GROUP;
    for (int n = (int)first; n < end; n += TOKENS) {
        float d[TOKENS], xhat[TOKENS];
        tokens_read(d, xhat, dout, x, mean, rstd, n, end, C, c);
#pragma unroll
        for (int i = 0; i < TOKENS; i++) { /* beyond the end they are 0 */
            weight_sum = fmaf(d[i], xhat[i], weight_sum);
            bias_sum += d[i];
        }
    }
    if (dweight) {
        atomicAdd(dweight + c, weight_sum);
    }
    if (dbias) {
        atomicAdd(dbias + c, bias_sum);
    }
}

static void add_atomic_sums(Context *ctx, float *dweight, float *dbias, const float *dout,
                            const float *x, const float *mean, const float *rstd, int N, int C)
{
    size_t groups = ((size_t)N + GROUP - 1) / GROUP, warps = ((size_t)C + LANES - 1) / LANES;
    token_sums_atomic<<<blocks_for(groups * warps, TOKEN_WARPS), TOKEN_WARPS * LANES, 0,
                        stream_of(ctx)>>>(dweight, dbias, dout, x, mean, rstd, N, C);
}

#endif
