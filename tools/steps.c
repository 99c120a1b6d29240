/* Steps of models of random weights; steps.h. */
#include "steps.h"
#include "hf.h"
#include "watch.h"

#include <stdlib.h>

static _Noreturn void fail(const Error *error)
{
    fprintf(stderr, "bench: %s\n", error->text);
    exit(error->code);
}

void rig_open(Rig *rig, Config config, const LoraConfig *lora, int train, Backend *backend)
{
    model_init(&rig->model, config, PROBLEM_SINGLE, 2, lora, backend);
    state_init(&rig->state, &rig->model, train, 0);
    state_reset(&rig->state, &rig->model);
    rig->adamw = (OptimConfig){0.9, 0.98, 1e-6, 0.1, 1.0, 0};
}

void rig_open_folder(Rig *rig, const char *folder, const LoraConfig *lora, int train,
                     Backend *backend)
{
    Error error;
    Config config;
    char *path = string_format("%s/config.json", folder), *made;
    if (config_read(&config, path, &error)) {
        fail(&error);
    }
    rig_open(rig, config, lora, train, backend);
    if (model_read(&rig->model, &rig->state, folder, 42, NULL, &made, &error)) {
        fail(&error);
    }
    free(made);
    free(path);
}

void rig_plan(Rig *rig, int B, int T, int train, int recompute)
{
    Error error;
    if (workspace_plan(&rig->work, &rig->model, B * T, B, T, train, recompute, &error)) {
        fail(&error);
    }
    workspace_alloc(&rig->work, &rig->model);
    batch_init(&rig->batch, &rig->model, B * T, B);
}

void rig_unplan(Rig *rig)
{
    batch_free(&rig->batch);
    workspace_free(&rig->work, &rig->model);
}

void rig_free(Rig *rig)
{
    state_free(&rig->state, &rig->model);
    model_free(&rig->model);
}

void rig_close(Rig *rig)
{
    rig_unplan(rig);
    rig_free(rig);
}

void rig_fill(Rig *rig, const int *lengths, int B, int number)
{
    int n = 0, *tokens = memory_alloc((size_t)rig->work.max_length, sizeof *tokens);
    batch_begin(&rig->batch);
    for (int b = 0; b < B; b++) {
        for (int i = 0; i < lengths[b]; i++, n++) {
            tokens[i] = 4 + (n * 7919 + number) % (rig->model.config.V - 4);
        }
        batch_add(&rig->batch, tokens, NULL, lengths[b], b);
        batch_label(&rig->batch, b % 2, 0);
    }
    batch_put(&rig->batch);
    free(tokens);
}

void rig_passes(Rig *rig, int number)
{
    Pass pass = {&rig->model, &rig->state, &rig->work, &rig->batch,
                 .step = {1, (uint32_t)number, 42}};
    pass_forward(&pass);
    pass_loss(&pass, 1.0f / (float)rig->batch.B, 1);
}

void rig_optimize(Rig *rig, const OptimHashes *hashes)
{
    StepSums sums;
    Error error;
    if (optim_step(&rig->state, &rig->model, &rig->adamw, 1e-5, hashes, &sums, &error)) {
        fail(&error);
    }
}

double rig_step(Rig *rig, int number)
{
    double start = clock_seconds();
    rig_passes(rig, number);
    rig_optimize(rig, NULL);
    return clock_seconds() - start;
}

double rig_evaluate(Rig *rig)
{
    Pass pass = {&rig->model, &rig->state, &rig->work, &rig->batch, .step = {.train = 0}};
    Error error;
    double start = clock_seconds();
    pass_forward(&pass);
    if (backend_wait(rig->model.backend, &error)) {
        fail(&error);
    }
    return clock_seconds() - start;
}

double rig_flops(Rig *rig)
{
    Backend *backend = rig->model.backend;
    const Watch *watch = watch_begin(backend, WATCH_PLAN);
    if (rig->work.train) {
        rig_passes(rig, 0);
    } else {
        rig_evaluate(rig);
    }
    watch_end(backend, WATCH_PLAN);
    const OpTally *of = watch->planned;
    double attention = of[OP_attention_forward].flops + of[OP_attention_backward].flops;
    return of[OP_matmul_forward].flops + of[OP_matmul_backward_input].flops +
           of[OP_matmul_backward_weight].flops + of[OP_lora_forward].flops +
           of[OP_lora_backward].flops +
           (rig->model.network == &decoder_network ? attention / 2 : attention);
}

Config roberta_config(const char *name, int C, int F, int L, int H)
{
    Config config;
    Error error;
    json_t *json = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f}", "model_type",
                             "roberta", "vocab_size", 50265, "hidden_size", C, "intermediate_size",
                             F, "num_hidden_layers", L, "num_attention_heads", H,
                             "max_position_embeddings", 514, "type_vocab_size", 1, "pad_token_id",
                             1, "layer_norm_eps", 1e-5);
    if (config_from_json(&config, json, name, &error)) {
        fail(&error);
    }
    return config;
}

static Config llama_config(const char *name, int V, int C, int F, int L, int H, int K, int D)
{
    Config config;
    Error error;
    json_t *json = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:b}",
                             "model_type", "llama", "vocab_size", V, "hidden_size", C,
                             "intermediate_size", F, "num_hidden_layers", L, "num_attention_heads",
                             H, "num_key_value_heads", K, "head_dim", D, "max_position_embeddings",
                             8192, "rms_norm_eps", 1e-5, "rope_theta", 1e5, "tie_word_embeddings",
                             1);
    if (config_from_json(&config, json, name, &error)) {
        fail(&error);
    }
    return config;
}

Config smollm_config(void)
{
    return llama_config("SmolLM2", 49152, 576, 1536, 30, 9, 3, 64);
}

const LoraConfig lora_q_v = {.targets = 1u << LINEAR_Q | 1u << LINEAR_V, .r = 8, .alpha = 16};

/* Numbers around 0 for an operand of a product. */
static float *operand(size_t n)
{
    float *x = memory_alloc(n, sizeof *x);
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)(i * 7919 % 1009) / 1009.0f - 0.5f;
    }
    return x;
}

static void call_product(Backend *backend, char which, float *c, const float *a, const float *b,
                         int M, int O, int K)
{
    Context *ctx = &backend->ctx;
    if (which == 'f') {
        backend->ops.matmul_forward(ctx, c, a, (Weight){.f32 = b}, NULL, M, K, O);
    } else if (which == 'i') {
        backend->ops.matmul_backward_input(ctx, c, a, (Weight){.f32 = b}, M, K, O, 0);
    } else {
        backend->ops.matmul_backward_weight(ctx, c, a, b, M, K, O);
    }
}

double product_seconds(Backend *backend, char which, int M, int O, int K, double least)
{
    size_t m = (size_t)M, o = (size_t)O, k = (size_t)K, rows = which == 'w' ? o : m,
           columns = which == 'f' ? o : k,
           depth = which == 'f'   ? k
                   : which == 'i' ? o
                                  : m;
    float *a = operand(rows * depth), *b = operand(depth * columns), *c = operand(rows * columns);
    backend_reserve(backend, matmul_scratch(rows, columns, depth));
    call_product(backend, which, c, a, b, M, O, K);
    double start = clock_seconds(), seconds = 0;
    int calls = 0;
    for (; seconds < least; calls++) {
        call_product(backend, which, c, a, b, M, O, K);
        seconds = clock_seconds() - start;
    }
    free(a);
    free(b);
    free(c);
    return seconds / calls;
}
