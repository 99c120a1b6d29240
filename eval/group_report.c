#define _GNU_SOURCE
#include "group_report.h"
#include "curves.h"
#include "report.h"
#include "result.h"
#include "sides.h"
#include "sources.h"
#include "statistics.h"
#include "tasks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Examples of the list get the text of the task's data file, where that is the file of the runs. */
static void put_texts(json_t *o, const char *folder)
{
    Error ignored;
    Dataset dataset;
    const Task *task = task_known(text_of(o, "task"));
    json_t *entry, *list = json_object_get(o, "examples");
    size_t i;
    if (!task || strcmp(text_of(o, "benchmark"), task->benchmark) ||
        !split_find(task, text_of(o, "split")) ||
        dataset_read(&dataset, task, folder, text_of(o, "split"), 0, 1, 1, &ignored)) {
        return;
    }
    json_array_foreach(list, i, entry)
    {
        const char *id = text_of(entry, "id");
        for (int k = 0; k < dataset.count && !strcmp(dataset.sha256, text_of(o, "dataset_sha256"));
             k++) {
            const Example *example = &dataset.examples[k];
            if (!strcmp(example->id, id)) {
                char *text = string_copy(example->text[0][0]);
                for (int t = 1; t < MAX_TEXTS && example->text[0][t]; t++) {
                    string_append(&text, " | %s", example->text[0][t]);
                }
                if (task->kind == KIND_CHOICE) {
                    string_append(&text, " / %s", example->text[1][1]);
                }
                json_object_set_new(entry, "text", json_text(text));
                free(text);
            }
        }
    }
    dataset_free(&dataset);
}

void warning_add(json_t *list, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = string_format_list(format, arguments);
    va_end(arguments);
    json_array_append_new(list, json_text(text));
    free(text);
}

/* Values of a metadata key that are not that of the first run. */
static size_t others(const Group *g, const char *key)
{
    size_t count = 0;
    for (size_t s = 1; s < g->S; s++) {
        count += strcmp(preds_meta(g->runs[0], key), preds_meta(g->runs[s], key)) != 0;
    }
    return count;
}

/* The runs are of several kernel sources: the command that compares the first two of them. */
static void warn_kernels(json_t *list, const Group *g)
{
    static const char key[] = "kernels_sha256";
    const char **paths = memory_alloc(g->S, sizeof *paths), *first = preds_meta(g->runs[0], key),
               *second = first;
    for (size_t s = 0; s < g->S; s++) {
        paths[s] = g->runs[s]->path;
        second = strcmp(second, first) ? second : preds_meta(g->runs[s], key);
    }
    char *a = side_of_value(key, first), *b = side_of_value(key, second),
         *command = compare_command(a, b, paths, g->S);
    warning_add(list, "the runs are of several kernel sources; compare: %s", command);
    free(a);
    free(b);
    free(command);
    free(paths);
}

/* Whether each run chose its own evaluation (--select best or half), as its recipe says. */
static int is_selected(const Preds *run)
{
    json_t *hparams = json_loads(preds_meta(run, "hparams"), 0, NULL); /* checked when read */
    const char *select = text_of(hparams, "select");
    int selected = *select && strcmp(select, "last") != 0;
    json_decref(hparams);
    return selected;
}

static json_t *warnings_of(const Group *g, const json_t *o, const Arguments *options,
                           size_t dropped)
{
    static const char *const collapse[][2] = {{"single_class", "a single class"},
                                              {"not_above_majority", "not above the majority rate"},
                                              {"diverged", "diverged or nothing learned"}};
    static const char *const same[] = {"git_commit", "device", "library", "arithmetic",
                                       "checkpoint"};
    json_t *list = json_array(), *found = json_object_get(g->runs[0]->import, "warnings");
    const json_t *degenerate = json_object_get(o, "degenerate");
    size_t bad = json_array_size(json_object_get(degenerate, "any")), stopped = 0, odd = 0;
    if (!strcmp(preds_meta(g->runs[0], "dataset"), "builtin sample")) {
        warning_add(list, "data: built-in sample, not the task itself");
    }
    if (g->S < options->min_seeds) {
        warning_add(list, "%zu run%s: %zu or more are needed%s", g->S, g->S == 1 ? "" : "s",
                    options->min_seeds,
                    g->S == 1   ? "; CON and CCON are of pairs"
                    : g->S == 2 ? "; no interval over seeds"
                                : "");
    }
    if (bad) {
        char seeds[256] = "";
        for (size_t i = 0; i < bad; i++) {
            size_t s = (size_t)json_integer_value(
                json_array_get(json_object_get(degenerate, "any"), i));
            char *seed = preds_seeds(g->runs[s]);
            int full = strlen(seeds) + strlen(seed) + 8 > sizeof seeds;
            strcat(strcat(seeds, i ? ", " : ""), full ? "..." : seed);
            free(seed);
            if (full) {
                break;
            }
        }
        char signs[160] = "";
        for (size_t i = 0; i < sizeof collapse / sizeof *collapse; i++) {
            size_t runs = json_array_size(json_object_get(degenerate, collapse[i][0]));
            if (runs) {
                size_t used = strlen(signs);
                snprintf(signs + used, sizeof signs - used, "%s%zu %s", used ? ", " : "", runs,
                         collapse[i][1]);
            }
        }
        warning_add(list, "%zu of %zu runs collapsed (%s): seed%s %s", bad, g->S, signs,
                    bad == 1 ? "" : "s", seeds);
    }
    if (*text_of(o, "labels")) {
        warning_add(list, "the labels are hidden: agreement alone, no scores");
    }
    if (dropped) {
        warning_add(list, "%zu collapsed run%s left out (--drop-degenerate)", dropped,
                    dropped == 1 ? "" : "s");
    }
    if (g->lost) {
        warning_add(list, "%zu examples that not all runs have are left out (--intersect)",
                    g->lost);
    }
    if (number_of(o, "missing") > 0) {
        warning_add(list,
                    "%.0f predictions are missing: they count as wrong and agree with nothing",
                    number_of(o, "missing"));
    }
    for (size_t s = 0; s < g->S; s++) {
        stopped += !strcmp(preds_meta(g->runs[s], "status"), "interrupted");
        odd += !preds_logits_finite(g->runs[s]);
    }
    if (stopped) {
        warning_add(list, "%zu run%s interrupted before the end", stopped,
                    stopped == 1 ? " was" : "s were");
    }
    if (odd) {
        warning_add(list, "%zu run%s logits that are not finite: no statistics of logits", odd,
                    odd == 1 ? " has" : "s have");
    }
    for (size_t k = 0; k < sizeof same / sizeof *same; k++) {
        int chosen = !strcmp(same[k], "checkpoint") && is_selected(g->runs[0]);
        if (!chosen && others(g, same[k])) {
            warning_add(list, "the runs differ in %s", same[k]);
        }
    }
    if (others(g, "kernels_sha256")) {
        warn_kernels(list, g);
    }
    char *gaps = json_object_get(o, "sources") ? NULL : grid_gaps(g);
    if (gaps) {
        warning_add(list, "%s: no variance by source", gaps);
        free(gaps);
    }
    size_t recorded = curves_runs(g);
    if (recorded && recorded < g->S) {
        warning_add(list, "%zu of %zu runs have their evaluations: no learning curves", recorded,
                    g->S);
    }
    if (found) {
        json_array_extend(list, found);
    }
    if (options->cluster && !g->cluster) {
        warning_add(list, "no clusters in the files: intervals are by examples");
    }
    return list;
}

/* Runs that are not in the list of degenerate ones, into kept. */
static Group without_degenerate(const Group *g, Preds **kept, size_t *dropped)
{
    StatisticsOptions summary = {.level = 0.95, .summary = 1};
    json_t *o = statistics_compute(g, &summary), *index;
    char *use = memory_alloc(g->S, 1);
    size_t i;
    memset(use, 1, g->S);
    json_array_foreach(collapsed_runs(o), i, index)
    {
        use[json_integer_value(index)] = 0;
        ++*dropped;
    }
    Group part = group_part(g, use, kept);
    json_decref(o);
    free(use);
    return part;
}

/* How classes, the positive one, scores and seeds were understood; o has the label_names. */
static void put_understood(json_t *o, const Preds *run)
{
    for (int k = 0; k < UNDERSTOOD; k++) {
        if (*preds_meta(run, understood[k][0])) {
            json_object_set_new(o, understood[k][0], json_text(preds_meta(run, understood[k][0])));
        }
    }
    if (!run->regression && (run->K == 2 || !strcmp(preds_meta(run, "metric"), "f1"))) {
        json_object_set(o, "positive_class", json_array_get(json_object_get(o, "label_names"), 1));
    }
}

static json_t *runs_json(const Group *g)
{
    static const char *const facts[] = {"seed",         "seed_init",      "seed_data",
                                        "seed_dropout", "seed_order",     "status",
                                        "git_commit",   "kernels_sha256", "data_sha256"};
    json_t *list = json_array();
    for (size_t s = 0; s < g->S; s++) {
        json_t *run = json_object();
        for (size_t k = 0; k < sizeof facts / sizeof *facts; k++) {
            const char *text = preds_meta(g->runs[s], facts[k]);
            if (*text) {
                json_object_set_new(run, facts[k],
                                    k < SEED_KEYS ? seed_json(text) : json_text(text));
            }
        }
        char *name = preds_seeds(g->runs[s]);
        json_object_set_new(run, "name", json_text(name));
        json_object_set_new(run, "file", json_text(g->runs[s]->path));
        free(name);
        json_array_append_new(list, run);
    }
    return list;
}

json_t *group_report(const Group *joined, const Arguments *options)
{
    static const char *const facts[] = {"dataset", "metric",  "kernels",
                                        "device",  "adapter", "checkpoint"};
    Preds **kept = memory_alloc(joined->S, sizeof *kept);
    size_t dropped = 0;
    Group g = *joined;
    if (options->drop && !g.regression) {
        g = without_degenerate(joined, kept, &dropped);
    }
    json_t *o = json_object();
    const Preds *first = joined->runs[0];
    for (int i = 0; i < GROUP_KEYS; i++) {
        json_object_set_new(o, group_keys[i], json_text(preds_meta(first, group_keys[i])));
    }
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        json_object_set_new(o, facts[i], json_text(preds_meta(first, facts[i])));
    }
    if (*preds_meta(first, "part")) {
        json_object_set_new(o, "part", json_text(preds_meta(first, "part")));
    }
    json_t *names = json_loads(preds_meta(first, "label_names"), 0, NULL); /* checked when read */
    json_object_set_new(o, "label_names", names ? names : json_array());
    put_understood(o, first);
    if (options->side[0]) {
        json_object_set_new(o, "side", json_string(first->side ? "B" : "A"));
    }
    if (g.S == 0) { /* all runs collapsed and were dropped */
        put_count(o, "S", 0);
        put_count(o, "N", g.N);
        json_t *list = json_array();
        warning_add(list, "all %zu runs collapsed and are left out (--drop-degenerate)", dropped);
        json_object_set_new(o, "warnings", list);
        free(kept);
        return o;
    }
    int html = options->format == FORMAT_HTML, text = options->format == FORMAT_TEXT;
    StatisticsOptions wanted = {.level = options->level,
                                .summary = text && !options->pairs,
                                .components = options->plan,
                                .pairs = options->pairs || (html && g.S <= 40),
                                .examples = options->listed || html ? options->examples : 0};
    json_t *statistics = statistics_compute(&g, &wanted);
    json_object_update(o, statistics);
    json_decref(statistics);
    put(o, "level", options->level);
    json_t *curve = curves_compute(&g);
    if (curve) {
        json_object_set_new(o, "curve", curve);
    }
    if (options->boot && !g.regression) {
        json_object_set_new(
            o, "bootstrap",
            statistics_bootstrap(&g, options->boot, options->boot_seed, options->level));
    }
    if (wanted.examples && options->data) {
        put_texts(o, options->data);
    }
    json_object_set_new(o, "runs", runs_json(&g));
    put_count(o, "dropped", dropped);
    put_count(o, "examples_lost", g.lost);
    json_object_set_new(o, "warnings", warnings_of(&g, o, options, dropped));
    free(kept);
    return o;
}

/* Paths of the runs of two groups; the caller frees the list, not the paths. */
static const char **paths_of(size_t *n, const json_t *a, const json_t *b)
{
    const json_t *runs[2] = {json_object_get(a, "runs"), json_object_get(b, "runs")};
    size_t size = json_array_size(runs[0]);
    *n = size + json_array_size(runs[1]);
    const char **paths = memory_alloc(*n + 1, sizeof *paths);
    for (size_t i = 0; i < *n; i++) {
        const json_t *run = i < size ? json_array_get(runs[0], i)
                                     : json_array_get(runs[1], i - size);
        paths[i] = text_of(run, "file");
    }
    return paths;
}

void warn_mixed(const json_t *groups)
{
    /* how the keys behind the model's name are called, and whether the runs can be compared */
    static const struct {
        const char *name;
        int compare;
    } keys[] = {{"recipe", 0},        {"weights", 1},   {"adapter", 1},
                {"training data", 1}, {"tokenizer", 1}, {"data file", 0}};
    enum { FIRST = KEYS_OF_EXAMPLES + 1 };
    json_t *a, *b;
    size_t i, k;
    json_array_foreach((json_t *)groups, i, a)
    {
        size_t count[GROUP_KEYS] = {0};
        const json_t *other[GROUP_KEYS] = {NULL};
        json_array_foreach((json_t *)groups, k, b)
        {
            int key = 0; /* the first in which they differ */
            while (key < GROUP_KEYS &&
                   !strcmp(text_of(a, group_keys[key]), text_of(b, group_keys[key]))) {
                key++;
            }
            if (i != k && key >= FIRST && key < GROUP_KEYS) {
                other[key] = count[key]++ ? other[key] : b;
            }
        }
        for (int key = FIRST; key < GROUP_KEYS; key++) {
            json_t *list = json_object_get(a, "warnings");
            const char *name = keys[key - FIRST].name;
            if (count[key] && !keys[key - FIRST].compare) {
                warning_add(list, "%zu other %s%s of this %s: not mixed, a line each", count[key],
                            name, count[key] == 1 ? "" : "s",
                            key == FIRST ? "model and task" : "task");
            } else if (count[key]) {
                size_t n;
                const char **paths = paths_of(&n, a, other[key]);
                char *here = side_of_value(group_keys[key], text_of(a, group_keys[key])),
                     *there = side_of_value(group_keys[key], text_of(other[key], group_keys[key])),
                     *command = compare_command(here, there, paths, n);
                warning_add(list, "other %s under the same name: not mixed; compare: %s", name,
                            command);
                free(paths);
                free(here);
                free(there);
                free(command);
            }
        }
    }
}
