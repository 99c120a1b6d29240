/* tracediff: what differs first in two traces, and how it grew. */
#include "tool_options.h"
#include "trace_compare.h"
#include "trace_explain.h"
#include "trace_growth.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static struct Arguments {
    int first; /* argument that is no option */
    int growth, explain, json, help, version;
    const char *output;
    const char *program_a, *program_b;
    const char *window[2]; /* N, FILE */
} arguments;

#define AT(member) offsetof(struct Arguments, member)

static const ToolOption options[] = {
    {"growth", NULL, AT(growth),
     "how the difference grew, over steps and evaluations; with C D the curve of another "
     "pair, such as two seeds, beside it"},
    {"explain", NULL, AT(explain),
     "run both again to the first difference and show the elements that differ, in units in the "
     "last place, and whether rounding can do that"},
    {"program-a", "PATH", AT(program_a), "train_gpt that made A; else the one beside tracediff"},
    {"program-b", "PATH", AT(program_b), "that made B"},
    {"window", "N FILE", AT(window),
     "with --explain: write N rows and columns of both around the element where they are farthest "
     "apart, as safetensors"},
    {"json", NULL, AT(json), "one JSON object (docs/FORMATS.md)"},
    {"output", "FILE", AT(output),
     "write there instead of standard output (also -o FILE); .json is JSON, .html, with "
     "--growth, a page with pictures"},
    {"help", NULL, AT(help), "this text"},
    {"version", NULL, AT(version), "which seedbed this is"},
};
enum { OPTIONS = sizeof options / sizeof *options };

static void show_help(void)
{
    fputs("usage: tracediff [OPTION]... A B\n"
          "       tracediff --explain [OPTION]... A B\n"
          "       tracediff --growth [OPTION]... A B [C D]\n"
          "Two traces of train_gpt --trace of the same recipe and data: which step, pass,\n"
          "layer and op differs first, what was equal before it, and what differs in what\n"
          "the runs rest on.\n\n",
          stdout);
    tool_options_help(stdout, options, OPTIONS);
    fputs("\nExit codes: 0 all that both record is equal, 1 it differs (--growth: 0),\n"
          "64 usage, 65 damaged, of runs that cannot be compared, or that run otherwise\n"
          "again, 66 missing file, folder or program,\n"
          "73, 74, 77 output not writable.\n",
          stdout);
}

static int ends_in(const char *name, const char *end)
{
    const char *dot = name ? strrchr(name, '.') : NULL;
    return dot && !strcasecmp(dot, end);
}

/* The result in the format that was asked for. */
static int show(const json_t *result, void (*text)(FILE *out, const json_t *result), Error *error)
{
    Writer writer = {.stream = stdout};
    if (arguments.output && writer_open(&writer, arguments.output, error)) {
        return error->code;
    }
    if (arguments.json || ends_in(arguments.output, ".json")) {
        json_dumpf(result, writer.stream, JSON_INDENT(1) | JSON_SORT_KEYS | JSON_ENSURE_ASCII);
        fputc('\n', writer.stream);
    } else {
        text(writer.stream, result);
    }
    return arguments.output ? writer_commit(&writer, error) : 0;
}

static int explain(json_t *result, char **files, Error *error)
{
    TraceExplain how = {.traces = {files[0], files[1]},
                        .programs = {arguments.program_a, arguments.program_b},
                        .file = arguments.window[1]};
    if (arguments.window[0]) {
        how.window = strtoul(arguments.window[0], NULL, 10);
    }
    return trace_explain(result, &how, error);
}

static int compare(char **files, int *different, Error *error)
{
    TraceReader a, b;
    json_t *result = NULL;
    if (trace_open(&a, files[0], error)) {
        return error->code;
    }
    int code = trace_open(&b, files[1], error);
    if (!code) {
        code = trace_compare(&result, &a, &b, error);
        trace_close(&b);
    }
    trace_close(&a);
    if (!code) {
        *different = !json_is_true(json_object_get(result, "equal"));
        code = arguments.explain && *different ? explain(result, files, error) : 0;
        Error shown = {0}; /* the comparison stands, explained or not */
        if (show(result, trace_compare_text, &shown) && !code) {
            *error = shown;
            code = shown.code;
        }
        json_decref(result);
    }
    return code;
}

static int grow(char **files, int count, Error *error)
{
    json_t *result = NULL;
    int code = 0;
    for (int i = 0; i < count && !code; i += 2) {
        TraceReader a, b;
        code = trace_open(&a, files[i], error);
        if (!code) {
            code = trace_open(&b, files[i + 1], error);
            if (!code) {
                code = trace_growth(&result, &a, &b, error);
                trace_close(&b);
            }
            trace_close(&a);
        }
    }
    code = code ? code
                : show(result,
                       ends_in(arguments.output, ".html") ? trace_growth_html : trace_growth_text,
                       error);
    json_decref(result);
    return code;
}

/* What is written must be none of the traces, two files, and such that they can be made: that is
 * looked at before both are run again. */
static int check_outputs(char **files, int count, Error *error)
{
    const char *written[] = {arguments.output, arguments.window[1]};
    if (written[0] && written[1] &&
        (!strcmp(written[0], written[1]) || path_is_same(written[0], written[1]))) {
        return error_set(error, EXIT_USAGE,
                         "--output and --window are one file, %s; choose "
                         "another path",
                         written[0]);
    }
    for (int i = 0; i < count; i++) {
        for (int w = 0; w < 2; w++) {
            if (written[w] && path_is_same(written[w], files[i])) {
                return error_set(error, EXIT_USAGE,
                                 "%s %s: that is a trace that is read; choose "
                                 "another path",
                                 w ? "--window" : "--output", written[w]);
            }
        }
    }
    for (int w = 0; w < 2; w++) {
        if (written[w] && writer_check(written[w], error)) {
            return error->code;
        }
    }
    return 0;
}

static int check_usage(int files, Error *error)
{
    if (files != 2 && !(arguments.growth && files == 4)) {
        return error_set(error, EXIT_USAGE, "%d files; name two traces%s: tracediff%s A B%s", files,
                         arguments.growth ? ", or two pairs" : "",
                         arguments.growth ? " --growth" : "", arguments.growth ? " [C D]" : "");
    }
    const char *without = arguments.window[0]   ? "--window"
                          : arguments.program_a ? "--program-a"
                          : arguments.program_b ? "--program-b"
                                                : NULL;
    if (arguments.explain && arguments.growth) {
        return error_set(error, EXIT_USAGE, "--explain with --growth: give one of the two");
    }
    if (!arguments.explain && without) {
        return error_set(error, EXIT_USAGE, "%s changes nothing without --explain", without);
    }
    if (arguments.window[0]) {
        size_t digits = strspn(arguments.window[0], "0123456789");
        if (arguments.window[0][digits] || !digits || digits > 9 || atoi(arguments.window[0]) < 1) {
            return error_set(error, EXIT_USAGE, "--window %s: how many rows and columns?",
                             arguments.window[0]);
        }
    }
    if (ends_in(arguments.output, ".html") && (!arguments.growth || arguments.json)) {
        return error_set(error, EXIT_USAGE, "-o %s: a page is written with --growth alone",
                         arguments.output);
    }
    return 0;
}

static int run(char **files, int count, int *different, Error *error)
{
    if (check_usage(count, error) || check_outputs(files, count, error)) {
        return error->code;
    }
    return arguments.growth ? grow(files, count, error) : compare(files, different, error);
}

int main(int argc, char **argv)
{
    const Comparer comparer = {"tracediff",        options,          OPTIONS,
                               &arguments,         &arguments.first, &arguments.help,
                               &arguments.version, show_help,        run};
    return comparer_main(&comparer, argc, argv);
}
