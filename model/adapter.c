#include "adapter.h"
#include "shards.h"
#include "weight.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REFUSE(...) error_set(error, EXIT_BAD_DATA, __VA_ARGS__)

static const char adapter_prefix[] = "base_model.model.";

/* null, false, 0, or empty: a field in this state changes nothing. */
static int at_rest(const json_t *value)
{
    return json_is_null(value) || json_is_false(value) ||
           (json_is_number(value) && json_number_value(value) == 0) ||
           (json_is_string(value) && !*json_string_value(value)) ||
           (json_is_array(value) && !json_array_size(value)) ||
           (json_is_object(value) && !json_object_size(value));
}

/* Fields with a meaning of their own here, and those that say nothing about the model. */
static int known_field(const char *name)
{
    static const char *const names[] = {
        "peft_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "target_modules", "bias",
        "modules_to_save", "task_type", "init_lora_weights",
        /* no influence on a loaded adapter */
        "base_model_name_or_path", "revision", "inference_mode", "peft_version", "auto_mapping",
        "megatron_core", "qalora_group_size", "runtime_config", "lora_ga_config", "loftq_config"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!strcmp(name, names[i])) {
            return 1;
        }
    }
    return 0;
}

/* Whether PEFT's rule selects the module: the whole path, or its end behind a dot. */
static int selects(const char *target, const char *module)
{
    size_t t = strlen(target), m = strlen(module);
    return t <= m && !strcmp(module + m - t, target) && (t == m || module[m - t - 1] == '.');
}

/* Whether the head is saved whole, as PEFT always does for a classifier: then adapters on it do
 * nothing. */
static int saves_head(const json_t *json)
{
    const char *task = json_string_value(json_object_get(json, "task_type"));
    return (task && !strcmp(task, "SEQ_CLS")) ||
           json_array_size(json_object_get(json, "modules_to_save")) > 0;
}

/* Whether the target is a linear layer of a head. "all-linear" lists those too. */
static int selects_head(const char *target, Architecture architecture)
{
    static const char *const modules[] = {"classifier", "classifier.dense", "classifier.out_proj"};
    if (architecture == ARCH_LLAMA) {
        return selects(target, "score");
    }
    for (int i = 0; i < (architecture == ARCH_ROBERTA ? 3 : 1); i++) {
        if (selects(target, modules[i])) {
            return 1;
        }
    }
    return 0;
}

/* target_modules: "all-linear", or a list of names. */
static int read_targets(LoraConfig *lora, const json_t *json, const char *path,
                        const Config *config, Error *error)
{
    const json_t *list = json_object_get(json, "target_modules");
    int layers[LINEAR_KINDS] = {0};
    size_t index;
    json_t *item;
    if (json_is_string(list) && !strcmp(json_string_value(list), "all-linear")) {
        for (int k = 0; k < LINEAR_KINDS; k++) {
            lora->targets |= linear_module(config->architecture, (LinearKind)k) ? 1u << k : 0;
        }
        return 0;
    }
    if (!json_is_array(list) || !json_array_size(list)) {
        return REFUSE("%s: target_modules must be a list of module names or 'all-linear'; a "
                      "pattern is not implemented",
                      path);
    }
    char *hit = memory_calloc((size_t)config->L * LINEAR_KINDS, 1);
    int code = 0;
    json_array_foreach(list, index, item)
    {
        int found = saves_head(json) && json_is_string(item) &&
                    selects_head(json_string_value(item), config->architecture);
        for (int i = 0; i < config->L * LINEAR_KINDS && json_is_string(item); i++) {
            const char *name = linear_module(config->architecture, (LinearKind)(i % LINEAR_KINDS));
            char module[128];
            snprintf(module, sizeof module, "%s%d.%s", block_prefix(config->architecture),
                     i / LINEAR_KINDS, name ? name : "");
            if (name && selects(json_string_value(item), module)) {
                layers[i % LINEAR_KINDS] += !hit[i];
                hit[i] = 1;
                found = 1;
            }
        }
        if (!found && !code) {
            code = REFUSE("%s: target_modules: '%s' is no linear layer of this model's blocks",
                          path, json_is_string(item) ? json_string_value(item) : "?");
        }
    }
    free(hit);
    for (int k = 0; k < LINEAR_KINDS && !code; k++) {
        if (layers[k] && layers[k] != config->L) {
            code = REFUSE("%s: target_modules selects '%s' in %d of %d layers only; that is not "
                          "implemented",
                          path, linear_module(config->architecture, (LinearKind)k), layers[k],
                          config->L);
        }
        lora->targets |= layers[k] ? 1u << k : 0;
    }
    if (!code && !lora->targets) {
        code = REFUSE("%s: target_modules selects no linear layer of this model's blocks", path);
    }
    return code;
}

static int check_modules(const json_t *list, const char *path, Error *error)
{
    size_t index;
    json_t *item;
    if (list && !json_is_null(list) && !json_is_array(list)) {
        return REFUSE("%s: modules_to_save must be a list", path);
    }
    json_array_foreach(list, index, item)
    {
        const char *name = json_is_string(item) ? json_string_value(item) : "?";
        if (strcmp(name, "classifier") && strcmp(name, "score")) {
            return REFUSE("%s: modules_to_save: '%s' is not a head; only classifier and score are "
                          "implemented",
                          path, name);
        }
    }
    return 0;
}

static int read_fields(LoraConfig *lora, const json_t *json, const char *path, const Config *config,
                       Error *error)
{
    const char *name;
    json_t *value;
    if (!json_is_object(json)) {
        return REFUSE("%s: not a JSON object; get the adapter again", path);
    }
    json_object_foreach((json_t *)(uintptr_t)json, name, value)
    {
        if (!known_field(name) && !at_rest(value)) {
            return REFUSE("%s: %s is not implemented", path, name);
        }
    }
    const json_t *type = json_object_get(json, "peft_type"), *r = json_object_get(json, "r"),
                 *alpha = json_object_get(json, "lora_alpha"),
                 *drop = json_object_get(json, "lora_dropout"),
                 *bias = json_object_get(json, "bias"),
                 *init = json_object_get(json, "init_lora_weights"),
                 *rslora = json_object_get(json, "use_rslora");
    if (!json_is_string(type) || strcmp(json_string_value(type), "LORA")) {
        return REFUSE("%s: peft_type '%s' is not implemented, only LORA", path,
                      json_is_string(type) ? json_string_value(type) : "?");
    }
    if (!json_is_integer(r) || json_integer_value(r) < 1 || json_integer_value(r) > LORA_MAX_RANK) {
        return REFUSE("%s: r must be an integer from 1 to %d", path, LORA_MAX_RANK);
    }
    if (!json_is_number(alpha) || !(json_number_value(alpha) > 0) ||
        !isfinite((float)json_number_value(alpha))) {
        return REFUSE("%s: lora_alpha must be a number above 0", path);
    }
    if (drop && !json_is_null(drop) &&
        (!json_is_number(drop) ||
         !(json_number_value(drop) >= 0 && (float)json_number_value(drop) < 1))) {
        return REFUSE("%s: lora_dropout must be a number from 0, below 1 in float32", path);
    }
    if (bias && !json_is_null(bias) &&
        (!json_is_string(bias) || strcmp(json_string_value(bias), "none"))) {
        return REFUSE("%s: bias '%s' is not implemented, only 'none'", path,
                      json_is_string(bias) ? json_string_value(bias) : "?");
    }
    /* pissa, olora, loftq and corda change the base's weights; gaussian and false only the start */
    if (json_is_string(init) && strcmp(json_string_value(init), "gaussian") &&
        strcmp(json_string_value(init), "true") && strcmp(json_string_value(init), "eva") &&
        strcmp(json_string_value(init), "orthogonal")) {
        return REFUSE("%s: init_lora_weights '%s' is not implemented: it changes the base model",
                      path, json_string_value(init));
    }
    if (rslora && !json_is_null(rslora) && !json_is_boolean(rslora)) {
        return REFUSE("%s: use_rslora must be true or false", path);
    }
    *lora = (LoraConfig){.r = (int)json_integer_value(r),
                         .alpha = json_number_value(alpha),
                         .dropout = (float)json_number_value(drop),
                         .rslora = json_is_true(rslora)};
    return check_modules(json_object_get(json, "modules_to_save"), path, error)
               ? error->code
               : read_targets(lora, json, path, config, error);
}

int adapter_config_read(LoraConfig *lora, const char *path, const Config *config, Error *error)
{
    json_t *json;
    int code = json_read_file(&json, path, error);
    if (!code) {
        code = read_fields(lora, json, path, config, error);
        json_decref(json);
    }
    return code;
}

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

static int find_head(Problem *problem, int *classes, const Safetensors *file, const Config *config,
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
        *problem = choice ? PROBLEM_CHOICE : *classes == 1 ? PROBLEM_REGRESSION : PROBLEM_SINGLE;
        return 0;
    }
    *classes = 0;
    *problem = PROBLEM_LANGUAGE;
    return 0;
}

int adapter_head(Problem *problem, int *classes, const char *folder, const Config *config,
                 Error *error)
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

static int read_tensors(Model *model, const Safetensors *file, int init_head, Error *error)
{
    char *seen = memory_calloc((size_t)model->params.count, 1);
    int code = 0;
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
        } else {
            code = param_read(model, param, tensor, file->path, error);
        }
    }
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

int adapter_read(Model *model, const char *folder, int init_head, Error *error)
{
    Safetensors file;
    char *path = string_format("%s/adapter_model.safetensors", folder);
    int code = safetensors_open(&file, path, error);
    if (!code) {
        code = read_tensors(model, &file, init_head, error) || files_unchanged(error) ? error->code
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
        "{s:s, s:s, s:i, s:f, s:f, s:b, s:b, s:s, s:b, s:b, s:b, s:o, s:{}, s:{}}", "peft_type",
        "LORA", "base_model_name_or_path", base, "r", lora->r, "lora_alpha", lora->alpha,
        "lora_dropout", (double)lora->dropout, "use_rslora", lora->rslora, "use_dora", 0, "bias",
        "none", "inference_mode", 1, "fan_in_fan_out", 0, "init_lora_weights", 1, "target_modules",
        target_names(model), "rank_pattern", "alpha_pattern");
    json_object_set_new(json, "task_type",
                        language                           ? json_string("CAUSAL_LM")
                        : model->problem == PROBLEM_CHOICE ? json_null()
                                                           : json_string("SEQ_CLS"));
    json_object_set_new(json, "modules_to_save",
                        language ? json_null() : json_pack("[s, s]", "classifier", "score"));
    Writer writer;
    int code = writer_open(&writer, path, error);
    if (!code) {
        char *text = json_dumps(json, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_ENSURE_ASCII |
                                          JSON_REAL_PRECISION(9));
        fprintf(writer.stream, "%s\n", text);
        free(text);
        code = writer_commit(&writer, error);
    }
    json_decref(json);
    return code;
}

int adapter_write(const Model *model, const char *folder, const char *base, Error *error)
{
    if (folder_make(folder, error)) {
        return error->code;
    }
    const Params *params = &model->params;
    TensorSource *sources = memory_calloc((size_t)params->count, sizeof *sources);
    char(*names)[160] = memory_calloc((size_t)params->count, sizeof *names);
    size_t count = 0;
    for (int i = 0; i < params->count; i++) {
        const Param *param = &params->list[i];
        if (param->trainable) {
            snprintf(names[count], sizeof *names, "%s%s", param->adapter ? "" : adapter_prefix,
                     param->name);
            sources[count] = (TensorSource){
                .name = names[count],
                .dtype = DTYPE_F32,
                .rank = param->rank,
                .shape = {(size_t)param->shape[0], (size_t)param->shape[1]},
                .data = param->weight.f32};
            count++;
        }
    }
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    char *path = string_format("%s/adapter_model.safetensors", folder);
    int code = safetensors_write(path, sources, count, metadata, error);
    free(path);
    json_decref(metadata);
    free(sources);
    free(names);
    if (!code) {
        path = string_format("%s/adapter_config.json", folder);
        code = write_config(model, path, base, error);
        free(path);
    }
    return code;
}

int adapter_of(const Model *model, const char *weight_name)
{
    size_t length = strlen(weight_name);
    if (length < 7 || strcmp(weight_name + length - 7, ".weight")) {
        return -1;
    }
    char *name = string_format("%s%.*s.lora_A.weight", adapter_prefix, (int)(length - 7),
                               weight_name);
    const Param *param = params_find(&model->params, name);
    free(name);
    return param ? (int)(param - model->params.list) : -1;
}

void adapter_merge(const Model *model, int a_index, float *out)
{
    const Param *a = &model->params.list[a_index], *b = a + 1, *weight = a;
    size_t R = (size_t)a->shape[0], in = (size_t)a->shape[1], rows = (size_t)b->shape[0];
    do { /* the weight stands before its adapter, a bias may lie between */
        weight--;
    } while (weight->rank != 2);
    double scale = lora_scale(&model->lora);
    for (size_t o = 0; o < rows; o++) {
        weight_row(out + o * in, weight->weight, o * in, in);
        for (size_t i = 0; i < in; i++) {
            double sum = 0;
            for (size_t r = 0; r < R; r++) {
                sum += (double)b->weight.f32[o * R + r] * (double)a->weight.f32[r * in + i];
            }
            out[o * in + i] = (float)((double)out[o * in + i] + scale * sum);
        }
    }
}
