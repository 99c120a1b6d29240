#define _GNU_SOURCE
#include "device.h"

#include "ops.h"
#include "peak.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void copy_now(void *to, const void *from, size_t bytes)
{
    if (bytes) {
        memcpy(to, from, bytes);
    }
}

static const void *cpu_view(const void *host, size_t bytes)
{
    (void)bytes;
    return host;
}

static void cpu_unview(const void *view, size_t bytes)
{
    (void)view;
    (void)bytes;
}

static int cpu_wait(Error *error)
{
    (void)error;
    return 0;
}

static double cpu_peak(const Context *ctx)
{
    return peak_flops(ctx->threads);
}

static const Device cpu = {.name = "cpu",
                           .alloc = arena_alloc,
                           .release = arena_free,
                           .view = cpu_view,
                           .unview = cpu_unview,
                           .put = copy_now,
                           .get = copy_now,
                           .wait = cpu_wait,
                           .alloc_shared = arena_alloc,
                           .memory = memory_machine,
                           .peak = cpu_peak};

/* The fence: all of its memory is one range of addresses, handed out once from the start on, so
 * that one call opens or closes it and no address is ever used again. Access rights belong to the
 * process, hence the one fence of it. */
enum { RANGE_BITS = 40, PAGE = 1 << 21 };

/* What a get found when its turn came. */
typedef struct PendingGet {
    void *host, *found;
    size_t bytes;
} PendingGet;

static struct {
    char *range;
    size_t used;
    PendingGet *pending;
    size_t pending_count;
} fence;

static void fence_end(const char *why)
{
    fprintf(stderr, "fence: %s\n", why);
    exit(EXIT_NO_MEMORY);
}

static void fence_open(void)
{
    if (mprotect(fence.range, fence.used, PROT_READ | PROT_WRITE)) {
        fence_end("its memory cannot be opened");
    }
}

static const char *fence_close(void)
{
    if (mprotect(fence.range, fence.used, PROT_NONE)) {
        fence_end("its memory cannot be closed");
    }
    return NULL; /* an op of the CPU reports nothing */
}

/* Only calls that are safe in a signal handler. */
static void on_access(int number, siginfo_t *info, void *context)
{
    static const char text[] = "fence: host code touched memory of the device outside of an op\n";
    (void)context;
    const char *at = info->si_addr;
    if (at >= fence.range && at < fence.range + fence.used) {
        if (write(STDERR_FILENO, text, sizeof text - 1) >= 0) {
            _exit(EXIT_BUG);
        }
    }
    signal(number, SIG_DFL); /* not ours: the access is repeated and ends the process */
}

static void *fence_alloc(size_t bytes)
{
    size_t size = (bytes + PAGE - 1) / PAGE * PAGE;
    if (!fence.range) {
        struct sigaction action = {.sa_sigaction = on_access, .sa_flags = SA_SIGINFO};
        void *range = mmap(NULL, (size_t)1 << RANGE_BITS, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (range == MAP_FAILED) {
            fence_end("no range of addresses of 1 TiB is free");
        }
        fence.range = (char *)(((uintptr_t)range + PAGE - 1) / PAGE * PAGE);
        sigaction(SIGSEGV, &action, NULL);
    }
    if (size < bytes || size > ((size_t)1 << RANGE_BITS) - PAGE - fence.used) {
        fence_end("its 1 TiB of addresses is used up");
    }
    char *memory = fence.range + fence.used;
    fence.used += size;
    (void)madvise(memory, size, MADV_HUGEPAGE);
    return memory;
}

static void fence_release(void *memory, size_t bytes)
{
    if (memory) {
        (void)madvise(memory, (bytes + PAGE - 1) / PAGE * PAGE, MADV_DONTNEED);
    }
}

static void fence_put(void *to, const void *host, size_t bytes)
{
    fence_open();
    copy_now(to, host, bytes);
    (void)fence_close();
}

static const void *fence_view(const void *host, size_t bytes)
{
    void *copy = fence_alloc(bytes);
    fence_put(copy, host, bytes);
    return copy;
}

static void fence_unview(const void *view, size_t bytes)
{
    fence_release(fence.range + ((const char *)view - fence.range), bytes);
}

static void fence_get(void *host, const void *from, size_t bytes)
{
    PendingGet get = {host, memory_alloc(bytes, 1), bytes};
    fence_open();
    copy_now(get.found, from, bytes);
    (void)fence_close();
    if (bytes) {
        memset(host, 0xFF, bytes); /* NaN, and -1 */
    }
    fence.pending = memory_realloc(fence.pending, fence.pending_count + 1, sizeof *fence.pending);
    fence.pending[fence.pending_count++] = get;
}

static int fence_wait(Error *error)
{
    (void)error;
    for (size_t i = 0; i < fence.pending_count; i++) {
        copy_now(fence.pending[i].host, fence.pending[i].found, fence.pending[i].bytes);
        free(fence.pending[i].found);
    }
    fence.pending_count = 0;
    return 0;
}

static const Device fenced = {.name = "fence",
                              .alloc = fence_alloc,
                              .release = fence_release,
                              .view = fence_view,
                              .unview = fence_unview,
                              .put = fence_put,
                              .get = fence_get,
                              .wait = fence_wait,
                              .open = fence_open,
                              .close = fence_close,
                              .memory = memory_machine,
                              .peak = cpu_peak};

extern const Device device_sim, device_cuda __attribute__((weak)); /* there where nvcc was */

const Device *device_find(const char *name)
{
    static const Device *const all[] = {&cpu, &fenced, &device_sim, &device_cuda};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i] && !strcmp(name, all[i]->name)) {
            return all[i];
        }
    }
    return NULL;
}
