/* Hashes of a step: AdamW with hashes is AdamW, and they are those of the op hash. */
#include "check.h"
#include "optim.h"
#include "rig.h"
#include "trace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Its words are many blocks of a hash and a part of one. */
static void open_rig(Rig *rig, int threads)
{
    Config config;
    Error error;
    json_t *json = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i}", "model_type", "bert",
                             "vocab_size", 40 * HASH_BLOCK / 8 + 5, "hidden_size", 8,
                             "intermediate_size", 16, "num_hidden_layers", 1, "num_attention_heads",
                             2, "max_position_embeddings", 16);
    CHECK(!config_from_json(&config, json, "wide", &error) &&
              !rig_open(rig, "auto", threads, config, PROBLEM_SINGLE, 2, NULL, &error),
          "%s", error.text);
}

/* Made-up numbers, the same in every call. */
static void fill(const Rig *rig, float *arena, size_t n, float scale)
{
    float *values = memory_alloc(n, sizeof *values);
    uint32_t drawn = 1;
    for (size_t i = 0; i < n; i++) {
        drawn = drawn * 1664525u + 1013904223u;
        values[i] = scale * ((float)(drawn >> 8) * 0x1p-24f - 0.5f);
    }
    rig->backend.device->put(arena, values, n * sizeof *values);
    free(values);
}

/* One step from the same values, of which one gradient is this; hashes [parameters][kinds], kinds 0 for
 * AdamW as one. */
static void step(Rig *rig, uint64_t *hashes, size_t kinds, float gradient)
{
    const OptimConfig adamw = {0.9, 0.98, 1e-6, 0.1, 1.0, 0};
    const Device *device = rig->backend.device;
    size_t n = rig->model.params.trained, all = (size_t)rig->model.params.count * kinds;
    uint64_t *sums = device->alloc(all * sizeof *sums);
    OptimHashes wanted = {sums, (int)kinds};
    StepSums out;
    Error error;
    backend_reserve(&rig->backend, 2 * HASH_PARTS);
    fill(rig, rig->state.weights, n, 1.0f);
    fill(rig, rig->state.gradients, n, 0.01f);
    device->put(rig->state.gradients, &gradient, sizeof gradient);
    CHECK(
        !optim_step(&rig->state, &rig->model, &adamw, 1e-3, kinds ? &wanted : NULL, &out, &error) &&
            !out.finite == !isfinite(gradient),
        "a step");
    device->get(hashes, sums, all * sizeof *sums);
    CHECK(!backend_wait(&rig->backend, &error), "%s", error.text);
    device->release(sums, all * sizeof *sums);
}

/* The hashes of an arena as a whole. */
static void whole(Rig *rig, uint64_t *hashes, const float *arena)
{
    const Device *device = rig->backend.device;
    size_t bytes = (size_t)rig->model.params.count * sizeof *hashes;
    uint64_t *sums = device->alloc(bytes);
    Error error;
    for (int p = 0; p < rig->model.params.count; p++) {
        const Param *param = &rig->model.params.list[p];
        rig->backend.ops.hash(&rig->backend.ctx, sums + p, arena + param->offset, NULL, 1,
                              param->count, param->count, 0);
    }
    device->get(hashes, sums, bytes);
    CHECK(!backend_wait(&rig->backend, &error), "%s", error.text);
    device->release(sums, bytes);
}

/* The hashes are those of what the arenas have. */
static void compare(Rig *rig, const uint64_t *hashes)
{
    static const char *const names[TRACE_HASHES] = {"weight", "gradient", "m", "v"};
    const State *s = &rig->state;
    const float *const arenas[TRACE_HASHES] = {s->weights, s->gradients, s->m, s->v};
    size_t count = (size_t)rig->model.params.count;
    uint64_t *expected = memory_alloc(count, sizeof *expected);
    for (int k = 0; k < TRACE_HASHES; k++) {
        whole(rig, expected, arenas[k]);
        for (size_t p = 0; p < count; p++) {
            CHECK(hashes[p * TRACE_HASHES + (size_t)k] == expected[p], "%s of parameter %zu",
                  names[k], p);
        }
    }
    free(expected);
}

static void check_hashes(int threads)
{
    static const float some = 0.01f;
    Rig one, hashed;
    open_rig(&one, 1);
    open_rig(&hashed, threads);
    const State *a = &one.state, *b = &hashed.state;
    size_t n = one.model.params.trained, count = (size_t)one.model.params.count;
    uint64_t *hashes = memory_alloc(count * TRACE_HASHES, sizeof *hashes),
             *weights = memory_alloc(count, sizeof *weights),
             *expected = memory_alloc(count, sizeof *expected);
    const float *const arenas[][2] = {
        {a->weights, b->weights}, {a->m, b->m}, {a->v, b->v}, {a->gradients, b->gradients}};
    step(&hashed, hashes, TRACE_HASHES, INFINITY); /* moves nothing */
    compare(&hashed, hashes);
    step(&one, NULL, 0, some);
    step(&hashed, hashes, TRACE_HASHES, some);
    for (int i = 0; i < 4; i++) {
        float *x = rig_get(&one, arenas[i][0], n), *y = rig_get(&hashed, arenas[i][1], n);
        CHECK(!memcmp(x, y, n * sizeof *x), "AdamW with hashes is another one: array %d", i);
        free(x);
        free(y);
    }
    fill(&hashed, hashed.state.gradients, n, 0.01f); /* as they were */
    hashed.backend.device->put(hashed.state.gradients, &some, sizeof some);
    compare(&hashed, hashes);
    state_reset(&hashed.state, &hashed.model);
    step(&hashed, weights, 1, some);
    whole(&one, expected, a->weights);
    CHECK(!memcmp(weights, expected, count * sizeof *weights), "hashes of weights alone");
    rig_free(&one);
    rig_free(&hashed);
    free(hashes);
    free(weights);
    free(expected);
}

int main(void)
{
    check_hashes(1);
    check_hashes(3);
    return checks_close("test_step_hashes");
}
