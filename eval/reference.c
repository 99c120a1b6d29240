#include "reference.h"
#include "audit.h"
#include "distributions.h"
#include "result.h"
#include "text_table.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Whether a cell of a table is of the task of a group: RTE is that of the group's benchmark, and an
 * import of this name, whose benchmark nobody knows, is of both. */
static int same_task(const json_t *cell, const json_t *group)
{
    char a[64], b[64];
    const char *benchmark = text_of(group, "benchmark"), *task = text_of(group, "task");
    const KnownTask *known = known_task(text_of(cell, "task"), benchmark);
    if (!is_dev_set(group)) {
        return 0;
    }
    if (known && known_task(task, known->benchmark) == known) {
        return !strcmp(benchmark, known->benchmark) || !strcmp(benchmark, "imported");
    }
    return !strcmp(plain_name(a, text_of(cell, "task")), plain_name(b, task));
}

/* Whether two cells say the same of a group. */
static int same_cell(const json_t *x, const json_t *y, const json_t *group)
{
    char a[64], b[64];
    const char *benchmark = text_of(group, "benchmark");
    const KnownTask *known = known_task(text_of(x, "task"), benchmark);
    return !strcmp(text_of(x, "model"), text_of(y, "model")) &&
           (known ? known == known_task(text_of(y, "task"), benchmark)
                  : !strcmp(plain_name(a, text_of(x, "task")), plain_name(b, text_of(y, "task"))));
}

/* Letters, digits, or what parts words. */
static int kind_of(char c)
{
    return isalpha((unsigned char)c) ? 1 : isdigit((unsigned char)c) ? 2 : 0;
}

/* The same of a place in a name; the point of 3.2 parts nothing. */
static int kind_at(const char *name, const char *at)
{
    int point = *at == '.' && at > name && kind_of(at[-1]) == 2 && kind_of(at[1]) == 2;
    return point ? 2 : kind_of(*at);
}

/* Whether a plain name is one or more whole words of a name, whatever stands between: llama323b of
 * Llama3.2-3B-LoRA, but neither bert of RoBERTa nor llama3 of it. A word ends where letters and digits
 * meet, too. */
static int has_words(const char *name, const char *plain)
{
    for (const char *from = name; *from; from++) {
        const char *at = from;
        size_t n = 0;
        if (!kind_of(*from) || (from > name && kind_of(*from) == kind_at(name, from - 1))) {
            continue;
        }
        while (plain[n] && *at &&
               (!kind_of(*at) || tolower((unsigned char)*at) == (unsigned char)plain[n])) {
            n += kind_of(*at++) != 0;
        }
        if (!plain[n] && (!*at || kind_at(name, at) != kind_of(at[-1]))) {
            return 1;
        }
    }
    return 0;
}

/* Whether one name is a part of the other. */
static int same_model(const json_t *cell, const json_t *group)
{
    char plain[64];
    const char *a = text_of(cell, "model"), *b = text_of(group, "model");
    return (*plain_name(plain, a) && has_words(b, plain)) ||
           (*plain_name(plain, b) && has_words(a, plain));
}

/* One number of a group and of a cell, in percent or as the metric is. */
typedef struct Pair {
    double ours, theirs;
    double S, runs; /* ours, theirs */
} Pair;

/* Whether means may be equal: Welch's test; without their deviation it is taken to be as ours, and
 * where no run deviates, equal as they are printed. 1, 0, or -1: nothing is known. */
static int means_agree(const Pair *p, double sd, double their_sd, int decimals, double level)
{
    double a = sd * sd / p->S, other = isnan(their_sd) ? sd : their_sd, b = other * other / p->runs,
           off = fabs(p->ours - p->theirs);
    if (isnan(a + b) || isnan(off)) {
        return -1;
    }
    if (a + b == 0) {
        return off <= 0.5 * pow(10, -decimals) + 1e-9;
    }
    double df = (a + b) * (a + b) / (a * a / (p->S - 1) + b * b / (p->runs - 1));
    return off <= t_quantile(1 - (1 - level) / 2, df) * sqrt(a + b);
}

/* Whether two sample deviations may be of one: the test of their ratio by F. */
static int deviations_agree(const Pair *p, double level)
{
    double tail = (1 - level) / 2, ratio = p->ours * p->ours / (p->theirs * p->theirs);
    return isnan(ratio) || !(p->S > 1) || !(p->runs > 1)
               ? -1
               : ratio >= f_quantile(tail, p->S - 1, p->runs - 1) &&
                     ratio <= f_quantile(1 - tail, p->S - 1, p->runs - 1);
}

/* Whether theirs is within our interval, made wider for an error of theirs that is as large. */
static int shares_agree(const Pair *p, const double ends[2])
{
    double off = (p->theirs - p->ours) / sqrt(2);
    return isnan(off + ends[0] + ends[1])
               ? -1
               : off >= ends[0] - p->ours && off <= ends[1] - p->ours;
}

/* One number of a group beside that of a cell. VAR is compared as a VAR of as many runs as ours. */
static json_t *measure(const json_t *group, const json_t *cell, int row, int decimals,
                       const Arguments *o)
{
    const char *name = paper_rows[row];
    char key[40];
    double S = number_of(group, "S"), runs = number_of(cell, "S"), ends[2] = {NAN, NAN};
    double scale = row < 2 ? percent_scale(group) : 100, shrink = 1,
           ours = scale * number_of(group, row == 1 && o->ddof ? "SD_sample" : name),
           theirs = number_of(cell, name), beside = theirs,
           sd = scale * number_of(group, "SD_sample"),
           their_sd = number_of(cell, "VAR") * sqrt(runs / (runs - 1));
    int inside;
    if (row == 1) {
        shrink = o->ddof ? 1 : sqrt((S - 1) / S);
        beside = their_sd * shrink;
        theirs = o->ddof ? their_sd : theirs;
        (void)ends_of(ends, json_object_get(group, leveled(key, "SD_ci", o->level)));
        inside = deviations_agree(&(Pair){sd, their_sd, S, runs}, o->level);
    } else if (row == 0) {
        strcat((char *)leveled(key, "mean_ci", o->level), "_t");
        (void)ends_of(ends, json_object_get(group, key));
        inside = means_agree(&(Pair){ours, theirs, S, runs}, sd, their_sd, decimals, o->level);
    } else {
        (void)shown_interval(ends, group, name, o);
        inside = shares_agree(&(Pair){ours, theirs, S, runs},
                              (double[2]){100 * ends[0], 100 * ends[1]});
    }
    json_t *m = json_object();
    put(m, "ours", ours);
    json_object_set_new(m, leveled(key, "ci", o->level),
                        interval(ends[0] * scale * shrink, ends[1] * scale * shrink));
    put(m, "reference", theirs);
    put(m, "difference", ours - beside);
    json_object_set_new(m, "inside", inside < 0 ? json_null() : json_boolean(inside));
    return m;
}

static json_t *row_make(const json_t *group, size_t index, const json_t *cell, int decimals,
                        const Arguments *o)
{
    static const char *const copied[] = {"benchmark", "task", "split", "model", "recipe_sha256",
                                         "apart",     "side", "S",     "N",     "metric"};
    json_t *row = json_object();
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) {
        json_t *value = json_object_get(group, copied[i]);
        if (value) {
            json_object_set(row, copied[i], value);
        }
    }
    put_count(row, "group", index);
    json_object_set(row, "cell", (json_t *)cell);
    for (int i = 0; i < PAPER_ROWS; i++) {
        json_object_set_new(row, paper_rows[i], measure(group, cell, i, decimals, o));
    }
    return row;
}

static void note(json_t *notes, char *text)
{
    json_array_append_new(notes, json_text(text));
    free(text);
}

/* The rows of one group. */
static int meet(json_t *reference, json_t *used, const json_t *cells, const json_t *groups,
                size_t index, const Arguments *o, Error *error)
{
    const json_t *group = json_array_get(groups, index);
    json_t *rows = json_object_get(reference, "rows"), *notes = json_object_get(reference, "notes"),
           *cell, *other;
    size_t i, k, models = 0, first = json_array_size(rows);
    char *name = group_name(group);
    json_array_foreach((json_t *)cells, i, cell)
    {
        models += same_task(cell, group) && same_model(cell, group);
    }
    json_array_foreach((json_t *)cells, i, cell)
    {
        if (!same_task(cell, group) || (models && !same_model(cell, group))) {
            continue;
        }
        for (k = first; k < json_array_size(rows); k++) {
            other = json_object_get(json_array_get(rows, k), "cell");
            if (same_cell(other, cell, group)) {
                (void)REFUSE("%s: two cells of %s are of the task %s: %s and %s; leave one",
                             text_of(reference, "file"), text_of(cell, "model"),
                             text_of(group, "task"), text_of(other, "task"), text_of(cell, "task"));
                free(name);
                return error->code;
            }
        }
        json_array_append_new(rows, row_make(group, index, cell,
                                             (int)number_of(reference, "decimals"), o));
        json_array_set_new(used, i, json_true());
    }
    if (json_array_size(rows) == first) {
        note(notes, is_dev_set(group)
                        ? string_format("%s, %s: not in the table", text_of(group, "task"), name)
                        : string_format("%s, %s: of the split %s; a table has scores of dev sets",
                                        text_of(group, "task"), name, text_of(group, "split")));
    }
    double N = number_of(json_object_get(json_array_get(rows, first), "cell"), "N");
    if (N > 0 && N != number_of(group, "N")) {
        note(notes, string_format("%s, %s: %.0f examples, the table's are taken as %.0f",
                                  text_of(group, "task"), name, number_of(group, "N"), N));
    }
    const KnownTask *known = group_task(group);
    if (known && strcmp(known->metric, text_of(group, "metric"))) {
        note(notes,
             string_format("%s, %s: our zeta is %s; the usual one is %s", text_of(group, "task"),
                           name, text_of(group, "metric"), known->metric));
    }
    free(name);
    return 0;
}

/* Names of groups' tasks; the caller frees it. */
static char *tasks_of(const json_t *groups)
{
    char *names = string_copy("");
    json_t *group;
    size_t i;
    json_array_foreach((json_t *)groups, i, group)
    {
        const char *task = text_of(group, "task");
        if (!i || strcmp(task, text_of(json_array_get(groups, i - 1), "task"))) {
            string_append(&names, "%s%s", *names ? ", " : "", task);
        }
    }
    return names;
}

static size_t groups_of(const json_t *cell, const json_t *groups)
{
    const json_t *group;
    size_t i, found = 0;
    json_array_foreach((json_t *)groups, i, group)
    {
        found += (size_t)same_task(cell, group);
    }
    return found;
}

/* Tasks of the table that no group is of, each once; the caller frees it. */
static char *tasks_without_runs(const json_t *cells, const json_t *groups)
{
    char *names = string_copy("");
    const json_t *cell;
    size_t i;
    json_array_foreach((json_t *)cells, i, cell)
    {
        size_t k = 0;
        while (strcmp(text_of(json_array_get(cells, k), "task"), text_of(cell, "task"))) {
            k++;
        }
        if (k == i && !groups_of(cell, groups)) {
            string_append(&names, "%s%s", *names ? ", " : "", text_of(cell, "task"));
        }
    }
    return names;
}

static int check_tasks(const char *file, const json_t *cells, const json_t *groups, Error *error)
{
    const json_t *cell;
    size_t i, common = 0;
    char *names = tasks_of(groups);
    int code = 0;
    json_array_foreach((json_t *)cells, i, cell)
    {
        const char *task = text_of(cell, "task");
        size_t found = groups_of(cell, groups);
        common += found;
        if (!found && !known_task(task, NULL) && !code) {
            code = REFUSE("%s: %s, %s: no task of GLUE or SuperGLUE, and none of the runs (%s); "
                          "name it as they do, or take it out",
                          file, text_of(cell, "model"), task, names);
        }
    }
    if (!code && !common) {
        code = REFUSE("%s: no cell is of a task of the runs (%s)", file, names);
    }
    free(names);
    return code;
}

int reference_compare(json_t **reference, const json_t *table, const json_t *groups,
                      const Arguments *o, Error *error)
{
    const json_t *cells = json_object_get(table, "cells");
    json_t *made = json_object(), *used = json_array(), *notes = json_array(), *cell;
    size_t i;
    int code = check_tasks(text_of(table, "file"), cells, groups, error);
    json_object_set(made, "file", json_object_get(table, "file"));
    json_object_set(made, "source", json_object_get(table, "source"));
    json_object_set(made, "decimals", json_object_get(table, "decimals"));
    json_object_set_new(made, "rows", json_array());
    json_object_set_new(made, "notes", notes);
    for (i = 0; i < json_array_size(cells); i++) {
        json_array_append_new(used, json_false());
    }
    for (i = 0; i < json_array_size(groups) && !code; i++) {
        code = meet(made, used, cells, groups, i, o, error);
    }
    json_array_foreach((json_t *)cells, i, cell)
    {
        const char *verdict = text_of(cell, "verdict");
        if (json_is_true(json_array_get(used, i)) && strcmp(verdict, "consistent") &&
            strcmp(verdict, "not checked")) {
            note(notes, string_format("%s of %s, %s: %s", text_of(cell, "task"),
                                      text_of(cell, "model"), verdict, text_of(cell, "reason")));
        }
    }
    char *rest = tasks_without_runs(cells, groups);
    if (*rest) {
        note(notes, string_format("without runs here: %s", rest));
    }
    free(rest);
    json_decref(used);
    if (code) {
        json_decref(made);
    } else {
        *reference = made;
    }
    return code;
}

size_t reference_impossible(const json_t *reference)
{
    json_t *row;
    size_t i, count = 0;
    json_array_foreach(json_object_get(reference, "rows"), i, row)
    {
        count += (size_t)cell_is_impossible(json_object_get(row, "cell"));
    }
    return count;
}

/* A cell for each of the four numbers: under this key, or an end of its interval. */
static void add_numbers(TextTable *t, const json_t *row, const char *key, int end, int decimals,
                        const Arguments *o)
{
    for (int i = 0; i < PAPER_ROWS; i++) {
        const json_t *m = json_object_get(row, paper_rows[i]);
        char text[32], name[32];
        double value = number_of(m, key), ends[2];
        if (end >= 0) {
            value = ends_of(ends, json_object_get(m, leveled(name, "ci", o->level))) ? NAN
                                                                                     : ends[end];
        }
        int outside = !strcmp(key, "reference") && json_is_false(json_object_get(m, "inside"));
        int plus = !strcmp(key, "difference") && rounded(value, decimals) >= 0;
        text_table_add(t, string_format("%s%s%s", plus ? "+" : "",
                                        decimal(text, value, 1, decimals), outside ? "*" : ""));
    }
}

void reference_show(FILE *out, const json_t *reference, const Arguments *o)
{
    const char *const titles[] = {"task", "runs", "S",      "zeta", o->ddof ? "SD" : "VAR",
                                  "CON",  "CCON", "verdict"};
    TextTable t = {.title = titles, .columns = 8, .left = 1 | 2 | 128};
    json_t *row, *note;
    size_t i;
    double shown = -1; /* the group whose numbers stand above */
    if (!reference) {
        return;
    }
    json_array_foreach(json_object_get(reference, "rows"), i, row)
    {
        const json_t *cell = json_object_get(row, "cell");
        const KnownTask *known = group_task(row);
        const char *name = known ? known->label : text_of(row, "task");
        if (number_of(row, "group") != shown) {
            static const char *const parts[] = {"", "  from", "  to"};
            shown = number_of(row, "group");
            for (int k = 0; k < 3; k++) {
                text_table_add(&t, string_copy(k ? "" : name));
                text_table_add(&t, k ? string_copy(parts[k]) : group_name(row));
                text_table_add(&t,
                               k ? string_copy("") : string_format("%.0f", number_of(row, "S")));
                add_numbers(&t, row, "ours", k - 1, 2, o);
                text_table_add(&t, string_copy(""));
            }
        }
        const char *task = text_of(cell, "task");
        text_table_add(&t, string_copy(strcmp(task, name) ? task : ""));
        text_table_add(&t, string_copy(text_of(cell, "model")));
        text_table_add(&t, string_format("%.0f", number_of(cell, "S")));
        add_numbers(&t, row, "reference", -1, (int)number_of(reference, "decimals"), o);
        text_table_add(&t, string_copy(text_of(cell, "verdict")));
        text_table_add(&t, string_copy(""));
        text_table_add(&t, string_copy("  difference"));
        text_table_add(&t, string_copy(""));
        add_numbers(&t, row, "difference", -1, 2, o);
        text_table_add(&t, string_copy(""));
    }
    const char *source = text_of(reference, "source");
    char *heading = string_format("beside %s%s%s%s; %g %% intervals of ours, * beyond both errors",
                                  text_of(reference, "file"), *source ? " (" : "", source,
                                  *source ? ")" : "", 100 * o->level);
    text_heading(out, heading, o);
    free(heading);
    text_table_show(out, &t, o);
    text_table_free(&t);
    json_array_foreach(json_object_get(reference, "notes"), i, note)
    {
        text_note(out, json_string_value(note), o);
    }
}
