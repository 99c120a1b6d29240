/* Measures this machine in one run: its float32 FMA peak, matrix products and training steps of
 * RoBERTa-base as a share of that peak. bench [products|step|statistics] [threads]. docs/BENCH.md
 * is the diary. */
#include "model.h"
#include "safetensors.h"
#include "optim.h"
#include "peak.h"
#include "rng.h"
#include "statistics.h"

#include <stdlib.h>
#include <string.h>

static void fill(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)(i * 2654435761u % 2001) * 1e-3f - 1.0f;
    }
}

static void bench_products(Backend *backend)
{
    static const int shapes[][2] = {{768, 768}, {2304, 768}, {3072, 768}, {768, 3072}};
    const Ops *ops = &backend->ops;
    Context *ctx = &backend->ctx;
    float *x = arena_alloc(2048 * 3072 * 4), *y = arena_alloc(2048 * 3072 * 4),
          *w = arena_alloc(3072 * 3072 * 4);
    fill(x, 2048 * 3072);
    fill(w, 3072 * 3072);
    fill(y, 2048 * 3072);
    backend_reserve(backend, matmul_scratch(3072, 3072, 2048) + matmul_scratch(2048, 3072, 3072));
    printf("%6s %6s %6s %18s %18s %18s\n", "M", "O", "K", "forward", "backward input",
           "backward weight");
    for (int M = 512; M <= 2048; M *= 4) {
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            int O = shapes[s][0], K = shapes[s][1];
            double best[3] = {1e9, 1e9, 1e9}, peak = 1e-9 * peak_flops(backend->ctx.threads),
                   flops = 2.0 * M * O * K * 1e-9;
            for (int run = 0; run < 12; run++) {
                for (int kind = 0; kind < 3; kind++) {
                    double start = clock_seconds();
                    if (kind == 0) {
                        ops->matmul_forward(ctx, y, x, (Weight){.f32 = w}, NULL, M, K, O);
                    } else if (kind == 1) {
                        ops->matmul_backward_input(ctx, x, y, (Weight){.f32 = w}, M, K, O, 0);
                    } else {
                        ops->fill_zero(ctx, w, (size_t)O * (size_t)K);
                        start = clock_seconds();
                        ops->matmul_backward_weight(ctx, w, y, x, M, K, O);
                    }
                    double seconds = clock_seconds() - start;
                    best[kind] = seconds < best[kind] ? seconds : best[kind];
                }
                fill(x, 2048 * 16);
            }
            printf("%6d %6d %6d", M, O, K);
            for (int kind = 0; kind < 3; kind++) {
                printf(" %8.1f GF/s %3.0f%%", flops / best[kind], 100 * flops / best[kind] / peak);
            }
            printf("   of %.1f\n", peak);
        }
    }
    arena_free(x, 2048 * 3072 * 4);
    arena_free(y, 2048 * 3072 * 4);
    arena_free(w, 3072 * 3072 * 4);
}

/* RoBERTa token counts of the first 64 training examples. */
static const int mrpc_lengths[64] = {
    50, 60, 48, 67, 60, 52, 62, 33, 48, 61, 56, 45, 43, 61, 53, 45, 54, 70, 58, 67, 68, 36,
    49, 60, 46, 49, 69, 59, 64, 36, 45, 36, 47, 68, 28, 69, 33, 50, 42, 62, 58, 55, 42, 68,
    54, 39, 67, 44, 59, 40, 37, 69, 63, 48, 40, 65, 56, 60, 49, 35, 62, 34, 71, 65};
static const int cola_lengths[64] = {18, 13, 13, 14, 13, 9, 8,  13, 9,  9,  11, 7,  9,  10, 9,  10,
                                     8,  8,  7,  12, 7,  8, 6,  8,  11, 8,  11, 10, 11, 10, 11, 9,
                                     10, 9,  13, 8,  8,  9, 7,  7,  12, 12, 8,  9,  11, 10, 10, 12,
                                     10, 11, 13, 11, 9,  8, 11, 12, 9,  9,  12, 12, 9,  9,  9,  9};

/* Products of one training step: forward, input gradient and weight gradient of every linear layer,
 * and attention; the last layer's rows that are not computed do not count. */
static double step_flops(const Config *c, const int *lengths, int B)
{
    double linear = 0, N = 0, squares = 0, C = c->C, F = c->F;
    for (int b = 0; b < B; b++) {
        N += lengths[b];
        squares += (double)lengths[b] * lengths[b];
    }
    linear = (c->L - 1) * N * (4 * C * C + 2 * C * F) + N * 2 * C * C + B * (2 * C * C + 2 * C * F);
    double attention = (c->L - 1) * squares * 2 * C + N * 2 * C;
    return 6 * linear +
           2 * attention * 3.5; /* backward recomputes the scores: 7 products of attention to 2 */
}

static void bench_step(Backend *backend, const char *name, const int *lengths)
{
    enum { B = 16, STEPS = 4 };
    Error error;
    Config config;
    json_t *json = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f}", "model_type",
                             "roberta", "vocab_size", 50265, "hidden_size", 768,
                             "intermediate_size", 3072, "num_hidden_layers", 12,
                             "num_attention_heads", 12, "max_position_embeddings", 514,
                             "type_vocab_size", 1, "pad_token_id", 1, "layer_norm_eps", 1e-5);
    if (config_from_json(&config, json, "RoBERTa-base", &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(error.code);
    }
    Model model;
    model_init(&model, config, PROBLEM_SINGLE, 2, NULL, backend);
    model_plan(&model, B * 72, B, 72, 1);
    model_make(&model, 42);
    OptimConfig adamw = {0.9, 0.98, 1e-6, 0.1, 1.0};
    Optim optim;
    optim_init(&optim, &adamw);
    int tokens[B * 72], types[B * 72] = {0}, cu[B + 1], slots[B], labels[B];
    float losses[B];
    double best = 1e9, rate = 0, share = 0;
    for (int step = 0; step < STEPS; step++) {
        const int *own = lengths + step % 4 * B;
        cu[0] = 0;
        for (int b = 0; b < B; b++) {
            cu[b + 1] = cu[b] + own[b];
            slots[b] = b;
            labels[b] = b % 2;
        }
        for (int n = 0; n < cu[B]; n++) {
            tokens[n] = 4 + (n * 7919 + step) % 50000;
        }
        double peak = 1e-9 * peak_flops(backend->ctx.threads), start = clock_seconds();
        Batch batch = {cu[B], B, tokens, types, cu, slots, labels, NULL};
        Step now = {1, (uint32_t)step, 42};
        model_forward(&model, &batch, &now);
        model_loss(&model, &batch, &now, losses, 1.0f / B, 1);
        optim_step(&optim, &model, 1e-5);
        double seconds = clock_seconds() - start;
        if (step && seconds / cu[B] < best) { /* the first step touches fresh memory */
            best = seconds / cu[B];
            rate = cu[B] / seconds;
            share = step_flops(&config, own, B) * 1e-9 / seconds / peak;
        }
    }
    printf("RoBERTa-base step, batch 16, %s lengths: %.0f tokens/s, %.0f%% of the FMA peak, peak "
           "memory %.2f GB\n",
           name, rate, 100 * share, (double)memory_peak() * 1e-9);
    model_free(&model);
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
        fprintf(stderr, "%s\n", error.text);
        exit(error.code);
    }
    return config;
}

/* B sequences of T tokens. */
typedef struct Fixed {
    int *tokens, *types, *cu, *slots, *labels;
    Batch batch;
} Fixed;

static Fixed fixed_batch(int B, int T, int V)
{
    size_t N = (size_t)(B * T);
    Fixed f = {memory_calloc(N, sizeof(int)),
               memory_calloc(N, sizeof(int)),
               memory_calloc((size_t)B + 1, sizeof(int)),
               memory_calloc((size_t)B, sizeof(int)),
               memory_calloc((size_t)B, sizeof(int)),
               {0}};
    for (int n = 0; n < B * T; n++) {
        f.tokens[n] = (int)((unsigned)n * 7919u % (unsigned)V);
    }
    for (int b = 0; b < B; b++) {
        f.cu[b + 1] = (b + 1) * T;
        f.slots[b] = b;
        f.labels[b] = b % 2;
    }
    f.batch = (Batch){B * T, B, f.tokens, f.types, f.cu, f.slots, f.labels, NULL};
    return f;
}

static void fixed_free(Fixed *f)
{
    free(f->tokens);
    free(f->types);
    free(f->cu);
    free(f->slots);
    free(f->labels);
}

static double step_seconds(Model *model, Optim *optim, const Batch *batch, int number)
{
    float losses[64];
    double start = clock_seconds();
    Step step = {1, (uint32_t)number, 42};
    model_forward(model, batch, &step);
    model_loss(model, batch, &step, losses, 1.0f / (float)batch->B, 1);
    optim_step(optim, model, 1e-5);
    return clock_seconds() - start;
}

static const LoraConfig lora_q_v = {
    .targets = 1u << LINEAR_Q | 1u << LINEAR_V, .r = 8, .alpha = 16};
static const OptimConfig bench_adamw = {0.9, 0.999, 1e-8, 0.0, 1.0};

/* Steps of full fine-tuning and of LoRA in turn, the same model and batch: SmolLM2-135M's shape. */
static void bench_lora(Backend *backend)
{
    enum { B = 4, T = 200, STEPS = 8 };
    Model models[2];
    Optim optims[2];
    double best[2] = {1e9, 1e9};
    Fixed f = fixed_batch(B, T, 49152);
    for (int i = 0; i < 2; i++) {
        Config config = llama_config("SmolLM2", 49152, 576, 1536, 30, 9, 3, 64);
        model_init(&models[i], config, PROBLEM_SINGLE, 2, i ? &lora_q_v : NULL, backend);
        model_plan(&models[i], B * T, B, T, 1);
        model_make(&models[i], 42);
        optim_init(&optims[i], &bench_adamw);
    }
    for (int step = 0; step < STEPS; step++) {
        for (int i = 0; i < 2; i++) {
            double seconds = step_seconds(&models[i], &optims[i], &f.batch, step);
            best[i] = step && seconds < best[i] ? seconds : best[i];
        }
    }
    printf(
        "SmolLM2-135M's shape, batch %d x %d: full %.2f s, LoRA r 8 on q, v %.2f s a step; ratio "
        "%.3f\n",
        B, T, best[0], best[1], best[1] / best[0]);
    fixed_free(&f);
    model_free(&models[0]);
    model_free(&models[1]);
}

/* Random bf16 weights of the base, in our own file; one buffer serves all tensors. */
static void write_large(const Model *model, const char *path)
{
    Error error;
    size_t most = 0, count = 0;
    const Params *params = &model->params;
    TensorSource *sources = memory_calloc((size_t)params->count, sizeof *sources);
    for (int i = 0; i < params->count; i++) {
        most = params->list[i].count > most ? params->list[i].count : most;
    }
    uint16_t *values = memory_alloc(most, sizeof *values), *ones = memory_alloc(1 << 16, 2);
    for (size_t i = 0; i < most; i++) { /* magnitudes of 2^-7 to 2^-5, either sign */
        uint32_t word = (uint32_t)(i * 2654435761u) ^ (uint32_t)(i >> 7);
        values[i] = (uint16_t)((word & 0x8000u) | (0x3C00u + (word >> 16 & 0xFFu)));
    }
    for (size_t i = 0; i < 1 << 16; i++) {
        ones[i] = 0x3F80;
    }
    for (int i = 0; i < params->count; i++) {
        const Param *param = &params->list[i];
        if (!param->adapter && !param->head) {
            sources[count++] = (TensorSource){
                .name = param->name,
                .dtype = DTYPE_BF16,
                .rank = param->rank,
                .shape = {(size_t)param->shape[0], (size_t)param->shape[1]},
                .data = param->rank == 2 ? (void *)values : ones};
        }
    }
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    if (safetensors_write(path, sources, count, metadata, &error)) {
        fprintf(stderr, "bench: %s\n", error.text);
        exit(error.code);
    }
    json_decref(metadata);
    free(values);
    free(ones);
    free(sources);
}

/* One LoRA step of Llama-3.2-3B's shape with a mapped bf16 base, recomputing. The work is what is
 * done: two forward passes and the gradients of the inputs. */
static void bench_large(Backend *backend, const char *folder)
{
    enum { B = 4, T = 128, N = B * T };
    Error error;
    Model model;
    Optim optim;
    char *path = string_format("%s/model.safetensors", folder), *made;
    Config config = llama_config("Llama-3.2-3B", 128256, 3072, 8192, 28, 24, 8, 128);
    model_init(&model, config, PROBLEM_SINGLE, 2, &lora_q_v, backend);
    model.recompute = 1;
    if (!path_exists(path)) {
        fprintf(stderr, "writing %s: random weights, 6.4 GB\n", path);
        if (folder_make(folder, &error)) {
            fprintf(stderr, "bench: %s\n", error.text);
            exit(error.code);
        }
        write_large(&model, path);
    }
    if (model_read(&model, folder, 42, &made, &error)) {
        fprintf(stderr, "bench: %s\n", error.text);
        exit(error.code);
    }
    model_plan(&model, N, B, T, 1);
    optim_init(&optim, &bench_adamw);
    Fixed f = fixed_batch(B, T, config.V);
    ModelCounts counts = model_counts(&model);
    printf("Llama-3.2-3B's shape: %zu parameters, %zu of adapters, %zu of the head\n", counts.all,
           counts.adapters, counts.head);
    double peak = 1e-9 * peak_flops(backend->ctx.threads), C = 3072, F = 8192, KV = 1024, L = 28;
    double matrices = L * (2 * C * C + 2 * C * KV + 3 * C * F) * N,
           causal = L * 2 * C * B * T * (T + 1) / 2;
    for (int step = 0; step < 2; step++) {
        double seconds = step_seconds(&model, &optim, &f.batch, step);
        double flops = 3 * 2 * matrices + 2 * causal * (2 + 3.5 - 1);
        printf(
            "one LoRA step, batch %d x %d, --recompute: %.1f s, %.1f GF/s, %.0f%% of the FMA peak "
            "of %.1f; peak memory %.2f GB with the mapped file\n",
            B, T, seconds, flops * 1e-9 / seconds, 100 * flops * 1e-9 / seconds / peak, peak,
            (double)memory_peak() * 1e-9);
        fflush(stdout);
    }
    fixed_free(&f);
    free(made);
    free(path);
    model_free(&model);
}

/* The statistics of the table of S runs over N examples of two classes; time is linear in S N. */
static void bench_statistics(size_t S, size_t N)
{
    Preds *runs = memory_calloc(S, sizeof *runs), **list = memory_alloc(S, sizeof *list);
    uint64_t key = rng_key(1, "bench");
    for (size_t s = 0; s < S; s++) {
        char seed[24];
        snprintf(seed, sizeof seed, "%zu", s);
        Preds *run = list[s] = &runs[s];
        *run = (Preds){.path = string_copy(seed), .N = N, .K = 2};
        run->pred = memory_alloc(N, sizeof *run->pred);
        run->label = memory_alloc(N, sizeof *run->label);
        run->hash = memory_alloc(N, sizeof *run->hash);
        for (size_t i = 0; i < N; i++) {
            run->label[i] = (int)(i % 2);
            run->pred[i] = run->label[i] ^ (rng_below(key, s * N + i, 10) == 0);
            run->hash[i] = i;
        }
        run->metadata = json_pack("{s:s, s:s, s:s, s:s, s:s}", "seed", seed, "seed_init", seed,
                                  "seed_data", seed, "seed_dropout", seed, "metric", "accuracy");
    }
    Group group;
    Error error;
    StatisticsOptions options = {.level = 0.95, .summary = 1};
    double start = clock_seconds();
    if (group_join(&group, list, S, 0, &error)) {
        fprintf(stderr, "bench: %s\n", error.text);
        return;
    }
    json_decref(statistics_compute(&group, &options));
    double seconds = clock_seconds() - start;
    printf("statistics of %5zu runs x %6zu examples: %8.2f ms, %5.2f ns a prediction\n", S, N,
           1e3 * seconds, 1e9 * seconds / (double)S / (double)N);
    for (size_t s = 0; s < S; s++) {
        preds_free(&runs[s]);
    }
    free(runs);
    free(list);
}

int main(int argc, char **argv)
{
    Backend backend;
    Error error;
    const char *what = argc > 1 ? argv[1] : "all";
    if (backend_init(&backend, "auto", argc > 2 ? atoi(argv[2]) : 0, &error)) {
        fprintf(stderr, "bench: %s\n", error.text);
        return error.code;
    }
    printf("%s kernels, %d threads, float32 FMA peak %.1f GF/s\n", backend.ops.build,
           backend.ctx.threads, 1e-9 * peak_flops(backend.ctx.threads));
    int all = !strcmp(what, "all");
    if (all || !strcmp(what, "products")) {
        bench_products(&backend);
    }
    if (all || !strcmp(what, "step")) {
        bench_step(&backend, "MRPC", mrpc_lengths);
        bench_step(&backend, "CoLA", cola_lengths);
    }
    if (all || !strcmp(what, "lora")) {
        bench_lora(&backend);
    }
    if (!strcmp(what, "large")) {
        bench_large(&backend, argc > 3 ? argv[3] : "build/llama-3b-random");
    }
    if (all || !strcmp(what, "statistics")) {
        bench_statistics(10, 10000);
        bench_statistics(10, 40430);
        bench_statistics(10, 160000);
        bench_statistics(100, 10000);
        bench_statistics(1000, 10000);
    }
    backend_free(&backend);
    return 0;
}
