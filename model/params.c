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
                     .offset = params->total,
                     .init = init,
                     .decay = decay,
                     .trainable = 1,
                     .head = head};
    param->count = (size_t)shape0 * (size_t)param->shape[1];
    snprintf(param->name, sizeof param->name, "%s", name);
    params->total += param->count;
    return params->count++;
}

void params_alloc(Params *params)
{
    params->weights = arena_alloc(params->total * sizeof(float));
}

void params_train(Params *params)
{
    params->gradients = arena_alloc(params->total * sizeof(float));
    params->m = arena_alloc(params->total * sizeof(float));
    params->v = arena_alloc(params->total * sizeof(float));
}

void params_free(Params *params)
{
    arena_free(params->weights, params->total * sizeof(float));
    arena_free(params->gradients, params->total * sizeof(float));
    arena_free(params->m, params->total * sizeof(float));
    arena_free(params->v, params->total * sizeof(float));
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

void param_init(const Params *params, const Param *param, uint64_t seed, float std)
{
    float *weights = params->weights + param->offset;
    uint64_t key = rng_key(seed, param->name);
    for (size_t i = 0; i < param->count; i++) {
        weights[i] = param->init == INIT_NORMAL ? std * rng_normal(key, i)
                     : param->init == INIT_ONE  ? 1.0f
                                                : 0.0f;
    }
}
