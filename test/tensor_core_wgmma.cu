/* A product by wgmma, the other instruction of compute capability 9.0's tensor cores: does it sum as
 * mma.sync does there, as block16? A warpgroup a tile of 64 x 8 or 64 x 64. For sm_90a alone; no
 * emulator has it, and no kernel uses it: this file was compiled, and has run on no device yet.
 *
 * Both operands are in shared memory, K-major and without swizzle (PTX ISA, "Asynchronous warpgroup
 * level matrix shared memory layout"): a core matrix is 8 rows of 8 values, 128 bytes in a row. Of the
 * 16 k of an instruction the two core matrices of 8 rows lie side by side, and behind them those of
 * the next 8 rows. Lane l of warp w has the outputs of mma.cuh's d in rows 16 w on, and those of
 * columns 8 j on in d[4 j] to d[4 j + 3]. */
#include "cuda.cuh"
#include "tensor_core.h"

enum { ROWS = 64, K_STEP = 16, CORE = 8 * 8, THREADS = 128 };

/* Where element [row][k] of an operand is. */
static __device__ int place(int row, int k)
{
    return (row / 8 * 2 + k / 8) * CORE + row % 8 * 8 + k % 8;
}

/* The descriptor of an operand: address, bytes from a core matrix to the next one along k (leading
 * dimension) and along the rows (stride), each without its last 4 bits, at bits 0, 16 and 32. */
static __device__ uint64_t descriptor(const uint16_t *x)
{
    const uint64_t along_k = CORE * sizeof *x, along_rows = 2 * along_k;
    uint64_t address = (uint64_t)__cvta_generic_to_shared(x);
    return (address & 0x3FFFFu) >> 4 | along_k >> 4 << 16 | along_rows >> 4 << 32;
}

#define FOUR_OF(d, i) "+f"(d[i]), "+f"(d[(i) + 1]), "+f"(d[(i) + 2]), "+f"(d[(i) + 3])

/* d += a b; the sums are added to, nothing is negated, both operands are K-major. */
static __device__ void wgmma(float (&d)[4], uint64_t a, uint64_t b)
{
    asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, 1, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 "
                 "{%0, %1, %2, %3}, %4, %5, add, 1, 1, 0, 0;\n}"
                 : FOUR_OF(d, 0)
                 : "l"(a), "l"(b));
}

static __device__ void wgmma(float (&d)[32], uint64_t a, uint64_t b)
{
    asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, 1, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
                 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
                 "%32, %33, add, 1, 1, 0, 0;\n}"
                 : FOUR_OF(d, 0), FOUR_OF(d, 4), FOUR_OF(d, 8), FOUR_OF(d, 12), FOUR_OF(d, 16),
                   FOUR_OF(d, 20), FOUR_OF(d, 24), FOUR_OF(d, 28)
                 : "l"(a), "l"(b));
}

template <int COLUMNS>
static __global__ void __launch_bounds__(THREADS)
    wgmma_product(float *c, const uint16_t *a, const uint16_t *b, size_t N, size_t K)
{
    __shared__ __align__(128) uint16_t a_tile[ROWS * K_STEP];
    __shared__ __align__(128) uint16_t b_tile[COLUMNS * K_STEP];
    size_t m = (size_t)blockIdx.x * ROWS, n = (size_t)blockIdx.y * COLUMNS;
    int lane = (int)threadIdx.x % 32;
    float *out = c + (m + threadIdx.x / 32 * 16 + (size_t)(lane / 4)) * N + n +
                 (size_t)(lane % 4 * 2);
    float d[COLUMNS / 2];
#pragma unroll
    for (int i = 0; i < COLUMNS / 2; i++) {
        d[i] = out[(size_t)(i % 4 / 2 * 8) * N + (size_t)(i / 4 * 8 + i % 2)];
    }
    for (size_t k = 0; k < K; k += K_STEP) {
        __syncthreads(); /* the tiles are no longer read */
        for (int i = (int)threadIdx.x; i < ROWS * K_STEP; i += THREADS) {
            a_tile[place(i / K_STEP, i % K_STEP)] =
                a[(m + (size_t)(i / K_STEP)) * K + k + (size_t)(i % K_STEP)];
        }
        for (int i = (int)threadIdx.x; i < COLUMNS * K_STEP; i += THREADS) {
            b_tile[place(i / K_STEP, i % K_STEP)] =
                b[(n + (size_t)(i / K_STEP)) * K + k + (size_t)(i % K_STEP)];
        }
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); /* for wgmma to see them */
        __syncthreads();
        asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
        wgmma(d, descriptor(a_tile), descriptor(b_tile));
        asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;" ::
                         : "memory");
    }
#pragma unroll
    for (int i = 0; i < COLUMNS / 2; i++) {
        out[(size_t)(i % 4 / 2 * 8) * N + (size_t)(i / 4 * 8 + i % 2)] = d[i];
    }
}

int KERNEL(tensor_core_wgmma)(const Context *ctx, int columns, float *c, const uint16_t *a,
                              const uint16_t *b, size_t M, size_t N, size_t K)
{
    dim3 grid((unsigned)(M / ROWS), (unsigned)(N / (size_t)columns));
    if (columns == 64) {
        wgmma_product<64><<<grid, THREADS, 0, stream_of(ctx)>>>(c, a, b, N, K);
    } else {
        wgmma_product<8><<<grid, THREADS, 0, stream_of(ctx)>>>(c, a, b, N, K);
    }
    return cudaGetLastError() == cudaSuccess;
}
