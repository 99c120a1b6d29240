/* Parameters from the tensors of a file. */
#ifndef LOAD_H
#define LOAD_H

#include "digest.h"
#include "safetensors.h"
#include "state.h"

/* One parameter from a tensor: a frozen matrix is viewed in the mapped file where its type allows
 * it, anything else copied. rows [O]: the class of each row of a head, which are put into the order
 * of the classes; NULL: as they stand. What was read is added to digest, unless that is NULL.
 * Errors: 65 another shape or type, a value that is not finite. */
int param_read(Model *model, State *state, Param *param, const Tensor *tensor, const char *path,
               const int *rows, Digest *digest, Error *error);

/* Whether the tensor has the shape of the parameter. */
int param_has_shape(const Param *param, const Tensor *tensor);

/* Whether the rows of a parameter are the classes of the head. */
int param_has_classes(const Param *param);

#endif
