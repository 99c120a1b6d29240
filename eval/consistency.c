/* consistency FILE...: how much runs that differ in the seed alone agree, as a whole and example by
 * example. */
#include "group.h"
#include "statistics.h"

#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: consistency [--format text|json] [--pairs] [--boot B [--boot-seed N]] [--expect "
    "EXPECTED.json [--tol X]] FILE...\n"
    "Compares prediction files of runs that differ in their seeds. Files are grouped by benchmark, "
    "task,\n"
    "split, model and recipe; one line a group:\n"
    "  S     runs         N     examples\n"
    "  zeta  mean of the task's metric over runs\n"
    "  VAR   its population standard deviation over runs\n"
    "  CON   share of examples on which two runs predict the same, mean over all pairs\n"
    "  CCON  the same, and both are right\n"
    "--format json gives every statistic (docs/STATISTICS.md); --pairs adds all pairs and "
    "examples. --expect compares one group with expected\n"
    "values to a relative tolerance (1e-9) and exits with 4 if any differs.\n"
    "Exit codes: 0 done, 4 expectation missed, 64 usage, 65 damaged or unfitting file, 66 missing "
    "file.\n";

enum { EXIT_MISSED = 4 };

static int fail(const Error *error)
{
    fprintf(stderr, "consistency: %s\n", error->text);
    return error->code;
}

static const char *const keys[] = {"benchmark", "task",          "split",
                                   "model",     "recipe_sha256", "dataset_sha256"};
enum { KEYS = sizeof keys / sizeof *keys };

static int by_group(const void *a, const void *b)
{
    const Preds *x = *(Preds *const *)a, *y = *(Preds *const *)b;
    int order = 0;
    for (int i = 0; i < KEYS && !order; i++) {
        order = strcmp(preds_meta(x, keys[i]), preds_meta(y, keys[i]));
    }
    return order;
}

/* A percentage, or n/a. */
static const char *percent(char out[16], const json_t *value)
{
    if (json_is_number(value)) {
        snprintf(out, 16, "%.2f", 100 * json_number_value(value));
    } else {
        snprintf(out, 16, "n/a");
    }
    return out;
}

static void print_text(const Group *group, const json_t *o, int first)
{
    char zeta[16], var[16], con[16], ccon[16], majority[16];
    const Preds *run = group->runs[0];
    size_t collapsed = json_array_size(json_object_get(json_object_get(o, "degenerate"), "any"));
    if (first) {
        printf("%-14s %-20s %-8s %4s %6s %9s %7s %7s %7s %7s\n", "task", "model", "recipe", "S",
               "N", "metric", "zeta", "VAR", "CON", "CCON");
    }
    printf("%-14.14s %-20.20s %-8.8s %4zu %6zu %9.9s %7s %7s %7s %7s\n", preds_meta(run, "task"),
           preds_meta(run, "model"), preds_meta(run, "recipe_sha256"), group->S, group->N,
           preds_meta(run, "metric"), percent(zeta, json_object_get(o, "zeta")),
           percent(var, json_object_get(o, "VAR")), percent(con, json_object_get(o, "CON")),
           percent(ccon, json_object_get(o, "CCON")));
    const json_t *ends = json_object_get(json_object_get(o, "CON_ci"), "ci95");
    if (ends) {
        char low[16], high[16];
        const json_t *right = json_object_get(json_object_get(o, "CCON_ci"), "ci95");
        printf("  95 %% interval over seeds and examples: CON %s to %s",
               percent(low, json_array_get(ends, 0)), percent(high, json_array_get(ends, 1)));
        printf(", CCON %s to %s\n", percent(low, json_array_get(right, 0)),
               percent(high, json_array_get(right, 1)));
    }
    ends = json_object_get(json_object_get(o, "bootstrap"), "percentile95");
    if (ends) {
        char low[16], high[16];
        printf("  bootstrap of distinct pairs: CON %s to %s\n",
               percent(low, json_array_get(ends, 0)), percent(high, json_array_get(ends, 1)));
    }
    if (!strcmp(preds_meta(run, "dataset"), "builtin sample")) {
        printf("  data: built-in sample, not the task itself\n");
    }
    if (collapsed) {
        printf(
            "  %zu of %zu runs collapsed: a single class, or not above the majority rate of %s\n",
            collapsed, group->S, percent(majority, json_object_get(o, "majority_rate")));
    }
    if (group->S == 1) {
        printf("  CON and CCON need at least two runs\n");
    }
}

static json_t *group_json(const Group *group, json_t *statistics)
{
    json_t *object = json_object();
    for (int i = 0; i < KEYS; i++) {
        json_object_set_new(object, keys[i], json_text(preds_meta(group->runs[0], keys[i])));
    }
    json_object_set_new(object, "dataset", json_text(preds_meta(group->runs[0], "dataset")));
    json_object_set_new(object, "metric", json_text(preds_meta(group->runs[0], "metric")));
    json_object_update(object, statistics);
    return object;
}

typedef struct Options {
    int json, pairs;
    size_t boot; /* draws; 0 for none */
    uint64_t boot_seed;
    const char *expect;
    double tolerance;
} Options;

/* 0, -1 for help that was printed, or 64. */
static int parse(Options *options, int argc, char **argv, Error *error)
{
    static const struct option known[] = {
        {"format", required_argument, NULL, 'f'}, {"pairs", no_argument, NULL, 'p'},
        {"boot", required_argument, NULL, 'b'},   {"boot-seed", required_argument, NULL, 's'},
        {"expect", required_argument, NULL, 'e'}, {"tol", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},         {0}};
    int option;
    char *end;
    *options = (Options){.tolerance = 1e-9};
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":h", known, NULL)) >= 0) {
        switch (option) {
        case 'h':
            fputs(usage, stdout);
            return -1;
        case 'p':
            options->pairs = 1;
            break;
        case 'b':
        case 's':
            if (!*optarg || strlen(optarg) > 18 || strspn(optarg, "0123456789") != strlen(optarg) ||
                (option == 'b' && strtoull(optarg, NULL, 10) > 10000000)) {
                return error_set(error, EXIT_USAGE, "--boot%s %s: not a whole number%s",
                                 option == 'b' ? "" : "-seed", optarg,
                                 option == 'b' ? " up to 10000000" : "");
            }
            if (option == 'b') {
                options->boot = strtoull(optarg, NULL, 10);
            } else {
                options->boot_seed = strtoull(optarg, NULL, 10);
            }
            break;
        case 'e':
            options->expect = optarg;
            break;
        case 't':
            options->tolerance = strtod(optarg, &end);
            if (!*optarg || *end || !(options->tolerance >= 0)) {
                return error_set(error, EXIT_USAGE, "--tol %s: not a number from 0", optarg);
            }
            break;
        case 'f':
            options->json = !strcmp(optarg, "json");
            if (!options->json && strcmp(optarg, "text")) {
                return error_set(error, EXIT_USAGE,
                                 "--format %s: no such format; choose text or json", optarg);
            }
            break;
        default:
            return error_set(error, EXIT_USAGE, "%s: %s; consistency --help lists the options",
                             argv[optind - 1],
                             option == ':' ? "a value is missing" : "no such option");
        }
    }
    if (optind == argc) {
        return error_set(error, EXIT_USAGE,
                         "no files; name prediction files: ./consistency preds/*.bin");
    }
    return 0;
}

/* Compares one group with expected values: 0, 4 if any differs, or an error. */
static int expect(const Options *options, const Group *group, const json_t *statistics,
                  Error *error)
{
    json_t *expected;
    int compared = 0;
    if (json_read_file(&expected, options->expect, error)) {
        return error->code;
    }
    if (!json_is_object(expected)) {
        json_decref(expected);
        return error_set(error, EXIT_BAD_DATA, "%s: not a JSON object of expected values",
                         options->expect);
    }
    int bad = statistics_expect(expected, statistics, group, options->tolerance, stdout, &compared);
    json_decref(expected);
    printf("%s: %d values compared, %d differ\n", options->expect, compared, bad);
    return bad || !compared ? EXIT_MISSED : 0;
}

static size_t group_end(Preds **runs, size_t first, size_t count)
{
    size_t end = first;
    while (end < count && !by_group(&runs[first], &runs[end])) {
        end++;
    }
    return end;
}

/* Joins, computes and prints every group. All are checked before the first line is printed. */
static int report(const Options *options, Preds **runs, size_t count, Error *error)
{
    int code = 0;
    qsort(runs, count, sizeof *runs, by_group);
    if (options->expect && group_end(runs, 0, count) != count) {
        return error_set(error, EXIT_BAD_DATA,
                         "--expect %s: the files are of several groups; name those of one",
                         options->expect);
    }
    json_t *list = json_array();
    for (int print = 0; print < 2 && !code; print++) {
        for (size_t first = 0, end; first < count && !code; first = end) {
            Group group;
            end = group_end(runs, first, count);
            code = group_join(&group, runs + first, end - first, error);
            if (code) {
                break;
            }
            if (print) {
                StatisticsOptions all = {.level = 0.95,
                                         .summary = !options->json && !options->expect,
                                         .pairs = options->pairs || options->expect};
                json_t *statistics = statistics_compute(&group, &all);
                if (options->boot) {
                    json_t *bootstrap = statistics_bootstrap(&group, options->boot,
                                                             options->boot_seed, all.level);
                    json_object_set_new(statistics, "bootstrap", bootstrap);
                }
                if (options->expect) {
                    code = expect(options, &group, statistics, error);
                } else if (options->json) {
                    json_array_append_new(list, group_json(&group, statistics));
                } else {
                    print_text(&group, statistics, first == 0);
                }
                json_decref(statistics);
            }
            group_free(&group);
        }
    }
    if (!code && options->json && !options->expect) {
        json_t *root = json_pack("{s:s, s:i, s:O}", "format", "consistency-report", "version", 1,
                                 "groups", list);
        json_dumpf(root, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(root);
    }
    json_decref(list);
    if (!code && (fflush(stdout) || ferror(stdout))) {
        code = error_set(error, EXIT_IO, "cannot write the report; free some space and run again");
    }
    return code;
}

int main(int argc, char **argv)
{
    Options options;
    Error error;
    int code = parse(&options, argc, argv, &error);
    if (code) {
        return code < 0 ? 0 : fail(&error);
    }
    size_t count = (size_t)(argc - optind);
    Preds *all = memory_calloc(count, sizeof *all), **runs = memory_alloc(count, sizeof(Preds *));
    for (size_t i = 0; i < count && !code; i++) {
        code = preds_read(&all[i], argv[optind + (int)i], &error);
        runs[i] = &all[i];
    }
    if (!code) {
        code = report(&options, runs, count, &error);
    }
    for (size_t i = 0; i < count; i++) {
        preds_free(&all[i]);
    }
    free(all);
    free(runs);
    return code && code != EXIT_MISSED ? fail(&error) : code;
}
