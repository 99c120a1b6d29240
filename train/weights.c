/* The weights of a run: read from the base's folder, the adapter's or the seed, saved as a folder.
 */
#include "adapter.h"
#include "hf.h"
#include "model_folder.h"
#include "study.h"

#include <stdlib.h>
#include <string.h>

/* The digest of the base is the first run's for all. */
static int check_digest(Study *study, const char sha256[65], Error *error)
{
    if (*study->model_sha256 && strcmp(study->model_sha256, sha256)) {
        return error_set(error, EXIT_BAD_DATA,
                         "%s: the weights were changed since the first of these runs; run again",
                         study->model_folder);
    }
    memcpy(study->model_sha256, sha256, sizeof study->model_sha256);
    return 0;
}

/* The adapter that each run starts from, the same one for all. */
static int read_start(Study *study, State *state, Error *error)
{
    const Options *o = study->options;
    char sha256[65];
    if (!o->adapter) {
        return 0;
    }
    if (adapter_read(&study->model, state, o->adapter, o->init_head != NULL, sha256, error)) {
        return error->code;
    }
    return strcmp(study->recipe.start, sha256)
               ? error_set(error, EXIT_BAD_DATA,
                           "%s: the adapter was changed since these runs began; run again",
                           o->adapter)
               : 0;
}

/* How the classes of a head were understood, once for all runs. */
static void tell_labels(Study *study)
{
    Model *model = &study->model;
    text_plain(model->label_warning); /* they have names of files */
    text_plain(model->label_note);
    if (!study->told && *model->label_warning) {
        fprintf(stderr, "WARNING: %s\n", model->label_warning);
    }
    if (!study->told && *model->label_note && !study->options->quiet) {
        fprintf(stderr, "labels    %s\n", model->label_note);
    }
    study->told = 1;
}

int study_read_weights(Study *study, State *state, uint64_t seed_init, Error *error)
{
    const Options *o = study->options;
    Model *model = &study->model;
    if (!study->model_folder) {
        model_make(model, state, seed_init);
        int failed = read_start(study, state, error);
        tell_labels(study);
        return failed;
    }
    char *made, sha256[65];
    int first = !*study->model_sha256;
    /* what is frozen stays mapped and is not read again */
    char *digest = first || !study->recipe.lora.targets ? sha256 : NULL;
    if (model_read(model, state, study->model_folder, seed_init, digest, &made, error)) {
        return error->code;
    }
    int code = (digest && check_digest(study, digest, error)) || read_start(study, state, error)
                   ? error->code
                   : 0;
    int from_seed = *made && (!o->adapter || o->init_head);
    if (!code && from_seed && strcmp(study->made, made) && !o->quiet) { /* the first run says it */
        fprintf(stderr, "made from the seed, for the model has none that fits: %s\n", made);
    }
    if (!code && first && !from_seed && (o->adapter || !o->lora) && !o->quiet) {
        if (o->seeds && !study->steps) {
            fputs("NOTE: all seeds give the same: all weights come from files, none changes.\n",
                  stderr);
        } else if (o->seed_init) {
            fputs("NOTE: --seed-init changes nothing: all weights are from files.\n", stderr);
        }
    }
    if (!code) {
        tell_labels(study);
    }
    snprintf(study->made, sizeof study->made, "%s", made);
    free(made);
    return code;
}

static int write_model(const Study *study, const State *state, const char *folder, Error *error)
{
    int code = study->recipe.lora.targets
                   ? adapter_write(&study->model, state, folder,
                                   study->model_folder ? study->model_folder : "tiny", error)
                   : model_write(&study->model, state, folder, study->task->labels, study->task->K,
                                 error);
    if (!code && study->model_folder) {
        code = tokenizer_copy(study->model_folder, folder, error);
    } else if (!code) {
        char *path = string_format("%s/vocab.txt", folder);
        code = tokenizer_write_words(study->tokenizer, path, error);
        free(path);
    }
    return code;
}

int study_save_weights(const Study *study, const State *state, const char *folder, Error *error)
{
    writers_begin();
    int code = writers_end(write_model(study, state, folder, error), error);
    return code ? code
                : folder_remove_older(folder, study->model_folder, study->recipe.lora.targets != 0,
                                      error);
}
