#include "adapter.h"
#include "labels.h"
#include "load.h"
#include "weight.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char adapter_prefix[] = "base_model.model.";

/* The name under which PEFT saves: without ".default" and ".modules_to_save". */
static void plain_name(char *out, size_t size, const char *name)
{
    static const char *const parts[] = {".modules_to_save", ".default"};
    snprintf(out, size, "%s", name);
    for (int i = 0; i < 2; i++) {
        char *at = strstr(out, parts[i]);
        size_t length = strlen(parts[i]);
        if (at && at[length] == '.') {
            memmove(at, at + length, strlen(at + length) + 1);
        }
    }
}

/* Whether adapter_config.json says that the model classifies. */
static int says_classifier(int *says, const char *folder, Error *error)
{
    json_t *json;
    char *path = string_format("%s/adapter_config.json", folder);
    int code = json_read_file(&json, path, error);
    free(path);
    if (!code) {
        const char *type = json_string_value(json_object_get(json, "task_type"));
        *says = type && !strcmp(type, "SEQ_CLS");
        json_decref(json);
    }
    return code;
}

static int find_head(Problem *problem, int *classes, const Safetensors *file, Config *config,
                     Error *error)
{
    static const char *const heads[] = {"base_model.model.score.weight",
                                        "base_model.model.classifier.weight",
                                        "base_model.model.classifier.out_proj.weight"};
    int llama = config->architecture == ARCH_LLAMA;
    for (size_t i = 0; i < file->count; i++) {
        const Tensor *tensor = &file->tensors[i];
        char name[256];
        plain_name(name, sizeof name, tensor->name);
        if (strcmp(name, heads[llama ? 0 : 1]) && (llama || strcmp(name, heads[2]))) {
            continue;
        }
        if (tensor->rank != 2 || tensor->shape[0] < 1 || tensor->shape[0] > 100000) {
            return REFUSE("%s: the head '%s' must have a row for each of 1 to 100000 classes",
                          file->path, tensor->name);
        }
        /* a RoBERTa whose head is one matrix chooses among sequences */
        int choice = config->architecture == ARCH_ROBERTA && !strcmp(name, heads[1]);
        *classes = (int)tensor->shape[0];
        size_t wide = tensor->shape[1] / (size_t)config->C;
        config->spans = wide > 1 && wide < 16 && tensor->shape[1] % (size_t)config->C == 0
                            ? (int)wide - 1
                            : 0;
        *problem = choice ? PROBLEM_CHOICE : *classes == 1 ? PROBLEM_REGRESSION : PROBLEM_SINGLE;
        return 0;
    }
    *classes = 0;
    *problem = PROBLEM_LANGUAGE;
    return 0;
}

int adapter_head(Problem *problem, int *classes, const char *folder, Config *config, Error *error)
{
    Safetensors file;
    int needed = 0;
    char *path = string_format("%s/adapter_model.safetensors", folder);
    int code = says_classifier(&needed, folder, error) || safetensors_open(&file, path, error)
                   ? error->code
                   : 0;
    if (!code) {
        code = find_head(problem, classes, &file, config, error);
        safetensors_close(&file);
        if (!code && *problem == PROBLEM_LANGUAGE &&
            (needed || config->architecture != ARCH_LLAMA)) {
            code = REFUSE("%s: the head is missing; train one with --adapter and --init-head",
                          path);
        }
    }
    free(path);
    return code;
}

/* The parameter of a tensor of an adapter's file, or NULL. */
static Param *param_of(const Model *model, const char *tensor)
{
    char name[256];
    plain_name(name, sizeof name, tensor);
    Param *param = params_find(&model->params, name);
    if (param && param->adapter) {
        return param;
    }
    size_t prefix = sizeof adapter_prefix - 1;
    param = strncmp(name, adapter_prefix, prefix) ? NULL
                                                  : params_find(&model->params, name + prefix);
    return param && param->head ? param : NULL;
}

json_t *adapter_label_names(const Safetensors *file)
{
    const char *text = safetensors_meta(file, "label_names");
    json_t *list = text ? json_loads(text, 0, NULL) : NULL;
    if (!json_is_array(list)) {
        json_decref(list);
        return NULL;
    }
    return list;
}

/* Which class each row of the adapter's head is: by the names that our files have, else by those of
 * the base, which are what PEFT's users see. */
static LabelFit adapter_labels(const Model *model, const Safetensors *file, int *rows,
                               char text[256])
{
    *text = 0;
    if (!model->labels || model->problem != PROBLEM_SINGLE) {
        return LABELS_NONE;
    }
    json_t *list = adapter_label_names(file);
    LabelFit fit = list ? labels_of_list(rows, text, list, model->labels, model->O)
                        : labels_of_config(rows, text, model->config.json, model->labels, model->O);
    if (!list && fit == LABELS_OTHER &&
        json_object_size(json_object_get(model->config.json, "id2label")) != (size_t)model->O) {
        fit = LABELS_NONE; /* of another head than this one */
    }
    json_decref(list);
    return fit;
}

/* Says how the head of an adapter was understood, and warns of one of another task. */
static void describe_head(Model *model, const Safetensors *file, LabelFit fit, const int *rows,
                          const char *text, int init_head)
{
    const char *task = safetensors_meta(file, "task");
    char own[256];
    int moved = 0, other = task && model->task && strcmp(task, model->task) != 0;
    labels_text(own, model->labels, model->problem == PROBLEM_SINGLE ? model->O : 0);
    for (int r = 0; r < model->O && fit == LABELS_FIT; r++) {
        moved |= rows[r] != r;
    }
    *model->label_note = 0;
    if (other || fit == LABELS_OTHER) {
        snprintf(model->label_warning, sizeof model->label_warning,
                 "the head of the adapter was trained for %s%s%s%s, not for %s%s%s%s; %s",
                 task ? task : "other classes", *text ? " (" : "", text, *text ? ")" : "",
                 model->task, *own ? " (" : "", own, *own ? ")" : "",
                 fit == LABELS_FIT                  ? "its rows go by their names"
                 : fit == LABELS_OTHER && init_head ? "it is made from the seed"
                                                    : "its rows are taken in their order");
    } else if (moved) {
        snprintf(model->label_note, sizeof model->label_note,
                 "the adapter's head has %s; by these names its rows become %s", text, own);
    } else if (fit == LABELS_NONE && *own) {
        snprintf(model->label_note, sizeof model->label_note,
                 "the adapter's head does not name its classes; its rows are taken as %s", own);
    }
}

static int read_tensors(Model *model, State *state, const Safetensors *file, int init_head,
                        Error *error)
{
    char *seen = memory_calloc((size_t)model->params.count, 1), text[256];
    int code = 0, *rows = memory_calloc((size_t)model->O + 1, sizeof *rows);
    LabelFit fit = adapter_labels(model, file, rows, text);
    for (size_t i = 0; i < file->count && !code; i++) {
        const Tensor *tensor = &file->tensors[i];
        Param *param = param_of(model, tensor->name);
        if (!param) {
            code = REFUSE("%s: tensor '%s' has no place in this model; the adapter belongs to "
                          "another base model or task",
                          file->path, tensor->name);
        } else if (seen[param - model->params.list]++) {
            code = REFUSE("%s: '%s' is there twice; get the adapter again", file->path,
                          param->name);
        } else if (!param_has_classes(param)) {
            code = param_read(model, state, param, tensor, file->path, NULL, NULL, error);
        } else {
            if (model->task) {
                describe_head(model, file, fit, rows, text, init_head);
            }
            if (init_head && (fit == LABELS_OTHER || !param_has_shape(param, tensor))) {
                continue; /* the values that it has are the seed's */
            }
            code = param_read(model, state, param, tensor, file->path,
                              fit == LABELS_FIT ? rows : NULL, NULL, error);
        }
    }
    free(rows);
    for (int i = 0; i < model->params.count && !code; i++) {
        const Param *param = &model->params.list[i];
        if (!seen[i] && param->adapter) {
            code = REFUSE("%s: tensor '%s' is missing; the adapter belongs to another base model",
                          file->path, param->name);
        } else if (!seen[i] && param->head && !init_head) {
            code = REFUSE("%s: the head '%s' is missing; --init-head makes one from the seed",
                          file->path, param->name);
        }
    }
    free(seen);
    return code;
}

int adapter_read(Model *model, State *state, const char *folder, int init_head, char *sha256,
                 Error *error)
{
    Safetensors file;
    char *path = string_format("%s/adapter_model.safetensors", folder);
    int code = safetensors_open(&file, path, error);
    if (!code) {
        if (sha256) {
            sha256_hex(sha256, file.file.bytes, file.file.size);
        }
        code = read_tensors(model, state, &file, init_head, error) || files_unchanged(error)
                   ? error->code
                   : 0;
        safetensors_close(&file);
    }
    free(path);
    return code;
}

/* Names that select exactly the adapted layers. In an encoder "output.dense" alone would select
 * "attention.output.dense" too, so it is spelled out by layer. */
static json_t *target_names(const Model *model)
{
    const Config *config = &model->config;
    json_t *list = json_array();
    for (int k = 0; k < LINEAR_KINDS; k++) {
        if (!(model->lora.targets >> k & 1)) {
            continue;
        }
        const char *module = linear_module(config->architecture, (LinearKind)k),
                   *dot = strrchr(module, '.');
        if (config->architecture == ARCH_LLAMA || k == LINEAR_Q || k == LINEAR_K || k == LINEAR_V) {
            json_array_append_new(list, json_string(dot + 1));
        } else if (k != LINEAR_DOWN || model->lora.targets >> LINEAR_O & 1) {
            json_array_append_new(list, json_string(module));
        } else {
            for (int l = 0; l < config->L; l++) {
                char name[64];
                snprintf(name, sizeof name, "layer.%d.%s", l, module);
                json_array_append_new(list, json_string(name));
            }
        }
    }
    return list;
}

static int write_config(const Model *model, const char *path, const char *base, Error *error)
{
    const LoraConfig *lora = &model->lora;
    int language = model->problem == PROBLEM_LANGUAGE;
    json_t *json = json_pack(
        "{s:s, s:o, s:i, s:f, s:f, s:b, s:b, s:s, s:b, s:b, s:b, s:o, s:{}, s:{}}", "peft_type",
        "LORA", "base_model_name_or_path", json_text(base), "r", lora->r, "lora_alpha", lora->alpha,
        "lora_dropout", (double)lora->dropout, "use_rslora", lora->rslora, "use_dora", 0, "bias",
        "none", "inference_mode", 1, "fan_in_fan_out", 0, "init_lora_weights", 1, "target_modules",
        target_names(model), "rank_pattern", "alpha_pattern");
    json_object_set_new(json, "task_type",
                        language                           ? json_string("CAUSAL_LM")
                        : model->problem == PROBLEM_CHOICE ? json_null()
                                                           : json_string("SEQ_CLS"));
    json_object_set_new(json, "modules_to_save",
                        language ? json_null() : json_pack("[s, s]", "classifier", "score"));
    return json_write_file(json, path, 9, error);
}

/* What PEFT ignores and adapter_read needs: the task, and the class of each row of the head. */
static json_t *write_metadata(const Model *model, const int *rows)
{
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    if (model->task) {
        json_object_set_new(metadata, "task", json_string(model->task));
    }
    if (model->labels && model->problem == PROBLEM_SINGLE) {
        json_t *names = json_array();
        for (int r = 0; r < model->O; r++) {
            json_array_append_new(names, json_string(model->labels[rows[r]]));
        }
        char *text = json_canonical(names);
        json_object_set_new(metadata, "label_names", json_string(text));
        free(text);
        json_decref(names);
    }
    return metadata;
}

int adapter_write(const Model *model, const State *state, const char *folder, const char *base,
                  Error *error)
{
    if (folder_make(folder, error)) {
        return error->code;
    }
    const Params *params = &model->params;
    TensorSource *sources = memory_calloc((size_t)params->count, sizeof *sources);
    char(*names)[160] = memory_calloc((size_t)params->count, sizeof *names), text[256];
    float **values = memory_calloc((size_t)params->count, sizeof *values);
    int *rows = memory_calloc((size_t)model->O + 1, sizeof *rows);
    /* rows in the base's order: PEFT shows its names */
    LabelFit fit = model->labels && model->problem == PROBLEM_SINGLE
                       ? labels_of_config(rows, text, model->config.json, model->labels, model->O)
                       : LABELS_NONE;
    size_t count = 0;
    for (int i = 0; i < params->count; i++) {
        const Param *param = &params->list[i];
        if (!param->trainable) {
            continue;
        }
        snprintf(names[count], sizeof *names, "%s%s", param->adapter ? "" : adapter_prefix,
                 param->name);
        values[i] = memory_alloc(param->count, sizeof *values[i]);
        param_get(param, state->weights, values[i], 0, param->count, model->backend->device);
        sources[count] = (TensorSource){.name = names[count],
                                        .dtype = DTYPE_F32,
                                        .rank = param->rank,
                                        .shape = {(size_t)param->shape[0], (size_t)param->shape[1]},
                                        .data = values[i]};
        count++;
    }
    int code = backend_wait(model->backend, error);
    for (int i = 0; i < params->count && fit == LABELS_FIT; i++) {
        if (values[i] && param_has_classes(&params->list[i])) {
            labels_permute(values[i], rows, model->O, (size_t)params->list[i].shape[1], 1);
        }
    }
    json_t *metadata = write_metadata(model, rows);
    char *path = string_format("%s/adapter_model.safetensors", folder);
    code = code ? code : safetensors_write(path, sources, count, metadata, error);
    free(path);
    json_decref(metadata);
    for (int i = 0; i < params->count; i++) {
        free(values[i]);
    }
    free(values);
    free(rows);
    free(sources);
    free(names);
    if (!code) {
        path = string_format("%s/adapter_config.json", folder);
        code = write_config(model, path, base, error);
        free(path);
    }
    return code;
}

/* Parameter A or B of the adapter of a weight, or NULL. */
static const Param *adapter_part(const Model *model, const Param *weight, char which)
{
    size_t length = strlen(weight->name);
    if (length < 7 || strcmp(weight->name + length - 7, ".weight")) {
        return NULL;
    }
    char *name = string_format("%s%.*s.lora_%c.weight", adapter_prefix, (int)(length - 7),
                               weight->name, which);
    const Param *param = params_find(&model->params, name);
    free(name);
    return param;
}

const Param *adapter_of(const Model *model, const Param *weight)
{
    return adapter_part(model, weight, 'A');
}

int adapter_merge(const Model *model, const State *state, const Param *weight, float *values,
                  size_t first, size_t count, Error *error)
{
    const Param *a = adapter_part(model, weight, 'A'), *b = adapter_part(model, weight, 'B');
    const Device *device = model->backend->device;
    size_t R = (size_t)a->shape[0], in = (size_t)a->shape[1];
    float *a_values = memory_alloc(a->count, sizeof *a_values),
          *b_values = memory_alloc(b->count, sizeof *b_values);
    uint16_t *bf16 = weight->frozen.bf16 ? memory_alloc(count, sizeof *bf16) : NULL;
    param_get(a, state->weights, a_values, 0, a->count, device);
    param_get(b, state->weights, b_values, 0, b->count, device);
    param_get(weight, state->weights, bf16 ? (void *)bf16 : values, first, count, device);
    double scale = lora_scale(&model->lora);
    int code = backend_wait(model->backend, error);
    if (bf16) {
        weight_row(values, (Weight){.bf16 = bf16}, 0, count);
    }
    for (size_t i = 0; i < count; i++) {
        size_t o = (first + i) / in, column = (first + i) % in;
        double sum = 0;
        for (size_t r = 0; r < R; r++) {
            sum += (double)b_values[o * R + r] * (double)a_values[r * in + column];
        }
        values[i] = (float)((double)values[i] + scale * sum);
    }
    free(a_values);
    free(b_values);
    free(bf16);
    return code;
}
