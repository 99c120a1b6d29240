#include "coefficients.h"
#include "distributions.h"
#include "result.h"

#include <math.h>
#include <stdlib.h>

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
void put_pairs(json_t *o, const Table *t, int list_all)
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
            size_t less = size_min(p.n10, p.n01), more = size_max(p.n10, p.n01);
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
