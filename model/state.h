/* What one seed owns: all that changes while it trains, what a checkpoint holds and what a device
 * mirrors. */
#ifndef STATE_H
#define STATE_H

#include "model.h"

/* What a model predicts for the evaluation data of K logits each, in the host's memory. */
typedef struct Evaluation {
    float *logits; /* [examples, K] */
    int *pred;     /* [examples] classes */
    double metric, majority, loss;
    double selection; /* the metric by which evaluations are compared */
    int collapsed; /* a single class, or a constant */
    int step, epoch;
} Evaluation;

/* What all evaluations of a run predicted, in the order of their steps: --epoch-preds. */
typedef struct History {
    int count;
    int *step;     /* [evaluations] */
    int *pred;     /* [evaluations, examples] */
    float *logits; /* [evaluations, examples, K] */
} History;

typedef struct State {
    float *weights;           /* [trained], all of these on the device */
    float *gradients, *m, *v; /* [trained], NULL where nothing is trained */
    float *lookup;            /* (V, C) gradient of a tied table as input: state_add_lookup */
    float *best;              /* [trained] weights of the kept evaluation, or NULL */
    float *partial;           /* sums of squares of the groups of gradients */
    StepSums *sums;           /* loss and gradient norm of the step; between steps 0 */
    double beta1_power, beta2_power; /* beta^t, for the bias correction of the moments */
    int step, epoch;
    double loss, terms; /* of the epoch: sum of the losses, and how many */
    Evaluation kept; /* the last evaluation, or the best */
    int waited;      /* evaluations since the kept one */
    History history; /* NULL and 0 without --epoch-preds */
} State;

/* Memory for a model's state; train 0: without gradients and moments; keep_best: with best. */
void state_init(State *state, const Model *model, int train, int keep_best);
/* How much memory that is, in bytes. */
size_t state_bytes(const Model *model, int train, int keep_best);
/* One of which nothing but addresses is used: for planning. */
State state_of_addresses(const Model *model, float *memory);
void state_free(State *state, const Model *model);

/* As a run begins, but for the weights: moments, gradients and sums 0, step 0. */
void state_reset(State *state, const Model *model);

/* The sums of a step = 0. */
void state_zero_sums(const State *state, const Model *model);

/* All gradients = 0. */
void state_zero_gradients(const State *state, const Model *model);

/* To be called once between the last micro-batch and the use of the gradients. A tied table gets
 * gradients as output and as input; each has its own sum over the tokens of the batch, else the
 * result would depend on micro-batches. This adds them. */
void state_add_lookup(const State *state, const Model *model);

#endif
