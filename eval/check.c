/* check: whether this machine computes what a trace says. */
#include "result.h"
#include "tool_options.h"
#include "trace_compare.h"
#include "trace_rerun.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static struct Arguments {
    int first; /* argument that is no option */
    int help, version;
    const char *step, *random, *from, *program;
} arguments;

#define AT(member) offsetof(struct Arguments, member)

static const ToolOption options[] = {
    {"step", "K", AT(step), "compute this step again, and all before it"},
    {"random", "N", AT(random), "N steps of the trace, drawn by this machine"},
    {"from", "DIR", AT(from),
     "with --step: compute from this checkpoint on, not from the first step"},
    {"program", "PATH", AT(program), "the train_gpt that computes; else the one beside check"},
    {"help", NULL, AT(help), "this text"},
    {"version", NULL, AT(version), "which seedbed this is"},
};
enum { OPTIONS = sizeof options / sizeof *options };

static void show_help(void)
{
    fputs("usage: check --step K [--from DIR] RUN.trace [-- OPTIONS OF TRAIN_GPT]\n"
          "       check --random N RUN.trace [-- OPTIONS OF TRAIN_GPT]\n"
          "Runs the command of a trace again, in its folder, up to a step, and compares\n"
          "what it computes with what the trace says. Nothing of the run's files is\n"
          "written. What stands behind -- is added to the command: --threads 1 --simd\n"
          "scalar.\n\n",
          stdout);
    tool_options_help(stdout, options, OPTIONS);
    fputs("\nExit codes: 0 equal, 1 it differs, 64 usage, 65 damaged, no such step, or no\n"
          "command of this program, 66 missing trace, model, folder or program,\n"
          "73, 74, 77 a file that cannot be read or made, 78 a checkpoint that is not of\n"
          "the command; and those of train_gpt.\n",
          stdout);
}

/* Steps of a trace in ascending order, and the chain behind each. */
typedef struct Steps {
    uint32_t *numbers;
    unsigned char (*chains)[TRACE_CHAIN];
    size_t count, room;
} Steps;

static void steps_free(Steps *steps)
{
    free(steps->numbers);
    free(steps->chains);
}

/* Reads a trace through. */
static int steps_read(Steps *steps, const char *path, Error *error)
{
    TraceReader trace;
    TraceBlock block;
    *steps = (Steps){0};
    if (trace_open(&trace, path, error)) {
        return error->code;
    }
    int code;
    while (!(code = trace_next(&trace, &block, error)) && block.tag) {
        if (block.tag != TRACE_STEP || !block.number) {
            continue;
        }
        if (steps->count == steps->room) {
            steps->room = 2 * steps->room + 1024;
            steps->numbers = memory_realloc(steps->numbers, steps->room, sizeof *steps->numbers);
            steps->chains = memory_realloc(steps->chains, steps->room, sizeof *steps->chains);
        }
        steps->numbers[steps->count] = block.number;
        memcpy(steps->chains[steps->count++], block.chain, TRACE_CHAIN);
    }
    trace_close(&trace);
    return code;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The place of a step; steps->count if the trace has no such one. */
static size_t place_of(const Steps *steps, uint32_t number)
{
    const uint32_t *at = steps->count ? bsearch(&number, steps->numbers, steps->count,
                                                sizeof number, by_number)
                                      : NULL;
    return at ? (size_t)(at - steps->numbers) : steps->count;
}

static int number_read(uint32_t *number, const char *name, const char *text, Error *error)
{
    size_t digits = strspn(text, "0123456789");
    *number = digits < 10 && !text[digits] ? (uint32_t)strtoul(text, NULL, 10) : 0;
    return *number ? 0
                   : error_set(error, EXIT_USAGE, "--%s %s: not a number from 1 on", name, text);
}

/* N different steps of the trace, in ascending order. */
static int draw(uint32_t **chosen, uint32_t *count, const Steps *steps, Error *error)
{
    if (number_read(count, "random", arguments.random, error)) {
        return error->code;
    }
    *count = *count < steps->count ? *count : (uint32_t)steps->count;
    uint32_t *list = memory_alloc(steps->count, sizeof *list);
    memcpy(list, steps->numbers, steps->count * sizeof *list);
    for (uint32_t i = 0; i < *count; i++) {
        uint64_t drawn = 0;
        if (getrandom(&drawn, sizeof drawn, 0) != sizeof drawn) {
            free(list);
            return error_set(error, EXIT_UNAVAILABLE, "no random numbers; choose with --step");
        }
        size_t other = i + drawn % (steps->count - i);
        uint32_t kept = list[i];
        list[i] = list[other];
        list[other] = kept;
    }
    qsort(list, *count, sizeof *list, by_number);
    *chosen = list;
    return 0;
}

/* The steps that are asked for; the caller frees them. */
static int choose(uint32_t **chosen, uint32_t *count, const Steps *steps, const char *path,
                  Error *error)
{
    uint32_t step;
    if (!steps->count) {
        return REFUSE("%s has no step", path);
    }
    if (arguments.random) {
        return draw(chosen, count, steps, error);
    }
    if (number_read(&step, "step", arguments.step, error)) {
        return error->code;
    }
    if (step > steps->numbers[steps->count - 1]) {
        return REFUSE("--step %u is beyond the end: %s ends with step %u", step, path,
                      steps->numbers[steps->count - 1]);
    }
    if (place_of(steps, step) == steps->count) {
        return REFUSE("%s has no record of step %u, but of every %u", path, step,
                      steps->numbers[0]);
    }
    *count = 1;
    *chosen = memory_alloc(1, sizeof **chosen);
    **chosen = step;
    return 0;
}

/* Compares values where the chains are not equal: the trace's and those that were computed. */
static int compare_values(json_t **result, const char *path, const char *again, Error *error)
{
    TraceReader trace, computed;
    *result = NULL;
    if (trace_open(&trace, path, error)) {
        return error->code;
    }
    int code = trace_open(&computed, again, error);
    if (!code) {
        free(computed.path);
        computed.path = string_copy("what was computed"); /* messages name it so */
        code = trace_compare(result, &trace, &computed, error);
        trace_close(&computed);
    }
    trace_close(&trace);
    return code;
}

/* Whether all that both record is equal, up to the step: the program may have ended before it. */
static int is_equal(const json_t *result, uint32_t step)
{
    json_t *computed = json_object_get(result, "b");
    int reached = number_of(computed, "step") >= step;
    if (reached) { /* that it ends there is no news */
        json_object_set_new(computed, "whole", json_true());
    }
    return reached && json_is_true(json_object_get(result, "equal"));
}

/* Whether both say that they are of the same run: their chains are equal then. */
static int is_same_run(const json_t *result)
{
    const json_t *receipts = json_object_get(result, "receipts"), *entry;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)receipts, i, entry)
    {
        if (!strcmp(text_of(entry, "part"), "run")) {
            return 0;
        }
    }
    return 1;
}

/* Judges a step whose chain is another one: with options behind -- that are no machine's, such as
 * another level or micro-batch, what both record can be equal. */
static int judge(const char *path, const char *again, uint32_t step, int *different, Error *error)
{
    json_t *result;
    if (compare_values(&result, path, again, error)) {
        return error->code;
    }
    int equal = is_equal(result, step);
    *different = !equal || is_same_run(result);
    printf(!*different ? "step %u: equal in all that both record; the chains are of other runs\n"
           : equal     ? "step %u differs: no value that both record, but the chain\n"
                       : "step %u differs\n",
           step);
    trace_compare_text(stdout, result);
    json_decref(result);
    return 0;
}

/* Judges where not both traces have the steps from the first one on: by values alone. */
static int judge_part(const char *path, const char *again, uint32_t step, int *different,
                      Error *error)
{
    json_t *result;
    if (compare_values(&result, path, again, error)) {
        return error->code;
    }
    const json_t *before = json_object_get(result, "equal_before");
    *different = !is_equal(result, step);
    if (*different) {
        printf("step %u differs\n", step);
        trace_compare_text(stdout, result);
    } else {
        printf("step %u: equal; %.0f steps up to it were compared\n", step,
               number_of(before, "steps"));
    }
    json_decref(result);
    return 0;
}

/* Computes up to the last step that is asked for and says of each whether it is the trace's. */
static int compute(const char *path, const Steps *steps, const uint32_t *chosen, uint32_t count,
                   TraceRerun *rerun, const char *const *more, int *different, Error *error)
{
    TraceReader trace;
    Steps again = {0};
    char until[16], hex[65];
    snprintf(until, sizeof until, "%u", chosen[count - 1]);
    char *from = arguments.from ? realpath(arguments.from, NULL) : NULL; /* it runs elsewhere */
    if (arguments.from && !from) {
        return error_set_errno(error, "read", arguments.from);
    }
    if (trace_open(&trace, path, error)) {
        free(from);
        return error->code;
    }
    int code = trace_rerun(rerun, &trace, arguments.program, from, until, more, error), same = 1,
        part = from || json_object_get(trace.header, "behind");
    trace_close(&trace);
    free(from);
    if (!code && part) { /* the chain of one does not begin where the other's does */
        return judge_part(path, rerun->trace, chosen[count - 1], different, error);
    }
    code = code ? code : steps_read(&again, rerun->trace, error);
    for (uint32_t i = 0; i < count && !code && same; i++) {
        size_t at = place_of(steps, chosen[i]), there = place_of(&again, chosen[i]);
        same = there < again.count && !memcmp(steps->chains[at], again.chains[there], TRACE_CHAIN);
        if (same) {
            sha256_text(hex, steps->chains[at]);
            printf("step %u: equal, and so is all before it; chain %s\n", chosen[i], hex);
        }
    }
    code = code || same ? code : judge(path, rerun->trace, chosen[count - 1], different, error);
    steps_free(&again);
    return code;
}

static int check(const char *path, const char *const *more, int *different, Error *error)
{
    Steps steps;
    TraceRerun rerun;
    uint32_t *chosen = NULL, count = 0;
    int code = steps_read(&steps, path, error);
    code = code ? code : choose(&chosen, &count, &steps, path, error);
    if (!code && !(code = trace_rerun_open(&rerun, error))) {
        code = compute(path, &steps, chosen, count, &rerun, more, different, error);
        trace_rerun_close(&rerun);
    }
    free(chosen);
    steps_free(&steps);
    return code;
}

static int run(char **files, int count, int *different, Error *error)
{
    if (!count || !arguments.step == !arguments.random) {
        return error_set(error, EXIT_USAGE,
                         "name a trace and either --step or --random; check --help shows how");
    }
    if (arguments.from && !arguments.step) {
        return error_set(error, EXIT_USAGE, "--from with --random: name the step with --step");
    }
    return check(files[0], (const char *const *)(files + 1), different, error);
}

int main(int argc, char **argv)
{
    const Comparer comparer = {"check",
                               options,
                               OPTIONS,
                               &arguments,
                               &arguments.first,
                               &arguments.help,
                               &arguments.version,
                               show_help,
                               run};
    return comparer_main(&comparer, argc, argv);
}
