/* Whether the files of a run can be created: asked before hours of training, and by --dry-run. */
#include "output.h"

#include <stdlib.h>
#include <unistd.h>

/* A log that is there is written on. */
static int check_log(const char *path, Error *error)
{
    int code = writer_check(path, error);
    return !code && path_exists(path) && access(path, W_OK) ? error_set_errno(error, "write", path)
                                                            : code;
}

int setup_check_output(const Setup *setup, const Seeds *seeds, const char *save, Error *error)
{
    static const char *const files[2][2] = {{"config.json", "model.safetensors"},
                                            {"adapter_config.json", "adapter_model.safetensors"}};
    int code = folder_check(setup->options->preds, error);
    const Encoded *set;
    const char *resume = setup->options->resume;
    int named = strcmp(resume, "auto") && strcmp(resume, "never"), is_folder = 1;
    code = code || (named && path_look(resume, &is_folder, error)) ? error->code : 0;
    if (!code && !is_folder) {
        code = error_set(error, EXIT_NO_INPUT,
                         "--resume %s: no such folder; name a checkpoint, auto or never", resume);
    }
    for (int i = 0; !code && path_is_folder(setup->options->preds) && (set = setup_set(setup, i));
         i++) {
        char *name = output_name(setup, set->dataset, seeds),
             *path = string_format("%s.bin", name), *log = string_format("%s.jsonl", name);
        code = writer_check(path, error) || (!i && check_log(log, error)) ? error->code : 0;
        free(name);
        free(path);
        free(log);
    }
    if (!code && save && setup->model_folder && path_is_same(save, setup->model_folder)) {
        code = error_set(error, EXIT_USAGE,
                         "--save %s is the folder of the model; name another for the result", save);
    }
    const char *adapter = setup->options->adapter;
    if (!code && save && setup->options->seeds && adapter && path_is_same(save, adapter)) {
        code = error_set(error, EXIT_USAGE,
                         "--save %s is the folder of the adapter that all seeds start from; name "
                         "another for the result",
                         save);
    }
    if (!code && save) {
        code = folder_check(save, error);
    }
    for (int i = 0; i < 2 && !code && save && path_is_folder(save); i++) {
        char *path = string_format("%s/%s", save, files[setup->recipe.lora.targets != 0][i]);
        code = writer_check(path, error);
        free(path);
    }
    return code;
}
