/* Fuzz target: what train_gpt and tracediff read of runs: recipes, checkpoints, traces. */
#define _GNU_SOURCE
#include "checkpoint.h"
#include "fuzz.h"
#include "trace.h"
#include "trace_compare.h"
#include "trace_growth.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static FILE *nowhere;

/* --- recipes --- */

static void read_recipe(const FuzzFile *file)
{
    static const char *const tasks[] = {"rte", "copa", "lm"};
    char *path = fuzz_path("recipe.json");
    fuzz_write("recipe.json", file->bytes, file->size);
    for (int i = 0; i < 3; i++) {
        char *argv[] = {"train_gpt", "--task", (char *)(uintptr_t)tasks[i], "--recipe", path, NULL};
        Options options;
        NamedRecipe named;
        Recipe r;
        Error error;
        const Task *task = task_find(tasks[i], &error);
        REQUIRE(!options_parse(&options, 5, argv, &error), "%s", error.text);
        if (!recipe_open(&named, &options, task, 0, &error) &&
            !recipe_make(&r, &options, task, &error)) {
            Seeds seeds = seeds_from(&options, 1);
            REQUIRE(r.batch >= 1 && r.max_len >= 1 && r.max_steps >= 0 && r.patience >= 0,
                    "batch %d", r.batch);
            REQUIRE(r.lr >= 0 && isfinite((float)r.lr) && r.warmup >= 0 && r.epochs >= 0 &&
                        isfinite(r.epochs),
                    "lr %g, warmup %g", r.lr, r.warmup);
            REQUIRE(r.optim.beta1 >= 0 && (float)r.optim.beta1 < 1 && r.optim.beta2 >= 0 &&
                        (float)r.optim.beta2 < 1 && (float)r.optim.eps > 0,
                    "beta %g, %g", r.optim.beta1, r.optim.beta2);
            REQUIRE(r.dropout < 1 && r.attention_dropout < 1 && r.head_dropout < 1, "%g",
                    r.dropout);
            json_decref(recipe_json(&r, &seeds));
        }
        recipe_close(&named);
    }
    fuzz_remove("recipe.json");
    free(path);
}

/* --- checkpoints: of a run of $FUZZ_RUN, of which the real ones are too --- */

enum { WORDS = 64 };

static Setup setup;
static Options run_options;

static void open_setup(void)
{
    static char *argv[WORDS + 1];
    int argc = 0;
    Error error;
    uint64_t seed = 42;
    const char *words = getenv("FUZZ_RUN");
    REQUIRE(words, "FUZZ_RUN is not set: test/fuzz.sh says how");
    char *copy = string_format("train_gpt %s", words); /* the options point into it */
    for (char *word; (word = strsep(&copy, " ")) && argc < WORDS;) {
        argv[argc++] = word;
    }
    REQUIRE(!options_parse(&run_options, argc, argv, &error), "%s", error.text);
    run_options.quiet = "yes";
    REQUIRE(!setup_open(&setup, &run_options, &error), "%s", error.text);
    REQUIRE(!setup_plan(&setup, &seed, 1, &error), "%s", error.text);
}

/* A run as it begins; its memory is there once. */
static Run begin_run(void)
{
    size_t N = (size_t)setup.dev.count, K = (size_t)setup.task->K,
           E = (size_t)setup_evaluations(&setup);
    Run run = {.setup = &setup};
    state_init(&run.state, &setup.model, 1, 0);
    state_reset(&run.state, &setup.model);
    memset(run.state.weights, 0, setup.model.params.trained * sizeof(float));
    run.state.kept.logits = memory_calloc(N * K, sizeof(float));
    run.state.kept.pred = memory_calloc(N, sizeof(int));
    run.state.history = (History){.step = memory_calloc(E, sizeof(int)),
                                  .pred = memory_calloc(E * N, sizeof(int)),
                                  .logits = memory_calloc(E * N * K, sizeof(float))};
    return run;
}

static void end_run(Run *run)
{
    free(run->state.kept.logits);
    free(run->state.kept.pred);
    run->state.kept = (Evaluation){0};
    free(run->state.history.step);
    free(run->state.history.pred);
    free(run->state.history.logits);
    run->state.history = (History){0};
    state_free(&run->state, &setup.model);
}

/* A MANIFEST that fits, so that damage of the files gets past their hashes. */
static void write_manifest(const FuzzFile *files, const char *const *names, int count)
{
    json_t *list = json_object();
    for (int i = 0; i < count; i++) {
        char hex[17];
        snprintf(hex, sizeof hex, "%016llx",
                 (unsigned long long)XXH3_64bits(files[i].bytes, files[i].size));
        json_object_set_new(
            list, names[i],
            json_pack("{s:I, s:s}", "size", (json_int_t)files[i].size, "xxh3", hex));
    }
    json_t *manifest = json_pack("{s:s, s:s, s:o}", "format", "seedbed-checkpoint",
                                 "format_version", "1", "files", list);
    char *text = json_dumps(manifest, JSON_COMPACT);
    fuzz_write("checkpoint/MANIFEST", text, strlen(text));
    free(text);
    json_decref(manifest);
}

static void check_run(const Run *run)
{
    const State *s = &run->state;
    size_t N = (size_t)setup.dev.count;
    REQUIRE(s->step > 0 && s->epoch >= 0 && s->waited >= 0 && isfinite(s->loss), "step %d",
            s->step);
    REQUIRE(s->history.count <= setup_evaluations_before(&setup, s->step),
            "%d evaluations before step %d", s->history.count, s->step);
    REQUIRE(s->history.count == 0 || s->kept.step, "evaluations, and none is kept");
    REQUIRE(s->kept.step >= 0 && s->kept.step <= s->step, "%d", s->kept.step);
    for (size_t i = 0; i < N && s->kept.step; i++) {
        REQUIRE(s->kept.pred[i] >= 0 && s->kept.pred[i] < setup.task->K, "%d", s->kept.pred[i]);
    }
    for (size_t i = 0; i < (size_t)s->history.count * N; i++) {
        REQUIRE(s->history.pred[i] >= 0 && s->history.pred[i] < setup.task->K, "%d",
                s->history.pred[i]);
    }
    for (int e = 1; e < s->history.count; e++) {
        REQUIRE(s->history.step[e] > s->history.step[e - 1], "%d", s->history.step[e]);
    }
}

/* Written again it is read as the same. */
static void check_again(Run *run, const json_t *receipts)
{
    Checkpoint again;
    Image *image;
    Error error;
    Run second = begin_run();
    char *folder = fuzz_path("again"), *log = fuzz_path("checkpoint/log.jsonl");
    run->progress.path = log;
    run->progress.start = clock_seconds() - run->progress.seconds;
    REQUIRE(!checkpoint_image(&image, run, receipts, NULL, &error), "%s", error.text);
    REQUIRE(!checkpoint_write(image, folder, &error), "%s", error.text);
    checkpoint_image_free(image);
    REQUIRE(!checkpoint_open(&again, folder, &error), "%s", error.text);
    REQUIRE(!checkpoint_load(&again, &second, &error), "%s", error.text);
    size_t bytes = setup.model.params.trained * sizeof(float);
    REQUIRE(!memcmp(run->state.weights, second.state.weights, bytes) &&
                !memcmp(run->state.m, second.state.m, bytes) &&
                !memcmp(run->state.v, second.state.v, bytes) &&
                run->state.step == second.state.step,
            "step %d", run->state.step);
    checkpoint_close(&again);
    end_run(&second);
    REQUIRE(!folder_remove(folder, &error), "%s", error.text);
    free(folder);
    free(log);
}

static void read_checkpoint(const FuzzFile *files, int count)
{
    static const char *const names[] = {"trainer_state.json",
                                        "log.jsonl",
                                        "weights.safetensors",
                                        "optimizer.safetensors",
                                        "kept.safetensors",
                                        "history.safetensors",
                                        "MANIFEST"};
    const char *own[FUZZ_FILES];
    int manifest = 0;
    Checkpoint checkpoint;
    Error error;
    char *folder = fuzz_path("checkpoint");
    if (!setup.options) {
        open_setup();
    }
    REQUIRE(!folder_make(folder, &error), "%s", error.text);
    for (int i = 0; i < count; i++) {
        int name = i ? (unsigned char)(files[i].letter - 'a') % 7 : 0;
        char *path = string_format("checkpoint/%s", own[i] = names[name]);
        fuzz_write(path, files[i].bytes, files[i].size);
        manifest |= name == 6;
        free(path);
    }
    if (!manifest) {
        write_manifest(files, own, count);
    }
    if (!checkpoint_open(&checkpoint, folder, &error)) {
        Run run = begin_run();
        if (checkpoint.step <= setup.steps && !checkpoint_load(&checkpoint, &run, &error)) {
            check_run(&run);
            check_again(&run, checkpoint.receipts);
        } else {
            REQUIRE(run.state.step == 0 && run.state.history.count == 0, "%d", run.state.step);
        }
        end_run(&run);
        checkpoint_close(&checkpoint);
    }
    REQUIRE(!folder_remove(folder, &error), "%s", error.text);
    free(folder);
}

/* --- traces --- */

/* Gives every block the chain that it should have (trace.h), so that damage gets past it. */
static void repair_chain(FuzzFile *file)
{
    uint8_t *bytes = file->bytes;
    unsigned char chain[SHA256_BYTES];
    uint32_t length;
    json_t *header = NULL, *part = json_object();
    Error error;
    if (file->size < 16) {
        json_decref(part);
        return;
    }
    memcpy(&length, bytes + 12, 4);
    if (length > file->size - 16 || json_read_bytes(&header, bytes + 16, length, "trace", &error)) {
        json_decref(part);
        return;
    }
    json_object_set(part, "run", json_object_get(header, "run"));
    json_object_set(part, "parameters", json_object_get(header, "parameters"));
    char *text = json_canonical(part);
    sha256(chain, &(Bytes){text, strlen(text)}, 1);
    for (size_t at = 16 + length; file->size - at >= 16 + SHA256_BYTES;) {
        uint64_t size;
        memcpy(&size, bytes + at + 8, 8);
        if (size < 16 + SHA256_BYTES || size > file->size - at) {
            break;
        }
        if (memcmp(bytes + at, "End.", 4)) {
            sha256(chain, (Bytes[2]){{chain, sizeof chain}, {bytes + at, size - SHA256_BYTES}}, 2);
        }
        memcpy(bytes + at + size - SHA256_BYTES, chain, SHA256_BYTES);
        at += size;
    }
    free(text);
    json_decref(part);
    json_decref(header);
}

static volatile uint64_t sum; /* so that every value is read */

static void check_block(const TraceReader *r, const TraceBlock *block)
{
    if (block->tag == TRACE_EVALUATION) {
        const TraceEvaluation *e = &block->evaluation;
        for (size_t i = 0; i < (size_t)e->rows * e->columns; i++) {
            sum += block->logits[i] > 0;
        }
        return;
    }
    const TraceStep *s = &block->step;
    REQUIRE(s->parameters == r->parameters && s->hashes <= TRACE_HASHES, "%u", s->parameters);
    for (uint32_t i = 0; i < s->ops; i++) {
        const TraceOp *op = &block->ops[i];
        REQUIRE(*trace_op(r, op->op) || *trace_output(r, op->op, op->output), "op %u", op->op);
        REQUIRE(op->pass < TRACE_PASSES && op->layer >= -1 && op->layer < r->layers, "op %u", i);
    }
    for (size_t i = 0; i < (size_t)s->parameters * s->hashes; i++) {
        sum += block->hashes[i];
    }
    for (uint32_t i = 0; i < s->sketch; i++) {
        sum += block->sketch[i];
    }
    for (uint32_t i = 0; i < s->losses + s->logits; i++) {
        sum += (i < s->losses ? block->losses[i] : block->logits[i - s->losses]) > 0;
    }
}

/* Its blocks, which written again have the same chain. Returns 0 for a whole trace. */
static int copy_trace(const char *path, const char *to)
{
    TraceReader reader;
    TraceWriter writer;
    Error error;
    if (trace_open(&reader, path, &error)) {
        return -1;
    }
    REQUIRE(!trace_create(&writer, to, json_incref(reader.header), &error), "%s", error.text);
    int code;
    TraceBlock block;
    uint32_t step = 0;
    while (!(code = trace_next(&reader, &block, &error)) && block.tag != TRACE_NONE) {
        REQUIRE(block.number >= step, "%u behind %u", block.number, step);
        step = block.number;
        check_block(&reader, &block);
        REQUIRE(!trace_write(&writer, &block, &error), "%s", error.text);
        REQUIRE(!memcmp(writer.chain, reader.chain, sizeof reader.chain), "step %u", step);
    }
    int whole = !code && reader.ended;
    REQUIRE(!trace_finish(&writer, whole, &error), "%s", error.text);
    trace_close(&reader);
    return whole ? 0 : -1;
}

/* A trace beside itself. */
static void compare_traces(const char *path, const char *other)
{
    TraceReader a, b;
    json_t *result = NULL, *growth = NULL;
    Error error;
    for (int kind = 0; kind < 2; kind++) {
        REQUIRE(!trace_open(&a, path, &error) && !trace_open(&b, other, &error), "%s", error.text);
        if (kind == 0 && !trace_compare(&result, &a, &b, &error)) {
            REQUIRE(json_is_true(json_object_get(result, "equal")), "not equal to itself");
            trace_compare_text(nowhere, result);
        } else if (kind == 1 && !trace_growth(&growth, &a, &b, &error)) {
            trace_growth_text(nowhere, growth);
            trace_growth_html(nowhere, growth);
        }
        trace_close(&a);
        trace_close(&b);
    }
    json_decref(result);
    json_decref(growth);
}

static void read_trace(FuzzFile *file)
{
    char *path = fuzz_path("trace"), *copy = fuzz_path("copy.trace");
    repair_chain(file);
    fuzz_write("trace", file->bytes, file->size);
    if (!copy_trace(path, copy)) {
        compare_traces(path, copy);
    }
    fuzz_remove("trace");
    fuzz_remove("copy.trace");
    free(path);
    free(copy);
}

/* a: a recipe; b: a trace; c: trainer_state.json of a checkpoint, whose other files follow. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    FuzzFile files[FUZZ_FILES];
    int count = fuzz_split(files, bytes, size);
    if (!nowhere) {
        nowhere = fopen("/dev/null", "w");
        REQUIRE(nowhere && freopen("/dev/null", "w", stdout), "/dev/null");
    }
    if (count) {
        switch ((unsigned char)(files[0].letter - 'a') % 3) {
        case 0:
            read_recipe(&files[0]);
            break;
        case 1:
            read_trace(&files[0]);
            break;
        default:
            read_checkpoint(files, count);
        }
    }
    fuzz_free(files, count);
    return 0;
}
