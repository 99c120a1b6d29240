/* adapter_config.json of a PEFT folder. */
#include "adapter_config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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
        /* the number 0 of a layer is no rest */
        int layer = !strcmp(name, "layers_to_transform") && json_is_number(value);
        if (!known_field(name) && (layer || !at_rest(value))) {
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
