/* The files of one model; for model/ and tools that copy models. */
#ifndef SHARDS_H
#define SHARDS_H

#include "model.h"
#include "safetensors.h"

struct Shards {
    Safetensors *files;
    int count;
};

/* model.safetensors, or the files that model.safetensors.index.json names. Free with shards_free.
 * Errors: 66 neither is there; 65 as safetensors_open, or a name that leaves the folder. */
int shards_open(Shards **shards, const char *folder, Error *error);

/* One parameter from a tensor of a file: mapped if it is frozen, else copied. Errors: 65 another
 * shape or type, a value that is not finite. */
int param_read(Model *model, Param *param, const Tensor *tensor, const char *path, Error *error);
int param_has_shape(const Param *param, const Tensor *tensor);

/* Whether the rows of a parameter are the classes of the head. */
int param_has_classes(const Param *param);

#endif
