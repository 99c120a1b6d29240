/* CUDA twins of embedding.c, bit for bit. */
#include "cuda.cuh"

enum { WARPS = 8 };

/* out[n] = word + type + position; a warp owns a token, lane l the channels 4 l to 4 l + 3, then
 * those 128 further on. wide: 16 bytes at a time, of bf16 8. 8 to 16 bytes an element; memory bounds
 * it. */
static __global__ void __launch_bounds__(WARPS *LANES)
    look_up(float *out, const int *tokens, const int *positions, const int *types, Weight word,
            Weight position, Weight type, int N, int C, int wide)
{
    size_t n = (size_t)blockIdx.x * WARPS + threadIdx.x / LANES, channels = (size_t)C;
    if (n >= (size_t)N) {
        return;
    }
    int has_type = type.f32 || type.bf16;
    size_t word_n = (size_t)tokens[n] * channels, position_n = (size_t)positions[n] * channels,
           type_n = has_type ? (size_t)types[n] * channels : 0;
#pragma unroll 2
    for (size_t c = threadIdx.x % LANES * FOUR; c < channels; c += LANES * FOUR) {
        int count = four_count(c, channels);
        float sum[FOUR], t[FOUR], p[FOUR];
        weight_get(sum, word, word_n + c, count, wide);
        weight_get(p, position, position_n + c, count, wide);
        if (has_type) {
            weight_get(t, type, type_n + c, count, wide);
#pragma unroll
            for (int i = 0; i < FOUR; i++) {
                sum[i] += t[i];
            }
        }
#pragma unroll
        for (int i = 0; i < FOUR; i++) {
            sum[i] += p[i];
        }
        four_put(out + n * channels + c, sum, count, wide);
    }
}

void KERNEL(embedding_forward)(Context *ctx, float *out, const int *tokens, const int *positions,
                               const int *types, Weight word, Weight position, Weight type, int N,
                               int C)
{
    int wide = rows_aligned(out, C) && weight_rows_aligned(word, C) &&
               weight_rows_aligned(position, C) && weight_rows_aligned(type, C);
    look_up<<<blocks_for((size_t)N, WARPS), WARPS * LANES, 0, stream_of(ctx)>>>(
        out, tokens, positions, types, word, position, type, N, C, wide);
}

/* dtable[rows[u]] += dout[order[i]], i from starts[u] to starts[u + 1] - 1, one after another. A
 * warp owns 32 channels of one row, a lane the chain of one.
 *
 * 4 bytes of dout and one FLOP a term. A row that all tokens look up, such as a token type, has C
 * chains of N terms, each TERMS loads at a time: about 0.1 ms for 2,048 tokens (computed). */
static __global__ void __launch_bounds__(WARPS *LANES)
    add_rows(float *dtable, const float *dout, const int *rows, const int *starts, const int *order,
             int U, int C)
{
    enum { TERMS = 16 };
    size_t warp = (size_t)blockIdx.x * WARPS + threadIdx.x / LANES, channels = (size_t)C,
           warps = (channels + LANES - 1) / LANES, u = warp / warps, /* warps: of a row */
        c = warp % warps * LANES + threadIdx.x % LANES;
    if (u >= (size_t)U || c >= channels) {
        return;
    }
    float *to = dtable + (size_t)rows[u] * channels + c, sum = *to;
    int end = starts[u + 1];
    for (int first = starts[u]; first < end; first += TERMS) {
        float d[TERMS];
#pragma unroll
        for (int i = 0; i < TERMS; i++) {
            d[i] = i < end - first ? dout[(size_t)order[first + i] * channels + c] : 0.0f;
        }
#pragma unroll
        for (int i = 0; i < TERMS; i++) {
            sum = i < end - first ? sum + d[i] : sum;
        }
    }
    *to = sum;
}

void KERNEL(embedding_backward)(Context *ctx, float *dtable, const float *dout, const int *rows,
                                const int *starts, const int *order, int U, int N, int C)
{
    (void)N; /* for the cost of the op */
    size_t warps = (size_t)U * (((size_t)C + LANES - 1) / LANES);
    add_rows<<<blocks_for(warps, WARPS), WARPS * LANES, 0, stream_of(ctx)>>>(dtable, dout, rows,
                                                                             starts, order, U, C);
}

/* --- variants --- */

/* Each token of order added by atomics, in any order. A warp owns 32 channels of a token. */
static __global__ void __launch_bounds__(WARPS *LANES)
    add_rows_atomic(float *dtable, const float *dout, const int *rows, const int *starts,
                    const int *order, int U, int N, int C)
{
    size_t warp = (size_t)blockIdx.x * WARPS + threadIdx.x / LANES, channels = (size_t)C,
           warps = (channels + LANES - 1) / LANES, i = warp / warps, /* warps: of a token */
        c = warp % warps * LANES + threadIdx.x % LANES;
    if (i >= (size_t)N || c >= channels) {
        return;
    }
    int u = 0; /* the last row that begins at i or before */
    for (int end = U; u + 1 < end;) {
        int middle = u + (end - u) / 2;
        if (starts[middle] <= (int)i) {
            u = middle;
        } else {
            end = middle;
        }
    }
    atomicAdd(dtable + (size_t)rows[u] * channels + c, dout[(size_t)order[i] * channels + c]);
}

void KERNEL(embedding_backward_atomic)(Context *ctx, float *dtable, const float *dout,
                                       const int *rows, const int *starts, const int *order, int U,
                                       int N, int C)
{
    size_t warps = (size_t)N * (((size_t)C + LANES - 1) / LANES);
    add_rows_atomic<<<blocks_for(warps, WARPS), WARPS * LANES, 0, stream_of(ctx)>>>(
        dtable, dout, rows, starts, order, U, N, C);
}
