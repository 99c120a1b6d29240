/* Linear layers with their adapters. A frozen weight has no gradient; an adapter is two small
 * matrices of its own beside it. */
#include "linear.h"

/* First dropout site of adapters; the model's own are below. Eight a block. */
enum { SITE_LORA = 2048, SITES_PER_BLOCK = 8 };

Linear linear_add_other(Model *model, const char *module, int in, int out, int bias, int head)
{
    Params *p = &model->params;
    char name[128];
    Linear linear = {.in = in, .out = out, .bias = -1, .lora_a = -1, .lora_b = -1};
    snprintf(name, sizeof name, "%s.weight", module);
    linear.weight = params_add(p, name, out, in, INIT_NORMAL, 1, head);
    if (bias) {
        snprintf(name, sizeof name, "%s.bias", module);
        linear.bias = params_add(p, name, out, 0, INIT_ZERO, 0, head);
    }
    return linear;
}

static int add_adapter(Model *model, const char *module, char which, int out, int in, Init init)
{
    char name[128];
    snprintf(name, sizeof name, "base_model.model.%s.lora_%c.weight", module, which);
    int index = params_add(&model->params, name, out, in, init, 1, 0);
    model->params.list[index].adapter = 1;
    return index;
}

Linear linear_add(Model *model, LinearKind kind, int l, int in, int out, int bias)
{
    const LoraConfig *lora = &model->lora;
    char module[96];
    snprintf(module, sizeof module, "%s%d.%s", block_prefix(model->config.architecture), l,
             linear_module(model->config.architecture, kind));
    Linear linear = linear_add_other(model, module, in, out, bias, 0);
    linear.layer = l;
    linear.kind = kind;
    if (lora->targets >> kind & 1) {
        linear.lora_a = add_adapter(model, module, 'A', lora->r, in, INIT_UNIFORM);
        linear.lora_b = add_adapter(model, module, 'B', out, lora->r, INIT_ZERO);
    }
    return linear;
}

static float *mid_of(const Pass *pass, const Linear *linear)
{
    return pass->work->mid[linear->layer][linear->kind];
}

static Lora lora_of(const Pass *pass, const Linear *linear, const Rows *rows)
{
    const LoraConfig *config = &pass->model->lora;
    int site = SITE_LORA + SITES_PER_BLOCK * linear->layer + (int)linear->kind;
    return (Lora){.a = pass_vector(pass, linear->lora_a),
                  .b = pass_vector(pass, linear->lora_b),
                  .R = config->r,
                  .scale = (float)lora_scale(config),
                  .dropout = pass_site(pass, site, config->dropout),
                  .positions = rows->places,
                  .slots = rows->slots};
}

void linear_forward(const Pass *pass, const Linear *linear, float *out, const float *x,
                    const Rows *rows)
{
    const Ops *ops = &pass->model->backend->ops;
    Context *ctx = &pass->model->backend->ctx;
    ops->matmul_forward(ctx, out, x, pass_weight(pass, linear->weight),
                        linear->bias < 0 ? NULL : pass_vector(pass, linear->bias), rows->count,
                        linear->in, linear->out);
    if (linear->lora_a >= 0) {
        Lora lora = lora_of(pass, linear, rows);
        ops->lora_forward(ctx, out, mid_of(pass, linear), x, &lora, rows->count, linear->in,
                          linear->out);
    }
}

void linear_backward(const Pass *pass, const Linear *linear, float *dx, const float *dout,
                     const float *x, const Rows *rows, int accumulate)
{
    const Ops *ops = &pass->model->backend->ops;
    Context *ctx = &pass->model->backend->ctx;
    float *d_weight = pass_gradient(pass, linear->weight);
    if (d_weight) {
        if (linear->bias >= 0) {
            ops->bias_backward(ctx, pass_gradient(pass, linear->bias), dout, rows->cu,
                               rows->sequences, rows->count, linear->out);
        }
        ops->matmul_backward_weight(ctx, d_weight, dout, x, rows->count, linear->in, linear->out);
    }
    if (dx) {
        ops->matmul_backward_input(ctx, dx, dout, pass_weight(pass, linear->weight), rows->count,
                                   linear->in, linear->out, accumulate);
    }
    if (linear->lora_a >= 0) {
        Lora lora = lora_of(pass, linear, rows);
        ops->lora_backward(ctx, dx, pass_gradient(pass, linear->lora_a),
                           pass_gradient(pass, linear->lora_b), dout, mid_of(pass, linear), x,
                           &lora, rows->count, linear->in, linear->out);
    }
}

int linear_needs_input(const Model *model, const Linear *linear)
{
    return linear->lora_a >= 0 || model->params.list[linear->weight].trainable;
}
