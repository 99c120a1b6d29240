#include "optim.h"

/* AdamW of one parameter behind the other, each with one shrink and its hashes. */
static void adamw_hashed(State *state, const Model *model, const AdamW *step,
                         const OptimHashes *hashes)
{
    const Params *params = &model->params;
    Backend *backend = model->backend;
    AdamW one = *step;
    one.segments = 1;
    one.hashes = hashes->kinds;
    one.hash = hashes->sums;
    for (int p = 0; p < params->count; p++) {
        const Param *param = &params->list[p];
        size_t at = param->offset;
        if (param->trainable) {
            one.segment[0].end = param->count;
            one.segment[0].shrink = step->segment[!param->decay].shrink;
            backend->ops.adamw(&backend->ctx, state->weights + at, state->m + at, state->v + at,
                               state->gradients + at, state->sums, &one);
            one.hash += one.hashes;
        }
    }
}

int optim_step(State *state, const Model *model, const OptimConfig *config, double lr,
               const OptimHashes *hashes, StepSums *sums, Error *error)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    size_t n = model->params.trained;
    double beta1_power = state->beta1_power * config->beta1,
           beta2_power = state->beta2_power * config->beta2;
    state_add_lookup(state, model);
    ops->sum_squares(ctx, state->partial, state->gradients, n);
    ops->gradient_norm(ctx, state->sums, state->partial, (n + SUM_GROUP - 1) / SUM_GROUP,
                       config->clip);
    AdamW step = {
        .beta1_rest = (float)(1.0 - config->beta1),
        .beta2 = (float)config->beta2,
        .beta2_rest = (float)(1.0 - config->beta2),
        .eps = (float)config->eps,
        .rate = (float)(config->uncorrected ? lr : lr / (1.0 - beta1_power)),
        .correction = config->uncorrected ? 1.0f : (float)sqrt(1.0 - beta2_power),
        .segments = 2,
        .segment = {{model->params.decayed, (float)(1.0 - lr * config->weight_decay)}, {n, 1.0f}}};
    if (hashes) {
        adamw_hashed(state, model, &step, hashes);
    } else {
        ops->adamw(ctx, state->weights, state->m, state->v, state->gradients, state->sums, &step);
    }
    model->backend->device->get(sums, state->sums, sizeof *sums);
    state_zero_sums(state, model);
    if (backend_wait(model->backend, error)) {
        return error->code;
    }
    if (sums->finite) {
        state->beta1_power = beta1_power;
        state->beta2_power = beta2_power;
        state->step++;
    }
    return 0;
}
