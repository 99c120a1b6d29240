/* A launch that has been found valid, on its way from runtime.cc to cudasim.cc. */
#ifndef CUDASIM_LAUNCH_H
#define CUDASIM_LAUNCH_H

#include "cuda_runtime.h"

/* Of a block: what an H100 has. */
enum { MOST_THREADS = 1024, SHARED_LIMIT = 227 * 1024 };

struct Launch {
    const char *name;
    dim3 grid, block;
    size_t shared; /* bytes of dynamic shared memory */
    void (*call)(const void *arguments);
    const void *arguments;
};

/* Runs every thread of every block. */
void cudasim_run(const Launch *launch);

#endif
