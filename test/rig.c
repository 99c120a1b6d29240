#include "rig.h"
#include "check.h"

#include <stdlib.h>

int rig_builds(const char *names[3])
{
    int count = backend_builds(names);
    Backend backend;
    Error error;
    if (backend_init(&backend, "auto", names[0], 1, &error)) {
        names[0] = "auto";
        return 1;
    }
    backend_free(&backend);
    return count;
}

int rig_open(Rig *rig, const char *build, int threads, Config config, Problem problem, int classes,
             const LoraConfig *lora, Error *error)
{
    *rig = (Rig){0};
    if (backend_init(&rig->backend, "auto", build, threads, error)) {
        config_free(&config);
        return error->code;
    }
    rig->backend.ctx.pace.grain = 0; /* share out even the smallest op */
    model_init(&rig->model, config, problem, classes, lora, &rig->backend);
    state_init(&rig->state, &rig->model, 1, 0);
    state_reset(&rig->state, &rig->model);
    return 0;
}

void rig_open_small(Rig *rig, int words)
{
    json_t *json = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i}", "model_type", "bert",
                             "vocab_size", words, "hidden_size", 8, "intermediate_size", 8,
                             "num_hidden_layers", 1, "num_attention_heads", 2,
                             "max_position_embeddings", 128);
    Config config;
    Error error;
    CHECK(!config_from_json(&config, json, "tiny", &error) &&
              !rig_open(rig, "auto", 1, config, PROBLEM_CHOICE, 2, NULL, &error),
          "%s", error.text);
}

int rig_plan(Rig *rig, int max_tokens, int max_sequences, int max_length, int recompute,
             Error *error)
{
    if (workspace_plan(&rig->work, &rig->model, max_tokens, max_sequences, max_length, 1, recompute,
                       error)) {
        return error->code;
    }
    workspace_alloc(&rig->work, &rig->model);
    batch_init(&rig->batch, &rig->model, max_tokens, max_sequences);
    return 0;
}

void rig_free(Rig *rig)
{
    batch_free(&rig->batch);
    workspace_free(&rig->work, &rig->model);
    state_free(&rig->state, &rig->model);
    model_free(&rig->model);
    backend_free(&rig->backend);
}

Pass rig_pass(const Rig *rig, Step step)
{
    return (Pass){&rig->model, &rig->state, &rig->work, &rig->batch, .step = step};
}

static void get(const Rig *rig, void *host, const void *from, size_t bytes)
{
    Error error;
    rig->backend.device->get(host, from, bytes);
    CHECK(!backend_wait(&rig->backend, &error), "%s", error.text);
}

float *rig_get(const Rig *rig, const float *x, size_t n)
{
    float *copy = memory_alloc(n, sizeof *copy);
    get(rig, copy, x, n * sizeof *copy);
    return copy;
}

double rig_loss(const Rig *rig)
{
    float *losses = rig_get(rig, rig->work.losses, (size_t)rig->batch.losses);
    double sum = 0;
    for (int i = 0; i < rig->batch.losses; i++) {
        sum += (double)losses[i];
    }
    free(losses);
    return sum;
}

float *rig_param(const Rig *rig, const Param *param)
{
    Error error;
    const Device *device = rig->backend.device;
    float *values = memory_alloc(param->count, sizeof *values);
    if (param->frozen.bf16) {
        uint16_t *stored = memory_alloc(param->count, sizeof *stored);
        param_get(param, rig->state.weights, stored, 0, param->count, device);
        CHECK(!backend_wait(&rig->backend, &error), "%s", error.text);
        weight_row(values, (Weight){.bf16 = stored}, 0, param->count);
        free(stored);
    } else {
        param_get(param, rig->state.weights, values, 0, param->count, device);
        CHECK(!backend_wait(&rig->backend, &error), "%s", error.text);
    }
    return values;
}

void rig_param_put(Rig *rig, Param *param, const float *values)
{
    const Device *device = rig->backend.device;
    if (!param->trainable && !param->own) { /* from now on memory of its own */
        device->unview(param->frozen.bf16 ? (const void *)param->frozen.bf16 : param->frozen.f32,
                       param_bytes(param));
        param->frozen = (Weight){0};
    }
    param_put(param, rig->state.weights, values, device);
}

void rig_param_normal(Rig *rig, Param *param, uint64_t seed, float std)
{
    Init own = param->init;
    param->init = INIT_NORMAL;
    param_init(param, rig->state.weights, seed, std, &rig->backend);
    param->init = own;
}
