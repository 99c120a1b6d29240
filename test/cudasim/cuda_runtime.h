/* The part of CUDA that this project uses, for the CPU: test/cudasim/cudasim.cc runs a kernel's
 * threads as fibers. kernels/x.cu is compiled against this header instead of CUDA's after
 * cudasim.sed has rewritten what is no C++ (launches, shared memory). Names and meaning are CUDA's
 * (CUDA C++ Programming Guide); what a kernel may not do ends the program with 70 and a line that
 * says where. */
#ifndef CUDASIM_CUDA_RUNTIME_H
#define CUDASIM_CUDA_RUNTIME_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) int2 {
    int x, y;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) double2 {
    double x, y;
};
static inline float2 make_float2(float x, float y)
{
    return {x, y};
}
static inline float4 make_float4(float x, float y, float z, float w)
{
    return {x, y, z, w};
}
static inline int2 make_int2(int x, int y)
{
    return {x, y};
}
static inline int4 make_int4(int x, int y, int z, int w)
{
    return {x, y, z, w};
}
static inline uint2 make_uint2(unsigned x, unsigned y)
{
    return {x, y};
}
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w)
{
    return {x, y, z, w};
}
static inline double2 make_double2(double x, double y)
{
    return {x, y};
}

/* --- the running thread --- */

/* What a kernel sees of it; cudasim.cc has the rest behind it. */
struct CudasimThread {
    uint3 index;
    int lane;
};

/* A place in a kernel, for messages. */
#define CUDASIM_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()

enum CudasimWarpOp { CUDASIM_SYNC, CUDASIM_SHUFFLE, CUDASIM_BALLOT };

extern "C" {
extern CudasimThread *cudasim_thread;
extern uint3 cudasim_block;
extern dim3 cudasim_block_size, cudasim_grid_size;
extern int cudasim_capability;       /* of the device, 90 for 9.0 */
extern unsigned cudasim_block_count; /* blocks that were started so far: names the running one */

void cudasim_barrier(const char *file, int line);
/* Every lane of the mask comes with bits. SHUFFLE: the bits of lane `source`; BALLOT: which lanes
 * have bits that are not 0. */
uint64_t cudasim_warp(CudasimWarpOp op, uint64_t bits, int source, unsigned mask, const char *file,
                      int line);
void *cudasim_dynamic_shared(void);
void cudasim_fill(unsigned *block, void *shared, size_t bytes); /* once a block */
}

#define threadIdx cudasim_thread->index
#define blockIdx  cudasim_block
#define blockDim  cudasim_block_size
#define gridDim   cudasim_grid_size
static const int warpSize = 32;

static inline void __syncthreads(CUDASIM_PLACE)
{
    cudasim_barrier(file, line);
}

static inline void __syncwarp(unsigned mask = 0xFFFFFFFFu, CUDASIM_PLACE)
{
    (void)cudasim_warp(CUDASIM_SYNC, 0, 0, mask, file, line);
}

template <class T>
static inline T cudasim_shuffle(unsigned mask, T value, int source, const char *file, int line)
{
    static_assert(sizeof value <= sizeof(uint64_t), "a shuffle moves 4 or 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = cudasim_warp(CUDASIM_SHUFFLE, bits, source, mask, file, line);
    memcpy(&value, &bits, sizeof value);
    return value;
}

template <class T>
static inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, CUDASIM_PLACE)
{
    int first = cudasim_thread->lane / width * width;
    return cudasim_shuffle(mask, value, first + (source & (width - 1)), file, line);
}

template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, CUDASIM_PLACE)
{
    int lane = cudasim_thread->lane, source = lane ^ bits;
    return cudasim_shuffle(mask, value, source / width > lane / width ? lane : source, file, line);
}

template <class T>
static inline T __shfl_up_sync(unsigned mask, T value, int delta, int width = 32, CUDASIM_PLACE)
{
    int lane = cudasim_thread->lane;
    return cudasim_shuffle(mask, value, lane % width < delta ? lane : lane - delta, file, line);
}

template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, int delta, int width = 32, CUDASIM_PLACE)
{
    int lane = cudasim_thread->lane;
    return cudasim_shuffle(mask, value, lane % width + delta < width ? lane + delta : lane, file,
                           line);
}

static inline unsigned __ballot_sync(unsigned mask, int predicate, CUDASIM_PLACE)
{
    return (unsigned)cudasim_warp(CUDASIM_BALLOT, predicate != 0, 0, mask, file, line);
}

static inline int __any_sync(unsigned mask, int predicate, CUDASIM_PLACE)
{
    return cudasim_warp(CUDASIM_BALLOT, predicate != 0, 0, mask, file, line) != 0;
}

static inline int __all_sync(unsigned mask, int predicate, CUDASIM_PLACE)
{
    return cudasim_warp(CUDASIM_BALLOT, predicate == 0, 0, mask, file, line) == 0;
}

/* Threads run one at a time: a plain addition, in whatever order they come; no race. */
template <class T> __attribute__((no_sanitize("thread"))) static inline T atomicAdd(T *at, T value)
{
    T old = *at;
    *at = old + value;
    return old;
}

static inline unsigned __float_as_uint(float value)
{
    unsigned bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float __uint_as_float(unsigned bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

template <class T> static inline T __ldg(const T *at)
{
    return *at;
}

/* glibc has a name of its own like this one's */
#define __expf(x) expf(x)

static inline int min(int a, int b)
{
    return a < b ? a : b;
}
static inline int max(int a, int b)
{
    return a > b ? a : b;
}

/* Static shared memory, `__shared__ T name;` in a kernel: NaN bytes until the block writes. */
template <class T> struct CudasimShared {
    unsigned block; /* for which it was filled */
    alignas(16) T value;
    T &enter()
    {
        cudasim_fill(&block, &value, sizeof value);
        return value;
    }
};

/* --- the host's side --- */

typedef enum cudaError {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorStubLibrary = 34,
    cudaErrorInsufficientDriver = 35,
    cudaErrorInvalidDeviceFunction = 98,
    cudaErrorNoDevice = 100,
    cudaErrorNoKernelImageForDevice = 209,
    cudaErrorIllegalAddress = 700,
    cudaErrorLaunchOutOfResources = 701,
    cudaErrorLaunchFailure = 719,
} cudaError_t;
typedef struct CUstream_st *cudaStream_t;
typedef struct CUevent_st *cudaEvent_t;
enum cudaMemcpyKind {
    cudaMemcpyHostToHost,
    cudaMemcpyHostToDevice,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice
};
enum { cudaEventDisableTiming = 2 };
enum cudaDeviceAttr {
    cudaDevAttrMultiProcessorCount = 16,
    cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem;
    int major, minor;
};
struct cudaFuncAttributes {
    int maxThreadsPerBlock;
};

/* Names of C++: CUDA's own runtime, with the names of C, may be in the same program. */
cudaError_t cudaGetLastError(void);
const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device);
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device);
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, const void *kernel);
cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value);
cudaError_t cudaStreamCreate(cudaStream_t *stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaMalloc(void **memory, size_t bytes);
cudaError_t cudaFree(void *memory);
cudaError_t cudaMallocManaged(void **memory, size_t bytes);
cudaError_t cudaMallocHost(void **memory, size_t bytes);
cudaError_t cudaMemGetInfo(size_t *room, size_t *all);
cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);

/* Puts a launch in the stream's queue: `call` is run with a copy of `launch` for each thread. */
void cudasim_launch(const char *name, dim3 grid, dim3 block, size_t shared, const void *kernel,
                    void (*call)(const void *launch), const void *launch, size_t launch_bytes);

/* kernel<<<grid, block, shared, stream>>>(arguments) is cudasim_bind("kernel", kernel, grid, block,
 * shared, stream)(arguments). */
template <class... Parameters> struct CudasimLaunch {
    const char *name;
    void (*kernel)(Parameters...);
    dim3 grid, block;
    size_t shared;
    void operator()(Parameters... arguments) const
    {
        auto call = [kernel = kernel, arguments...] { kernel(arguments...); };
        static_assert(__is_trivially_copyable(decltype(call)), "parameters are plain values");
        cudasim_launch(
            name, grid, block, shared, (const void *)kernel,
            [](const void *launch) { (*(const decltype(call) *)launch)(); }, &call, sizeof call);
    }
};

template <class... Parameters>
static inline CudasimLaunch<Parameters...>
cudasim_bind(const char *name, void (*kernel)(Parameters...), dim3 grid, dim3 block,
             size_t shared = 0, cudaStream_t stream = NULL)
{
    (void)stream;
    return {name, kernel, grid, block, shared};
}

#endif
