/* What the views of a report share. */
#include "report.h"
#include "result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const understood[UNDERSTOOD][2] = {
    {"classes_from", "classes"}, {"scores_from", "scores"}, {"seeds_from", "seeds"}};

int is_dev_set(const json_t *group)
{
    const char *split = text_of(group, "split");
    return !*split || !strcmp(split, "validation");
}

const KnownTask *group_task(const json_t *group)
{
    const KnownTask *known = known_task(text_of(group, "task"), text_of(group, "benchmark"));
    return known && !strcmp(known->benchmark, text_of(group, "benchmark")) ? known : NULL;
}

char *group_name(const json_t *group)
{
    const char *apart = text_of(group, "apart");
    return *apart ? string_format("%s (%s)", text_of(group, "model"), apart)
                  : string_copy(text_of(group, "model"));
}

char *side_name(const json_t *side)
{
    const char *asked = text_of(side, "asked");
    char *name = group_name(side);
    const char *recipe = text_of(side, "recipe_sha256");
    int known = !strcmp(asked, text_of(side, "model")) || !strncmp(asked, recipe, strlen(asked));
    char *text = string_format("%s %.8s%s%s", name, recipe, known ? "" : ", ", known ? "" : asked);
    free(name);
    return text;
}

const char *text_end(const char *text, size_t characters)
{
    const char *at = text + strlen(text);
    while (at > text && characters) {
        at--;
        characters -= (*at & 0xC0) != 0x80; /* where a character of UTF-8 begins */
    }
    return at;
}

double percent_scale(const json_t *group)
{
    return strcmp(text_of(group, "metric"), "mae") ? 100 : 1;
}

const char *decimal(char out[32], double value, double scale, int decimals)
{
    if (isfinite(value)) {
        snprintf(out, 32, "%.*f", decimals, rounded(value * scale, decimals));
    } else {
        snprintf(out, 32, "n/a");
    }
    return out;
}

const char *interval_text(char out[72], const double ends[2], double scale, int decimals)
{
    char low[32], high[32];
    snprintf(out, 72, "[%s, %s]", decimal(low, ends[0], scale, decimals),
             decimal(high, ends[1], scale, decimals));
    return out;
}

const char *p_text(char out[32], double p)
{
    snprintf(out, 32, isnan(p) ? "n/a" : "%.2g", p);
    return out;
}

json_t *collapsed_runs(const json_t *group)
{
    return json_object_get(json_object_get(group, "degenerate"), "any");
}

static double mean_of(const json_t *list)
{
    double sum = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        sum += json_number_value(json_array_get(list, i));
    }
    return sum / (double)json_array_size(list);
}

char *official_text(const json_t *group)
{
    const json_t *multirc = json_object_get(group, "multirc"),
                 *parity = json_object_get(group, "gender_parity");
    char a[32], b[32];
    return multirc  ? string_format("answers: f1a %s; questions: exact match %s",
                                    decimal(a, mean_of(json_object_get(multirc, "f1a")), 100, 2),
                                    decimal(b, mean_of(json_object_get(multirc, "em")), 100, 2))
           : parity ? string_format("gender parity %s", decimal(a, mean_of(parity), 100, 2))
                    : NULL;
}

const char *identity_text(const json_t *groups)
{
    json_t *group;
    size_t i;
    double residual = 0;
    json_array_foreach((json_t *)groups, i, group)
    {
        residual = fmax(residual, number_of(group, "identity_residual")); /* passes over NaN */
    }
    return residual <= 1e-12 ? "ok" : "VIOLATED";
}

int ends_of(double ends[2], const json_t *value)
{
    if (json_array_size(value) != 2) {
        return -1;
    }
    ends[0] = json_number_value(json_array_get(value, 0));
    ends[1] = json_number_value(json_array_get(value, 1));
    return 0;
}

int shown_interval(double ends[2], const json_t *group, const char *name, const Arguments *options)
{
    char key[64], level[32];
    int ccon = !strcmp(name, "CCON");
    if (options->ci == INTERVAL_BOOT) {
        leveled(level, "percentile", options->level);
        snprintf(key, sizeof key, "%s%s", ccon ? "CCON_" : "", level);
        return ends_of(ends, json_object_get(json_object_get(group, "bootstrap"), key));
    }
    if (options->ci == INTERVAL_NONE) {
        return -1;
    }
    snprintf(key, sizeof key, "%s_ci_cluster", name);
    const json_t *ci = options->cluster ? json_object_get(group, key) : NULL;
    if (!ci) {
        snprintf(key, sizeof key, "%s_ci", name);
        ci = json_object_get(group, key);
    }
    return ends_of(ends, json_object_get(ci, leveled(level, "ci", options->level)));
}

/* Column of a group's task; adds one for a task that is not known. */
static int column_of(PaperTable *t, const json_t *group, const int *column_of_known)
{
    int count;
    const KnownTask *all = known_tasks(&count), *known = group_task(group);
    if (known) {
        return column_of_known[known - all];
    }
    for (int c = 0; c < t->columns; c++) {
        if (!strcmp(t->column[c], text_of(group, "task")) && !strcmp(t->benchmark[c], "other")) {
            return c;
        }
    }
    t->column[t->columns] = text_of(group, "task");
    t->benchmark[t->columns] = "other";
    return t->columns++;
}

PaperTable paper_table(const json_t *report)
{
    const json_t *groups = json_object_get(report, "groups");
    int count, n = (int)json_array_size(groups), place[32], used[32] = {0};
    const KnownTask *known = known_tasks(&count);
    PaperTable t = {0};
    t.column = memory_alloc((size_t)(n + count), sizeof *t.column);
    t.benchmark = memory_alloc((size_t)(n + count), sizeof *t.benchmark);
    t.block = memory_calloc((size_t)n + 1, sizeof *t.block);
    for (int i = 0; i < n; i++) {
        const KnownTask *task = group_task(json_array_get(groups, (size_t)i));
        if (task) {
            used[task - known] = 1;
        }
    }
    for (int k = 0; k < count; k++) {
        if (used[k]) {
            place[k] = t.columns;
            t.column[t.columns] = known[k].label;
            t.benchmark[t.columns++] = known[k].benchmark;
        }
    }
    int *columns = memory_alloc((size_t)n + 1, sizeof *columns);
    for (int i = 0; i < n; i++) {
        columns[i] = column_of(&t, json_array_get(groups, (size_t)i), place);
    }
    t.cell = memory_calloc((size_t)n * (size_t)t.columns + 1, sizeof *t.cell);
    for (int i = 0; i < n; i++) {
        const json_t *group = json_array_get(groups, (size_t)i);
        char *model = group_name(group), *name = string_copy(model);
        /* a second recipe of a model for one task opens a block of its own */
        for (int more = 1;; more++) {
            int b = 0;
            while (b < t.blocks && strcmp(t.block[b], name)) {
                b++;
            }
            const json_t **cell = &t.cell[b * t.columns + columns[i]];
            if (b == t.blocks) {
                t.block[t.blocks++] = string_copy(name);
            }
            if (!*cell) {
                *cell = group;
                break;
            }
            free(name);
            name = more == 1 ? string_format("%s (%.8s)", model, text_of(group, "recipe_sha256"))
                             : string_format("%s (%.8s, %d)", model,
                                             text_of(group, "recipe_sha256"), more);
        }
        free(model);
        free(name);
    }
    free(columns);
    return t;
}

const char *const paper_rows[PAPER_ROWS] = {"zeta", "VAR", "CON", "CCON"};

const char *paper_value(char out[32], const json_t *group, int row, const Arguments *options)
{
    const char *key = row == 1 && options->ddof ? "SD_sample" : paper_rows[row];
    return decimal(out, number_of(group, key), row < 2 ? percent_scale(group) : 100, 2);
}

void paper_table_free(PaperTable *t)
{
    for (int b = 0; b < t->blocks; b++) {
        free(t->block[b]);
    }
    free(t->block);
    free(t->column);
    free(t->benchmark);
    free(t->cell);
}

char *methods_text(const json_t *report, const Arguments *options)
{
    const json_t *groups = json_object_get(report, "groups");
    json_t *group;
    size_t i, least = SIZE_MAX, most = 0, bad = 0, runs = 0, dropped = 0, halves = 0;
    int grid = 0;
    json_array_foreach((json_t *)groups, i, group)
    {
        size_t S = (size_t)number_of(group, "S");
        least = size_min(least, S);
        most = size_max(most, S);
        runs += S;
        bad += json_array_size(collapsed_runs(group));
        dropped += number_of(group, "dropped") > 0 ? (size_t)number_of(group, "dropped") : 0;
        grid = grid || json_object_get(group, "sources") != NULL;
        halves += !strcmp(text_of(group, "part"), "half");
    }
    char seeds[64], *interval, *collapsed;
    snprintf(seeds, sizeof seeds, least == most ? "%zu" : "%zu to %zu", least, most);
    interval = options->ci == INTERVAL_BOOT
                   ? string_format("a percentile bootstrap over seeds and examples that pairs "
                                   "distinct runs only (B = %zu, Philox4x32-10, seed %llu)",
                                   options->boot, (unsigned long long)options->boot_seed)
                   : string_format("a two-way variance over seeds and %s (the jackknife of the "
                                   "order-2 U-statistic plus the examples' variance less their "
                                   "interaction) and Student's t with S - 1 degrees of freedom",
                                   options->cluster ? "clusters of examples" : "examples");
    collapsed = dropped ? string_format("%zu collapsed runs were left out before all statistics.",
                                        dropped)
                : bad   ? string_format(
                              "%zu of %zu runs collapsed (a single predicted class, an accuracy "
                                "not above the majority rate, divergence, or a training loss not "
                                "below the entropy of the labels); they are part of all numbers "
                                "unless a row says otherwise.",
                              bad, runs)
                      : string_copy("No run collapsed.");
    char *text = string_format(
        "Each of %zu combinations of task and model was fine-tuned with %s random seeds. We report "
        "the mean of the task's metric (zeta), its %s standard deviation (VAR%s), the consistency "
        "of predictions over all pairs of runs (CON) and the share of examples on which both runs "
        "of a pair are right (CCON). %g %% intervals of CON and CCON rest on %s. %s%s",
        json_array_size(groups), seeds, options->ddof ? "sample" : "population",
        options->ddof ? ", here with divisor S - 1" : "", 100 * options->level, interval, collapsed,
        grid ? " Where runs form a grid of seeds, variance components come from a random effects "
               "analysis of variance with modified large sample intervals."
             : "");
    if (halves) {
        string_append(
            &text,
            " In %zu of them the examples are one half of the dev set: the other half chose "
            "the evaluation of each run that is reported.",
            halves);
    }
    if (json_object_get(report, "comparisons")) {
        string_append(
            &text,
            " Two sets of runs were compared on the same examples by a t test of the difference "
            "of CON and CCON over seeds and examples, and by a permutation test of the scores; p "
            "values over tasks are adjusted after Holm. Runs of equal seeds were also compared "
            "pair by pair: what the change flips against what another seed flips.");
    }
    free(interval);
    free(collapsed);
    return text;
}
