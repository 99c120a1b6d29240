/* Tests, adjustments, quantiles and metrics of plain numbers, against values by hand, by going
 * through all cases, or from scipy 1.17. Needs no files. */
#include "distributions.h"
#include "inference.h"
#include "made_groups.h"
#include "metrics.h"
#include "result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* P(the smaller rank sum is at most that of d) over all signs; zeros dropped, ties share ranks. */
static double wilcoxon_by_signs(const double *d, int n)
{
    double rank[16], all = 0, plus = 0;
    int m = 0, count = 0;
    for (int i = 0; i < n; i++) {
        if (d[i] != 0) {
            double below = 0, equal = 0;
            for (int j = 0; j < n; j++) {
                below += d[j] != 0 && fabs(d[j]) < fabs(d[i]);
                equal += fabs(d[j]) == fabs(d[i]);
            }
            rank[m] = below + (equal + 1) / 2;
            all += rank[m];
            plus += d[i] > 0 ? rank[m] : 0;
            m++;
        }
    }
    for (int signs = 0; signs < 1 << m; signs++) {
        double sum = 0;
        for (int i = 0; i < m; i++) {
            sum += signs >> i & 1 ? rank[i] : 0;
        }
        count += fmin(sum, all - sum) <= fmin(plus, all - plus);
    }
    return (double)count / (1 << m);
}

static void check_tests(void)
{
    static const double p[4] = {0.04, NAN, 0.01, 0.03}, holm[4] = {0.06, NAN, 0.03, 0.06},
                        bh[4] = {0.04, NAN, 0.03, 0.04};
    double adjusted[4], statistic;
    holm_adjust(adjusted, p, 4);
    for (int i = 0; i < 4; i++) {
        near("Holm", "of three and no value", adjusted[i], holm[i], 1e-12);
    }
    bh_adjust(adjusted, p, 4);
    for (int i = 0; i < 4; i++) {
        near("Benjamini-Hochberg", "of three and no value", adjusted[i], bh[i], 1e-12);
    }
    static const double d[3][8] = {{1, 1, 2, -1, 0, 3, -2, 0},
                                   {0.5, 0.5, 0.5, -0.25, 0, 0, 1.5, 2},
                                   {1, 2, 3, 4, 5, -6, 7, 8}};
    static const double sums[3] = {6.5, 1, 6};
    for (int i = 0; i < 3; i++) {
        near("Wilcoxon", "p with ties and zeros", wilcoxon_p(&statistic, d[i], 8),
             wilcoxon_by_signs(d[i], 8), 1e-12);
        near("Wilcoxon", "rank sum", statistic, sums[i], 1e-12);
    }
    near("sign", "three up, two zeros", sign_p((double[]){1, 0, 2, 0, 3}, 5), 0.25, 1e-12);
    static const double a[4] = {0.75, 0.5, 0.625, 0.875}, b[3] = {0.625, 0.5, 0.75};
    json_t *o = json_object();
    put_score_tests(o, a, 4, b, 3);
    near("scores", "welch_t", number(o, "welch_t"), 0.57735026918962584, 1e-12);
    near("scores", "welch_df", number(o, "welch_df"), 4.959183673469389, 1e-12);
    near("scores", "welch_p", number(o, "welch_p"), 0.58892154928582552, 1e-9);
    near("scores", "welch_se", number(o, "welch_se"), 0.10825317547305482, 1e-12);
    near("scores", "splits", number(o, "permutation_splits"), 35, 0);
    near("scores", "at least", number(o, "permutation_at_least"), 27, 0);
    near("scores", "improvement, ties a half", number(o, "probability_of_improvement"), 0.625,
         1e-12);
    json_decref(o);
    /* 26 scores, one of which is 1: it is always on one side, so each of the 200,000 splits drawn
     * and the one observed is as far apart as any */
    double ones[13] = {1}, zeros[13] = {0};
    o = json_object();
    put_score_tests(o, ones, 13, zeros, 13);
    near("scores", "splits drawn", number(o, "permutation_splits"), 200001, 0);
    near("scores", "at least, drawn", number(o, "permutation_at_least"), 200001, 0);
    json_decref(o);
    /* two ones on one side: P(both on one side) = 2 (12 / 25) / 2 = 0.48 of all splits */
    ones[1] = 1;
    o = json_object();
    put_score_tests(o, ones, 13, zeros, 13);
    near("scores", "p, drawn", number(o, "permutation_p"), 0.48, 0.02);
    json_decref(o);
}

static void check_metrics(void)
{
    /* hidden and missing: of three labelled ones two are right */
    static const int labels[5] = {1, 0, -1, 1, 1}, said[5] = {1, 1, 0, 1, -1};
    static const double x[4] = {0, 0, 0, 2};
    Confusion c;
    confusion_count(&c, labels, said, 5, 2);
    near("metrics", "accuracy", metric_accuracy(&c), 0.5, 1e-15);
    near("metrics", "majority", metric_majority(&c), 0.75, 1e-15);
    /* as three classes, of which no example has the third: N = 4, 2 right, predicted 0, 3, 1,
     * labels 1, 3, 0: (2 * 4 - 9) / sqrt((16 - 10) (16 - 10)) */
    near("metrics", "mcc with a missing prediction", metric_mcc(&c), -1.0 / 6, 1e-15);
    confusion_free(&c);
    near("metrics", "mae", metric_mae((double[]){1, 5, 2}, (double[]){2, 2, 2}, 3), 4.0 / 3, 1e-15);
    /* sums of squares of 3, whose root is rounded down: no more than 1 */
    CHECK(metric_pearson(x, x, 4) == 1, "a correlation of %.17g", metric_pearson(x, x, 4));
    double reversed[4] = {2, 2, 2, 0};
    CHECK(metric_pearson(x, reversed, 4) == -1, "%.17g", metric_pearson(x, reversed, 4));
    /* one question where nothing is said nor there, one with both: precision and recall 1 */
    static const int question[3] = {1, 2, 2}, answer[3] = {0, 1, 0}, predicted[3] = {0, 1, 0};
    Multirc m = metric_multirc(question, answer, predicted, 3);
    near("multirc", "f1m_paper", m.f1m_paper, 1, 1e-15);
    /* two pairs that agree, one that does not, half of one, one whose predictions are missing */
    static const int pair[] = {4, 4, 5, 5, 6, 7, 7, 8, 8}, chosen[] = {1, 1, 0, 1, 1, -1, -1, 0, 0};
    near("axg", "parity", metric_parity(pair, chosen, 9), 0.5, 1e-15);
    CHECK(isnan(metric_parity(pair + 3, chosen, 1)), "a parity without pairs");
    near("multirc", "f1m", m.f1m, 0.5, 1e-15);
}

int main(void)
{
    char key[32];
    CHECK(!strcmp(leveled(key, "ci", 0.995), "ci99.5"), "%s", key);
    /* P(chi2 with 2 > x) = exp(-x / 2); t with 1 is Cauchy; a fair coin by hand */
    near("chi2", "tail", chi2_tail(700, 2), exp(-350), 1e-11);
    near("t", "Cauchy", t_quantile(0.75, 1), 1, 1e-12);
    near("coin", "1 of 5", fair_coin_p(1, 4), 2 * (1 + 5) / 32.0, 1e-12);
    near("normal", "quantile", normal_quantile(0.975), 1.959963984540054, 1e-12);
    near("F", "quantile", f_quantile(0.95, 1, 9), t_quantile(0.975, 9) * t_quantile(0.975, 9),
         1e-10);
    CHECK(isnan(beta_quantile(0.5, NAN, 1)) && isnan(beta_quantile(NAN, 1, 1)) &&
              isnan(chi2_quantile(NAN, 2)) && isnan(chi2_quantile(0.5, NAN)) &&
              isnan(t_quantile(0.975, NAN)) && isnan(f_quantile(0.5, 1, NAN)) &&
              isnan(t_shift(0.8, NAN, 0.95)),
          "quantiles of NaN");
    check_tests();
    check_metrics();
    return checks_close("test_inference");
}
