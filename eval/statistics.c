/* statistics.md, section 1, on one group. S runs, N examples, K classes, n[i][c] runs that predict
 * c on example i, k[i] runs that are right. A prediction of -1 is wrong and agrees with nothing. */
#include "statistics.h"
#include "coefficients.h"
#include "distributions.h"
#include "intervals.h"
#include "metrics.h"
#include "result.h"
#include "values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Shares of examples by how many runs are right, and the majority vote (ties to the smallest
 * class). */
static void put_examples(json_t *o, const Table *t)
{
    size_t unanimous = 0, vote = 0;
    size_t *histogram = memory_calloc(t->S + 1, sizeof *histogram);
    for (size_t i = 0; i < t->N; i++) {
        size_t best = 0;
        for (size_t c = 1; c < t->K; c++) {
            best = t->votes[i * t->K + c] > t->votes[i * t->K + best] ? c : best;
        }
        unanimous += (size_t)t->votes[i * t->K + best] == t->S;
        vote += (int)best == t->label[i];
        histogram[t->right[i]]++;
    }
    double n = (double)t->N;
    put(o, "unanimous", (double)unanimous / n);
    put(o, "always_correct", (double)histogram[t->S] / n);
    put(o, "always_wrong", (double)histogram[0] / n);
    put(o, "vote_accuracy", (double)vote / n);
    json_t *list = json_array();
    for (size_t k = 0; k <= t->S; k++) {
        json_array_append_new(list, json_integer((json_int_t)histogram[k]));
    }
    json_object_set_new(o, "correct_histogram", list);
    free(histogram);
}

/* Item 10. Fills collapsed [S] and returns how many. */
static size_t put_degenerate(json_t *o, const Table *t, char *collapsed, double level)
{
    size_t most = 0, majority = 0, any = 0;
    json_t *degenerate = json_object(), *single = json_array(), *below = json_array(),
           *either = json_array();
    for (size_t c = 0; c < t->K; c++) {
        size_t count = 0;
        for (size_t i = 0; i < t->N; i++) {
            count += t->label[i] == (int)c;
        }
        if (count > most) {
            most = count;
            majority = c;
        }
    }
    for (size_t s = 0; s < t->S; s++) {
        int one = 1, low = t->correct[s] <= most;
        for (size_t i = 1; i < t->N && one; i++) {
            one = t->pred[s * t->N + i] == t->pred[s * t->N];
        }
        collapsed[s] = (char)(one || low);
        any += (size_t)collapsed[s];
        json_t *index = json_integer((json_int_t)s);
        if (one) {
            json_array_append(single, index);
        }
        if (low) {
            json_array_append(below, index);
        }
        if (collapsed[s]) {
            json_array_append(either, index);
        }
        json_decref(index);
    }
    double ends[2];
    clopper_pearson(ends, any, t->S, level);
    put_count(o, "majority_class", majority);
    put(o, "majority_rate", (double)most / (double)t->N);
    json_object_set_new(degenerate, "single_class", single);
    json_object_set_new(degenerate, "not_above_majority", below);
    json_object_set_new(degenerate, "any", either);
    put(degenerate, "rate", (double)any / (double)t->S);
    json_object_set_new(degenerate, "clopper_pearson95", interval(ends[0], ends[1]));
    json_object_set_new(o, "degenerate", degenerate);
    return any;
}

/* Four numbers of a part of the group. */
static json_t *part(const Table *t, int with_runs)
{
    json_t *o = json_object();
    double *accuracy = memory_alloc(t->S, sizeof *accuracy);
    for (size_t s = 0; s < t->S; s++) {
        accuracy[s] = (double)t->correct[s] / (double)t->N;
    }
    put_count(o, with_runs ? "S" : "N", with_runs ? t->S : t->N);
    put(o, "zeta", t->N ? mean(accuracy, t->S) : NAN);
    if (with_runs) {
        put(o, "VAR", sqrt(squares(accuracy, t->S) / (double)t->S));
    }
    put(o, "CON", t->N ? agreement(t, pairs_same) : NAN);
    put(o, "CCON", t->N ? agreement(t, pairs_right) : NAN);
    free(accuracy);
    return o;
}

static void put_metrics(json_t *o, const Table *t, double *zeta, const char *metric)
{
    json_t *correct = json_array();
    double *accuracy = memory_alloc(t->S, sizeof *accuracy), *mcc = memory_alloc(t->S, sizeof *mcc);
    double *macro = memory_alloc(t->S, sizeof *macro), *f1 = memory_alloc(t->S, sizeof *f1);
    for (size_t s = 0; s < t->S; s++) {
        Confusion c;
        confusion_count(&c, t->label, t->pred + s * t->N, t->N, (int)t->K);
        json_array_append_new(correct, json_integer((json_int_t)c.correct));
        accuracy[s] = metric_accuracy(&c);
        mcc[s] = metric_mcc(&c);
        macro[s] = metric_macro_f1(&c);
        f1[s] = t->K == 2 ? metric_f1(&c, 1) : NAN;
        zeta[s] = metric_by_name(metric, &c);
        confusion_free(&c);
    }
    json_object_set_new(o, "correct", correct);
    json_object_set_new(o, "accuracy", real_list(accuracy, t->S));
    if (!t->missing) {
        json_object_set_new(o, "mcc", real_list(mcc, t->S));
        json_object_set_new(o, "f1_macro", real_list(macro, t->S));
        if (t->K == 2) {
            json_object_set_new(o, "f1", real_list(f1, t->S));
        }
    }
    free(accuracy);
    free(mcc);
    free(macro);
    free(f1);
}

static int by_number(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* How many different values; sorts them. */
static size_t count_distinct(int *values, size_t n)
{
    size_t count = 0;
    qsort(values, n, sizeof *values, by_number);
    for (size_t i = 0; i < n; i++) {
        count += i == 0 || values[i] != values[i - 1];
    }
    return count;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* MultiRC: ids p<paragraph>-q<question>-a<answer>. F1a over all answers, and the share of questions
 * with every answer right (Khashabi et al. 2018). */
static void put_multirc(json_t *o, const Group *g, const Table *t)
{
    char **question = memory_alloc(t->N, sizeof *question),
         **sorted = memory_alloc(t->N, sizeof *sorted);
    double *f1a = memory_alloc(t->S, sizeof *f1a), *em = memory_alloc(t->S, sizeof *em);
    int named = g->runs[0]->id != NULL;
    size_t count = 0, done = 0;
    for (; named && done < t->N; done++) {
        const char *id = g->runs[0]->id[done], *answer = strstr(id, "-a");
        named = id[0] == 'p' && answer;
        question[done] = string_format("%.*s", named ? (int)(answer - id) : 0, id);
    }
    if (named) {
        memcpy(sorted, question, t->N * sizeof *sorted);
        qsort(sorted, t->N, sizeof *sorted, by_text);
        for (size_t i = 0; i < t->N; i++) {
            if (i == 0 || strcmp(sorted[i], sorted[count - 1])) {
                sorted[count++] = sorted[i];
            }
        }
        char *whole = memory_alloc(count, 1);
        for (size_t s = 0; s < t->S; s++) {
            Confusion c;
            size_t right = 0;
            memset(whole, 1, count);
            for (size_t i = 0; i < t->N; i++) {
                char **at = bsearch(&question[i], sorted, count, sizeof *sorted, by_text);
                whole[at - sorted] &= t->pred[s * t->N + i] == t->label[i];
            }
            for (size_t q = 0; q < count; q++) {
                right += (size_t)whole[q];
            }
            confusion_count(&c, t->label, t->pred + s * t->N, t->N, (int)t->K);
            f1a[s] = metric_f1(&c, 1);
            em[s] = (double)right / (double)count;
            confusion_free(&c);
        }
        json_t *multirc = json_object();
        json_object_set_new(multirc, "f1a", real_list(f1a, t->S));
        json_object_set_new(multirc, "em", real_list(em, t->S));
        json_object_set_new(o, "multirc", multirc);
        free(whole);
    }
    for (size_t i = 0; i < done; i++) {
        free(question[i]);
    }
    free(question);
    free(sorted);
    free(f1a);
    free(em);
}

static void put_classes(json_t *o, const Group *g, const StatisticsOptions *options)
{
    Table t = table_make(g, NULL, NULL);
    double *zeta = memory_alloc(t.S, sizeof *zeta), n = (double)t.N, S = (double)t.S;
    char *collapsed = memory_calloc(t.S, 1);
    put_count(o, "missing", t.missing);
    put_metrics(o, &t, zeta, preds_meta(g->runs[0], "metric"));
    put_spread(o, zeta, t.S, options->level);
    size_t any = put_degenerate(o, &t, collapsed, options->level);
    put_examples(o, &t);
    if (t.S > 1) {
        double con = agreement(&t, pairs_same), ccon = agreement(&t, pairs_right), accuracy = 0;
        for (size_t s = 0; s < t.S; s++) {
            accuracy += (double)t.correct[s] / n / S;
        }
        put(o, "CON", con);
        put(o, "CCON", ccon);
        put_count(o, "CON_numerator", (size_t)llround(con * n * S * (S - 1)));
        put_count(o, "CCON_numerator", (size_t)llround(ccon * n * S * (S - 1)));
        put_count(o, "CON_denominator", t.N * t.S * (t.S - 1));
        put(o, "calibration_gap", (1 - con) - (1 - accuracy));
        if (!options->summary) {
            put_pairs(o, &t, options->pairs);
            put_logits(o, g, &t, options->pairs);
        }
        put_cochran(o, &t, ccon);
        put_chance_corrected(o, &t);
        json_object_set_new(o, "CON_ci", two_way(&t, 0, NULL, options->level));
        json_object_set_new(o, "CCON_ci", two_way(&t, 1, NULL, options->level));
        if (g->runs[0]->cluster) {
            int *cluster = memory_alloc(t.N, sizeof *cluster);
            for (size_t i = 0; i < t.N; i++) {
                cluster[i] = g->runs[0]->cluster[g->order[i]];
            }
            json_object_set_new(o, "CON_ci_cluster", two_way(&t, 0, cluster, options->level));
            json_object_set_new(o, "CCON_ci_cluster", two_way(&t, 1, cluster, options->level));
            put_count(o, "clusters", count_distinct(cluster, t.N));
            put_multirc(o, g, &t);
            free(cluster);
        }
    }
    if (any && t.S - any >= 2) {
        for (size_t s = 0; s < t.S; s++) {
            collapsed[s] = !collapsed[s];
        }
        Table healthy = table_make(g, collapsed, NULL);
        json_object_set_new(o, "without_degenerate", part(&healthy, 1));
        table_free(&healthy);
    }
    if (t.missing && t.S > 1) {
        char *complete = memory_calloc(t.N, 1);
        for (size_t i = 0; i < t.N; i++) {
            complete[i] = 1;
            for (size_t s = 0; s < t.S; s++) {
                complete[i] = (char)(complete[i] && t.pred[s * t.N + i] >= 0);
            }
        }
        Table answered = table_make(g, NULL, complete);
        json_object_set_new(o, "complete_case", part(&answered, 0));
        table_free(&answered);
        free(complete);
    }
    free(zeta);
    free(collapsed);
    table_free(&t);
}

json_t *statistics_compute(const Group *group, const StatisticsOptions *options)
{
    json_t *o = json_object(), *seeds = json_array();
    for (size_t s = 0; s < group->S; s++) {
        /* seeds are at most 2^64 - 1; beyond 2^63 - 1 JSON integers end, and texts stand for them
         */
        unsigned long long seed = strtoull(preds_meta(group->runs[s], "seed"), NULL, 10);
        json_array_append_new(seeds, seed <= INT64_MAX
                                         ? json_integer((json_int_t)seed)
                                         : json_text(preds_meta(group->runs[s], "seed")));
    }
    json_object_set_new(o, "seeds", seeds);
    put_count(o, "S", group->S);
    put_count(o, "N", group->N);
    if (group->runs[0]->regression) {
        put_regression(o, group, options->level);
    } else {
        put_count(o, "K", (size_t)group->K);
        put_classes(o, group, options);
    }
    return o;
}
