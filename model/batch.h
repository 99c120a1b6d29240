/* A micro-batch: the tokens of its sequences one behind the other, no padding anywhere, and what
 * the ops must know of where each of them belongs. One block of integers, sent to the device at
 * once. */
#ifndef BATCH_H
#define BATCH_H

#include "model.h"

/* The tokens by the row of a table that they look up: row rows[u] by the tokens order[i], i from
 * starts[u] to starts[u + 1] - 1, ascending. */
typedef struct RowGroups {
    int count, tokens;          /* rows; tokens that look one of them up */
    int *rows, *starts, *order; /* [count], [count + 1], [tokens] */
} RowGroups;

/* Pointers are the device's from batch_put on, the host's from batch_begin until then. */
typedef struct Batch {
    int N, B, examples; /* tokens, sequences, examples */
    int longest;        /* tokens of the longest sequence */
    int losses, terms;  /* losses of a pass: of examples, or of tokens; those that have a target */
    int *tokens, *types, *positions; /* [N] rows of the three tables */
    int *places, *slots;             /* [N] place in the sequence; slot of the sequence */
    int *cu_seqlens;                 /* [B + 1] first token of each sequence, and N */
    int *sequence_slots;             /* [B] number of each sequence in the global batch */
    int *head_rows, *head_places;    /* [B] the token that the head reads, and its place */
    int *zeros, *counting;           /* [B], [B + 1] 0, 1, ... */
    int *labels;    /* [examples]; of a language model [N]: the next token, or -1 for none */
    float *targets; /* [examples], regression */
    RowGroups groups[TABLES]; /* for gradients of the tables that have one; else count 0 */
    /* of a head that reads spans, whose rows are (1 + spans) a sequence: the pooled token, then each
     * span. Tokens by the span that they are in, and spans by the tokens that are in them */
    RowGroups span_sums, span_shares;
    int *pooled_rows, *wide_counts; /* [B], [B (1 + spans)] tokens of each row */

    const Model *model;
    int max_tokens, max_sequences;
    int *host, *device; /* the block, in both memories */
    size_t bytes;       /* of it */
    int *counts;        /* [rows of the largest table], 0 between calls */
} Batch;

/* Memory for batches of at most this size, and how much that is. */
size_t batch_bytes(const Model *model, int max_tokens, int max_sequences);
void batch_init(Batch *batch, const Model *model, int max_tokens, int max_sequences);
void batch_free(Batch *batch);

/* Fills a batch: begin, then for each example its sequences and its label, then put. slot: number
 * of the sequence in the global batch, for dropout. types may be NULL: all 0. label: a class, or
 * the right choice. A language model has no label: its targets are the next tokens, unless
 * batch_targets sets others, [N]. */
void batch_begin(Batch *batch);
void batch_add(Batch *batch, const int *tokens, const int *types, int length, int slot);
/* The spans [first, end) of the sequence that was added last, config.spans of them in the order of
 * the head, none empty; they may overlap. */
void batch_spans(Batch *batch, const int (*spans)[2]);
void batch_label(Batch *batch, int label, float target);
void batch_targets(Batch *batch, const int *targets);
void batch_put(Batch *batch);

/* A batch of this size of which nothing but the size is known: for planning. */
Batch batch_of_size(const Model *model, int N, int B, int longest);

#endif
