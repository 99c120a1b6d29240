#include "inference.h"
#include "distributions.h"
#include "metrics.h"
#include "result.h"
#include "rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Claim {
    double p;
    size_t index;
} Claim;

static int by_p(const void *a, const void *b)
{
    const Claim *x = a, *y = b;
    return x->p != y->p ? (x->p > y->p) - (x->p < y->p)
                        : (x->index > y->index) - (x->index < y->index);
}

/* Claims with a p value, smallest first; returns how many. */
static size_t sort_claims(Claim *claims, double *adjusted, const double *p, size_t n)
{
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        adjusted[i] = p[i];
        if (!isnan(p[i])) {
            claims[m++] = (Claim){p[i], i};
        }
    }
    qsort(claims, m, sizeof *claims, by_p);
    return m;
}

void holm_adjust(double *adjusted, const double *p, size_t n)
{
    Claim *claims = memory_alloc(n, sizeof *claims);
    size_t m = sort_claims(claims, adjusted, p, n);
    double most = 0;
    for (size_t i = 0; i < m; i++) {
        most = fmax(most, fmin(1, (double)(m - i) * claims[i].p));
        adjusted[claims[i].index] = most;
    }
    free(claims);
}

void bh_adjust(double *adjusted, const double *p, size_t n)
{
    Claim *claims = memory_alloc(n, sizeof *claims);
    size_t m = sort_claims(claims, adjusted, p, n);
    double least = 1;
    for (size_t i = m; i-- > 0;) {
        least = fmin(least, (double)m / (double)(i + 1) * claims[i].p);
        adjusted[claims[i].index] = least;
    }
    free(claims);
}

static int by_absolute(const void *a, const void *b)
{
    double x = fabs(*(const double *)a), y = fabs(*(const double *)b);
    return (x > y) - (x < y);
}

double wilcoxon_p(double *statistic, const double *differences, size_t n)
{
    double *d = memory_alloc(n, sizeof *d);
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        if (differences[i] != 0 && !isnan(differences[i])) {
            d[m++] = differences[i];
        }
    }
    *statistic = NAN;
    if (m == 0 || m > 1000) {
        free(d);
        return NAN;
    }
    qsort(d, m, sizeof *d, by_absolute);
    /* twice the mean ranks are integers; ways[w] is the share of sign patterns with sum w */
    size_t all = m * (m + 1), plus = 0;
    double *ways = memory_calloc(all + 1, sizeof *ways);
    ways[0] = 1;
    for (size_t i = 0, j; i < m; i = j) {
        for (j = i; j < m && fabs(d[j]) == fabs(d[i]); j++) {
        }
        size_t rank = i + j + 1;
        for (size_t k = i; k < j; k++) {
            plus += d[k] > 0 ? rank : 0;
            for (size_t w = all + 1; w-- > 0;) {
                ways[w] = (ways[w] + (w >= rank ? ways[w - rank] : 0)) / 2;
            }
        }
    }
    size_t least = size_min(plus, all - plus);
    double p = 0;
    for (size_t w = 0; w <= least; w++) {
        p += 2 * ways[w];
    }
    *statistic = (double)least / 2;
    free(ways);
    free(d);
    return fmin(1, p);
}

double sign_p(const double *differences, size_t n)
{
    unsigned long up = 0, down = 0;
    for (size_t i = 0; i < n; i++) {
        up += differences[i] > 0;
        down += differences[i] < 0;
    }
    return fair_coin_p(up, down);
}

typedef struct Splits {
    const double *values; /* [n + m], of a first */
    size_t n, m;
    double observed, slack;
    double total, count, at_least;
} Splits;

/* Whether the split with this sum on side a has a difference of means at least as large. */
static void count_split(Splits *splits, double sum)
{
    double difference = fabs(sum / (double)splits->n - (splits->total - sum) / (double)splits->m);
    splits->count++;
    splits->at_least += difference >= splits->observed - splits->slack;
}

/* All ways to take left more values from at on. */
static void enumerate(Splits *splits, size_t at, size_t left, double sum)
{
    if (left == 0) {
        count_split(splits, sum);
        return;
    }
    for (size_t i = at; i + left <= splits->n + splits->m; i++) {
        enumerate(splits, i + 1, left - 1, sum + splits->values[i]);
    }
}

static void put_permutation(json_t *o, const double *a, size_t n, const double *b, size_t m)
{
    double *values = memory_alloc(n + m, sizeof *values), number = 1, size = 0;
    memcpy(values, a, n * sizeof *a);
    memcpy(values + n, b, m * sizeof *b);
    Splits splits = {.values = values, .n = n, .m = m};
    for (size_t i = 0; i < n + m; i++) {
        splits.total += values[i];
        size = fmax(size, fabs(values[i]));
    }
    for (size_t i = 1; i <= n; i++) {
        number *= (double)(m + i) / (double)i;
    }
    splits.observed = fabs(mean(a, n) - mean(b, m));
    splits.slack = 1e-12 * size; /* sums of equal scores in another order are equal */
    int exact = number <= 2e6;
    if (exact) {
        enumerate(&splits, 0, n, 0);
    } else {
        uint64_t key = rng_key(0, "permutation"), at = 0;
        count_split(&splits, mean(a, n) * (double)n); /* the observed one is one of them */
        for (int draw = 0; draw < 200000; draw++) {
            double sum = 0;
            for (size_t i = 0; i < n; i++) { /* the first n of a shuffle */
                size_t j = i + rng_below(key, at++, (uint32_t)(n + m - i));
                double value = values[j];
                values[j] = values[i];
                values[i] = value;
                sum += value;
            }
            count_split(&splits, sum);
        }
    }
    put_count(o, "permutation_splits", (size_t)splits.count);
    put_count(o, "permutation_at_least", (size_t)splits.at_least);
    put(o, "permutation_p", splits.at_least / splits.count);
    json_object_set_new(o, "permutation_exact", json_boolean(exact));
    free(values);
}

void put_score_tests(json_t *o, const double *a, size_t n, const double *b, size_t m)
{
    double better = 0;
    int finite = 1;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < m; j++) {
            better += a[i] > b[j] ? 1 : a[i] == b[j] ? 0.5 : 0;
            finite = finite && isfinite(a[i]) && isfinite(b[j]);
        }
    }
    put(o, "probability_of_improvement", finite ? better / ((double)n * (double)m) : NAN);
    double va = n > 1 ? squares(a, n) / (double)(n - 1) / (double)n : NAN;
    double vb = m > 1 ? squares(b, m) / (double)(m - 1) / (double)m : NAN;
    double t = (mean(a, n) - mean(b, m)) / sqrt(va + vb);
    double df = (va + vb) * (va + vb) / (va * va / (double)(n - 1) + vb * vb / (double)(m - 1));
    put(o, "welch_se", sqrt(va + vb));
    put(o, "welch_t", t);
    put(o, "welch_df", df);
    put(o, "welch_p", isfinite(t) && isfinite(df) ? t_two_sided(t, df) : NAN);
    if (finite) {
        put_permutation(o, a, n, b, m);
    }
}

json_t *correlation(const double *x, const double *y, size_t n, double level)
{
    double r = metric_pearson(x, y, n), count = (double)n, least = INFINITY, greatest = -INFINITY;
    double t = r * sqrt((count - 2) / (1 - r * r));
    double half = n > 3 ? normal_quantile(1 - (1 - level) / 2) / sqrt(count - 3) : NAN;
    char key[32];
    double *u = memory_alloc(n + 1, sizeof *u), *v = memory_alloc(n + 1, sizeof *v);
    for (size_t out = 0; out < n; out++) {
        for (size_t i = 0, k = 0; i < n; i++) {
            if (i != out) {
                u[k] = x[i];
                v[k++] = y[i];
            }
        }
        double part = metric_pearson(u, v, n - 1);
        least = isnan(part) ? part : fmin(least, part);
        greatest = isnan(part) ? part : fmax(greatest, part);
    }
    json_t *o = json_object();
    put_count(o, "n", n);
    put(o, "pearson", r);
    put(o, "p", n > 2 && !isnan(r) ? (fabs(r) < 1 ? t_two_sided(t, count - 2) : 0) : NAN);
    json_object_set_new(o, leveled(key, "fisher_ci", level),
                        interval(tanh(atanh(r) - half), tanh(atanh(r) + half)));
    put(o, "spearman", metric_spearman(x, y, n));
    json_object_set_new(o, "leave_one_out", interval(least, greatest));
    free(u);
    free(v);
    return o;
}

json_t *expected_best(const double *values, size_t n)
{
    size_t most = size_min(n, 100);
    double *sorted = memory_alloc(n, sizeof *sorted), *v = memory_calloc(most, sizeof *v),
           *u = memory_calloc(most, sizeof *u), *share = memory_alloc(n, sizeof *share);
    memcpy(sorted, values, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_size);
    for (size_t i = 0; i < n; i++) {
        share[i] = 1; /* C(i + 1, k) / C(n, k), by recursion over k */
    }
    for (size_t k = 1; k <= most; k++) {
        double v_below = 0, u_below = 0;
        for (size_t i = 0; i < n; i++) {
            double v_here = pow((double)(i + 1) / (double)n, (double)k);
            share[i] *= i + 1 >= k ? (double)(i + 2 - k) / (double)(n + 1 - k) : 0;
            v[k - 1] += sorted[i] * (v_here - v_below);
            u[k - 1] += sorted[i] * (share[i] - u_below);
            v_below = v_here;
            u_below = share[i];
        }
    }
    json_t *o = json_object();
    json_object_set_new(o, "v_statistic", real_list(v, most));
    json_object_set_new(o, "u_statistic", real_list(u, most));
    free(sorted);
    free(v);
    free(u);
    free(share);
    return o;
}
