/* One run: from the seeds to the prediction file. */
#include "checkpoint.h"
#include "evaluate.h"
#include "finished.h"
#include "output.h"
#include "process.h"

#include <stdlib.h>
#include <string.h>

static void evaluation_init(Evaluation *evaluation, const Dataset *dataset)
{
    size_t count = (size_t)dataset->count;
    evaluation->logits = memory_alloc(count * (size_t)dataset->task->K, sizeof(float));
    evaluation->pred = memory_calloc(count, sizeof(int));
}

static void evaluation_free(Evaluation *evaluation)
{
    free(evaluation->logits);
    free(evaluation->pred);
}

static size_t logits_bytes(const Setup *setup)
{
    return (size_t)setup_most_evaluated(setup) * (size_t)setup->task->K * sizeof(float);
}

/* The memory of a run, and the weights with which it begins. */
static int begin(Run *run, const char *save, Error *error)
{
    Setup *setup = run->setup;
    state_init(&run->state, &setup->model, setup->steps > 0, setup_keeps_best(setup, save));
    evaluation_init(&run->now, &setup->dev);
    evaluation_init(&run->state.kept, &setup->dev);
    if (setup->half.count) {
        evaluation_init(&run->half, &setup->half);
    }
    for (int i = 0; i < setup->further_count; i++) {
        evaluation_init(&run->further[i], &setup->further[i]);
    }
    if (setup->options->epoch_preds) {
        size_t E = (size_t)setup_evaluations(setup), N = (size_t)setup->dev.count;
        run->state.history = (History){
            .step = memory_alloc(E, sizeof(int)),
            .pred = memory_alloc(E * N, sizeof(int)),
            .logits = memory_alloc(E * N * (size_t)setup->task->K, sizeof(float))};
    }
    run->logits = setup->backend.device->alloc(logits_bytes(setup));
    if (setup->copy_bytes) {
        run->saves.copy = arena_alloc(setup->copy_bytes);
    }
    state_reset(&run->state, &setup->model);
    return setup_read_weights(setup, &run->state, run->seeds->init, error);
}

static void end(Run *run)
{
    const Setup *setup = run->setup;
    setup->backend.device->release(run->logits, logits_bytes(setup));
    state_free(&run->state, &setup->model);
    evaluation_free(&run->now);
    evaluation_free(&run->half);
    for (int i = 0; i < setup->further_count; i++) {
        evaluation_free(&run->further[i]);
    }
    arena_free(run->saves.copy, setup->copy_bytes);
    free(run->saves.folder);
    free(run->saves.log);
}

/* The names that a run is about to write. */
static int claim_names(NameClaim claims[2], const Run *run, const char *path, const char *save,
                       Error *error)
{
    const Options *o = run->setup->options;
    if (folder_make(o->preds, error) || (o->save && folder_make(o->save, error)) ||
        name_claim(&claims[0], path, error)) {
        return error->code;
    }
    if (!save) {
        return 0;
    }
    char *model = string_format("%s/model", save);
    int code = folder_make(save, error) || name_claim(&claims[1], model, error) ? error->code : 0;
    free(model);
    return code;
}

static int train(Run *run, const char *log, Error *error)
{
    if (progress_open(&run->progress, run->setup, run->seeds, log, run->saves.log, error)) {
        return error->code;
    }
    int code = tracer_open(&run->tracer, run->setup, &run->state, run->seeds, error) ||
                       run_loop(run, error)
                   ? error->code
                   : 0;
    if (!code && !run->setup->options->trace_until) {
        code = evaluate_further(run, error);
        code = code == EXIT_STOPPED ? checkpoints_say(run, error) : code;
    }
    code = code || files_unchanged(error) ? error->code : 0;
    code = tracer_close(run->tracer, !run->setup->options->trace_until, run->trace_sha256, code,
                        error);
    return progress_close(&run->progress, code, error);
}

/* Predictions and model of a run that is through. */
static int write_all(Run *run, const char *save, Outcome *outcome, Error *error)
{
    Setup *setup = run->setup;
    State *state = &run->state;
    *outcome = (Outcome){.metric = state->kept.metric,
                         .majority = state->kept.majority,
                         .train_loss = run_train_loss(run),
                         .dev_loss = state->kept.loss,
                         .seconds = run->progress.seconds,
                         .collapsed = state->kept.collapsed,
                         .step = state->kept.step,
                         .epoch = state->kept.epoch,
                         .selection = state->kept.selection,
                         .early = state->step < setup->stop ? state->step : 0};
    if (setup->options->trace_until) {
        outcome->stopped = state->step;
        return 0;
    }
    checkpoints_wait(run); /* its thread may end the program, but not one that is finished */
    for (int i = setup->further_count; i >= 0 && setup->task->kind != KIND_LANGUAGE; i--) {
        const Evaluation *e = i ? &run->further[i - 1] : &state->kept;
        if (output_write(run, setup_set(setup, i)->dataset, e, &outcome->files[i], error)) {
            return error->code;
        }
    }
    return save ? setup_save_weights(setup, state, save, error) : 0;
}

void outcome_free(Outcome *outcome)
{
    for (int i = 0; i <= MAX_SETS; i++) {
        free(outcome->files[i].path);
        free(outcome->files[i].kept);
    }
    *outcome = (Outcome){0};
}

int setup_run(Setup *setup, const Seeds *seeds, const char *save, Outcome *outcome, Error *error)
{
    char *name = output_name(setup, &setup->dev, seeds), *path = string_format("%s.bin", name),
         *log = string_format("%s.jsonl", name);
    Run run = {.setup = setup, .seeds = seeds, .name = name};
    NameClaim claims[2] = {{NULL, -1}, {NULL, -1}};
    *outcome = (Outcome){0};
    /* names are claimed before hours of training, but after everything that can be refused */
    int code = begin(&run, save, error) || claim_names(claims, &run, path, save, error) ||
                       checkpoints_resume(&run, error)
                   ? error->code
                   : 0;
    if (!code) { /* what a signal would end can be saved, or takes only as long as writing it */
        process_defer(run.saves.folder != NULL);
        code = train(&run, log, error) || write_all(&run, save, outcome, error) ||
                       checkpoints_end(&run, error)
                   ? error->code
                   : 0;
        checkpoints_wait(&run);
        process_defer(0);
    }
    name_release(&claims[1]);
    name_release(&claims[0]);
    if (code) {
        outcome_free(outcome);
    }
    end(&run);
    free(name);
    free(path);
    free(log);
    return code;
}

/* Whether there is something of a run: predictions or checkpoints. */
static int is_begun(const Setup *setup, const Seeds *seeds)
{
    char *name = output_name(setup, &setup->dev, seeds), *path = string_format("%s.bin", name),
         *folder = string_format("%s.unfinished", name);
    int begun = path_exists(path) || path_is_folder(folder);
    free(name);
    free(path);
    free(folder);
    return begun;
}

/* Whether all prediction files of a run are there, and no checkpoints any more. */
static int is_finished(const Setup *setup, const Seeds *seeds)
{
    char *paths[1 + MAX_SETS];
    int count = 0;
    const Encoded *set;
    for (; (set = setup_set(setup, count)); count++) {
        char *name = output_name(setup, set->dataset, seeds);
        paths[count] = string_format("%s.bin", name);
        free(name);
    }
    char *name = output_name(setup, &setup->dev, seeds),
         *folder = string_format("%s.unfinished", name);
    json_t *receipts = output_receipts(setup, &setup->dev, seeds);
    int finished = !path_is_folder(folder) && predictions_finished(paths, count, receipts);
    json_decref(receipts);
    free(name);
    free(folder);
    while (count) {
        free(paths[--count]);
    }
    return finished;
}

int setup_look_ahead(Setup *setup, const Seeds *list, int count, int *finished, Error *error)
{
    const char *save = setup->options->save;
    int begun = 0, done = 0, code = 0;
    for (int i = 0; i < count; i++) {
        finished[i] = 0;
        begun += is_begun(setup, &list[i]);
    }
    if (count == 1 || !begun || !strcmp(setup->options->resume, "never")) {
        return 0;
    }
    Run run = {.setup = setup};
    state_init(&run.state, &setup->model, 0, setup_keeps_best(setup, save));
    code = setup_read_weights(setup, &run.state, list[0].init,
                              error); /* what they are is a receipt */
    for (int i = 0; i < count && !code; i++) {
        char *name = output_name(setup, &setup->dev, &list[i]);
        run.seeds = &list[i];
        run.name = name;
        code = setup->steps ? checkpoints_check(&run, error) : 0;
        finished[i] = !save && is_finished(setup, &list[i]);
        done += finished[i];
        free(name);
    }
    state_free(&run.state, &setup->model);
    for (int i = 0; i < count && done == count; i++) {
        finished[i] = 0;
    }
    return code;
}
