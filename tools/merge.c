/* merge BASE ADAPTER OUT: a base model and a PEFT adapter as one plain Hugging Face folder. Adapted
 * weights and the head are float32, all others as the base has them. */
#include "adapter.h"
#include "safetensors.h"

#include <stdlib.h>
#include <string.h>

static int fail(const Error *error)
{
    fprintf(stderr, "merge: %s\n", error->text);
    return error->code;
}

/* Classes and problem by the head in the adapter's file; none: a language model. */
static int find_head(Problem *problem, int *classes, const char *folder, const Config *config,
                     Error *error)
{
    static const char *const heads[] = {"score", "classifier.out_proj", "classifier"};
    Safetensors file;
    char *path = string_format("%s/adapter_model.safetensors", folder);
    int code = safetensors_open(&file, path, error);
    *problem = PROBLEM_LANGUAGE;
    *classes = 0;
    for (size_t i = 0; !code && i < file.count; i++) {
        for (int h = 0; h < 3; h++) {
            char *name = string_format("base_model.model.%s", heads[h]);
            const char *tensor = file.tensors[i].name;
            if (!strncmp(tensor, name, strlen(name)) &&
                !strcmp(tensor + strlen(tensor) - 7, ".weight") &&
                !strstr(tensor + strlen(name), "dense") && file.tensors[i].rank == 2 &&
                file.tensors[i].shape[0] < 100000) {
                *classes = (int)file.tensors[i].shape[0];
                *problem = h == 2 && config->architecture == ARCH_ROBERTA &&
                                   !strstr(tensor, "out_proj")
                               ? PROBLEM_CHOICE
                           : *classes == 1 ? PROBLEM_REGRESSION
                                           : PROBLEM_SINGLE;
            }
            free(name);
        }
    }
    if (!code) {
        safetensors_close(&file);
        if (*problem == PROBLEM_LANGUAGE && config->architecture != ARCH_LLAMA) {
            code = error_set(error, EXIT_BAD_DATA, "%s: there is no head; an encoder needs one",
                             path);
        }
    }
    free(path);
    return code;
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
    static const char *const files[] = {"tokenizer.json",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "vocab.json",
                                        "merges.txt",
                                        "vocab.txt"};
    int code = 0;
    for (size_t i = 0; i < sizeof files / sizeof *files && !code; i++) {
        char *source = string_format("%s/%s", from, files[i]),
             *target = string_format("%s/%s", to, files[i]);
        code = path_exists(source) ? file_copy(source, target, error) : 0;
        free(source);
        free(target);
    }
    return code;
}

int main(int argc, char **argv)
{
    Error error;
    Config config;
    LoraConfig lora;
    Problem problem;
    Model model;
    int classes;
    char *made = NULL;
    if (argc != 4 || argv[1][0] == '-') {
        fputs(
            "usage: merge BASE ADAPTER OUT\n"
            "Writes the base model (a Hugging Face folder) with the adapter (a PEFT folder) merged "
            "into it.\n",
            stderr);
        return EXIT_USAGE;
    }
    char *config_path = string_format("%s/config.json", argv[1]),
         *adapter_path = string_format("%s/adapter_config.json", argv[2]);
    int code = config_read(&config, config_path, &error);
    if (code) {
        return fail(&error);
    }
    if (adapter_config_read(&lora, adapter_path, &config, &error) ||
        find_head(&problem, &classes, argv[2], &config, &error)) {
        config_free(&config);
        return fail(&error);
    }
    model_init(&model, config, problem, problem == PROBLEM_CHOICE ? 2 : classes, &lora, NULL);
    code = model_read(&model, argv[1], 0, &made, &error) ||
           adapter_read(&model, argv[2], 0, &error);
    if (!code && !strcmp(argv[1], argv[3])) {
        code = error_set(&error, EXIT_USAGE,
                         "%s: OUT is BASE, which is mapped; name another folder", argv[3]);
    }
    if (!code) {
        char **names = label_names(&model.config, classes);
        code = model_write(&model, argv[3], (const char *const *)names, classes, &error) ||
               copy_tokenizer(argv[1], argv[3], &error);
        for (int k = 0; k < classes; k++) {
            free(names[k]);
        }
        free(names);
    }
    if (!code) {
        ModelCounts counts = model_counts(&model);
        printf("wrote: %s (%d layers merged, scale %g)\n", argv[3], counts.pairs,
               (double)lora_scale(&lora));
    }
    free(made);
    free(config_path);
    free(adapter_path);
    model_free(&model);
    return code ? fail(&error) : 0;
}
