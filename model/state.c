#include "state.h"

#include <stdlib.h>

static size_t lookup_size(const Model *model)
{
    return (size_t)model->config.V * (size_t)model->config.C;
}

static size_t partial_size(const Model *model)
{
    return (model->params.trained + SUM_GROUP - 1) / SUM_GROUP;
}

void state_init(State *state, const Model *model, int train, int keep_best)
{
    const Device *device = model->backend->device;
    size_t bytes = model->params.trained * sizeof(float);
    *state = (State){.weights = device->alloc(bytes), .sums = device->alloc(sizeof *state->sums)};
    if (train) {
        state->gradients = device->alloc(bytes);
        state->m = device->alloc(bytes);
        state->v = device->alloc(bytes);
        state->partial = device->alloc(partial_size(model) * sizeof(float));
        if (model->problem == PROBLEM_LANGUAGE && model->config.tied && model->trained_tables) {
            state->lookup = device->alloc(lookup_size(model) * sizeof(float));
        }
    }
    if (keep_best) {
        state->best = device->alloc(bytes);
    }
}

State state_of_addresses(float *memory)
{
    return (State){.weights = memory,
                   .gradients = memory,
                   .m = memory,
                   .v = memory,
                   .lookup = memory,
                   .partial = memory,
                   .sums = (StepSums *)(void *)memory};
}

void state_free(State *state, const Model *model)
{
    const Device *device = model->backend ? model->backend->device : NULL;
    size_t bytes = model->params.trained * sizeof(float);
    if (device) {
        float *const arenas[] = {state->weights, state->gradients, state->m, state->v, state->best};
        for (size_t i = 0; i < sizeof arenas / sizeof *arenas; i++) {
            device->release(arenas[i], bytes);
        }
        device->release(state->lookup, lookup_size(model) * sizeof(float));
        device->release(state->partial, partial_size(model) * sizeof(float));
        device->release(state->sums, sizeof *state->sums);
    }
    free(state->kept.logits);
    free(state->kept.pred);
    *state = (State){0};
}

void state_reset(State *state, const Model *model)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    state->beta1_power = state->beta2_power = 1.0;
    state->step = state->epoch = 0;
    state->loss = state->terms = 0.0;
    state_zero_sums(state, model);
    if (state->m) {
        ops->fill_zero(ctx, state->m, model->params.trained);
        ops->fill_zero(ctx, state->v, model->params.trained);
        state_zero_gradients(state, model);
    }
}

void state_zero_sums(const State *state, const Model *model)
{
    model->backend->ops.fill_zero(&model->backend->ctx, (float *)(void *)state->sums,
                                  sizeof *state->sums / sizeof(float));
}

void state_zero_gradients(const State *state, const Model *model)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    ops->fill_zero(ctx, state->gradients, model->params.trained);
    if (state->lookup) {
        ops->fill_zero(ctx, state->lookup, lookup_size(model));
    }
}

void state_add_lookup(const State *state, const Model *model)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    if (state->lookup) {
        float *d_word = state->gradients + model->params.list[model->tables[0]].offset;
        ops->add(ctx, d_word, d_word, state->lookup, lookup_size(model));
        ops->fill_zero(ctx, state->lookup, lookup_size(model));
    }
}
