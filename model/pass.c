#include "pass.h"

Weight pass_weight(const Pass *pass, int index)
{
    const Param *param = &pass->model->params.list[index];
    return param->trainable ? (Weight){.f32 = pass->state->weights + param->offset}
                            : param->frozen;
}

const float *pass_vector(const Pass *pass, int index)
{
    return pass_weight(pass, index).f32;
}

float *pass_gradient(const Pass *pass, int index)
{
    const Param *param = &pass->model->params.list[index];
    return param->trainable ? pass->state->gradients + param->offset : NULL;
}

void pass_observe(const Pass *pass, const char *kind, int l, const float *x, int rows, int columns)
{
    if (pass->observe) {
        char name[32];
        snprintf(name, sizeof name, l < 0 ? "%s" : "%s.%d", kind, l);
        pass->observe(pass->observe_user, name, x, rows, columns);
    }
}

DropoutSite pass_site(const Pass *pass, int number, float p)
{
    return (DropoutSite){.seed = pass->step.seed_dropout,
                         .step = pass->step.step,
                         .site = (uint32_t)number,
                         .p = pass->step.train ? p : 0.0f};
}

Rows rows_all(const Pass *pass)
{
    const Batch *b = pass->batch;
    return (Rows){b->N, b->B, b->cu_seqlens, b->places, b->slots};
}

Rows rows_head(const Pass *pass)
{
    const Batch *b = pass->batch;
    return (Rows){b->B, b->B, NULL, b->head_places, b->sequence_slots};
}

int pass_narrows(const Model *model, int l)
{
    return l == model->config.L - 1 && model->problem != PROBLEM_LANGUAGE && !model->config.spans;
}

Rows rows_behind(const Pass *pass, int l)
{
    return pass_narrows(pass->model, l) ? rows_head(pass) : rows_all(pass);
}

AttentionShape pass_attention(const Pass *pass, int l, int causal)
{
    const Config *c = &pass->model->config;
    const Batch *b = pass->batch;
    int narrow = pass_narrows(pass->model, l);
    return (AttentionShape){.B = b->B,
                            .H = c->H,
                            .K = c->K,
                            .D = c->D,
                            .q_rows = narrow ? b->B : b->N,
                            .k_rows = b->N,
                            .longest = b->longest,
                            .causal = causal,
                            .scale = 1.0f / sqrtf((float)c->D),
                            .cu_q = narrow ? b->counting : b->cu_seqlens,
                            .cu_k = b->cu_seqlens,
                            .q_position = narrow ? b->head_places : b->zeros,
                            .slot = b->sequence_slots,
                            .q_stride = c->H * c->D,
                            .kv_stride = c->K * c->D};
}

float *pass_d_out(const Pass *pass, int l)
{
    return pass_narrows(pass->model, l) ? pass->work->d_last : pass->work->d_hidden;
}

int pass_trains(const Pass *pass, int l, LinearKind before)
{
    unsigned targets = pass->model->lora.targets;
    return !targets || l > 0 || (targets & ((1u << before) - 1));
}

/* Runs one layer; the context knows which one, for whoever watches. */
static void run_layer(const Pass *pass, void (*run)(const Pass *, int), int l)
{
    Context *ctx = &pass->model->backend->ctx;
    ctx->layer = l;
    run(pass, l);
    ctx->layer = -1;
}

void pass_forward(const Pass *pass)
{
    const Network *network = pass->model->network;
    network->embed(pass);
    for (int l = 0; l < pass->model->config.L; l++) {
        run_layer(pass, network->layer_forward, l);
    }
    network->head_forward(pass);
}

static void backward(const Pass *pass)
{
    const Network *network = pass->model->network;
    const Config *c = &pass->model->config;
    Pass again = *pass;
    again.observe = NULL; /* it has seen these */
    for (int l = c->L - 1; l >= 0; l--) {
        if (pass->work->recompute && l < c->L - 1) {
            run_layer(&again, network->layer_forward, l);
        }
        run_layer(pass, network->layer_backward, l);
        if (pass_trains(pass, l, LINEAR_Q)) {
            pass_observe(pass, "dhidden", l, pass->work->d_hidden, pass->batch->N, c->C);
        }
    }
    if (pass->model->trained_tables) {
        network->embed_backward(pass);
    }
}

void pass_loss(const Pass *pass, float scale, int gradient)
{
    const Model *model = pass->model;
    const Workspace *work = pass->work;
    const Batch *batch = pass->batch;
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    float *d = gradient ? work->d_logits : NULL;
    switch (model->problem) {
    case PROBLEM_LANGUAGE:
        model->network->language_loss(pass, scale, gradient);
        break;
    case PROBLEM_REGRESSION:
        ops->mean_squared_error(ctx, work->losses, d, work->logits, batch->targets,
                                batch->examples, scale);
        break;
    default:
        ops->cross_entropy(ctx, work->losses, d, work->logits, batch->labels, batch->examples,
                           model->O * model->choices, scale);
    }
    ops->sum_losses(ctx, &pass->state->sums->loss, work->losses, batch->losses);
    if (gradient && model->problem != PROBLEM_LANGUAGE) {
        model->network->head_backward(pass);
    }
    if (gradient) {
        backward(pass);
    }
}
