#include "optim.h"

void optim_init(Optim *optim, const OptimConfig *config)
{
    *optim = (Optim){.config = *config, .beta1_power = 1.0, .beta2_power = 1.0};
}

/* Sum of n partial sums as a binary tree whose shape depends on n alone. */
static double tree_sum(const float *x, size_t n)
{
    if (n <= 1) {
        return n ? (double)x[0] : 0.0;
    }
    size_t half = (n + 1) / 2;
    return tree_sum(x, half) + tree_sum(x + half, n - half);
}

double optim_step(Optim *optim, Model *model, double lr)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    Params *params = &model->params;
    const OptimConfig *config = &optim->config;
    float *partial = ctx->scratch;
    model_add_lookups(model);
    ops->sum_squares(ctx, partial, params->gradients, params->trained);
    double norm = sqrt(tree_sum(partial, (params->trained + SUM_GROUP - 1) / SUM_GROUP));
    if (!isfinite(norm)) {
        return norm;
    }
    optim->beta1_power *= config->beta1;
    optim->beta2_power *= config->beta2;
    /* torch.nn.utils.clip_grad_norm_: min(1, limit / (norm + 1e-6)) */
    double scale = config->clip > 0.0 ? config->clip / (norm + 1e-6) : 1.0;
    AdamW step = {.beta1_rest = (float)(1.0 - config->beta1),
                  .beta2 = (float)config->beta2,
                  .beta2_rest = (float)(1.0 - config->beta2),
                  .eps = (float)config->eps,
                  .rate = (float)(lr / (1.0 - optim->beta1_power)),
                  .correction = (float)sqrt(1.0 - optim->beta2_power),
                  .gradient_scale = (float)(scale < 1.0 ? scale : 1.0)};
    for (int i = 0; i < params->count; i++) {
        const Param *p = &params->list[i];
        if (!p->trainable) {
            continue;
        }
        step.shrink = (float)(1.0 - (p->decay ? lr * config->weight_decay : 0.0));
        ops->adamw(ctx, params->weights + p->offset, params->m + p->offset, params->v + p->offset,
                   params->gradients + p->offset, p->count, &step);
    }
    return norm;
}

const char *optim_find_nonfinite(const Model *model)
{
    for (int i = 0; i < model->params.count; i++) {
        const Param *p = &model->params.list[i];
        for (size_t j = 0; j < p->count && p->trainable; j++) {
            if (!isfinite(model->params.gradients[p->offset + j])) {
                return p->name;
            }
        }
    }
    return NULL;
}
