#include "group.h"

#include <stdlib.h>
#include <string.h>

#define REFUSE(...) error_set(error, EXIT_BAD_DATA, __VA_ARGS__)

/* Seeds as numbers: decimal strings without leading zeros compare by length first. */
static int compare_seed_text(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    return n != m ? (n < m ? -1 : 1) : strcmp(a, b);
}

static int compare_seeds(const Preds *a, const Preds *b)
{
    static const char *const seeds[] = {"seed", "seed_init", "seed_data", "seed_dropout"};
    int order = 0;
    for (int i = 0; i < 4 && !order; i++) {
        order = compare_seed_text(preds_meta(a, seeds[i]), preds_meta(b, seeds[i]));
    }
    return order;
}

static int by_seed(const void *a, const void *b)
{
    return compare_seeds(*(Preds *const *)a, *(Preds *const *)b);
}

typedef struct Row {
    uint64_t hash;
    size_t row;
} Row;

static int by_hash(const void *a, const void *b)
{
    uint64_t x = ((const Row *)a)->hash, y = ((const Row *)b)->hash;
    return (x > y) - (x < y);
}

/* Rows of a run sorted by their hash; the caller frees them. */
static Row *sorted_rows(const Preds *run)
{
    Row *rows = memory_alloc(run->N, sizeof *rows);
    for (size_t i = 0; i < run->N; i++) {
        rows[i] = (Row){run->hash[i], i};
    }
    qsort(rows, run->N, sizeof *rows, by_hash);
    return rows;
}

/* Example i is row i of the first run; first_rows are that run's sorted rows. */
static int join_run(Group *group, size_t s, const Row *first_rows, Error *error)
{
    const Preds *first = group->runs[0], *run = group->runs[s];
    if (run->N != first->N || run->K != first->K ||
        strcmp(preds_meta(run, "label_names"), preds_meta(first, "label_names"))) {
        return REFUSE("%s: %zu examples of %d classes, but %s has %zu of %d, or other label names; "
                      "compare runs of one data set",
                      run->path, run->N, run->K, first->path, first->N, first->K);
    }
    Row *rows = sorted_rows(run);
    int code = 0;
    for (size_t i = 0; i < run->N && !code; i++) {
        size_t row = rows[i].row, first_row = first_rows[i].row;
        group->order[s * group->N + first_row] = row;
        if (rows[i].hash != first_rows[i].hash) {
            code = REFUSE("%s: its examples are not those of %s; compare runs of one data set",
                          run->path, first->path);
        } else if (run->label[row] != first->label[first_row] ||
                   (run->target && run->target[row] != first->target[first_row])) {
            code = REFUSE(
                "%s: the label of example %s differs from that in %s; compare runs of one "
                "data set",
                run->path, run->id ? run->id[row] : "?", first->path);
        }
    }
    free(rows);
    return code;
}

int group_join(Group *group, Preds **runs, size_t S, Error *error)
{
    qsort(runs, S, sizeof *runs, by_seed);
    *group = (Group){.runs = runs, .S = S, .N = runs[0]->N, .K = runs[0]->K};
    group->order = memory_alloc(S * group->N, sizeof *group->order);
    Row *rows = sorted_rows(runs[0]);
    int code = 0;
    for (size_t s = 0; s < S && !code; s++) {
        if (s && !compare_seeds(runs[s - 1], runs[s])) {
            code = REFUSE("%s: the same seeds as %s (seed %s); name each run once", runs[s]->path,
                          runs[s - 1]->path, preds_meta(runs[s], "seed"));
        } else {
            code = join_run(group, s, rows, error);
        }
    }
    free(rows);
    if (code) {
        group_free(group);
    }
    return code;
}

void group_free(Group *group)
{
    free(group->order);
    *group = (Group){0};
}
