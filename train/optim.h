/* One optimizer step: gradient norm, clipping and AdamW over all parameters. */
#ifndef OPTIM_H
#define OPTIM_H

#include "state.h"

typedef struct OptimConfig {
    double beta1, beta2, eps, weight_decay;
    double clip; /* limit of the global norm; 0 for none */
} OptimConfig;

/* Enqueues the step, whose loss is in state->sums, and waits for it: sums gets loss, norm before
 * clipping, and whether both are finite. If they are, weights, moments and the state's counters
 * have their step and all gradients are 0 afterwards; else none of these was changed. Errors: 70.
 */
int optim_step(State *state, const Model *model, const OptimConfig *config, double lr,
               StepSums *sums, Error *error);

#endif
