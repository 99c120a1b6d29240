#include "audit.h"
#include "distributions.h"
#include "inference.h"
#include "known.h"
#include "lines.h"
#include "result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REFUSE(...) error_set(error, EXIT_BAD_DATA, __VA_ARGS__)

/* Percent values printed with two decimals: zeta, (1 - CON) / 2 and CCON together may be off by
 * this much. */
static const double rounding = 0.0125 + 1e-9;
/* Beyond it the cell is called inconsistent: no rounding of intermediate values does that. */
static const double gross = 0.1;

typedef struct Cell {
    const char *model, *task;
    double zeta, VAR, CON, CCON;
    int K;           /* 0 unknown */
    unsigned long N; /* 0 unknown */
} Cell;

static json_t *verdict_of(const Cell *cell, const KnownTask *known, const char **verdict,
                          char reason[256])
{
    json_t *o = json_object();
    int K = cell->K ? cell->K : known ? known->K : 0;
    int accuracy = !known || !strcmp(known->metric, "accuracy");
    double predicted = cell->zeta - (100 - cell->CON) / 2, off = cell->CCON - predicted;
    *verdict = "consistent";
    reason[0] = 0;
    put(o, "K", K ? K : NAN);
    if (!(cell->CCON <= cell->CON + 0.01) || cell->CON > 100 || cell->CCON < 0) {
        *verdict = "inconsistent";
        snprintf(reason, 256, "CCON is at most CON, and both are between 0 and 100");
        return o;
    }
    if (!accuracy) {
        /* the identity holds for the accuracy that is not printed */
        double implied = cell->CCON + (100 - cell->CON) / 2;
        put(o, "implied_accuracy", implied);
        if (implied > 100 + rounding) {
            *verdict = "inconsistent";
            snprintf(reason, 256, "the accuracy would be %.2f", implied);
        } else {
            *verdict = "not checked";
            snprintf(reason, 256, "zeta is not an accuracy; mean accuracy is %.2f if K = 2",
                     implied);
        }
        return o;
    }
    put(o, "predicted_CCON", predicted);
    put(o, "difference", off);
    if (cell->CCON > cell->zeta + 0.01 || cell->VAR > 50.01) {
        *verdict = "inconsistent";
        snprintf(reason, 256, "CCON is at most zeta, VAR at most 50");
    } else if (K == 2) {
        *verdict = fabs(off) <= rounding ? "consistent"
                   : fabs(off) <= gross  ? "beyond rounding"
                                         : "inconsistent";
        if (fabs(off) > rounding) {
            snprintf(reason, 256, "two classes: CCON = zeta - (1 - CON) / 2 = %.2f, printed %.2f",
                     predicted, cell->CCON);
        }
    } else {
        /* DBW, both wrong and different: from 0 to both wrong, and at most 1 - CON */
        double both_wrong = 2 * off,
               limit = fmin(100 - 2 * cell->zeta + cell->CCON, 100 - cell->CON);
        put(o, "both_wrong_differ", both_wrong);
        if (off < -rounding) {
            *verdict = off < -gross ? "inconsistent" : "beyond rounding";
            snprintf(reason, 256, "CCON is at least zeta - (1 - CON) / 2 = %.2f, printed %.2f",
                     predicted, cell->CCON);
        } else if (both_wrong > limit + 4 * rounding) {
            *verdict = "inconsistent";
            snprintf(reason, 256, "both wrong and different would be %.2f, at most %.2f fits",
                     both_wrong, fmax(0, limit));
        } else {
            snprintf(reason, 256, "both wrong and different: %.2f", fmax(0, both_wrong));
        }
    }
    return o;
}

static json_t *audit_cell(const Cell *cell)
{
    const KnownTask *known = known_task(cell->task, NULL);
    const char *verdict;
    char reason[256];
    json_t *o = verdict_of(cell, known, &verdict, reason);
    unsigned long N = cell->N ? cell->N : known ? known->dev : 0;
    json_object_set_new(o, "model", json_text(cell->model));
    json_object_set_new(o, "task", json_text(cell->task));
    put(o, "zeta", cell->zeta);
    put(o, "VAR", cell->VAR);
    put(o, "CON", cell->CON);
    put(o, "CCON", cell->CCON);
    double gap = (cell->zeta - cell->CCON) / 100;
    if (N && gap > 0 && (!known || !strcmp(known->metric, "accuracy"))) {
        double independent = 100 * sqrt(gap / (double)N);
        put_count(o, "N", N);
        put(o, "SD_indep", independent);
        /* phi = Q / (S - 1) for S = 10, the study's number of seeds */
        double q = 10 * (cell->VAR / independent) * (cell->VAR / independent);
        put(o, "phi_of_10_seeds", q / 9);
        put(o, "cochran_p_of_10_seeds", chi2_tail(q, 9));
    }
    json_object_set_new(o, "verdict", json_string(verdict));
    json_object_set_new(o, "reason", json_string(reason));
    return o;
}

static int read_json(json_t *cells, const char *path, Error *error)
{
    json_t *root, *tasks, *values;
    const char *model, *task;
    if (json_read_file(&root, path, error)) {
        return error->code;
    }
    int code = 0;
    json_object_foreach(root, model, tasks)
    {
        if (!json_is_object(tasks)) {
            continue; /* source, columns */
        }
        json_object_foreach(tasks, task, values)
        {
            int good = json_array_size(values) == 4;
            for (size_t i = 0; i < 4 && good; i++) {
                good = json_is_number(json_array_get(values, i));
            }
            if (!good && !code) {
                code = REFUSE("%s: %s %s: not four numbers zeta, VAR, CON, CCON", path, model,
                              task);
            } else if (!code) {
                double v[4];
                for (size_t i = 0; i < 4; i++) {
                    v[i] = json_number_value(json_array_get(values, i));
                }
                Cell cell = {model, task, v[0], v[1], v[2], v[3], 0, 0};
                json_array_append_new(cells, audit_cell(&cell));
            }
        }
    }
    json_decref(root);
    return code;
}

static int read_csv(json_t *cells, const char *path, Error *error)
{
    static const char *const names[] = {"model", "task", "zeta", "VAR", "CON", "CCON", "K", "N"};
    LineFile file;
    int column[8], code = 0;
    if (lines_open(&file, path, error)) {
        return error->code;
    }
    if (!lines_next(&file, &code, error) && !code) {
        code = REFUSE("%s: empty", path);
    }
    for (int i = 0; i < 8 && !code; i++) {
        column[i] = lines_column(&file, names[i]);
        if (column[i] < 0 && i < 6) {
            code = REFUSE("%s: no column '%s'; the header is model,task,zeta,VAR,CON,CCON", path,
                          names[i]);
        }
    }
    while (!code && lines_next(&file, &code, error)) {
        double v[8] = {0};
        for (int i = 2; i < 8 && !code; i++) {
            if (column[i] >= 0 && (number_field(&v[i], file.fields[column[i]]) || !isfinite(v[i]) ||
                                   (i >= 6 && !(v[i] >= 1 && v[i] <= 1e9)))) {
                code = REFUSE("%s:%zu: %s '%s' is not a number%s", path, file.line, names[i],
                              file.fields[column[i]], i >= 6 ? " from 1" : "");
            }
        }
        if (!code) {
            Cell cell = {
                file.fields[column[0]], file.fields[column[1]], v[2], v[3], v[4], v[5], (int)v[6],
                (unsigned long)v[7]};
            json_array_append_new(cells, audit_cell(&cell));
        }
    }
    lines_close(&file);
    return code;
}

int audit_table(json_t **audit, const char *path, Error *error)
{
    size_t n = strlen(path);
    int csv = n > 4 && !strcmp(path + n - 4, ".csv");
    json_t *cells = json_array();
    if ((csv ? read_csv : read_json)(cells, path, error)) {
        json_decref(cells);
        return error->code;
    }
    if (json_array_size(cells) == 0) {
        json_decref(cells);
        return REFUSE("%s: no cell; a table is {model: {task: [zeta, VAR, CON, CCON]}}", path);
    }
    *audit = json_object();
    json_object_set_new(*audit, "file", json_text(path));
    json_object_set_new(*audit, "cells", cells);
    return 0;
}

/* A size of a task, 0 if there is none. */
static double size_of(const json_t *sizes, const json_t *row)
{
    const char *task = json_string_value(json_object_get(row, "task"));
    if (sizes) {
        return json_number_value(json_object_get(sizes, task));
    }
    const KnownTask *known = known_task(task, json_string_value(json_object_get(row, "benchmark")));
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
        model = json_string_value(json_object_get(row, "model"));
        if (size_of(sizes, row) <= 0 && !code) {
            code = REFUSE("%s: no size of task %s; add a line: %s TAB training examples", from,
                          json_string_value(json_object_get(row, "task")),
                          json_string_value(json_object_get(row, "task")));
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
