/* All parameters of a model, known by name in one table. */
#ifndef PARAMS_H
#define PARAMS_H

#include "base.h"

#include <stdint.h>

typedef enum Init { INIT_ZERO, INIT_ONE, INIT_NORMAL } Init;

typedef struct Param {
    char name[96]; /* as in Hugging Face's file */
    int rank, shape[2];
    size_t offset, count; /* in floats of each arena */
    Init init;
    int decay; /* weight decay applies */
    int trainable;
    int head;   /* may be missing in a file: then made from the seed */
    int loaded; /* came from a file */
} Param;

typedef struct Params {
    Param *list;
    int count;
    size_t total;             /* floats of one arena */
    float *weights;           /* [total] */
    float *gradients, *m, *v; /* [total], or NULL until params_train */
} Params;

/* Appends a parameter behind the last one, without a gap: neighbours of the same width form one
 * larger matrix. Returns its index. shape1 0 makes a vector. */
int params_add(Params *params, const char *name, int shape0, int shape1, Init init, int decay,
               int head);

/* Allocates the weights, zeroed; params_train also the gradients and moments. */
void params_alloc(Params *params);
void params_train(Params *params);
void params_free(Params *params);

/* NULL if there is none. */
Param *params_find(const Params *params, const char *name);

/* Initial values of one parameter from the seed, keyed by its name: normal numbers have mean 0 and
 * this deviation. */
void param_init(const Params *params, const Param *param, uint64_t seed, float std);

#endif
