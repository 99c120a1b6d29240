/* Linear layers with their adapters. A frozen weight has no gradient; an adapter is two small
 * matrices of its own beside it. */
#include "parts.h"

#include <math.h>
#include <string.h>

/* First dropout site of adapters; the model's own are below. Eight a block. */
enum { SITE_LORA = 2048, SITES_PER_BLOCK = 8 };

static const char *const kind_names[LINEAR_KINDS] = {"q", "k", "v", "o", "gate", "up", "down"};

const char *linear_kind_name(LinearKind kind)
{
    return kind_names[kind];
}

const char *linear_module(Architecture architecture, LinearKind kind)
{
    static const char *const llama[LINEAR_KINDS] = {
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
        "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};
    static const char *const bert[LINEAR_KINDS] = {"attention.self.query",
                                                   "attention.self.key",
                                                   "attention.self.value",
                                                   "attention.output.dense",
                                                   NULL,
                                                   "intermediate.dense",
                                                   "output.dense"};
    return (architecture == ARCH_LLAMA ? llama : bert)[kind];
}

const char *block_prefix(Architecture architecture)
{
    return architecture == ARCH_LLAMA     ? "model.layers."
           : architecture == ARCH_ROBERTA ? "roberta.encoder.layer."
                                          : "bert.encoder.layer.";
}

int lora_targets(unsigned *targets, const char *list, Architecture architecture, Error *error)
{
    const char *names[LINEAR_KINDS + 1];
    int count = 0;
    *targets = 0;
    for (int k = 0; k < LINEAR_KINDS; k++) {
        if (linear_module(architecture, (LinearKind)k)) {
            names[count++] = kind_names[k];
            *targets |= strcmp(list, "all") ? 0 : 1u << k;
        }
    }
    names[count++] = "all";
    if (*targets) {
        return 0;
    }
    for (const char *at = list;; at++) {
        char word[32];
        size_t length = strcspn(at, ",");
        unsigned found = 0;
        snprintf(word, sizeof word, "%.*s", (int)(length < 31 ? length : 31), at);
        for (int k = 0; k < LINEAR_KINDS; k++) {
            if (!strcmp(word, kind_names[k]) && linear_module(architecture, (LinearKind)k)) {
                found = 1u << k;
            }
        }
        if (!found) {
            const char *near = nearest_word(word, names, count);
            return error_set(error, EXIT_USAGE,
                             "--lora-targets %s: '%s' is no linear layer of this model%s%s; choose "
                             "from q, k, v, o, %sup, down, or all",
                             list, word, near ? "; did you mean " : "", near ? near : "",
                             architecture == ARCH_LLAMA ? "gate, " : "");
        }
        *targets |= found;
        at += length;
        if (!*at) {
            return 0;
        }
    }
}

double lora_scale(const LoraConfig *lora)
{
    return lora->alpha / (lora->rslora ? sqrt((double)lora->r) : (double)lora->r);
}

static Linear add(Model *model, const char *module, int in, int out, int bias, int head)
{
    Params *p = &model->params;
    char name[128];
    Linear linear = {.bias = -1, .in = in, .out = out, .lora = -1};
    snprintf(name, sizeof name, "%s.weight", module);
    linear.weight = params_add(p, name, out, in, INIT_NORMAL, 1, head);
    if (bias) {
        snprintf(name, sizeof name, "%s.bias", module);
        linear.bias = params_add(p, name, out, 0, INIT_ZERO, 0, head);
    }
    return linear;
}

Linear linear_add(Model *model, LinearKind kind, int l, int in, int out, int bias)
{
    const LoraConfig *lora = &model->lora;
    char module[96], name[128];
    snprintf(module, sizeof module, "%s%d.%s", block_prefix(model->config.architecture), l,
             linear_module(model->config.architecture, kind));
    Linear linear = add(model, module, in, out, bias, 0);
    if (lora->targets >> kind & 1) {
        snprintf(name, sizeof name, "base_model.model.%s.lora_A.weight", module);
        linear.lora = params_add(&model->params, name, lora->r, in, INIT_UNIFORM, 1, 0);
        snprintf(name, sizeof name, "base_model.model.%s.lora_B.weight", module);
        params_add(&model->params, name, out, lora->r, INIT_ZERO, 1, 0);
        model->params.list[linear.lora].adapter = model->params.list[linear.lora + 1].adapter = 1;
        linear.site = SITE_LORA + SITES_PER_BLOCK * l + (int)kind;
    }
    return linear;
}

Linear linear_add_other(Model *model, const char *module, int in, int out, int bias, int head)
{
    return add(model, module, in, out, bias, head);
}

static Lora lora_of(const Model *model, const Linear *linear, const Rows *rows, const Step *step)
{
    return (Lora){.a = model_vector(model, linear->lora),
                  .b = model_vector(model, linear->lora + 1),
                  .R = model->lora.r,
                  .scale = (float)lora_scale(&model->lora),
                  .dropout = model_site(step, linear->site, model->lora.dropout),
                  .positions = rows->position,
                  .slots = rows->slot};
}

void linear_forward(Model *model, const Linear *linear, float *out, float *mid, const float *x,
                    const Rows *rows, const Step *step)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    ops->matmul_forward(ctx, out, x, model_weight(model, linear->weight),
                        linear->bias < 0 ? NULL : model_vector(model, linear->bias), rows->count,
                        linear->in, linear->out);
    if (linear->lora >= 0) {
        Lora lora = lora_of(model, linear, rows, step);
        ops->lora_forward(ctx, out, mid, x, &lora, rows->count, linear->in, linear->out);
    }
}

void linear_backward(Model *model, const Linear *linear, float *dx, const float *dout,
                     const float *mid, const float *x, const Rows *rows, const Step *step,
                     int accumulate)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    float *d_weight = model_gradient(model, linear->weight);
    if (d_weight) {
        if (linear->bias >= 0) {
            ops->bias_backward(ctx, model_gradient(model, linear->bias), dout, rows->cu,
                               rows->sequences, rows->count, linear->out);
        }
        ops->matmul_backward_weight(ctx, d_weight, dout, x, rows->count, linear->in, linear->out);
    }
    if (dx) {
        ops->matmul_backward_input(ctx, dx, dout, model_weight(model, linear->weight), rows->count,
                                   linear->in, linear->out, accumulate);
    }
    if (linear->lora >= 0) {
        Lora lora = lora_of(model, linear, rows, step);
        ops->lora_backward(ctx, dx, model_gradient(model, linear->lora),
                           model_gradient(model, linear->lora + 1), dout, mid, x, &lora,
                           rows->count, linear->in, linear->out);
    }
}

int linear_needs_input(const Model *model, const Linear *linear)
{
    return linear->lora >= 0 || model->params.list[linear->weight].trainable;
}

size_t linear_scratch(const Model *model, const Linear *linear, size_t rows)
{
    size_t in = (size_t)linear->in, out = (size_t)linear->out;
    size_t most = larger(matmul_scratch(rows, out, in), matmul_scratch(rows, in, out));
    most = larger(most,
                  model->params.list[linear->weight].trainable ? matmul_scratch(out, in, rows) : 0);
    return larger(most, linear->lora < 0 ? 0
                                         : lora_scratch(rows, in, out, (size_t)model->lora.r,
                                                        model->backend->ctx.threads));
}

int model_trains(const Model *model, int l, unsigned kinds)
{
    return !model->lora.targets || l > 0 || (model->lora.targets & kinds);
}
