/* statistics.md, section 1, on one group. S runs, N examples, K classes, n[i][c] runs that predict
 * c on example i, k[i] runs that are right. A prediction of -1 is wrong and agrees with nothing. */
#include "statistics.h"
#include "coefficients.h"
#include "components.h"
#include "distributions.h"
#include "examples.h"
#include "inference.h"
#include "intervals.h"
#include "metrics.h"
#include "result.h"
#include "sources.h"
#include "values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A loss or logits that are not finite, or a training loss that is not below the entropy of the
 * labels: no more than their frequencies was learned. */
static int has_diverged(const Preds *run, double entropy)
{
    const char *loss = preds_meta(run, "final_train_loss"), *status = preds_meta(run, "status");
    char *end;
    double value = strtod(loss, &end);
    int bad = !strcmp(status, "nan") || !strcmp(status, "diverged") ||
              (*loss && !*end && !(value < entropy));
    return bad || !preds_logits_finite(run);
}

/* Item 10. Fills collapsed [S] and returns how many. Where no label is known, nothing is below the
 * majority rate. */
static size_t put_degenerate(json_t *o, const Group *g, const Table *t, char *collapsed,
                             double level)
{
    size_t most = 0, majority = 0, any = 0;
    json_t *degenerate = json_object(), *single = json_array(), *below = json_array(),
           *lost = json_array(), *either = json_array();
    double entropy = 0; /* of the labels, in nats */
    size_t *count = memory_calloc(t->K, sizeof *count);
    for (size_t i = 0; i < t->N; i++) {
        if (t->label[i] >= 0) {
            count[t->label[i]]++;
        }
    }
    for (size_t c = 0; c < t->K; c++) {
        if (count[c] > most) {
            most = count[c];
            majority = c;
        }
        double share = (double)count[c] / (double)t->N;
        entropy -= share > 0 ? share * log(share) : 0;
    }
    free(count);
    for (size_t s = 0; s < t->S; s++) {
        int one = 1, low = most && t->correct[s] <= most;
        for (size_t i = 1; i < t->N && one; i++) {
            one = t->pred[s][i] == t->pred[s][0];
        }
        int diverged = has_diverged(g->runs[s], most ? entropy : INFINITY);
        collapsed[s] = (char)(one || low || diverged);
        any += (size_t)collapsed[s];
        json_t *index = json_integer((json_int_t)s);
        if (one) {
            json_array_append(single, index);
        }
        if (low) {
            json_array_append(below, index);
        }
        if (diverged) {
            json_array_append(lost, index);
        }
        if (collapsed[s]) {
            json_array_append(either, index);
        }
        json_decref(index);
    }
    char key[32];
    double ends[2];
    clopper_pearson(ends, any, t->S, level);
    put_count(o, "majority_class", majority);
    put(o, "majority_rate", (double)most / (double)t->N);
    json_object_set_new(degenerate, "single_class", single);
    json_object_set_new(degenerate, "not_above_majority", below);
    json_object_set_new(degenerate, "diverged", lost);
    json_object_set_new(degenerate, "any", either);
    put(degenerate, "rate", (double)any / (double)t->S);
    json_object_set_new(degenerate, leveled(key, "clopper_pearson", level),
                        interval(ends[0], ends[1]));
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

static void put_metrics(json_t *o, const Group *g, const Table *t, double *zeta)
{
    const char *metric = preds_meta(g->runs[0], "metric");
    size_t *correct = memory_alloc(t->S, sizeof *correct);
    double *accuracy = memory_alloc(t->S, sizeof *accuracy), *mcc = memory_alloc(t->S, sizeof *mcc);
    double *macro = memory_alloc(t->S, sizeof *macro), *f1 = memory_alloc(t->S, sizeof *f1);
#pragma omp parallel for if (is_worth_threads(t->S * t->N))
    for (size_t s = 0; s < t->S; s++) {
        Confusion c;
        confusion_count(&c, t->label, t->pred[s], t->N, (int)t->K);
        correct[s] = c.correct;
        accuracy[s] = metric_accuracy(&c);
        mcc[s] = metric_mcc(&c);
        macro[s] = metric_macro_f1(&c);
        f1[s] = t->K == 2 ? metric_f1(&c, 1) : NAN;
        zeta[s] = metric_is_multirc(metric) ? metric_of_classes(metric, g->id, t->label, t->pred[s],
                                                                t->N, (int)t->K)
                                            : metric_by_name(metric, &c);
        confusion_free(&c);
    }
    json_object_set_new(o, "correct", count_list(correct, t->S));
    json_object_set_new(o, "accuracy", real_list(accuracy, t->S));
    if (!t->missing) {
        json_object_set_new(o, "mcc", real_list(mcc, t->S));
        json_object_set_new(o, "f1_macro", real_list(macro, t->S));
        if (t->K == 2) {
            json_object_set_new(o, "f1", real_list(f1, t->S));
        }
    }
    free(correct);
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

/* MultiRC: ids p<paragraph>-q<question>-a<answer>. */
static void put_multirc(json_t *o, const Group *g, const Table *t)
{
    static const char *const names[] = {"f1a", "em", "f1m", "f1m_paper"};
    int *question = memory_alloc(t->N, sizeof *question);
    double *values = memory_alloc(4 * t->S, sizeof *values);
    if (g->id && !multirc_questions(question, g->id, t->N)) {
        json_t *multirc = json_object();
        for (size_t s = 0; s < t->S; s++) {
            Multirc m = metric_multirc(question, t->label, t->pred[s], t->N);
            values[s] = m.f1a;
            values[t->S + s] = m.em;
            values[2 * t->S + s] = m.f1m;
            values[3 * t->S + s] = m.f1m_paper;
        }
        for (int m = 0; m < 4; m++) {
            json_object_set_new(multirc, names[m], real_list(values + (size_t)m * t->S, t->S));
        }
        json_object_set_new(o, "multirc", multirc);
    }
    free(question);
    free(values);
}

/* AX-g: its clusters are the pairs. */
static void put_parity(json_t *o, const Group *g, const Table *t)
{
    if (!g->cluster || strcmp(preds_meta(g->runs[0], "task"), "axg")) {
        return;
    }
    double *parity = memory_alloc(t->S, sizeof *parity);
    for (size_t s = 0; s < t->S; s++) {
        parity[s] = metric_parity(g->cluster, t->pred[s], t->N);
    }
    json_object_set_new(o, "gender_parity", real_list(parity, t->S));
    free(parity);
}

/* Share of pairs of runs that are both wrong and differ, mean over examples. */
static double wrong_apart(const Table *t)
{
    double sum = 0, S = (double)t->S;
    for (size_t i = 0; i < t->N; i++) {
        double wrong = S - t->right[i];
        sum += wrong * (wrong - 1) - (pairs_same(t, i) - pairs_right(t, i));
    }
    return sum / ((double)t->N * S * (S - 1));
}

/* The task's metric of the majority vote (ties to the smallest class). */
static double vote_zeta(const Group *g, const Table *t)
{
    int *pred = memory_alloc(t->N, sizeof *pred);
    for (size_t i = 0; i < t->N; i++) {
        pred[i] = majority_vote(t, i);
    }
    double zeta = metric_of_classes(preds_meta(g->runs[0], "metric"), g->id, t->label, pred, t->N,
                                    (int)t->K);
    free(pred);
    return zeta;
}

/* What rests on labels, where all of them are hidden. */
static void drop_labelled(json_t *o)
{
    static const char *const keys[] = {"correct",
                                       "accuracy",
                                       "mcc",
                                       "f1_macro",
                                       "f1",
                                       "multirc",
                                       "majority_class",
                                       "majority_rate",
                                       "always_correct",
                                       "always_wrong",
                                       "correct_histogram",
                                       "vote_accuracy",
                                       "vote_zeta",
                                       "CCON",
                                       "CCON_ci",
                                       "CCON_ci_cluster",
                                       "CCON_numerator",
                                       "identity_residual",
                                       "identity_residual_max",
                                       "calibration_gap",
                                       "churn",
                                       "pairs",
                                       "error_consistency_mean",
                                       "error_consistency_pairs_skipped",
                                       "cochran_q",
                                       "cochran_p",
                                       "phi",
                                       "SD_indep",
                                       "expected_best",
                                       "sources",
                                       "without_degenerate"};
    static const char *const of_logits[] = {"data_map", "ensemble_probability_accuracy",
                                            "ensemble_log_probability_accuracy",
                                            "ensemble_probability_zeta"};
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        json_object_del(o, keys[k]);
    }
    for (size_t k = 0; k < sizeof of_logits / sizeof *of_logits; k++) {
        json_object_del(json_object_get(o, "logits"), of_logits[k]);
    }
    json_object_set_new(o, "labels", json_string("hidden"));
}

/* Whether two runs say the same of an example. */
static double agree(const void *context, size_t s, size_t r, size_t i)
{
    const Table *t = context;
    int p = t->pred[s][i];
    return p >= 0 && p == t->pred[r][i];
}

static json_t *con_components(const Table *t)
{
    if (t->S < 4 || t->N < 2) {
        return json_null();
    }
    Components c = components_estimate(agree, t, t->S, t->N);
    return components_json(&c);
}

/* Item 7. */
static void put_intervals(json_t *o, const Table *t, const int *clusters, double level)
{
    static const char *const keys[] = {"CON_ci", "CCON_ci", "CON_ci_cluster", "CCON_ci_cluster"};
    json_t *list[4];
    int count = clusters ? 4 : 2;
#pragma omp parallel for schedule(dynamic) if (is_worth_threads(t->S * t->N))
    for (int k = 0; k < count; k++) {
        list[k] = two_way(t, k % 2, k < 2 ? NULL : clusters, level);
    }
    for (int k = 0; k < count; k++) {
        json_object_set_new(o, keys[k], list[k]);
    }
    if (clusters) {
        int *sorted = memory_alloc(t->N, sizeof *sorted);
        memcpy(sorted, clusters, t->N * sizeof *sorted);
        put_count(o, "clusters", count_distinct(sorted, t->N));
        free(sorted);
    }
}

static void put_classes(json_t *o, const Group *g, const StatisticsOptions *options)
{
    Table t = table_make(g, NULL, NULL);
    double *zeta = memory_alloc(t.S, sizeof *zeta), n = (double)t.N, S = (double)t.S;
    char *collapsed = memory_calloc(t.S, 1);
    put_count(o, "missing", t.missing);
    put_metrics(o, g, &t, zeta);
    put_spread(o, zeta, t.S, options->level);
    size_t any = put_degenerate(o, g, &t, collapsed, options->level);
    put_shares(o, &t);
    put(o, "vote_zeta", vote_zeta(g, &t));
    if (t.S > 1) {
        double con = agreement(&t, pairs_same), ccon = agreement(&t, pairs_right), accuracy = 0;
        for (size_t s = 0; s < t.S; s++) {
            accuracy += (double)t.correct[s] / n / S;
        }
        put(o, "CON", con);
        put(o, "CCON", ccon);
        put(o, "identity_residual", fabs(ccon - (accuracy - (1 - con) / 2 + wrong_apart(&t) / 2)));
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
        if (options->components) {
            json_object_set_new(o, "CON_components", con_components(&t));
        }
        put_intervals(o, &t, g->cluster, options->level);
    }
    if (t.K == 2) {
        put_multirc(o, g, &t);
        put_parity(o, g, &t);
    }
    put_sources(o, g, &t, zeta, options->level);
    json_object_set_new(o, "zeta_by_run", real_list(zeta, t.S));
    json_object_set_new(o, "expected_best", expected_best(zeta, t.S));
    if (options->examples) {
        put_least_stable(o, g, &t, options->examples);
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
                complete[i] = (char)(complete[i] && t.pred[s][i] >= 0);
            }
        }
        Table answered = table_make(g, NULL, complete);
        json_object_set_new(o, "complete_case", part(&answered, 0));
        table_free(&answered);
        free(complete);
    }
    if (group_is_hidden(g)) {
        drop_labelled(o);
    }
    free(zeta);
    free(collapsed);
    table_free(&t);
}

json_t *statistics_compute(const Group *group, const StatisticsOptions *options)
{
    json_t *o = json_object(), *seeds = json_array();
    for (size_t s = 0; s < group->S; s++) {
        json_array_append_new(seeds, seed_json(preds_meta(group->runs[s], "seed")));
    }
    json_object_set_new(o, "seeds", seeds);
    put_count(o, "S", group->S);
    put_count(o, "N", group->N);
    if (group->regression) {
        put_regression(o, group, options->level);
    } else {
        put_count(o, "K", (size_t)group->K);
        put_classes(o, group, options);
    }
    return o;
}
