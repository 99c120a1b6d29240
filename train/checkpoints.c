/* The checkpoints of a run: when one is saved, which stay, and from which a run goes on. */
#define _GNU_SOURCE
#include "checkpoint.h"
#include "output.h"
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const char prefix[] = "checkpoint-", unfinished[] = ".tmp-checkpoint-",
                  removed[] = ".tmp-checkpoint-removed-"; /* begins as unfinished */

static char *path_of(const char *folder, const char *start, int step)
{
    return string_format("%s/%s%d", folder, start, step);
}

/* The step of a folder's name, 0 for another name. */
static int step_of(const char *name)
{
    size_t n = sizeof prefix - 1;
    if (strncmp(name, prefix, n) != 0 || name[n] < '1' || name[n] > '9' ||
        strspn(name + n, "0123456789") != strlen(name + n) || strlen(name + n) > 10) {
        return 0;
    }
    long step = strtol(name + n, NULL, 10);
    return step <= 1000000000 ? (int)step : 0;
}

static int descending(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x < y) - (x > y);
}

/* What is in a folder, in the order of names; nothing where there is no such folder. */
static int list_names(char ***names, size_t *count, const char *folder, Error *error)
{
    int code = folder_list(names, count, folder, error);
    return code == EXIT_NO_INPUT ? 0 : code;
}

/* The steps of the checkpoints in a folder, the last one first; the caller frees them. */
static int list_steps(int **steps, int *count, const char *folder, Error *error)
{
    char **names;
    size_t all;
    int code = list_names(&names, &all, folder, error);
    *steps = memory_alloc(all, sizeof **steps);
    *count = 0;
    for (size_t i = 0; i < all && !code; i++) {
        (*steps)[*count] = step_of(names[i]);
        *count += (*steps)[*count] > 0;
    }
    folder_list_free(names, all);
    qsort(*steps, (size_t)*count, sizeof **steps, descending);
    return code;
}

/* --- saving --- */

/* Removes a checkpoint: it is gone at once, or there as a whole. One of the same step that is about
 * to have its name stays. */
static int remove_checkpoint(const char *folder, int step, Error *error)
{
    char *path = path_of(folder, prefix, step), *away = path_of(folder, removed, step);
    int code = folder_remove(away, error);
    if (!code && rename(path, away)) {
        code = error_set_errno(error, "remove", path);
    }
    code = code || folder_remove(away, error) ? error->code : 0;
    free(path);
    free(away);
    return code;
}

/* Removes all but the checkpoints of these two steps, and what a killed process began. */
static int prune(const char *folder, int newest, int older, Error *error)
{
    int *steps, count, code = list_steps(&steps, &count, folder, error);
    for (int i = count; i-- > 0 && !code;) { /* the last one last */
        if (steps[i] != newest && steps[i] != older) {
            code = remove_checkpoint(folder, steps[i], error);
        }
    }
    free(steps);
    char **names = NULL;
    size_t all = 0;
    code = code ? code : list_names(&names, &all, folder, error);
    for (size_t i = 0; i < all && !code; i++) {
        if (!strncmp(names[i], unfinished, sizeof unfinished - 1)) {
            char *path = string_format("%s/%s", folder, names[i]);
            code = folder_remove(path, error);
            free(path);
        }
    }
    folder_list_free(names, all);
    return code;
}

/* What the run rests on, as far as it decides what is computed and logged. */
static json_t *receipts_of(const Run *run)
{
    const Setup *setup = run->setup;
    const Options *o = setup->options;
    json_t *receipts = output_receipts(setup, &setup->dev, run->seeds),
           *hparams = recipe_json(&setup->recipe, run->seeds);
    json_object_set_new(receipts, "hparams", hparams);
    json_object_set_new(receipts, "steps", json_integer(setup->steps));
    json_object_set_new(receipts, "warmup_steps", json_integer(setup->warmup));
    json_object_set_new(receipts, "eval_every", json_string(o->eval_every));
    json_object_set_new(receipts, "best_weights", json_boolean(run->state.best != NULL));
    if (!backend_plain(&setup->backend)) { /* a variant's sums may depend on it */
        json_object_set_new(receipts, "micro_batch", json_integer(setup->micro));
    }
    return receipts;
}

/* One that is being written. Until `done` it belongs to the thread that writes it. */
typedef struct Saving {
    Image *image;
    const char *folder, *trace; /* trace: NULL without one */
    int step, older;            /* the one that stays beside it */
    pthread_t thread;
    atomic_int done;
    Error error, stays; /* it was not written; what is old was not removed */
} Saving;

/* Brings to the disk what a trace has: its steps are in it before a checkpoint that is behind them,
 * or the run could not go on. */
static int sync_trace(const char *path, Error *error)
{
    int descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC),
        code = descriptor < 0 || file_sync(descriptor) ? error_set_errno(error, "write", path) : 0;
    if (descriptor >= 0) {
        close(descriptor);
    }
    return code;
}

/* Puts it on the disk. */
static void write_out(Saving *s)
{
    Error *error = &s->error;
    char *path = path_of(s->folder, prefix, s->step),
         *temporary = path_of(s->folder, unfinished, s->step);
    int code = (s->trace && sync_trace(s->trace, error)) || folder_make(s->folder, error) ||
                       folder_remove(temporary, error) ||
                       checkpoint_write(s->image, temporary, error) ||
                       (path_exists(path) && remove_checkpoint(s->folder, s->step, error))
                   ? error->code
                   : 0;
    if (!code && (rename(temporary, path) || path_sync(path) || path_sync(s->folder))) {
        code = error_set_errno(error, "write", path);
    }
    if (code) {
        (void)folder_remove(temporary, &s->stays);
    } else {
        (void)prune(s->folder, s->step, s->older, &s->stays);
    }
    free(path);
    free(temporary);
}

/* At low priority: the threads that compute wait for one another. */
static void *write_beside(void *saving)
{
    Saving *s = saving;
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), 10);
    write_out(s);
    atomic_store(&s->done, 1);
    return NULL;
}

/* Takes note of one that is through. */
static int close_saving(Saves *saves, Saving *s, Error *error)
{
    int code = s->error.code;
    if (s->stays.code) {
        fprintf(stderr, "WARNING: %s checkpoint stays: %s\n", code ? "a part of a" : "an older",
                s->stays.text);
    }
    if (code) {
        *error = s->error;
    } else {
        saves->older = saves->newest;
        saves->newest = s->step;
    }
    checkpoint_image_free(s->image);
    free(s);
    return code;
}

static void warn(int step, const Error *error)
{
    fprintf(stderr, "WARNING: no checkpoint of step %d: %s\n", step, error->text);
}

void checkpoints_wait(Run *run)
{
    Saving *s = run->saves.saving;
    Error error;
    if (!s) {
        return;
    }
    int step = s->step;
    run->saves.saving = NULL;
    (void)pthread_join(s->thread, NULL);
    if (close_saving(&run->saves, s, &error)) {
        warn(step, &error);
    }
}

/* Saves the run, unless it was saved at this step; beside: the thread goes on with it, if there is a
 * copy of the state. */
static int save(Run *run, int beside, Error *error)
{
    Saves *saves = &run->saves;
    int step = run->state.step;
    void *copy = beside ? saves->copy : NULL;
    checkpoints_wait(run);
    if (saves->newest == step) {
        return 0;
    }
    if (files_unchanged(error)) {
        return error->code;
    }
    json_t *receipts = receipts_of(run);
    Image *image;
    int code = checkpoint_image(&image, run, receipts, copy, error);
    json_decref(receipts);
    if (code) {
        return code;
    }
    Saving *s = memory_calloc(1, sizeof *s);
    *s = (Saving){.image = image,
                  .folder = saves->folder,
                  .trace = run->setup->options->trace,
                  .step = step,
                  .older = saves->newest};
    if (copy && !pthread_create(&s->thread, NULL, write_beside, s)) {
        saves->saving = s;
        return 0;
    }
    write_out(s);
    return close_saving(saves, s, error);
}

/* Whether the evaluation here may end the run: what follows it there changes the weights. */
static int is_last(const Run *run)
{
    const Setup *setup = run->setup;
    int step = run->state.step, patience = setup->recipe.patience;
    return step == setup->steps ||
           (patience && setup_evaluates(setup, step) && run->state.waited + 1 >= patience);
}

static int is_due(const Run *run)
{
    const Options *o = run->setup->options;
    int every = option_count(o->save_every), step = run->state.step;
    if ((o->keep_checkpoints || run->setup->further_count) && is_last(run)) {
        return 1;
    }
    return every && (option_in_steps(o->save_every)
                         ? step % every == 0
                         : !run->saves.saving && clock_seconds() - run->saves.time >= 60.0 * every);
}

int checkpoints_say(Run *run, Error *error)
{
    const Saves *saves = &run->saves;
    checkpoints_wait(run);
    return saves->newest
               ? error_set(error, EXIT_STOPPED,
                           "stopped by a signal; %s has the run up to step %d of %d", saves->folder,
                           saves->newest, run->setup->steps)
               : error_set(error, EXIT_STOPPED, "stopped by a signal; no checkpoint was saved");
}

int checkpoints_stop(Run *run, Error *error)
{
    return save(run, 0, error) ? error->code : checkpoints_say(run, error);
}

int checkpoints_step(Run *run, Error *error)
{
    if (!run->saves.folder) {
        return 0;
    }
    if (process_stopping()) {
        return checkpoints_stop(run, error);
    }
    Saves *saves = &run->saves;
    if (saves->saving && atomic_load(&saves->saving->done)) {
        checkpoints_wait(run);
    }
    if (!is_due(run)) {
        return 0;
    }
    saves->time = clock_seconds();
    int code = save(run, 1, error);
    if (code && code != EXIT_BAD_DATA && code != EXIT_BUG) {
        warn(run->state.step, error);
        *error = (Error){0};
        code = 0;
    }
    return code;
}

int checkpoints_end(Run *run, Error *error)
{
    const char *folder = run->saves.folder;
    int *steps, count, code;
    checkpoints_wait(run);
    if (!folder) {
        return 0;
    }
    code = list_steps(&steps, &count, folder, error);
    if (!code && count && run->setup->options->keep_checkpoints) {
        char *kept = string_format("%s.checkpoints", run->name);
        code = folder_make(kept, error) || prune(kept, 0, 0, error) ? error->code : 0;
        for (int i = 0; i < count && !code; i++) {
            char *from = path_of(folder, prefix, steps[i]), *to = path_of(kept, prefix, steps[i]);
            code = rename(from, to) || path_sync(to) ? error_set_errno(error, "rename", from) : 0;
            free(from);
            free(to);
        }
        free(kept);
    }
    free(steps);
    code = code ? code : prune(folder, 0, 0, error);
    if (!code && rmdir(folder) && errno != ENOENT && errno != ENOTEMPTY && errno != EEXIST) {
        code = error_set_errno(error, "remove", folder);
    }
    return code;
}

/* --- going on --- */

/* Whether the run that a checkpoint is of is this one. With a constant schedule its number of steps
 * decides nothing before its end. */
static int check_same(const Checkpoint *checkpoint, const Run *run, Error *error)
{
    static const char *const unrelated[] = {"device", "git_commit"};
    static const char *const lengths[] = {"epochs", "max_steps"};
    const Setup *setup = run->setup;
    json_t *then = json_deep_copy(checkpoint->receipts), *now = receipts_of(run),
           *hparams[] = {json_object_get(then, "hparams"), json_object_get(now, "hparams")};
    char *list = NULL;
    for (int i = 0; i < 2; i++) {
        json_object_del(then, unrelated[i]);
        json_object_del(now, unrelated[i]);
    }
    if (setup->recipe.schedule == SCHEDULE_CONSTANT) {
        json_object_del(then, "steps");
        json_object_del(now, "steps");
        for (int i = 0; i < 4; i++) {
            json_object_del(hparams[i / 2], lengths[i % 2]);
        }
    }
    output_differences(&list, then, now, hparams[0], hparams[1]);
    json_decref(then);
    json_decref(now);
    int code = 0;
    if (list) {
        code = error_set(error, EXIT_CONFIG,
                         "%s: the run was begun with other settings: %s; go on with those, or "
                         "begin anew with --resume never",
                         checkpoint->folder, list);
    } else if (setup->options->trace_until && checkpoint->step >= setup->stop) {
        code = error_set(error, EXIT_CONFIG,
                         "%s: step %d, at which --trace-until stops, is not behind it",
                         checkpoint->folder, setup->stop);
    } else if (checkpoint->step > setup->steps) {
        code = error_set(error, EXIT_CONFIG,
                         "%s: step %d is behind the end of this run, step %d; give it more with "
                         "--max-steps or --epochs, or begin anew with --resume never",
                         checkpoint->folder, checkpoint->step, setup->steps);
    }
    free(list);
    return code;
}

int checkpoints_check(const Run *run, Error *error)
{
    char *folder = string_format("%s.unfinished", run->name);
    Error damaged;
    int *steps, count, opened = 0, code = 0;
    (void)list_steps(&steps, &count, folder, &damaged);
    for (int i = 0; i < count && !opened && !code; i++) {
        char *path = path_of(folder, prefix, steps[i]);
        Checkpoint checkpoint;
        if (!checkpoint_open(&checkpoint, path, &damaged)) {
            opened = 1;
            code = check_same(&checkpoint, run, error);
            checkpoint_close(&checkpoint);
        } else if (damaged.code == EXIT_CONFIG) {
            *error = damaged;
            code = damaged.code;
        }
        free(path);
    }
    free(steps);
    free(folder);
    return code;
}

/* Errors: 78 the checkpoint is of another run; others: it is damaged or cannot be read. */
static int go_on_from(Run *run, const char *folder, Error *error)
{
    Checkpoint checkpoint;
    if (checkpoint_open(&checkpoint, folder, error)) {
        return error->code;
    }
    const Options *o = run->setup->options;
    int code = check_same(&checkpoint, run, error) ||
                       /* a trace that has all steps stays one */
                       (o->trace && !strcmp(o->resume, "auto") &&
                        tracer_reaches(run->setup, run->seeds, checkpoint.step, error)) ||
                       checkpoint_load(&checkpoint, run, error)
                   ? error->code
                   : 0;
    if (!code) {
        run->saves.log = checkpoint_log(&checkpoint);
        if (!run->setup->options->quiet) {
            fprintf(stderr, "going on behind step %d of %d, from %s\n", run->state.step,
                    run->setup->steps, folder);
        }
    }
    checkpoint_close(&checkpoint);
    return code;
}

/* From the last checkpoint of a folder that is whole. Returns how many there were, or -1 after
 * setting error. */
static int go_on_from_last(Run *run, const char *folder, Error *error)
{
    int *steps, count, code = list_steps(&steps, &count, folder, error);
    if (code) {
        free(steps);
        return -1;
    }
    code = EXIT_NO_INPUT;
    for (int i = 0; i < count && code; i++) {
        char *path = path_of(folder, prefix, steps[i]);
        code = go_on_from(run, path, error);
        free(path);
        if (code == EXIT_CONFIG) {
            count = -1;
        } else if (code) {
            fprintf(stderr, "WARNING: %s; %s\n", error->text,
                    i + 1 < count ? "the checkpoint before it counts" : "there is none before it");
        }
    }
    free(steps);
    return count;
}

int checkpoints_resume(Run *run, Error *error)
{
    const Options *o = run->setup->options;
    Saves *saves = &run->saves;
    int never = !strcmp(o->resume, "never"), own = !strcmp(o->resume, "auto");
    if (!run->setup->steps || (o->trace_until && (own || never))) {
        return 0;
    }
    saves->folder = o->trace_until ? NULL : string_format("%s.unfinished", run->name);
    saves->time = clock_seconds();
    if (saves->folder && folder_check(saves->folder, error)) {
        return error->code;
    }
    if (never) {
        return 0;
    }
    const char *place = own ? saves->folder : o->resume, *slash = strrchr(place, '/');
    if (!own && (checkpoint_is(place) || step_of(slash ? slash + 1 : place))) {
        if (go_on_from(run, place, error)) {
            return error->code;
        }
    } else {
        int count = go_on_from_last(run, place, error);
        if (count < 0) {
            return error->code;
        }
        if (!run->state.step && !own) {
            return error_set(error, count ? EXIT_BAD_DATA : EXIT_NO_INPUT,
                             "--resume %s: %s checkpoint-STEP is in it; name a checkpoint, the "
                             "folder of some, or never",
                             place, count ? "no whole" : "no");
        }
        if (!run->state.step && count) {
            fprintf(stderr, "WARNING: no checkpoint in %s is whole%s; the run begins anew\n", place,
                    o->trace ? " and within the trace" : "");
        }
    }
    saves->newest = own ? run->state.step : 0;
    return 0;
}
