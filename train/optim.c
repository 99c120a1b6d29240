#include "optim.h"

/* AdamW in pieces, each with one shrink. */
static void adamw_pieces(State *state, const Model *model, const AdamW *step,
                         const OptimWatch *watch)
{
    const Params *params = &model->params;
    Backend *backend = model->backend;
    size_t index = 0;
    for (int p = 0; p < params->count; p++) {
        const Param *param = &params->list[p];
        for (size_t first = 0; param->trainable && first < param->count; first += OPTIM_PIECE) {
            size_t at = param->offset + first, count = size_min(OPTIM_PIECE, param->count - first);
            AdamW piece = *step;
            piece.segments = 1;
            piece.segment[0].end = count;
            piece.segment[0].shrink = step->segment[!param->decay].shrink;
            backend->ops.adamw(&backend->ctx, state->weights + at, state->m + at, state->v + at,
                               state->gradients + at, state->sums, &piece);
            watch->piece(watch->user, index, param, first, count);
        }
        index += param->trainable != 0;
    }
}

int optim_step(State *state, const Model *model, const OptimConfig *config, double lr,
               const OptimWatch *watch, StepSums *sums, Error *error)
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
    if (watch) {
        adamw_pieces(state, model, &step, watch);
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
