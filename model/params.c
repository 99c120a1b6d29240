#include "params.h"
#include "rng.h"
#include "threads.h"

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

void params_lay_out(Params *params, const Device *device)
{
    for (int decay = 1; decay >= 0; decay--) {
        for (int i = 0; i < params->count; i++) {
            Param *param = &params->list[i];
            size_t *arena = param->trainable ? &params->trained : &params->frozen;
            if (param->decay == decay && (param->trainable || param->rank == 1)) {
                param->offset = *arena;
                *arena += param->count;
            }
        }
        params->decayed = decay ? params->trained : params->decayed;
    }
    params->vectors = device->alloc(params->frozen * sizeof *params->vectors);
    for (int i = 0; i < params->count; i++) {
        Param *param = &params->list[i];
        if (!param->trainable && param->rank == 1) {
            param->frozen.f32 = param->own = params->vectors + param->offset;
        }
    }
}

void params_free(Params *params, const Device *device)
{
    for (int i = 0; i < params->count; i++) {
        const Param *param = &params->list[i];
        if (param->frozen.bf16) {
            device->unview(param->frozen.bf16, param_bytes(param));
        } else if (param->frozen.f32 && !param->own) {
            device->unview(param->frozen.f32, param_bytes(param));
        } else if (param->rank == 2) {
            device->release(param->own, param_bytes(param));
        }
    }
    device->release(params->vectors, params->frozen * sizeof *params->vectors);
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

size_t param_bytes(const Param *param)
{
    return param->count * (param->frozen.bf16 ? sizeof(uint16_t) : sizeof(float));
}

/* The memory of a parameter that is not viewed. */
static float *own_memory(Param *param, float *weights, const Device *device)
{
    if (param->trainable) {
        return weights + param->offset;
    }
    if (!param->own) {
        param->frozen.f32 = param->own = device->alloc(param_bytes(param));
    }
    return param->own;
}

void param_put(Param *param, float *weights, const float *values, const Device *device)
{
    device->put(own_memory(param, weights, device), values, param_bytes(param));
}

void param_view(Param *param, Weight values, const Device *device)
{
    size_t bytes = param->count * (values.bf16 ? sizeof *values.bf16 : sizeof *values.f32);
    if (values.bf16) {
        param->frozen.bf16 = device->view(values.bf16, bytes);
    } else {
        param->frozen.f32 = device->view(values.f32, bytes);
    }
}

void param_get(const Param *param, const float *weights, void *values, size_t first, size_t count,
               const Device *device)
{
    if (param->frozen.bf16) {
        device->get(values, param->frozen.bf16 + first, count * sizeof *param->frozen.bf16);
    } else {
        const float *all = param->trainable ? weights + param->offset : param->frozen.f32;
        device->get(values, all + first, count * sizeof *all);
    }
}

static float initial_value(const Param *param, uint64_t key, float std, float bound, size_t i)
{
    switch (param->init) {
    case INIT_ONE:
        return 1.0f;
    case INIT_NORMAL:
        return std * rng_normal(key, i);
    case INIT_UNIFORM:
        return bound * (2.0f * rng_uniform(rng_word(key, i)) - 1.0f);
    default:
        return 0.0f;
    }
}

void param_init(Param *param, float *weights, uint64_t seed, float std, const Backend *backend)
{
    enum { BLOCK = 1 << 20 };
    const Device *device = backend->device;
    float *to = own_memory(param, weights, device);
    uint64_t key = rng_key(seed, param->name);
    float bound = 1.0f / sqrtf((float)param->shape[1]);
    size_t most = size_min(param->count, BLOCK);
    /* a device computes by one thread of the host, but this is the host's own work */
    int all = device->start ? threads_available() : backend->ctx.threads,
        threads = most < 1 << 14 ? 1 : all;
    float *values = memory_alloc(most, sizeof *values);
    for (size_t first = 0; first < param->count; first += BLOCK) {
        size_t count = size_min(param->count - first, BLOCK);
#pragma omp parallel for num_threads(threads)
        for (size_t i = 0; i < count; i++) {
            values[i] = initial_value(param, key, std, bound, first + i);
        }
        device->put(to + first, values, count * sizeof *values);
    }
    free(values);
}
