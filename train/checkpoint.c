/* Reads a checkpoint, after all of it was checked. */
#include "checkpoint_files.h"
#include "hashed_file.h"
#include "lines.h"
#include "pack.h"
#include "safetensors.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- the numbers --- */

/* The number of a text, from low to high; none is below -inf. */
static int read_real(double *value, const json_t *object, const char *key, double low, double high)
{
    const char *text = string_of(object, key);
    return text && !number_field(value, text) && *value >= low && *value <= high ? 0 : -1;
}

static int read_integer(json_int_t *value, const json_t *object, const char *key, json_int_t low,
                        json_int_t high)
{
    const json_t *number = json_object_get(object, key);
    *value = json_integer_value(number);
    return json_is_integer(number) && *value >= low && *value <= high ? 0 : -1;
}

/* The evaluation that is kept, but for its arrays. Its scores may be no numbers. */
static int read_kept(Evaluation *e, const json_t *kept, const State *state)
{
    const char *metric = text_of(kept, "metric"), *majority = text_of(kept, "majority"),
               *selection = text_of(kept, "selection");
    const json_t *collapsed = json_object_get(kept, "collapsed");
    json_int_t step, epoch;
    if (json_is_null(kept)) {
        e->step = 0;
        return 0;
    }
    if (read_integer(&step, kept, "step", 1, state->step) ||
        read_integer(&epoch, kept, "epoch", 0, state->epoch) ||
        read_real(&e->loss, kept, "loss", -HUGE_VAL, HUGE_VAL) ||
        number_field(&e->metric, metric) || number_field(&e->majority, majority) ||
        number_field(&e->selection, selection) || !json_is_boolean(collapsed)) {
        return -1;
    }
    e->step = (int)step;
    e->epoch = (int)epoch;
    e->collapsed = json_is_true(collapsed);
    return 0;
}

/* The numbers of an open checkpoint. */
static int read_state(const Checkpoint *checkpoint, const Setup *setup, State *state,
                      Progress *progress, Error *error)
{
    const json_t *json = checkpoint->state;
    json_int_t tokens, epoch, waited, evaluations,
        before = setup->options->epoch_preds
                     ? setup_evaluations_before(setup, checkpoint->step)
                     : 0;
    double seconds;
    state->step = checkpoint->step;
    int failed = read_integer(&epoch, json, "epoch", 0, checkpoint->step);
    state->epoch = (int)epoch;
    failed = failed || epoch != step_range(setup, checkpoint->step - 1).epoch ||
             read_real(&state->loss, json, "epoch_loss", -HUGE_VAL, HUGE_VAL) ||
             read_real(&state->terms, json, "epoch_terms", 0, HUGE_VAL) ||
             read_real(&state->beta1_power, json, "beta1_power", 0, 1) ||
             read_real(&state->beta2_power, json, "beta2_power", 0, 1) ||
             read_kept(&state->kept, json_object_get(json, "kept"), state) ||
             read_integer(&waited, json, "waited", 0, checkpoint->step) ||
             read_integer(&evaluations, json, "evaluations", 0, state->kept.step ? before : 0) ||
             read_real(&seconds, json, "seconds", 0, 1e12) ||
             read_integer(&tokens, json, "tokens", 0, INT64_MAX) ||
             read_real(&progress->loss, json, "shown_loss", -HUGE_VAL, HUGE_VAL);
    if (failed) {
        return REFUSE("%s/%s: a number is missing or cannot be; the checkpoint is damaged",
                      checkpoint->folder, checkpoint_numbers);
    }
    state->waited = (int)waited;
    state->history.count = (int)evaluations;
    progress->seconds = seconds;
    progress->tokens = (long)tokens;
    return 0;
}

/* --- the files --- */

static json_t *entry_of(const char *path, Error *error)
{
    File file;
    char hex[17];
    if (file_map(&file, path, error)) {
        return NULL;
    }
    hashed_text(hex, file.bytes, file.size);
    json_t *entry = checkpoint_entry(file.size, hex);
    file_unmap(&file);
    return entry;
}

/* Whether the files are those of the manifest. */
static int check_files(const char *folder, const json_t *files, Error *error)
{
    const char *name;
    json_t *entry;
    int code = 0;
    json_object_foreach((json_t *)(uintptr_t)files, name, entry)
    {
        char *path = string_format("%s/%s", folder, name);
        json_t *found = strchr(name, '/') ? json_null() : entry_of(path, error);
        if (!found) {
            code = error->code;
        } else if (!json_equal(found, entry)) {
            code = REFUSE("%s: not the size or hash of the %s; the file is damaged", path,
                          checkpoint_manifest);
        }
        json_decref(found);
        free(path);
        if (code) {
            break;
        }
    }
    return code;
}

/* A JSON file of a checkpoint of this version. */
static int read_json(json_t **value, const char *folder, const char *name, Error *error)
{
    char *path = string_format("%s/%s", folder, name);
    int code = json_read_file(value, path, error);
    if (!code && strcmp(text_of(*value, "format"), checkpoint_format)) {
        code = REFUSE("%s: not of a checkpoint that train_gpt made", path);
    } else if (!code && strcmp(text_of(*value, "format_version"), checkpoint_version)) {
        code = error_set(error, EXIT_CONFIG,
                         "%s: version %s, this program knows %s; go on with the program that "
                         "began the run, or begin anew with --resume never",
                         path, text_of(*value, "format_version"), checkpoint_version);
    } else if (code) {
        *value = NULL;
    }
    free(path);
    return code;
}

int checkpoint_open(Checkpoint *checkpoint, const char *folder, Error *error)
{
    json_t *manifest = NULL, *state = NULL;
    json_int_t step = 0;
    int code = read_json(&manifest, folder, checkpoint_manifest, error) ||
                       check_files(folder, json_object_get(manifest, "files"), error) ||
                       read_json(&state, folder, checkpoint_numbers, error)
                   ? error->code
                   : 0;
    const json_t *receipts = json_object_get(state, "run");
    const char *const needed[] = {checkpoint_numbers,   checkpoint_logged, checkpoint_weights,
                                  checkpoint_optimizer, checkpoint_kept,   checkpoint_history};
    int evaluated = !json_is_null(json_object_get(state, "kept")),
        recorded = json_integer_value(json_object_get(state, "evaluations")) > 0;
    for (int i = 0; i < 4 + evaluated + recorded && !code; i++) {
        if (!json_object_get(json_object_get(manifest, "files"), needed[i])) {
            code = REFUSE("%s/%s: %s is not in it; the checkpoint is damaged", folder,
                          checkpoint_manifest, needed[i]);
        }
    }
    if (!code && (read_integer(&step, state, "step", 1, 1000000000) || !json_is_object(receipts))) {
        code = REFUSE("%s/%s: no step, or not what the run is; the checkpoint is damaged", folder,
                      checkpoint_numbers);
    }
    json_decref(manifest);
    if (code) {
        json_decref(state);
        return code;
    }
    *checkpoint = (Checkpoint){string_copy(folder), state, (int)step, receipts};
    return 0;
}

void checkpoint_close(Checkpoint *checkpoint)
{
    free(checkpoint->folder);
    json_decref(checkpoint->state);
    *checkpoint = (Checkpoint){0};
}

int checkpoint_is(const char *folder)
{
    char *manifest = string_format("%s/%s", folder, checkpoint_manifest);
    int is = path_exists(manifest);
    free(manifest);
    return is;
}

char *checkpoint_log(const Checkpoint *checkpoint)
{
    return string_format("%s/%s", checkpoint->folder, checkpoint_logged);
}

/* The tensor of this name, type and shape; NULL after setting error. */
static const Tensor *find(const Safetensors *file, const char *prefix, const char *name,
                          DType dtype, int rank, const size_t *shape, Error *error)
{
    char *whole = string_format("%s%s", prefix, name);
    const Tensor *tensor = safetensors_find(file, whole);
    int fits = tensor && tensor->dtype == dtype && tensor->rank == rank;
    for (int i = 0; i < rank && fits; i++) {
        fits = tensor->shape[i] == shape[i];
    }
    if (!fits) {
        (void)REFUSE("%s: tensor '%s' is %s; the checkpoint belongs to another run", file->path,
                     whole, tensor ? "of another type or shape" : "missing");
    }
    free(whole);
    return fits ? tensor : NULL;
}

/* AdamW takes roots of what is a mean of squares, and what is not finite spreads. */
static int check_values(const Tensor *tensor, const Arena *arena, const char *path, Error *error)
{
    const float *values = (const float *)(const void *)tensor->data;
    float least = arena->squares ? 0 : -FLT_MAX;
    int right = 1;
    for (size_t i = 0; i < tensor->count; i++) {
        right &= values[i] >= least && values[i] <= FLT_MAX;
    }
    return right ? 0
                 : REFUSE("%s: %s has a value that is %sno finite number; the checkpoint is damaged", path,
                          tensor->name, arena->squares ? "below 0 or " : "");
}

/* All tensors of a file, into the run if `put`, else they are only checked. */
static int read_content(const Content *content, const Safetensors *file, const Model *model,
                        int put, Error *error)
{
    size_t count = 0;
    for (int a = 0; a < 2; a++) {
        const Arena *arena = &content->arenas[a];
        for (int i = 0; i < model->params.count && arena->values; i++) {
            Param *param = &model->params.list[i];
            size_t shape[] = {(size_t)param->shape[0], (size_t)param->shape[1]};
            const Tensor *tensor;
            if (!param->trainable) {
                continue;
            }
            if (!(tensor = find(file, arena->prefix, param->name, DTYPE_F32, param->rank, shape,
                                error))) {
                return error->code;
            }
            if (!put && check_values(tensor, arena, file->path, error)) {
                return error->code;
            }
            if (put) {
                param_put(param, arena->values, (const float *)(const void *)tensor->data,
                          model->backend->device);
            }
            count++;
        }
    }
    for (int i = 0; i < CONTENT_ARRAYS && content->arrays[i].name; i++) {
        const Array *array = &content->arrays[i];
        const Tensor *tensor = find(file, "", array->name, array->dtype, array->rank, array->shape,
                                    error);
        if (!tensor) {
            return error->code;
        }
        if (put && tensor->bytes) {
            memcpy(array->values, tensor->data, tensor->bytes);
        }
        count++;
    }
    return count == file->count ? 0
                                : REFUSE("%s: tensors that this run does not have; the checkpoint "
                                         "belongs to another run",
                                         file->path);
}

/* Predicted classes index arrays. */
static int check_pred(const Safetensors *file, const char *name, int K, Error *error)
{
    const Tensor *tensor = safetensors_find(file, name);
    for (size_t i = 0; i < tensor->count; i++) {
        int pred;
        memcpy(&pred, tensor->data + i * sizeof pred, sizeof pred);
        if (pred < 0 || (pred > 0 && pred >= K)) {
            return REFUSE("%s: %s has %d, which is no class", file->path, name, pred);
        }
    }
    return 0;
}

int checkpoint_load(const Checkpoint *checkpoint, Run *run, Error *error)
{
    const Setup *setup = run->setup;
    State state = run->state;
    Progress progress = run->progress;
    Content contents[CHECKPOINT_CONTENTS];
    Safetensors files[CHECKPOINT_CONTENTS] = {{0}};
    int code = read_state(checkpoint, setup, &state, &progress, error),
        count = code ? 0 : checkpoint_contents(contents, setup, &state);
    for (int i = 0; i < count && !code; i++) {
        char *path = string_format("%s/%s", checkpoint->folder, contents[i].name);
        code = safetensors_open(&files[i], path, error) ||
                       read_content(&contents[i], &files[i], &setup->model, 0, error) ||
                       (i > 1 &&
                        check_pred(&files[i],
                                   contents[i].name == checkpoint_kept ? "kept.pred" : "epoch_pred",
                                   setup->task->K, error))
                   ? error->code
                   : 0;
        free(path);
    }
    for (int i = 0; i < count && !code; i++) {
        (void)read_content(&contents[i], &files[i], &setup->model, 1, error);
    }
    for (int i = 0; i < count; i++) {
        safetensors_close(&files[i]);
    }
    if (!code) {
        run->state = state;
        run->progress = progress;
    }
    return code;
}
