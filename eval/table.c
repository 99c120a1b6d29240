#include "table.h"

#include <stdlib.h>

static void table_count(Table *t)
{
    enum { BLOCK = 4096 }; /* examples whose votes stay in the cache while all runs are counted */
    size_t missing = 0;
    t->votes = memory_calloc(t->N * t->K, sizeof *t->votes);
    t->right = memory_calloc(t->N, sizeof *t->right);
    t->correct = memory_calloc(t->S, sizeof *t->correct);
#pragma omp parallel for if (is_worth_threads(t->S * t->N))
    for (size_t first = 0; first < t->N; first += BLOCK) {
        size_t end = size_min(first + BLOCK, t->N);
        for (size_t s = 0; s < t->S; s++) {
            for (size_t i = first; i < end; i++) {
                int p = t->pred[s][i];
                if (p >= 0) {
                    t->votes[i * t->K + (size_t)p]++;
                    t->right[i] += p == t->label[i];
                }
            }
        }
    }
#pragma omp parallel for reduction(+ : missing) if (is_worth_threads(t->S * t->N))
    for (size_t s = 0; s < t->S; s++) {
        int correct = 0, none = 0;
        for (size_t i = 0; i < t->N; i++) {
            int p = t->pred[s][i];
            correct += (p == t->label[i]) & (p >= 0);
            none += p < 0;
        }
        t->correct[s] = (size_t)correct;
        missing += (size_t)none;
    }
    t->missing = missing;
}

Table table_make(const Group *g, const char *use_run, const char *use_example)
{
    Table t = {.K = (size_t)g->K};
    t.pred = memory_alloc(g->S, sizeof *t.pred);
    t.label = memory_alloc(g->N, sizeof *t.label);
    for (size_t i = 0; i < g->N; i++) {
        if (!use_example || use_example[i]) {
            t.label[t.N++] = g->label[i];
        }
    }
    for (size_t s = 0; s < g->S; s++) {
        if (!use_run || use_run[s]) {
            t.pred[t.S++] = g->runs[s]->pred;
        }
    }
    if (use_example) {
        t.taken = memory_alloc(t.S * t.N, sizeof *t.taken);
        for (size_t s = 0; s < t.S; s++) {
            int *own = t.taken + s * t.N;
            for (size_t i = 0, n = 0; i < g->N; i++) {
                if (use_example[i]) {
                    own[n++] = t.pred[s][i];
                }
            }
            t.pred[s] = own;
        }
    }
    table_count(&t);
    return t;
}

void table_free(Table *t)
{
    free(t->pred);
    free(t->taken);
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
