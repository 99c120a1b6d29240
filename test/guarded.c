#include "guarded.h"

#include "base.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CANARY = 0xA5, MOST = 64, GUARD = 1 << 20 }; /* GUARD: inaccessible bytes on either side */

/* All that is allocated, for the signal handler. */
static Guarded *all[MOST];
static const char *running = "nothing";

Guarded *guarded_alloc(const char *name, size_t bytes, size_t alignment, const Device *device)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), slot = 0;
    Guarded *g = memory_calloc(1, sizeof *g);
    g->name = name;
    g->bytes = bytes;
    g->device = device;
    g->accessible = (bytes + alignment + page - 1) / page * page;
    if (device) {
        g->accessible += 2 * page; /* of known bytes behind its end */
        g->map = device->alloc_shared(g->accessible);
    } else {
        g->guard = GUARD;
        g->map = mmap(NULL, g->accessible + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                      0);
        if (g->map == MAP_FAILED ||
            mprotect(g->map + GUARD, g->accessible, PROT_READ | PROT_WRITE)) {
            perror("guarded_alloc");
            exit(EXIT_NO_MEMORY);
        }
    }
    unsigned char *first = g->map + g->guard, *end = first + g->accessible;
    g->data = end - (device ? page : 0) - bytes;
    g->data -= (uintptr_t)g->data % alignment;
    memset(first, CANARY, (size_t)(g->data - first));
    memset(g->data + bytes, CANARY, (size_t)(end - g->data) - bytes);
    while (all[slot]) {
        slot++;
        if (slot == MOST) {
            fputs("guarded_alloc: too many\n", stderr);
            exit(EXIT_BUG);
        }
    }
    all[slot] = g;
    return g;
}

void guarded_free(Guarded *memory)
{
    for (int i = 0; i < MOST && memory; i++) {
        if (all[i] == memory) {
            all[i] = NULL;
            if (memory->device) {
                memory->device->release(memory->map, memory->accessible);
            } else {
                munmap(memory->map, memory->accessible + 2 * GUARD);
            }
            free(memory);
            return;
        }
    }
}

int guarded_intact(const Guarded *memory)
{
    unsigned char *first = memory->map + memory->guard, *end = first + memory->accessible;
    for (unsigned char *c = first; c < end; c++) {
        c += c == memory->data ? memory->bytes : 0;
        if (c < end && *c != CANARY) {
            return 0;
        }
    }
    return 1;
}

static void report(int number, siginfo_t *info, void *context)
{
    (void)context;
    const unsigned char *at = info->si_addr;
    char line[512];
    int length = snprintf(line, sizeof line, "FAILED %s: signal %d\n", running, number);
    for (int i = 0; i < MOST; i++) {
        const Guarded *g = all[i];
        if (g && at >= g->map && at < g->map + g->accessible + 2 * g->guard) {
            int behind = at >= g->data;
            size_t bytes = behind ? (size_t)(at - g->data) - g->bytes : (size_t)(g->data - at);
            length = snprintf(line, sizeof line, "FAILED %s: touches memory %zu bytes %s %s\n",
                              running, bytes, behind ? "behind the end of" : "before", g->name);
        }
    }
    ssize_t written = write(STDOUT_FILENO, line, (size_t)length);
    _exit(written == length ? 1 : EXIT_IO);
}

void guarded_start(void)
{
    struct sigaction action = {.sa_sigaction = report, .sa_flags = SA_SIGINFO};
    if (sigaction(SIGSEGV, &action, NULL) || sigaction(SIGBUS, &action, NULL)) {
        perror("guarded_start");
        exit(EXIT_BUG);
    }
}

void guarded_begin(const char *what)
{
    running = what ? what : "nothing";
}
