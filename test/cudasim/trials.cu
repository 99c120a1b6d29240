/* Right kernels that use all that the emulator has, and wrong ones, each with one fault. */
#include "trials.h"

#include <cuda_pipeline.h>
#include <cuda_runtime.h>

static const unsigned ALL = 0xFFFFFFFFu;

/* --- right --- */

/* Grids and blocks of three dimensions: every thread has its own place. */
static __global__ void places(float *out, const float *in)
{
    unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    unsigned i = block * blockDim.x * blockDim.y * blockDim.z + thread;
    out[i] = in[i];
}

static void run_places(float *out, const float *in)
{
    places<<<dim3(2, 4, 2), dim3(4, 8, 2)>>>(out, in);
}

/* Shared memory of both kinds: reversed twice. */
template <int N> static __global__ void reversed(float *out, const float *in)
{
    extern __shared__ float dynamic[];
    __shared__ float fixed[2][N / 2];
    int t = (int)threadIdx.x, other = N - 1 - t;
    dynamic[t] = in[t];
    __syncthreads();
    fixed[t * 2 / N][t % (N / 2)] = dynamic[other];
    __syncthreads();
    out[t] = fixed[other * 2 / N][other % (N / 2)];
}

static void run_reversed(float *out, const float *in)
{
    (void)cudaFuncSetAttribute((const void *)reversed<TRIAL_SIZE>,
                               cudaFuncAttributeMaxDynamicSharedMemorySize, 100 * 1024);
    reversed<TRIAL_SIZE><<<1, TRIAL_SIZE, 100 * 1024>>>(out, in);
}

/* All exchanges of a warp, of 40 threads: the second warp has 8 lanes. */
static __global__ void exchanges(float *out, const float *in)
{
    int t = (int)threadIdx.x, lane = t % 32, lanes = t < 32 ? 32 : 8;
    unsigned all = t < 32 ? ALL : 0xFFu;
    float x = in[t];
    float turned = __shfl_sync(all, x, (lane + 1) % lanes);
    turned = __shfl_sync(all, turned, (lane + lanes - 1) % lanes);
    float swapped = __shfl_xor_sync(all, __shfl_xor_sync(all, x, 5, 8), 5, 8);
    float up = __shfl_up_sync(all, x, 3, 4), down = __shfl_down_sync(all, x, 3, 4);
    int right = turned == x && swapped == x;
    right &= up == (lane % 4 == 3 ? x - 3 : x) && down == (lane % 4 == 0 ? x + 3 : x);
    right &= __ballot_sync(all, lane % 2) == (all & 0xAAAAAAAAu);
    right &= __any_sync(all, lane == 7) && !__any_sync(all, lane == 99);
    right &= __all_sync(all, lane < 32) && !__all_sync(all, lane != 7);
    if (lane < 4) { /* a part of the warp */
        right &= __shfl_xor_sync(0xFu, x, 1) == (lane % 2 ? x - 1 : x + 1);
    }
    __syncwarp(all);
    out[t] = right ? x : -1.0f;
}

static void run_exchanges(float *out, const float *in)
{
    exchanges<<<1, 40>>>(out, in);
    places<<<1, TRIAL_SIZE - 40>>>(out + 40, in + 40);
}

/* cp.async in two stages, with zeros behind the end. */
static __global__ void pipeline(float *out, const float *in)
{
    enum { STEPS = 16, WIDTH = 64 };
    __shared__ __align__(16) float stage[2][WIDTH];
    int t = (int)threadIdx.x;
    for (int step = 0; step <= STEPS; step++) {
        if (step < STEPS) {
            __pipeline_memcpy_async(&stage[step % 2][t * 4], in + step * WIDTH + t * 4, 16,
                                    t == WIDTH / 4 - 1 ? 4 : 0);
        }
        __pipeline_commit();
        if (step > 0) {
            __pipeline_wait_prior(1);
            __syncthreads();
            int at = (step - 1) * WIDTH;
            for (int i = t; i < WIDTH; i += WIDTH / 4) {
                float x = stage[(step - 1) % 2][WIDTH - 1 - i];
                out[at + WIDTH - 1 - i] = i == 0 && x == 0.0f ? in[at + WIDTH - 1] : x;
            }
            __syncthreads();
        }
    }
}

static void run_pipeline(float *out, const float *in)
{
    pipeline<<<1, 16>>>(out, in);
}

static __global__ void added(float *out, const float *in)
{
    __shared__ int count;
    if (threadIdx.x == 0) {
        count = 0;
    }
    __syncthreads();
    atomicAdd(&count, 1);
    __syncthreads();
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    out[i] = count == (int)blockDim.x ? in[i] : -1.0f;
}

static void run_added(float *out, const float *in)
{
    added<<<4, TRIAL_SIZE / 4>>>(out, in);
}

/* --- wrong: other values --- */

static __global__ void no_barrier(float *out, const float *in)
{
    __shared__ float x[TRIAL_SIZE];
    int t = (int)threadIdx.x;
    x[TRIAL_SIZE - 1 - t] = in[TRIAL_SIZE - 1 - t];
    out[t] = x[t];
}

static __global__ void overwritten(float *out, const float *in)
{
    __shared__ float x[TRIAL_SIZE];
    int t = (int)threadIdx.x;
    x[TRIAL_SIZE - 1 - t] = in[TRIAL_SIZE - 1 - t];
    __syncthreads();
    float mine = x[t];
    x[TRIAL_SIZE - 1 - t] = 0.0f; /* who owns it may not have read it */
    __syncthreads();
    out[t] = mine;
}

static __global__ void no_warp_barrier(float *out, const float *in)
{
    __shared__ float x[TRIAL_SIZE];
    int t = (int)threadIdx.x, other = t ^ 31;
    x[other] = in[other];
    out[t] = x[t];
}

static __global__ void weak_wait(float *out, const float *in)
{
    __shared__ float x[2][TRIAL_SIZE / 2];
    int t = (int)threadIdx.x;
    for (int half = 0; half < 2; half++) {
        __pipeline_memcpy_async(&x[half][t], in + half * TRIAL_SIZE / 2 + t, 4);
        __pipeline_commit();
    }
    __pipeline_wait_prior(1);
    out[t] = x[0][t];
    out[TRIAL_SIZE / 2 + t] = x[1][t];
}

static __global__ void no_commit(float *out, const float *in)
{
    __shared__ float x[TRIAL_SIZE];
    int t = (int)threadIdx.x;
    __pipeline_memcpy_async(&x[t], in + t, 4);
    __pipeline_wait_prior(0);
    out[t] = x[t];
}

/* The first block writes what the second one reads. */
static __global__ void unwritten(float *out, const float *in)
{
    __shared__ float x[TRIAL_SIZE / 2];
    int t = (int)threadIdx.x;
    if (blockIdx.x == 0) {
        x[t] = in[TRIAL_SIZE / 2 + t];
        out[t] = in[t];
    } else {
        out[TRIAL_SIZE / 2 + t] = x[t];
    }
}

static __global__ void unwritten_dynamic(float *out, const float *in)
{
    extern __shared__ float x[];
    int t = (int)threadIdx.x;
    if (blockIdx.x == 0) {
        x[t] = in[TRIAL_SIZE / 2 + t];
        out[t] = in[t];
    } else {
        out[TRIAL_SIZE / 2 + t] = x[t];
    }
}

/* --- wrong: they end the program --- */

static __global__ void lane_gone(float *out, const float *in)
{
    if (threadIdx.x == 5) {
        return;
    }
    out[threadIdx.x] = __shfl_xor_sync(ALL, in[threadIdx.x], 1);
}

static __global__ void lane_elsewhere(float *out, const float *in)
{
    if (threadIdx.x < 16) {
        out[threadIdx.x] = __shfl_sync(0xFFFFu, in[threadIdx.x], 20);
    }
}

static __global__ void lane_unnamed(float *out, const float *in)
{
    out[threadIdx.x] = __shfl_sync(0xFFFFu, in[threadIdx.x], 0);
}

static __global__ void lanes_apart(float *out, const float *in)
{
    if (threadIdx.x < 16) {
        out[threadIdx.x] = __shfl_sync(ALL, in[threadIdx.x], 0);
    } else {
        out[threadIdx.x] = __shfl_sync(ALL, in[threadIdx.x], 1);
    }
}

static __global__ void barriers_apart(float *out, const float *in)
{
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    out[threadIdx.x] = in[threadIdx.x];
}

static __global__ void barrier_of_some(float *out, const float *in)
{
    if (threadIdx.x < 32) {
        return;
    }
    __syncthreads();
    out[threadIdx.x] = in[threadIdx.x];
}

static __global__ void deadlock(float *out, const float *in)
{
    if (threadIdx.x == 0) {
        __syncwarp();
    }
    __syncthreads();
    out[threadIdx.x] = in[threadIdx.x];
}

static __global__ void copy_unaligned(float *out, const float *in)
{
    __shared__ __align__(16) float x[8];
    __pipeline_memcpy_async(x, in + 1, 16);
    __pipeline_commit();
    __pipeline_wait_prior(0);
    out[0] = x[0];
}

static __global__ void copy_odd(float *out, const float *in)
{
    __shared__ __align__(16) float x[8];
    __pipeline_memcpy_async(x, in, 12);
    __pipeline_commit();
    __pipeline_wait_prior(0);
    out[0] = x[0];
}

static __global__ void read_unaligned(float *out, const float *in)
{
    const float4 *x = (const float4 *)(const void *)(in + threadIdx.x);
    out[threadIdx.x] = x->y;
}

#define ONE_BLOCK(kernel, threads)                                                                 \
    static void run_##kernel(float *out, const float *in)                                          \
    {                                                                                              \
        kernel<<<1, threads>>>(out, in);                                                           \
    }
ONE_BLOCK(no_barrier, TRIAL_SIZE)
ONE_BLOCK(overwritten, TRIAL_SIZE)
ONE_BLOCK(no_warp_barrier, TRIAL_SIZE)
ONE_BLOCK(weak_wait, TRIAL_SIZE / 2)
ONE_BLOCK(no_commit, TRIAL_SIZE)
ONE_BLOCK(lane_elsewhere, 32)
ONE_BLOCK(lane_unnamed, 32)
ONE_BLOCK(lanes_apart, 32)
ONE_BLOCK(barriers_apart, 64)
ONE_BLOCK(barrier_of_some, 64)
ONE_BLOCK(deadlock, 64)
ONE_BLOCK(copy_unaligned, 1)
ONE_BLOCK(copy_odd, 1)
ONE_BLOCK(read_unaligned, 32)

static void run_lane_gone(float *out, const float *in)
{
    lane_gone<<<1, 32>>>(out, in);
}

static void run_unwritten(float *out, const float *in)
{
    unwritten<<<2, TRIAL_SIZE / 2>>>(out, in);
}

static void run_unwritten_dynamic(float *out, const float *in)
{
    unwritten_dynamic<<<2, TRIAL_SIZE / 2, TRIAL_SIZE / 2 * sizeof(float)>>>(out, in);
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__
#endif
#endif
#if defined(__SANITIZE_THREAD__)
const int trials_see_races = 1;
#else
const int trials_see_races = 0;
#endif

#define TRIAL(kernel, comes, says)                                                                 \
    {                                                                                              \
#kernel, run_##kernel, comes, says                                                         \
    }

const Trial trials[] = {
    TRIAL(places, TRIAL_RIGHT, NULL),
    TRIAL(reversed, TRIAL_RIGHT, NULL),
    TRIAL(exchanges, TRIAL_RIGHT, NULL),
    TRIAL(pipeline, TRIAL_RIGHT, NULL),
    TRIAL(added, TRIAL_RIGHT, NULL),
    TRIAL(no_barrier, TRIAL_RACE, NULL),
    TRIAL(overwritten, TRIAL_RACE, NULL),
    TRIAL(no_warp_barrier, TRIAL_RACE, NULL),
    TRIAL(weak_wait, TRIAL_WRONG, NULL),
    TRIAL(no_commit, TRIAL_WRONG, NULL),
    TRIAL(unwritten, TRIAL_WRONG, NULL),
    TRIAL(unwritten_dynamic, TRIAL_WRONG, NULL),
    TRIAL(lane_gone, TRIAL_ENDS, "kernel lane_gone: deadlock: lanes of the mask never come"),
    TRIAL(lane_elsewhere, TRIAL_ENDS, "shuffle from a lane that takes no part"),
    TRIAL(lane_unnamed, TRIAL_ENDS, "the mask lacks the lane itself"),
    TRIAL(lanes_apart, TRIAL_ENDS, "lanes of the mask are at different operations"),
    TRIAL(barriers_apart, TRIAL_ENDS, "divergent barrier"),
    TRIAL(barrier_of_some, TRIAL_ENDS, "has finished without this __syncthreads"),
    TRIAL(deadlock, TRIAL_ENDS, "deadlock: lanes of the mask never come"),
    TRIAL(copy_unaligned, TRIAL_ENDS, "cp.async of an address"),
    TRIAL(copy_odd, TRIAL_ENDS, "cp.async of a size"),
    TRIAL(read_unaligned, TRIAL_ENDS, "not aligned"),
    {NULL, NULL, TRIAL_RIGHT, NULL},
};

/* --- launches that CUDA refuses: how, as an error of CUDA --- */

extern "C" int trial_launch(int grid, int z, int threads, int shared, int allow)
{
    if (allow && cudaFuncSetAttribute((const void *)places,
                                      cudaFuncAttributeMaxDynamicSharedMemorySize, allow)) {
        return (int)cudaGetLastError();
    }
    places<<<dim3((unsigned)grid, 1, (unsigned)z), (unsigned)threads, (size_t)shared>>>(NULL, NULL);
    return (int)cudaGetLastError();
}

extern "C" float trial_late(void)
{
    float *pinned = NULL, *memory = NULL, value = 0.0f;
    (void)cudaMallocHost((void **)&pinned, sizeof *pinned);
    (void)cudaMalloc((void **)&memory, sizeof *memory);
    *pinned = 1.0f;
    (void)cudaMemcpyAsync(memory, pinned, sizeof *pinned, cudaMemcpyHostToDevice, NULL);
    *pinned = 2.0f;
    (void)cudaMemcpyAsync(&value, memory, sizeof value, cudaMemcpyDeviceToHost, NULL);
    (void)cudaFree(memory);
    return value;
}
