/* merge BASE ADAPTER OUT: a base model and a PEFT adapter as one plain Hugging Face folder. Adapted
 * weights and the head are float32, all others as the base has them. */
#include "adapter.h"
#include "process.h"
#include "tokenizer.h"
#include "version.h"

#include <stdlib.h>
#include <string.h>

static int fail(const Error *error)
{
    fprintf(stderr, "merge: %s\n", error->text);
    return error->code;
}

/* The base's own label names if there are as many, else LABEL_0, LABEL_1, ... */
static char **label_names(const Config *config, int classes)
{
    const json_t *own = json_object_get(config->json, "id2label");
    char **names = memory_calloc((size_t)classes + 1, sizeof *names);
    for (int k = 0; k < classes; k++) {
        char number[16];
        snprintf(number, sizeof number, "%d", k);
        const char *name = json_object_size(own) == (size_t)classes
                               ? json_string_value(json_object_get(own, number))
                               : NULL;
        names[k] = name ? string_copy(name) : string_format("LABEL_%d", k);
    }
    return names;
}

static int copy_tokenizer(const char *from, const char *to, Error *error)
{
    const char *files[TOKENIZER_FILES];
    int count = tokenizer_files(from, files), code = 0;
    for (int i = 0; i < count && !code; i++) {
        char *source = string_format("%s/%s", from, files[i]),
             *target = string_format("%s/%s", to, files[i]);
        code = file_copy(source, target, error);
        free(source);
        free(target);
    }
    return code;
}

/* The base with the adapter beside its layers; model_free releases it if this returns 0. */
static int read_both(Model *model, const char *base, const char *adapter, Error *error)
{
    Config config;
    LoraConfig lora;
    Problem problem;
    int classes;
    char *made = NULL, *base_json = string_format("%s/config.json", base),
         *adapter_json = string_format("%s/adapter_config.json", adapter);
    int code = config_read(&config, base_json, error);
    if (!code) {
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
    model_init(model, config, problem, problem == PROBLEM_CHOICE ? 2 : classes, &lora, NULL);
    code = model_read(model, base, 0, &made, error) || adapter_read(model, adapter, 0, error);
    free(made);
    if (code) {
        model_free(model);
    }
    return code ? error->code : 0;
}

static int write_merged(const Model *model, const char *base, const char *out, Error *error)
{
    int classes = model->O;
    char **names = label_names(&model->config, classes);
    writers_begin(); /* the folder gets all of its files or none */
    int code = model_write(model, out, (const char *const *)names, classes, error) ||
                       copy_tokenizer(base, out, error)
                   ? error->code
                   : 0;
    for (int k = 0; k < classes; k++) {
        free(names[k]);
    }
    free(names);
    return writers_end(code, error);
}

int main(int argc, char **argv)
{
    process_start("merge");
    Error error;
    int version = argc == 2 && !strcmp(argv[1], "--version"),
        help = argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));
    if (version) {
        printf("merge of seedbed %s, commit %s\n", TOOL_VERSION, git_commit());
    } else if (argc != 4 || argv[1][0] == '-') {
        fputs(
            "usage: merge BASE ADAPTER OUT\n"
            "Writes the base model (a Hugging Face folder) with the adapter (a PEFT folder) merged "
            "into it.\n"
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
    Model model;
    if (!*base || !*adapter || !*out) {
        error_set(&error, EXIT_USAGE, "%s: an empty name; name a folder",
                  !*base      ? "BASE"
                  : !*adapter ? "ADAPTER"
                              : "OUT");
        return fail(&error);
    }
    if (path_is_same(base, out)) {
        error_set(&error, EXIT_USAGE, "%s is the folder of the base; name another for the result",
                  out);
        return fail(&error);
    }
    if (read_both(&model, base, adapter, &error)) {
        return fail(&error);
    }
    int code = write_merged(&model, base, out, &error);
    if (!code) {
        printf("wrote: %s (%d layers merged, scale %g)\n", out, model_counts(&model).pairs,
               lora_scale(&model.lora));
    }
    model_free(&model);
    code = code ? code : stdout_close(&error);
    return code ? fail(&error) : 0;
}
