/* Activations and their gradients for one pass at a time, and the scratch of the ops: as large as
 * the largest batch needs, one however many states a model has. */
#ifndef WORKSPACE_H
#define WORKSPACE_H

#include "model.h"

/* All pointers to float are the device's. */
typedef struct Workspace {
    int max_tokens, max_sequences, max_length;
    int train;     /* has gradients */
    int recompute; /* keeps the inputs of layers alone and computes the rest again */
    float *memory;
    size_t acts_bytes, scratch_bytes;
    float **hidden;           /* [L + 1] (N, C) outputs of embedding and layers */
    float *last_in;           /* (B, C) rows of hidden[L - 1] that the head's tokens have */
    float *d_hidden, *d_last; /* (N, C), (B, C) gradient of a layer's output; of the last one's */
    float *logits, *d_logits; /* (B, O) */
    float *losses;            /* of examples, or of tokens */
    float *(*mid)[LINEAR_KINDS]; /* [L] (rows, R) between A and B of the adapters */
    void *acts, *other;          /* of the network's own types: [L] layers, and the rest */
} Workspace;

/* Counts what batches of at most this size need, scratch of the backend included: nothing is
 * allocated on the device. Errors: 64 an op that the model needs and the backend lacks. */
int workspace_plan(Workspace *work, const Model *model, int max_tokens, int max_sequences,
                   int max_length, int train, int recompute, Error *error);

/* Allocates what was planned. */
void workspace_alloc(Workspace *work, const Model *model);

/* Calls every op of a pass over the largest batch, forward and, with training, backward: for
 * planning, while the backend is watched for WATCH_PLAN and runs none of them. */
void workspace_call_ops(const Workspace *work, const Model *model);
void workspace_free(Workspace *work, const Model *model);

/* Lays out parts of one arena, each on a cache line; counting, it only adds them up. */
typedef struct Layout {
    float *memory; /* NULL: counting */
    size_t used;
    int keep; /* what the backward pass of a layer needs is kept for it, not computed again */
} Layout;
float *layout_part(Layout *layout, size_t rows, size_t columns);

/* A buffer of a layer: of its own where the backward pass needs it and it is kept, else one of
 * most_rows that all layers share, which *shared remembers. */
float *layout_layer_part(Layout *layout, int needed, float **shared, size_t rows, size_t most_rows,
                         size_t columns);

#endif
