/* The host's side of CUDA: memory, one stream, errors. What a device may do later is done as late
 * as it may: launches and copies wait in a queue until somebody waits for them, so a host that
 * changes pinned memory too early, or reads too early what was copied, is found out. */
#include "cudasim.h"
#include "environment.h"
#include "launch.h"

#include <stdio.h>
#include <stdlib.h>

enum { STATIC_LIMIT = 48 * 1024, MOST_TASKS = 256, EXIT_NO_MEMORY = 71 };

static cudaError_t last_error, broken; /* broken: of a kernel; it stays */

int cudasim_capability = 90;

static cudaError_t result(cudaError_t error)
{
    if (error != cudaSuccess) {
        last_error = error;
    }
    return error;
}

/* Memory of the emulator itself. */
static void *allocate(size_t bytes)
{
    void *memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (!memory) {
        fputs("cudasim: no memory\n", stderr);
        exit(EXIT_NO_MEMORY);
    }
    return memory;
}

/* --- failures --- */

/* Whether this call is the one that is to fail. */
static int fails(const char *call)
{
    return environment.fail && !strcmp(environment.fail, call) && --environment.fail_at == 0;
}

/* --- the stream --- */

enum TaskKind { LAUNCH, COPY, FILL };

struct Task {
    Task *next;
    TaskKind kind;
    Launch launch;
    void *to;
    const void *from;
    size_t bytes;
    int value;
};

struct CUevent_st {
    size_t tasks; /* put into the queue until it was recorded */
};

static struct {
    Task *first, *last;
    size_t put, done; /* tasks so far */
} queue;

/* Does what was put into the queue, until so many tasks are done. */
static void run_tasks(size_t until)
{
    while (queue.done < until) {
        Task *task = queue.first;
        if (task->kind == LAUNCH) {
            cudasim_run(&task->launch);
        } else if (task->kind == COPY) {
            memcpy(task->to, task->from, task->bytes);
        } else {
            memset(task->to, task->value, task->bytes);
        }
        queue.first = task->next;
        queue.done++;
        free(task);
    }
}

void cudasim_finish(void)
{
    run_tasks(queue.put);
}

static void put_task(Task *task)
{
    task->next = NULL;
    if (queue.put > queue.done) {
        queue.last->next = task;
    } else {
        queue.first = task;
    }
    queue.last = task;
    queue.put++;
    if (queue.put - queue.done > MOST_TASKS) {
        run_tasks(queue.put);
    }
}

static Task *new_task(TaskKind kind, size_t more)
{
    Task *task = (Task *)allocate(sizeof *task + more);
    task->kind = kind;
    return task;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    *stream = (cudaStream_t)(void *)&queue;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    (void)stream;
    if (broken || fails("sync")) {
        return result(broken ? broken : cudaErrorLaunchFailure);
    }
    run_tasks(queue.put);
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    (void)flags;
    *event = (cudaEvent_t)allocate(sizeof **event);
    (*event)->tasks = 0;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    (void)stream;
    event->tasks = queue.put;
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    run_tasks(event->tasks);
    return cudaSuccess;
}

/* --- memory --- */

/* Pinned memory, for which alone a copy is asynchronous. */
static struct {
    char *memory;
    size_t bytes;
} pinned[16];
static int pinned_count;

static int is_pinned(const void *at)
{
    for (int i = 0; i < pinned_count; i++) {
        if ((const char *)at >= pinned[i].memory &&
            (const char *)at < pinned[i].memory + pinned[i].bytes) {
            return 1;
        }
    }
    return 0;
}

cudaError_t cudaMallocHost(void **memory, size_t bytes)
{
    if (fails("mallochost") || pinned_count == sizeof pinned / sizeof *pinned) {
        return result(cudaErrorMemoryAllocation);
    }
    *memory = allocate(bytes);
    pinned[pinned_count].memory = (char *)*memory;
    pinned[pinned_count++].bytes = bytes;
    return cudaSuccess;
}

/* Its size stands before it. */
enum { HEADER = 256 };

static size_t memory_used;

static size_t memory_all(void)
{
    return (size_t)environment.memory << 20;
}

cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    if (fails("malloc") || bytes > memory_all() - memory_used) {
        return result(cudaErrorMemoryAllocation);
    }
    char *all = (char *)aligned_alloc(HEADER, HEADER + (bytes + HEADER - 1) / HEADER * HEADER);
    if (!all) {
        return result(cudaErrorMemoryAllocation);
    }
    memcpy(all, &bytes, sizeof bytes);
    memory_used += bytes;
    *memory = memset(all + HEADER, 0xFF, bytes);
    return cudaSuccess;
}

cudaError_t cudaMallocManaged(void **memory, size_t bytes)
{
    return cudaMalloc(memory, bytes);
}

extern "C" double peak_flops_sim(const struct Context *)
{
    return 0.0;
}

cudaError_t cudaFree(void *memory)
{
    size_t bytes;
    run_tasks(queue.put);
    if (memory) {
        memcpy(&bytes, (char *)memory - HEADER, sizeof bytes);
        memory_used -= bytes;
        free((char *)memory - HEADER);
    }
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *room, size_t *all)
{
    *room = memory_all() - memory_used;
    *all = memory_all();
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream)
{
    (void)stream;
    Task *task = new_task(FILL, 0);
    task->to = memory;
    task->value = value;
    task->bytes = bytes;
    put_task(task);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    (void)stream;
    if (broken || fails("memcpy")) {
        return result(cudaErrorIllegalAddress);
    }
    Task *task = new_task(COPY, 0);
    task->to = to;
    task->from = from;
    task->bytes = bytes;
    put_task(task);
    if (kind != cudaMemcpyDeviceToDevice &&
        !is_pinned(kind == cudaMemcpyHostToDevice ? from : to)) {
        run_tasks(queue.put);
    }
    return cudaSuccess;
}

/* --- launches --- */

/* Kernels that may have more dynamic shared memory than 48 KB. */
static struct {
    const void *kernel;
    size_t bytes;
} allowed[256];

static size_t *allowed_for(const void *kernel)
{
    int i = 0;
    while (i < 255 && allowed[i].kernel && allowed[i].kernel != kernel) {
        i++;
    }
    allowed[i].kernel = kernel;
    return &allowed[i].bytes;
}

cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value)
{
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        value > SHARED_LIMIT) {
        return result(cudaErrorInvalidValue);
    }
    *allowed_for(kernel) = (size_t)value;
    return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, const void *kernel)
{
    (void)kernel;
    if (fails("image")) {
        return result(cudaErrorNoKernelImageForDevice);
    }
    attributes->maxThreadsPerBlock = MOST_THREADS;
    return cudaSuccess;
}

void cudasim_launch(const char *name, dim3 grid, dim3 block, size_t shared, const void *kernel,
                    void (*call)(const void *launch), const void *launch, size_t launch_bytes)
{
    size_t threads = (size_t)block.x * block.y * block.z;
    size_t blocks = (size_t)grid.x * grid.y * grid.z;
    if (broken || fails("address")) {
        last_error = broken = cudaErrorIllegalAddress;
        return;
    }
    if (fails("launch")) {
        last_error = cudaErrorLaunchOutOfResources;
        return;
    }
    if (!threads || threads > MOST_THREADS || block.z > 64 || !blocks || grid.x > 0x7FFFFFFF ||
        grid.y > 65535 || grid.z > 65535) {
        last_error = cudaErrorInvalidConfiguration;
        return;
    }
    if (shared > STATIC_LIMIT && shared > *allowed_for(kernel)) {
        last_error = cudaErrorInvalidValue;
        return;
    }
    Task *task = new_task(LAUNCH, launch_bytes);
    task->launch = {name, grid, block, shared, call, memcpy(task + 1, launch, launch_bytes)};
    put_task(task);
}

/* --- the device --- */

cudaError_t cudaGetDeviceCount(int *count)
{
    if (environment.fail && !strcmp(environment.fail, "getcount")) {
        return result((cudaError_t)environment.fail_at);
    }
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device)
{
    (void)device;
    *properties = {"emulated GPU", memory_all(), cudasim_capability / 10, cudasim_capability % 10};
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device)
{
    (void)device;
    /* one multiprocessor, so that small tensors too get the large tiles of large ones */
    *value = attribute == cudaDevAttrMultiProcessorCount ? 1 : SHARED_LIMIT;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = (int)environment.driver;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;
    last_error = broken;
    return error;
}

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
    case cudaSuccess:
        return "no error";
    case cudaErrorInvalidValue:
        return "invalid argument";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorInvalidConfiguration:
        return "invalid configuration argument";
    case cudaErrorStubLibrary:
        return "CUDA driver is a stub library";
    case cudaErrorInsufficientDriver:
        return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorInvalidDeviceFunction:
        return "invalid device function";
    case cudaErrorNoDevice:
        return "no CUDA-capable device is detected";
    case cudaErrorNoKernelImageForDevice:
        return "no kernel image is available for execution on the device";
    case cudaErrorIllegalAddress:
        return "an illegal memory access was encountered";
    case cudaErrorLaunchOutOfResources:
        return "too many resources requested for launch";
    case cudaErrorLaunchFailure:
        return "unspecified launch failure";
    }
    return "unrecognized error code";
}
