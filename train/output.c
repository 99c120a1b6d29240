#include "output.h"
#include "metrics.h"
#include "preds.h"
#include "version.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int compare_files(int *same, const char *a, const char *b, Error *error)
{
    File first, second;
    if (file_map(&first, a, error)) {
        return error->code;
    }
    int code = file_map(&second, b, error);
    if (!code) {
        *same = first.size == second.size &&
                (!first.size || !memcmp(first.bytes, second.bytes, first.size));
        file_unmap(&second);
    }
    file_unmap(&first);
    return code;
}

/* A second name for the file, so that it is never without one. Of a link the file at its end is
 * meant: that is the one that is written anew. */
int output_keep(char **kept, const char *path, Error *error)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    int stem = dot ? (int)(dot - path) : (int)strlen(path);
    for (int i = 1;; i++) {
        *kept = string_format("%.*s.%d%s", stem, path, i, dot ? dot : "");
        if (!linkat(AT_FDCWD, path, AT_FDCWD, *kept, AT_SYMLINK_FOLLOW)) {
            return 0;
        }
        if (errno == EEXIST) {
            free(*kept);
            continue;
        }
        int is_folder;
        int code = path_look(*kept, &is_folder, error), is_free = !code && !path_exists(*kept);
        /* a file system without hard links, or the end of a link is on another one */
        if (is_free && rename(path, *kept)) {
            code = error_set_errno(error, "rename", path);
        } else if (is_free) {
            return 0;
        }
        free(*kept);
        *kept = NULL;
        if (code) {
            return code;
        }
    }
}

static int write_beside(Preds *preds, char **kept, int *same, Error *error)
{
    char *path = preds->path;
    *kept = NULL;
    *same = 0;
    if (!path_exists(path)) {
        return preds_write(preds, error);
    }
    preds->path = string_format("%s.new", path);
    int code = preds_write(preds, error);
    if (!code) {
        code = compare_files(same, path, preds->path, error);
        unlink(preds->path);
    }
    free(preds->path);
    preds->path = path;
    if (code || *same) {
        return code;
    }
    return output_keep(kept, path, error) || preds_write(preds, error) ? error->code : 0;
}

static json_t *number_text(const char *format, double value)
{
    char text[64];
    snprintf(text, sizeof text, format, value);
    return json_string(text);
}

json_t *output_receipts(const Setup *setup, const Dataset *dataset, const Seeds *seeds)
{
    static const char *const problems[] = {"single", "multichoice", "regression", "language"};
    const Task *task = dataset->task;
    json_t *hparams = recipe_json(&setup->recipe, seeds), *names = json_array(), *m = json_object();
    char digest[65], *text = json_canonical(hparams);
    recipe_sha256(digest, hparams);
    for (int k = 0; k < task->K; k++) {
        json_array_append_new(names, json_string(task->labels[k]));
    }
    char *label_names = json_canonical(names);
    const struct {
        const char *key, *value;
    } fields[] = {
        {"benchmark", task->benchmark},
        {"task", task->name},
        {"split", dataset->split},
        {"model", setup->model_name},
        {"model_sha256", setup->model_sha256},
        {"adapter", setup->recipe.lora.targets ? "lora" : "full"},
        {"adapter_sha256", setup->recipe.start},
        {"label_names", label_names},
        {"problem", problems[task->kind]},
        {"metric", setup_metric(setup, dataset)},
        {"dataset", setup->builtin ? "builtin sample" : task->folder},
        {"dataset_sha256", dataset->sha256},
        {"train_sha256", setup->train.sha256},
        {"tokenizer_sha256", tokenizer_sha256(setup->tokenizer)},
        {"hparams", text},
        {"recipe_sha256", digest},
        {"device", strcmp(setup->backend.device->name, "cuda") ? "cpu" : "cuda"},
        {"arithmetic",
         backend_exact(&setup->backend) && !setup->options->perturb ? "exact" : "fast"},
        {"dtype", setup->backend.dtype},
        {"kernels", setup->backend.variants},
        {"kernels_sha256", kernels_sha256()},
        {"tool_version", TOOL_VERSION},
        {"git_commit", git_commit()},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        json_object_set_new(m, fields[i].key, json_text(fields[i].value));
    }
    for (int i = 0; i < SEED_KEYS; i++) {
        json_t *seed = json_object_get(hparams, seed_keys[i]);
        if (seed) {
            json_object_set(m, seed_keys[i], seed);
        }
    }
    if (setup->backend.library) {
        json_object_set_new(m, "library", json_text(setup->backend.library));
    }
    json_object_set_new(m, "max_len", number_text("%.0f", setup->recipe.max_len));
    if (setup->half.count && dataset == &setup->dev) {
        json_object_set_new(m, "part", json_string("half"));
    }
    if (setup->options->epoch_preds && dataset == &setup->dev) {
        json_object_set_new(m, "epoch_preds", json_string("yes"));
    }
    free(text);
    free(label_names);
    json_decref(names);
    json_decref(hparams);
    return m;
}

char *output_place(const Setup *setup, int step, int epoch)
{
    int in_steps = option_in_steps(setup->options->eval_every);
    return string_format(in_steps ? "step:%d" : "epoch:%d", in_steps ? step : epoch + 1);
}

/* listed: keys that are passed over, or NULL. */
static void list_differences(char **list, const json_t *before, const json_t *now,
                             const json_t *listed)
{
    json_t *all = json_copy((json_t *)(uintptr_t)now), *value;
    const char *key;
    json_object_update(all, (json_t *)(uintptr_t)before);
    json_object_foreach(all, key, value)
    {
        const json_t *x = json_object_get(before, key), *y = json_object_get(now, key);
        if (json_object_get(listed, key) || !strcmp(key, "hparams") ||
            !strcmp(key, "recipe_sha256") || (x && y && json_equal(x, y))) {
            continue; /* the hparams are listed themselves */
        }
        char *a = x ? json_dumps(x, JSON_ENCODE_ANY) : NULL,
             *b = y ? json_dumps(y, JSON_ENCODE_ANY) : NULL;
        string_append(list, "%s%s %.24s, now %.24s", *list ? "; " : "", key, a ? a : "absent",
                      b ? b : "absent");
        free(a);
        free(b);
    }
    json_decref(all);
}

void output_differences(char **list, const json_t *before, const json_t *now,
                        const json_t *hparams_before, const json_t *hparams_now)
{
    list_differences(list, hparams_before, hparams_now, NULL);
    list_differences(list, before, now, hparams_now); /* the dtype stands in both */
}

/* Nothing that may differ between two equal runs has a place in the file: no time, no thread count.
 */
static json_t *metadata(const Run *run, const Dataset *dataset)
{
    const Setup *setup = run->setup;
    const Evaluation *kept = &run->state.kept;
    char *best = output_place(setup, kept->step, kept->epoch);
    json_t *m = output_receipts(setup, dataset, run->seeds);
    json_object_set_new(m, "checkpoint", json_string(setup->recipe.select ? best : "last"));
    free(best);
    json_object_set_new(m, "status", json_string("ok"));
    if (*run->trace_sha256) {
        json_object_set_new(m, "trace_sha256", json_string(run->trace_sha256));
    }
    json_object_set_new(m, "steps", number_text("%.0f", run->state.step));
    if (run->state.step < setup->steps) { /* --patience */
        json_object_set_new(m, "planned_steps", number_text("%.0f", setup->steps));
    }
    json_object_set_new(m, "final_train_loss", number_text("%.9g", run_train_loss(run)));
    return m;
}

char *output_name(const Setup *setup, const Dataset *dataset, const Seeds *s)
{
    char seed[96], digest[65];
    json_t *hparams = recipe_json(&setup->recipe, s);
    int ordered = json_object_get(hparams, "seed_order") != NULL;
    recipe_sha256(digest, hparams);
    json_decref(hparams);
    if (s->seed == s->init && s->seed == s->data && s->seed == s->dropout &&
        (s->seed == s->order || !ordered)) {
        snprintf(seed, sizeof seed, "s%llu", (unsigned long long)s->seed);
    } else {
        int used = snprintf(seed, sizeof seed, "s%llu-%llu-%llu", (unsigned long long)s->init,
                            (unsigned long long)s->data, (unsigned long long)s->dropout);
        if (ordered) {
            snprintf(seed + used, sizeof seed - (size_t)used, "-%llu",
                     (unsigned long long)s->order);
        }
    }
    return string_format("%s/%s.%s.%s.%s.%.8s.%s", setup->options->preds, dataset->task->benchmark,
                         dataset->task->name, dataset->split, setup->model_name, digest, seed);
}

/* F1a and exact match, where the ids are MultiRC's and the labels are known; AX-g's parity. */
static void score_officially(Written *written, const Preds *preds, const Dataset *dataset)
{
    int *question = memory_alloc(preds->N, sizeof *question);
    written->f1a = written->em = NAN;
    if (dataset->task->form == FORM_MULTIRC && !dataset->hidden &&
        !multirc_questions(question, preds->id, preds->N)) {
        Multirc m = metric_multirc(question, preds->label, preds->pred, preds->N);
        written->f1a = m.f1a;
        written->em = m.em;
    }
    written->parity = dataset->task->form == FORM_TWINS
                          ? metric_parity(preds->cluster, preds->pred, preds->N)
                          : NAN;
    free(question);
}

int output_write(const Run *run, const Dataset *dataset, const Evaluation *e, Written *written,
                 Error *error)
{
    size_t count = (size_t)dataset->count;
    char *name = output_name(run->setup, dataset, run->seeds);
    *written = (Written){
        .path = string_format("%s.bin", name), .metric = e->metric, .loss = e->loss};
    free(name);
    Preds preds = {.path = written->path,
                   .N = count,
                   .K = dataset->task->K,
                   .regression = dataset->task->kind == KIND_REGRESSION,
                   .pred = e->pred,
                   .logits = e->logits,
                   .metadata = metadata(run, dataset)};
    if (dataset == &run->setup->dev) {
        const History *history = &run->state.history;
        preds.E = (size_t)history->count;
        preds.epoch_step = history->step;
        preds.epoch_pred = history->pred;
        preds.epoch_logits = history->logits;
    }
    preds.label = memory_alloc(count, sizeof *preds.label);
    preds.target = memory_alloc(count, sizeof *preds.target);
    preds.id = memory_alloc(count, sizeof *preds.id);
    preds.cluster = dataset->examples[0].cluster < 0 ? NULL : memory_alloc(count, sizeof(int));
    for (size_t i = 0; i < count; i++) {
        preds.label[i] = dataset->examples[i].label;
        preds.target[i] = dataset->examples[i].target;
        preds.id[i] = dataset->examples[i].id;
        if (preds.cluster) {
            preds.cluster[i] = dataset->examples[i].cluster;
        }
        preds.pred[i] = preds.regression ? -1 : preds.pred[i];
    }
    for (size_t i = 0; i < preds.E * count && preds.regression; i++) {
        preds.epoch_pred[i] = -1;
    }
    preds.value = preds.regression ? preds.logits : NULL;
    int code = write_beside(&preds, &written->kept, &written->same, error);
    score_officially(written, &preds, dataset);
    free(preds.label);
    free(preds.target);
    free(preds.id);
    free(preds.cluster);
    free(preds.hash);
    json_decref(preds.metadata);
    return code;
}
