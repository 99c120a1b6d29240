/* Distribution functions and quantiles, in double precision (relative error below 1e-12 where the
 * result is above 1e-300). Continued fractions of Lentz and series as in Abramowitz and Stegun 6.5
 * and 26.5; quantiles by bisection. */
#ifndef DISTRIBUTIONS_H
#define DISTRIBUTIONS_H

/* Regularized incomplete beta function I_x(a, b), a, b > 0, x in [0, 1]. */
double beta_cdf(double x, double a, double b);

/* P(chi-square with df degrees of freedom > x). */
double chi2_tail(double x, double df);

/* x with P(X <= x) = p, 0 < p < 1. */
double beta_quantile(double p, double a, double b);
double chi2_quantile(double p, double df);
double t_quantile(double p, double df);
double f_quantile(double p, double df1, double df2);
double normal_quantile(double p);

/* P(|T| >= |t|) of Student's t, also for df that are not whole. */
double t_two_sided(double t, double df);

/* Two-sided exact binomial test of a fair coin with k and m of each side (McNemar 1947); 1 where
 * both are 0. */
double fair_coin_p(unsigned long k, unsigned long m);

/* Clopper and Pearson (1934): exact interval of a proportion of k in n at this level. */
void clopper_pearson(double interval[2], unsigned long k, unsigned long n, double level);

#endif
