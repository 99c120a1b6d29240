/* One optimizer step: gradient norm, clipping and AdamW over all parameters. */
#ifndef OPTIM_H
#define OPTIM_H

#include "model.h"

typedef struct OptimConfig {
    double beta1, beta2, eps, weight_decay;
    double clip; /* limit of the global norm; 0 for none */
} OptimConfig;

/* Moments' decay so far, for the bias correction: beta^t by repeated multiplication, exact
 * everywhere. */
typedef struct Optim {
    OptimConfig config;
    double beta1_power, beta2_power;
} Optim;

void optim_init(Optim *optim, const OptimConfig *config);

/* Returns the gradient norm before clipping: sums of squares of fixed groups of 4096 floats, added
 * as a binary tree in double. Afterwards all gradients are 0. If the norm is not finite nothing is
 * changed. */
double optim_step(Optim *optim, Model *model, double lr);

/* Name of the first parameter with a gradient that is not finite, or NULL. */
const char *optim_find_nonfinite(const Model *model);

#endif
