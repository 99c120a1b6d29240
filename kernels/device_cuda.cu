/* Devices of CUDA's kind, over the part of the runtime that test/cudasim has too: device_cuda on a
 * GPU, device_sim on the emulator. There is one stream, and everything goes through it in order. */
#include "cuda.cuh"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
extern "C" {
#include "device.h"
#include "peak.h"
}

#define TEXT2(x) #x
#define TEXT(x)  TEXT2(x)
#define NAME     TEXT(BUILD)

/* Pinned memory through which a put goes: the copy of a slot is behind it in the stream when the
 * next put takes the next slot. */
enum { SLOTS = 4, SLOT_BYTES = 4 << 20 };

static struct {
    cudaStream_t stream;
    struct {
        void *memory;
        cudaEvent_t copied;
    } slot[SLOTS];
    int next;
    size_t held; /* bytes that were allocated and not released */
    /* The first call that failed, and how. */
    const char *call;
    cudaError_t error;
} device;

static void check(const char *call, cudaError_t error)
{
    if (error != cudaSuccess && device.error == cudaSuccess) {
        device.call = call;
        device.error = error;
    }
}

/* --- start --- */

/* Says why there is none and what to do. The runtime gives the same code for a driver that is
 * missing and one that is too old. */
static int no_device(cudaError_t code, Error *error)
{
    int driver = 0, runtime = 0;
    if (code == cudaErrorInsufficientDriver) {
        (void)cudaDriverGetVersion(&driver);
        (void)cudaRuntimeGetVersion(&runtime);
        if (!driver) {
            return error_set(error, EXIT_UNAVAILABLE,
                             "--device " NAME ": no NVIDIA driver is installed; install it, or use "
                             "--device cpu");
        }
        return error_set(error, EXIT_UNAVAILABLE,
                         "--device " NAME ": the NVIDIA driver is too old: it knows CUDA %d.%d, "
                         "this program needs %d.%d; update it, or use --device cpu",
                         driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    }
    if (code == cudaErrorStubLibrary) {
        return error_set(error, EXIT_UNAVAILABLE,
                         "--device " NAME
                         ": the libcuda.so.1 that was found is the toolkit's stub, "
                         "not a driver; take its folder out of LD_LIBRARY_PATH, or use --device "
                         "cpu");
    }
    if (code == cudaErrorNoDevice || code == cudaSuccess) {
        return error_set(error, EXIT_UNAVAILABLE,
                         "--device " NAME ": the driver finds no GPU; see nvidia-smi and "
                         "CUDA_VISIBLE_DEVICES, or use --device cpu");
    }
    return error_set(error, EXIT_UNAVAILABLE, "--device " NAME ": %s (%d); use --device cpu",
                     cudaGetErrorString(code), (int)code);
}

/* Is there machine code for the device? */
static __global__ void probe(void) {}

static int device_start(Context *ctx, char description[DEVICE_TEXT], Error *error)
{
    int count = 0, limit = 0,
        multiprocessors = 1; /* the count is not written where the call fails */
    cudaDeviceProp properties;
    cudaFuncAttributes attributes;
    cudaError_t code = cudaGetDeviceCount(&count);
    if (code != cudaSuccess || count < 1) {
        return no_device(code, error);
    }
    const char *call = "cudaGetDeviceProperties";
    code = cudaGetDeviceProperties(&properties, 0);
    if (code == cudaSuccess) {
        code = cudaFuncGetAttributes(&attributes, (const void *)probe);
        if (code == cudaErrorNoKernelImageForDevice || code == cudaErrorInvalidDeviceFunction) {
            (void)cudaGetLastError();
            return error_set(error, EXIT_UNAVAILABLE,
                             "--device " NAME ": this program has no machine code for %s (compute "
                             "capability %d.%d); build it with make GPUS=%d%d, or use --device cpu",
                             properties.name, properties.major, properties.minor, properties.major,
                             properties.minor);
        }
        call = "cudaFuncGetAttributes";
    }
    if (code == cudaSuccess) {
        call = "cudaDeviceGetAttribute";
        code = cudaDeviceGetAttribute(&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0);
    }
    if (code == cudaSuccess) {
        code = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0);
    }
    if (code == cudaSuccess && !device.stream) {
        call = "cudaStreamCreate";
        code = cudaStreamCreate(&device.stream);
    }
    /* what an earlier start left out comes now */
    for (int i = 0; i < SLOTS && code == cudaSuccess; i++) {
        if (!device.slot[i].memory) {
            call = "cudaMallocHost";
            code = cudaMallocHost(&device.slot[i].memory, SLOT_BYTES);
        }
        if (code == cudaSuccess && !device.slot[i].copied) {
            call = "cudaEventCreate";
            code = cudaEventCreateWithFlags(&device.slot[i].copied, cudaEventDisableTiming);
        }
    }
    if (code != cudaSuccess) {
        return error_set(error, EXIT_UNAVAILABLE,
                         "--device " NAME ": %s: %s (%d); is the device in use? --device cpu needs "
                         "none",
                         call, cudaGetErrorString(code), (int)code);
    }
    ctx->stream = device.stream;
    ctx->shared_limit = (size_t)limit;
    ctx->multiprocessors = multiprocessors;
    ctx->capability = 10 * properties.major + properties.minor;
    snprintf(description, DEVICE_TEXT, "%.60s, %.1f GiB", properties.name,
             (double)properties.totalGlobalMem / (1 << 30));
    return 0;
}

/* --- memory and copies --- */

[[noreturn]] static void refused(const char *call, size_t bytes, cudaError_t code)
{
    if (code == cudaErrorMemoryAllocation) {
        size_t room = 0, all = 0;
        (void)cudaGetLastError();
        (void)cudaMemGetInfo(&room, &all);
        memory_refused(call, bytes, room, device.held);
    }
    fprintf(stderr, "%s: %s of %zu bytes: %s (%d)\n", program_invocation_short_name, call, bytes,
            cudaGetErrorString(code), (int)code);
    exit(EXIT_BUG);
}

static void *device_alloc(size_t bytes)
{
    void *memory = NULL;
    cudaError_t code = cudaMalloc(&memory, bytes ? bytes : 1);
    if (code != cudaSuccess) {
        refused("device " NAME ": cudaMalloc", bytes, code);
    }
    device.held += bytes;
    check("cudaMemsetAsync", cudaMemsetAsync(memory, 0, bytes, device.stream));
    return memory;
}

static void *device_alloc_shared(size_t bytes)
{
    void *memory = NULL;
    cudaError_t code = cudaMallocManaged(&memory, bytes ? bytes : 1);
    if (code != cudaSuccess) {
        refused("device " NAME ": cudaMallocManaged", bytes, code);
    }
    device.held += bytes;
    return memory;
}

static size_t device_memory(void)
{
    size_t room = 0, all = 0;
    check("cudaMemGetInfo", cudaMemGetInfo(&room, &all));
    return room;
}

static void device_release(void *memory, size_t bytes)
{
    if (memory) {
        device.held -= bytes;
        check("cudaStreamSynchronize", cudaStreamSynchronize(device.stream));
        check("cudaFree", cudaFree(memory));
    }
}

static void device_put(void *to, const void *host, size_t bytes)
{
    for (size_t done = 0; done < bytes; done += SLOT_BYTES) {
        size_t part = bytes - done < SLOT_BYTES ? bytes - done : (size_t)SLOT_BYTES;
        int slot = device.next;
        device.next = (slot + 1) % SLOTS;
        check("cudaEventSynchronize", cudaEventSynchronize(device.slot[slot].copied));
        memcpy(device.slot[slot].memory, (const char *)host + done, part);
        check("cudaMemcpyAsync to the device",
              cudaMemcpyAsync((char *)to + done, device.slot[slot].memory, part,
                              cudaMemcpyHostToDevice, device.stream));
        check("cudaEventRecord", cudaEventRecord(device.slot[slot].copied, device.stream));
    }
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
    if (bytes) {
        check("cudaMemcpyAsync to the host",
              cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, device.stream));
    }
}

/* An error that a kernel left is found by whatever call comes next. */
static int device_wait(Error *error)
{
    check("cudaStreamSynchronize", cudaStreamSynchronize(device.stream));
    if (device.error != cudaSuccess) {
        return error_set(error, EXIT_BUG,
                         "device " NAME ": %s: %s (%d); with CUDA_LAUNCH_BLOCKING=1 the op that "
                         "failed is named",
                         device.call, cudaGetErrorString(device.error), (int)device.error);
    }
    return 0;
}

static void device_open(void) {}

/* What the launches of an op came to. A call that failed before is device_wait's to report; a
 * kernel that failed while it ran is seen here, at its own launch or at a later one. */
static const char *device_close(void)
{
    static char text[160];
    cudaError_t code = cudaGetLastError();
    if (code == cudaSuccess || device.error != cudaSuccess) {
        return NULL;
    }
    int ran = code >= cudaErrorIllegalAddress && code != cudaErrorLaunchOutOfResources;
    snprintf(text, sizeof text, "%s (%d)%s", cudaGetErrorString(code), (int)code,
             ran ? "; without CUDA_LAUNCH_BLOCKING=1 it may be an earlier op's" : "");
    return text;
}

extern "C" const Device KERNEL(device) = {
    NAME,          device_start,        device_alloc,      device_release, device_view,
    device_unview, device_put,          device_get,        device_wait,    device_open,
    device_close,  device_alloc_shared, device_memory, KERNEL(peak_flops)};
