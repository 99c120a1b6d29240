#include "evaluate.h"
#include "metrics.h"
#include "pack.h"

#include <math.h>
#include <stdlib.h>

static void score_regression(const Setup *setup, Evaluation *e)
{
    const Dataset *dev = &setup->dev;
    float *target = memory_alloc((size_t)dev->count, sizeof *target);
    for (int i = 0; i < dev->count; i++) {
        target[i] = dev->examples[i].target;
    }
    e->metric = metric_of_values(metric_name(setup->task->metric), e->logits, target,
                                 (size_t)dev->count);
    e->majority = NAN;
    e->collapsed = isnan(e->metric);
    free(target);
}

static void score_classes(const Setup *setup, Evaluation *e)
{
    const Dataset *dev = &setup->dev;
    int K = setup->task->K, *label = memory_alloc((size_t)dev->count, sizeof *label);
    e->collapsed = 1;
    for (int i = 0; i < dev->count; i++) {
        const float *z = e->logits + (size_t)i * (size_t)K;
        int best = 0;
        for (int k = 1; k < K; k++) {
            best = z[k] > z[best] ? k : best; /* ties go to the smaller class */
        }
        e->pred[i] = best;
        label[i] = dev->examples[i].label;
        e->collapsed = e->collapsed && best == e->pred[0];
    }
    Confusion confusion;
    confusion_count(&confusion, label, e->pred, (size_t)dev->count, K);
    e->metric = metric_by_name(metric_name(setup->task->metric), &confusion);
    e->majority = metric_majority(&confusion);
    confusion_free(&confusion);
    free(label);
}

int evaluate(Run *run, Evaluation *e, Error *error)
{
    Setup *setup = run->setup;
    const Model *model = &setup->model;
    const Ops *ops = &setup->backend.ops;
    Context *ctx = &setup->backend.ctx;
    const Device *device = setup->backend.device;
    const Encoded *dev = &setup->dev_ids;
    StepSums sums;
    Pass pass = {model, &run->state, &setup->work, &setup->batch, .step = {.train = 0}};
    size_t K = (size_t)setup->task->K, values = (size_t)setup->dev.count * K;
    double terms = 0;
    for (int first = 0, count; first < setup->dev.count; first += count) {
        count = pack_fitting(setup, dev, first);
        pack(&setup->batch, dev, NULL, first, count, 0);
        pass_forward(&pass);
        if (setup->task->kind != KIND_LANGUAGE) {
            ops->copy(ctx, run->dev_logits + (size_t)first * K, setup->work.logits,
                      (size_t)count * K);
        }
        pass_loss(&pass, 0.0f, 0);
        terms += setup->batch.terms;
    }
    device->get(e->logits, run->dev_logits, values * sizeof *e->logits);
    device->get(&sums, run->state.sums, sizeof sums);
    state_zero_sums(&run->state, model);
    if (backend_wait(&setup->backend, error)) {
        return error->code;
    }
    e->loss = sums.loss / terms;
    if (!isfinite(e->loss)) {
        return error_set(error, EXIT_DIVERGED,
                         "step %d: the dev loss is not finite; nothing was written, lower --lr or "
                         "set --clip",
                         run->state.step);
    }
    e->epoch = run->state.epoch;
    e->step = run->state.step;
    if (setup->task->kind == KIND_LANGUAGE) {
        e->metric = exp(e->loss);
        e->majority = NAN;
    } else if (setup->task->kind == KIND_REGRESSION) {
        score_regression(setup, e);
    } else {
        score_classes(setup, e);
    }
    return 0;
}

int evaluation_is_better(const Setup *setup, const Evaluation *evaluation, const Evaluation *kept)
{
    double a = evaluation->metric, b = kept->metric;
    /* NaN is worse than any number; a lower perplexity is better */
    return isnan(b) ? !isnan(a) : setup->task->metric == METRIC_PERPLEXITY ? a < b : a > b;
}
