/* The files of a Hugging Face model folder: model.safetensors, or the shards that its index names.
 */
#ifndef SHARDS_H
#define SHARDS_H

#include "safetensors.h"

typedef struct Shards {
    Safetensors *files;
    int count;
} Shards;

/* Opens all of them. Errors: 66 neither is there; 65 as safetensors_open, a name that leaves the
 * folder, a tensor that is in two files. */
int shards_open(Shards **opened, const char *folder, Error *error);

/* Closes the files; NULL is allowed. */
void shards_free(Shards *shards);

/* The tensor of a parameter, NULL if there is none: under its own name, without the architecture's
 * prefix (a bare encoder), or with the names that BERT's first checkpoints gave to layer norms.
 * path is that of its file. */
const Tensor *shards_find(const Shards *shards, const char *name, const char **path);

#endif
