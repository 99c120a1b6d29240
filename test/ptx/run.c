/* Runs a kernel, a block at a time. The threads of a warp that are at the same instruction run it one
 * after another; where they part, those that are behind go first. */
#include "ptx.h"

#include "base.h"
#include "scalar.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum State { READY, AT_WARP, AT_BARRIER, DONE } State;

enum { WARP = 32, MOST_THREADS = 1024, SHARED_LIMIT = 227 * 1024 };

typedef struct Thread {
    uint64_t *values; /* slots, beside those of the other lanes */
    int next;         /* instruction; one behind that at which it waits */
    State state;
} Thread;

/* The block that runs. */
static struct {
    const PtxKernel *kernel;
    const unsigned char *params;
    unsigned char *shared;
    size_t dynamic;
    unsigned index[3], threads;
    Thread thread[MOST_THREADS];
} block;

static size_t steps; /* instructions of all threads so far */

static _Noreturn void fail(const PtxInstruction *i, const Thread *t, const char *why)
{
    char text[160];
    snprintf(text, sizeof text, "%s (block %u, %u, %u, thread %d)", why, block.index[0],
             block.index[1], block.index[2], (int)(t - block.thread));
    ptx_fail(block.kernel->module, block.kernel, i->line, text);
}

/* --- values --- */

/* What is in a slot; bits above an operand's type mean nothing. */
static uint64_t *at_slot(const Thread *t, int slot)
{
    return &t->values[(size_t)slot * WARP];
}

/* The bits of the type, signed or not, as 64. */
static uint64_t cut(PtxType type, uint64_t value)
{
    int unused = 64 - type.bits;
    return type.kind == 's' ? (uint64_t)((int64_t)(value << unused) >> unused)
                            : value << unused >> unused;
}

static double float_of(PtxType type, uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return type.bits == 32 ? (double)bits_to_float((uint32_t)bits) : value;
}

/* Rounds to the type. */
static uint64_t bits_of(PtxType type, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return type.bits == 32 ? float_to_bits((float)value) : bits;
}

static int outcome(PtxType type, uint64_t a, uint64_t b)
{
    if (type.kind == 'f') {
        double x = float_of(type, a), y = float_of(type, b);
        return x < y ? PTX_LESS : x == y ? PTX_EQUAL : x > y ? PTX_GREATER : PTX_UNORDERED;
    }
    int less = type.kind == 's' ? (int64_t)a < (int64_t)b : a < b;
    return less ? PTX_LESS : a == b ? PTX_EQUAL : PTX_GREATER;
}

/* min and max. Of floats: the number if the other is NaN, and -0 below +0. */
static uint64_t extreme(const PtxInstruction *i, uint64_t a, uint64_t b)
{
    int order = outcome(i->type, a, b), low = i->op == PTX_MIN;
    if (order == PTX_UNORDERED) {
        return isnan(float_of(i->type, a)) ? b : a;
    }
    if (order == PTX_EQUAL && i->type.kind == 'f') {
        return (signbit(float_of(i->type, a)) != 0) == low ? a : b;
    }
    return (order == PTX_LESS) == low ? a : b;
}

/* Floats to integers go towards zero and no further than there are any, NaN to 0. */
static uint64_t convert(PtxType to, PtxType from, uint64_t a)
{
    if (to.kind == 'f') {
        return bits_of(to, from.kind == 'f'   ? float_of(from, a)
                           : from.kind == 's' ? (double)(int64_t)a
                                              : (double)a);
    }
    if (from.kind == 'f') {
        double x = trunc(float_of(from, a)), end = ldexp(1, to.bits - (to.kind == 's')),
               least = to.kind == 's' ? -end : 0;
        x = isnan(x) ? 0 : fmax(x, least);
        return x >= end ? UINT64_MAX >> (64 - to.bits + (to.kind == 's'))
               : x < 0  ? (uint64_t)(int64_t)x
                        : (uint64_t)x;
    }
    return a;
}

/* Shifts by as many bits as there are, or more, leave zeros, or the sign. */
static uint64_t shift(const PtxInstruction *i, uint64_t a, uint32_t by)
{
    if (i->type.kind == 's') {
        return (uint64_t)((int64_t)a >> (by < 63 ? by : 63));
    }
    return by >= i->type.bits ? 0 : i->op == PTX_SHL ? a << by : a >> by;
}

/* bfi: a's low bits in b, from bit `at` on. */
static uint64_t insert(PtxType type, uint64_t a, uint64_t b, uint64_t at, uint64_t length)
{
    at &= 0xFF, length &= 0xFF;
    uint64_t ones = length < 64 ? ((uint64_t)1 << length) - 1 : UINT64_MAX;
    return at < type.bits ? (b & ~(ones << at)) | (a & ones) << at : b;
}

static uint64_t divide(const PtxInstruction *i, const Thread *t, uint64_t a, uint64_t b)
{
    int rest = i->op == PTX_REM;
    if (!b) {
        fail(i, t, "division by zero");
    }
    if (i->type.kind == 's' && b == UINT64_MAX) { /* -1 */
        return rest ? 0 : -a;
    }
    if (i->type.kind == 's') {
        return (uint64_t)(rest ? (int64_t)a % (int64_t)b : (int64_t)a / (int64_t)b);
    }
    return rest ? a % b : a / b;
}

static uint64_t high_half(PtxType type, uint64_t a, uint64_t b)
{
    return type.kind == 's' ? (uint64_t)((__int128)(int64_t)a * (int64_t)b >> type.bits)
                            : (uint64_t)((unsigned __int128)a * b >> type.bits);
}

/* Rounded to nearest, once: sums, products, quotients and roots of floats that are rounded to double
 * first come out the same (Figueroa 1995, "When is double rounding innocuous?"); fma does not. */
static uint64_t float_result(const PtxInstruction *i, uint64_t a, uint64_t b, uint64_t c)
{
    double x = float_of(i->type, a), y = float_of(i->type, b), z = float_of(i->type, c);
    switch (i->op) {
    case PTX_ADD:
        return bits_of(i->type, x + y);
    case PTX_SUB:
        return bits_of(i->type, x - y);
    case PTX_MUL:
        return bits_of(i->type, x * y);
    case PTX_DIV:
        return bits_of(i->type, x / y);
    case PTX_RCP:
        return bits_of(i->type, 1 / x);
    case PTX_SQRT:
        return bits_of(i->type, sqrt(x));
    case PTX_FMA:
        return bits_of(i->type, i->type.bits == 32 ? (double)fmaf((float)x, (float)y, (float)z)
                                                   : fma(x, y, z));
    case PTX_NEG:
        return a ^ (uint64_t)1 << (i->type.bits - 1);
    default: /* PTX_ABS */
        return a & ~((uint64_t)1 << (i->type.bits - 1));
    }
}

/* What an instruction puts into its first operand. An operand that it does not have reads slot 0. */
static uint64_t result(const PtxInstruction *i, const Thread *t)
{
    PtxType type = i->type;
    uint64_t a = cut(i->op == PTX_CVT ? i->from : type, *at_slot(t, i->slot[1])),
             b = cut(type, *at_slot(t, i->slot[2])), c = *at_slot(t, i->slot[3]);
    switch (i->op) {
    case PTX_MOV:
        return a;
    case PTX_CVTA_SHARED:
        return (uint64_t)(uintptr_t)block.shared + a;
    case PTX_SELP:
        return c & 1 ? a : b;
    case PTX_SETP:
        return (outcome(type, a, b) & i->mode) != 0;
    case PTX_CVT:
        return convert(type, i->from, a);
    case PTX_MIN:
    case PTX_MAX:
        return extreme(i, a, b);
    default:
        break;
    }
    if (type.kind == 'f') {
        return float_result(i, a, b, c);
    }
    switch (i->op) {
    case PTX_ADD:
        return a + b;
    case PTX_SUB:
        return a - b;
    case PTX_MUL:
        return a * b;
    case PTX_MUL_HI:
        return high_half(type, a, b);
    case PTX_MAD:
        return a * b + c;
    case PTX_DIV:
    case PTX_REM:
        return divide(i, t, a, b);
    case PTX_NEG:
        return -a;
    case PTX_AND:
        return a & b;
    case PTX_OR:
        return a | b;
    case PTX_XOR:
        return a ^ b;
    case PTX_NOT:
        return ~a;
    case PTX_BFI:
        return insert(type, a, b, c, *at_slot(t, i->slot[4]));
    default: /* PTX_SHL, PTX_SHR */
        return shift(i, a, (uint32_t)*at_slot(t, i->slot[2]));
    }
}

/* --- memory --- */

/* Where an access goes on this machine. Global addresses are the host's own: its pages guard them. */
static unsigned char *place(const PtxInstruction *i, const Thread *t, int space, uint64_t address,
                            size_t bytes)
{
    if (address % bytes) {
        fail(i, t, "an address that is no multiple of what is moved");
    }
    if (space == PTX_GLOBAL) {
        return (unsigned char *)(uintptr_t)address;
    }
    int dynamic = space == PTX_SHARED && (uint32_t)address >= PTX_DYNAMIC;
    size_t end = space == PTX_PARAM ? block.kernel->params_bytes
                 : dynamic          ? PTX_DYNAMIC + block.dynamic
                                    : block.kernel->shared_bytes;
    if ((uint32_t)address + bytes > end) {
        fail(i, t, space == PTX_PARAM ? "reads behind the parameters" : "outside of shared memory");
    }
    return (space == PTX_PARAM ? (unsigned char *)(uintptr_t)block.params : block.shared) +
           (uint32_t)address;
}

static void load_or_store(const PtxInstruction *i, Thread *t)
{
    size_t size = i->type.bits / 8u;
    int load = i->op == PTX_LD;
    uint64_t address = *at_slot(t, i->slot[load ? i->vector : 0]) + (uint64_t)i->offset[0];
    unsigned char *at = place(i, t, i->mode, address, size * i->vector);
    for (int v = 0; v < i->vector; v++, at += size) {
        uint64_t *slot = at_slot(t, i->slot[load ? v : v + 1]), value = 0;
        uint32_t low;
        if (load && size == sizeof low) { /* as below, but fast */
            memcpy(&low, at, sizeof low);
            *slot = cut(i->type, low);
        } else if (load) {
            memcpy(&value, at, size);
            *slot = cut(i->type, value);
        } else {
            memcpy(at, slot, size);
        }
    }
}

static void copy(const PtxInstruction *i, const Thread *t)
{
    uint64_t to = *at_slot(t, i->slot[0]) + (uint64_t)i->offset[0],
             from = *at_slot(t, i->slot[1]) + (uint64_t)i->offset[1];
    size_t bytes = (uint32_t)*at_slot(t, i->slot[2]), read = (uint32_t)*at_slot(t, i->slot[3]);
    if ((bytes != 4 && bytes != 8 && bytes != 16) || read != bytes) {
        fail(i, t, "not 4, 8 or 16 bytes, or not all of them are read");
    }
    memcpy(place(i, t, PTX_SHARED, to, bytes), place(i, t, PTX_GLOBAL, from, bytes), bytes);
}

/* --- a thread, a warp and a block --- */

static void run_instruction(const PtxInstruction *i, Thread *t)
{
    switch (i->op) {
    case PTX_LD:
    case PTX_ST:
        load_or_store(i, t);
        break;
    case PTX_CP_ASYNC:
        copy(i, t);
        break;
    case PTX_BRA:
        t->next = i->target;
        break;
    case PTX_SHFL:
    case PTX_WARP:
        t->state = AT_WARP;
        break;
    case PTX_BARRIER:
        if (*at_slot(t, i->slot[0])) {
            fail(i, t, "only barrier 0 is known");
        }
        t->state = AT_BARRIER;
        break;
    case PTX_RET:
        t->state = DONE;
        break;
    case PTX_NOTHING:
        break;
    default:
        *at_slot(t, i->slot[0]) = result(i, t);
    }
}

/* fma.rn.f32, the most frequent instruction, without the detours of the others. */
static inline void multiply_add(const PtxInstruction *i, Thread *t)
{
    float x[3];
    for (int k = 0; k < 3; k++) {
        x[k] = bits_to_float((uint32_t)*at_slot(t, i->slot[k + 1]));
    }
    *at_slot(t, i->slot[0]) = float_to_bits(fmaf(x[0], x[1], x[2]));
}

/* Runs the lanes that are furthest behind, until they have come to where others are, branch or wait.
 * Whether there were any. */
static int run_lanes(Thread *warp, int lanes)
{
    Thread *together[WARP];
    int count = 0, first = INT_MAX, stop = INT_MAX, parted = 0;
    for (int lane = 0; lane < lanes; lane++) {
        int next = warp[lane].state == READY ? warp[lane].next : INT_MAX;
        stop = next < first ? first : next > first && next < stop ? next : stop;
        count = next < first ? 0 : count;
        first = next < first ? next : first;
        if (next == first && next < INT_MAX) {
            together[count++] = &warp[lane];
        }
    }
    for (int next = first; count && next < stop && !parted; next++) {
        const PtxInstruction *i = &block.kernel->code[next];
        parted = i->op == PTX_BRA || i->op == PTX_SHFL || i->op == PTX_WARP ||
                 i->op == PTX_BARRIER || i->op == PTX_RET;
        int often = i->op == PTX_FMA && i->type.bits == 32 && !i->guarded;
        steps += (size_t)count;
        for (int n = 0; n < count; n++) {
            Thread *t = together[n];
            t->next = next + 1;
            if (often) {
                multiply_add(i, t);
            } else if (!i->guarded || (*at_slot(t, i->guard) & 1)) {
                run_instruction(i, t);
            }
        }
    }
    return count;
}

/* The lanes that wait with t for each other exchange their values and go on. */
static void release(Thread *warp, int lanes, Thread *t)
{
    const PtxInstruction *i = &block.kernel->code[t->next - 1];
    int shuffle = i->op == PTX_SHFL, mask_at = i->slot[shuffle ? 5 : 0];
    uint32_t mask = (uint32_t)*at_slot(t, mask_at);
    uint64_t given[WARP];
    for (int lane = 0; lane < WARP; lane++) {
        if (mask >> lane & 1) {
            Thread *other = &warp[lane];
            if (lane >= lanes || other->state != AT_WARP || other->next != t->next ||
                (uint32_t)*at_slot(other, mask_at) != mask) {
                fail(i, t, "a lane of the mask does not come");
            }
            given[lane] = *at_slot(other, i->slot[shuffle ? 2 : 0]);
        }
    }
    if (!(mask >> (t - warp) & 1)) {
        fail(i, t, "the mask is without this lane");
    }
    for (int lane = 0; lane < lanes; lane++) {
        Thread *other = &warp[lane];
        if (!(mask >> lane & 1)) {
            continue;
        }
        other->state = READY;
        if (shuffle) {
            int clamp = (int)*at_slot(other, i->slot[4]), segment = clamp >> 8 & 31,
                last = (lane & segment) | (clamp & 31 & ~segment),
                from = lane ^ (int)(*at_slot(other, i->slot[3]) & 31);
            *at_slot(other, i->slot[1]) = from <= last;
            from = from <= last ? from : lane;
            if (!(mask >> from & 1)) {
                fail(i, other, "reads a lane that is not in the mask");
            }
            *at_slot(other, i->slot[0]) = given[from];
        }
    }
}

/* Until all lanes are at a barrier or done. */
static void run_warp(Thread *warp, int lanes)
{
    for (int waiting = 1; waiting;) {
        waiting = 0;
        while (run_lanes(warp, lanes)) {
        }
        for (int lane = 0; lane < lanes; lane++) {
            if (warp[lane].state == AT_WARP) {
                release(warp, lanes, &warp[lane]);
                waiting = 1;
            }
        }
    }
}

static void run_block(const unsigned size[3], const unsigned grid[3])
{
    memset(block.shared, 0xFF, PTX_DYNAMIC + block.dynamic); /* NaN until somebody writes */
    for (unsigned n = 0; n < block.threads; n++) {
        Thread *t = &block.thread[n];
        unsigned index[3] = {n % size[0], n / size[0] % size[1], n / size[0] / size[1]};
        t->state = READY;
        t->next = 0;
        for (int axis = 0; axis < 3; axis++) {
            *at_slot(t, PTX_TID + axis) = index[axis];
            *at_slot(t, PTX_NTID + axis) = size[axis];
            *at_slot(t, PTX_CTAID + axis) = block.index[axis];
            *at_slot(t, PTX_NCTAID + axis) = grid[axis];
        }
    }
    const Thread *waits, *done;
    do {
        waits = done = NULL;
        for (unsigned n = 0; n < block.threads; n += WARP) {
            run_warp(&block.thread[n], block.threads - n < WARP ? (int)(block.threads - n) : WARP);
        }
        for (unsigned n = 0; n < block.threads; n++) {
            Thread *t = &block.thread[n];
            if (t->state == AT_BARRIER) {
                t->state = READY;
                waits = t;
            } else {
                done = t;
            }
        }
        if (waits && done) {
            fail(&block.kernel->code[waits->next - 1], waits, "part of the block has returned");
        }
    } while (waits);
}

void ptx_run(const PtxKernel *kernel, const unsigned grid[3], const unsigned size[3],
             size_t dynamic_shared, const unsigned char *params)
{
    size_t threads = (size_t)size[0] * size[1] * size[2];
    if (!threads || threads > MOST_THREADS || !grid[0] || !grid[1] || !grid[2] || grid[1] > 65535 ||
        grid[2] > 65535 || (kernel->most_threads && threads > kernel->most_threads) ||
        kernel->shared_bytes + dynamic_shared > SHARED_LIMIT) {
        ptx_fail(kernel->module, kernel, kernel->code[0].line,
                 "a grid, block or shared memory that CUDA refuses");
    }
    if (kernel->refused) {
        ptx_fail(kernel->module, kernel, kernel->refused_line, kernel->refused);
    }
    block.kernel = kernel;
    block.params = params;
    block.dynamic = dynamic_shared;
    block.threads = (unsigned)threads;
    block.shared = memory_alloc(PTX_DYNAMIC + dynamic_shared, 1);
    size_t slots = (size_t)kernel->slots, warps = (threads + WARP - 1) / WARP;
    uint64_t *values = memory_alloc(warps * WARP * slots, sizeof *values);
    for (unsigned n = 0; n < block.threads; n++) {
        block.thread[n].values = values + n / WARP * WARP * slots + n % WARP;
        for (int slot = 0; slot < kernel->slots; slot++) {
            *at_slot(&block.thread[n], slot) = kernel->initial[slot];
        }
    }
    unsigned *at = block.index;
    for (at[2] = 0; at[2] < grid[2]; at[2]++) {
        for (at[1] = 0; at[1] < grid[1]; at[1]++) {
            for (at[0] = 0; at[0] < grid[0]; at[0]++) {
                run_block(size, grid);
            }
        }
    }
    free(values);
    free(block.shared);
}

size_t ptx_steps(void)
{
    return steps;
}
