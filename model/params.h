/* All parameters of a model, known by name in one table. */
#ifndef PARAMS_H
#define PARAMS_H

#include "backend.h"
#include "base.h"

#include <stdint.h>

/* INIT_UNIFORM: in +-1/sqrt(columns), what Kaiming's rule gives for a = sqrt 5, as PEFT draws A. */
typedef enum Init { INIT_ZERO, INIT_ONE, INIT_NORMAL, INIT_UNIFORM } Init;

/* A trained parameter has its values in the arena of weights of a State. A frozen one has them once
 * for all seeds: a vector in the arena of vectors; a matrix as a view of the mapped file, or in
 * memory of its own where the file's type cannot be used in place. */
typedef struct Param {
    char name[128]; /* as in Hugging Face's file; of an adapter as in PEFT's */
    int rank, shape[2];
    size_t count;
    size_t offset; /* in floats of its arena */
    Init init;
    int decay;     /* weight decay applies */
    int trainable; /* has a gradient and moments */
    int head;      /* may be missing in a file: then made from the seed */
    int adapter;   /* never in a base model's file */
    Weight frozen; /* values of a frozen parameter, on the device */
    float *own;    /* the same, where they are no view */
} Param;

typedef struct Params {
    Param *list;
    int count;
    size_t trained; /* floats of each arena of a State: */
    size_t decayed; /* first those to which weight decay applies */
    float *vectors; /* [frozen] on the device: frozen vectors */
    size_t frozen;
} Params;

/* Appends a parameter. shape1 0 makes a vector. Returns its index. */
int params_add(Params *params, const char *name, int shape0, int shape1, Init init, int decay,
               int head);

/* Gives the trained parameters and the frozen vectors their places. */
void params_lay_out(Params *params, const Device *device);
void params_free(Params *params, const Device *device);

/* NULL if there is none. */
Param *params_find(const Params *params, const char *name);

/* Bytes of a parameter's values on the device: float32, or bf16 as the file has them. */
size_t param_bytes(const Param *param);

/* Values [count] from the host; weights is the arena of a State. */
void param_put(Param *param, float *weights, const float *values, const Device *device);

/* A frozen parameter's values where they are in a mapped file, which stays until params_free. */
void param_view(Param *param, Weight values, const Device *device);

/* Values first to first + count - 1 to the host, in their type there, valid after the device's
 * wait. */
void param_get(const Param *param, const float *weights, void *values, size_t first, size_t count,
               const Device *device);

/* Initial values of one parameter from the seed, keyed by its name: normal numbers have mean 0 and
 * this deviation. */
void param_init(Param *param, float *weights, uint64_t seed, float std,
                const Backend *backend);

#endif
