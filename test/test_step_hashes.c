/* Hashes of a step: AdamW in pieces is AdamW, and a parameter's hash does not tell how it was cut. */
#include "check.h"
#include "rig.h"
#include "step_hashes.h"

#include <stdlib.h>
#include <string.h>

/* Its words are two pieces and a part of one. */
static void open_rig(Rig *rig, int threads)
{
    Config config;
    Error error;
    json_t *json = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i}", "model_type", "bert",
                             "vocab_size", 2 * OPTIM_PIECE / 8 + 5, "hidden_size", 8,
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

/* One step from the same values; hashes [parameters][kinds], kinds 0 for AdamW as one. */
static void step(Rig *rig, uint64_t *hashes, size_t kinds)
{
    const OptimConfig adamw = {0.9, 0.98, 1e-6, 0.1, 1.0, 0};
    const Device *device = rig->backend.device;
    size_t n = rig->model.params.trained, all = (size_t)rig->model.params.count * kinds;
    uint64_t *sums = device->alloc(all * sizeof *sums);
    StepHashes watch;
    StepSums out;
    Error error;
    backend_reserve(&rig->backend, 2 * HASH_PARTS);
    step_hashes_init(&watch, &rig->model, &rig->state, sums, kinds);
    fill(rig, rig->state.weights, n, 1.0f);
    fill(rig, rig->state.gradients, n, 0.01f);
    CHECK(!optim_step(&rig->state, &rig->model, &adamw, 1e-3, kinds ? &watch.watch : NULL, &out,
                      &error) &&
              out.finite,
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
    StepHashes watch;
    Error error;
    step_hashes_init(&watch, &rig->model, &rig->state, NULL, 0);
    step_hashes_arena(&watch, sums, arena, 1);
    device->get(hashes, sums, bytes);
    CHECK(!backend_wait(&rig->backend, &error), "%s", error.text);
    device->release(sums, bytes);
}

static void check_pieces(int threads)
{
    Rig one, cut;
    open_rig(&one, 1);
    open_rig(&cut, threads);
    const State *a = &one.state, *b = &cut.state;
    size_t n = one.model.params.trained, count = (size_t)one.model.params.count;
    uint64_t *hashes = memory_alloc(count * TRACE_HASHES, sizeof *hashes),
             *weights = memory_alloc(count, sizeof *weights),
             *expected = memory_alloc(count, sizeof *expected);
    const float *const arenas[][2] = {
        {a->weights, b->weights}, {a->m, b->m}, {a->v, b->v}, {a->gradients, b->gradients}};
    step(&one, NULL, 0);
    step(&cut, hashes, TRACE_HASHES);
    for (int i = 0; i < 4; i++) {
        float *x = rig_get(&one, arenas[i][0], n), *y = rig_get(&cut, arenas[i][1], n);
        CHECK(!memcmp(x, y, n * sizeof *x), "AdamW in pieces is another one: array %d", i);
        free(x);
        free(y);
    }
    for (int i = 0; i < 3; i++) {
        static const TraceHash kinds[] = {TRACE_WEIGHT, TRACE_M, TRACE_V};
        whole(&one, expected, arenas[i][0]);
        for (size_t p = 0; p < count; p++) {
            CHECK(hashes[p * TRACE_HASHES + kinds[i]] == expected[p], "hash %d of parameter %zu",
                  kinds[i], p);
        }
    }
    state_reset(&cut.state, &cut.model);
    step(&cut, weights, 1);
    whole(&one, expected, a->weights);
    CHECK(!memcmp(weights, expected, count * sizeof *weights), "hashes of weights alone");
    rig_free(&one);
    rig_free(&cut);
    free(hashes);
    free(weights);
    free(expected);
}

int main(void)
{
    check_pieces(1);
    check_pieces(3);
    return checks_close("test_step_hashes");
}
