/* What encoder and decoder share, and what each defines; for model/ alone. */
#ifndef PARTS_H
#define PARTS_H

#include "model.h"

/* Closes the files; NULL is allowed. */
void shards_free(Shards *shards);

/* A weight matrix or table; a vector's values; a gradient, NULL where the parameter is frozen. */
Weight model_weight(const Model *model, int index);
const float *model_vector(const Model *model, int index);
float *model_gradient(const Model *model, int index);

/* Calls the observer with "kind.l", or "kind" if l < 0. */
void model_observe(const Model *model, const char *kind, int l, const float *x, int rows,
                   int columns);

/* Where a dropout mask stands; p is 0 outside training. */
DropoutSite model_site(const Step *step, int number, float p);

/* Rows of activations and where they belong: all tokens, or one of each sequence. */
typedef struct Rows {
    int count, sequences;
    const int *cu; /* [sequences + 1]; NULL: every row is a sequence of its own */
    const int *position, *slot;
} Rows;

/* A linear layer y = x weight^T + bias, and its adapter. */
typedef struct Linear {
    int weight, bias; /* parameters; bias -1: none */
    int in, out;
    int lora; /* parameter A (R, in), the next is B (out, R); -1: none */
    int site; /* of the adapter's dropout */
} Linear;

/* Adds the parameters of a linear layer of block l, called "<module>.weight" and so on. */
Linear linear_add(Model *model, LinearKind kind, int l, int in, int out, int bias);

/* Adds those of one outside of the blocks; a head is trained in any case and may be missing in a
 * file. */
Linear linear_add_other(Model *model, const char *module, int in, int out, int bias, int head);

/* mid (rows, R) is kept for the backward pass; it may be NULL without an adapter. */
void linear_forward(Model *model, const Linear *linear, float *out, float *mid, const float *x,
                    const Rows *rows, const Step *step);

/* Gradients of what is trained; then dx = or += (accumulate), unless dx is NULL. x may be NULL
 * where linear_needs_input is 0. */
void linear_backward(Model *model, const Linear *linear, float *dx, const float *dout,
                     const float *mid, const float *x, const Rows *rows, const Step *step,
                     int accumulate);
int linear_needs_input(const Model *model, const Linear *linear);

/* Floats of scratch for all passes over at most this many rows. */
size_t linear_scratch(const Model *model, const Linear *linear, size_t rows);

/* Whether something of these kinds (bits) in block l, or anything below block l, is trained. */
int model_trains(const Model *model, int l, unsigned kinds);

/* Parts of one arena, each on a cache line; with memory NULL it only counts. */
typedef struct Carver {
    float *memory;
    size_t used;
} Carver;
float *carve(Carver *carver, size_t rows, size_t columns);

size_t larger(size_t a, size_t b);

/* The parameters; activations for max_tokens and so on (returns floats of scratch, sets acts_bytes,
 * logits, d_logits); the passes; d_logits is given to backward. */
void encoder_init(Model *model);
size_t encoder_plan(Model *model, int train);
const float *encoder_forward(Model *model, const Batch *batch, const Step *step);
void encoder_backward(Model *model, const Batch *batch, const Step *step);
void encoder_unplan(Model *model); /* frees the activations */
void encoder_free(Model *model);

void decoder_init(Model *model);
size_t decoder_plan(Model *model, int train);
const float *decoder_forward(Model *model, const Batch *batch, const Step *step);
void decoder_backward(Model *model, const Batch *batch, const Step *step);
void decoder_unplan(Model *model);
void decoder_free(Model *model);

/* The decoder's loss as a language model: losses [N], 0 where there is no target; with gradient
 * also that of scale * their sum. */
void decoder_language_loss(Model *model, const Batch *batch, const Step *step, float *losses,
                           float scale, int with_gradient);

#endif
