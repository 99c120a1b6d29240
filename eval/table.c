#include "table.h"

#include <stdlib.h>

static void table_count(Table *t)
{
    t->votes = memory_calloc(t->N * t->K, sizeof *t->votes);
    t->right = memory_calloc(t->N, sizeof *t->right);
    t->correct = memory_calloc(t->S, sizeof *t->correct);
    t->missing = 0;
    for (size_t s = 0; s < t->S; s++) {
        for (size_t i = 0; i < t->N; i++) {
            int p = t->pred[s * t->N + i];
            t->missing += p < 0;
            if (p >= 0) {
                t->votes[i * t->K + (size_t)p]++;
                t->right[i] += p == t->label[i];
                t->correct[s] += p == t->label[i];
            }
        }
    }
}

Table table_make(const Group *g, const char *use_run, const char *use_example)
{
    Table t = {.K = (size_t)g->K};
    t.pred = memory_alloc(g->S * g->N, sizeof *t.pred);
    t.label = memory_alloc(g->N, sizeof *t.label);
    for (size_t i = 0; i < g->N; i++) {
        if (!use_example || use_example[i]) {
            t.label[t.N++] = g->label[i];
        }
    }
    for (size_t s = 0; s < g->S; s++) {
        if (use_run && !use_run[s]) {
            continue;
        }
        for (size_t i = 0, n = 0; i < g->N; i++) {
            if (!use_example || use_example[i]) {
                t.pred[t.S * t.N + n++] = g->runs[s]->pred[i];
            }
        }
        t.S++;
    }
    table_count(&t);
    return t;
}

void table_free(Table *t)
{
    free(t->pred);
    free(t->label);
    free(t->votes);
    free(t->right);
    free(t->correct);
}

int majority_vote(const Table *t, size_t i)
{
    size_t best = 0;
    for (size_t c = 1; c < t->K; c++) {
        best = t->votes[i * t->K + c] > t->votes[i * t->K + best] ? c : best;
    }
    return t->votes[i * t->K + best] > 0 ? (int)best : -1;
}

double pairs_same(const Table *t, size_t i)
{
    double sum = 0;
    for (size_t c = 0; c < t->K; c++) {
        double n = t->votes[i * t->K + c];
        sum += n * (n - 1);
    }
    return sum;
}

double pairs_right(const Table *t, size_t i)
{
    return (double)t->right[i] * (t->right[i] - 1);
}

double agreement(const Table *t, double (*pairs)(const Table *, size_t))
{
    double sum = 0; /* an integer below 2^53 */
    for (size_t i = 0; i < t->N; i++) {
        sum += pairs(t, i);
    }
    return sum / ((double)t->N * (double)t->S * (double)(t->S - 1));
}
