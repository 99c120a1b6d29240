#include "step_hashes.h"

/* From first on, a multiple of HASH_BLOCK. */
static void hash_values(StepHashes *h, uint64_t *sum, const float *arena, const Param *param,
                        size_t first, size_t count)
{
    Backend *backend = h->model->backend;
    h->inside = 1;
    backend->ops.hash(&backend->ctx, sum, arena + param->offset + first, NULL, 1, count, count,
                      first / HASH_BLOCK);
    h->inside = 0;
}

static void hash_piece(void *user, size_t index, const Param *param, size_t first, size_t count)
{
    StepHashes *h = user;
    uint64_t *sums = h->sums + index * h->kinds;
    hash_values(h, sums + TRACE_WEIGHT, h->state->weights, param, first, count);
    if (h->kinds == TRACE_HASHES) {
        hash_values(h, sums + TRACE_M, h->state->m, param, first, count);
        hash_values(h, sums + TRACE_V, h->state->v, param, first, count);
    }
}

void step_hashes_init(StepHashes *hashes, const Model *model, const State *state, uint64_t *sums,
                      size_t kinds)
{
    *hashes = (StepHashes){model, state, sums, kinds, 0, {hash_piece, hashes}};
}

void step_hashes_arena(StepHashes *hashes, uint64_t *sums, const float *arena, size_t apart)
{
    const Params *params = &hashes->model->params;
    for (int p = 0; p < params->count; p++) {
        const Param *param = &params->list[p];
        if (param->trainable) {
            hash_values(hashes, sums, arena, param, 0, param->count);
            sums += apart;
        }
    }
}
