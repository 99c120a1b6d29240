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

/* Rows of a run in the order of the first run's rows, into order [N]. */
static int match_rows(uint32_t *order, const Preds *first, const Preds *run, Error *error)
{
    if (!memcmp(first->hash, run->hash, run->N * sizeof *run->hash)) {
        for (size_t i = 0; i < run->N; i++) {
            order[i] = (uint32_t)i;
        }
        return 0;
    }
    Row *from = sorted_rows(first), *to = sorted_rows(run);
    int code = 0;
    for (size_t i = 0; i < run->N && !code; i++) {
        order[from[i].row] = (uint32_t)to[i].row;
        if (from[i].hash != to[i].hash) {
            code = REFUSE("%s: its examples are not those of %s; compare runs of one data set",
                          run->path, first->path);
        }
    }
    free(from);
    free(to);
    return code;
}

static int join_run(Group *group, size_t s, Error *error)
{
    const Preds *first = group->runs[0], *run = group->runs[s];
    uint32_t *order = group->order + s * group->N;
    if (run->N != first->N || run->K != first->K ||
        strcmp(preds_meta(run, "label_names"), preds_meta(first, "label_names"))) {
        return REFUSE("%s: %zu examples of %d classes, but %s has %zu of %d, or other label names; "
                      "compare runs of one data set",
                      run->path, run->N, run->K, first->path, first->N, first->K);
    }
    if (match_rows(order, first, run, error)) {
        return error->code;
    }
    for (size_t i = 0; i < run->N; i++) {
        if (run->label[order[i]] != first->label[i] ||
            (run->target && run->target[order[i]] != first->target[i])) {
            return REFUSE(
                "%s: the label of example %s differs from that in %s; compare runs of one "
                "data set",
                run->path, run->id ? run->id[order[i]] : "?", first->path);
        }
    }
    return 0;
}

int group_join(Group *group, Preds **runs, size_t S, Error *error)
{
    qsort(runs, S, sizeof *runs, by_seed);
    *group = (Group){.runs = runs, .S = S, .N = runs[0]->N, .K = runs[0]->K};
    group->order = memory_alloc(S * group->N, sizeof *group->order);
    int code = 0;
    for (size_t s = 0; s < S && !code; s++) {
        if (s && !compare_seeds(runs[s - 1], runs[s])) {
            code = REFUSE("%s: the same seeds as %s (seed %s); name each run once", runs[s]->path,
                          runs[s - 1]->path, preds_meta(runs[s], "seed"));
        } else {
            code = join_run(group, s, error);
        }
    }
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
