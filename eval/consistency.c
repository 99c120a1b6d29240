/* consistency FILE...: how much runs that differ in the seed alone agree, as a whole and example by
 * example. Reads files, forms groups, computes one report (a JSON object) and shows it. */
#include "audit.h"
#include "compare.h"
#include "group_report.h"
#include "import.h"
#include "known.h"
#include "planning.h"
#include "process.h"
#include "reference.h"
#include "report.h"
#include "result.h"
#include "sides.h"
#include "statistics.h"
#include "submission.h"
#include "version.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_WARNED = 3, EXIT_MISSED = 4 };

typedef struct Analysis {
    const Arguments *options;
    Preds *all;   /* [count] */
    Preds **runs; /* [count] sorted by group */
    size_t count;
    Imports imports;
    json_t *groups, *comparisons;
    json_t *parts; /* of the report: audit, reference, plans, correlations; those that there are */
} Analysis;

static int compare_keys(const Preds *x, const Preds *y, int count)
{
    int order = 0;
    for (int i = 0; i < count && !order; i++) {
        order = strcmp(preds_meta(x, group_keys[i]), preds_meta(y, group_keys[i]));
    }
    return order;
}

static int by_group(const void *a, const void *b)
{
    const Preds *x = *(Preds *const *)a, *y = *(Preds *const *)b;
    int order = compare_keys(x, y, KEYS_OF_EXAMPLES);
    order = order ? order : x->side - y->side;
    return order ? order : compare_keys(x, y, GROUP_KEYS);
}

/* Drops the runs of neither side. */
static int choose_sides(Analysis *analysis, Error *error)
{
    const char *const *side = analysis->options->side;
    size_t found[2] = {0}, kept = 0;
    for (size_t i = 0; i < analysis->count; i++) {
        Preds *run = analysis->runs[i];
        int a = run_is_of_side(run, side[0]), b = run_is_of_side(run, side[1]);
        if (a && b) {
            return error_set(error, EXIT_USAGE, "--compare %s %s: %s is of both sides", side[0],
                             side[1], run->path);
        }
        if (a || b) {
            run->side = b;
            found[b]++;
            analysis->runs[kept++] = run;
        }
    }
    analysis->count = kept;
    for (int k = 0; k < 2; k++) {
        if (!found[k]) {
            return error_set(error, EXIT_USAGE,
                             "--compare %s %s: no file is of '%s'; name a model, the first digits "
                             "of a recipe, a folder, or KEY=VALUE",
                             side[0], side[1], side[k]);
        }
    }
    return 0;
}

/* Options for imported files alone, where there is none. */
static int check_imported(const Arguments *o, Error *error)
{
    const struct {
        const char *name, *value;
    } list[] = {{"gold", o->gold},
                {"labels", o->labels},
                {"metric", o->metric},
                {"scores", o->scores},
                {"seed-from", o->seed_from}};
    for (size_t i = 0; i < o->count; i++) {
        if (import_is(o->files[i])) {
            return 0;
        }
    }
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        if (list[i].value) {
            return error_set(error, EXIT_USAGE,
                             "--%s changes nothing: it is of imported predictions, and all files "
                             "are runs of train_gpt, which say so themselves; leave the option out",
                             list[i].name);
        }
    }
    return 0;
}

/* The headers of runs side by side, imports one after the other; an error is that of the first file
 * that has one. */
static int read_runs(Analysis *analysis, Error *error)
{
    char *const *files = analysis->options->files;
    size_t failed = analysis->count;
#pragma omp parallel for schedule(dynamic) if (analysis->count > 64)
    for (size_t i = 0; i < analysis->count; i++) {
        Error own;
        if (!import_is(files[i]) && preds_read_header(&analysis->all[i], files[i], &own)) {
#pragma omp critical(headers)
            if (i < failed) {
                failed = i;
                *error = own;
            }
        }
    }
    int code = failed < analysis->count ? error->code : 0;
    for (size_t i = 0; i < failed; i++) {
        if (import_is(files[i]) &&
            import_read(&analysis->all[i], &analysis->imports, files[i], i, error)) {
            return error->code;
        }
    }
    return code;
}

static int read_files(Analysis *analysis, Error *error)
{
    const Arguments *o = analysis->options;
    ImportOptions options = {.labels = o->labels,
                             .metric = o->metric ? o->metric : "accuracy",
                             .gold = o->gold,
                             .scores = o->scores,
                             .seed_from = o->seed_from};
    for (size_t i = 0; i < analysis->count; i++) {
        const char *dot = strrchr(o->files[i], '.');
        if (dot && !strcmp(dot, ".jsonl")) { /* of all files of a folder */
            return error_set(
                error, EXIT_USAGE,
                "%s: JSON lines, as the log of a run is, hold no predictions; name the "
                ".bin files, or their folder",
                o->files[i]);
        }
    }
    int code = check_imported(o, error)
                   ? error->code
                   : imports_open(&analysis->imports, &options, o->files, o->count, error);
    for (size_t i = 0; i < analysis->count; i++) {
        analysis->runs[i] = &analysis->all[i];
    }
    return code ? code : read_runs(analysis, error);
}

/* Joins runs that are sorted by group. */
static int join(Group *group, const Analysis *analysis, Preds **runs, size_t S, Error *error)
{
    return imports_name_classes(&analysis->imports, runs, S, error)
               ? error->code
               : group_join(group, runs, S, analysis->options->intersect, error);
}

/* Behind the last run of the group that begins at first; a comparison joins both sides. */
static size_t group_end(const Analysis *analysis, size_t first, int examples_only)
{
    size_t end = first;
    while (end < analysis->count &&
           !(examples_only
                 ? compare_keys(analysis->runs[first], analysis->runs[end], KEYS_OF_EXAMPLES)
                 : by_group(&analysis->runs[first], &analysis->runs[end]))) {
        end++;
    }
    return end;
}

static json_t *side_json(const Preds *run, const char *name)
{
    json_t *o = json_pack("{s:o}", "asked", json_text(name));
    for (int i = 0; i < GROUP_KEYS; i++) {
        json_object_set_new(o, group_keys[i], json_text(preds_meta(run, group_keys[i])));
    }
    json_object_set_new(o, "kernels", json_text(preds_meta(run, "kernels")));
    json_object_set_new(o, "kernels_sha256", json_text(preds_meta(run, "kernels_sha256")));
    return o;
}

/* Both sides of one task: joined, compared, and each computed. */
static int compare_task(Analysis *analysis, size_t first, size_t end, Error *error)
{
    Preds **runs = analysis->runs + first;
    Group joined;
    size_t b = 0;
    while (b < end - first && runs[b]->side == 0) {
        b++;
    }
    for (size_t i = 1; i < end - first; i++) {
        int key = KEYS_OF_EXAMPLES; /* the first in which neighbours of a side differ */
        while (key < GROUP_KEYS - 1 && !strcmp(preds_meta(runs[i - 1], group_keys[key]),
                                               preds_meta(runs[i], group_keys[key]))) {
            key++;
        }
        if (runs[i]->side == runs[i - 1]->side && key < GROUP_KEYS - 1) {
            char *value = side_of_value(group_keys[key], preds_meta(runs[i], group_keys[key])),
                 *quoted = shell_quote(value);
            (void)REFUSE("--compare: '%s' has several models or recipes for %s: %s and %s "
                         "differ in %s; name one of them: %s",
                         analysis->options->side[runs[i]->side], preds_meta(runs[i], "task"),
                         runs[i - 1]->path, runs[i]->path, group_keys[key], quoted);
            free(value);
            free(quoted);
            return error->code;
        }
    }
    json_t *sides = json_array();
    for (int side = 0; side < 2; side++) {
        if (side ? b < end - first : b > 0) {
            json_array_append_new(sides,
                                  side_json(runs[side ? b : 0], analysis->options->side[side]));
        }
    }
    int both = json_array_size(sides) == 2;
    int code = join(&joined, analysis, runs, end - first, error);
    for (int side = 0; side < 2 && !code; side++) {
        Group part = group_side(&joined, side);
        if (part.S) {
            json_t *group = group_report(&part, analysis->options);
            if (!both) {
                warning_add(json_object_get(group, "warnings"), "no runs of '%s': not compared",
                            analysis->options->side[!side]);
            }
            json_array_append_new(analysis->groups, group);
        }
    }
    if (!code && both) {
        json_t *o = json_object(), *rest = compare_groups(&joined, analysis->options->level);
        for (int i = 0; i < KEYS_OF_EXAMPLES; i++) {
            json_object_set_new(o, group_keys[i],
                                json_text(preds_meta(joined.runs[0], group_keys[i])));
        }
        mark_apart(sides);
        json_object_set(o, "A", json_array_get(sides, 0));
        json_object_set(o, "B", json_array_get(sides, 1));
        json_object_update(o, rest);
        json_decref(rest);
        json_array_append_new(analysis->comparisons, o);
    }
    json_decref(sides);
    return code;
}

static int compute_groups(Analysis *analysis, Error *error)
{
    const Arguments *options = analysis->options;
    int code = options->side[0] ? choose_sides(analysis, error) : 0;
    if (code) {
        return code;
    }
    qsort(analysis->runs, analysis->count, sizeof *analysis->runs, by_group);
    if (options->expect && group_end(analysis, 0, 0) != analysis->count) {
        return REFUSE("--expect %s: the files are of several groups; name those of one",
                      options->expect);
    }
    for (size_t first = 0, end; first < analysis->count && !code; first = end) {
        end = group_end(analysis, first, options->side[0] != NULL);
        if (options->side[0]) {
            code = compare_task(analysis, first, end, error);
        } else {
            Group group;
            code = join(&group, analysis, analysis->runs + first, end - first, error);
            if (!code && options->expect) {
                code = expect_file(options->expect, &group, options->level, options->tolerance,
                                   error);
                return code == 1 ? EXIT_MISSED : code;
            }
            if (!code) {
                json_array_append_new(analysis->groups, group_report(&group, options));
            }
        }
        for (size_t i = first; i < end; i++) { /* what was computed needs no files any more */
            preds_free(analysis->runs[i]);
        }
    }
    return code;
}

/* Whether the report can show Fig. 2 without being asked: three groups or more of dev sets, all of
 * public tasks, none twice under one model. */
static int sizes_known(const json_t *groups)
{
    json_t *group;
    size_t i, count = 0;
    json_array_foreach((json_t *)groups, i, group)
    {
        if (is_dev_set(group) && (!group_task(group) || task_twice(groups, i))) {
            return 0;
        }
        count += (size_t)is_dev_set(group);
    }
    return count >= 3;
}

/* Rows of groups or of an audited table for correlations. */
static json_t *correlation_rows(const json_t *groups, const json_t *audit)
{
    static const char *const copied[] = {"model", "task", "benchmark", "zeta",
                                         "VAR",   "CON",  "CCON"};
    const json_t *lists[2] = {groups, json_object_get(audit, "cells")};
    json_t *rows = json_array(), *entry;
    for (int k = 0; k < 2; k++) {
        size_t i;
        json_array_foreach((json_t *)lists[k], i, entry)
        {
            if (!k && !is_dev_set(entry)) {
                continue;
            }
            json_t *row = json_object();
            for (size_t c = 0; c < sizeof copied / sizeof *copied; c++) {
                json_t *value = json_object_get(entry, copied[c]);
                if (json_is_number(value)) { /* groups have shares, tables percent */
                    value = json_real(json_number_value(value) * (k ? 1 : 100));
                    json_object_set_new(row, copied[c], value);
                } else if (value) {
                    json_object_set(row, copied[c], value);
                }
            }
            json_array_append_new(rows, row);
        }
    }
    return rows;
}

/* What every report has: format, version, tool, options and groups. */
enum { KEYS_OF_REPORT = 5 };

static json_t *report_make(const Analysis *analysis)
{
    const Arguments *o = analysis->options;
    json_t *report = json_pack("{s:s, s:i, s:s}", "format", "consistency-report", "version", 1,
                               "tool", "seedbed consistency");
    json_t *options = json_pack("{s:f, s:i, s:b, s:b, s:b, s:I}", "level", o->level, "ddof",
                                o->ddof, "drop_degenerate", o->drop, "intersect", o->intersect,
                                "cluster", o->cluster, "boot", (json_int_t)o->boot);
    if (o->boot) {
        char seed[24];
        snprintf(seed, sizeof seed, "%llu", (unsigned long long)o->boot_seed);
        json_object_set_new(options, "boot_seed", seed_json(seed));
        json_object_set_new(options, "generator", json_string("Philox4x32-10"));
    }
    json_object_set_new(report, "options", options);
    json_object_set(report, "groups", analysis->groups);
    if (o->side[0]) {
        json_t *sides = json_array();
        json_array_append_new(sides, json_text(o->side[0]));
        json_array_append_new(sides, json_text(o->side[1]));
        json_object_set_new(report, "compared", sides);
        json_object_set(report, "comparisons", analysis->comparisons);
        json_object_set_new(report, "across_tasks", compare_across(analysis->comparisons));
    }
    json_object_update(report, analysis->parts);
    return report;
}

static void report_json(FILE *out, const json_t *report, const Arguments *options)
{
    (void)options;
    json_dumpf(report, out, JSON_INDENT(2));
    fputc('\n', out);
}

/* One line a group, then one with the rest. */
static void report_jsonl(FILE *out, const json_t *report, const Arguments *options)
{
    (void)options;
    json_t *group;
    size_t i;
    json_array_foreach(json_object_get(report, "groups"), i, group)
    {
        json_dumpf(group, out, JSON_COMPACT);
        fputc('\n', out);
    }
    if (json_object_size(report) > KEYS_OF_REPORT) {
        json_t *rest = json_copy((json_t *)report);
        json_object_del(rest, "groups");
        json_dumpf(rest, out, JSON_COMPACT);
        fputc('\n', out);
        json_decref(rest);
    }
}

static void show(FILE *out, const json_t *report, const Arguments *options)
{
    static void (*const views[])(FILE *, const json_t *, const Arguments *) = {
        [FORMAT_TEXT] = report_text, [FORMAT_JSON] = report_json, [FORMAT_JSONL] = report_jsonl,
        [FORMAT_CSV] = report_csv,   [FORMAT_MD] = report_md,     [FORMAT_LATEX] = report_latex,
        [FORMAT_HTML] = report_html};
    views[options->format](out, report, options);
}

static int write_report(const json_t *report, const Arguments *options, Error *error)
{
    if (options->output) {
        Writer writer;
        if (writer_open(&writer, options->output, error)) {
            return error->code;
        }
        show(writer.stream, report, options);
        return writer_commit(&writer, error);
    }
    show(stdout, report, options);
    return 0;
}

/* Warnings of all groups: how many; formats that do not show them leave them on stderr. */
static size_t count_warnings(const json_t *groups, Format format)
{
    json_t *group, *warning;
    size_t i, k, count = 0;
    int hidden = format == FORMAT_CSV || format == FORMAT_LATEX;
    json_array_foreach((json_t *)groups, i, group)
    {
        char *name = group_name(group);
        json_array_foreach(json_object_get(group, "warnings"), k, warning)
        {
            count++;
            if (hidden) {
                char *line = string_format(
                    "consistency: %s %s, recipe %.8s: %s", text_of(group, "task"), name,
                    text_of(group, "recipe_sha256"), json_string_value(warning));
                text_plain(line);
                fprintf(stderr, "%s\n", line);
                free(line);
            }
        }
        free(name);
    }
    return count;
}

/* What stands beside groups and comparisons. */
static int compute_parts(Analysis *analysis, const Arguments *options, const PlanNumbers *numbers,
                         Error *error)
{
    json_t *made = NULL, *table = NULL;
    int code = 0;
    if (options->audit) {
        if (audit_table(&made, options->audit, 0, error)) {
            return error->code;
        }
        json_object_set_new(analysis->parts, "audit", made);
    }
    if (options->reference && audit_table(&table, options->reference, 1, error)) {
        return error->code;
    }
    if (table && options->count) {
        code = reference_compare(&made, table, analysis->groups, options, error);
        if (!code) {
            json_object_set_new(analysis->parts, "reference", made);
        }
    }
    if (!code && options->plan) {
        const json_t *cells = options->count ? NULL : json_object_get(table, "cells");
        code = plan_make(&made, numbers, cells, analysis->groups, analysis->comparisons,
                         options->level, error);
        if (!code) {
            json_object_set_new(analysis->parts, "plans", made);
        }
    }
    json_decref(table);
    if (code) {
        return code;
    }
    const char *sizes = options->correlate;
    if (!sizes && options->format == FORMAT_HTML && sizes_known(analysis->groups)) {
        sizes = "public";
    }
    if (sizes) {
        json_t *rows = correlation_rows(analysis->groups,
                                        json_object_get(analysis->parts, "audit"));
        code = correlate_sizes(&made, rows, sizes, options->level, error);
        json_decref(rows);
        if (code) {
            return code;
        }
        json_object_set_new(analysis->parts, "correlations", made);
    }
    return 0;
}

static int submit(const Arguments *o, Error *error)
{
    Preds *runs = memory_calloc(o->count + 1, sizeof *runs);
    size_t read = 0;
    while (read < o->count && !preds_read(&runs[read], o->files[read], error)) {
        read++;
    }
    int code = read < o->count || submission_write(o->submission, runs, read, stdout, error)
                   ? error->code
                   : 0;
    for (size_t i = 0; i < read; i++) {
        preds_free(&runs[i]);
    }
    free(runs);
    return code;
}

/* Ends the program: what was printed has arrived, or that is the error. */
static int finish(int code, int printed, Error *error)
{
    int verdict = code == EXIT_DONE || code == EXIT_WARNED || code == EXIT_MISSED;
    if (verdict && printed && stdout_close(error)) {
        verdict = 0;
        code = error->code;
    }
    if (!verdict) {
        fprintf(stderr, "consistency: %s\n", error->text);
    }
    return code;
}

int main(int argc, char **argv)
{
    Arguments options;
    Error error;
    process_start("consistency");
    int code = arguments_parse(&options, argc, argv, &error);
    if (!code && (options.help || options.version)) {
        if (options.help) {
            arguments_help(stdout);
        } else {
            printf("consistency of seedbed %s, commit %s\n", TOOL_VERSION, git_commit());
        }
        return finish(0, 1, &error);
    }
    if (!code && options.submission) {
        code = submit(&options, &error);
        arguments_free(&options);
        return finish(code, 1, &error);
    }
    Analysis analysis = {.options = &options,
                         .groups = json_array(),
                         .comparisons = json_array(),
                         .parts = json_object()};
    PlanNumbers numbers;
    code = code ? code : plan_read(&numbers, &options, &error);
    if (!code) {
        analysis.count = options.count;
        analysis.all = memory_calloc(options.count + 1, sizeof *analysis.all);
        analysis.runs = memory_alloc(options.count + 1, sizeof *analysis.runs);
        code = read_files(&analysis, &error);
    }
    if (!code && analysis.count) {
        code = compute_groups(&analysis, &error);
    }
    mark_apart(analysis.groups);
    if (!options.side[0]) {
        warn_mixed(analysis.groups);
    }
    code = code ? code : compute_parts(&analysis, &options, &numbers, &error);
    if (!code && !options.expect) {
        json_t *report = report_make(&analysis);
        code = write_report(report, &options, &error);
        json_decref(report);
        size_t found = count_warnings(analysis.groups, options.format) +
                       audit_impossible(json_object_get(analysis.parts, "audit")) +
                       reference_impossible(json_object_get(analysis.parts, "reference"));
        if (!code && found && options.strict) {
            code = EXIT_WARNED;
        }
    }
    for (size_t i = 0; analysis.all && i < options.count; i++) {
        preds_free(&analysis.all[i]);
    }
    imports_close(&analysis.imports);
    free(analysis.all);
    free(analysis.runs);
    json_decref(analysis.groups);
    json_decref(analysis.comparisons);
    json_decref(analysis.parts);
    int printed = !options.output || options.expect;
    arguments_free(&options);
    return finish(code, printed, &error);
}
