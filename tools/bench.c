/* Measures this machine in one run: its float32 FMA peak, and training steps and statistics beside
 * it; on the device of $SEEDBED_DEVICE. usage() has the words. large: with a decoder of make_llama;
 * roofline computes a table and measures nothing. Single ops are measured by test_ops --mode perf.
 * docs/BENCH.md is the diary. */
#include "hf.h"
#include "rng.h"
#include "statistics.h"
#include "steps.h"
#include "trace.h"
#include "watch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Of the device, in GF/s. */
static double peak_of(const Backend *backend)
{
    return 1e-9 * backend->device->peak(&backend->ctx);
}

/* Steps are short there: more of them are measured. */
static int is_gpu(const Backend *backend)
{
    return !strcmp(backend->device->name, "cuda");
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

enum { STEP_B = 16, STEP_BATCHES = 4, STEP_LONGEST = 128 };

/* Steps of a rig, a batch each; lengths [STEP_BATCHES STEP_B]. */
static void bench_step(Rig *rig, const char *model, const char *name, const int *lengths)
{
    const Backend *backend = rig->model.backend;
    double best = 1e9, rate = 0, share = 0, fastest = 0;
    for (int step = 0; step < STEP_BATCHES * (is_gpu(backend) ? 5 : 1); step++) {
        rig_fill(rig, lengths + step % STEP_BATCHES * STEP_B, STEP_B, step % STEP_BATCHES);
        double peak = peak_of(backend), seconds = rig_step(rig, step);
        int N = rig->batch.N;
        if (step && seconds / N < best) { /* the first step touches fresh memory */
            best = seconds / N;
            rate = N / seconds;
            fastest = seconds;
            share = peak > 0 ? rig_flops(rig) * 1e-9 / seconds / peak : 0.0;
        }
    }
    printf("%s step, batch %d, %s: %.0f tokens/s, %.1f ms, %.0f%% of the FMA peak, peak memory of "
           "the host %.2f GB\n",
           model, STEP_B, name, rate, 1e3 * fastest, 100 * share, (double)memory_peak() * 1e-9);
    fflush(stdout);
}

/* A model of random weights. */
static void rig_open_random(Rig *rig, Config config, Backend *backend)
{
    rig_open(rig, config, NULL, 1, backend);
    rig_plan(rig, STEP_B, STEP_LONGEST, 1, 0);
    model_make(&rig->model, &rig->state, 42);
}

static void bench_base(Backend *backend)
{
    Rig rig;
    rig_open_random(&rig, roberta_config("RoBERTa-base", 768, 3072, 12, 12), backend);
    bench_step(&rig, "RoBERTa-base", "MRPC's lengths", mrpc_lengths);
    bench_step(&rig, "RoBERTa-base", "CoLA's lengths", cola_lengths);
    rig_close(&rig);
}

/* As a tracer does with an output of an op. */
static void hash_output(void *user, Context *ctx, const WatchOutput *output)
{
    if (output->op != OP_adamw) {
        watch_hash(ctx, user, output);
    }
}

/* Milliseconds of all processors that this process had. */
static double processor_ms(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return 1e3 * (double)used.tv_sec + 1e-6 * (double)used.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Steps without hashes and with those of each --trace-level, in turn: what they cost. In time of
 * processors, which other work on the machine changes less than the time that a step takes. Level
 * weights is AdamW's business alone, so it is measured apart from the passes. */
static void bench_trace(Backend *backend)
{
    enum { LEVELS = 3, PARTS = 2, ROUNDS = 9 };
    static const char *const names[LEVELS] = {"without a trace", "--trace-level weights",
                                              "--trace-level outputs"};
    double used[LEVELS][PARTS][ROUNDS];
    Rig rig;
    rig_open_random(&rig, roberta_config("RoBERTa-base", 768, 3072, 12, 12), backend);
    backend_reserve(backend, 2 * HASH_PARTS);
    rig_fill(&rig, mrpc_lengths, STEP_B, 0);
    size_t bytes = (size_t)rig.model.params.count * TRACE_HASHES * sizeof(uint64_t);
    uint64_t *sums = backend->device->alloc(bytes);
    rig_step(&rig, 0); /* touches fresh memory */
    for (int i = 0; i < LEVELS * ROUNDS; i++) {
        int level = i % LEVELS, outputs = level == 2;
        double *of_passes = &used[level][0][i / LEVELS], *of_adamw = &used[level][1][i / LEVELS];
        OptimHashes hashes = {sums, outputs ? TRACE_HASHES : 1};
        if (outputs) {
            watch_begin(backend, WATCH_OUTPUTS);
            backend->ctx.watch->output = hash_output;
            backend->ctx.watch->before = NULL;
            backend->ctx.watch->output_user = sums;
        }
        double start = processor_ms();
        rig_passes(&rig, 1);
        *of_passes = processor_ms() - start;
        rig_optimize(&rig, level ? &hashes : NULL);
        *of_adamw = processor_ms() - start - *of_passes;
        if (outputs) {
            watch_end(backend, WATCH_OUTPUTS);
        }
    }
    printf("RoBERTa-base step, batch %d, MRPC's lengths, ms of processors, median (least) of %d:\n",
           STEP_B, ROUNDS);
    for (int level = 0; level < LEVELS; level++) {
        double *of_passes = used[level][0], *of_adamw = used[level][1];
        qsort(of_passes, ROUNDS, sizeof *of_passes, by_value);
        qsort(of_adamw, ROUNDS, sizeof *of_adamw, by_value);
        printf("  %-21s  passes %6.0f (%6.0f), optimizer %5.0f (%5.0f)\n", names[level],
               of_passes[ROUNDS / 2], of_passes[0], of_adamw[ROUNDS / 2], of_adamw[0]);
    }
    backend->device->release(sums, bytes);
    rig_close(&rig);
}

/* Or of another depth and width. */
static void bench_roberta_large(Backend *backend, int L, int C)
{
    Rig rig;
    int padded[STEP_BATCHES * STEP_B];
    for (int i = 0; i < STEP_BATCHES * STEP_B; i++) {
        padded[i] = STEP_LONGEST;
    }
    rig_open_random(&rig, roberta_config("RoBERTa-large", C, 4 * C, L, C / 64), backend);
    bench_step(&rig, "RoBERTa-large", "128 tokens, padded", padded);
    bench_step(&rig, "RoBERTa-large", "MRPC's lengths", mrpc_lengths);
    rig_close(&rig);
}

/* What NVIDIA publishes of an H100 SXM: float32 operations without tensor cores and bytes of its
 * memory, a second. */
static const double h100_flops = 67e12, h100_bytes = 3.35e12;

static double h100_seconds(const OpTally *t)
{
    return fmax(t->flops / h100_flops, t->bytes / h100_bytes);
}

/* Of each op in a step of RoBERTa-large, 16 x 128 tokens: calls, FLOPs and bytes as ops.def counts
 * them, and what an H100 needs for them at its peaks; a table for docs/KERNELS.md, the longest op
 * first. No op is called. */
static void bench_roofline(Backend *backend)
{
    enum { T = 128 };
    Model model;
    Workspace work;
    StepSums nowhere[1] = {{0}}; /* ops get its address, and the host what is there */
    OptimConfig adamw = {0.9, 0.98, 1e-6, 0.1, 1.0, 0};
    StepSums sums;
    Error error;
    model_init(&model, roberta_config("RoBERTa-large", 1024, 4096, 24, 16), PROBLEM_SINGLE, 2, NULL,
               backend);
    int code = workspace_plan(&work, &model, STEP_B * T, STEP_B, T, 1, 0, &error);
    State state = state_of_addresses(&model, (float *)(void *)nowhere);
    const Watch *watch = watch_begin(backend, WATCH_PLAN);
    workspace_call_ops(&work, &model);
    if (code || optim_step(&state, &model, &adamw, 1e-5, NULL, &sums, &error)) {
        fprintf(stderr, "bench: %s\n", error.text);
        exit(error.code);
    }
    watch_end(backend, WATCH_PLAN);
    OpTally left[OPS], all = {0};
    double seconds = 0;
    memcpy(left, watch->planned, sizeof left);
    printf("| op (all computed) | calls | GFLOP | MB | FLOP a byte | bound | ms "
           "|\n|---|---|---|---|---|---|---|\n");
    for (;;) {
        int op = 0;
        for (int i = 1; i < OPS; i++) {
            op = h100_seconds(&left[i]) > h100_seconds(&left[op]) ? i : op;
        }
        OpTally *t = &left[op];
        if (!t->calls) {
            break;
        }
        printf("| %s | %zu | %.2f | %.1f | %.2f | %s | %.3f |\n", op_names[op], t->calls,
               1e-9 * t->flops, 1e-6 * t->bytes, t->flops / t->bytes,
               t->flops / h100_flops > t->bytes / h100_bytes ? "FFMA" : "memory",
               1e3 * h100_seconds(t));
        all.calls += t->calls;
        all.flops += t->flops;
        all.bytes += t->bytes;
        seconds += h100_seconds(t);
        *t = (OpTally){0};
    }
    printf("| all | %zu | %.2f | %.1f | %.2f | | %.3f |\n", all.calls, 1e-9 * all.flops,
           1e-6 * all.bytes, all.flops / all.bytes, 1e3 * seconds);
    workspace_free(&work, &model);
    model_free(&model);
}

/* Steps of full fine-tuning and of LoRA in turn, the same model and batch: SmolLM2-135M's shape. */
static void bench_lora(Backend *backend)
{
    enum { B = 4, T = 200, STEPS = 8 };
    static const int lengths[B] = {T, T, T, T};
    Rig rigs[2];
    double best[2] = {1e9, 1e9};
    for (int i = 0; i < 2; i++) {
        rig_open(&rigs[i], smollm_config(), i ? &lora_q_v : NULL, 1, backend);
        rig_plan(&rigs[i], B, T, 1, 0);
        model_make(&rigs[i].model, &rigs[i].state, 42);
        rig_fill(&rigs[i], lengths, B, 0);
    }
    for (int step = 0; step < STEPS; step++) {
        for (int i = 0; i < 2; i++) {
            double seconds = rig_step(&rigs[i], step);
            best[i] = step && seconds < best[i] ? seconds : best[i];
        }
    }
    printf(
        "SmolLM2-135M's shape, batch %d x %d: full %.2f s, LoRA r 8 on q, v %.2f s a step; ratio "
        "%.3f\n",
        B, T, best[0], best[1], best[1] / best[0]);
    rig_close(&rigs[0]);
    rig_close(&rigs[1]);
}

/* LoRA steps of a decoder whose base is mapped, recomputing. The work is what is done: two forward
 * passes and the gradients of the inputs. */
static void bench_large(Backend *backend, const char *folder)
{
    enum { BATCHES = 2 };
    static const int batches[BATCHES] = {4, 16}; /* of 128 tokens each */
    Rig rig;
    rig_open_folder(&rig, folder, &lora_q_v, 1, backend);
    ModelCounts counts = model_counts(&rig.model);
    printf("%zu parameters, %zu of adapters, %zu of the head\n", counts.all, counts.adapters,
           counts.head);
    for (int i = 0; i < (is_gpu(backend) ? BATCHES : 1); i++) {
        int B = batches[i], lengths[16];
        for (int b = 0; b < B; b++) {
            lengths[b] = STEP_LONGEST;
        }
        rig_plan(&rig, B, STEP_LONGEST, 1, 1);
        rig_fill(&rig, lengths, B, 0);
        double peak = peak_of(backend), N = B * STEP_LONGEST, flops = rig_flops(&rig),
               fastest = INFINITY;
        for (int step = 0; step < (is_gpu(backend) ? 6 : 2); step++) {
            fastest = fmin(fastest, rig_step(&rig, step));
        }
        printf("LoRA step of %s, batch %d x %d, --recompute: %.1f ms, %.0f tokens/s, %.1f GF/s, "
               "%.0f%% of the FMA peak of %.1f; peak memory of the host %.2f GB with the mapped "
               "file\n",
               folder, B, STEP_LONGEST, 1e3 * fastest, N / fastest, flops * 1e-9 / fastest,
               peak > 0 ? 100 * flops * 1e-9 / fastest / peak : 0.0, peak,
               (double)memory_peak() * 1e-9);
        fflush(stdout);
        rig_unplan(&rig);
    }
    rig_free(&rig);
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

/* Products of RoBERTa-base by a dtype, or each, beside those of float32, in turn, the fastest of some
 * turns of each: what else runs on the cores slows down their matrix units much more than the rest. */
static void bench_dtypes(int threads, const char *only)
{
    enum { TURNS = 12, MOST = 8 };
    static const int tokens[] = {160, 512, 848, 2048},
                     sizes[][2] = {{768, 768}, {768, 2304}, {768, 3072}, {3072, 768}};
    static const char *const names[] = {"forward", "input", "weight"};
    const char *dtypes[MOST] = {"float32"};
    Backend backends[MOST];
    Error error;
    int count = 1;
#define VARIANT(op, variant, ...)                                                                  \
    if (!strcmp(#op, "dtype") && (!only || !strcmp(only, "bf16-" #variant))) {                     \
        dtypes[count++] = "bf16-" #variant;                                                        \
    }
#include "variants.def"
#undef VARIANT
    if (count == 1) {
        fprintf(stderr, "bench: no dtype %s beside float32\n", only);
        exit(EXIT_USAGE);
    }
    printf("%-22s %14s", "tokens x in x out", "float32 GF/s");
    for (int d = 0; d < count; d++) {
        if (backend_init(&backends[d], "cpu", "auto", threads, &error) ||
            (d && backend_choose_dtype(&backends[d], dtypes[d], &error))) {
            fprintf(stderr, "bench: %s\n", error.text);
            exit(error.code);
        }
        printf(d ? " %14s" : "", dtypes[d]);
    }
    printf("\n");
    for (int cell = 0; cell < 4 * 4 * 3; cell++) {
        int M = tokens[cell / 12], K = sizes[cell / 3 % 4][0], O = sizes[cell / 3 % 4][1];
        const char *name = names[cell % 3];
        double best[MOST];
        for (int i = 0; i < TURNS * count; i++) {
            double seconds = product_seconds(&backends[i % count], *name, M, O, K, 0.01);
            best[i % count] = i < count ? seconds : fmin(best[i % count], seconds);
        }
        printf("%-7s %4d %4d %4d %14.1f", name, M, K, O, 2e-9 * M * K * O / best[0]);
        for (int d = 1; d < count; d++) {
            printf(" %14.2f", best[0] / best[d]);
        }
        printf("\n");
        fflush(stdout);
    }
    for (int d = 0; d < count; d++) {
        backend_free(&backends[d]);
    }
}

static int usage(void)
{
    fputs("usage: bench [all|step|trace|lora|statistics|roofline [THREADS]]\n"
          "       bench dtypes [THREADS [DTYPE]]\n"
          "       bench roberta-large [THREADS [LAYERS WIDTH]]\n"
          "       bench large [THREADS [FOLDER]]\n",
          stderr);
    return EXIT_USAGE;
}

static int among(const char *word, const char *const *list)
{
    while (*list && strcmp(*list, word) != 0) {
        list++;
    }
    return *list != NULL;
}

int main(int argc, char **argv)
{
    static const char *const known[] = {"all",        "step",   "trace",    "lora",
                                        "statistics", "dtypes", "roofline", "roberta-large",
                                        "large",      NULL};
    Backend backend;
    Error error;
    const char *what = argc > 1 ? argv[1] : "all";
    int most = !strcmp(what, "roberta-large")                      ? 5
               : !strcmp(what, "large") || !strcmp(what, "dtypes") ? 4
                                                                   : 3;
    if (!among(what, known) || argc > most) {
        return usage();
    }
    if (backend_init(&backend, "auto", "auto", argc > 2 ? atoi(argv[2]) : 0, &error)) {
        fprintf(stderr, "bench: %s\n", error.text);
        return error.code;
    }
    if (!strcmp(what, "roofline")) {
        bench_roofline(&backend);
        backend_free(&backend);
        return 0;
    }
    printf("%s kernels, %d threads, float32 FMA peak %.1f GF/s\n", backend.ops.build,
           backend.ctx.threads, peak_of(&backend));
    int all = !strcmp(what, "all");
    if (all || !strcmp(what, "step")) {
        bench_base(&backend);
    }
    if (!strcmp(what, "trace")) {
        bench_trace(&backend);
    }
    if (!strcmp(what, "roberta-large")) {
        bench_roberta_large(&backend, argc > 4 ? atoi(argv[3]) : 24,
                            argc > 4 ? atoi(argv[4]) : 1024);
    }
    if (!strcmp(what, "dtypes")) {
        bench_dtypes(argc > 2 ? atoi(argv[2]) : 0, argc > 3 ? argv[3] : NULL);
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
