#include "compare.h"
#include "distributions.h"
#include "inference.h"
#include "intervals.h"
#include "metrics.h"
#include "paired.h"
#include "result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Scores of the metric of each run, [S]. */
static void scores_of(double *zeta, const Group *g)
{
    const char *metric = preds_meta(g->runs[0], "metric");
    for (size_t s = 0; s < g->S; s++) {
        const Preds *run = g->runs[s];
        zeta[s] = g->regression ? metric_of_values(metric, run->value, g->target, g->N)
                                : metric_of_classes(metric, g->id, g->label, run->pred, g->N,
                                                    g->K);
    }
}

/* "ci": Student's t about a difference; null where its standard error is undefined. */
static void put_t_interval(json_t *o, double delta, double se, double df, double level)
{
    char key[32];
    double half = df > 0 && !isnan(se) ? t_quantile(1 - (1 - level) / 2, df) * se : NAN;
    json_object_set_new(o, leveled(key, "ci", level), interval(delta - half, delta + half));
}

/* Item 11: the difference of CON, or of CCON if right. */
static void put_delta(json_t *o, const char *name, const Table *a, const Table *b, int right,
                      double level)
{
    double (*pairs)(const Table *, size_t) = right ? pairs_right : pairs_same;
    json_t *d = json_object(), *ci_a = two_way(a, right, NULL, level),
           *ci_b = two_way(b, right, NULL, level);
    if (a->S > 1 && b->S > 1) {
        double delta = agreement(a, pairs) - agreement(b, pairs), n = (double)a->N, examples = 0;
        double scale_a = 1 / ((double)a->S * (double)(a->S - 1)),
               scale_b = 1 / ((double)b->S * (double)(b->S - 1));
        for (size_t i = 0; i < a->N; i++) {
            double x = pairs(a, i) * scale_a - pairs(b, i) * scale_b - delta;
            examples += x * x / (n * (n - 1));
        }
        double seeds = number_of(ci_a, "V_seed_jackknife") + number_of(ci_b, "V_seed_jackknife");
        double both = number_of(ci_a, "V_interaction") + number_of(ci_b, "V_interaction");
        double V = isnan(seeds) ? NAN : fmax(examples + seeds - both, fmax(examples, seeds));
        double df = (double)(a->S + b->S - 2), t = delta / sqrt(V);
        put(d, "delta", delta);
        put(d, "V_examples", examples);
        put(d, "V", V);
        put(d, "df", df);
        put(d, "t", t);
        put(d, "p", isfinite(t) ? t_two_sided(t, df) : NAN);
        put_t_interval(d, delta, sqrt(V), df, level);
    }
    json_object_set_new(o, name, d);
    json_decref(ci_a);
    json_decref(ci_b);
}

/* Mean agreement of a run of A with a run of B: all pairs, and those of equal seeds. */
static void put_across(json_t *o, const Group *a, const Group *b)
{
    double all = 0, paired = 0, count = 0, identical = 0;
    for (size_t s = 0; s < a->S; s++) {
        for (size_t r = 0; r < b->S; r++) {
            size_t agree = 0;
            int equal = preds_same_seeds(a->runs[s], b->runs[r]);
            for (size_t i = 0; i < a->N; i++) {
                agree += a->runs[s]->pred[i] >= 0 && a->runs[s]->pred[i] == b->runs[r]->pred[i];
            }
            all += (double)agree;
            paired += equal ? (double)agree : 0;
            identical += equal && agree == a->N;
            count += equal;
        }
    }
    put(o, "CON_across", all / ((double)a->S * (double)b->S * (double)a->N));
    put_count(o, "equal_seeds", (size_t)count);
    put(o, "CON_equal_seeds", count > 0 ? paired / count / (double)a->N : NAN);
    put_count(o, "equal_seeds_identical", (size_t)identical);
}

json_t *compare_groups(const Group *joined, double level)
{
    Group a = group_side(joined, 0), b = group_side(joined, 1);
    json_t *o = json_object(), *macro = json_object();
    double *x = memory_alloc(a.S, sizeof *x), *y = memory_alloc(b.S, sizeof *y);
    scores_of(x, &a);
    scores_of(y, &b);
    put_count(o, "N", a.N);
    put_count(o, "S_A", a.S);
    put_count(o, "S_B", b.S);
    put(macro, "delta", mean(x, a.S) - mean(y, b.S));
    put_score_tests(macro, x, a.S, y, b.S);
    put_t_interval(macro, number_of(macro, "delta"), number_of(macro, "welch_se"),
                   number_of(macro, "welch_df"), level);
    json_object_set_new(o, "zeta", macro);
    if (!a.regression) {
        Table ta = table_make(&a, NULL, NULL), tb = table_make(&b, NULL, NULL);
        put_delta(o, "CON", &ta, &tb, 0, level);
        if (!group_is_hidden(&a)) {
            put_delta(o, "CCON", &ta, &tb, 1, level);
        }
        put_across(o, &a, &b);
        table_free(&ta);
        table_free(&tb);
    }
    json_object_set_new(o, "paired", compare_paired(&a, &b, x, y, level));
    free(x);
    free(y);
    return o;
}

json_t *compare_across(json_t *list)
{
    static const char *const names[3] = {"zeta", "CON", "CCON"}, *const keys[3] = {"permutation_p",
                                                                                   "p", "p"};
    size_t n = json_array_size(list);
    double *p = memory_alloc(n + 1, sizeof *p), *d = memory_alloc(n + 1, sizeof *d),
           *adjusted = memory_alloc(n + 1, sizeof *adjusted);
    json_t *across = json_object();
    for (int k = 0; k < 3; k++) {
        size_t m = 0;
        for (size_t i = 0; i < n; i++) {
            const json_t *entry = json_object_get(json_array_get(list, i), names[k]);
            p[i] = number_of(entry, keys[k]);
            double delta = number_of(entry, "delta");
            if (!isnan(delta)) {
                d[m++] = delta;
            }
        }
        for (int bh = 0; bh < 2; bh++) {
            (bh ? bh_adjust : holm_adjust)(adjusted, p, n);
            for (size_t i = 0; i < n; i++) {
                json_t *entry = json_object_get(json_array_get(list, i), names[k]);
                if (entry) {
                    put(entry, bh ? "p_bh" : "p_holm", adjusted[i]);
                }
            }
        }
        double statistic, wilcoxon = wilcoxon_p(&statistic, d, m);
        json_t *o = json_object();
        put_count(o, "tasks", m);
        put(o, "wilcoxon_statistic", statistic);
        put(o, "wilcoxon_exact_p", wilcoxon);
        put(o, "sign_test_p", m ? sign_p(d, m) : NAN);
        json_object_set_new(across, names[k], o);
    }
    free(p);
    free(d);
    free(adjusted);
    return across;
}
