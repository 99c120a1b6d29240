/* Where tensors live. Memory of a device belongs to it: only ops touch it, and put, get and view
 * are the only way across. Ops, copies and releases happen in the order in which they were
 * enqueued, so a put into memory that an earlier op reads, or its release, needs no wait; wait is
 * the only synchronisation. The clock says what a device took only behind it.
 *
 * cpu: the host's own memory; everything is done when a call returns.
 * fence: the cpu with its memory inaccessible outside of ops, and what get will bring filled with
 * NaN until wait. Whatever runs on it would run on a device with memory of its own.
 * cuda: a GPU, where the program was built with nvcc.
 * sim: CUDA's kernels (kernels/x.cu) on the emulator of test/cudasim. */
#ifndef DEVICE_H
#define DEVICE_H

#include "base.h"

struct Context;

enum { DEVICE_TEXT = 96 };

typedef struct Device {
    const char *name;
    /* Before all else: fills the context's stream, shared_limit, multiprocessors and capability, and
     * says what it is. NULL where the host's CPU computes. Errors: 69 where the machine has no such
     * device. */
    int (*start)(struct Context *ctx, char description[DEVICE_TEXT], Error *error);
    /* Zeroed, on a boundary of at least 64 bytes, never NULL (71); 0 bytes are allowed. Release
     * takes the same size, or NULL. */
    void *(*alloc)(size_t bytes);
    void (*release)(void *memory, size_t bytes);
    /* Constants for ops to read: the host's memory itself where the device can read it, which then
     * must stay as it is until unview; else a copy. */
    const void *(*view)(const void *host, size_t bytes);
    void (*unview)(const void *view, size_t bytes);
    /* Host to device, behind what was enqueued before; host may be changed or freed at once. */
    void (*put)(void *to, const void *host, size_t bytes);
    /* Device to host; host must stay, and what it holds counts after wait. */
    void (*get)(void *host, const void *from, size_t bytes);
    /* Until all that was enqueued is done. Errors: 70. backend_wait and watches call it. */
    int (*wait)(Error *error);
    /* Before and after each op; NULL where nothing is to do. What went wrong with it, or NULL. */
    void (*open)(void);
    const char *(*close)(void);
    /* Memory that the host too may touch, between wait and the next op: for tests. */
    void *(*alloc_shared)(size_t bytes);
    /* Bytes of memory that a run may have: of a GPU what is free. */
    size_t (*memory)(void);
    /* Float32 operations a second, if all of it does nothing but fma; 0 where that is not known. */
    double (*peak)(const struct Context *ctx);
} Device;

/* "cpu", "fence", "sim" or "cuda"; NULL if there is no such device. */
const Device *device_find(const char *name);

#endif
