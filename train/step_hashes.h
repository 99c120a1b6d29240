/* Hashes of what a step leaves of each trained parameter: gradients behind their norm, weights and
 * moments behind AdamW of each piece, while it is in the CPU's caches. */
#ifndef STEP_HASHES_H
#define STEP_HASHES_H

#include "optim.h"
#include "trace.h"

typedef struct StepHashes {
    const Model *model;
    const State *state;
    uint64_t *sums; /* [trained parameters][kinds] on the device, the caller's; 0 before a step */
    size_t kinds;   /* 1: of the weights alone; TRACE_HASHES: all */
    int inside;     /* an op that is called now is one of these hashes */
    OptimWatch watch; /* for optim_step: hashes weights; the moments too where it is all kinds */
} StepHashes;

/* May not be copied afterwards. */
void step_hashes_init(StepHashes *hashes, const Model *model, const State *state, uint64_t *sums,
                      size_t kinds);

/* sums[i apart] += the hash of the i-th trained parameter in an arena of the state. */
void step_hashes_arena(StepHashes *hashes, uint64_t *sums, const float *arena, size_t apart);

#endif
