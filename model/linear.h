/* Linear layers y = x weight^T + bias, with their adapters. */
#ifndef LINEAR_H
#define LINEAR_H

#include "pass.h"

typedef struct Linear {
    int weight, bias;   /* parameters; bias -1: none */
    int in, out;
    int lora_a, lora_b; /* parameters A (R, in) and B (out, R) of its adapter; -1: none */
    int layer;          /* of one in a block, as its kind */
    LinearKind kind;
} Linear;

/* Adds the parameters of a linear layer of block l, called "<module>.weight" and so on. */
Linear linear_add(Model *model, LinearKind kind, int l, int in, int out, int bias);

/* Adds those of one outside of the blocks; a head is trained in any case and may be missing in a
 * file. */
Linear linear_add_other(Model *model, const char *module, int in, int out, int bias, int head);

/* out (rows, out) = of x (rows, in). An adapter's middle is kept in work->mid. */
void linear_forward(const Pass *pass, const Linear *linear, float *out, const float *x,
                    const Rows *rows);

/* Gradients of what is trained; then dx = or += (accumulate), unless dx is NULL. x counts only
 * where linear_needs_input. */
void linear_backward(const Pass *pass, const Linear *linear, float *dx, const float *dout,
                     const float *x, const Rows *rows, int accumulate);

/* Whether its backward pass reads x: weight or adapter are trained. */
int linear_needs_input(const Model *model, const Linear *linear);

#endif
