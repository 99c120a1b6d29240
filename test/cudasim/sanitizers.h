/* What AddressSanitizer and ThreadSanitizer have to know of fibers. ThreadSanitizer sees the
 * threads of a block as threads, ordered by __syncthreads and __syncwarp alone, so it reports races
 * of a kernel in whatever order it ran; the emulator itself is compiled without it, with
 * -DCUDASIM_TSAN. Without a sanitizer all of this is empty. */
#ifndef CUDASIM_SANITIZERS_H
#define CUDASIM_SANITIZERS_H

#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__
#endif
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(CUDASIM_TSAN)
enum { STACK = 256 * 1024 };
#else
enum { STACK = 64 * 1024 };
#endif

/* Of a fiber, or of the host's own stack. */
struct Sanitized {
    void *fake_stack;
    const void *bottom;
    size_t size;
    void *thread;
};

#if defined(__SANITIZE_ADDRESS__)

#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

static inline void sanitize_start(Sanitized *fiber, const void *bottom, size_t size)
{
    __asan_unpoison_memory_region(bottom, size); /* of the frames that its last thread left */
    fiber->bottom = bottom;
    fiber->size = size;
}

static inline void sanitize_leave(Sanitized *me, int for_good, const Sanitized *next)
{
    __sanitizer_start_switch_fiber(for_good ? NULL : &me->fake_stack, next->bottom, next->size);
}

static inline void sanitize_return(Sanitized *me)
{
    __sanitizer_finish_switch_fiber(me->fake_stack, NULL, NULL);
}

static inline void sanitize_begin(Sanitized *host)
{
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(NULL, &bottom, &size);
    if (!host->bottom) { /* the first fiber comes from there */
        host->bottom = bottom;
        host->size = size;
    }
}

#elif defined(CUDASIM_TSAN)

extern "C" {
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
}

static inline void sanitize_start(Sanitized *fiber, const void *, size_t)
{
    if (!fiber->thread) {
        fiber->thread = __tsan_create_fiber(0);
    }
}

static inline void sanitize_leave(Sanitized *me, int, const Sanitized *next)
{
    const unsigned no_order = 1;
    if (!me->thread) {
        me->thread = __tsan_get_current_fiber(); /* the host's */
    }
    __tsan_switch_to_fiber(next->thread, no_order);
}

static inline void sanitize_return(Sanitized *) {}
static inline void sanitize_begin(Sanitized *) {}

#else

static inline void sanitize_start(Sanitized *, const void *, size_t) {}
static inline void sanitize_leave(Sanitized *, int, const Sanitized *) {}
static inline void sanitize_return(Sanitized *) {}
static inline void sanitize_begin(Sanitized *) {}

#endif

/* What was done before an order_release is before what comes behind an order_acquire of the same
 * address. */
#if defined(CUDASIM_TSAN)
extern "C" {
void __tsan_acquire(void *address);
void __tsan_release(void *address);
}
static inline void order_acquire(void *address)
{
    __tsan_acquire(address);
}
static inline void order_release(void *address)
{
    __tsan_release(address);
}
#else
static inline void order_acquire(void *) {}
static inline void order_release(void *) {}
#endif

#endif
