/* cp.async by CUDA's pipeline primitives: a thread's copies from global to shared memory. They come
 * at the wait that covers them and not before, or, in random order, some of them at once: the
 * earliest and the latest that a device may do. */
#ifndef CUDASIM_CUDA_PIPELINE_H
#define CUDASIM_CUDA_PIPELINE_H

#include "cuda_runtime.h"

extern "C" {
void cudasim_copy(void *shared, const void *global, size_t bytes, size_t zeros, const char *file,
                  int line);
void cudasim_copy_commit(void);
void cudasim_copy_wait(unsigned groups);
}

/* bytes: 4, 8 or 16, of which the last `zeros` are written as 0 and not read. */
static inline void __pipeline_memcpy_async(void *shared, const void *global, size_t bytes,
                                           size_t zeros = 0, CUDASIM_PLACE)
{
    cudasim_copy(shared, global, bytes, zeros, file, line);
}

static inline void __pipeline_commit(void)
{
    cudasim_copy_commit();
}

/* Until all but the last `groups` groups have come. */
static inline void __pipeline_wait_prior(unsigned groups)
{
    cudasim_copy_wait(groups);
}

#endif
