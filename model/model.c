/* Models by architecture: what does not depend on it. */
#include "parts.h"

#include <stdlib.h>

static int is_decoder(const Model *model)
{
    return model->config.architecture == ARCH_LLAMA;
}

static size_t lookup_size(const Model *model)
{
    return (size_t)model->config.V * (size_t)model->config.C;
}

void model_init(Model *model, Config config, Problem problem, int classes, const LoraConfig *lora,
                Backend *backend)
{
    *model = (Model){.config = config, .problem = problem, .backend = backend};
    model->lora = lora ? *lora : (LoraConfig){0};
    model->choices = problem == PROBLEM_CHOICE ? classes : 1;
    model->O = problem == PROBLEM_CHOICE ? 1 : classes;
    (is_decoder(model) ? decoder_init : encoder_init)(model);
    for (int i = 0; i < model->params.count; i++) {
        Param *param = &model->params.list[i];
        param->trainable = !model->lora.targets || param->adapter || param->head;
    }
    params_alloc(&model->params);
}

void model_plan(Model *model, int max_tokens, int max_sequences, int max_length, int train)
{
    (is_decoder(model) ? decoder_unplan : encoder_unplan)(model);
    model->max_tokens = max_tokens;
    model->max_sequences = max_sequences;
    model->max_length = max_length;
    if (train && !model->params.gradients) {
        params_train(&model->params);
    }
    if (train && model->problem == PROBLEM_LANGUAGE && model->config.tied && !model->lora.targets &&
        !model->d_lookup) {
        model->d_lookup = arena_alloc(lookup_size(model) * sizeof(float));
    }
    size_t scratch = (is_decoder(model) ? decoder_plan : encoder_plan)(model, train);
    scratch = larger(scratch, model->params.trained / SUM_GROUP + 64);
    backend_reserve(model->backend, scratch);
    model->scratch_bytes = scratch * sizeof(float);
}

void model_free(Model *model)
{
    (is_decoder(model) ? decoder_free : encoder_free)(model);
    if (model->d_lookup) {
        arena_free(model->d_lookup, lookup_size(model) * sizeof(float));
    }
    params_free(&model->params);
    shards_free(model->shards);
    config_free(&model->config);
    *model = (Model){0};
}

const float *model_forward(Model *model, const Batch *batch, const Step *step)
{
    return (is_decoder(model) ? decoder_forward : encoder_forward)(model, batch, step);
}

void model_loss(Model *model, const Batch *batch, const Step *step, float *losses, float scale,
                int with_gradient)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    float *d = with_gradient ? model->d_logits : NULL;
    if (model->problem == PROBLEM_LANGUAGE) {
        decoder_language_loss(model, batch, step, losses, scale, with_gradient);
        return;
    }
    if (model->problem == PROBLEM_REGRESSION) {
        ops->mean_squared_error(ctx, losses, d, model->logits, batch->targets, batch->B, scale);
    } else {
        ops->cross_entropy(ctx, losses, d, model->logits, batch->labels, batch->B / model->choices,
                           model->O * model->choices, scale);
    }
    if (with_gradient) {
        (is_decoder(model) ? decoder_backward : encoder_backward)(model, batch, step);
    }
}

void model_zero_gradients(Model *model)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    ops->fill_zero(ctx, model->params.gradients, model->params.trained);
    if (model->d_lookup) {
        ops->fill_zero(ctx, model->d_lookup, lookup_size(model));
    }
}

void model_add_lookups(Model *model)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    if (model->d_lookup) {
        float *d_word = model_gradient(model, 0);
        ops->add(ctx, d_word, d_word, model->d_lookup, lookup_size(model));
        ops->fill_zero(ctx, model->d_lookup, lookup_size(model));
    }
}

ModelCounts model_counts(const Model *model)
{
    ModelCounts counts = {0};
    for (int i = 0; i < model->params.count; i++) {
        const Param *param = &model->params.list[i];
        counts.adapters += param->adapter ? param->count : 0;
        counts.head += param->head ? param->count : 0;
        counts.trained += param->trainable ? param->count : 0;
        counts.all += param->count;
        counts.pairs += param->adapter;
    }
    counts.pairs /= 2;
    return counts;
}

Weight model_weight(const Model *model, int index)
{
    return model->params.list[index].weight;
}

const float *model_vector(const Model *model, int index)
{
    return model->params.list[index].weight.f32;
}

float *model_gradient(const Model *model, int index)
{
    const Param *param = &model->params.list[index];
    return param->trainable ? model->params.gradients + param->offset : NULL;
}

void model_observe(const Model *model, const char *kind, int l, const float *x, int rows,
                   int columns)
{
    if (model->observe) {
        char name[32];
        snprintf(name, sizeof name, l < 0 ? "%s" : "%s.%d", kind, l);
        model->observe(model->observe_user, name, x, rows, columns);
    }
}

DropoutSite model_site(const Step *step, int number, float p)
{
    return (DropoutSite){.seed = step->seed_dropout,
                         .step = step->step,
                         .site = (uint32_t)number,
                         .p = step->train ? p : 0.0f};
}

float *carve(Carver *carver, size_t rows, size_t columns)
{
    float *part = carver->memory ? carver->memory + carver->used : NULL;
    /* Rows are below 2^31, columns below 2^25. A sum beyond any memory stays there instead of
     * overflowing, and is refused where it is allocated. */
    carver->used += carver->used < (size_t)1 << 60 ? (rows * columns + 15) / 16 * 16 : 0;
    return part;
}

size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}
