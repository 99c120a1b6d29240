/* statistics.md, section 1, on one group. S runs, N examples, K classes, n[i][c] runs that predict
 * c on example i, k[i] runs that are right. A prediction of -1 is wrong and agrees with nothing. */
#include "statistics.h"
#include "distributions.h"
#include "metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The group as a dense table, perhaps of some runs or examples only. */
typedef struct Table {
    size_t S, N, K;
    int *pred;       /* [S, N] */
    int *label;      /* [N] */
    int *votes;      /* [N, K] */
    int *right;      /* [N] */
    size_t *correct; /* [S] */
    size_t missing;  /* predictions of -1 */
} Table;

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

/* Runs with use_run[s], examples with use_example[i]; NULL takes all. */
static Table table_make(const Group *g, const char *use_run, const char *use_example)
{
    Table t = {.K = (size_t)g->K};
    t.pred = memory_alloc(g->S * g->N, sizeof *t.pred);
    t.label = memory_alloc(g->N, sizeof *t.label);
    for (size_t i = 0; i < g->N; i++) {
        if (!use_example || use_example[i]) {
            t.label[t.N++] = g->runs[0]->label[g->order[i]];
        }
    }
    for (size_t s = 0; s < g->S; s++) {
        if (use_run && !use_run[s]) {
            continue;
        }
        for (size_t i = 0, n = 0; i < g->N; i++) {
            if (!use_example || use_example[i]) {
                t.pred[t.S * t.N + n++] = g->runs[s]->pred[g->order[s * g->N + i]];
            }
        }
        t.S++;
    }
    table_count(&t);
    return t;
}

static void table_free(Table *t)
{
    free(t->pred);
    free(t->label);
    free(t->votes);
    free(t->right);
    free(t->correct);
}

static void put(json_t *object, const char *key, double value)
{
    json_object_set_new(object, key, isfinite(value) ? json_real(value) : json_null());
}

static void put_count(json_t *object, const char *key, size_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

static json_t *real_list(const double *values, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, isfinite(values[i]) ? json_real(values[i]) : json_null());
    }
    return list;
}

static json_t *interval(double low, double high)
{
    double ends[2] = {low, high};
    return isfinite(low) && isfinite(high) ? real_list(ends, 2) : json_null();
}

static double mean(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += x[i];
    }
    return sum / (double)n;
}

/* Sum of squares about the mean. */
static double squares(const double *x, size_t n)
{
    double m = mean(x, n), sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (x[i] - m) * (x[i] - m);
    }
    return sum;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Item 1: the metric over runs. */
static void put_spread(json_t *o, const double *zeta, size_t S, double level)
{
    double m = mean(zeta, S), s = S > 1 ? sqrt(squares(zeta, S) / (double)(S - 1)) : NAN,
           df = (double)S - 1, tail = (1 - level) / 2;
    double *sorted = memory_alloc(S, sizeof *sorted);
    memcpy(sorted, zeta, S * sizeof *sorted);
    qsort(sorted, S, sizeof *sorted, by_size);
    put(o, "zeta", m);
    put(o, "VAR", sqrt(squares(zeta, S) / (double)S));
    put(o, "SD_sample", s);
    double half = S > 1 ? t_quantile(1 - tail, df) * s / sqrt((double)S) : NAN;
    json_object_set_new(o, "SD_ci95",
                        S > 1 ? interval(s * sqrt(df / chi2_quantile(1 - tail, df)),
                                         s * sqrt(df / chi2_quantile(tail, df)))
                              : json_null());
    json_object_set_new(o, "mean_ci95_t", interval(m - half, m + half));
    put(o, "rel_se_sd", S > 1 ? 1 / sqrt(2 * df) : NAN);
    put(o, "median", S % 2 ? sorted[S / 2] : (sorted[S / 2 - 1] + sorted[S / 2]) / 2);
    put(o, "iqm", mean(sorted + S / 4, S - 2 * (S / 4)));
    put(o, "min", sorted[0]);
    put(o, "max", sorted[S - 1]);
    free(sorted);
}

/* Pairs of runs that agree on example i, or agree and are right, times two. */
static double pairs_same(const Table *t, size_t i)
{
    double sum = 0;
    for (size_t c = 0; c < t->K; c++) {
        double n = t->votes[i * t->K + c];
        sum += n * (n - 1);
    }
    return sum;
}

static double pairs_right(const Table *t, size_t i)
{
    return (double)t->right[i] * (t->right[i] - 1);
}

static double agreement(const Table *t, double (*pairs)(const Table *, size_t))
{
    double sum = 0; /* an integer below 2^53 */
    for (size_t i = 0; i < t->N; i++) {
        sum += pairs(t, i);
    }
    return sum / ((double)t->N * (double)t->S * (double)(t->S - 1));
}

/* Item 7: the two-way interval of CON, or of CCON if right. cluster [N] or NULL replaces the
 * examples' part by clusters'. */
static json_t *two_way(const Table *t, int right, const int *cluster, double level)
{
    size_t S = t->S, N = t->N;
    if (S < 3 || N < 2) {
        return json_null();
    }
    double (*pairs)(const Table *, size_t) = right ? pairs_right : pairs_same;
    double con = agreement(t, pairs), scale = 1 / ((double)S * (double)(S - 1));
    double *a = memory_alloc(N, sizeof *a), *u = memory_calloc(S * N, sizeof *u),
           *u_mean = memory_alloc(S, sizeof *u_mean);
    double examples = 0, jackknife = 0, interaction = 0, n = (double)N;
    double f = (double)(S - 1) / (double)S * 4 / ((double)(S - 2) * (double)(S - 2));
    for (size_t i = 0; i < N; i++) {
        a[i] = pairs(t, i) * scale;
        examples += (a[i] - con) * (a[i] - con) / (n * (n - 1));
    }
    for (size_t s = 0; s < S; s++) {
        for (size_t i = 0; i < N; i++) {
            int p = t->pred[s * N + i];
            if (p >= 0 && (!right || p == t->label[i])) {
                u[s * N + i] = (double)(t->votes[i * t->K + (size_t)p] - 1) / (double)(S - 1);
            }
        }
        u_mean[s] = mean(u + s * N, N);
        jackknife += f * (u_mean[s] - con) * (u_mean[s] - con);
    }
    for (size_t s = 0; s < S; s++) {
        for (size_t i = 0; i < N; i++) {
            double r = u[s * N + i] - u_mean[s] - a[i] + con;
            interaction += f * r * r / (n * (n - 1));
        }
    }
    if (cluster) {
        /* clusters in the order of their first example */
        double sum_squares = 0;
        size_t G = 0;
        char *done = memory_calloc(N, 1);
        for (size_t i = 0; i < N; i++) {
            double sum = 0;
            for (size_t j = i; j < N && !done[i]; j++) {
                if (cluster[j] == cluster[i] && !done[j]) {
                    sum += a[j] - con;
                    done[j] = (char)(j != i);
                }
            }
            G += !done[i];
            sum_squares += done[i] ? 0 : sum * sum;
            done[i] = 1;
        }
        examples = G > 1 ? (double)G / (double)(G - 1) * sum_squares / (n * n) : NAN;
        free(done);
    }
    double v = fmax(examples + jackknife - interaction, fmax(examples, jackknife)), se = sqrt(v);
    double half = t_quantile(1 - (1 - level) / 2, (double)S - 1) * se;
    json_t *o = json_object();
    put(o, "V_examples", examples);
    put(o, "V_seed_jackknife", jackknife);
    put(o, "V_interaction", interaction);
    put(o, "SE", se);
    json_object_set_new(o, "ci95", interval(fmax(0, con - half), fmin(1, con + half)));
    free(a);
    free(u);
    free(u_mean);
    return o;
}

/* One pair of runs, in counts. */
typedef struct Pair {
    size_t agree, both, n10, n01, differ;
} Pair;

static Pair pair_count(const Table *t, size_t s, size_t r)
{
    Pair p = {0};
    for (size_t i = 0; i < t->N; i++) {
        int x = t->pred[s * t->N + i], y = t->pred[r * t->N + i], a = x == t->label[i] && x >= 0,
            b = y == t->label[i] && y >= 0;
        p.agree += x == y && x >= 0;
        p.both += a && b;
        p.n10 += a && !b;
        p.n01 += !a && b;
        p.differ += !a && !b && (x != y || x < 0);
    }
    return p;
}

static double cohen_kappa(const Table *t, size_t s, size_t r, double agree)
{
    double chance = 0, n = (double)t->N;
    for (size_t c = 0; c < t->K; c++) {
        double x = 0, y = 0;
        for (size_t i = 0; i < t->N; i++) {
            x += t->pred[s * t->N + i] == (int)c;
            y += t->pred[r * t->N + i] == (int)c;
        }
        chance += x * y / (n * n);
    }
    return chance < 1 ? (agree - chance) / (1 - chance) : NAN;
}

/* Items 3 and 6, and Light's kappa: everything over pairs. */
static void put_pairs(json_t *o, const Table *t, int list_all)
{
    size_t S = t->S, N = t->N, count = S * (S - 1) / 2, at = 0, skipped = 0, undefined = 0;
    double *agree = memory_alloc(count, sizeof *agree), net = 0, churn = 0, differ = 0, errors = 0,
           light = 0, residual = 0, n = (double)N;
    json_t *list = json_array();
    for (size_t s = 0; s < S; s++) {
        for (size_t r = s + 1; r < S; r++) {
            Pair p = pair_count(t, s, r);
            double a = (double)t->correct[s] / n, b = (double)t->correct[r] / n,
                   observed = (n - (double)p.n10 - (double)p.n01) / n;
            double chance = a * b + (1 - a) * (1 - b),
                   consistency = chance < 1 ? (observed - chance) / (1 - chance) : NAN;
            double kappa = t->missing ? NAN : cohen_kappa(t, s, r, (double)p.agree / n);
            size_t less = p.n10 < p.n01 ? p.n10 : p.n01, more = p.n10 < p.n01 ? p.n01 : p.n10;
            agree[at++] = (double)p.agree / n;
            net += (double)(more - less) / n;
            churn += 2 * (double)less / n;
            differ += (double)p.differ / n;
            residual = fmax(residual,
                            fabs((double)p.both / n - ((a + b) / 2 - (1 - (double)p.agree / n) / 2 +
                                                       (double)p.differ / n / 2)));
            skipped += isnan(consistency);
            errors += isnan(consistency) ? 0 : consistency;
            undefined += isnan(kappa);
            light += isnan(kappa) ? 0 : kappa;
            if (list_all) {
                json_t *entry = json_pack("{s:[I, I]}", "pair", (json_int_t)s, (json_int_t)r);
                put_count(entry, "agree", p.agree);
                put_count(entry, "both_correct", p.both);
                put_count(entry, "n10", p.n10);
                put_count(entry, "n01", p.n01);
                put_count(entry, "both_wrong_differ", p.differ);
                put(entry, "error_consistency", consistency);
                put(entry, "mcnemar_exact_p", fair_coin_p(p.n10, p.n01));
                if (!t->missing) {
                    put(entry, "cohen_kappa", kappa);
                }
                json_array_append_new(list, entry);
            }
        }
    }
    double pairs = (double)count;
    qsort(agree, count, sizeof *agree, by_size);
    if (list_all) {
        json_object_set(o, "pairs", list);
    }
    json_decref(list);
    put(o, "CON_pair_min", agree[0]);
    put(o, "CON_pair_max", agree[count - 1]);
    put(o, "CON_pair_sd_pop", sqrt(squares(agree, count) / pairs));
    json_t *parts = json_object();
    put(parts, "total", 1 - mean(agree, count));
    put(parts, "net", net / pairs);
    put(parts, "unnecessary", churn / pairs);
    put(parts, "both_wrong_differ", differ / pairs);
    json_object_set_new(o, "churn", parts);
    put(o, "identity_residual_max", residual);
    put(o, "error_consistency_mean", count > skipped ? errors / (double)(count - skipped) : NAN);
    put_count(o, "error_consistency_pairs_skipped", skipped);
    put(o, "light_kappa",
        !t->missing && count > undefined ? light / (double)(count - undefined) : NAN);
    if (!t->missing) {
        put_count(o, "light_pairs_undefined", undefined);
    }
    free(agree);
}

/* Item 4: Cochran (1950). */
static void put_cochran(json_t *o, const Table *t, double ccon)
{
    double S = (double)t->S, mean_correct = 0, spread = 0, variation = 0;
    for (size_t s = 0; s < t->S; s++) {
        mean_correct += (double)t->correct[s] / S;
    }
    for (size_t s = 0; s < t->S; s++) {
        spread += ((double)t->correct[s] - mean_correct) * ((double)t->correct[s] - mean_correct);
    }
    for (size_t i = 0; i < t->N; i++) {
        variation += (double)t->right[i] * (S - (double)t->right[i]);
    }
    double q = variation > 0 ? S * (S - 1) * spread / variation : NAN;
    put(o, "cochran_q", q);
    put(o, "cochran_p", isnan(q) ? NAN : chi2_tail(q, S - 1));
    put(o, "phi", q / (S - 1));
    put(o, "SD_indep", sqrt(fmax(0, mean_correct / (double)t->N - ccon) / (double)t->N));
}

/* Krippendorff (2011), nominal, over the pairs that exist. */
static double krippendorff(const Table *t)
{
    double observed = 0, total = 0, same = 0;
    double *margin = memory_calloc(t->K, sizeof *margin);
    for (size_t i = 0; i < t->N; i++) {
        double m = 0, squared = 0;
        for (size_t c = 0; c < t->K; c++) {
            double n = t->votes[i * t->K + c];
            m += n;
            squared += n * n;
        }
        if (m > 1) {
            observed += (m * m - squared) / (m - 1);
            total += m;
            for (size_t c = 0; c < t->K; c++) {
                margin[c] += t->votes[i * t->K + c];
            }
        }
    }
    for (size_t c = 0; c < t->K; c++) {
        same += margin[c] * margin[c];
    }
    free(margin);
    double expected = total * total - same;
    return expected > 0 ? 1 - (total - 1) * observed / expected : NAN;
}

/* One chance-corrected coefficient and its standard error (Gwet 2021): chance agreement Pe, and
 * each example's part of it in pe [N], or NULL where chance does not depend on the predictions. */
static void put_kappa(json_t *o, const char *key, const char *se_key, const Table *t,
                      const double *a, double Pe, const double *pe)
{
    double con = mean(a, t->N), kappa = Pe < 1 ? (con - Pe) / (1 - Pe) : NAN, sum = 0,
           n = (double)t->N;
    for (size_t i = 0; i < t->N; i++) {
        double k = (a[i] - Pe) / (1 - Pe) - (pe ? 2 * (1 - kappa) * (pe[i] - Pe) / (1 - Pe) : 0);
        sum += (k - kappa) * (k - kappa);
    }
    put(o, key, kappa);
    put(o, se_key, isnan(kappa) || t->N < 2 ? NAN : sqrt(sum / (n * (n - 1))));
}

/* Item 5. */
static void put_chance_corrected(json_t *o, const Table *t)
{
    put(o, "krippendorff_alpha", krippendorff(t));
    if (t->missing) {
        static const char *const keys[] = {"fleiss_kappa", "gwet_ac1", "brennan_prediger"};
        for (int i = 0; i < 3; i++) {
            json_object_set_new(o, keys[i], json_null());
        }
        return;
    }
    double S = (double)t->S, K = (double)t->K, Pe = 0, gwet = 0;
    double *p = memory_calloc(t->K, sizeof *p), *a = memory_alloc(t->N, sizeof *a);
    double *pe = memory_calloc(t->N, sizeof *pe), *gwet_pe = memory_calloc(t->N, sizeof *gwet_pe);
    for (size_t i = 0; i < t->N; i++) {
        a[i] = pairs_same(t, i) / (S * (S - 1));
    }
    for (size_t c = 0; c < t->K; c++) {
        double votes = 0;
        for (size_t i = 0; i < t->N; i++) {
            votes += t->votes[i * t->K + c];
        }
        p[c] = votes / (S * (double)t->N);
        Pe += p[c] * p[c];
        gwet += p[c] * (1 - p[c]) / (K - 1);
        for (size_t i = 0; i < t->N; i++) {
            pe[i] += p[c] * t->votes[i * t->K + c] / S;
            gwet_pe[i] += (1 - p[c]) * t->votes[i * t->K + c] / (S * (K - 1));
        }
    }
    put(o, "Pe", Pe);
    put_kappa(o, "fleiss_kappa", "fleiss_kappa_se", t, a, Pe, pe);
    put_kappa(o, "gwet_ac1", "gwet_ac1_se", t, a, t->K > 1 ? gwet : NAN, gwet_pe);
    put_kappa(o, "brennan_prediger", "brennan_prediger_se", t, a, 1 / K, NULL);
    free(p);
    free(a);
    free(pe);
    free(gwet_pe);
}

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

/* Softmax in double of float32 logits; log-probabilities too. */
static void softmax(double *p, double *log_p, const float *z, size_t K)
{
    double max = -INFINITY, sum = 0;
    for (size_t c = 0; c < K; c++) {
        max = fmax(max, (double)z[c]);
    }
    for (size_t c = 0; c < K; c++) {
        sum += exp((double)z[c] - max);
    }
    for (size_t c = 0; c < K; c++) {
        log_p[c] = (double)z[c] - max - log(sum);
        p[c] = exp((double)z[c] - max) / sum;
    }
}

static size_t largest(const double *x, size_t K)
{
    size_t best = 0;
    for (size_t c = 1; c < K; c++) {
        best = x[c] > x[best] ? c : best;
    }
    return best;
}

/* Item 9: Jensen-Shannon divergence of all pairs, confidence and variability of examples,
 * ensembles. */
static void put_logits(json_t *o, const Group *g, const Table *t, int list_all)
{
    size_t S = t->S, N = t->N, K = t->K, pair = 0, pairs = S * (S - 1) / 2, by_probability = 0,
           by_log = 0;
    for (size_t s = 0; s < S; s++) {
        if (!g->runs[s]->logits) {
            return;
        }
    }
    double *p = memory_alloc(S * N * K, sizeof *p), *log_p = memory_alloc(S * N * K, sizeof *log_p),
           total = 0;
    double *jsd = memory_calloc(pairs ? pairs : 1, sizeof *jsd),
           *confidence = memory_calloc(N, sizeof *confidence);
    double *variability = memory_calloc(N, sizeof *variability),
           *own = memory_alloc(S, sizeof *own);
    double *sum = memory_alloc(2 * K, sizeof *sum);
    for (size_t s = 0; s < S; s++) {
        for (size_t i = 0; i < N; i++) {
            size_t at = (s * N + i) * K;
            softmax(p + at, log_p + at, g->runs[s]->logits + g->order[s * N + i] * K, K);
        }
    }
    for (size_t s = 0; s < S; s++) {
        for (size_t r = s + 1; r < S; r++, pair++) {
            for (size_t j = 0; j < N * K; j++) {
                double x = p[s * N * K + j], y = p[r * N * K + j], m = (x + y) / 2;
                jsd[pair] += ((x > 0 ? x * log(x / m) : 0) + (y > 0 ? y * log(y / m) : 0)) / 2 /
                             (double)N;
            }
            total += jsd[pair] / (double)pairs;
        }
    }
    for (size_t i = 0; i < N; i++) {
        memset(sum, 0, 2 * K * sizeof *sum);
        for (size_t s = 0; s < S; s++) {
            const double *x = p + (s * N + i) * K;
            own[s] = t->label[i] >= 0 ? x[t->label[i]] : NAN;
            for (size_t c = 0; c < K; c++) {
                sum[c] += x[c];
                sum[K + c] += log_p[(s * N + i) * K + c];
            }
        }
        confidence[i] = mean(own, S);
        variability[i] = sqrt(squares(own, S) / (double)S);
        by_probability += (int)largest(sum, K) == t->label[i];
        by_log += (int)largest(sum + K, K) == t->label[i];
    }
    json_t *logits = json_object();
    put(logits, "jsd_nats_mean", total);
    if (list_all) {
        json_object_set_new(logits, "jsd_pairs", real_list(jsd, pairs));
        json_object_set_new(logits, "confidence", real_list(confidence, N));
        json_object_set_new(logits, "variability", real_list(variability, N));
    }
    put(logits, "ensemble_probability_accuracy", (double)by_probability / (double)N);
    put(logits, "ensemble_log_probability_accuracy", (double)by_log / (double)N);
    json_object_set_new(o, "logits", logits);
    free(p);
    free(log_p);
    free(jsd);
    free(confidence);
    free(variability);
    free(own);
    free(sum);
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
        put_pairs(o, &t, options->pairs);
        put_cochran(o, &t, ccon);
        put_chance_corrected(o, &t);
        json_object_set_new(o, "CON_ci", two_way(&t, 0, NULL, options->level));
        json_object_set_new(o, "CCON_ci", two_way(&t, 1, NULL, options->level));
        put_logits(o, g, &t, options->pairs);
        if (g->runs[0]->cluster) {
            int *cluster = memory_alloc(t.N, sizeof *cluster);
            for (size_t i = 0; i < t.N; i++) {
                cluster[i] = g->runs[0]->cluster[g->order[i]];
            }
            json_object_set_new(o, "CON_ci_cluster", two_way(&t, 0, cluster, options->level));
            json_object_set_new(o, "CCON_ci_cluster", two_way(&t, 1, cluster, options->level));
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

/* Item 15: values of all runs as x [S, N]. Lin's concordance (1989), ICC(2,1) (Shrout and Fleiss
 * 1979), CON within a tolerance of the original scale of 0 to 5. */
static void put_regression(json_t *o, const Group *g, const StatisticsOptions *options)
{
    static const double tolerances[3] = {0.25, 0.5, 1.0};
    size_t S = g->S, N = g->N;
    double *x = memory_alloc(S * N, sizeof *x), *target = memory_alloc(N, sizeof *target),
           *pearson = memory_alloc(S, sizeof *pearson);
    double *spearman = memory_alloc(S, sizeof *spearman), n = (double)N, s_count = (double)S;
    const char *metric = preds_meta(g->runs[0], "metric");
    for (size_t s = 0; s < S; s++) {
        for (size_t i = 0; i < N; i++) {
            size_t row = g->order[s * N + i];
            x[s * N + i] = (double)g->runs[s]->value[row];
            target[i] = s ? target[i] : (double)g->runs[0]->target[row];
        }
        pearson[s] = metric_pearson(x + s * N, target, N);
        spearman[s] = metric_spearman(x + s * N, target, N);
    }
    json_object_set_new(o, "pearson", real_list(pearson, S));
    json_object_set_new(o, "spearman", real_list(spearman, S));
    put_spread(o, strcmp(metric, "spearman") ? pearson : spearman, S, options->level);
    double r_sum = 0, ccc_sum = 0, difference = 0, within[3] = {0},
           pairs = s_count * (s_count - 1) / 2;
    for (size_t s = 0; s < S; s++) {
        for (size_t r = s + 1; r < S; r++) {
            const double *a = x + s * N, *b = x + r * N;
            double ma = mean(a, N), mb = mean(b, N), cross = 0;
            for (size_t i = 0; i < N; i++) {
                double d = fabs(a[i] - b[i]);
                cross += (a[i] - ma) * (b[i] - mb);
                difference += d / n / pairs;
                for (int e = 0; e < 3; e++) {
                    within[e] += (d <= tolerances[e]) / n / pairs;
                }
            }
            r_sum += metric_pearson(a, b, N) / pairs;
            ccc_sum += 2 * cross / (squares(a, N) + squares(b, N) + n * (ma - mb) * (ma - mb)) /
                       pairs;
        }
    }
    if (S > 1) {
        double grand = mean(x, S * N), rows = 0, columns = 0, all = squares(x, S * N);
        for (size_t i = 0; i < N; i++) {
            double row = 0;
            for (size_t s = 0; s < S; s++) {
                row += x[s * N + i] / s_count;
            }
            rows += s_count * (row - grand) * (row - grand);
        }
        for (size_t s = 0; s < S; s++) {
            double column = mean(x + s * N, N);
            columns += n * (column - grand) * (column - grand);
        }
        double ms_rows = rows / (n - 1), ms_columns = columns / (s_count - 1),
               ms_error = (all - rows - columns) / ((n - 1) * (s_count - 1));
        put(o, "pair_pearson_mean", r_sum);
        put(o, "pair_ccc_mean", ccc_sum);
        put(o, "mean_abs_difference_over_5", difference / 5);
        json_t *eps = json_object();
        static const char *const names[3] = {"0.25", "0.5", "1.0"};
        for (int e = 0; e < 3; e++) {
            put(eps, names[e], within[e]);
        }
        json_object_set_new(o, "CON_eps", eps);
        put(o, "icc_2_1",
            (ms_rows - ms_error) /
                (ms_rows + (s_count - 1) * ms_error + s_count * (ms_columns - ms_error) / n));
    }
    json_t *none = json_array();
    json_object_set_new(o, "degenerate", none);
    free(x);
    free(target);
    free(pearson);
    free(spearman);
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
        put_regression(o, group, options);
    } else {
        put_count(o, "K", (size_t)group->K);
        put_classes(o, group, options);
    }
    return o;
}

void statistics_resampled(const Group *g, const int *runs, const int *examples, double *con,
                          double *ccon)
{
    Table t = table_make(g, NULL, NULL);
    double same = 0, right = 0, total = 0, weights = 0;
    for (size_t i = 0; i < t.N; i++) {
        weights += examples[i];
    }
    for (size_t s = 0; s < t.S; s++) {
        for (size_t r = s + 1; r < t.S; r++) {
            double m = (double)runs[s] * runs[r];
            total += m * weights;
            for (size_t i = 0; i < t.N && m > 0; i++) {
                int x = t.pred[s * t.N + i], y = t.pred[r * t.N + i];
                same += x == y && x >= 0 ? m * examples[i] : 0;
                right += x == y && x >= 0 && x == t.label[i] ? m * examples[i] : 0;
            }
        }
    }
    *con = same / total;
    *ccon = right / total;
    table_free(&t);
}

/* One value and all below it. */
static int compare_values(const char *path, const json_t *expected, const json_t *got,
                          double tolerance, FILE *out, int *compared)
{
    if (json_is_object(expected)) {
        int bad = 0;
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)expected, key, value)
        {
            char *below = string_format("%s%s%s", path, *path ? "." : "", key);
            bad += compare_values(below, value, json_object_get(got, key), tolerance, out,
                                  compared);
            free(below);
        }
        return bad;
    }
    if (json_is_array(expected)) {
        int bad = json_array_size(expected) != json_array_size(got);
        if (bad) {
            fprintf(out, "%s: %zu values, expected %zu\n", path, json_array_size(got),
                    json_array_size(expected));
        }
        for (size_t i = 0; i < json_array_size(expected) && !bad; i++) {
            char *below = string_format("%s[%zu]", path, i);
            bad += compare_values(below, json_array_get(expected, i), json_array_get(got, i),
                                  tolerance, out, compared);
            free(below);
        }
        return bad;
    }
    ++*compared;
    int same;
    if (json_is_number(expected)) {
        double e = json_number_value(expected),
               x = json_is_number(got) ? json_number_value(got) : NAN;
        /* sums of products of size 1 carry an absolute error too: zero is met to 1e-12 */
        same = json_is_integer(expected) && json_is_integer(got)
                   ? json_integer_value(expected) == json_integer_value(got)
                   : fabs(x - e) <= tolerance * fabs(e) + 1e-12;
    } else {
        same = json_equal(expected, got);
    }
    if (!same) {
        char *e = json_dumps(expected, JSON_ENCODE_ANY), *x = json_dumps(got, JSON_ENCODE_ANY);
        fprintf(out, "%s: %s, expected %s\n", path, x ? x : "not computed", e ? e : "?");
        free(e);
        free(x);
    }
    return !same;
}

static int *multiplicities(const json_t *list, size_t n)
{
    int *values = memory_calloc(n, sizeof *values);
    for (size_t i = 0; i < n; i++) {
        values[i] = (int)json_integer_value(json_array_get(list, i));
    }
    return values;
}

int statistics_expect(const json_t *expected, const json_t *computed, const Group *group,
                      double tolerance, FILE *out, int *compared)
{
    const char *key;
    json_t *value;
    int bad = 0;
    json_object_foreach((json_t *)expected, key, value)
    {
        if (!strcmp(key, "bootstrap_draws")) {
            size_t i;
            json_t *draw;
            json_array_foreach(value, i, draw)
            {
                const json_t *m = json_object_get(draw, "m"), *w = json_object_get(draw, "w");
                if (json_array_size(m) != group->S || json_array_size(w) != group->N) {
                    fprintf(out, "bootstrap_draws[%zu]: not for %zu runs and %zu examples\n", i,
                            group->S, group->N);
                    bad++;
                    continue;
                }
                double con, ccon;
                int *runs = multiplicities(m, group->S), *examples = multiplicities(w, group->N);
                statistics_resampled(group, runs, examples, &con, &ccon);
                json_t *got = json_pack("{s:f, s:f}", "CON", con, "CCON", ccon),
                       *want = json_copy(draw);
                json_object_del(want, "m");
                json_object_del(want, "w");
                bad += compare_values("bootstrap_draws", want, got, tolerance, out, compared);
                json_decref(got);
                json_decref(want);
                free(runs);
                free(examples);
            }
        } else if (json_object_get(computed, key) && strcmp(key, "identity_residual_max")) {
            bad += compare_values(key, value, json_object_get(computed, key), tolerance, out,
                                  compared);
        } else if (!strcmp(key, "identity_residual_max")) {
            ++*compared; /* a bound */
            double residual = json_number_value(json_object_get(computed, key));
            if (!(residual <= json_number_value(value))) {
                fprintf(out, "%s: %g is above %g\n", key, residual, json_number_value(value));
                bad++;
            }
        } else if (strcmp(key, "set") && strcmp(key, "files") && strcmp(key, "note")) {
            fprintf(out, "%s: not computed, not compared\n", key);
        }
    }
    return bad;
}
