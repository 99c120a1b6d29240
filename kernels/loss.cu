/* CUDA twins of loss.c, bit for bit. */
#include "cuda.cuh"

enum { WARPS = 8, THREADS = WARPS * LANES }; /* of a block */

static __device__ __forceinline__ float exp_shifted(float z, float max)
{
    return scalar_exp(z - max);
}

/* The maximum of n values and lanes(exp(z - max)) by a warp, both in every lane. A row with a NaN
 * has a sum that is NaN, whatever its maximum is. */
static __device__ __forceinline__ float exp_sum(const float *z, int n, float *max)
{
    int lane = (int)threadIdx.x % LANES;
    float m = -INFINITY, sum = 0.0f;
    for (int i = lane; i < n; i += LANES) {
        m = z[i] > m ? z[i] : m;
    }
    *max = m = warp_max(m);
    for (int i = lane; i < n; i += LANES) {
        sum += exp_shifted(z[i], m);
    }
    return warp_sum(sum);
}

/* dz = (exp(z - max) / sum - onehot) scale */
static __device__ __forceinline__ float logit_gradient(float z, float max, float sum, int is_target,
                                                       float scale)
{
    float p = exp_shifted(z, max) / sum;
    return (p - (is_target ? 1.0f : 0.0f)) * scale;
}

/* A warp owns an example: its loss, its sum by the 32 lanes of the definition, its O gradients.
 * 8 B O operations and 8 B O bytes with O of 2 to 4: the time of a launch (computed). */
static __global__ void __launch_bounds__(THREADS)
    cross_entropy_rows(float *losses, float *dlogits, const float *logits, const int *labels, int B,
                       int O, float scale)
{
    int lane = (int)threadIdx.x % LANES;
    size_t b = (size_t)blockIdx.x * WARPS + threadIdx.x / LANES;
    if (b >= (size_t)B) {
        return; /* the whole warp */
    }
    const float *z = logits + b * (size_t)O;
    int label = labels[b];
    float max, sum = exp_sum(z, O, &max);
    if (lane == 0) {
        losses[b] = scalar_log(sum) + (max - z[label]);
    }
    __syncwarp(); /* z[label] is read before dlogits, which may be logits, is written */
    for (int o = lane; dlogits && o < O; o += LANES) {
        dlogits[b * (size_t)O + (size_t)o] = logit_gradient(z[o], max, sum, o == label, scale);
    }
}

void KERNEL(cross_entropy)(Context *ctx, float *losses, float *dlogits, const float *logits,
                           const int *labels, int B, int O, float scale)
{
    cross_entropy_rows<<<blocks_for((size_t)B, WARPS), THREADS, 0, stream_of(ctx)>>>(
        losses, dlogits, logits, labels, B, O, scale);
}

/* Running values of a row of linear_cross_entropy. */
typedef struct RowSum {
    float sum, max, label; /* label: z of the target */
} RowSum;

/* A warp takes the logits z [N, width] of the words from `first` on into the sum of its row; the
 * part with the smaller maximum is rescaled in one fma. Behind the last words it writes the loss.
 * 5 N width operations beside the product's 2 C N width: a few per cent of it (computed). */
static __global__ void __launch_bounds__(THREADS)
    vocabulary_sums(RowSum *rows, float *losses, const float *logits, const int *targets, int N,
                    int width, int first, int is_last)
{
    size_t n = (size_t)blockIdx.x * WARPS + threadIdx.x / LANES;
    if (n >= (size_t)N) {
        return; /* the whole warp */
    }
    const float *z = logits + n * (size_t)width;
    RowSum row = {0.0f, -INFINITY, 0.0f};
    if (first > 0) {
        row = rows[n];
    }
    float max, sum = exp_sum(z, width, &max);
    if (max > row.max) {
        row.sum = fmaf(row.sum, exp_shifted(row.max, max), sum);
        row.max = max;
    } else {
        row.sum = fmaf(sum, exp_shifted(max, row.max), row.sum);
    }
    int target = targets[n];
    if (target >= first && target - first < width) {
        row.label = z[target - first];
    }
    __syncwarp(); /* every lane has read rows[n] */
    if (threadIdx.x % LANES == 0) {
        rows[n] = row;
        if (is_last) {
            losses[n] = target < 0 ? 0.0f : scalar_log(row.sum) + (row.max - row.label);
        }
    }
}

/* z -> dz in place, of the words from `first` on: a block a row, a thread every 256th word. */
static __global__ void __launch_bounds__(THREADS)
    vocabulary_gradient(float *logits, const RowSum *rows, const int *targets, int width, int first,
                        float scale)
{
    size_t n = blockIdx.x;
    float *z = logits + n * (size_t)width;
    RowSum row = rows[n];
    int target = targets[n];
    for (int o = (int)threadIdx.x; o < width; o += THREADS) {
        z[o] = logit_gradient(z[o], row.max, row.sum, first + o == target,
                              target < 0 ? 0.0f : scale);
    }
}

/* The products are the ops of linear layers, so that their variants are these too; they take nearly
 * all the time. 2,048 tokens by 2,048 words are 16 MB of logits, which stay in the second level
 * cache of an H100. */
void KERNEL(linear_cross_entropy)(Context *ctx, float *losses, float *dx, float *dweight,
                                  const float *x, Weight weight, const int *targets, int N, int C,
                                  int V, float scale)
{
    size_t n = (size_t)N, c = (size_t)C, v = (size_t)V, block_words = VOCABULARY_BLOCK,
           widest = v < block_words ? v : block_words;
    float *z = ctx->scratch + (vocabulary_products(n, c, widest) + 15) / 16 * 16;
    RowSum *rows = (RowSum *)(void *)(z + (n * widest + 15) / 16 * 16);
    for (int pass = 0; pass < (dx ? 2 : 1) && N > 0; pass++) {
        for (size_t first = 0; first < v; first += widest) {
            int width = (int)(v - first < widest ? v - first : widest);
            Weight block = {weight.f32 ? weight.f32 + first * c : NULL,
                            weight.bf16 ? weight.bf16 + first * c : NULL};
            ctx->inner.matmul_forward(ctx, z, x, block, NULL, N, C, width);
            if (pass == 0) {
                vocabulary_sums<<<blocks_for(n, WARPS), THREADS, 0, stream_of(ctx)>>>(
                    rows, losses, z, targets, N, width, (int)first, first + widest >= v);
                continue;
            }
            vocabulary_gradient<<<blocks_for(n, 1), THREADS, 0, stream_of(ctx)>>>(
                z, rows, targets, width, (int)first, scale);
            ctx->inner.matmul_backward_input(ctx, dx, z, block, N, C, width, first > 0);
            if (dweight) {
                ctx->inner.matmul_backward_weight(ctx, dweight + first * c, z, x, N, C, width);
            }
        }
    }
}

/* One thread an example; the time of a launch. */
static __global__ void __launch_bounds__(THREADS)
    squared_errors(float *losses, float *dlogits, const float *logits, const float *targets, int B,
                   float scale)
{
    size_t b = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (b >= (size_t)B) {
        return;
    }
    float d = logits[b] - targets[b];
    losses[b] = d * d;
    if (dlogits) {
        dlogits[b] = 2.0f * d * scale;
    }
}

void KERNEL(mean_squared_error)(Context *ctx, float *losses, float *dlogits, const float *logits,
                                const float *targets, int B, float scale)
{
    squared_errors<<<blocks_for((size_t)B, THREADS), THREADS, 0, stream_of(ctx)>>>(
        losses, dlogits, logits, targets, B, scale);
}

/* The chain is one thread's; the block brings its values to shared memory. Bound by the latency of
 * n additions in double. */
static __global__ void __launch_bounds__(THREADS)
    losses_chain(double *sum, const float *losses, size_t n)
{
    enum { TILE = 4096 };
    __shared__ float tile[TILE];
    double total = threadIdx.x == 0 ? *sum : 0.0;
    for (size_t first = 0; first < n; first += TILE) {
        int count = n - first < TILE ? (int)(n - first) : TILE;
        for (int i = (int)threadIdx.x; i < count; i += THREADS) {
            tile[i] = losses[first + (size_t)i];
        }
        __syncthreads();
        for (int i = 0; i < count && threadIdx.x == 0; i++) {
            total += (double)tile[i];
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        *sum = total;
    }
}

void KERNEL(sum_losses)(Context *ctx, double *sum, const float *losses, int n)
{
    losses_chain<<<1, THREADS, 0, stream_of(ctx)>>>(sum, losses, (size_t)n);
}
