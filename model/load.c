#include "load.h"
#include "labels.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Index of the first value that is not finite, or count. */
static size_t find_nonfinite(Weight x, size_t count)
{
    enum { BLOCK = 4096 };
    for (size_t first = 0; first < count; first += BLOCK) {
        size_t end = count - first < BLOCK ? count : first + BLOCK;
        unsigned bad = 0;
        if (x.bf16) {
            for (size_t i = first; i < end; i++) {
                bad |= (x.bf16[i] & 0x7F80u) == 0x7F80u;
            }
        } else {
            for (size_t i = first; i < end; i++) {
                bad |= !(fabsf(x.f32[i]) <= FLT_MAX);
            }
        }
        for (size_t i = first; i < end && bad; i++) {
            if (x.bf16 ? (x.bf16[i] & 0x7F80u) == 0x7F80u : !isfinite(x.f32[i])) {
                return i;
            }
        }
    }
    return count;
}

/* The values of a tensor where they are, if their type and place allow it. */
static Weight mapped(const Tensor *tensor)
{
    const void *data = tensor->data;
    uintptr_t at = (uintptr_t)data;
    return tensor->dtype == DTYPE_BF16 && at % 2 == 0  ? (Weight){.bf16 = data}
           : tensor->dtype == DTYPE_F32 && at % 4 == 0 ? (Weight){.f32 = data}
                                                       : (Weight){0};
}

int param_has_shape(const Param *param, const Tensor *tensor)
{
    int same = tensor->rank == param->rank;
    for (int i = 0; same && i < param->rank; i++) {
        same = tensor->shape[i] == (size_t)param->shape[i];
    }
    return same;
}

int param_has_classes(const Param *param)
{
    return param->head &&
           (!strncmp(param->name, "classifier.out_proj.", 20) ||
            !strncmp(param->name, "score.", 6) || !strcmp(param->name, "classifier.weight") ||
            !strcmp(param->name, "classifier.bias"));
}

static int refuse_shape(const Param *param, const Tensor *tensor, const char *path, Error *error)
{
    char shape[64] = "";
    for (int i = 0; i < tensor->rank && i < 3; i++) {
        size_t used = strlen(shape);
        snprintf(shape + used, sizeof shape - used, "%s%zu", i ? ", " : "", tensor->shape[i]);
    }
    char expected[32];
    snprintf(expected, sizeof expected, param->rank == 2 ? "%d, %d" : "%d", param->shape[0],
             param->shape[1]);
    return error_set(
        error, EXIT_BAD_DATA,
        "%s: tensor '%s' has shape [%s], the configuration and the task need [%s]%s", path,
        tensor->name, shape, expected,
        param->adapter ? "; the adapter belongs to another base model"
        : param->head  ? "; start from a model without this head, or make one with --init-head"
                       : "; get the whole model folder again");
}

int param_read(Model *model, State *state, Param *param, const Tensor *tensor, const char *path,
               const int *rows, Digest *digest, Error *error)
{
    if (!param_has_shape(param, tensor)) {
        return refuse_shape(param, tensor, path, error);
    }
    const Device *device = model->backend->device;
    Weight values = mapped(tensor);
    int view = !param->trainable && param->rank == 2 && (values.f32 || values.bf16);
    float *copy = NULL;
    if (!view && (!values.f32 || rows)) {
        copy = memory_alloc(param->count, sizeof *copy);
        if (tensor_to_float(copy, tensor, path, error)) {
            free(copy);
            return error->code;
        }
        values = (Weight){.f32 = copy};
    }
    size_t bad = find_nonfinite(values, param->count);
    if (bad < param->count) {
        free(copy);
        return error_set(error, EXIT_BAD_DATA,
                         "%s: tensor '%s': element %zu is not finite; get the file again", path,
                         tensor->name, bad);
    }
    if (rows) {
        labels_permute(copy, rows, model->O, (size_t)param->shape[1], 0);
    }
    if (digest) {
        digest_add(digest, param, values, model->backend->ctx.threads);
    }
    if (view) {
        param_view(param, values, device);
    } else {
        param_put(param, state->weights, values.f32, device);
    }
    free(copy);
    return 0;
}
