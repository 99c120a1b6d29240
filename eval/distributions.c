#include "distributions.h"

#include <math.h>

enum { STEPS = 100000 };

/* The continued fraction of the incomplete beta function, for x below (a + 1) / (a + b + 2). */
static double beta_fraction(double x, double a, double b)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1), f;
    d = 1 / (fabs(d) < tiny ? tiny : d);
    f = d;
    for (int m = 1; m < STEPS; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 + even * d;
        c = 1 + even / c;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        c = fabs(c) < tiny ? tiny : c;
        f *= d * c;
        d = 1 + odd * d;
        c = 1 + odd / c;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        c = fabs(c) < tiny ? tiny : c;
        f *= d * c;
        if (fabs(d * c - 1) < 1e-16) {
            break;
        }
    }
    return f;
}

double beta_cdf(double x, double a, double b)
{
    if (!(x > 0)) {
        return 0;
    }
    if (!(x < 1)) {
        return 1;
    }
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    return x < (a + 1) / (a + b + 2) ? front * beta_fraction(x, a, b) / a
                                     : 1 - front * beta_fraction(1 - x, b, a) / b;
}

double chi2_tail(double x, double df)
{
    double a = df / 2, y = x / 2;
    if (!(y > 0)) {
        return 1;
    }
    double front = exp(a * log(y) - y - lgamma(a));
    if (y < a + 1) { /* series of the lower part */
        double term = 1 / a, sum = term;
        for (int n = 1; n < STEPS && term > sum * 1e-17; n++) {
            term *= y / (a + n);
            sum += term;
        }
        return 1 - front * sum;
    }
    const double tiny = 1e-300;
    double b = y + 1 - a, c = 1 / tiny, d = 1 / b, f = d;
    for (int n = 1; n < STEPS; n++) {
        double an = -n * (n - a);
        b += 2;
        d = an * d + b;
        c = b + an / c;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        c = fabs(c) < tiny ? tiny : c;
        f *= d * c;
        if (fabs(d * c - 1) < 1e-16) {
            break;
        }
    }
    return front * f;
}

double beta_quantile(double p, double a, double b)
{
    double low = 0, high = 1;
    if (isnan(p + a + b)) {
        return NAN;
    }
    for (int i = 0; i < 1100 && low < high; i++) {
        double middle = low + (high - low) / 2;
        if (middle == low || middle == high) {
            break;
        }
        *(beta_cdf(middle, a, b) < p ? &low : &high) = middle;
    }
    return high;
}

double chi2_quantile(double p, double df)
{
    double low = 0, high = df + 10;
    if (isnan(p + df)) {
        return NAN;
    }
    while (1 - chi2_tail(high, df) < p) {
        high *= 2;
    }
    for (int i = 0; i < 1100; i++) {
        double middle = low + (high - low) / 2;
        if (middle == low || middle == high) {
            break;
        }
        *(1 - chi2_tail(middle, df) < p ? &low : &high) = middle;
    }
    return high;
}

double t_quantile(double p, double df)
{
    if (p < 0.5) {
        return -t_quantile(1 - p, df);
    }
    /* t^2 / (df + t^2) follows Beta(1 / 2, df / 2) */
    double x = beta_quantile(2 * p - 1, 0.5, df / 2);
    return sqrt(df * x / (1 - x));
}

double fair_coin_p(unsigned long k, unsigned long m)
{
    unsigned long n = k + m, less = k < m ? k : m;
    if (n == 0 || k == m) {
        return 1;
    }
    double p = 2 * beta_cdf(0.5, (double)(n - less), (double)less + 1);
    return p < 1 ? p : 1;
}

void clopper_pearson(double interval[2], unsigned long k, unsigned long n, double level)
{
    double tail = (1 - level) / 2, x = (double)k, size = (double)n;
    interval[0] = k == 0 ? 0 : beta_quantile(tail, x, size - x + 1);
    interval[1] = k == n ? 1 : beta_quantile(1 - tail, x + 1, size - x);
}

double t_two_sided(double t, double df)
{
    return beta_cdf(df / (df + t * t), df / 2, 0.5);
}

double normal_cdf(double x)
{
    return erfc(-x / sqrt(2)) / 2;
}

/* T = (Z + shift) / U, U^2 = chi-square / df: the mean over U of what |T| > t leaves for Z. */
static double beyond(double t, double shift, double df)
{
    enum { NODES = 1000 };
    double reach = 10 / sqrt(2 * df), low = fmax(0, 1 - reach), step = (1 + reach - low) / NODES;
    double sum = 0, weights = 0;
    for (int k = 0; k <= NODES; k++) { /* Simpson */
        double u = low + k * step, weight = k == 0 || k == NODES ? 1 : k % 2 ? 4 : 2;
        weight *= u > 0 ? exp((df - 1) * log(u) - df * (u * u - 1) / 2) : df == 1 ? exp(0.5) : 0;
        sum += weight * (normal_cdf(shift - t * u) + normal_cdf(-shift - t * u));
        weights += weight;
    }
    return sum / weights;
}

double t_power(double shift, double df, double level)
{
    return beyond(t_quantile(1 - (1 - level) / 2, df), shift, df);
}

double t_shift(double power, double df, double level)
{
    double t = t_quantile(1 - (1 - level) / 2, df), low = 0, high = 1;
    if (isnan(power + t)) {
        return NAN;
    }
    while (beyond(t, high, df) < power) {
        high *= 2;
    }
    for (int i = 0; i < 50; i++) {
        double middle = (low + high) / 2;
        *(beyond(t, middle, df) < power ? &low : &high) = middle;
    }
    return high;
}

double normal_quantile(double p)
{
    /* z^2 follows chi-square with 1 */
    return p < 0.5   ? -sqrt(chi2_quantile(1 - 2 * p, 1))
           : p > 0.5 ? sqrt(chi2_quantile(2 * p - 1, 1))
                     : 0;
}

double f_quantile(double p, double df1, double df2)
{
    double x = beta_quantile(p, df1 / 2, df2 / 2);
    return df2 * x / (df1 * (1 - x));
}
