/* CUDA twins of hash.c. Sums of integers have no order: what blocks leave in scratch a second
 * launch of one block adds up, without atomics. */
#include "cuda.cuh"
#include "hash.h"

enum { THREADS = 256, WARPS = THREADS / LANES };

/* A warp takes blocks of words, a thread one lane of each. Reads 4 bytes a word and is bound by
 * them: 0.5 ms for 355 M words on an H100 (computed). */
static __global__ void __launch_bounds__(THREADS)
    hash_blocks(uint64_t *partial, const uint32_t *words, const int *list, size_t of_row,
                size_t blocks, size_t columns, size_t stride, size_t place)
{
    __shared__ uint64_t part[THREADS];
    size_t lane = threadIdx.x % LANES;
    uint64_t total = 0;
    for (size_t i = (size_t)blockIdx.x * WARPS + threadIdx.x / LANES; i < blocks;
         i += (size_t)gridDim.x * WARPS) {
        size_t row = i / of_row, first = i % of_row * HASH_BLOCK, left = columns - first,
               count = left < HASH_BLOCK ? left : (size_t)HASH_BLOCK;
        row = list ? (size_t)list[row] : row;
        const uint32_t *x = words + row * stride + first;
        uint64_t sum = 0;
        for (size_t at = lane; at < count; at += LANES) {
            sum += hash_key(at / LANES) * x[at];
        }
        if (lane < count) {
            total += hash_mix((place + row * of_row + i % of_row) * LANES + lane, sum);
        }
    }
    part[threadIdx.x] = total;
    block_sum<uint64_t, THREADS>(part);
    if (threadIdx.x == 0) {
        partial[blockIdx.x] = part[0];
    }
}

/* sums[i] += the partial[i + count k] of all k; a thread owns i. */
static __global__ void __launch_bounds__(THREADS)
    add_partial(uint64_t *sums, const uint64_t *partial, unsigned count, unsigned times)
{
    if (threadIdx.x < count) {
        uint64_t sum = sums[threadIdx.x];
        for (unsigned k = 0; k < times; k++) {
            sum += partial[threadIdx.x + k * count];
        }
        sums[threadIdx.x] = sum;
    }
}

void KERNEL(hash)(Context *ctx, uint64_t *sum, const void *data, const int *list, size_t rows,
                  size_t columns, size_t stride, size_t place)
{
    size_t of_row = (columns + HASH_BLOCK - 1) / HASH_BLOCK, blocks = rows * of_row;
    unsigned grid = blocks_for(blocks, WARPS);
    grid = grid < HASH_PARTS ? grid : (unsigned)HASH_PARTS;
    uint64_t *partial = (uint64_t *)(void *)ctx->scratch;
    hash_blocks<<<grid, THREADS, 0, stream_of(ctx)>>>(partial, (const uint32_t *)data, list, of_row,
                                                      blocks, columns, stride, place);
    add_partial<<<1, THREADS, 0, stream_of(ctx)>>>(sum, partial, 1u, grid);
}

/* A thread owns one sum: of each block of values it takes the one that is turned to it. Bound by 4
 * bytes a value. */
static __global__ void __launch_bounds__(SKETCH_SUMS)
    sketch_blocks(uint64_t *partial, const float *x, size_t n)
{
    uint64_t sum = 0;
    size_t blocks = (n + SKETCH_SUMS - 1) / SKETCH_SUMS;
    for (size_t b = blockIdx.x; b < blocks; b += gridDim.x) {
        size_t l = (threadIdx.x + SKETCH_SUMS - sketch_turn(b)) % SKETCH_SUMS;
        if (b * SKETCH_SUMS + l < n) {
            uint64_t value = sketch_value(x[b * SKETCH_SUMS + l]),
                     minus = sketch_signs(b * (SKETCH_SUMS / 64) + l / 64) >> l % 64 & 1;
            sum += minus ? 0 - value : value;
        }
    }
    partial[blockIdx.x * SKETCH_SUMS + threadIdx.x] = sum;
}

void KERNEL(sketch)(Context *ctx, uint64_t *sums, const float *x, size_t n)
{
    unsigned grid = blocks_for(n, SKETCH_SUMS);
    grid = grid < SKETCH_PARTS ? grid : (unsigned)SKETCH_PARTS;
    uint64_t *partial = (uint64_t *)(void *)ctx->scratch;
    sketch_blocks<<<grid, SKETCH_SUMS, 0, stream_of(ctx)>>>(partial, x, n);
    add_partial<<<1, THREADS, 0, stream_of(ctx)>>>(sums, partial, (unsigned)SKETCH_SUMS, grid);
}
