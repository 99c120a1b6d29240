#include "state.h"

#include <stdlib.h>
#include <string.h>

/* Floats of the gradient of a tied table as input. */
static size_t lookup_size(const Model *model)
{
    int looks_up = model->problem == PROBLEM_LANGUAGE && model->config.tied &&
                   model->trained_tables;
    return looks_up ? (size_t)model->config.V * (size_t)model->config.C : 0;
}

/* A part of a state, and how many floats it has: 0 where this state needs none. */
typedef struct Arena {
    float **at;
    size_t floats;
} Arena;

enum { ARENAS = 7 };

static void list_arenas(Arena list[ARENAS], State *state, const Model *model, int train,
                        int keep_best)
{
    size_t trained = model->params.trained, moments = train ? trained : 0;
    const Arena all[ARENAS] = {{&state->weights, trained},
                               {&state->gradients, moments},
                               {&state->m, moments},
                               {&state->v, moments},
                               {&state->partial, (moments + SUM_GROUP - 1) / SUM_GROUP},
                               {&state->lookup, train ? lookup_size(model) : 0},
                               {&state->best, keep_best ? trained : 0}};
    memcpy(list, all, sizeof all);
}

size_t state_bytes(const Model *model, int train, int keep_best)
{
    State state = {0};
    Arena list[ARENAS];
    size_t bytes = sizeof *state.sums;
    list_arenas(list, &state, model, train, keep_best);
    for (int i = 0; i < ARENAS; i++) {
        bytes += list[i].floats * sizeof(float);
    }
    return bytes;
}

void state_init(State *state, const Model *model, int train, int keep_best)
{
    const Device *device = model->backend->device;
    Arena list[ARENAS];
    *state = (State){.sums = device->alloc(sizeof *state->sums)};
    list_arenas(list, state, model, train, keep_best);
    for (int i = 0; i < ARENAS; i++) {
        if (list[i].floats) {
            *list[i].at = device->alloc(list[i].floats * sizeof(float));
        }
    }
}

State state_of_addresses(const Model *model, float *memory)
{
    return (State){.weights = memory,
                   .gradients = memory,
                   .m = memory,
                   .v = memory,
                   .lookup = lookup_size(model) ? memory : NULL,
                   .partial = memory,
                   .sums = (StepSums *)(void *)memory};
}

void state_free(State *state, const Model *model)
{
    const Device *device = model->backend ? model->backend->device : NULL;
    Arena list[ARENAS];
    if (device) {
        list_arenas(list, state, model, state->m != NULL, state->best != NULL);
        for (int i = 0; i < ARENAS; i++) {
            device->release(*list[i].at, list[i].floats * sizeof(float));
        }
        device->release(state->sums, sizeof *state->sums);
    }
    free(state->kept.logits);
    free(state->kept.pred);
    free(state->history.step);
    free(state->history.pred);
    free(state->history.logits);
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
