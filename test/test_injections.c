/* test_injections [COUNT [SEED]]: adds one unit in the last place to one element of one output of
 * some op call of some step, in runs of an encoder, a decoder and adapters, and demands that
 * tracediff names this record first and, run again, this element alone. */
#include "check.h"
#include "result.h"
#include "rng.h"
#include "trace_compare.h"
#include "trace_explain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { KINDS = 5 };

static const char common[] =
    "--task rte --data builtin --max-train 24 --max-eval 4 --batch 8 --epochs 1 --dropout 0.1 "
    "--trace-level outputs --quiet";
static const struct {
    const char *name, *options;
} kinds[KINDS] = {
    {"encoder", "--model tiny"},
    {"encoder, micro-batches", "--model tiny --micro-batch 3 --recompute"},
    {"encoder, adapters", "--model tiny --lora --lora-targets all --lora-dropout 0.1"},
    {"decoder", "--model llama --max-len 40"},
    {"decoder, adapters", "--model llama --max-len 40 --lora --micro-batch 5"}};

/* A record of a run's trace. */
typedef struct Record {
    TraceOp op;
    uint32_t step, number; /* in its step */
} Record;

typedef struct Kind {
    char *trace;
    Record *records;
    size_t count;
    int injected[TRACE_PASSES], right[TRACE_PASSES];
} Kind;

static char *program; /* train_gpt */

static uint64_t drawn(uint64_t seed)
{
    static uint32_t count;
    Philox p = philox4x32(count++, 0, 0, 0, seed);
    return p.word[0] | (uint64_t)p.word[1] << 32;
}

/* Runs train_gpt in the scratch folder. Returns its exit status. */
static int train(const char *kind, const char *trace, const char *more)
{
    char *command = string_format("cd '%s' && '%s' %s %s --preds preds --trace '%s' %s >said 2>&1",
                                  scratch_folder(), program, common, kind, trace, more);
    int status = system(command);
    free(command);
    return status;
}

/* The records of all steps. */
static void read_records(Kind *kind)
{
    TraceReader reader;
    TraceBlock block;
    Error error = {0};
    if (trace_open(&reader, kind->trace, &error)) {
        printf("%s\n", error.text);
        exit(EXIT_BAD_DATA);
    }
    while (!trace_next(&reader, &block, &error) && block.tag) {
        uint32_t ops = block.tag == TRACE_STEP ? block.step.ops : 0;
        kind->records = memory_realloc(kind->records, kind->count + ops + 1, sizeof(Record));
        for (uint32_t i = 0; i < ops; i++) {
            /* the sums of gradient_norm are a struct, which --perturb refuses */
            if (block.ops[i].rows && block.ops[i].columns &&
                strcmp(trace_op(&reader, block.ops[i].op), "gradient_norm")) {
                kind->records[kind->count++] = (Record){block.ops[i], block.number, i};
            }
        }
    }
    trace_close(&reader);
}

/* The comparison of two traces with the elements that differ. NULL, and why, if there is none. */
static json_t *explained(const char *a, const char *b, Error *error)
{
    TraceReader reader[2];
    json_t *result = NULL;
    TraceExplain explain = {.traces = {a, b}, .programs = {program, program}};
    if (trace_open(&reader[0], a, error)) {
        return NULL;
    }
    if (!trace_open(&reader[1], b, error)) {
        if (!trace_compare(&result, &reader[0], &reader[1], error) &&
            json_object_get(result, "first") && trace_explain(result, &explain, error)) {
            json_decref(result);
            result = NULL;
        }
        trace_close(&reader[1]);
    }
    trace_close(&reader[0]);
    return result;
}

static void inject(Kind *kind, const char *name, const char *options, uint64_t seed)
{
    const Record *r = &kind->records[drawn(seed) % kind->count];
    uint64_t element = drawn(seed) % (r->op.rows * r->op.columns);
    char *place = string_format("--perturb %u.%u.%llu", r->step, r->number,
                                (unsigned long long)element),
         *trace = scratch_path("injected.trace");
    Error error = {0};
    int status = train(options, trace, place), before = checks_failed;
    CHECK(!status, "%s: %s: exit status %d", name, place, status);
    json_t *result = status ? NULL : explained(kind->trace, trace, &error);
    const json_t *first = json_object_get(result, "first"),
                 *elements = json_object_get(result, "elements"),
                 *farthest = json_object_get(elements, "largest");
    CHECK(result, "%s: %s: %s", name, place, error.text);
    CHECK(number_of(first, "step") == r->step && number_of(first, "record") == r->number,
          "%s: %s: record %.0f.%.0f differs first", name, place, number_of(first, "step"),
          number_of(first, "record"));
    CHECK(number_of(elements, "differ") == 1 && number_of(farthest, "ulps") == 1 &&
              number_of(farthest, "row") == (double)(element / r->op.columns) &&
              number_of(farthest, "column") == (double)(element % r->op.columns),
          "%s: %s: %.0f elements differ, the farthest [%.0f, %.0f] by %.0f ulps", name, place,
          number_of(elements, "differ"), number_of(farthest, "row"), number_of(farthest, "column"),
          number_of(farthest, "ulps"));
    kind->injected[r->op.pass]++;
    kind->right[r->op.pass] += checks_failed == before;
    json_decref(result);
    remove(trace);
    free(place);
    free(trace);
}

static void show_table(const Kind *list)
{
    printf("%-24s", "right of injected");
    for (int p = 0; p < TRACE_PASSES; p++) {
        printf(" %10s", trace_passes[p]);
    }
    putchar('\n');
    for (int k = 0; k < KINDS; k++) {
        printf("%-24s", kinds[k].name);
        for (int p = 0; p < TRACE_PASSES; p++) {
            printf(" %3d of %3d", list[k].right[p], list[k].injected[p]);
        }
        putchar('\n');
    }
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 10;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    const char *programs = getenv("PROGRAMS"), *build = getenv("BUILD");
    char *beside = string_format("%s/train_gpt", programs ? programs : ".");
    program = realpath(beside, NULL);
    free(beside);
    char *command = string_format("'%s/make_llama' '%s/llama' >/dev/null", build ? build : "build",
                                  scratch_folder());
    if (!program || system(command)) {
        printf("train_gpt or make_llama is missing\n");
        return EXIT_NO_INPUT;
    }
    free(command);
    Kind list[KINDS] = {0};
    for (int k = 0; k < KINDS; k++) {
        char name[16];
        snprintf(name, sizeof name, "%d.trace", k);
        list[k].trace = scratch_path(name);
        CHECK(!train(kinds[k].options, list[k].trace, ""), "%s does not train", kinds[k].name);
        read_records(&list[k]);
    }
    for (int i = 0; i < count; i++) {
        int k = i % KINDS;
        inject(&list[k], kinds[k].name, kinds[k].options, seed);
    }
    show_table(list);
    for (int k = 0; k < KINDS; k++) {
        free(list[k].trace);
        free(list[k].records);
    }
    free(program);
    return checks_close("injections");
}
