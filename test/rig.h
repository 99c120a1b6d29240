/* A model with everything that a pass of it needs, for tests. */
#ifndef RIG_H
#define RIG_H

#include "pass.h"

typedef struct Rig {
    Backend backend;
    Model model;
    State state;
    Workspace work;
    Batch batch;
} Rig;

/* The builds that rig_open takes on $SEEDBED_DEVICE: backend_builds, or "auto" alone on a device
 * that has kernels of its own. */
int rig_builds(const char *names[3]);

/* Backend (of $SEEDBED_DEVICE), model (config is taken over) and state; rig_plan makes workspace
 * and batch. Return 0 or an error. */
int rig_open(Rig *rig, const char *build, int threads, Config config, Problem problem, int classes,
             const LoraConfig *lora, Error *error);
int rig_plan(Rig *rig, int max_tokens, int max_sequences, int max_length, int recompute,
             Error *error);
void rig_free(Rig *rig);

/* A small encoder for multiple choice with so many words, on $SEEDBED_DEVICE; a failure is one of
 * the test's. */
void rig_open_small(Rig *rig, int words);

/* A pass over the batch at this step, for pass_forward and pass_loss. */
Pass rig_pass(const Rig *rig, Step step);

/* A copy of n values of the device, for the caller to free. */
float *rig_get(const Rig *rig, const float *x, size_t n);

/* The losses of the last pass, summed in double. */
double rig_loss(const Rig *rig);

/* Values of a parameter as float32, for the caller to free; and new ones for it. */
float *rig_param(const Rig *rig, const Param *param);
void rig_param_put(Rig *rig, Param *param, const float *values);

/* Initial values for a parameter, normal whatever its own rule is. */
void rig_param_normal(Rig *rig, Param *param, uint64_t seed, float std);

#endif
