/* Hugging Face model folders: weights in, weights and config out. */
#include "adapter.h"
#include "download.h"
#include "labels.h"
#include "shards.h"
#include "parts.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void shards_free(Shards *shards)
{
    for (int i = 0; shards && i < shards->count; i++) {
        safetensors_close(&shards->files[i]);
    }
    free(shards ? shards->files : NULL);
    free(shards);
}

static int shards_add(Shards *shards, const char *folder, const char *name, Error *error)
{
    char *path = string_format("%s/%s", folder, name);
    shards->files = memory_realloc(shards->files, (size_t)shards->count + 1, sizeof *shards->files);
    int code = safetensors_open(&shards->files[shards->count], path, error);
    shards->count += !code;
    free(path);
    return code;
}

/* Of a tensor in two files nobody could say which one is meant. */
static int check_twice(const Shards *shards, Error *error)
{
    for (int i = 1; i < shards->count; i++) {
        for (size_t t = 0; t < shards->files[i].count; t++) {
            const char *name = shards->files[i].tensors[t].name;
            for (int j = 0; j < i; j++) {
                if (safetensors_find(&shards->files[j], name)) {
                    return error_set(error, EXIT_BAD_DATA,
                                     "%s: tensor '%s' is in %s too; get the whole model folder "
                                     "again",
                                     shards->files[i].path, name, shards->files[j].path);
                }
            }
        }
    }
    return 0;
}

/* Every file that an index names; a name that leaves the folder is refused. */
static int shards_open_index(Shards *shards, const char *folder, const char *index_path,
                             Error *error)
{
    json_t *index, *file;
    const char *tensor;
    if (json_read_file(&index, index_path, error)) {
        return error->code;
    }
    json_t *map = json_object_get(index, "weight_map"), *seen = json_object();
    int code = json_is_object(map) && json_object_size(map)
                   ? 0
                   : error_set(
                         error, EXIT_BAD_DATA,
                         "%s: weight_map is missing or empty; get the whole model folder again",
                         index_path);
    json_object_foreach(map, tensor, file)
    {
        const char *name = json_string_value(file);
        if (code) {
            break;
        }
        if (!name || !*name || strchr(name, '/') || !strcmp(name, "..")) {
            code = error_set(
                error, EXIT_BAD_DATA,
                "%s: tensor '%s' is said to be in '%s', which is not a file of this folder",
                index_path, tensor, name ? name : "?");
        } else if (!json_object_get(seen, name)) {
            json_object_set_new(seen, name, json_true());
            code = shards_add(shards, folder, name, error);
        }
    }
    json_decref(seen);
    json_decref(index);
    return code ? code : check_twice(shards, error);
}

/* model.safetensors, or the files that model.safetensors.index.json names. Errors: 66 neither is
 * there; 65 as safetensors_open, or a name that leaves the folder. */
static int shards_open(Shards **opened, const char *folder, Error *error)
{
    Shards *shards = memory_calloc(1, sizeof *shards);
    char *single = string_format("%s/model.safetensors", folder),
         *index = string_format("%s/model.safetensors.index.json", folder);
    int code;
    if (path_exists(single)) {
        code = shards_add(shards, folder, "model.safetensors", error);
    } else if (path_exists(index)) {
        code = shards_open_index(shards, folder, index, error);
    } else {
        char *command = download_command(folder);
        code = error_set(error, EXIT_NO_INPUT,
                         "%s: neither model.safetensors nor model.safetensors.index.json is there; "
                         "get it with: %s",
                         folder, command);
        free(command);
    }
    free(single);
    free(index);
    if (code) {
        shards_free(shards);
        return code;
    }
    *opened = shards;
    return 0;
}

static const Tensor *shards_find(const Shards *shards, const char *name, const char **path)
{
    for (int i = 0; i < shards->count; i++) {
        const Tensor *tensor = safetensors_find(&shards->files[i], name);
        if (tensor) {
            *path = shards->files[i].path;
            return tensor;
        }
    }
    return NULL;
}

/* A parameter under its own name, without the architecture's prefix (a bare encoder), or with the
 * names that BERT's first checkpoints gave to layer norms. */
static const Tensor *find_tensor(const Shards *shards, const char *name, const char **path)
{
    const char *dot = strncmp(name, "bert.", 5) && strncmp(name, "roberta.", 8) ? NULL
                                                                                : strchr(name, '.');
    const Tensor *tensor = shards_find(shards, name, path);
    if (!tensor && dot) {
        tensor = shards_find(shards, dot + 1, path);
    }
    size_t length = strlen(name);
    const char *ends[][2] = {{"LayerNorm.weight", "LayerNorm.gamma"},
                             {"LayerNorm.bias", "LayerNorm.beta"}};
    for (int i = 0; i < 2 && !tensor; i++) {
        size_t end = strlen(ends[i][0]);
        if (length >= end && !strcmp(name + length - end, ends[i][0])) {
            char *old = string_format("%.*s%s", (int)(length - end), name, ends[i][1]);
            tensor = shards_find(shards, old, path);
            if (!tensor && dot) {
                tensor = shards_find(shards, old + (dot - name) + 1, path);
            }
            free(old);
        }
    }
    return tensor;
}

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

int param_read(Model *model, Param *param, const Tensor *tensor, const char *path, Error *error)
{
    if (!param_has_shape(param, tensor)) {
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
    Weight values = mapped(tensor);
    if (param->trainable || param->rank == 1 || !(values.f32 || values.bf16)) {
        float *copy = param_values(&model->params, param);
        if (tensor_to_float(copy, tensor, path, error)) {
            return error->code;
        }
        values = (Weight){.f32 = copy};
    }
    size_t bad = find_nonfinite(values, param->count);
    if (bad < param->count) {
        return error_set(error, EXIT_BAD_DATA,
                         "%s: tensor '%s': element %zu is not finite; get the file again", path,
                         tensor->name, bad);
    }
    param->weight = values;
    return 0;
}

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
static int read_classes(Model *model, Param *param, const Tensor *tensor, const char *path,
                        const char *folder, const HeadLabels *labels, Error *error)
{
    char own[256];
    int moved = 0;
    if (param_read(model, param, tensor, path, error)) {
        return error->code;
    }
    if (!model->labels || model->problem != PROBLEM_SINGLE) {
        return 0;
    }
    labels_text(own, model->labels, model->O);
    if (labels->fit == LABELS_OTHER) {
        return error_set(error, EXIT_BAD_DATA,
                         "%s/config.json: id2label calls the classes of the head %s; %s has %s; "
                         "name the head's task, or make a head from the seed with --init-head",
                         folder, labels->text, model->task, own);
    }
    for (int r = 0; r < model->O && labels->fit == LABELS_FIT; r++) {
        moved |= labels->rows[r] != r;
    }
    if (moved) {
        labels_permute(param_values(&model->params, param), labels->rows, model->O,
                       (size_t)param->shape[1], 0);
        snprintf(model->label_note, sizeof model->label_note,
                 "the model's head has %s; by these names its rows become %s", labels->text, own);
    } else if (labels->fit == LABELS_NONE) {
        snprintf(model->label_note, sizeof model->label_note,
                 "the model's head does not name its classes; its rows are taken as %s", own);
    }
    return 0;
}

int model_read(Model *model, const char *folder, uint64_t seed_init, char **made, Error *error)
{
    int first_time = !model->shards;
    *made = NULL;
    if (first_time && shards_open(&model->shards, folder, error)) {
        return error->code;
    }
    int code = 0;
    char *list = string_copy("");
    HeadLabels labels = head_labels(model);
    *model->label_note = *model->label_warning = 0;
    for (int i = 0; i < model->params.count && !code; i++) {
        Param *param = &model->params.list[i];
        if (!param->trainable && !first_time) {
            continue; /* mapped, or read before */
        }
        const char *path = folder;
        const Tensor *tensor = param->adapter ? NULL
                                              : find_tensor(model->shards, param->name, &path);
        int classes = tensor && param_has_classes(param);
        if (classes && model->init_head &&
            (labels.fit == LABELS_OTHER || !param_has_shape(param, tensor))) {
            tensor = NULL;
        }
        param->stored = tensor != NULL;
        if (tensor && classes) {
            code = read_classes(model, param, tensor, path, folder, &labels, error);
        } else if (tensor) {
            code = param_read(model, param, tensor, path, error);
        } else if (param->adapter) {
            param_init(&model->params, param, seed_init, 0.0f);
        } else if (param->head) {
            param_init(&model->params, param, seed_init, model->config.init_std);
            char *longer = string_format("%s%s%s", list, *list ? ", " : "", param->name);
            free(list);
            list = longer;
        } else {
            code = error_set(error, EXIT_BAD_DATA,
                             "%s: tensor '%s' is missing; get the whole model folder again", folder,
                             param->name);
        }
    }
    free(labels.rows);
    if (!code) {
        code = files_unchanged(error);
    }
    if (code || !model->lora.targets) {
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

void model_make(Model *model, uint64_t seed_init)
{
    for (int i = 0; i < model->params.count; i++) {
        param_init(&model->params, &model->params.list[i], seed_init, model->config.init_std);
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
    char *text = json_dumps(config, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_ENSURE_ASCII);
    json_decref(config);
    json_decref(id2label);
    json_decref(label2id);
    free(name);
    Writer writer;
    if (writer_open(&writer, path, error)) {
        free(text);
        return error->code;
    }
    fprintf(writer.stream, "%s\n", text);
    free(text);
    return writer_commit(&writer, error);
}

int model_write(const Model *model, const char *folder, const char *const *label_names, int classes,
                Error *error)
{
    if (folder_make(folder, error)) {
        return error->code;
    }
    TensorSource *sources = memory_calloc((size_t)model->params.count, sizeof *sources);
    float **merged = memory_calloc((size_t)model->params.count, sizeof *merged);
    size_t count = 0;
    for (int i = 0; i < model->params.count; i++) {
        const Param *param = &model->params.list[i];
        if (param->adapter) {
            continue;
        }
        int adapter = adapter_of(model, param->name);
        if (adapter >= 0) {
            merged[count] = memory_alloc(param->count, sizeof **merged);
            adapter_merge(model, adapter, merged[count]);
        }
        const void *stored = param->weight.bf16 ? (const void *)param->weight.bf16
                                                : (const void *)param->weight.f32;
        sources[count] = (TensorSource){.name = param->name,
                                        .dtype = param->weight.bf16 && !merged[count] ? DTYPE_BF16
                                                                                      : DTYPE_F32,
                                        .rank = param->rank,
                                        .shape = {(size_t)param->shape[0], (size_t)param->shape[1]},
                                        .data = merged[count] ? merged[count] : stored};
        count++;
    }
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    char *path = string_format("%s/model.safetensors", folder);
    int code = safetensors_write(path, sources, count, metadata, error);
    free(path);
    free(sources);
    for (size_t i = 0; i < count; i++) {
        free(merged[i]);
    }
    free(merged);
    json_decref(metadata);
    if (!code) {
        path = string_format("%s/config.json", folder);
        code = write_config(model, path, label_names, classes, error);
        free(path);
    }
    return code;
}
