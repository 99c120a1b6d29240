/* One optimizer step: gradient norm, clipping and AdamW over all parameters. */
#ifndef OPTIM_H
#define OPTIM_H

#include "state.h"

typedef struct OptimConfig {
    double beta1, beta2, eps, weight_decay;
    double clip; /* limit of the global norm; 0 for none */
} OptimConfig;

/* Leaves norm, clipping and whether all is finite in state->sums, whose loss must be there. Where it
 * is, the weights get their step and all gradients are 0 afterwards; else nothing is changed. */
void optim_step(State *state, const Model *model, const OptimConfig *config, double lr);

#endif
