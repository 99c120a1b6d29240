#include "evaluate.h"
#include "metrics.h"
#include "pack.h"
#include "process.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void score_regression(const Dataset *dataset, const char *metric, Evaluation *e)
{
    float *target = memory_alloc((size_t)dataset->count, sizeof *target);
    for (int i = 0; i < dataset->count; i++) {
        target[i] = dataset->examples[i].target;
    }
    e->metric = metric_of_values(metric, e->logits, target, (size_t)dataset->count);
    e->majority = NAN;
    e->collapsed = isnan(e->metric);
    free(target);
}

static void score_classes(const Dataset *dataset, const char *metric, Evaluation *e)
{
    int K = dataset->task->K, *label = memory_alloc((size_t)dataset->count, sizeof *label);
    char **id = memory_alloc((size_t)dataset->count, sizeof *id);
    e->collapsed = 1;
    for (int i = 0; i < dataset->count; i++) {
        const float *z = e->logits + (size_t)i * (size_t)K;
        int best = 0;
        for (int k = 1; k < K; k++) {
            best = z[k] > z[best] ? k : best; /* ties go to the smaller class */
        }
        e->pred[i] = best;
        label[i] = dataset->examples[i].label;
        id[i] = dataset->examples[i].id;
        e->collapsed = e->collapsed && best == e->pred[0];
    }
    Confusion confusion;
    confusion_count(&confusion, label, e->pred, (size_t)dataset->count, K);
    e->metric = metric_of_classes(metric, id, label, e->pred, (size_t)dataset->count, K);
    e->majority = metric_majority(&confusion);
    confusion_free(&confusion);
    free(label);
    free(id);
}

static int all_finite(const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i])) {
            return 0;
        }
    }
    return 1;
}

int evaluate(Run *run, const Encoded *set, Evaluation *e, Error *error)
{
    Setup *setup = run->setup;
    const Model *model = &setup->model;
    const Ops *ops = &setup->backend.ops;
    Context *ctx = &setup->backend.ctx;
    const Device *device = setup->backend.device;
    const Dataset *dataset = set->dataset;
    StepSums sums;
    Pass pass = {model, &run->state, &setup->work, &setup->batch, .step = {.train = 0}};
    size_t K = (size_t)dataset->task->K, values = (size_t)dataset->count * K;
    double terms = 0;
    for (int first = 0, count; first < dataset->count; first += count) {
        count = pack_fitting(setup, set, first);
        pack(&setup->batch, set, NULL, first, count, 0);
        pass_forward(&pass);
        if (dataset->task->kind != KIND_LANGUAGE) {
            ops->copy(ctx, run->logits + (size_t)first * K, setup->work.logits, (size_t)count * K);
        }
        if (!dataset->hidden) {
            pass_loss(&pass, 0.0f, 0);
            terms += setup->batch.terms;
        }
        if (process_stopping()) {
            return error_set(error, EXIT_STOPPED, "stopped by a signal");
        }
    }
    device->get(e->logits, run->logits, values * sizeof *e->logits);
    device->get(&sums, run->state.sums, sizeof sums);
    state_zero_sums(&run->state, model);
    if (backend_wait(&setup->backend, error)) {
        return error->code;
    }
    e->loss = dataset->hidden ? NAN : sums.loss / terms;
    if (dataset->hidden ? !all_finite(e->logits, values) : !isfinite(e->loss)) {
        return error_set(error, EXIT_DIVERGED,
                         "step %d: the %s of %s is not finite; nothing was written, lower --lr or "
                         "set --clip",
                         run->state.step, dataset->hidden ? "prediction" : "loss",
                         set == &setup->dev_ids || set == &setup->half_ids ? "the dev set"
                                                                           : dataset->path);
    }
    e->epoch = run->state.epoch;
    e->step = run->state.step;
    if (dataset->task->kind == KIND_LANGUAGE) {
        e->metric = exp(e->loss);
        e->majority = NAN;
    } else if (dataset->task->kind == KIND_REGRESSION) {
        score_regression(dataset, setup_metric(setup, dataset), e);
    } else {
        score_classes(dataset, setup_metric(setup, dataset), e);
    }
    return 0;
}

static void remember(History *history, const Dataset *dev, const Evaluation *e)
{
    size_t N = (size_t)dev->count, K = (size_t)dev->task->K, at = (size_t)history->count++ * N;
    history->step[history->count - 1] = e->step;
    memcpy(history->pred + at, e->pred, N * sizeof *e->pred);
    memcpy(history->logits + at * K, e->logits, N * K * sizeof *e->logits);
}

int evaluate_dev(Run *run, Error *error)
{
    Setup *setup = run->setup;
    if (evaluate(run, &setup->dev_ids, &run->now, error)) {
        return error->code;
    }
    run->now.selection = run->now.metric;
    if (setup->half.count) {
        if (evaluate(run, &setup->half_ids, &run->half, error)) {
            return error->code;
        }
        run->now.selection = run->half.metric;
    }
    if (run->state.history.step) {
        remember(&run->state.history, &setup->dev, &run->now);
    }
    return 0;
}

int evaluate_further(Run *run, Error *error)
{
    Setup *setup = run->setup;
    State *state = &run->state;
    if (state->best) {
        setup->backend.ops.copy(&setup->backend.ctx, state->weights, state->best,
                                setup->model.params.trained);
    }
    for (int i = 0; i < setup->further_count; i++) {
        const Dataset *dataset = &setup->further[i];
        Evaluation *e = &run->further[i];
        if (evaluate(run, &setup->further_ids[i], e, error) ||
            progress_further(&run->progress, dataset, e, error)) {
            return error->code;
        }
    }
    return 0;
}

int evaluation_is_better(const Setup *setup, const Evaluation *evaluation, const Evaluation *kept)
{
    double a = evaluation->selection, b = kept->selection;
    /* NaN is worse than any number; a lower perplexity is better */
    return isnan(b) ? !isnan(a) : setup->task->metric == METRIC_PERPLEXITY ? a < b : a > b;
}
