/* Encoders (RoBERTa, BERT) and decoders (Llama), for sequence classification and, decoders, as
 * language models; each written once over the op table, trained whole or by LoRA adapters.
 *
 * A batch is packed: the tokens of its sequences stand one behind the other, no padding anywhere.
 * In the last block only the token that the head reads goes on after the keys and values: the first
 * of each sequence in an encoder, the last in a decoder. */
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

/* B sequences; an example has `choices` sequences in a row (1 unless PROBLEM_CHOICE). Not owned by
 * the model. */
typedef struct Batch {
    int N, B;
    const int *tokens, *types; /* [N] */
    const int *cu_seqlens;     /* [B + 1] */
    const int *slots;          /* [B] number of each sequence in the global batch, for dropout */
    const int *labels;         /* [examples]; the next token, or -1, of each [N] token; or NULL */
    const float *targets;      /* [examples], regression */
} Batch;

/* What a run needs to draw its dropout masks. p comes from the config; train 0 switches all of them
 * off. */
typedef struct Step {
    int train;
    uint32_t step;
    uint64_t seed_dropout;
} Step;

typedef struct Encoder Encoder;
typedef struct Decoder Decoder;
typedef struct Shards Shards;

typedef struct Model {
    Config config;
    Problem problem;
    int O;       /* outputs of the head */
    int choices; /* sequences of one example */
    LoraConfig lora;
    Params params;
    Backend *backend;
    Encoder *encoder; /* layers and activations of one of the two */
    Decoder *decoder;
    Shards *shards;           /* files in which frozen matrices are mapped */
    float *logits, *d_logits; /* (B, O) of the last pass */
    float *d_lookup;  /* (V, C) where embeddings are also the output: see model_add_lookups */
    int recompute;    /* keep the inputs of blocks alone, compute the rest again */
    const char *task; /* what the head is for, or NULL; set before reading, as the next two */
    const char *const *labels; /* [classes] names by id; NULL: rows of heads go by position */
    int init_head;             /* a head of other classes than the folder's is made from the seed */
    char label_note[640], label_warning[640]; /* how names of a head were understood; "" */
    int max_tokens, max_sequences, max_length;
    size_t acts_bytes, scratch_bytes;
    /* Called with every named activation and gradient if set: hidden.0 .. L, attn.0 .. L-1, logits,
     * dhidden.L .. 0. */
    void (*observe)(void *user, const char *name, const float *x, int rows, int columns);
    void *observe_user;
} Model;

/* Takes over config and makes the parameter table; weights are zero. classes is K of the task, the
 * length of a row of logits of one example (choices for PROBLEM_CHOICE, 1 for regression, 0 for
 * PROBLEM_LANGUAGE). lora NULL: all parameters are trained; else its adapters and the head. */
void model_init(Model *model, Config config, Problem problem, int classes, const LoraConfig *lora,
                Backend *backend);
void model_free(Model *model);

/* Plans and allocates activations for batches of at most this size, gradients and moments if train,
 * and the scratch of the backend. Set recompute before. Bytes are in acts_bytes and scratch_bytes.
 */
void model_plan(Model *model, int max_tokens, int max_sequences, int max_length, int train);

/* Returns logits [examples, classes], in the model's memory until the next call; NULL for a
 * language model, whose logits are never held at once. */
const float *model_forward(Model *model, const Batch *batch, const Step *step);

/* Losses [examples], or [N] by token, of the last forward pass and, if gradient, the gradient of
 * scale * their sum, added to the parameters' gradients. labels must be in range. */
void model_loss(Model *model, const Batch *batch, const Step *step, float *losses, float scale,
                int gradient);

/* All gradients = 0. */
void model_zero_gradients(Model *model);

/* To be called once between the last micro-batch and the use of the gradients. A tied table gets
 * gradients as output and as input; each has its own sum over the tokens of the batch, else the
 * result would depend on micro-batches. This adds them. */
void model_add_lookups(Model *model);

/* Counts by what they are: adapters, head, all that is trained, all. */
typedef struct ModelCounts {
    size_t adapters, head, trained, all;
    int pairs; /* of A and B */
} ModelCounts;
ModelCounts model_counts(const Model *model);

/* Reads a Hugging Face folder's weights into the table: model.safetensors or shards. Frozen
 * matrices of float32 and bf16 are mapped, not copied, until model_free; a second call leaves what
 * is frozen as it is. Adapters, and parameters of the head that the file lacks, are made from
 * seed_init (the head's names go to made, a comma-separated list, freed by the caller). Where
 * config.json names the classes of a head, its rows are put into the order of model->labels, and
 * label_note says so. Unknown tensors are ignored. Errors: 65 a missing tensor, wrong shape or
 * type, a value that is not finite, names that are no classes of the task; 66 no file. */
int model_read(Model *model, const char *folder, uint64_t seed_init, char **made, Error *error);

/* SHA-256 of the parameters that model_read found in the folder: names, shapes and values in the
 * order of their names. Files of the same values have the same digest, be they one or many, float32
 * or bf16. */
void model_sha256(char hex[65], const Model *model);

/* Every parameter from the seed: a model without a file. */
void model_make(Model *model, uint64_t seed_init);

/* Writes config.json and model.safetensors such that transformers loads them; label_names
 * [classes]. Adapters are merged into their layers, in float32; what is frozen stays in its type.
 * The folder is made. Errors: 73, 74, 77. */
int model_write(const Model *model, const char *folder, const char *const *label_names, int classes,
                Error *error);

#endif
