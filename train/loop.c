/* The training loop.
 *
 *     examples of the step -> micro-batches: pack -> pass_forward -> pass_loss, which adds losses
 *     and gradients up
 *     -> optim_step: norm, clipping, AdamW -> loss and norm come to the host, once a step
 *     -> progress; where it is time a checkpoint; where --eval-every says so the evaluation */
#include "checkpoint.h"
#include "evaluate.h"
#include "metrics.h"
#include "pack.h"
#include "watch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The passes of a step: losses in state.sums, gradients added. Returns its tokens. */
static long run_passes(Run *run, const StepRange *range, const int *order, int terms)
{
    Setup *setup = run->setup;
    Batch *batch = &setup->batch;
    Pass pass = {&setup->model, &run->state, &setup->work, batch,
                 .step = {.train = 1,
                          .step = (uint32_t)run->state.step,
                          .seed_dropout = run->seeds->dropout}};
    long tokens = 0;
    setup->backend.ctx.order_seed = run->seeds->order;
    setup->backend.ctx.order_step = (uint32_t)run->state.step;
    for (int at = range->first; at < range->end; at += setup->micro) {
        int count = int_min(setup->micro, range->end - at);
        pack(batch, &setup->train_ids, order, at, count, at - range->first);
        tracer_part(run->tracer, TRACE_EMBED);
        pass_forward(&pass);
        tracer_part(run->tracer, TRACE_LOSS);
        pass_loss(&pass, 1.0f / (float)terms, 1);
        tracer_micro_batch(run->tracer);
        tokens += batch->N;
    }
    return tokens;
}

/* Trains the step once more while the ops are watched. Its weights are as they were: a step that is
 * not finite changes none. */
static int diverged(Run *run, const StepRange *range, const int *order, int terms, const char *what,
                    Error *error)
{
    Setup *setup = run->setup;
    char found[160];
    state_zero_gradients(&run->state, &setup->model);
    watch_begin(&setup->backend, WATCH_FINITE);
    run_passes(run, range, order, terms);
    watch_end(&setup->backend, WATCH_FINITE);
    watch_found(&setup->backend, found);
    return error_set(error, EXIT_DIVERGED,
                     "step %d: the %s is not finite; first in %s; nothing was written, lower --lr "
                     "or set --clip",
                     run->state.step + 1, what, *found ? found : "the sum of squares");
}

/* One optimizer step on the examples of the range. */
static int train_step(Run *run, const StepRange *range, const int *order, Error *error)
{
    Setup *setup = run->setup;
    int terms = step_terms(setup, range, order);
    double lr = setup->recipe.lr * schedule_factor(setup->recipe.schedule, run->state.step,
                                                   setup->warmup, setup->steps);
    tracer_begin(run->tracer);
    long tokens = run_passes(run, range, order, terms);
    StepSums sums;
    tracer_part(run->tracer, TRACE_OPTIMIZER);
    int code = optim_step(&run->state, &setup->model, &setup->recipe.optim, lr,
                          tracer_hashes(run->tracer), &sums, error);
    tracer_pause(run->tracer);
    if (code) {
        return code;
    }
    if (tracer_step(run->tracer, &sums, terms, lr, error)) {
        return error->code;
    }
    if (!sums.finite) {
        return diverged(run, range, order, terms, isfinite(sums.loss) ? "gradient norm" : "loss",
                        error);
    }
    run->state.loss += sums.loss;
    run->state.terms += terms;
    return progress_step(&run->progress, run->state.step, sums.loss / terms, sums.norm, lr, tokens,
                         error);
}

/* Keeps the evaluation, and its weights where they will be saved. */
static void keep(Run *run)
{
    Setup *setup = run->setup;
    State *state = &run->state;
    Evaluation kept = state->kept;
    state->kept = run->now;
    state->waited = 0;
    run->now.logits = kept.logits; /* the memory of the next one */
    run->now.pred = kept.pred;
    if (state->best) {
        setup->backend.ops.copy(&setup->backend.ctx, state->best, state->weights,
                                setup->model.params.trained);
    }
}

double run_train_loss(const Run *run)
{
    return run->state.terms > 0 ? run->state.loss / run->state.terms : 0;
}

int run_lost_patience(const Run *run)
{
    int patience = run->setup->recipe.patience;
    return patience && run->state.waited >= patience;
}

/* Evaluates and decides what to keep. */
static int evaluate_and_keep(Run *run, Error *error)
{
    const Setup *setup = run->setup;
    if (evaluate_dev(run, error) || tracer_evaluation(run->tracer, &run->now, error) ||
        progress_evaluation(&run->progress, &run->now, run_train_loss(run),
                            setup_metric(setup, &setup->dev), error)) {
        return error->code;
    }
    run->state.waited++;
    if (!run->state.kept.step || !setup->recipe.select ||
        evaluation_is_better(setup, &run->now, &run->state.kept)) {
        keep(run);
    }
    return 0;
}

int run_loop(Run *run, Error *error)
{
    const Setup *setup = run->setup;
    State *state = &run->state;
    int examples = setup->train.count, code = 0, ordered = -1,
        *order = memory_alloc((size_t)examples, sizeof *order);
    for (;;) {
        if (state->step && setup_evaluates(setup, state->step)) {
            code = evaluate_and_keep(run, error);
        }
        if (code || state->step == setup->stop || run_lost_patience(run)) {
            break;
        }
        StepRange range = step_range(setup, state->step);
        state->epoch = range.epoch;
        if (range.epoch != ordered) {
            epoch_order(order, examples, run->seeds->data, range.epoch);
            ordered = range.epoch;
        }
        if (range.first == 0) {
            state->loss = state->terms = 0;
        }
        code = train_step(run, &range, order, error) || checkpoints_step(run, error) ? error->code
                                                                                     : 0;
        if (code) {
            break;
        }
    }
    free(order);
    if (code == EXIT_STOPPED) {
        return checkpoints_stop(run, error);
    }
    if (!code && state->step < setup->stop) {
        code = progress_early(&run->progress, state->step, error);
    }
    if (!code && !setup->steps) { /* evaluate only */
        code = evaluate_dev(run, error) || tracer_evaluation(run->tracer, &run->now, error)
                   ? error->code
                   : 0;
        if (!code) {
            keep(run);
        }
    }
    return code;
}
