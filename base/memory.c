/* Memory: taken, limited, refused. */
#define _GNU_SOURCE
#include "base.h"
#include "cgroup.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

MemoryAdvice memory_advice;

static size_t arenas; /* bytes of them */

const char *bytes_text(char text[BYTES_TEXT], size_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB"};
    double size = (double)bytes / 1024;
    int unit = 0;
    while (unit < 2 && size >= 1024) {
        size /= 1024;
        unit++;
    }
    snprintf(text, BYTES_TEXT, "%.1f %s", size, units[unit]);
    return text;
}

void memory_refused(const char *call, size_t bytes, size_t room, size_t held)
{
    static atomic_flag ending = ATOMIC_FLAG_INIT;
    static _Thread_local int here;
    if (!here && atomic_flag_test_and_set(&ending)) {
        for (;;) { /* another thread ends the program, and exit is for one */
            pause();
        }
    }
    here = 1;
    MemoryAdvice advice = memory_advice;
    char needed[BYTES_TEXT], there[BYTES_TEXT],
        text[ADVICE_TEXT] = "use a smaller model, batch or file";
    memory_advice = (MemoryAdvice){0}; /* advising takes memory too */
    if (advice.advise) {
        /* where enough seemed to be free, it was of no use */
        advice.advise(text, advice.user, held + (room < bytes ? room : 0));
    }
    fprintf(stderr, "%s: %s: out of memory: %s more are needed, %s are free; %s\n",
            program_invocation_short_name, call, bytes_text(needed, bytes), bytes_text(there, room),
            text);
    if (gettid() != getpid()) {
        /* what else exit runs takes the state away from under the main thread */
        writers_settle();
        (void)fflush(stdout);
        _exit(EXIT_NO_MEMORY);
    }
    exit(EXIT_NO_MEMORY);
}

void memory_exhausted(const char *call, size_t bytes)
{
    memory_refused(call, bytes, memory_machine(), arenas);
}

void *memory_realloc(void *old, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        memory_exhausted("realloc", SIZE_MAX);
    }
    void *memory = realloc(old, bytes ? bytes : 1);
    if (!memory) {
        memory_exhausted("realloc", bytes);
    }
    return memory;
}

void *memory_alloc(size_t count, size_t size)
{
    return memory_realloc(NULL, count, size);
}

void *memory_calloc(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size ? size : 1);
    if (!memory) {
        memory_exhausted("calloc", size > SIZE_MAX / (count ? count : 1) ? SIZE_MAX : count * size);
    }
    return memory;
}

enum { HUGE_PAGE = 2 << 20, SMALL_ARENA = 1 << 16 };

/* Of huge pages; but where one would not be filled of small ones, for its first byte takes all of
 * it. SMALL_ARENA is a multiple of every machine's page. */
static size_t arena_size(size_t bytes)
{
    size_t page = bytes < HUGE_PAGE ? SMALL_ARENA : HUGE_PAGE;
    return (bytes + page) / page * page;
}

void *arena_alloc(size_t bytes)
{
    /* Ask for one huge page more, then give back what lies before and after the aligned part. */
    size_t size = arena_size(bytes), total = size + HUGE_PAGE;
    if (size < bytes || total < size) {
        memory_exhausted("mmap", bytes);
    }
    char *start = mmap(NULL, total, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) {
        memory_exhausted("mmap", bytes);
    }
    char *arena = (char *)(((uintptr_t)start + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
    if (arena > start) {
        munmap(start, (size_t)(arena - start));
    }
    if (arena + size < start + total) {
        munmap(arena + size, (size_t)(start + total - arena) - size);
    }
    /* Advice only: a kernel without transparent huge pages gives small ones. */
    (void)madvise(arena, size, MADV_HUGEPAGE);
    arenas += size;
    return arena;
}

void arena_free(void *arena, size_t bytes)
{
    if (arena) {
        munmap(arena, arena_size(bytes));
        arenas -= arena_size(bytes);
    }
}

/* The limit of one folder of cgroup v2, or of v1. Both give "max" or a number beyond any memory where
 * there is none. */
static double limit_v2(const char *folder)
{
    return cgroup_number(folder, "memory.max");
}

static double limit_v1(const char *folder)
{
    return cgroup_number(folder, "memory.limit_in_bytes");
}

double memory_quota(const char *cgroups, const char *mount)
{
    static const CgroupLimit limit = {{"memory"}, limit_v2, limit_v1};
    return cgroup_smallest(&limit, cgroups, mount);
}

/* What is left of a limit of which so many pages are used. */
static size_t left_of(int resource, unsigned long pages)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) || limit.rlim_cur == RLIM_INFINITY) {
        return SIZE_MAX;
    }
    size_t used = (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
    return limit.rlim_cur > used ? (size_t)limit.rlim_cur - used : 0;
}

size_t memory_machine(void)
{
    struct sysinfo info;
    double quota = memory_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    size_t most = SIZE_MAX, swap = 0;
    if (!sysinfo(&info)) {
        swap = (size_t)info.totalswap * info.mem_unit;
        most = (size_t)info.totalram * info.mem_unit + swap;
    }
    if (quota >= 0 && quota + (double)swap < (double)most) {
        most = (size_t)quota + swap;
    }
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long all, data;
    if (file && fscanf(file, "%lu %*u %*u %*u %*u %lu", &all, &data) == 2) {
        most = size_min(most, size_min(left_of(RLIMIT_AS, all), left_of(RLIMIT_DATA, data)));
    }
    if (file) {
        fclose(file);
    }
    return most;
}

size_t memory_peak(void)
{
    /* getrusage would give what the process that started this one had, if that was more */
    FILE *status = fopen("/proc/self/status", "re");
    char line[256];
    unsigned long long kib = 0;
    while (status && fgets(line, sizeof line, status)) {
        if (sscanf(line, "VmHWM: %llu kB", &kib) == 1) {
            break;
        }
    }
    if (status) {
        fclose(status);
    }
    return (size_t)kib * 1024;
}
