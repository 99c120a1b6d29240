/* What the kernels of CUDA share. A .cu is the twin of the .c of its name, bit for bit: the same
 * chains, lanes and trees (ops.h), whatever the grid. It uses +, -, *, /, sqrtf, fmaf and scalar.h
 * alone; no atomics on floats, no fast functions. test/cudasim runs the same file on the CPU. */
#ifndef CUDA_CUH
#define CUDA_CUH

#include "build.h"

#include <cuda_pipeline.h>
#include <cuda_runtime.h>

/* Mask of a warp whose lanes all take part. */
static const unsigned WARP_ALL = 0xFFFFFFFFu;

/* ops.h's tree of 32 lanes, its sum in every lane: what lanes_sum of rows.h gives. */
static __device__ __forceinline__ float warp_sum(float x)
{
    for (int half = LANES / 2; half > 0; half /= 2) {
        x += __shfl_xor_sync(WARP_ALL, x, half);
    }
    return x;
}

/* The largest of 32 lanes, in every lane; of zeros either. */
static __device__ __forceinline__ float warp_max(float x)
{
    for (int half = LANES / 2; half > 0; half /= 2) {
        float other = __shfl_xor_sync(WARP_ALL, x, half);
        x = other > x ? other : x;
    }
    return x;
}

/* Of N values in shared memory, one a thread of a block of N, the sum at the first: values l and l +
 * N / 2 are added, then l and l + N / 4, down to 1 and 0. The first thread may read it at once. */
template <typename T, unsigned N> static __device__ __forceinline__ void block_sum(T *value)
{
    for (unsigned half = N / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) {
            value[threadIdx.x] += value[threadIdx.x + half];
        }
    }
}

/* x, but the compiler does not know: what depends on it is computed where it is used, and takes no
 * registers through the loops in between. */
static __device__ __forceinline__ int opaque(int x)
{
    asm volatile("" : "+r"(x));
    return x;
}

/* Element i of a stored weight, widened if it is bf16. */
static __device__ __forceinline__ float weight_at(Weight x, size_t i)
{
    return x.f32 ? x.f32[i] : bits_to_float((uint32_t)x.bf16[i] << 16);
}

/* For launches: kernel<<<blocks_for(n, THREADS), THREADS, 0, stream_of(ctx)>>>(...). The grid of at
 * least one block that has a place for each of n. */
static inline unsigned blocks_for(size_t n, size_t per_block)
{
    size_t blocks = (n + per_block - 1) / per_block;
    return (unsigned)(blocks ? blocks : 1);
}

static inline cudaStream_t stream_of(const Context *ctx)
{
    return (cudaStream_t)ctx->stream;
}

/* Bytes of dynamic shared memory, of which the kernel may then have more than 48 KB. A refusal is
 * seen at the launch. */
template <typename Kernel> static size_t shared_for(Kernel *kernel, size_t bytes)
{
    if (bytes > 48 * 1024) {
        (void)cudaFuncSetAttribute((const void *)kernel,
                                   cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
    }
    return bytes;
}

#endif
