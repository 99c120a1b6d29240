/* The weights of a run: read from the base's folder, the adapter's or the seed, saved as a folder.
 */
#include "adapter.h"
#include "hf.h"
#include "model_folder.h"
#include "setup.h"

#include <stdlib.h>
#include <string.h>

/* The digest of the base is the first run's for all. */
static int check_digest(Setup *setup, const char sha256[65], Error *error)
{
    if (*setup->model_sha256 && strcmp(setup->model_sha256, sha256)) {
        return error_set(error, EXIT_BAD_DATA,
                         "%s: the weights were changed since the first of these runs; run again",
                         setup->model_folder);
    }
    memcpy(setup->model_sha256, sha256, sizeof setup->model_sha256);
    return 0;
}

/* The adapter that each run starts from, the same one for all. */
static int read_start(Setup *setup, State *state, Error *error)
{
    const Options *o = setup->options;
    char sha256[65];
    if (!o->adapter) {
        return 0;
    }
    if (adapter_read(&setup->model, state, o->adapter, o->init_head != NULL, sha256, error)) {
        return error->code;
    }
    return strcmp(setup->recipe.start, sha256)
               ? error_set(error, EXIT_BAD_DATA,
                           "%s: the adapter was changed since these runs began; run again",
                           o->adapter)
               : 0;
}

/* How the classes of a head were understood, once for all runs. */
static void tell_labels(Setup *setup)
{
    Model *model = &setup->model;
    text_plain(model->label_warning); /* they have names of files */
    text_plain(model->label_note);
    if (!setup->told && *model->label_warning) {
        fprintf(stderr, "WARNING: %s\n", model->label_warning);
    }
    if (!setup->told && *model->label_note && !setup->options->quiet) {
        fprintf(stderr, "labels    %s\n", model->label_note);
    }
    setup->told = 1;
}

int setup_read_weights(Setup *setup, State *state, uint64_t seed_init, Error *error)
{
    const Options *o = setup->options;
    Model *model = &setup->model;
    if (!setup->model_folder) {
        model_make(model, state, seed_init);
        int failed = read_start(setup, state, error);
        tell_labels(setup);
        return failed;
    }
    char *made, sha256[65];
    int first = !*setup->model_sha256;
    /* what is frozen stays mapped and is not read again */
    char *digest = first || !setup->recipe.lora.targets ? sha256 : NULL;
    if (model_read(model, state, setup->model_folder, seed_init, digest, &made, error)) {
        return error->code;
    }
    int code = (digest && check_digest(setup, digest, error)) || read_start(setup, state, error)
                   ? error->code
                   : 0;
    int from_seed = *made && (!o->adapter || o->init_head);
    if (!code && from_seed && strcmp(setup->made, made) && !o->quiet) { /* the first run says it */
        fprintf(stderr, "made from the seed, for the model has none that fits: %s\n", made);
    }
    if (!code && first && !from_seed && (o->adapter || !o->lora) && !o->quiet) {
        if (o->seeds && !setup->steps) {
            fputs("NOTE: all seeds give the same: all weights come from files, none changes.\n",
                  stderr);
        } else if (o->seed_init) {
            fputs("NOTE: --seed-init changes nothing: all weights are from files.\n", stderr);
        }
    }
    if (!code) {
        tell_labels(setup);
    }
    snprintf(setup->made, sizeof setup->made, "%s", made);
    free(made);
    return code;
}

static int write_model(const Setup *setup, const State *state, const char *folder, Error *error)
{
    int code = setup->recipe.lora.targets
                   ? adapter_write(&setup->model, state, folder,
                                   setup->model_folder ? setup->model_folder : "tiny", error)
                   : model_write(&setup->model, state, folder, setup->task->labels, setup->task->K,
                                 error);
    if (!code && setup->model_folder) {
        code = tokenizer_copy(setup->model_folder, folder, error);
    } else if (!code) {
        char *path = string_format("%s/vocab.txt", folder);
        code = tokenizer_write_words(setup->tokenizer, path, error);
        free(path);
    }
    return code;
}

int setup_save_weights(const Setup *setup, const State *state, const char *folder, Error *error)
{
    writers_begin();
    int code = writers_end(write_model(setup, state, folder, error), error);
    return code ? code
                : folder_remove_older(folder, setup->model_folder, setup->recipe.lora.targets != 0,
                                      error);
}
