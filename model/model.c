#include "model.h"
#include "pass.h"
#include "shards.h"

#include <stdlib.h>

void model_init(Model *model, Config config, Problem problem, int classes, const LoraConfig *lora,
                Backend *backend)
{
    *model = (Model){.config = config, .problem = problem, .backend = backend};
    model->network = config.architecture == ARCH_LLAMA ? &decoder_network : &encoder_network;
    model->lora = lora ? *lora : (LoraConfig){0};
    model->choices = problem == PROBLEM_CHOICE ? classes : 1;
    model->O = problem == PROBLEM_CHOICE ? 1 : classes;
    model->network->add(model);
    for (int i = 0; i < model->params.count; i++) {
        Param *param = &model->params.list[i];
        param->trainable = !model->lora.targets || param->adapter || param->head;
    }
    model->trained_tables = model->lora.targets                 ? 0
                            : config.architecture == ARCH_LLAMA ? 1
                                                                : TABLES;
    params_lay_out(&model->params, backend->device);
}

void model_free(Model *model)
{
    if (model->backend) {
        params_free(&model->params, model->backend->device);
    }
    free(model->layers);
    shards_free(model->shards);
    config_free(&model->config);
    *model = (Model){0};
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
