/* What encoder and decoder share, and what each defines; for model/ alone. */
#ifndef PARTS_H
#define PARTS_H

#include "model.h"

float *model_weight(const Model *model, int index);
float *model_gradient(const Model *model, int index);

/* Calls the observer with "kind.l", or "kind" if l < 0. */
void model_observe(const Model *model, const char *kind, int l, const float *x, int rows,
                   int columns);

/* Where a dropout mask stands; p is 0 outside training. */
DropoutSite model_site(const Step *step, int number, float p);

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
void encoder_free(Model *model);

void decoder_init(Model *model);
size_t decoder_plan(Model *model, int train);
const float *decoder_forward(Model *model, const Batch *batch, const Step *step);
void decoder_backward(Model *model, const Batch *batch, const Step *step);
void decoder_free(Model *model);

#endif
