/* Devices of CUDA's kind, over the part of the runtime that test/cudasim has too: device_cuda on a
 * GPU, device_sim on the emulator. There is one stream, and everything goes through it. */
#include "cuda.cuh"

#include <stdio.h>
#include <stdlib.h>
extern "C" {
#include "device.h"
}

static cudaStream_t stream;

/* The first call that failed since the last wait, and how. */
static struct {
    const char *call;
    cudaError_t error;
} failed;

static void check(const char *call, cudaError_t error)
{
    if (error != cudaSuccess && failed.error == cudaSuccess) {
        failed.call = call;
        failed.error = error;
    }
}

static int device_start(Context *ctx, Error *error)
{
    int count = 0, limit = 0, multiprocessors = 1;
    cudaError_t code = cudaGetDeviceCount(&count);
    if (code != cudaSuccess || !count) {
        return error_set(error, EXIT_UNAVAILABLE, "no CUDA device: %s", cudaGetErrorString(code));
    }
    check("cudaStreamCreate", stream ? cudaSuccess : cudaStreamCreate(&stream));
    check("cudaDeviceGetAttribute",
          cudaDeviceGetAttribute(&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
    check("cudaDeviceGetAttribute",
          cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0));
    ctx->stream = stream;
    ctx->shared_limit = (size_t)limit;
    ctx->multiprocessors = multiprocessors;
    return 0;
}

static void *device_alloc(size_t bytes)
{
    void *memory = NULL;
    cudaError_t code = cudaMalloc(&memory, bytes ? bytes : 1);
    if (code != cudaSuccess) {
        fprintf(stderr, "out of memory of the device: %zu bytes\n", bytes);
        exit(EXIT_NO_MEMORY);
    }
    check("cudaMemsetAsync", cudaMemsetAsync(memory, 0, bytes, stream));
    return memory;
}

static void device_release(void *memory, size_t bytes)
{
    (void)bytes;
    check("cudaFree", cudaFree(memory));
}

static void device_put(void *to, const void *host, size_t bytes)
{
    check("cudaMemcpyAsync", cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, stream));
}

static const void *device_view(const void *host, size_t bytes)
{
    void *copy = device_alloc(bytes);
    device_put(copy, host, bytes);
    return copy;
}

static void device_unview(const void *view, size_t bytes)
{
    device_release((void *)view, bytes);
}

static void device_get(void *host, const void *from, size_t bytes)
{
    check("cudaMemcpyAsync", cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, stream));
}

static int device_wait(Error *error)
{
    check("cudaStreamSynchronize", cudaStreamSynchronize(stream));
    if (failed.error != cudaSuccess) {
        return error_set(error, EXIT_BUG, "%s: %s", failed.call, cudaGetErrorString(failed.error));
    }
    return 0;
}

static void device_open(void) {}

static const char *device_close(void)
{
    cudaError_t code = cudaGetLastError();
    return code == cudaSuccess ? NULL : cudaGetErrorString(code);
}

#define TEXT2(x) #x
#define TEXT(x)  TEXT2(x)

extern "C" const Device KERNEL(device) = {TEXT(BUILD), device_start,  device_alloc, device_release,
                                          device_view, device_unview, device_put,   device_get,
                                          device_wait, device_open,   device_close};
