/* One run: from the seeds to the prediction file. */
#include "output.h"

#include <stdlib.h>

/* The memory of a run, and the weights with which it begins. */
static int begin(Run *run, const char *save, Error *error)
{
    Setup *setup = run->setup;
    size_t count = (size_t)setup->dev.count, K = (size_t)setup->task->K;
    Evaluation *const evaluations[] = {&run->now, &run->state.kept};
    state_init(&run->state, &setup->model, setup->steps > 0, save && setup->recipe.select_best);
    for (int i = 0; i < 2; i++) {
        evaluations[i]->logits = memory_alloc(count * K, sizeof(float));
        evaluations[i]->pred = memory_calloc(count, sizeof(int));
    }
    run->dev_logits = setup->backend.device->alloc(count * K * sizeof *run->dev_logits);
    state_reset(&run->state, &setup->model);
    return setup_read_weights(setup, &run->state, run->seeds->init, error);
}

static void end(Run *run)
{
    const Setup *setup = run->setup;
    size_t values = (size_t)setup->dev.count * (size_t)setup->task->K;
    setup->backend.device->release(run->dev_logits, values * sizeof *run->dev_logits);
    state_free(&run->state, &setup->model);
    free(run->now.logits);
    free(run->now.pred);
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
    if (progress_open(&run->progress, run->setup, run->seeds, log, error)) {
        return error->code;
    }
    int code = tracer_open(&run->tracer, run->setup, &run->state, run->seeds, error) ||
                       run_loop(run, error) || files_unchanged(error)
                   ? error->code
                   : 0;
    code = tracer_close(run->tracer, !run->setup->options->trace_until, run->trace_sha256, code,
                        error);
    return progress_close(&run->progress, code, error);
}

/* Predictions and model of a run that is through. */
static int write_all(Run *run, const char *path, const char *save, Outcome *outcome, Error *error)
{
    Setup *setup = run->setup;
    State *state = &run->state;
    *outcome = (Outcome){.metric = state->kept.metric,
                         .majority = state->kept.majority,
                         .train_loss = run_train_loss(run),
                         .dev_loss = state->kept.loss,
                         .seconds = run->progress.seconds,
                         .collapsed = state->kept.collapsed};
    if (setup->options->trace_until) {
        outcome->stopped = state->step;
        return 0;
    }
    if (setup->task->kind != KIND_LANGUAGE) {
        outcome->path = string_copy(path);
        if (output_write(run, outcome, error)) {
            return error->code;
        }
    }
    if (state->best) {
        setup->backend.ops.copy(&setup->backend.ctx, state->weights, state->best,
                                setup->model.params.trained);
    }
    return save ? setup_save_weights(setup, state, save, error) : 0;
}

int setup_run(Setup *setup, const Seeds *seeds, const char *save, Outcome *outcome, Error *error)
{
    Run run = {.setup = setup, .seeds = seeds};
    NameClaim claims[2] = {{NULL, -1}, {NULL, -1}};
    char *name = output_name(setup, seeds), *path = string_format("%s.bin", name),
         *log = string_format("%s.jsonl", name);
    *outcome = (Outcome){0};
    /* names are claimed before hours of training, but after everything that can be refused */
    int code = begin(&run, save, error) || claim_names(claims, &run, path, save, error) ||
                       train(&run, log, error) || write_all(&run, path, save, outcome, error)
                   ? error->code
                   : 0;
    name_release(&claims[1]);
    name_release(&claims[0]);
    if (code) {
        free(outcome->path);
        free(outcome->kept);
        *outcome = (Outcome){0};
    }
    end(&run);
    free(name);
    free(path);
    free(log);
    return code;
}
