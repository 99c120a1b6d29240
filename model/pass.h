/* One pass of a batch through a model, and what encoder and decoder have in common of it. */
#ifndef PASS_H
#define PASS_H

#include "batch.h"
#include "state.h"
#include "workspace.h"

/* p of dropout comes from the config; train 0 switches all of it off. */
typedef struct Step {
    int train;
    uint32_t step;
    uint64_t seed_dropout;
} Step;

typedef struct Pass {
    const Model *model;
    const State *state;
    const Workspace *work;
    const Batch *batch;
    Step step;
    /* Called with every named activation and gradient if set: hidden.0 .. L, attn.0 .. L-1, logits,
     * dhidden.L .. 0; x (rows, columns) is the device's. */
    void (*observe)(void *user, const char *name, const float *x, int rows, int columns);
    void *observe_user;
} Pass;

/* work->logits [examples, classes], or of a language model, whose logits are never held at once,
 * what the loss needs. */
void pass_forward(const Pass *pass);

/* work->losses of the last forward pass, added to state->sums->loss, and, if gradient, the gradient
 * of scale * their sum, added to those of the state. Labels must be in range. */
void pass_loss(const Pass *pass, float scale, int gradient);

/* What the two networks define. hidden[l] is the input of layer l. */
struct Network {
    /* The parameters and model->layers. */
    void (*add)(Model *model);
    /* work->acts [L] and work->other; memory for them from the layout. */
    size_t acts_size, other_size;
    void (*lay_out)(Workspace *work, Layout *layout, const Model *model);
    /* Values of work->other that are constant, once it is there; may be NULL. */
    void (*prepare)(Workspace *work, const Model *model);
    void (*embed)(const Pass *pass);                /* -> hidden[0] */
    void (*layer_forward)(const Pass *pass, int l); /* hidden[l] -> hidden[l + 1] */
    void (*head_forward)(const Pass *pass);         /* hidden[L] -> logits */
    void (*language_loss)(const Pass *pass, float scale, int gradient); /* decoder: as pass_loss */
    void (*head_backward)(const Pass *pass); /* d_logits -> d_last */
    /* The gradient of hidden[l + 1], in pass_d_out, becomes that of hidden[l], in d_hidden, unless
     * nothing below is trained. */
    void (*layer_backward)(const Pass *pass, int l);
    void (*embed_backward)(const Pass *pass); /* d_hidden -> gradients of the tables */
};
extern const Network encoder_network, decoder_network;

/* A weight matrix or table; a vector's values; a gradient, NULL where the parameter is frozen. */
Weight pass_weight(const Pass *pass, int index);
const float *pass_vector(const Pass *pass, int index);
float *pass_gradient(const Pass *pass, int index);

/* Calls the observer with "kind.l", or "kind" if l < 0. */
void pass_observe(const Pass *pass, const char *kind, int l, const float *x, int rows,
                  int columns);

/* Where a dropout mask stands; p is 0 outside training. */
DropoutSite pass_site(const Pass *pass, int number, float p);

/* Rows of activations and where they belong: all tokens, or one of each sequence. */
typedef struct Rows {
    int count, sequences;
    const int *cu; /* [sequences + 1]; NULL: every row is a sequence of its own */
    const int *places, *slots;
} Rows;
Rows rows_all(const Pass *pass);
Rows rows_head(const Pass *pass);

/* Whether only the head's tokens go on behind the keys and values of layer l: not where it reads
 * spans; rows_behind are those that go on. */
int pass_narrows(const Model *model, int l);
Rows rows_behind(const Pass *pass, int l);

/* Of layer l: rows_behind are the queries, all rows the keys. */
AttentionShape pass_attention(const Pass *pass, int l, int causal);

/* Where the gradient of the output of layer l is: d_hidden, or d_last. */
float *pass_d_out(const Pass *pass, int l);

/* Whether anything before this linear layer of layer l is trained: there, or below layer l. */
int pass_trains(const Pass *pass, int l, LinearKind before);

#endif
