/* Encoders (RoBERTa, BERT) and decoders (Llama), for sequence classification and, decoders, as
 * language models; each written once over the op table, trained whole or by LoRA adapters.
 *
 *     Model      what it is: shape, parameter table, frozen values. One for all seeds.
 *     State      what a seed owns: trained weights, gradients, moments, counters (state.h).
 *     Workspace  activations of one pass, scratch; one however many seeds (workspace.h).
 *     Batch      the examples of one pass (batch.h).
 *     Pass       these four together: what every function of a forward or backward pass takes.
 *
 *     batch -> embed -> hidden[0] -> layer 0 -> hidden[1] -> ... -> hidden[L] -> head -> logits
 *                                                                          -> losses, d_logits
 *     In the last layer only the token that the head reads goes on after the keys and values: the
 *     first of each sequence in an encoder, the last in a decoder. A language model reads all. */
#ifndef MODEL_H
#define MODEL_H

#include "backend.h"
#include "config.h"
#include "lora.h"
#include "params.h"

typedef enum Problem {
    PROBLEM_SINGLE,
    PROBLEM_CHOICE,
    PROBLEM_REGRESSION,
    PROBLEM_LANGUAGE
} Problem;

enum { TABLES = 3 }; /* of embeddings: words, positions, token types */

typedef struct Network Network;
typedef struct Shards Shards;

typedef struct Model {
    Config config;
    Problem problem;
    int O;       /* outputs of the head */
    int choices; /* sequences of one example: 1 unless PROBLEM_CHOICE */
    LoraConfig lora;
    Params params;
    int tables[TABLES]; /* the parameters; a decoder has words alone */
    int trained_tables; /* how many have a gradient: all, or none */
    Backend *backend;
    const Network *network; /* encoder or decoder */
    void *layers;           /* the parameters of its layers, of the network's own type */
    Shards *shards;         /* files in which frozen matrices are mapped */
    const char *task;       /* what the head is for, or NULL; set before reading, as the next two */
    const char *const *labels; /* [classes] names by id; NULL: rows of heads go by position */
    int init_head;             /* a head of other classes than the folder's is made from the seed */
    char label_note[640], label_warning[640]; /* how names of a head were understood; "" */
} Model;

/* Takes over config and makes the parameter table. classes is K of the task, the length of a row of
 * logits of one example (choices for PROBLEM_CHOICE, 1 for regression, 0 for PROBLEM_LANGUAGE).
 * lora NULL: all parameters are trained; else its adapters and the head. */
void model_init(Model *model, Config config, Problem problem, int classes, const LoraConfig *lora,
                Backend *backend);
void model_free(Model *model);

/* Counts by what they are: adapters, head, all that is trained, all. */
typedef struct ModelCounts {
    size_t adapters, head, trained, all;
    int pairs; /* of A and B */
} ModelCounts;
ModelCounts model_counts(const Model *model);

#endif
