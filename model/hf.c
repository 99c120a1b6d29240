#include "hf.h"
#include "adapter.h"
#include "labels.h"
#include "load.h"
#include "shards.h"

#include <stdlib.h>
#include <string.h>

/* What config.json calls the classes of the head. */
typedef struct HeadLabels {
    LabelFit fit;
    int *rows; /* [O] the class of each row */
    char text[256];
} HeadLabels;

static HeadLabels head_labels(const Model *model)
{
    HeadLabels labels = {.rows = memory_alloc((size_t)model->O + 1, sizeof(int))};
    if (model->labels && model->problem == PROBLEM_SINGLE) {
        labels.fit = labels_of_config(labels.rows, labels.text, model->config.json, model->labels,
                                      model->O);
    }
    return labels;
}

/* A parameter whose rows are classes, from the folder's head; its rows go by their names. */
static int read_classes(Model *model, State *state, Param *param, const Tensor *tensor,
                        const char *path, const char *folder, const HeadLabels *labels,
                        Digest *digest, Error *error)
{
    char own[256];
    int moved = 0, named = model->labels && model->problem == PROBLEM_SINGLE;
    for (int r = 0; r < model->O && labels->fit == LABELS_FIT; r++) {
        moved |= labels->rows[r] != r;
    }
    if (param_read(model, state, param, tensor, path, moved ? labels->rows : NULL, digest, error)) {
        return error->code;
    }
    if (!named) {
        return 0;
    }
    labels_text(own, model->labels, model->O);
    if (labels->fit == LABELS_OTHER) {
        return error_set(error, EXIT_BAD_DATA,
                         "%s/config.json: id2label calls the classes of the head %s; %s has %s; "
                         "name the head's task, or make a head from the seed with --init-head",
                         folder, labels->text, model->task, own);
    }
    if (moved) {
        snprintf(model->label_note, sizeof model->label_note,
                 "the model's head has %s; by these names its rows become %s", labels->text, own);
    } else if (labels->fit == LABELS_NONE) {
        snprintf(model->label_note, sizeof model->label_note,
                 "the model's head does not name its classes; its rows are taken as %s", own);
    }
    return 0;
}

size_t model_frozen_bytes(const Model *model, const char *folder)
{
    Shards *shards = NULL;
    Error none; /* whoever reads the files reports what is wrong with them */
    int copied = model->backend->device->start != NULL;
    size_t bytes = model->params.frozen * sizeof(float);
    if (folder && shards_open(&shards, folder, &none)) {
        shards = NULL;
    }
    for (int i = 0; i < model->params.count; i++) {
        const Param *param = &model->params.list[i];
        if (!param->trainable && param->rank == 2) {
            const char *path;
            const Tensor *tensor = shards ? shards_find(shards, param->name, &path) : NULL;
            int bf16 = tensor && tensor->dtype == DTYPE_BF16,
                viewed = tensor && (bf16 || tensor->dtype == DTYPE_F32);
            bytes += copied || !viewed ? param->count * (bf16 ? sizeof(uint16_t) : sizeof(float))
                                       : 0;
        }
    }
    shards_free(shards);
    return bytes;
}

int model_read(Model *model, State *state, const char *folder, uint64_t seed_init, char sha256[65],
               char **made, Error *error)
{
    int first_time = !model->shards, code = 0;
    *made = NULL;
    if (first_time && shards_open(&model->shards, folder, error)) {
        return error->code;
    }
    char *list = string_copy("");
    HeadLabels labels = head_labels(model);
    Digest digest = {0}, *digested = sha256 ? &digest : NULL;
    *model->label_note = *model->label_warning = 0;
    for (int i = 0; i < model->params.count && !code; i++) {
        Param *param = &model->params.list[i];
        if (!param->trainable && !first_time) {
            continue; /* mapped, or read before */
        }
        const char *path = folder;
        const Tensor *tensor = param->adapter ? NULL
                                              : shards_find(model->shards, param->name, &path);
        int classes = tensor && param_has_classes(param);
        if (classes && model->init_head &&
            (labels.fit == LABELS_OTHER || !param_has_shape(param, tensor))) {
            tensor = NULL;
        }
        if (tensor && classes) {
            code = read_classes(model, state, param, tensor, path, folder, &labels, digested,
                                error);
        } else if (tensor) {
            code = param_read(model, state, param, tensor, path, NULL, digested, error);
        } else if (param->adapter) {
            param_init(param, state->weights, seed_init, 0.0f, model->backend);
        } else if (param->head) {
            param_init(param, state->weights, seed_init, model->config.init_std,
                       model->backend);
            char *longer = string_format("%s%s%s", list, *list ? ", " : "", param->name);
            free(list);
            list = longer;
        } else {
            code = error_set(error, EXIT_BAD_DATA,
                             "%s: tensor '%s' is missing; get the whole model folder again", folder,
                             param->name);
        }
    }
    digest_end(code ? NULL : sha256, &digest);
    free(labels.rows);
    if (!code) {
        code = files_unchanged(error);
    }
    if (!model->lora.targets) { /* else they are viewed, until model_free */
        shards_free(model->shards);
        model->shards = NULL;
    }
    if (code) {
        free(list);
        return code;
    }
    *made = list;
    return 0;
}

void model_make(Model *model, State *state, uint64_t seed_init)
{
    for (int i = 0; i < model->params.count; i++) {
        param_init(&model->params.list[i], state->weights, seed_init, model->config.init_std,
                   model->backend);
    }
}

static int write_config(const Model *model, const char *path, const char *const *label_names,
                        int classes, Error *error)
{
    static const char *const kinds[] = {"SequenceClassification", "MultipleChoice",
                                        "SequenceClassification", "CausalLM"};
    json_t *config = json_copy(model->config.json), *id2label = json_object(),
           *label2id = json_object();
    for (int i = 0;
         i < classes && (model->problem == PROBLEM_SINGLE || model->problem == PROBLEM_REGRESSION);
         i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", i);
        json_object_set_new(id2label, number, json_text(label_names[i]));
        json_object_set_new(label2id, label_names[i], json_integer(i));
    }
    if (model->problem == PROBLEM_CHOICE) { /* of a head that the base may have had */
        json_object_del(config, "id2label");
        json_object_del(config, "label2id");
        json_object_del(config, "problem_type");
    }
    if (json_object_size(id2label)) {
        json_object_set(config, "id2label", id2label);
        json_object_set(config, "label2id", label2id);
        json_object_set_new(config, "problem_type",
                            json_string(model->problem == PROBLEM_REGRESSION
                                            ? "regression"
                                            : "single_label_classification"));
    }
    char *name = string_format("%sFor%s",
                               model->config.architecture == ARCH_LLAMA     ? "Llama"
                               : model->config.architecture == ARCH_ROBERTA ? "Roberta"
                                                                            : "Bert",
                               kinds[model->problem]);
    json_t *architectures = json_array();
    json_array_append_new(architectures, json_string(name));
    json_object_set_new(config, "architectures", architectures);
    json_object_del(config, "num_labels");
    json_object_del(config, json_object_get(config, "dtype") ? "torch_dtype" : "");
    json_object_set_new(config, json_object_get(config, "dtype") ? "dtype" : "torch_dtype",
                        json_string("float32"));
    if (model->config.spans) { /* the head is wider than that of the class that is named */
        json_object_set_new(config, "num_spans", json_integer(model->config.spans));
    } else {
        json_object_del(config, "num_spans");
    }
    json_decref(id2label);
    json_decref(label2id);
    free(name);
    return json_write_file(config, path, 0, error);
}

/* Whose values are written. */
typedef struct Weights {
    const Model *model;
    const State *state;
} Weights;

static int read_values(const TensorSource *source, void *values, size_t first, size_t count,
                       Error *error)
{
    const Weights *weights = source->user;
    const Model *model = weights->model;
    const Param *param = params_find(&model->params, source->name);
    if (adapter_of(model, param)) {
        return adapter_merge(model, weights->state, param, values, first, count, error);
    }
    param_get(param, weights->state->weights, values, first, count, model->backend->device);
    return backend_wait(model->backend, error);
}

int model_write(const Model *model, const State *state, const char *folder,
                const char *const *label_names, int classes, Error *error)
{
    if (folder_make(folder, error)) {
        return error->code;
    }
    TensorSource *sources = memory_calloc((size_t)model->params.count, sizeof *sources);
    size_t count = 0;
    const Weights weights = {model, state};
    for (int i = 0; i < model->params.count; i++) {
        const Param *param = &model->params.list[i];
        if (param->adapter) {
            continue;
        }
        int bf16 = param->frozen.bf16 && !adapter_of(model, param);
        sources[count++] = (TensorSource){.name = param->name,
                                          .dtype = bf16 ? DTYPE_BF16 : DTYPE_F32,
                                          .rank = param->rank,
                                          .shape = {(size_t)param->shape[0],
                                                    (size_t)param->shape[1]},
                                          .read = read_values,
                                          .user = &weights};
    }
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    char *path = string_format("%s/model.safetensors", folder);
    int code = safetensors_write(path, sources, count, metadata, error);
    free(path);
    free(sources);
    json_decref(metadata);
    if (!code) {
        path = string_format("%s/config.json", folder);
        code = write_config(model, path, label_names, classes, error);
        free(path);
    }
    return code;
}
