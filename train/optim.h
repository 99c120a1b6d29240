/* One optimizer step: gradient norm, clipping and AdamW over all parameters. */
#ifndef OPTIM_H
#define OPTIM_H

#include "state.h"

typedef struct OptimConfig {
    double beta1, beta2, eps, weight_decay;
    double clip;     /* limit of the global norm; 0 for none */
    int uncorrected; /* moments stay biased to 0, as in google-research/bert */
} OptimConfig;

/* Wants to see every trained parameter as soon as AdamW has changed it, in pieces that are still in
 * the CPU's caches then: count values from first on of the index-th parameter that is trained. */
typedef struct OptimWatch {
    void (*piece)(void *user, size_t index, const Param *param, size_t first, size_t count);
    void *user;
} OptimWatch;

/* A piece begins at a multiple of this, and no number in it depends on how it was cut. */
enum { OPTIM_PIECE = 1 << 20 };

/* Enqueues the step, whose loss is in state->sums, and waits for it: sums gets loss, norm before
 * clipping, and whether both are finite. If they are, weights, moments and the state's counters
 * have their step and all gradients are 0 afterwards; else none of these was changed. watch may be
 * NULL. Errors: 70. */
int optim_step(State *state, const Model *model, const OptimConfig *config, double lr,
               const OptimWatch *watch, StepSums *sums, Error *error);

#endif
