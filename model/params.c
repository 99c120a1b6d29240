#include "params.h"
#include "rng.h"

#include <stdlib.h>

int params_add(Params *params, const char *name, int shape0, int shape1, Init init, int decay,
               int head)
{
    params->list = memory_realloc(params->list, (size_t)params->count + 1, sizeof *params->list);
    Param *param = &params->list[params->count];
    *param = (Param){.rank = shape1 ? 2 : 1,
                     .shape = {shape0, shape1 ? shape1 : 1},
                     .init = init,
                     .decay = decay,
                     .trainable = 1,
                     .head = head};
    param->count = (size_t)shape0 * (size_t)param->shape[1];
    snprintf(param->name, sizeof param->name, "%s", name);
    return params->count++;
}

void params_alloc(Params *params)
{
    for (int trainable = 1; trainable >= 0; trainable--) {
        for (int i = 0; i < params->count; i++) {
            Param *param = &params->list[i];
            if (param->trainable == trainable && (trainable || param->rank == 1)) {
                param->offset = params->total;
                params->total += param->count;
            }
        }
        params->trained = trainable ? params->total : params->trained;
    }
    params->weights = arena_alloc(params->total * sizeof(float));
    for (int i = 0; i < params->count; i++) {
        Param *param = &params->list[i];
        if (param->trainable || param->rank == 1) {
            param->weight.f32 = params->weights + param->offset;
        }
    }
}

void params_train(Params *params)
{
    params->gradients = arena_alloc(params->trained * sizeof(float));
    params->m = arena_alloc(params->trained * sizeof(float));
    params->v = arena_alloc(params->trained * sizeof(float));
}

void params_free(Params *params)
{
    arena_free(params->weights, params->total * sizeof(float));
    arena_free(params->gradients, params->trained * sizeof(float));
    arena_free(params->m, params->trained * sizeof(float));
    arena_free(params->v, params->trained * sizeof(float));
    for (int i = 0; i < params->count; i++) {
        arena_free(params->list[i].copy, params->list[i].count * sizeof(float));
    }
    free(params->list);
    *params = (Params){0};
}

Param *params_find(const Params *params, const char *name)
{
    for (int i = 0; i < params->count; i++) {
        if (!strcmp(params->list[i].name, name)) {
            return &params->list[i];
        }
    }
    return NULL;
}

float *param_values(Params *params, Param *param)
{
    if (param->trainable || param->rank == 1) {
        return params->weights + param->offset;
    }
    if (!param->copy) {
        param->copy = arena_alloc(param->count * sizeof(float));
    }
    param->weight = (Weight){.f32 = param->copy};
    return param->copy;
}

void param_init(Params *params, Param *param, uint64_t seed, float std)
{
    float *values = param_values(params, param);
    uint64_t key = rng_key(seed, param->name);
    float bound = 1.0f / sqrtf((float)param->shape[1]);
    for (size_t i = 0; i < param->count; i++) {
        switch (param->init) {
        case INIT_ZERO:
            values[i] = 0.0f;
            break;
        case INIT_ONE:
            values[i] = 1.0f;
            break;
        case INIT_NORMAL:
            values[i] = std * rng_normal(key, i);
            break;
        case INIT_UNIFORM:
            values[i] = bound * (2.0f * rng_uniform(rng_word(key, i)) - 1.0f);
            break;
        }
    }
}
