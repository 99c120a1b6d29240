/* Tests and adjustments that need no prediction files (items 11 to 14 of docs/STATISTICS.md). */
#ifndef INFERENCE_H
#define INFERENCE_H

#include "json.h"

/* p values [n] adjusted for n claims: Holm (1979), Benjamini and Hochberg (1995). NaN stays and
 * does not count. */
void holm_adjust(double *adjusted, const double *p, size_t n);
void bh_adjust(double *adjusted, const double *p, size_t n);

/* Wilcoxon's signed-rank test, exact and two-sided also with ties (zeros are dropped): the smaller
 * rank sum in *statistic, and p; NaN without differences or with more than 1000. */
double wilcoxon_p(double *statistic, const double *differences, size_t n);

/* Sign test across tasks. */
double sign_p(const double *differences, size_t n);

/* Scores a [n] and b [m] of two sets of runs: welch_se, welch_t, welch_df, welch_p; the permutation
 * test of the difference of means (exact up to 2,000,000 splits, else 200,000 drawn ones, said in
 * permutation_exact; ties count); probability_of_improvement of a over b, ties a half. Put into
 * object. */
void put_score_tests(json_t *object, const double *a, size_t n, const double *b, size_t m);

/* pearson, p, fisher_ci<level>, spearman, leave_one_out [least, greatest], n. The caller
 * owns it. */
json_t *correlation(const double *x, const double *y, size_t n, double level);

/* v_statistic and u_statistic: entry k - 1 is the expected best of k runs, k up to n and 100 (Dodge
 * et al. 2019; Tang et al. 2020). The caller owns it. */
json_t *expected_best(const double *values, size_t n);

#endif
