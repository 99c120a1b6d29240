/* Distribution functions and quantiles, in double precision (relative error below 1e-12 where the
 * result is above 1e-300). Continued fractions of Lentz and series as in Abramowitz and Stegun 6.5
 * and 26.5; quantiles by bisection. */
#ifndef DISTRIBUTIONS_H
#define DISTRIBUTIONS_H

/* Regularized incomplete beta function I_x(a, b), a, b > 0, x in [0, 1]. */
double beta_cdf(double x, double a, double b);

/* P(chi-square with df degrees of freedom > x). */
double chi2_tail(double x, double df);

/* x with P(X <= x) = p, 0 < p < 1. NaN of NaN. */
double beta_quantile(double p, double a, double b);
double chi2_quantile(double p, double df);
double t_quantile(double p, double df);
double f_quantile(double p, double df1, double df2);
double normal_quantile(double p);

/* P(|T| >= |t|) of Student's t, also for df that are not whole. */
double t_two_sided(double t, double df);

/* P(Z <= x) of a standard normal Z. */
double normal_cdf(double x);

/* Power of the two-sided t test at this level (0.95 for 5 %): P(|T| > t) of the noncentral t with df
 * degrees of freedom, whose numerator is shifted by so many standard errors. And the shift that has
 * this power, above 1 - level; NaN of NaN. To about 1e-6. */
double t_power(double shift, double df, double level);
double t_shift(double power, double df, double level);

/* Two-sided exact binomial test of a fair coin with k and m of each side (McNemar 1947); 1 where
 * both are 0. */
double fair_coin_p(unsigned long k, unsigned long m);

/* Clopper and Pearson (1934): exact interval of a proportion of k in n at this level. */
void clopper_pearson(double interval[2], unsigned long k, unsigned long n, double level);

#endif
