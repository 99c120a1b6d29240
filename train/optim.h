/* One optimizer step: gradient norm, clipping and AdamW over all parameters. */
#ifndef OPTIM_H
#define OPTIM_H

#include "state.h"

typedef struct OptimConfig {
    double beta1, beta2, eps, weight_decay;
    double clip;     /* limit of the global norm; 0 for none */
    int uncorrected; /* moments stay biased to 0, as in google-research/bert */
} OptimConfig;

/* Where AdamW adds hashes of what it reads and writes, while it is in the CPU's caches: those of the op
 * hash, for each parameter that is trained 1, of its weights, or 4, of weights, gradient, m and v. */
typedef struct OptimHashes {
    uint64_t *sums; /* [trained parameters][kinds] on the device */
    int kinds;
} OptimHashes;

/* Enqueues the step, whose loss is in state->sums, and waits for it: sums gets loss, norm before
 * clipping, and whether both are finite. If they are, weights, moments and the state's counters
 * have their step and all gradients are 0 afterwards; else none of these was changed. hashes may be
 * NULL. Errors: 70. */
int optim_step(State *state, const Model *model, const OptimConfig *config, double lr,
               const OptimHashes *hashes, StepSums *sums, Error *error);

#endif
