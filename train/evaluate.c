#include "evaluate.h"
#include "metrics.h"
#include "pack.h"

#include <math.h>
#include <stdlib.h>

static void score_regression(const Study *study, Evaluation *e)
{
    const Dataset *dev = &study->dev;
    float *target = memory_alloc((size_t)dev->count, sizeof *target);
    for (int i = 0; i < dev->count; i++) {
        target[i] = dev->examples[i].target;
    }
    e->metric = metric_of_values(metric_name(study->task->metric), e->logits, target,
                                 (size_t)dev->count);
    e->majority = NAN;
    e->collapsed = isnan(e->metric);
    free(target);
}

static void score_classes(const Study *study, Evaluation *e)
{
    const Dataset *dev = &study->dev;
    int K = study->task->K, *label = memory_alloc((size_t)dev->count, sizeof *label);
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
    e->metric = metric_by_name(metric_name(study->task->metric), &confusion);
    e->majority = metric_majority(&confusion);
    confusion_free(&confusion);
    free(label);
}

int evaluate(Run *run, Evaluation *e, Error *error)
{
    Study *study = run->study;
    const Model *model = &study->model;
    const Ops *ops = &study->backend.ops;
    Context *ctx = &study->backend.ctx;
    const Device *device = study->backend.device;
    const Encoded *dev = &study->dev_ids;
    StepSums sums;
    Pass pass = {model, &run->state, &study->work, &study->batch, .step = {.train = 0}};
    size_t K = (size_t)study->task->K, values = (size_t)study->dev.count * K;
    double terms = 0;
    for (int first = 0, count; first < study->dev.count; first += count) {
        count = pack_fitting(study, dev, first);
        pack(&study->batch, dev, NULL, first, count, 0);
        pass_forward(&pass);
        if (study->task->kind != KIND_LANGUAGE) {
            ops->copy(ctx, run->dev_logits + (size_t)first * K, study->work.logits,
                      (size_t)count * K);
        }
        pass_loss(&pass, 0.0f, 0);
        terms += study->batch.terms;
    }
    device->get(e->logits, run->dev_logits, values * sizeof *e->logits);
    device->get(&sums, run->state.sums, sizeof sums);
    state_zero_sums(&run->state, model);
    if (backend_wait(&study->backend, error)) {
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
    if (study->task->kind == KIND_LANGUAGE) {
        e->metric = exp(e->loss);
        e->majority = NAN;
    } else if (study->task->kind == KIND_REGRESSION) {
        score_regression(study, e);
    } else {
        score_classes(study, e);
    }
    return 0;
}

int evaluation_is_better(const Study *study, const Evaluation *evaluation, const Evaluation *kept)
{
    double a = evaluation->metric, b = kept->metric;
    /* NaN is worse than any number; a lower perplexity is better */
    return isnan(b) ? !isnan(a) : study->task->metric == METRIC_PERPLEXITY ? a < b : a > b;
}
