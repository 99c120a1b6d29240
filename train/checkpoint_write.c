/* Writes a checkpoint: from a copy of the state, beside training, or from the state itself. */
#include "checkpoint_files.h"
#include "hashed_file.h"
#include "lines.h"
#include "version.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char checkpoint_format[] = "seedbed-checkpoint", checkpoint_version[] = "1";
const char checkpoint_manifest[] = "MANIFEST", checkpoint_numbers[] = "trainer_state.json",
           checkpoint_logged[] = "log.jsonl", checkpoint_weights[] = "weights.safetensors",
           checkpoint_optimizer[] = "optimizer.safetensors", checkpoint_kept[] = "kept.safetensors",
           checkpoint_history[] = "history.safetensors";

/* texts: trainer_state.json and the log. */
struct Image {
    const Setup *setup;
    State state; /* with `copied` its arrays are the image's own, but for the arenas in `copy` */
    int copied;
    char *texts[2];
    size_t sizes[2];
};

/* --- what is written --- */

int checkpoint_contents(Content list[CHECKPOINT_CONTENTS], const Setup *setup, const State *state)
{
    size_t examples = (size_t)setup->dev.count, K = (size_t)setup->task->K;
    list[0] = (Content){checkpoint_weights, {{"", state->weights, 0}}, {{0}}};
    list[1] = (Content){checkpoint_optimizer, {{"m.", state->m, 0}, {"v.", state->v, 1}}, {{0}}};
    list[2] = (Content){checkpoint_kept,
                        {{"", state->best, 0}},
                        {{"kept.logits", DTYPE_F32, 2, {examples, K}, state->kept.logits},
                         {"kept.pred", DTYPE_I32, 1, {examples}, state->kept.pred}}};
    const History *history = &state->history;
    size_t E = (size_t)history->count;
    list[3] = (Content){checkpoint_history,
                        {{0}},
                        {{"epoch_step", DTYPE_I32, 1, {E}, history->step},
                         {"epoch_pred", DTYPE_I32, 2, {E, examples}, history->pred},
                         {"epoch_logits", DTYPE_F32, 3, {E, examples, K}, history->logits}}};
    return !state->kept.step ? 2 : E ? 4 : 3;
}

json_t *checkpoint_entry(size_t size, const char *xxh3)
{
    return json_pack("{s:I, s:s}", "size", (json_int_t)size, "xxh3", xxh3);
}

static json_t *real_json(double value)
{
    char text[32];
    return json_string(real_text(text, value));
}

static json_t *state_json(const Run *run, const json_t *receipts)
{
    const State *state = &run->state;
    const Evaluation *e = &state->kept;
    const Progress *p = &run->progress;
    json_t *object = json_object(), *kept = json_null();
    if (e->step) {
        kept = json_pack("{s:i, s:i, s:o, s:o, s:o, s:o, s:b}", "step", e->step, "epoch", e->epoch,
                         "metric", real_json(e->metric), "majority", real_json(e->majority),
                         "selection", real_json(e->selection), "loss", real_json(e->loss),
                         "collapsed", e->collapsed);
    }
    json_object_set_new(object, "format", json_string(checkpoint_format));
    json_object_set_new(object, "format_version", json_string(checkpoint_version));
    json_object_set_new(object, "tool_version", json_string(TOOL_VERSION));
    json_object_set_new(object, "step", json_integer(state->step));
    json_object_set_new(object, "epoch", json_integer(state->epoch));
    json_object_set_new(object, "epoch_loss", real_json(state->loss));
    json_object_set_new(object, "epoch_terms", real_json(state->terms));
    json_object_set_new(object, "beta1_power", real_json(state->beta1_power));
    json_object_set_new(object, "beta2_power", real_json(state->beta2_power));
    json_object_set_new(object, "kept", kept);
    json_object_set_new(object, "waited", json_integer(state->waited));
    json_object_set_new(object, "evaluations", json_integer(state->history.count));
    json_object_set_new(object, "seconds", real_json(clock_seconds() - p->start));
    json_object_set_new(object, "tokens", json_integer(p->tokens));
    json_object_set_new(object, "shown_loss", real_json(p->loss));
    json_object_set(object, "run", (json_t *)(uintptr_t)receipts);
    return object;
}

/* A JSON file's text; takes over the value. */
static char *text_of_json(json_t *value)
{
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_ENSURE_ASCII),
         *line = string_format("%s\n", text ? text : "");
    free(text);
    json_decref(value);
    return line;
}

/* --- the copy --- */

size_t checkpoint_copy_bytes(const Model *model, int keeps_best)
{
    return (size_t)(keeps_best ? 4 : 3) * model->params.trained * sizeof(float);
}

static void *copy_array(const void *array, size_t count, size_t size)
{
    void *copy = memory_alloc(count, size);
    if (count) {
        memcpy(copy, array, count * size);
    }
    return copy;
}

/* A part of the state from the device; the CPU's by all threads, other devices take one call at a
 * time. */
static float *copy_arena(float **to, const float *arena, const Model *model)
{
    enum { PART = 1 << 16 };
    const Device *device = model->backend->device;
    size_t floats = model->params.trained, parts = (floats + PART - 1) / PART;
    float *copy = *to;
    *to += floats;
    int threads = device->start || device->open ? 1 : model->backend->ctx.threads;
#pragma omp parallel for num_threads(threads)
    for (size_t i = 0; i < parts; i++) {
        size_t first = i * PART;
        device->get(copy + first, arena + first, size_min(PART, floats - first) * sizeof *copy);
    }
    return copy;
}

static int copy_state(State *state, const Setup *setup, float *copy, Error *error)
{
    const Model *model = &setup->model;
    size_t N = (size_t)setup->dev.count, K = (size_t)setup->task->K;
    History *history = &state->history;
    size_t E = (size_t)history->count;
    state->weights = copy_arena(&copy, state->weights, model);
    state->m = copy_arena(&copy, state->m, model);
    state->v = copy_arena(&copy, state->v, model);
    if (state->best) {
        state->best = copy_arena(&copy, state->best, model);
    }
    state->kept.logits = copy_array(state->kept.logits, N * K, sizeof(float));
    state->kept.pred = copy_array(state->kept.pred, N, sizeof(int));
    if (history->step) {
        history->step = copy_array(history->step, E, sizeof(int));
        history->pred = copy_array(history->pred, E * N, sizeof(int));
        history->logits = copy_array(history->logits, E * N * K, sizeof(float));
    }
    return backend_wait(model->backend, error);
}

/* The log is written line by line: what it has now is that of the steps so far. One that is a pipe,
 * or gone, is not what the run rests on: its error is none of 65 and 66. */
static int copy_log(Image *image, const char *path, Error *error)
{
    File file;
    int code = file_map(&file, path, error);
    if (code) {
        return error->code = code == EXIT_BAD_DATA || code == EXIT_NO_INPUT ? EXIT_IO : code;
    }
    image->texts[1] = copy_array(file.bytes, file.size, 1);
    image->sizes[1] = file.size;
    file_unmap(&file);
    return 0;
}

int checkpoint_image(Image **image, const Run *run, const json_t *receipts, void *copy,
                     Error *error)
{
    Image *made = memory_calloc(1, sizeof *made);
    *made = (Image){.setup = run->setup, .state = run->state, .copied = copy != NULL};
    made->texts[0] = text_of_json(state_json(run, receipts));
    made->sizes[0] = strlen(made->texts[0]);
    *image = made;
    int code = copy ? copy_state(&made->state, run->setup, copy, error) : 0;
    code = code || copy_log(made, run->progress.path, error) ? error->code : 0;
    if (code) {
        checkpoint_image_free(made);
    }
    return code;
}

void checkpoint_image_free(Image *image)
{
    if (image->copied) {
        free(image->state.kept.logits);
        free(image->state.kept.pred);
        free(image->state.history.step);
        free(image->state.history.pred);
        free(image->state.history.logits);
    }
    free(image->texts[0]);
    free(image->texts[1]);
    free(image);
}

/* --- writing --- */

typedef struct ArenaPart {
    const Model *model;
    const Arena *arena;
} ArenaPart;

static int read_values(const TensorSource *source, void *values, size_t first, size_t count,
                       Error *error)
{
    const ArenaPart *part = source->user;
    const Model *model = part->model;
    const Param *param = params_find(&model->params, source->name + strlen(part->arena->prefix));
    param_get(param, part->arena->values, values, first, count, model->backend->device);
    return backend_wait(model->backend, error);
}

/* Puts the bytes of a file of tensors. */
static int put_content(HashedFile *file, const Content *content, const Image *image, Error *error)
{
    const Model *model = &image->setup->model;
    const Params *params = &model->params;
    TensorSource *sources = memory_calloc(2 * (size_t)params->count + CONTENT_ARRAYS,
                                          sizeof *sources);
    ArenaPart parts[2];
    size_t count = 0;
    for (int a = 0; a < 2; a++) {
        parts[a] = (ArenaPart){model, &content->arenas[a]};
        for (int i = 0; i < params->count && content->arenas[a].values; i++) {
            const Param *param = &params->list[i];
            if (!param->trainable) {
                continue;
            }
            TensorSource *source = &sources[count++];
            *source = (TensorSource){
                .name = string_format("%s%s", content->arenas[a].prefix, param->name),
                .dtype = DTYPE_F32,
                .rank = param->rank,
                .shape = {(size_t)param->shape[0], (size_t)param->shape[1]},
                .user = &parts[a]};
            if (image->copied) {
                source->data = content->arenas[a].values + param->offset;
            } else {
                source->read = read_values;
            }
        }
    }
    for (int i = 0; i < CONTENT_ARRAYS && content->arrays[i].name; i++) {
        const Array *array = &content->arrays[i];
        sources[count++] = (TensorSource){
            .name = string_copy(array->name),
            .dtype = array->dtype,
            .rank = array->rank,
            .shape = {array->shape[0], array->shape[1], array->shape[2]},
            .data = array->values};
    }
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    int code = safetensors_put(file->path, sources, count, metadata, hashed_put, file, error);
    json_decref(metadata);
    for (size_t i = 0; i < count; i++) {
        free((char *)(uintptr_t)sources[i].name);
    }
    free(sources);
    return code;
}

/* One file: of tensors, or of a text. Its entry goes into files, if that is not NULL. */
static int write_file(const char *folder, const char *name, const Content *content,
                      const Image *image, Bytes text, json_t *files, Error *error)
{
    HashedFile file;
    char *path = string_format("%s/%s", folder, name), hex[17];
    int code = hashed_open(&file, path, error);
    if (!code) {
        code = content ? put_content(&file, content, image, error)
                       : hashed_put(&file, text.at, text.size, error);
        code = hashed_close(&file, hex, code, error);
    }
    if (!code && files) {
        json_object_set_new(files, name, checkpoint_entry(file.size, hex));
    }
    free(path);
    return code;
}

int checkpoint_write(const Image *image, const char *folder, Error *error)
{
    static const char *const names[] = {checkpoint_numbers, checkpoint_logged};
    Content contents[CHECKPOINT_CONTENTS];
    int count = checkpoint_contents(contents, image->setup, &image->state), code = 0;
    if (mkdir(folder, 0777)) {
        return error_set_create(error, folder);
    }
    json_t *files = json_object();
    for (int i = 0; i < count && !code; i++) {
        code = write_file(folder, contents[i].name, &contents[i], image, (Bytes){0}, files, error);
    }
    for (int i = 0; i < 2 && !code; i++) {
        code = write_file(folder, names[i], NULL, image, (Bytes){image->texts[i], image->sizes[i]},
                          files, error);
    }
    char *manifest = text_of_json(json_pack("{s:s, s:s, s:o}", "format", checkpoint_format,
                                            "format_version", checkpoint_version, "files", files)),
         *path = string_format("%s/%s", folder, checkpoint_manifest);
    code = code || write_file(folder, checkpoint_manifest, NULL, image,
                              (Bytes){manifest, strlen(manifest)}, NULL, error)
               ? error->code
               : 0;
    if (!code && path_sync(path)) {
        code = error_set_errno(error, "write", path);
    }
    free(manifest);
    free(path);
    return code;
}
