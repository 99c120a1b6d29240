/* The kernel of matmul_block.cu: a block of threads computes one tile of the output, a warp a part of
 * it, by the primitive of mma.cuh.
 *
 * k goes by in slabs of 32, of both operands as they were packed. cp.async brings them into three
 * stages of shared memory, two ahead of the one that is multiplied, always 16 aligned bytes. The sums
 * so far stay in registers from the start to the last block of k. Blocks are never split and come
 * first to last, so neither the tile nor the grid can change a bit.
 *
 * 2 M N K FLOPs; each operand is read once for every tile along the other. Bound by tensor cores
 * (computed): a warp with 64 x 32 outputs has 16 instructions for 12 reads of 8 bytes a lane. */
#ifndef BLOCK_TILE_CUH
#define BLOCK_TILE_CUH

#include "mma.cuh"
#include "product.cuh"

/* Operands as they are packed: [M, depth] and [N, depth]; depth is a multiple of 16. */
typedef struct Packed {
    const uint16_t *a, *b;
    int depth;
} Packed;

#define product_blocks8 KERNEL(product_blocks8)
void product_blocks8(const Context *ctx, const Product *product, const Packed *packed);

/* ROW: values from row to row of a slab. 96 bytes keep the 8-byte reads of half a warp, which go to 4
 * rows, out of each other's banks. */
enum { DEPTH = 32, ROW = DEPTH + 16, STAGES = 3, PIECE = 8 };

/* A tile of TILE_M x TILE_N outputs, and those of a warp. */
template <int TILE_M, int TILE_N, int OWN_M, int OWN_N> struct BlockTile {
    enum { M = TILE_M, N = TILE_N, M_OWN = OWN_M, N_OWN = OWN_N };
    enum { N_WARPS = N / N_OWN, THREADS = M / M_OWN * N_WARPS * LANES };
    enum { A_SIZE = M * ROW, STAGE = A_SIZE + N * ROW };
};

/* Starts the copy of a slab of x [count, depth]: of the rows those from `first` on, k from k0 on. What
 * lies outside of x is left as it was, and in no sum that is written. */
template <int ROWS, int THREADS>
static __device__ __forceinline__ void copy_slab(uint16_t *slab, const uint16_t *x, int first,
                                                 int count, int k0, int depth)
{
    const int ACROSS = DEPTH / PIECE;
    int k = (int)threadIdx.x % ACROSS * PIECE;
    for (int row = (int)threadIdx.x / ACROSS; row < ROWS; row += THREADS / ACROSS) {
        if (row < count - first && k < depth - k0) {
            const uint16_t *from = x + (size_t)(first + row) * (size_t)depth + (size_t)(k0 + k);
            __pipeline_memcpy_async(slab + row * ROW + k, from, PIECE * sizeof *slab);
        }
    }
}

/* The pairs of a lane in 16 k of its row: the first and, 8 k further, the second. */
static __device__ __forceinline__ uint2 pairs_at(const uint16_t *slab, int row, int k)
{
    return *(const uint2 *)(const void *)(slab + row * ROW + k + threadIdx.x % 4 * 4);
}

/* 16 k of a slab, of which there are `count`. */
template <typename T, int LENGTH, int MODEL>
static __device__ __forceinline__ void multiply(float (&sum)[T::M_OWN / MMA_M][T::N_OWN / MMA_N][4],
                                                const uint16_t *a, const uint16_t *b, int m, int n,
                                                int k, int count)
{
    int group = (int)threadIdx.x % LANES / 4;
    uint32_t y[T::N_OWN / MMA_N][2];
#pragma unroll
    for (int j = 0; j < T::N_OWN / MMA_N; j++) {
        uint2 pairs = pairs_at(b, n + j * MMA_N + group, k);
        y[j][0] = pairs.x;
        y[j][1] = pairs.y;
    }
#pragma unroll
    for (int i = 0; i < T::M_OWN / MMA_M; i++) {
        uint2 upper = pairs_at(a, m + i * MMA_M + group, k);
        uint2 lower = pairs_at(a, m + i * MMA_M + group + 8, k);
        uint32_t x[4] = {upper.x, lower.x, upper.y, lower.y};
#pragma unroll
        for (int j = 0; j < T::N_OWN / MMA_N; j++) {
            mma_block<LENGTH, MODEL>(sum[i][j], x, y[j], count);
        }
    }
}

/* Block (x, y) owns tile x along M, y along N; its warps parts of it, one behind the other along
 * N. */
template <typename T, int LENGTH, int MODEL>
static __global__ void __launch_bounds__(T::THREADS) block_product(Product p, Packed packed)
{
    extern __shared__ float4 memory[];
    uint16_t *stages = (uint16_t *)(void *)memory;
    int warp = (int)threadIdx.x / LANES, lane = (int)threadIdx.x % LANES;
    int m0 = (int)blockIdx.x * T::M, n0 = (int)blockIdx.y * T::N;
    int m = warp / T::N_WARPS * T::M_OWN, n = warp % T::N_WARPS * T::N_OWN;
    int in_use = m < p.M - m0 && n < p.N - n0; /* the warp has outputs */
    /* the lane's first output, and how many rows and columns there are from it on */
    int down = p.M - m0 - m - lane / 4, right = p.N - n0 - n - lane % 4 * 2;
    float *out = p.out + (size_t)(m0 + m + lane / 4) * (size_t)p.N +
                 (size_t)(n0 + n + lane % 4 * 2);
    float sum[T::M_OWN / MMA_M][T::N_OWN / MMA_N][4];
#pragma unroll
    for (int i = 0; i < T::M_OWN / MMA_M; i++) {
#pragma unroll
        for (int j = 0; j < T::N_OWN / MMA_N; j++) {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int row = i * MMA_M + e / 2 * 8, column = j * MMA_N + e % 2;
                float start = 0.0f;
                if (row < down && column < right) {
                    start = p.accumulate ? out[(size_t)row * (size_t)p.N + (size_t)column]
                            : p.bias     ? p.bias[p.N - right + column]
                                         : 0.0f;
                }
                sum[i][j][e] = start;
            }
        }
    }
    /* the first two rounds only start copies */
    for (int slab = 1 - STAGES; slab * DEPTH < p.K; slab++) {
        __pipeline_wait_prior(STAGES - 2);
        __syncthreads(); /* this slab is there for all, and all have left the one before */
        int ahead = slab + STAGES - 1, k = slab * DEPTH;
        if (ahead * DEPTH < p.K) {
            uint16_t *stage = stages + ahead % STAGES * T::STAGE;
            copy_slab<T::M, T::THREADS>(stage, packed.a, m0, p.M, ahead * DEPTH, packed.depth);
            copy_slab<T::N, T::THREADS>(stage + T::A_SIZE, packed.b, n0, p.N, ahead * DEPTH,
                                        packed.depth);
        }
        __pipeline_commit();
        if (slab < 0 || !in_use) {
            continue;
        }
        const uint16_t *a = stages + slab % STAGES * T::STAGE, *b = a + T::A_SIZE;
#pragma unroll(MODEL ? 1 : DEPTH / MMA_K)
        for (int at = 0; at < DEPTH && k + at < p.K; at += MMA_K) {
            multiply<T, LENGTH, MODEL>(sum, a, b, m, n, at, p.K - k - at);
        }
    }
#pragma unroll
    for (int i = 0; i < T::M_OWN / MMA_M; i++) {
#pragma unroll
        for (int j = 0; j < T::N_OWN / MMA_N; j++) {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int row = i * MMA_M + e / 2 * 8, column = j * MMA_N + e % 2;
                if (row < down && column < right) {
                    out[(size_t)row * (size_t)p.N + (size_t)column] = p.scale * sum[i][j][e];
                }
            }
        }
    }
}

template <typename T, int LENGTH, int MODEL>
static void tile_launch(const Context *ctx, const Product *p, const Packed *packed)
{
    size_t bytes = shared_for(block_product<T, LENGTH, MODEL>,
                              STAGES * T::STAGE * sizeof(uint16_t));
    dim3 tiles(blocks_for((size_t)p->M, T::M), blocks_for((size_t)p->N, T::N));
    block_product<T, LENGTH, MODEL><<<tiles, T::THREADS, bytes, stream_of(ctx)>>>(*p, *packed);
}

/* The largest tiles that are a block for nearly every multiprocessor. Without tensor cores for these
 * blocks arithmetic is nearly all, whatever the tile. */
template <int LENGTH>
static void blocks_launch(const Context *ctx, const Product *p, const Packed *packed)
{
    typedef BlockTile<128, 128, 64, 32> Wide;
    typedef BlockTile<64, 64, 32, 32> Square;
    typedef BlockTile<32, 16, 16, 8> Small;
    double outputs = 1.0 * p->M * p->N / ctx->multiprocessors;
    if (mma_length(ctx) != LENGTH) {
        tile_launch<Small, LENGTH, 1>(ctx, p, packed);
    } else if (8 * outputs >= 7 * Wide::M * Wide::N) {
        tile_launch<Wide, LENGTH, 0>(ctx, p, packed);
    } else if (8 * outputs >= 7 * Square::M * Square::N) {
        tile_launch<Square, LENGTH, 0>(ctx, p, packed);
    } else {
        tile_launch<Small, LENGTH, 0>(ctx, p, packed);
    }
}

#endif
