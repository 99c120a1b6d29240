/* consistency FILE...: how much runs that differ in the seed alone agree, as a whole and example by
 * example. */
#include "agreement.h"

#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: consistency [--format text|json] FILE...\n"
    "Compares prediction files of runs that differ in their seeds. Files are grouped by benchmark, "
    "task,\n"
    "split, model and recipe; one line a group:\n"
    "  S     runs         N     examples\n"
    "  zeta  mean of the task's metric over runs\n"
    "  VAR   its population standard deviation over runs\n"
    "  CON   share of examples on which two runs predict the same, mean over all pairs\n"
    "  CCON  the same, and both are right\n"
    "Exit codes: 0 done, 64 usage, 65 damaged or unfitting file, 66 missing file.\n";

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
static const char *percent(char out[16], double value, int exists)
{
    snprintf(out, 16, exists && !isnan(value) ? "%.2f" : "n/a", 100 * value);
    return out;
}

static void print_text(const Group *group, const Agreement *a, int first)
{
    char zeta[16], var[16], con[16], ccon[16];
    const Preds *run = group->runs[0];
    if (first) {
        printf("%-14s %-20s %-8s %4s %6s %9s %7s %7s %7s %7s\n", "task", "model", "recipe", "S",
               "N", "metric", "zeta", "VAR", "CON", "CCON");
    }
    printf("%-14.14s %-20.20s %-8.8s %4zu %6zu %9.9s %7s %7s %7s %7s\n", preds_meta(run, "task"),
           preds_meta(run, "model"), preds_meta(run, "recipe_sha256"), group->S, group->N,
           preds_meta(run, "metric"), percent(zeta, a->zeta_mean, 1), percent(var, a->var, 1),
           percent(con, a->con, a->pairs), percent(ccon, a->ccon, a->pairs));
    if (!strcmp(preds_meta(run, "dataset"), "builtin sample")) {
        printf("  data: built-in sample, not the task itself\n");
    }
    if (a->degenerate) {
        printf(
            "  %zu of %zu runs collapsed: a single class, or not above the majority rate of %.2f\n",
            a->degenerate, group->S, 100 * a->majority);
    }
    if (group->S == 1) {
        printf("  CON and CCON need at least two runs\n");
    }
}

static json_t *number(double value, int exists)
{
    return exists && isfinite(value) ? json_real(value) : json_null();
}

static json_t *group_json(const Group *group, const Agreement *a)
{
    json_t *object = json_object(), *seeds = json_array(), *zeta = json_array();
    for (int i = 0; i < KEYS; i++) {
        json_object_set_new(object, keys[i], json_text(preds_meta(group->runs[0], keys[i])));
    }
    for (size_t s = 0; s < group->S; s++) {
        json_array_append_new(seeds, json_text(preds_meta(group->runs[s], "seed")));
        json_array_append_new(zeta, number(a->zeta[s], 1));
    }
    json_object_set_new(object, "dataset", json_text(preds_meta(group->runs[0], "dataset")));
    json_object_set_new(object, "metric", json_text(preds_meta(group->runs[0], "metric")));
    json_object_set_new(object, "S", json_integer((json_int_t)group->S));
    json_object_set_new(object, "N", json_integer((json_int_t)group->N));
    json_object_set_new(object, "K", json_integer(group->K));
    json_object_set_new(object, "seeds", seeds);
    json_object_set_new(object, "zeta", zeta);
    json_object_set_new(object, "zeta_mean", number(a->zeta_mean, 1));
    json_object_set_new(object, "VAR", number(a->var, 1));
    json_object_set_new(object, "CON", number(a->con, a->pairs));
    json_object_set_new(object, "CCON", number(a->ccon, a->pairs));
    if (a->pairs) {
        json_object_set_new(object, "CON_numerator", json_integer((json_int_t)a->con_numerator));
        json_object_set_new(object, "CCON_numerator", json_integer((json_int_t)a->ccon_numerator));
        json_object_set_new(object, "CON_denominator", json_integer((json_int_t)a->denominator));
    }
    json_object_set_new(object, "degenerate", json_integer((json_int_t)a->degenerate));
    return object;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"format", required_argument, NULL, 'f'}, {"help", no_argument, NULL, 'h'}, {0}};
    int json = 0, option;
    Error error;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
        if (option == 'h') {
            fputs(usage, stdout);
            return 0;
        }
        if (option == 'f' && (!strcmp(optarg, "json") || !strcmp(optarg, "text"))) {
            json = optarg[0] == 'j';
            continue;
        }
        if (option == 'f') {
            error_set(&error, EXIT_USAGE, "--format %s: no such format; choose text or json",
                      optarg);
            return fail(&error);
        }
        return EXIT_USAGE;
    }
    size_t count = (size_t)(argc - optind);
    if (!count) {
        fputs("consistency: no files; name prediction files: ./consistency preds/*.bin\n", stderr);
        return EXIT_USAGE;
    }
    Preds *all = memory_calloc(count, sizeof *all), **runs = memory_alloc(count, sizeof(Preds *));
    int code = 0;
    for (size_t i = 0; i < count && !code; i++) {
        code = preds_read(&all[i], argv[optind + (int)i], &error);
        runs[i] = &all[i];
    }
    json_t *list = json_array();
    if (!code) {
        qsort(runs, count, sizeof *runs, by_group);
    }
    /* All groups are checked before the first line is printed. */
    for (int print = 0; print < 2 && !code; print++) {
        for (size_t first = 0, end; first < count && !code; first = end) {
            for (end = first; end < count && !by_group(&runs[first], &runs[end]); end++) {
            }
            Group group;
            Agreement agreement;
            code = group_join(&group, runs + first, end - first, &error);
            if (!code && print) {
                agreement_compute(&agreement, &group);
                if (json) {
                    json_array_append_new(list, group_json(&group, &agreement));
                } else {
                    print_text(&group, &agreement, first == 0);
                }
                agreement_free(&agreement);
            }
            if (!code) {
                group_free(&group);
            }
        }
    }
    if (!code && json) {
        json_t *root = json_pack("{s:s, s:i, s:O}", "format", "consistency-report", "version", 1,
                                 "groups", list);
        json_dumpf(root, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(root);
    }
    json_decref(list);
    for (size_t i = 0; i < count; i++) {
        preds_free(&all[i]);
    }
    free(all);
    free(runs);
    if (!code && (fflush(stdout) || ferror(stdout))) {
        code = error_set(&error, EXIT_IO, "cannot write the report; free some space and run again");
    }
    return code ? fail(&error) : 0;
}
