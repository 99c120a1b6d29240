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

/* An element of a stored weight: bf16 widened. */
static __device__ __forceinline__ float widened(float x)
{
    return x;
}

static __device__ __forceinline__ float widened(uint16_t x)
{
    return bits_to_float((uint32_t)x << 16);
}

static __device__ __forceinline__ float weight_at(Weight x, size_t i)
{
    return x.f32 ? x.f32[i] : widened(x.bf16[i]);
}

/* --- four neighbours at a time --- */

enum { FOUR = 4 };

/* Whether four elements may be read and written at once from x on. */
template <typename Stored> static __host__ __device__ __forceinline__ int aligned(const Stored *x)
{
    return (uintptr_t)x % (FOUR * sizeof(Stored)) == 0;
}

/* Of all rows behind x: from every fourth element on. */
template <typename Stored>
static __host__ __device__ __forceinline__ int rows_aligned(const Stored *x, int row)
{
    return aligned(x) && row % FOUR == 0;
}

static inline int weight_rows_aligned(Weight x, int row)
{
    return rows_aligned(x.f32, row) && rows_aligned(x.bf16, row); /* NULL is aligned */
}

/* x = the four from here on, which must be aligned: an access of 16 bytes, of bf16 one of 8. */
static __device__ __forceinline__ void four_read(float x[FOUR], const float *from)
{
    float4 four = *(const float4 *)(const void *)from;
    x[0] = four.x;
    x[1] = four.y;
    x[2] = four.z;
    x[3] = four.w;
}

static __device__ __forceinline__ void four_read(float x[FOUR], const uint16_t *from)
{
    uint2 four = *(const uint2 *)(const void *)from;
    x[0] = bits_to_float(four.x << 16);
    x[1] = bits_to_float(four.x & 0xFFFF0000u);
    x[2] = bits_to_float(four.y << 16);
    x[3] = bits_to_float(four.y & 0xFFFF0000u);
}

/* The same where only `count` of the four are there; the others are 0. wide: they are aligned. */
template <typename Stored>
static __device__ __forceinline__ void four_get(float x[FOUR], const Stored *from, int count,
                                                int wide)
{
    if (wide && count >= FOUR) {
        four_read(x, from);
        return;
    }
#pragma unroll
    for (int i = 0; i < FOUR; i++) {
        x[i] = i < count ? widened(from[i]) : 0.0f;
    }
}

static __device__ __forceinline__ void four_put(float *to, const float x[FOUR], int count, int wide)
{
    if (wide && count >= FOUR) {
        *(float4 *)(void *)to = make_float4(x[0], x[1], x[2], x[3]);
        return;
    }
#pragma unroll
    for (int i = 0; i < FOUR; i++) {
        if (i < count) {
            to[i] = x[i];
        }
    }
}

static __device__ __forceinline__ void weight_get(float x[FOUR], Weight weight, size_t i, int count,
                                                  int wide)
{
    if (weight.f32) {
        four_get(x, weight.f32 + i, count, wide);
    } else {
        four_get(x, weight.bf16 + i, count, wide);
    }
}

/* How many of n there are from i on, no more than four; i < n. */
static __device__ __forceinline__ int four_count(size_t i, size_t n)
{
    return n - i < FOUR ? (int)(n - i) : FOUR;
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
