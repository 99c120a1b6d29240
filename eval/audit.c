#include "audit.h"
#include "bounds.h"
#include "distributions.h"
#include "inference.h"
#include "known.h"
#include "lines.h"
#include "published.h"
#include "result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The study's number of runs: where a table does not say another. */
enum { STUDY_RUNS = 10 };

static const char *const numbers[] = {"zeta", "VAR", "CON", "CCON", "K", "N", "S"};

/* A row of a table as it was read: what is 0 is not known. */
static void add_row(json_t *cells, const char *model, const char *task, const double v[7])
{
    json_t *o = json_object();
    json_object_set_new(o, "model", json_text(model));
    json_object_set_new(o, "task", json_text(task));
    for (int i = 0; i < 4; i++) {
        put(o, numbers[i], v[i]);
    }
    for (int i = 4; i < 7; i++) {
        put_count(o, numbers[i], (size_t)v[i]);
    }
    json_array_append_new(cells, o);
}

enum { MOST_DECIMALS = 6 };

/* How many decimals a number has at least. */
static int decimals_of(double value)
{
    int decimals = 0;
    for (double scale = 1; decimals < MOST_DECIMALS; scale *= 10, decimals++) {
        if (fabs(value * scale - rint(value * scale)) <= 1e-6) {
            break;
        }
    }
    return decimals;
}

/* How many stand in a text: "66.60" has two. */
static int decimals_in(const char *text)
{
    const char *point = strchr(text, '.');
    size_t digits = point ? strspn(point + 1, "0123456789") : 0;
    return digits < MOST_DECIMALS ? (int)digits : MOST_DECIMALS;
}

static void raise_decimals(int *decimals, int here)
{
    *decimals = here > *decimals ? here : *decimals;
}

static int most_decimals(const int decimals[CELL_NUMBERS])
{
    int most = 0;
    for (int i = 0; i < CELL_NUMBERS; i++) {
        raise_decimals(&most, decimals[i]);
    }
    return most;
}

static void audit_cell(json_t *o, const int decimals[CELL_NUMBERS])
{
    Cell cell = {number_of(o, "zeta"),       number_of(o, "VAR"),
                 number_of(o, "CON"),        number_of(o, "CCON"),
                 (int)number_of(o, "K"),     number_of(o, "N"),
                 fmax(2, number_of(o, "S")), {0}};
    memcpy(cell.decimals, decimals, sizeof cell.decimals);
    const KnownTask *known = known_task(string_of(o, "task"), NULL);
    cell.K = cell.K ? cell.K : known ? known->K : 0;
    cell.N = cell.N > 0 ? cell.N : known ? known->dev : 0;
    put(o, "K", cell.K ? cell.K : NAN);
    put(o, "N", cell.N > 0 ? cell.N : NAN);
    if (isnan(cell.zeta + cell.VAR + cell.CON + cell.CCON)) {
        json_object_set_new(o, "verdict", json_string("not checked"));
        json_object_set_new(o, "reason", json_string("needs all of zeta, VAR, CON and CCON"));
        return;
    }
    put_verdict(o, &cell, known);
    double gap = (cell.zeta - cell.CCON) / 100, N = number_of(o, "N"), S = cell.S;
    if (N > 0 && gap > 0 && (!known || !strcmp(known->metric, "accuracy"))) {
        double independent = 100 * sqrt(gap / N);
        double q = S * (cell.VAR / independent) * (cell.VAR / independent);
        put(o, "SD_indep", independent);
        put(o, "phi", q / (S - 1));
        put(o, "cochran_p", chi2_tail(q, S - 1));
        if (cell.S == STUDY_RUNS) { /* their older names */
            put(o, "phi_of_10_seeds", q / (S - 1));
            put(o, "cochran_p_of_10_seeds", chi2_tail(q, S - 1));
        }
    }
}

static int read_json(json_t *cells, int decimals[CELL_NUMBERS], const char *path, int partial,
                     Error *error)
{
    json_t *root, *tasks, *values;
    const char *model, *task;
    if (json_read_file(&root, path, error)) {
        return error->code;
    }
    int code = 0;
    const json_t *seeds = json_object_get(root, "seeds");
    double S = seeds ? json_number_value(seeds) : STUDY_RUNS;
    if (seeds && !(json_is_integer(seeds) && S >= 2 && S <= 1e6)) {
        code = REFUSE("%s: seeds is not a whole number from 2; it is that of the runs", path);
    }
    json_object_foreach(root, model, tasks)
    {
        if (!json_is_object(tasks)) {
            continue; /* source, columns */
        }
        json_object_foreach(tasks, task, values)
        {
            int good = json_array_size(values) == 4;
            for (size_t i = 0; i < 4 && good; i++) {
                const json_t *value = json_array_get(values, i);
                good = json_is_number(value) || (partial && i > ZETA && json_is_null(value));
            }
            if (!good && !code) {
                code = REFUSE("%s: %s %s: not four numbers zeta, VAR, CON, CCON%s", path, model,
                              task, partial ? ", of which the last three may be null" : "");
            } else if (!code) {
                double v[7] = {0, 0, 0, 0, 0, 0, S};
                for (size_t i = 0; i < 4; i++) {
                    const json_t *value = json_array_get(values, i);
                    v[i] = json_is_null(value) ? NAN : json_number_value(value);
                    raise_decimals(&decimals[i], isnan(v[i]) ? 0 : decimals_of(v[i]));
                }
                add_row(cells, model, task, v);
            }
        }
    }
    for (int i = 0, most = most_decimals(decimals); i < CELL_NUMBERS; i++) {
        decimals[i] = most;
    }
    json_decref(root);
    return code;
}

static int read_csv(json_t *cells, int decimals[CELL_NUMBERS], const char *path, int partial,
                    Error *error)
{
    LineFile file;
    int model = 0, task = 0, column[7] = {0}, width = 0, code = 0;
    int whole[CELL_NUMBERS] = {1, 1, 1, 1}; /* whether all are 0 or 100 */
    if (lines_open(&file, path, error)) {
        return error->code;
    }
    if (!lines_next(&file, &code, error) && !code) {
        code = REFUSE("%s: empty", path);
    }
    if (!code) {
        model = lines_column(&file, "model");
        task = lines_column(&file, "task");
        width = file.count;
        for (int i = 0; i < 7; i++) {
            column[i] = lines_column(&file, numbers[i]);
            int needed = partial ? i == ZETA : i < CELL_NUMBERS;
            if ((column[i] < 0 && needed) || model < 0 || task < 0) {
                code = REFUSE("%s: no column '%s'; the header is model,task,zeta,VAR,CON,CCON",
                              path,
                              model < 0  ? "model"
                              : task < 0 ? "task"
                                         : numbers[i]);
                break;
            }
        }
    }
    while (!code && lines_next(&file, &code, error)) {
        double v[7] = {0, 0, 0, 0, 0, 0, STUDY_RUNS};
        int given[7] = {0};
        code = lines_check(&file, width, error);
        for (int i = 0; i < 7 && !code; i++) {
            double least = i == 6 ? 2 : i >= 4 ? 1 : -INFINITY, largest = i == 6 ? 1e6 : 1e9;
            given[i] = column[i] >= 0 &&
                       !(partial && i > ZETA && i < CELL_NUMBERS && !*file.fields[column[i]]);
            v[i] = given[i] || i >= CELL_NUMBERS ? v[i] : NAN;
            if (given[i] &&
                (number_field(&v[i], file.fields[column[i]]) || !isfinite(v[i]) ||
                 (i >= 4 && !(v[i] >= least && v[i] <= largest && v[i] == floor(v[i]))))) {
                code = REFUSE("%s:%zu: %s '%s' is not a %snumber%s", path, file.line, numbers[i],
                              file.fields[column[i]], i >= 4 ? "whole " : "",
                              i == 6   ? " from 2"
                              : i >= 4 ? " from 1"
                                       : "");
            }
        }
        for (int i = 0; i < CELL_NUMBERS && !code; i++) {
            raise_decimals(&decimals[i], given[i] ? decimals_in(file.fields[column[i]]) : 0);
            whole[i] = whole[i] && (!given[i] || v[i] == 0 || v[i] == 100);
        }
        if (!code) {
            add_row(cells, file.fields[model], file.fields[task], v);
        }
    }
    for (int i = 0, most = most_decimals(decimals); i < CELL_NUMBERS; i++) {
        decimals[i] = whole[i] ? most : decimals[i];
    }
    lines_close(&file);
    return code;
}

static int read_table(json_t *cells, int decimals[CELL_NUMBERS], const char *path, int partial,
                      Error *error)
{
    size_t n = strlen(path);
    int csv = n > 4 && !strcasecmp(path + n - 4, ".csv");
    const PublishedTable *known = published_table(path);
    for (int i = 0; known && i < known->cells; i++) {
        const double *x = known->cell[i].number;
        add_row(cells, known->cell[i].model, known->cell[i].task,
                (double[7]){x[0], x[1], x[2], x[3], 0, 0, known->runs});
    }
    for (int i = 0; known && i < CELL_NUMBERS; i++) {
        decimals[i] = known->decimals;
    }
    return known ? 0 : (csv ? read_csv : read_json)(cells, decimals, path, partial, error);
}

int audit_table(json_t **audit, const char *path, int partial, Error *error)
{
    /* the most of a column; of JSON, which drops zeros, the most of any number */
    int decimals[CELL_NUMBERS] = {0};
    json_t *cells = json_array();
    if (read_table(cells, decimals, path, partial, error)) {
        json_decref(cells);
        return error->code;
    }
    if (json_array_size(cells) == 0) {
        json_decref(cells);
        return REFUSE("%s: no cell; a table is {model: {task: [zeta, VAR, CON, CCON]}}", path);
    }
    json_t *cell, *entry;
    size_t i, k, off = 0, truncated = 0;
    json_array_foreach(cells, i, cell)
    {
        audit_cell(cell, decimals);
        json_array_foreach(json_object_get(cell, "grid"), k, entry)
        {
            off++;
            truncated += !strcmp(text_of(entry, "explained_by"), "truncation");
        }
    }
    *audit = json_object();
    json_object_set_new(*audit, "file", json_text(path));
    if (published_table(path)) {
        json_object_set_new(*audit, "source", json_string(published_table(path)->source));
    }
    put_count(*audit, "decimals", (size_t)most_decimals(decimals));
    put_count(*audit, "no_rounding", off);
    put_count(*audit, "truncated", truncated);
    json_object_set_new(*audit, "cells", cells);
    return 0;
}

int cell_is_impossible(const json_t *cell)
{
    const char *verdict = text_of(cell, "verdict");
    return !strcmp(verdict, "inconsistent") || !strcmp(verdict, "off the grid");
}

size_t audit_impossible(const json_t *audit)
{
    size_t i, count = 0;
    json_t *cell;
    json_array_foreach(json_object_get(audit, "cells"), i, cell)
    {
        count += (size_t)cell_is_impossible(cell);
    }
    return count;
}

/* A size of a task, 0 if there is none. */
static double size_of(const json_t *sizes, const json_t *row)
{
    const char *task = string_of(row, "task");
    if (sizes) {
        return json_number_value(json_object_get(sizes, task));
    }
    const KnownTask *known = known_task(task, string_of(row, "benchmark"));
    return known ? known->train : 0;
}

static int read_sizes(json_t **sizes, const char *path, Error *error)
{
    LineFile file;
    int code = 0;
    if (lines_open(&file, path, error)) {
        return error->code;
    }
    *sizes = json_object();
    while (lines_next(&file, &code, error)) {
        double size = 0;
        if (file.count != 2 || number_field(&size, file.fields[1]) || !(size >= 1) ||
            !isfinite(size)) {
            code = REFUSE("%s:%zu: not a line task TAB size", path, file.line);
            break;
        }
        json_object_set_new(*sizes, file.fields[0], json_real(size));
    }
    lines_close(&file);
    if (code) {
        json_decref(*sizes);
        *sizes = NULL;
    }
    return code;
}

int task_twice(const json_t *rows, size_t at)
{
    static const char *const keys[] = {"model", "benchmark", "task"};
    const json_t *row = json_array_get(rows, at);
    for (size_t i = 0; i < at; i++) {
        int same = 0;
        for (int k = 0; k < 3; k++) {
            same += json_equal(json_object_get(json_array_get(rows, i), keys[k]),
                               json_object_get(row, keys[k]));
        }
        if (same == 3) {
            return 1;
        }
    }
    return 0;
}

int correlate_sizes(json_t **list, const json_t *rows, const char *from, double level, Error *error)
{
    static const char *const measures[3] = {"VAR", "CON", "CCON"};
    json_t *sizes = NULL, *models = json_object(), *row, *members;
    const char *model;
    size_t i;
    int code = 0;
    if (strcmp(from, "public") && read_sizes(&sizes, from, error)) {
        json_decref(models);
        return error->code;
    }
    json_array_foreach((json_t *)rows, i, row)
    {
        model = string_of(row, "model");
        if (size_of(sizes, row) <= 0 && !code) {
            code = REFUSE("%s: no size of task %s; add a line: %s TAB training examples", from,
                          string_of(row, "task"), string_of(row, "task"));
        }
        if (task_twice(rows, i) && !code) {
            code = REFUSE("--correlate: %s has several groups of runs for %s; name the files of "
                          "one",
                          model, string_of(row, "task"));
        }
        if (!json_object_get(models, model)) {
            json_object_set_new(models, model, json_array());
        }
        json_array_append(json_object_get(models, model), row);
    }
    json_t *all = json_array();
    json_object_foreach(models, model, members)
    {
        for (int logarithm = 1; logarithm >= 0 && !code; logarithm--) {
            for (int m = 0; m < 3; m++) {
                size_t n = 0, count = json_array_size(members);
                double *x = memory_alloc(count, sizeof *x), *y = memory_alloc(count, sizeof *y);
                json_t *tasks = json_array();
                for (size_t k = 0; k < count; k++) {
                    row = json_array_get(members, k);
                    y[n] = number_of(row, measures[m]);
                    x[n] = size_of(sizes, row);
                    x[n] = logarithm ? log10(x[n]) : x[n];
                    if (!isnan(y[n])) {
                        json_array_append(tasks, json_object_get(row, "task"));
                        n++;
                    }
                }
                json_t *o = correlation(x, y, n, level);
                json_object_set_new(o, "model", json_string(model));
                json_object_set_new(
                    o, "x", json_string(logarithm ? "log10 training size" : "training size"));
                json_object_set_new(o, "y", json_string(measures[m]));
                json_object_set_new(o, "sizes", json_text(from));
                json_object_set_new(o, "tasks", tasks);
                json_object_set_new(o, "x_values", real_list(x, n));
                json_object_set_new(o, "y_values", real_list(y, n));
                json_array_append_new(all, o);
                free(x);
                free(y);
            }
        }
    }
    json_decref(models);
    json_decref(sizes);
    if (code) {
        json_decref(all);
    } else {
        *list = all;
    }
    return code;
}
