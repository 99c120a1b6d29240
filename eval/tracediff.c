/* tracediff: what differs first in two traces, and how it grew. */
#include "process.h"
#include "tool_options.h"
#include "trace_compare.h"
#include "trace_growth.h"
#include "version.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { EXIT_DIFFERENT = 1 };

static const char *growth, *as_json, *output, *help, *version;

static const ToolOption options[] = {
    {"growth", NULL,
     "how the difference grew, over steps and evaluations; with C D the curve of another pair, such "
     "as two seeds, beside it",
     &growth},
    {"json", NULL, "one JSON object (docs/FORMATS.md)", &as_json},
    {"output", "FILE",
     "write there instead of standard output (also -o FILE); .json is JSON, .html, with --growth, a "
     "page with pictures",
     &output},
    {"help", NULL, "this text", &help},
    {"version", NULL, "which seedbed this is", &version},
};
enum { OPTIONS = sizeof options / sizeof *options };

static int fail(const Error *error)
{
    fprintf(stderr, "tracediff: %s\n", error->text);
    return error->code;
}

static void show_help(void)
{
    fputs("usage: tracediff [OPTION]... A B\n"
          "       tracediff --growth [OPTION]... A B [C D]\n"
          "Two traces of train_gpt --trace of the same recipe and data: which step, pass,\n"
          "layer and op differs first, what was equal before it, and what differs in what\n"
          "the runs rest on.\n\n",
          stdout);
    tool_options_help(stdout, options, OPTIONS);
    fputs("\nExit codes: 0 all that both record is equal, 1 it differs (--growth: 0), 64 usage,\n"
          "65 damaged, or of runs that cannot be compared, 66 missing file, 73, 74, 77 output\n"
          "not writable.\n",
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
    if (output && writer_open(&writer, output, error)) {
        return error->code;
    }
    if (as_json || ends_in(output, ".json")) {
        json_dumpf(result, writer.stream, JSON_INDENT(1) | JSON_SORT_KEYS | JSON_ENSURE_ASCII);
        fputc('\n', writer.stream);
    } else {
        text(writer.stream, result);
    }
    return output ? writer_commit(&writer, error) : 0;
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
        code = trace_compare(&result, &a, &b, 0, error);
        trace_close(&b);
    }
    trace_close(&a);
    if (!code) {
        code = show(result, trace_compare_text, error);
        *different = !json_is_true(json_object_get(result, "equal"));
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
                : show(result, ends_in(output, ".html") ? trace_growth_html : trace_growth_text,
                       error);
    json_decref(result);
    return code;
}

static int check_usage(int files, Error *error)
{
    if (files != 2 && !(growth && files == 4)) {
        return error_set(error, EXIT_USAGE, "%d files; name two traces%s: tracediff%s A B%s", files,
                         growth ? ", or two pairs" : "", growth ? " --growth" : "",
                         growth ? " [C D]" : "");
    }
    if (ends_in(output, ".html") && (!growth || as_json)) {
        return error_set(error, EXIT_USAGE, "-o %s: a page is written with --growth alone", output);
    }
    return 0;
}

int main(int argc, char **argv)
{
    Error error = {0};
    int first, different = 0;
    process_start("tracediff");
    if (tool_options_parse(options, OPTIONS, argc, argv, &first, &error)) {
        return fail(&error);
    }
    int code = 0;
    if (help) {
        show_help();
    } else if (version) {
        printf("tracediff of seedbed %s, commit %s\n", TOOL_VERSION, git_commit());
    } else {
        code = check_usage(argc - first, &error)
                   ? error.code
                   : growth ? grow(argv + first, argc - first, &error)
                            : compare(argv + first, &different, &error);
    }
    code = code ? code : stdout_close(&error);
    return code ? fail(&error) : different ? EXIT_DIFFERENT : 0;
}
