/* CUDA twin of attention.c's forward pass, bit for bit. A block owns a strip of queries of one
 * head. Their scores stand in shared memory as far as it goes; where there are more keys they come
 * in parts, first for the largest score of each row, then again for the weights. */
#include "attention.cuh"

enum {
    GROUP = DROPOUT_BLOCK, /* keys that a warp takes at a time: a block of words a lane */
    PART = 2 * GROUP,      /* keys of a part */
};

/* The largest of n scores and of max, in every lane. */
static __device__ __forceinline__ float row_max(const float *scores, int n, float scale, float max)
{
    for (int j = (int)threadIdx.x % LANES; j < n; j += LANES) {
        float s = scores[j] * scale;
        max = s > max ? s : max;
    }
    return warp_max(max);
}

/* n scores become weights e, dropped, and what follows zeros, as far as `columns` and to the next
 * multiple of GROUP. Returns the lane's part of lanes(e), on from `sum`. first: key of scores[0], a
 * multiple of GROUP; position, head, slot: what dropout knows of the query. */
static __device__ __forceinline__ float row_weights(float *scores, int n, int columns, int first,
                                                    float scale, float max, float sum,
                                                    const DropoutSite *dropout, uint32_t position,
                                                    uint32_t head, uint32_t slot)
{
    int lane = (int)threadIdx.x % LANES;
    uint32_t threshold = dropout_threshold(dropout->p);
    float kept = 1.0f / (1.0f - dropout->p);
    for (int base = 0; base < columns; base += GROUP) {
        Philox words = {};
        if (dropout->p > 0.0f && base < n) {
            words = dropout_words(dropout, (uint32_t)((first + base) / 4 + lane), position, head,
                                  slot);
        }
#pragma unroll
        for (int w = 0; w < GROUP / LANES; w++) {
            int j = base + LANES * w + lane;
            float e = j < n ? scalar_exp(scores[j] * scale - max) : 0.0f;
            sum += e;
            scores[j] = words.word[w] >= threshold ? e * kept : 0.0f;
        }
    }
    return sum;
}

/* out, max, rsum of TILE queries of a head. The sums are ops.def's: chains over d of q k, a warp's
 * lanes and tree for lanes(e), chains over the keys of e v. A thread owns 8 x 4 scores of a tile,
 * and 8 x 4 outputs of each 64 channels, whose chains wait in out from part to part. 2 D fma for a
 * query and key that it sees, 3 D in parts; a tile of scores takes 128 D floats from the L2 cache,
 * its part of out 64 D. Bound by fma: 12 reads of 16 bytes of shared memory for 128 of them
 * (computed). Grid: the strips of all heads, the last ones first, as causal ones see the most
 * keys. */
template <int WIDE>
static __global__ void __launch_bounds__(THREADS, 3)
    forward_strips(float *out, float *max, float *rsum, const float *q, const float *k,
                   const float *v, AttentionShape shape, DropoutSite dropout, int strips, int width)
{
    extern __shared__ float4 memory[];
    float *stages = (float *)memory, *lanes = stages + STAGES * STAGE,
          *max_of = lanes + TILE * LANES, *r_of = max_of + TILE, *strip = r_of + TILE;
    int tasks = shape.B * shape.H, D = shape.D, strip_row = width + GAP;
    int warp = (int)threadIdx.x / LANES, lane = (int)threadIdx.x % LANES;
    int i0 = (strips - 1 - (int)blockIdx.x / tasks) * TILE;
    Head at = head_at(&shape, (int)blockIdx.x % tasks, shape.H);
    int rows = at.queries - i0 < TILE ? at.queries - i0 : TILE;
    if (rows <= 0) {
        return; /* the whole block */
    }
    int kv = at.head / (shape.H / shape.K), seen = keys_seen(&shape, &at, i0 + rows - 1);
    Rows q_rows = rows_of(q, shape.q_stride, at.q_row + i0, at.head, D, rows),
         k_rows = rows_of(k, shape.kv_stride, at.k_row, kv, D, seen),
         v_rows = rows_of(v, shape.kv_stride, at.k_row, kv, D, seen);
    Output to = output_of(out, shape.H * D, at.q_row + i0, at.head, D, rows);
    for (int i = (int)threadIdx.x; i < TILE * LANES; i += THREADS) {
        lanes[i] = 0.0f;
    }
    if (threadIdx.x < TILE) {
        max_of[threadIdx.x] = -INFINITY;
    }
    for (int weigh = seen <= width; weigh < 2; weigh++) { /* 0: the largest scores alone */
        for (int first = 0; first == 0 || first < seen; first += width) {
            int columns = seen - first < width ? seen - first : width;
            int last = first + columns == seen;
            for (int j = 0; j < columns; j += 2 * TILE) {
                Rows k0 = rows_from(k_rows, first + j), k1 = rows_from(k0, TILE);
                strip_pair<WIDE>(strip + j, strip + j + TILE, strip_row, q_rows, k0, q_rows, k1, D,
                                 stages);
            }
            __syncthreads(); /* the scores are there */
            for (int i = warp; i < rows; i += WARPS) {
                float *scores = strip + i * strip_row;
                int left = keys_seen(&shape, &at, i0 + i) - first,
                    n = left < columns ? left : columns;
                float m = row_max(scores, n, shape.scale, max_of[i]);
                if (!weigh) {
                    __syncwarp(); /* every lane has read max_of[i] */
                    if (lane == 0) {
                        max_of[i] = m;
                    }
                    continue;
                }
                float sum = row_weights(
                    scores, n, columns, first, shape.scale, m, lanes[i * LANES + lane], &dropout,
                    (uint32_t)(at.position + i0 + i), (uint32_t)at.head, at.slot);
                lanes[i * LANES + lane] = sum;
                if (last) {
                    float r = 1.0f / warp_sum(sum);
                    size_t row = (size_t)(at.q_row + i0 + i) * (size_t)shape.H + (size_t)at.head;
                    if (lane == 0) {
                        r_of[i] = r;
                        max[row] = m + 0.0f;
                        rsum[row] = r;
                    }
                }
            }
            if (weigh) {
                sum_rows<WIDE>(&to, strip, strip_row, columns, rows_from(v_rows, first), first == 0,
                               last ? r_of : NULL, stages);
            }
        }
    }
}

/* Bytes of shared memory for strips of `width` keys. */
static size_t forward_shared(size_t width)
{
    return sizeof(float) * (STAGES * STAGE + TILE * (LANES + 2) + TILE * (width + GAP));
}

void KERNEL(attention_forward)(Context *ctx, float *out, float *max, float *rsum, const float *q,
                               const float *k, const float *v, const AttentionShape *shape,
                               const DropoutSite *dropout)
{
    size_t strips = ((size_t)shape->longest + TILE - 1) / TILE,
           blocks = strips * (size_t)shape->B * (size_t)shape->H,
           width = ((size_t)shape->longest + GROUP - 1) / GROUP * GROUP;
    if (forward_shared(width) > ctx->shared_limit) {
        width = forward_shared(PART) > ctx->shared_limit ? GROUP : PART;
    }
    int wide = shape->D % 4 == 0 && rows_aligned(q, shape->q_stride) &&
               rows_aligned(k, shape->kv_stride) && rows_aligned(v, shape->kv_stride) &&
               rows_aligned(out, shape->H * shape->D);
    auto kernel = wide ? forward_strips<1> : forward_strips<0>;
    if (blocks) {
        kernel<<<(unsigned)blocks, THREADS, shared_for(kernel, forward_shared(width)),
                 stream_of(ctx)>>>(out, max, rsum, q, k, v, *shape, *dropout, (int)strips,
                                   (int)width);
    }
}
