/* merge BASE ADAPTER OUT: a base model and a PEFT adapter as one plain Hugging Face folder. Adapted
 * weights and the head are float32, all others as the base has them. */
#include "adapter.h"
#include "adapter_config.h"
#include "download.h"
#include "hf.h"
#include "model_folder.h"
#include "process.h"
#include "version.h"

#include <stdlib.h>
#include <string.h>

static int fail(const Error *error)
{
    fprintf(stderr, "merge: %s\n", error->text);
    return error->code;
}

/* Names of the head's rows: the adapter's, else the base's if there are as many, else
 * LABEL_0, ... */
static int read_names(char ***names, const Config *config, const char *adapter, int classes,
                      Error *error)
{
    Safetensors file;
    char *path = string_format("%s/adapter_model.safetensors", adapter);
    int code = safetensors_open(&file, path, error);
    free(path);
    if (code) {
        return code;
    }
    const json_t *base = json_object_get(config->json, "id2label");
    json_t *list = adapter_label_names(&file);
    *names = memory_calloc((size_t)classes + 1, sizeof **names);
    for (int k = 0; k < classes; k++) {
        char number[16];
        snprintf(number, sizeof number, "%d", k);
        const json_t *name = json_array_size(list) == (size_t)classes
                                 ? json_array_get(list, (size_t)k)
                             : json_object_size(base) == (size_t)classes
                                 ? json_object_get(base, number)
                                 : NULL;
        (*names)[k] = json_is_string(name) ? string_copy(json_string_value(name))
                                           : string_format("LABEL_%d", k);
    }
    json_decref(list);
    safetensors_close(&file);
    return 0;
}

/* The base with the adapter beside its layers; model_free releases it, state_free what is in the
 * state, whatever this returns. */
static int read_both(Model *model, State *state, Backend *backend, const char *base,
                     const char *adapter, Error *error)
{
    Config config;
    LoraConfig lora;
    Problem problem;
    int classes;
    char *made = NULL, *base_json = string_format("%s/config.json", base),
         *adapter_json = string_format("%s/adapter_config.json", adapter);
    int code = config_read(&config, base_json, error);
    if (code == EXIT_NO_INPUT) {
        code = model_missing(base, error);
    } else if (!code) {
        code = adapter_config_read(&lora, adapter_json, &config, error) ||
               adapter_head(&problem, &classes, adapter, &config, error);
        if (code) {
            config_free(&config);
        }
    }
    free(base_json);
    free(adapter_json);
    if (code) {
        return error->code;
    }
    model_init(model, config, problem, problem == PROBLEM_CHOICE ? 2 : classes, &lora,
               backend);
    state_init(state, model, 0, 0);
    model->init_head = 1; /* that of the adapter takes its place */
    code = model_read(model, state, base, 0, NULL, &made, error) ||
           adapter_read(model, state, adapter, 0, NULL, error);
    free(made);
    return code ? error->code : 0;
}

static int write_merged(const Model *model, const State *state, const char *base,
                        const char *adapter, const char *out, Error *error)
{
    int classes = model->O;
    char **names;
    if (read_names(&names, &model->config, adapter, classes, error)) {
        return error->code;
    }
    writers_begin(); /* the folder gets all of its files or none */
    int code = model_write(model, state, out, (const char *const *)names, classes, error) ||
                       tokenizer_copy(base, out, error)
                   ? error->code
                   : 0;
    for (int k = 0; k < classes; k++) {
        free(names[k]);
    }
    free(names);
    code = writers_end(code, error);
    return code ? code : folder_remove_older(out, base, 0, error);
}

int main(int argc, char **argv)
{
    process_start("merge");
    process_computes();
    Error error;
    int version = argc == 2 && !strcmp(argv[1], "--version"),
        help = argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));
    if (version) {
        printf("merge of seedbed %s, commit %s\n", TOOL_VERSION, git_commit());
    } else if (argc != 4 || argv[1][0] == '-') {
        fputs("usage: merge BASE ADAPTER OUT\n"
              "Writes the base model (a Hugging Face folder) with the adapter (a PEFT folder)\n"
              "merged into it, as the Hugging Face folder OUT.\n"
              "--version prints version and commit.\n",
              help ? stdout : stderr);
        if (!help) {
            return EXIT_USAGE;
        }
    }
    if (version || help) {
        return stdout_close(&error) ? fail(&error) : 0;
    }
    const char *base = argv[1], *adapter = argv[2], *out = argv[3];
    Backend backend;
    Model model = {0};
    State state = {0};
    if (!*base || !*adapter || !*out) {
        error_set(&error, EXIT_USAGE, "%s: an empty name; name a folder",
                  !*base      ? "BASE"
                  : !*adapter ? "ADAPTER"
                              : "OUT");
        return fail(&error);
    }
    if (path_is_same(base, out) || path_is_same(adapter, out)) {
        error_set(&error, EXIT_USAGE, "%s is the folder of the %s; name another for the result",
                  out, path_is_same(base, out) ? "base" : "adapter");
        return fail(&error);
    }
    int code = backend_init(&backend, "auto", "auto", 0, &error) ||
                       read_both(&model, &state, &backend, base, adapter, &error) ||
                       write_merged(&model, &state, base, adapter, out, &error)
                   ? error.code
                   : 0;
    if (!code) {
        printf("wrote: %s (%d layers merged, scale %g)\n", out, model_counts(&model).pairs,
               lora_scale(&model.lora));
    }
    state_free(&state, &model);
    model_free(&model);
    backend_free(&backend);
    code = code ? code : stdout_close(&error);
    return code ? fail(&error) : 0;
}
