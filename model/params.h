/* All parameters of a model, known by name in one table. */
#ifndef PARAMS_H
#define PARAMS_H

#include "base.h"
#include "ops.h"

#include <stdint.h>

/* INIT_UNIFORM: in +-1/sqrt(columns), what Kaiming's rule gives for a = sqrt 5, as PEFT draws A. */
typedef enum Init { INIT_ZERO, INIT_ONE, INIT_NORMAL, INIT_UNIFORM } Init;

/* A trained parameter, and every frozen vector, has its values in the arena of weights. A frozen
 * matrix stays in the mapped file, or has a copy of its own where the file's type cannot be used in
 * place. */
typedef struct Param {
    char name[128]; /* as in Hugging Face's file; of an adapter as in PEFT's */
    int rank, shape[2];
    size_t offset, count; /* in floats of each arena */
    Init init;
    int decay;     /* weight decay applies */
    int trainable; /* has a gradient and moments */
    int head;      /* may be missing in a file: then made from the seed */
    int adapter;   /* never in a base model's file */
    int stored;    /* its values are from the base model's file */
    Weight weight; /* its values, once they are there */
    float *copy;   /* [count] of a frozen matrix, or NULL */
} Param;

typedef struct Params {
    Param *list;
    int count;
    size_t total;             /* floats of the arena of weights */
    size_t trained;           /* floats of the others: the first so many weights */
    float *weights;           /* [total] */
    float *gradients, *m, *v; /* [trained], or NULL until params_train */
} Params;

/* Appends a parameter. shape1 0 makes a vector. Returns its index. */
int params_add(Params *params, const char *name, int shape0, int shape1, Init init, int decay,
               int head);

/* Gives the trained parameters and the frozen vectors their places, and allocates the weights,
 * zeroed; params_train also the gradients and moments. */
void params_alloc(Params *params);
void params_train(Params *params);
void params_free(Params *params);

/* NULL if there is none. */
Param *params_find(const Params *params, const char *name);

/* The values of a parameter that is not mapped, for writing them; a frozen matrix gets its copy. */
float *param_values(Params *params, Param *param);

/* Initial values of one parameter from the seed, keyed by its name: normal numbers have mean 0 and
 * this deviation. */
void param_init(Params *params, Param *param, uint64_t seed, float std);

#endif
