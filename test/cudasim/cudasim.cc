/* CUDA's threads on the CPU; runtime.cc has the calls of the host. A thread of a kernel is a fiber:
 * it runs until it waits for others, then another one goes on, in an order that tests choose. One
 * block runs at a time, so blocks that wait for each other end in a deadlock here as they may on a
 * device.
 *
 * What a device leaves open is made as bad as it may be: shared memory is NaN when a block starts,
 * cp.async comes late (or early), orders of threads and blocks vary. What a device leaves undefined
 * ends the program with 70: a barrier that part of a block meets, a shuffle from a lane that does
 * not take part, a wait without end, an access that is not aligned. */
#include "cuda_pipeline.h"
#include "cudasim.h"
#include "launch.h"
#include "sanitizers.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

enum { GUARD = 4096, EXIT_BUG = 70, EXIT_NO_MEMORY = 71 };

static const unsigned WARP = 32;

enum State { READY, AT_WARP, AT_BARRIER, DONE };

/* A copy of cp.async that has not come yet. */
struct Copy {
    void *to;
    const void *from;
    size_t bytes, zeros;
    unsigned group;
};

struct Fiber : CudasimThread {
    State state;
    unsigned number; /* of the thread in its block */
    /* where it waits, and for a warp what it brings and gets */
    const char *file;
    int line;
    CudasimWarpOp op;
    unsigned mask;
    int source;
    uint64_t brought, received;
    /* cp.async */
    Copy *copies;
    size_t copy_count, copy_capacity;
    unsigned group;
    /* where it goes on */
    char *stack;
#if defined(__x86_64__)
    void *pointer;
#else
    ucontext_t context;
#endif
    Sanitized sanitized;
    unsigned arrivals; /* at __syncwarp */
};

extern "C" {
CudasimThread *cudasim_thread;
uint3 cudasim_block;
dim3 cudasim_block_size, cudasim_grid_size;
unsigned cudasim_block_count;
}

/* The launch that runs. */
static struct {
    Launch launch;
    unsigned threads, at_barrier, barriers, done;
} running;

/* Places for order_release and order_acquire: where a block starts and ends, and by turns for the
 * barriers, since a thread may be at the next one before another has left this one. */
static struct {
    char start, end, barrier[2], warp[MOST_THREADS][2];
} orders;

static Fiber fibers[MOST_THREADS], host, *current = &host;
static unsigned order[MOST_THREADS], place; /* of the fibers; of the running one in it */
static CudasimOrder thread_order;
static unsigned random_state = 1;
static char *shared_memory; /* SHARED_LIMIT bytes, then an inaccessible page */

static unsigned random_below(unsigned n)
{
    random_state ^= random_state << 13; /* xorshift, Marsaglia 2003 */
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state % n;
}

/* One line, then up to 8 groups of threads that are in the same place. */
[[noreturn]] static void fail(const char *why, const char *file, int line)
{
    static const char *const states[] = {"can run", "wait in a warp", "wait at __syncthreads",
                                         "have finished"};
    fflush(stdout);
    fprintf(stderr, "cudasim: %s:%d: kernel %s: %s (block %u, %u, %u", file, line,
            running.launch.name, why, cudasim_block.x, cudasim_block.y, cudasim_block.z);
    if (current != &host) {
        fprintf(stderr, "; thread %u", current->number);
    }
    fputs(")\n", stderr);
    unsigned shown = 0;
    for (unsigned i = 0, end; i < running.threads && shown < 8; i = end, shown++) {
        const Fiber *f = &fibers[i];
        for (end = i + 1; end < running.threads && fibers[end].state == f->state &&
                          (f->state == DONE || f->state == READY ||
                           (fibers[end].line == f->line && !strcmp(fibers[end].file, f->file)));) {
            end++;
        }
        fprintf(stderr, "cudasim:   threads %u to %u %s", i, end - 1, states[f->state]);
        if (f->state == AT_WARP || f->state == AT_BARRIER) {
            fprintf(stderr, ", %s:%d", f->file, f->line);
        }
        if (f->state == AT_WARP) {
            fprintf(stderr, ", mask 0x%08x", f->mask);
        }
        fputc('\n', stderr);
    }
    _exit(EXIT_BUG);
}

/* What -fsanitize=alignment calls before an access that is not aligned to its type, which a device
 * refuses. The name and the layout are the compilers' (gcc, clang). Weak: clang's sanitizers bring
 * their own, which reports the place, calls __ubsan_on_report and would go on. */
static const char not_aligned[] = "an address is not aligned to what is read or written there";

struct Misaligned {
    const char *file;
    uint32_t line, column;
};

extern "C" __attribute__((weak)) void __ubsan_handle_type_mismatch_v1(const Misaligned *access,
                                                                      uintptr_t address)
{
    (void)address;
    fail(not_aligned, access->file, (int)access->line);
}

extern "C" __attribute__((weak)) void
__ubsan_get_current_report_data(const char **kind, const char **message, const char **file,
                                unsigned *line, unsigned *column, char **address);

extern "C" void __ubsan_on_report(void);
void __ubsan_on_report(void)
{
    const char *kind = "", *message, *file = "";
    unsigned line = 0, column;
    char *address;
    __ubsan_get_current_report_data(&kind, &message, &file, &line, &column, &address);
    if (!strcmp(kind, "misaligned-pointer-use")) {
        fail(not_aligned, file, (int)line);
    }
}

/* --- fibers --- */

#if defined(__x86_64__)
/* Saves what a function must keep, and the stack; goes on where `to` was saved. */
extern "C" void cudasim_swap(void **save, void *to);
asm(".text\n"
    ".type cudasim_swap, @function\n"
    "cudasim_swap:\n"
    "    pushq %rbp\n"
    "    pushq %rbx\n"
    "    pushq %r12\n"
    "    pushq %r13\n"
    "    pushq %r14\n"
    "    pushq %r15\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    popq %r15\n"
    "    popq %r14\n"
    "    popq %r13\n"
    "    popq %r12\n"
    "    popq %rbx\n"
    "    popq %rbp\n"
    "    ret\n"
    ".size cudasim_swap, .-cudasim_swap\n");
#endif

static void switch_to(Fiber *next)
{
    Fiber *me = current;
    current = next;
    cudasim_thread = next;
    sanitize_leave(&me->sanitized, me->state == DONE, &next->sanitized);
#if defined(__x86_64__)
    cudasim_swap(&me->pointer, next->pointer);
#else
    swapcontext(&me->context, &next->context);
#endif
    sanitize_return(&me->sanitized);
}

static void fail_deadlock(void)
{
    for (unsigned i = 0; i < running.threads; i++) {
        const Fiber *f = &fibers[i];
        if (f->state == AT_WARP || (f->state == AT_BARRIER && !running.done)) {
            current = &fibers[i];
            fail(f->state == AT_WARP ? "deadlock: lanes of the mask never come"
                                     : "deadlock: part of the block never comes to __syncthreads",
                 f->file, f->line);
        }
    }
    for (unsigned i = 0; i < running.threads; i++) {
        if (fibers[i].state == AT_BARRIER) {
            current = &fibers[i];
            fail("part of the block has finished without this __syncthreads", fibers[i].file,
                 fibers[i].line);
        }
    }
    abort();
}

/* The next thread in order that can run, the running one last; NULL: all have finished. */
static Fiber *next_fiber(void)
{
    unsigned n = running.threads, first = place / WARP * WARP;
    unsigned lanes = n - first < WARP ? n - first : WARP;
    for (unsigned k = 1; thread_order == CUDASIM_WARPS && k <= lanes; k++) {
        unsigned i = first + (place - first + k) % lanes;
        if (fibers[order[i]].state == READY) {
            place = i;
            return &fibers[order[i]];
        }
    }
    for (unsigned k = 1; k <= n; k++) {
        unsigned i = place + k < n ? place + k : place + k - n;
        if (fibers[order[i]].state == READY) {
            place = i;
            return &fibers[order[i]];
        }
    }
    if (running.done < n) {
        fail_deadlock();
    }
    return NULL;
}

/* Lets others run; comes back when this one is ready and it is its turn. */
static void yield(void)
{
    Fiber *next = next_fiber();
    if (next != current) {
        switch_to(next ? next : &host);
    }
}

static void fiber_main(void)
{
    sanitize_begin(&host.sanitized);
    order_acquire(&orders.start);
    running.launch.call(running.launch.arguments);
    order_release(&orders.end);
    current->state = DONE;
    running.done++;
    yield();
    abort();
}

static void *pages(size_t bytes)
{
    void *memory = mmap(NULL, bytes + GUARD, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        fputs("cudasim: no memory for stacks\n", stderr);
        _exit(EXIT_NO_MEMORY);
    }
    return memory;
}

static void fiber_start(Fiber *fiber, unsigned number)
{
    unsigned x = cudasim_block_size.x, y = cudasim_block_size.y;
    if (!fiber->stack) {
        char *memory = (char *)pages(STACK);
        (void)mprotect(memory, GUARD, PROT_NONE);
        fiber->stack = memory + GUARD;
    }
    fiber->index = uint3{number % x, number / x % y, number / (x * y)};
    fiber->lane = (int)(number % WARP);
    fiber->number = number;
    fiber->state = READY;
    fiber->copy_count = 0;
    fiber->group = 0;
    sanitize_start(&fiber->sanitized, fiber->stack, STACK);
#if defined(__x86_64__)
    /* Stacks begin in different lines of the cache. cudasim_swap takes six registers and returns to
     * fiber_main, where the stack is 8 bytes off a multiple of 16 as after any call. */
    void **top = (void **)(void *)(fiber->stack + STACK - number * 5 % 61 * 64);
    top[-1] = NULL;
    top[-2] = (void *)fiber_main;
    memset(top - 8, 0, 6 * sizeof *top);
    fiber->pointer = top - 8;
#else
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = STACK;
    fiber->context.uc_link = NULL;
    makecontext(&fiber->context, fiber_main, 0);
#endif
}

/* --- what threads wait for --- */

static void shuffle_order(void)
{
    for (unsigned i = running.threads - 1; thread_order == CUDASIM_RANDOM && i > 0; i--) {
        unsigned j = random_below(i + 1), other = order[j];
        order[j] = order[i];
        order[i] = other;
    }
}

void cudasim_barrier(const char *file, int line)
{
    current->file = file;
    current->line = line;
    current->state = AT_BARRIER;
    running.at_barrier++;
    char *order_of_barrier = &orders.barrier[running.barriers % 2];
    order_release(order_of_barrier);
    if (running.at_barrier == running.threads) {
        for (unsigned i = 0; i < running.threads; i++) {
            if (fibers[i].line != line || strcmp(fibers[i].file, file) != 0) {
                fail("divergent barrier: threads of the block are at different __syncthreads", file,
                     line);
            }
        }
        for (unsigned i = 0; i < running.threads; i++) {
            fibers[i].state = READY;
        }
        running.at_barrier = 0;
        running.barriers++;
        shuffle_order();
        place = running.threads - 1;
    }
    yield();
    order_acquire(order_of_barrier);
}

/* All lanes of the mask are there: each gets its value and can run. */
static void warp_meets(Fiber *warp, unsigned lanes)
{
    unsigned ballot = 0;
    for (unsigned l = 0; l < WARP; l++) {
        if (lanes >> l & 1) {
            if (warp[l].op != current->op || warp[l].line != current->line ||
                strcmp(warp[l].file, current->file) != 0) {
                fail("lanes of the mask are at different operations", current->file, current->line);
            }
            ballot |= (unsigned)(warp[l].brought != 0) << l;
        }
    }
    for (unsigned l = 0; l < WARP; l++) {
        if (lanes >> l & 1) {
            int source = warp[l].source;
            if (current->op == CUDASIM_SHUFFLE && !(lanes >> source & 1)) {
                current = &warp[l];
                fail("shuffle from a lane that takes no part", current->file, current->line);
            }
            warp[l].received = current->op == CUDASIM_SHUFFLE ? warp[source].brought : ballot;
            warp[l].state = READY;
        }
    }
}

uint64_t cudasim_warp(CudasimWarpOp op, uint64_t bits, int source, unsigned mask, const char *file,
                      int line)
{
    Fiber *me = current, *warp = me - me->lane;
    unsigned lanes = mask, left = running.threads - warp->number;
    lanes &= left < WARP ? (1u << left) - 1 : 0xFFFFFFFFu;
    me->op = op;
    me->brought = bits;
    me->source = source & 31;
    me->mask = mask;
    me->file = file;
    me->line = line;
    me->state = AT_WARP;
    if (!(mask >> me->lane & 1)) {
        fail("the mask lacks the lane itself", file, line);
    }
    if (op == CUDASIM_SYNC) {
        me->brought = ++me->arrivals % 2;
        order_release(&orders.warp[me->number][me->brought]);
    }
    int all = 1;
    for (unsigned l = WARP; l-- > 0 && all;) {
        all = !(lanes >> l & 1) || (warp[l].state == AT_WARP && warp[l].mask == mask);
    }
    if (all) {
        warp_meets(warp, lanes);
    } else {
        yield();
    }
    for (unsigned l = 0; op == CUDASIM_SYNC && l < WARP; l++) {
        if (lanes >> l & 1) {
            order_acquire(&orders.warp[warp->number + l][me->received >> l & 1]);
        }
    }
    return me->received;
}

/* --- shared memory --- */

void *cudasim_dynamic_shared(void)
{
    return shared_memory + SHARED_LIMIT - (running.launch.shared + 15) / 16 * 16;
}

/* Nothing that a thread does, so ThreadSanitizer is not to see it, as it would see memset. */
void cudasim_fill(unsigned *block, void *shared, size_t bytes)
{
    if (*block == cudasim_block_count) {
        return;
    }
    *block = cudasim_block_count;
#if defined(CUDASIM_TSAN)
    for (size_t i = 0; i < bytes; i++) {
        ((volatile unsigned char *)shared)[i] = 0xFF;
    }
#else
    memset(shared, 0xFF, bytes);
#endif
}

static void copy_now(const Copy *copy)
{
    memcpy(copy->to, copy->from, copy->bytes - copy->zeros);
    memset((char *)copy->to + copy->bytes - copy->zeros, 0, copy->zeros);
}

void cudasim_copy(void *shared, const void *global, size_t bytes, size_t zeros, const char *file,
                  int line)
{
    Copy copy = {shared, global, bytes, zeros, current->group};
    if ((bytes != 4 && bytes != 8 && bytes != 16) || zeros > bytes) {
        fail("cp.async of a size that is not 4, 8 or 16 bytes", file, line);
    }
    if ((uintptr_t)shared % bytes || (uintptr_t)global % bytes) {
        fail("cp.async of an address that is not a multiple of its size", file, line);
    }
    if (thread_order == CUDASIM_RANDOM && random_below(2)) {
        copy_now(&copy);
        return;
    }
    if (current->copy_count == current->copy_capacity) {
        current->copy_capacity = 2 * current->copy_capacity + 16;
        current->copies = (Copy *)realloc(current->copies, current->copy_capacity * sizeof copy);
        if (!current->copies) {
            _exit(EXIT_NO_MEMORY);
        }
    }
    current->copies[current->copy_count++] = copy;
}

void cudasim_copy_commit(void)
{
    current->group++;
}

void cudasim_copy_wait(unsigned groups)
{
    size_t kept = 0;
    for (size_t i = 0; i < current->copy_count; i++) {
        if (current->copies[i].group + groups < current->group) {
            copy_now(&current->copies[i]);
        } else {
            current->copies[kept++] = current->copies[i];
        }
    }
    current->copy_count = kept;
}

/* --- launches --- */

const char *const cudasim_order_names[CUDASIM_ORDERS] = {"forward", "reverse", "random", "warps"};

void cudasim_set_order(CudasimOrder chosen)
{
    thread_order = chosen;
}

const char *cudasim_order(void)
{
    return cudasim_order_names[thread_order];
}

static void run_block(void)
{
    unsigned n = running.threads;
    cudasim_block_count++;
    memset(cudasim_dynamic_shared(), 0xFF, (running.launch.shared + 15) / 16 * 16);
    for (unsigned i = 0; i < n; i++) {
        fiber_start(&fibers[i], i);
        order[i] = thread_order == CUDASIM_REVERSE ? n - 1 - i : i;
    }
    running.done = running.at_barrier = 0;
    shuffle_order();
    place = n - 1;
    if (thread_order == CUDASIM_WARPS) {
        place = random_below(n);
    }
    order_release(&orders.start);
    switch_to(next_fiber());
    order_acquire(&orders.end);
}

void cudasim_run(const Launch *launch)
{
    dim3 grid = launch->grid;
    size_t blocks = (size_t)grid.x * grid.y * grid.z;
    if (!shared_memory) {
        size_t bytes = (SHARED_LIMIT + GUARD - 1) / GUARD * GUARD;
        char *end = (char *)pages(bytes) + bytes;
        (void)mprotect(end, GUARD, PROT_NONE);
        shared_memory = end - SHARED_LIMIT;
    }
    running.launch = *launch;
    running.threads = launch->block.x * launch->block.y * launch->block.z;
    cudasim_block_size = launch->block;
    cudasim_grid_size = grid;
    size_t first = thread_order == CUDASIM_RANDOM ? random_below((unsigned)blocks) : 0;
    for (size_t i = 0; i < blocks; i++) {
        size_t b = thread_order == CUDASIM_REVERSE ? blocks - 1 - i : (first + i) % blocks;
        cudasim_block = uint3{(unsigned)(b % grid.x), (unsigned)(b / grid.x % grid.y),
                              (unsigned)(b / grid.x / grid.y)};
        run_block();
    }
    current = &host;
}
