#include "coefficients.h"
#include "distributions.h"
#include "pairs.h"
#include "result.h"

#include <math.h>
#include <stdlib.h>

/* What is told of one pair of runs. */
typedef struct Pair {
    PairCount count;
    size_t n10, n01, differ; /* the first alone is right, the second; both wrong and not the same */
    double consistency, kappa; /* of errors, and Cohen's; NaN: undefined */
    double p;                  /* McNemar's, where pairs are listed */
} Pair;

/* How many predictions of each class a run has, [S, K]. */
static size_t *count_said(const Table *t)
{
    size_t *said = memory_calloc(t->S * t->K, sizeof *said);
#pragma omp parallel for if (is_worth_threads(t->S * t->N))
    for (size_t s = 0; s < t->S; s++) {
        for (size_t i = 0; i < t->N; i++) {
            if (t->pred[s][i] >= 0) {
                said[s * t->K + (size_t)t->pred[s][i]]++;
            }
        }
    }
    return said;
}

static double cohen_kappa(const size_t *said, const Table *t, size_t s, size_t r, double agree)
{
    double chance = 0, n = (double)t->N;
    for (size_t c = 0; c < t->K; c++) {
        chance += (double)said[s * t->K + c] * (double)said[r * t->K + c] / (n * n);
    }
    return chance < 1 ? (agree - chance) / (1 - chance) : NAN;
}

static Pair pair_of(const PairBits *bits, const size_t *said, const Table *t, size_t s, size_t r,
                    int listed)
{
    Pair p = {.count = pair_count(bits, s, r)};
    double n = (double)t->N, a = (double)t->correct[s] / n, b = (double)t->correct[r] / n;
    p.n10 = t->correct[s] - p.count.both;
    p.n01 = t->correct[r] - p.count.both;
    /* of those that both have wrong, without those that they agree on */
    p.differ = t->N - p.n10 - p.n01 - p.count.agree;
    double observed = (n - (double)p.n10 - (double)p.n01) / n;
    double chance = a * b + (1 - a) * (1 - b);
    p.consistency = chance < 1 ? (observed - chance) / (1 - chance) : NAN;
    p.kappa = t->missing ? NAN : cohen_kappa(said, t, s, r, (double)p.count.agree / n);
    p.p = listed ? fair_coin_p(p.n10, p.n01) : NAN;
    return p;
}

/* Sums over pairs in the order of their agreement, of which so many pairs have each: of it, or of its
 * squares about a mean. */
static double sum_sorted(const size_t *pairs_with, size_t N, double about, int squared)
{
    double sum = 0;
    for (size_t k = 0; k <= N; k++) {
        double x = (double)k / (double)N - about;
        x = squared ? x * x : x;
        for (size_t i = 0; i < pairs_with[k]; i++) {
            sum += x;
        }
    }
    return sum;
}

static void put_agreement(json_t *o, json_t *parts, const size_t *pairs_with, size_t N,
                          double pairs)
{
    size_t low = 0, high = N;
    while (!pairs_with[low]) {
        low++;
    }
    while (!pairs_with[high]) {
        high--;
    }
    double mean_agree = sum_sorted(pairs_with, N, 0, 0) / pairs;
    put(o, "CON_pair_min", (double)low / (double)N);
    put(o, "CON_pair_max", (double)high / (double)N);
    put(o, "CON_pair_sd_pop", sqrt(sum_sorted(pairs_with, N, mean_agree, 1) / pairs));
    put(parts, "total", 1 - mean_agree);
}

static json_t *pair_json(const Pair *p, const Table *t, size_t s, size_t r)
{
    json_t *entry = json_pack("{s:[I, I]}", "pair", (json_int_t)s, (json_int_t)r);
    put_count(entry, "agree", p->count.agree);
    put_count(entry, "both_correct", p->count.both);
    put_count(entry, "n10", p->n10);
    put_count(entry, "n01", p->n01);
    put_count(entry, "both_wrong_differ", p->differ);
    put(entry, "error_consistency", p->consistency);
    put(entry, "mcnemar_exact_p", p->p);
    if (!t->missing) {
        put(entry, "cohen_kappa", p->kappa);
    }
    return entry;
}

/* Items 3 and 6, and Light's kappa: everything over pairs. Some runs at a time are counted against
 * all behind them, side by side; then their pairs are summed in order. */
void put_pairs(json_t *o, const Table *t, int list_all)
{
    enum { ROWS = 16 };
    size_t S = t->S, N = t->N, skipped = 0, undefined = 0;
    double net = 0, churn = 0, differ = 0, errors = 0, light = 0, residual = 0, n = (double)N,
           pairs = (double)(S * (S - 1) / 2);
    size_t *pairs_with = memory_calloc(N + 1, sizeof *pairs_with), *said = count_said(t);
    Pair *pair = memory_alloc(ROWS * S, sizeof *pair);
    PairBits bits = pair_bits_make(t);
    json_t *list = json_array();
    for (size_t first = 0; first < S; first += ROWS) {
        size_t end = size_min(first + ROWS, S);
#pragma omp parallel for schedule(dynamic, 16) if (is_worth_threads(S * N))
        for (size_t r = first + 1; r < S; r++) {
            for (size_t s = first; s < end && s < r; s++) {
                pair[(s - first) * S + r] = pair_of(&bits, said, t, s, r, list_all);
            }
        }
        for (size_t s = first; s < end; s++) {
            double a = (double)t->correct[s] / n;
            for (size_t r = s + 1; r < S; r++) {
                const Pair *p = &pair[(s - first) * S + r];
                double b = (double)t->correct[r] / n, agree = (double)p->count.agree / n,
                       apart = (double)p->differ / n;
                size_t less = size_min(p->n10, p->n01), more = size_max(p->n10, p->n01);
                pairs_with[p->count.agree]++;
                net += (double)(more - less) / n;
                churn += 2 * (double)less / n;
                differ += apart;
                residual = fmax(residual, fabs((double)p->count.both / n -
                                               ((a + b) / 2 - (1 - agree) / 2 + apart / 2)));
                skipped += isnan(p->consistency);
                errors += isnan(p->consistency) ? 0 : p->consistency;
                undefined += isnan(p->kappa);
                light += isnan(p->kappa) ? 0 : p->kappa;
                if (list_all) {
                    json_array_append_new(list, pair_json(p, t, s, r));
                }
            }
        }
    }
    if (list_all) {
        json_object_set(o, "pairs", list);
    }
    json_decref(list);
    json_t *parts = json_object();
    put_agreement(o, parts, pairs_with, N, pairs);
    put(parts, "net", net / pairs);
    put(parts, "unnecessary", churn / pairs);
    put(parts, "both_wrong_differ", differ / pairs);
    json_object_set_new(o, "churn", parts);
    put(o, "identity_residual_max", residual);
    put(o, "error_consistency_mean",
        pairs > (double)skipped ? errors / (pairs - (double)skipped) : NAN);
    put_count(o, "error_consistency_pairs_skipped", skipped);
    put(o, "light_kappa",
        !t->missing && pairs > (double)undefined ? light / (pairs - (double)undefined) : NAN);
    if (!t->missing) {
        put_count(o, "light_pairs_undefined", undefined);
    }
    pair_bits_free(&bits);
    free(pair);
    free(said);
    free(pairs_with);
}

/* Item 4: Cochran (1950). */
void put_cochran(json_t *o, const Table *t, double ccon)
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
void put_chance_corrected(json_t *o, const Table *t)
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
