/* Hugging Face model folders: weights in, weights and config out. */
#ifndef HF_H
#define HF_H

#include "state.h"

/* Reads a folder's weights: model.safetensors or shards. What is trained goes to the state; frozen
 * matrices of float32 and bf16 are viewed, not copied, until model_free; a second call leaves what
 * is frozen as it is. Adapters, and parameters of the head that the file lacks, are made from
 * seed_init (the head's names go to made, a comma-separated list, freed by the caller). Where
 * config.json names the classes of a head, its rows are put into the order of model->labels, and
 * label_note says so. Unknown tensors are ignored. sha256, unless NULL: the digest of what this
 * call read (digest.h). Errors: 65 a missing tensor, wrong shape or type, a value that is not
 * finite, names that are no classes of the task; 66 no file. */
int model_read(Model *model, State *state, const char *folder, uint64_t seed_init, char sha256[65],
               char **made, Error *error);

/* Bytes of what is frozen in the device's memory; of a folder's files the headers are read. folder
 * NULL: a model without a file. */
size_t model_frozen_bytes(const Model *model, const char *folder);

/* Every parameter from the seed: a model without a file. */
void model_make(Model *model, State *state, uint64_t seed_init);

/* Writes config.json and model.safetensors such that transformers loads them; label_names
 * [classes]. Adapters are merged into their layers, in float32; what is frozen stays in its type.
 * The folder is made. Errors: 73, 74, 77. */
int model_write(const Model *model, const State *state, const char *folder,
                const char *const *label_names, int classes, Error *error);

#endif
