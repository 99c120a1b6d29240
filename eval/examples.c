#include "examples.h"
#include "result.h"

#include <math.h>
#include <stdlib.h>

void softmax(double *p, double *log_p, const float *z, size_t K)
{
    double max = -INFINITY, sum = 0;
    for (size_t c = 0; c < K; c++) {
        max = fmax(max, (double)z[c]);
    }
    for (size_t c = 0; c < K; c++) {
        p[c] = exp((double)z[c] - max);
        sum += p[c];
    }
    double log_sum = log_p ? log(sum) : 0;
    for (size_t c = 0; c < K; c++) {
        p[c] /= sum;
        if (log_p) {
            log_p[c] = (double)z[c] - max - log_sum;
        }
    }
}

void confidence_of(double *confidence, double *variability, const double *own, size_t S)
{
    *confidence = mean(own, S);
    *variability = sqrt(squares(own, S) / (double)S);
}

int has_logits(const Group *g)
{
    int all = 1;
    for (size_t s = 0; s < g->S && all; s++) {
        all = g->runs[s]->logits && preds_logits_finite(g->runs[s]);
    }
    return all;
}

int label_confidence(double *confidence, double *variability, const Group *g)
{
    size_t K = (size_t)g->K;
    if (!has_logits(g)) {
        return -1;
    }
#pragma omp parallel if (is_worth_threads(g->S * g->N))
    {
        double *own = memory_alloc(g->S, sizeof *own), *p = memory_alloc(K, sizeof *p);
#pragma omp for
        for (size_t i = 0; i < g->N; i++) {
            for (size_t s = 0; s < g->S; s++) {
                softmax(p, NULL, g->runs[s]->logits + i * K, K);
                own[s] = g->label[i] >= 0 ? p[g->label[i]] : NAN;
            }
            confidence_of(&confidence[i], &variability[i], own, g->S);
        }
        free(own);
        free(p);
    }
    return 0;
}

typedef struct Unstable {
    double same; /* ordered pairs that agree */
    size_t row;
} Unstable;

static int by_agreement(const void *a, const void *b)
{
    const Unstable *x = a, *y = b;
    return x->same != y->same ? (x->same > y->same) - (x->same < y->same)
                              : (x->row > y->row) - (x->row < y->row);
}

/* All examples, least agreement first; the caller frees it. */
static Unstable *by_stability(const Table *t)
{
    Unstable *list = memory_alloc(t->N, sizeof *list);
    for (size_t i = 0; i < t->N; i++) {
        list[i] = (Unstable){pairs_same(t, i), i};
    }
    qsort(list, t->N, sizeof *list, by_agreement);
    return list;
}

void put_shares(json_t *o, const Table *t)
{
    size_t unanimous = 0, vote = 0;
    size_t *histogram = memory_calloc(t->S + 1, sizeof *histogram);
    for (size_t i = 0; i < t->N; i++) {
        int best = majority_vote(t, i);
        unanimous += best >= 0 && (size_t)t->votes[i * t->K + (size_t)best] == t->S;
        vote += best >= 0 && best == t->label[i];
        histogram[t->right[i]]++;
    }
    double n = (double)t->N;
    put(o, "unanimous", (double)unanimous / n);
    put(o, "always_correct", (double)histogram[t->S] / n);
    put(o, "always_wrong", (double)histogram[0] / n);
    put(o, "vote_accuracy", (double)vote / n);
    json_object_set_new(o, "correct_histogram", count_list(histogram, t->S + 1));
    free(histogram);
    if (t->S > 1) {
        Unstable *sorted = by_stability(t);
        json_t *values = json_array();
        for (size_t i = 0, j; i < t->N; i = j) {
            for (j = i; j < t->N && sorted[j].same == sorted[i].same; j++) {
            }
            double a = sorted[i].same / ((double)t->S * (double)(t->S - 1));
            json_array_append_new(values, json_pack("[f, I]", a, (json_int_t)(j - i)));
        }
        json_object_set_new(o, "agreement_values", values);
        free(sorted);
    }
}

void put_least_stable(json_t *o, const Group *g, const Table *t, size_t limit)
{
    double scale = t->S > 1 ? 1 / ((double)t->S * (double)(t->S - 1)) : NAN;
    double *confidence = memory_alloc(t->N, sizeof *confidence),
           *variability = memory_alloc(t->N, sizeof *variability);
    int known = !label_confidence(confidence, variability, g);
    Unstable *sorted = by_stability(t);
    json_t *list = json_array();
    for (size_t k = 0; k < t->N && k < limit; k++) {
        size_t i = sorted[k].row;
        json_t *entry = json_object(), *votes = json_array();
        if (g->id) {
            json_object_set_new(entry, "id", json_string(g->id[i]));
        }
        put_count(entry, "row", i);
        json_object_set_new(entry, "label", json_integer(t->label[i]));
        put_count(entry, "correct", (size_t)t->right[i]);
        for (size_t c = 0; c < t->K; c++) {
            json_array_append_new(votes, json_integer(t->votes[i * t->K + c]));
        }
        json_object_set_new(entry, "votes", votes);
        json_object_set_new(entry, "vote", json_integer(majority_vote(t, i)));
        put(entry, "a", pairs_same(t, i) * scale);
        put(entry, "c", pairs_right(t, i) * scale);
        if (known) {
            put(entry, "confidence", confidence[i]);
            put(entry, "variability", variability[i]);
        }
        json_array_append_new(list, entry);
    }
    json_object_set_new(o, "examples", list);
    free(sorted);
    free(confidence);
    free(variability);
}
