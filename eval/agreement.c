#include "agreement.h"
#include "metrics.h"

#include <math.h>
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

static int join_run(Group *group, size_t s, Row *rows, Error *error)
{
    const Preds *first = group->runs[0], *run = group->runs[s];
    if (run->N != first->N || run->K != first->K ||
        strcmp(preds_meta(run, "label_names"), preds_meta(first, "label_names"))) {
        return REFUSE("%s: %zu examples of %d classes, but %s has %zu of %d, or other label names; "
                      "compare runs of one data set",
                      run->path, run->N, run->K, first->path, first->N, first->K);
    }
    for (size_t i = 0; i < run->N; i++) {
        rows[i] = (Row){run->hash[i], i};
    }
    qsort(rows, run->N, sizeof *rows, by_hash);
    for (size_t i = 0; i < run->N; i++) {
        size_t row = rows[i].row;
        group->order[s * group->N + i] = row;
        if (rows[i].hash != first->hash[group->order[i]]) {
            return REFUSE("%s: its examples are not those of %s; compare runs of one data set",
                          run->path, first->path);
        }
        if (run->label[row] != first->label[group->order[i]] ||
            (run->target && run->target[row] != first->target[group->order[i]])) {
            return REFUSE(
                "%s: the label of example %s differs from that in %s; compare runs of one data set",
                run->path, run->id ? run->id[row] : "?", first->path);
        }
    }
    return 0;
}

int group_join(Group *group, Preds **runs, size_t S, Error *error)
{
    qsort(runs, S, sizeof *runs, by_seed);
    *group = (Group){.runs = runs, .S = S, .N = runs[0]->N, .K = runs[0]->K};
    group->order = memory_alloc(S * group->N, sizeof *group->order);
    Row *rows = memory_alloc(group->N, sizeof *rows);
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

static double run_metric(const Group *group, size_t s, int *degenerate, double *majority)
{
    const Preds *run = group->runs[s];
    const char *name = preds_meta(run, "metric");
    if (run->regression) {
        return metric_of_values(name, run->value, run->target, run->N);
    }
    /* Examples with a hidden label have no part in a metric. */
    int *label = memory_alloc(run->N, sizeof *label), *pred = memory_alloc(run->N, sizeof *pred),
        single = 1;
    size_t n = 0;
    for (size_t i = 0; i < run->N; i++) {
        single = single && run->pred[i] == run->pred[0];
        if (run->label[i] >= 0) {
            label[n] = run->label[i];
            pred[n++] = run->pred[i];
        }
    }
    Confusion confusion;
    confusion_count(&confusion, label, pred, n, run->K);
    double value = n ? metric_by_name(name, &confusion) : NAN;
    *majority = metric_majority(&confusion);
    *degenerate = single || (n && metric_accuracy(&confusion) <= *majority);
    confusion_free(&confusion);
    free(label);
    free(pred);
    return value;
}

void agreement_compute(Agreement *a, const Group *group)
{
    size_t S = group->S, N = group->N, K = (size_t)group->K;
    *a = (Agreement){.majority = NAN};
    a->zeta = memory_alloc(S, sizeof *a->zeta);
    for (size_t s = 0; s < S; s++) {
        int degenerate = 0;
        a->zeta[s] = run_metric(group, s, &degenerate, &a->majority);
        a->zeta_mean += a->zeta[s];
        a->degenerate += (size_t)degenerate;
    }
    a->zeta_mean /= (double)S;
    for (size_t s = 0; s < S; s++) {
        a->var += (a->zeta[s] - a->zeta_mean) * (a->zeta[s] - a->zeta_mean);
    }
    a->var = sqrt(a->var / (double)S);
    a->pairs = S > 1 && !group->runs[0]->regression;
    if (!a->pairs) {
        return;
    }
    /* CON: pairs of runs that predict the same; CCON: the same and right. Counts in integers, one
     * division. */
    uint64_t *votes = memory_alloc(K, sizeof *votes);
    for (size_t i = 0; i < N; i++) {
        memset(votes, 0, K * sizeof *votes);
        for (size_t s = 0; s < S; s++) {
            int pred = group->runs[s]->pred[group->order[s * N + i]];
            if (pred >= 0) {
                votes[pred]++;
            }
        }
        int label = group->runs[0]->label[group->order[i]];
        for (size_t k = 0; k < K; k++) {
            uint64_t pairs = votes[k] ? votes[k] * (votes[k] - 1) : 0;
            a->con_numerator += pairs;
            a->ccon_numerator += (int)k == label ? pairs : 0;
        }
    }
    free(votes);
    a->denominator = (uint64_t)N * S * (S - 1);
    a->con = (double)a->con_numerator / (double)a->denominator;
    a->ccon = (double)a->ccon_numerator / (double)a->denominator;
}

void agreement_free(Agreement *agreement)
{
    free(agreement->zeta);
    *agreement = (Agreement){0};
}
