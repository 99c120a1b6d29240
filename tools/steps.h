/* Models of random weights with all that a step of one needs: what bench and bench_peer measure. What
 * fails ends the program with one line and its code. */
#ifndef STEPS_H
#define STEPS_H

#include "optim.h"
#include "pass.h"

typedef struct Rig {
    Model model;
    State state;
    Workspace work;
    Batch batch;
    OptimConfig adamw;
} Rig;

/* RoBERTa's of width C, feed-forward width F, L layers of H heads, and SmolLM2-135M's. */
Config roberta_config(const char *name, int C, int F, int L, int H);
Config smollm_config(void);

/* Rank 8 on queries and values. */
extern const LoraConfig lora_q_v;

/* Model and state without values, for model_make or model_read; config is taken over, lora may be
 * NULL; gradients and moments if it is to train. */
void rig_open(Rig *rig, Config config, const LoraConfig *lora, int train, Backend *backend);
/* With those of a folder; what is frozen stays in the file. */
void rig_open_folder(Rig *rig, const char *folder, const LoraConfig *lora, int train,
                     Backend *backend);
void rig_free(Rig *rig);

/* Memory for B sequences of at most T tokens. */
void rig_plan(Rig *rig, int B, int T, int train, int recompute);
void rig_unplan(Rig *rig);
/* Both. */
void rig_close(Rig *rig);

/* A batch of B sequences of these lengths; number makes their tokens. */
void rig_fill(Rig *rig, const int *lengths, int B, int number);

/* Forward and backward; the gradients wait for rig_optimize, whose hashes may be NULL. */
void rig_passes(Rig *rig, int number);
void rig_optimize(Rig *rig, const OptimHashes *hashes);

/* Seconds of one training step on the batch, and of a forward pass without dropout. */
double rig_step(Rig *rig, int number);
double rig_evaluate(Rig *rig);

/* Operations of the products in a step or, if its workspace does not train, a forward pass on the
 * batch: two for each fma, as ops.def has them, but half of causal attention. */
double rig_flops(Rig *rig);

/* Seconds of a product of a linear layer of M rows from K to O, the mean of calls in a row that take at
 * least so many seconds together. which: 'f' forward, 'i' the gradient of its input, 'w' of its
 * weight. */
double product_seconds(Backend *backend, char which, int M, int O, int K, double least);

#endif
