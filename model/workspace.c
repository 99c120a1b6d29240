#include "workspace.h"
#include "pass.h"
#include "watch.h"

#include <stdlib.h>

float *layout_part(Layout *layout, size_t rows, size_t columns)
{
    static float counted;
    float *part = layout->memory ? layout->memory + layout->used : &counted;
    /* Rows are below 2^31, columns below 2^25. A sum beyond any memory stays there instead of
     * overflowing, and is refused where it is allocated. */
    layout->used += layout->used < (size_t)1 << 60 ? (rows * columns + 15) / 16 * 16 : 0;
    return part;
}

float *layout_layer_part(Layout *layout, int needed, float **shared, size_t rows, size_t most_rows,
                         size_t columns)
{
    if (needed && layout->keep) {
        return layout_part(layout, rows, columns);
    }
    if (!*shared) {
        *shared = layout_part(layout, most_rows, columns);
    }
    return *shared;
}

/* The query's and whatever comes behind attention have the rows that go on. */
static void lay_out_mid(Workspace *work, Layout *layout, const Model *model)
{
    size_t N = (size_t)work->max_tokens, B = (size_t)work->max_sequences;
    float *shared[LINEAR_KINDS] = {NULL};
    for (int l = 0; l < model->config.L; l++) {
        for (int k = 0; k < LINEAR_KINDS; k++) {
            int all = !pass_narrows(model, l) || k == LINEAR_K || k == LINEAR_V;
            if (model->lora.targets >> k & 1) {
                work->mid[l][k] = layout_layer_part(layout, 1, &shared[k], all ? N : B, N,
                                                    (size_t)model->lora.r);
            }
        }
    }
}

static void lay_out(Workspace *work, Layout *layout, const Model *model)
{
    layout->keep = work->train && !work->recompute;
    size_t N = (size_t)work->max_tokens, B = (size_t)work->max_sequences,
           C = (size_t)model->config.C, O = (size_t)model->O;
    for (int l = 0; l <= model->config.L; l++) {
        /* each is the next layer's input; without training two serve all in turn */
        work->hidden[l] = work->train || l < 2 ? layout_part(layout, N, C) : work->hidden[l - 2];
    }
    work->last_in = layout_part(layout, B, C);
    work->logits = layout_part(layout, B, O);
    work->losses = layout_part(layout, model->problem == PROBLEM_LANGUAGE ? N : B, 1);
    if (work->train) {
        work->d_hidden = layout_part(layout, N, C);
        work->d_last = layout_part(layout, B, C);
        work->d_logits = layout_part(layout, B, O);
    }
    lay_out_mid(work, layout, model);
    model->network->lay_out(work, layout, model);
}

void workspace_call_ops(const Workspace *work, const Model *model)
{
    State state = state_of_addresses(model, work->hidden[0]);
    Batch batch = batch_of_size(model, work->max_tokens, work->max_sequences, work->max_length);
    Pass pass = {model, &state, work, &batch, .step = {.train = work->train}};
    pass_forward(&pass);
    pass_loss(&pass, 1.0f, work->train);
}

int workspace_plan(Workspace *work, const Model *model, int max_tokens, int max_sequences,
                   int max_length, int train, int recompute, Error *error)
{
    const Network *network = model->network;
    Backend *backend = model->backend;
    size_t L = (size_t)model->config.L;
    *work = (Workspace){.max_tokens = max_tokens,
                        .max_sequences = max_sequences,
                        .max_length = max_length,
                        .train = train,
                        .recompute = recompute};
    work->hidden = memory_calloc(L + 1, sizeof *work->hidden);
    work->mid = memory_calloc(L, sizeof *work->mid);
    work->acts = memory_calloc(L, network->acts_size);
    work->other = memory_calloc(1, network->other_size);
    Layout layout = {0};
    lay_out(work, &layout, model);
    work->acts_bytes = layout.used * sizeof(float);
    const Watch *watch = watch_begin(backend, WATCH_PLAN);
    workspace_call_ops(work, model);
    watch_end(backend, WATCH_PLAN);
    work->scratch_bytes = watch->scratch * sizeof(float);
    if (watch->error.code) {
        *error = watch->error;
        return error->code;
    }
    return 0;
}

void workspace_alloc(Workspace *work, const Model *model)
{
    const Network *network = model->network;
    Backend *backend = model->backend;
    work->memory = backend->device->alloc(work->acts_bytes);
    lay_out(work, &(Layout){.memory = work->memory}, model);
    if (network->prepare) {
        network->prepare(work, model);
    }
    backend_reserve(backend, work->scratch_bytes / sizeof(float));
}

void workspace_free(Workspace *work, const Model *model)
{
    if (model->backend) {
        model->backend->device->release(work->memory, work->acts_bytes);
    }
    free(work->hidden);
    free(work->mid);
    free(work->acts);
    free(work->other);
    *work = (Workspace){0};
}
