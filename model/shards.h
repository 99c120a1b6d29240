/* The files of one model, and parameters from their tensors; inside of model/ alone. */
#ifndef SHARDS_H
#define SHARDS_H

#include "model.h"
#include "safetensors.h"

struct Shards {
    Safetensors *files;
    int count;
};

/* One parameter from a tensor of a file: mapped if it is frozen, else copied. Errors: 65 another
 * shape or type, a value that is not finite. */
int param_read(Model *model, Param *param, const Tensor *tensor, const char *path, Error *error);

/* Whether the tensor has the shape of the parameter. */
int param_has_shape(const Param *param, const Tensor *tensor);

/* Whether the rows of a parameter are the classes of the head. */
int param_has_classes(const Param *param);

#endif
