#include "components.h"
#include "distributions.h"
#include "result.h"

#include <math.h>
#include <stdlib.h>

/* Variances of runs and pairs from a symmetric table of S runs without a diagonal: rows is the sum of
 * squares of the S means over the others about the mean, pairs that of the S (S - 1) / 2 values. */
static void from_squares(double *of_runs, double *of_pairs, double rows, double pairs, double S)
{
    double scaled = rows * (S - 1) / (S - 2); /* expects (S - 2) runs + pairs */
    *of_pairs = (pairs - (S - 1) * scaled) / (S * (S - 3) / 2);
    *of_runs = (scaled - *of_pairs) / (S - 2);
}

Components components_estimate(PairValue *value, const void *context, size_t S, size_t N)
{
    double *pair = memory_calloc(S * S, sizeof *pair), *row = memory_alloc(S, sizeof *row);
    double n = (double)N, runs = (double)S, count = runs * (runs - 1) / 2;
    double mean = 0, square = 0, rows = 0, pairs = 0; /* of the examples' means and tables */
    for (size_t i = 0; i < N; i++) {
        double sum = 0, squares = 0;
        for (size_t s = 0; s < S; s++) {
            row[s] = 0;
        }
        for (size_t s = 0; s < S; s++) {
            for (size_t t = 0; t < s; t++) {
                double h = value(context, s, t, i);
                pair[s * S + t] += h / n;
                row[s] += h / (runs - 1);
                row[t] += h / (runs - 1);
                sum += h / count;
                squares += h * h;
            }
        }
        double off = sum - mean; /* Welford: examples may be many and alike */
        mean += off / (double)(i + 1);
        square += off * (sum - mean);
        pairs += (squares - count * sum * sum) / n;
        for (size_t s = 0; s < S; s++) {
            rows += (row[s] - sum) * (row[s] - sum) / n;
        }
    }
    double mean_rows = 0, mean_pairs = 0; /* of the table of means over the examples */
    for (size_t s = 0; s < S; s++) {
        double of_run = 0;
        for (size_t t = 0; t < S; t++) {
            double m = t < s ? pair[s * S + t] : pair[t * S + s];
            of_run += t == s ? 0 : m / (runs - 1);
            mean_pairs += t < s ? (m - mean) * (m - mean) : 0;
        }
        mean_rows += (of_run - mean) * (of_run - mean);
    }
    free(pair);
    free(row);
    double a, b, c, d; /* runs and pairs, on one example and in the mean of all */
    from_squares(&a, &c, rows, pairs, runs);
    from_squares(&b, &d, mean_rows, mean_pairs, runs);
    Components parts = {.runs_on_examples = (a - b) / (1 - 1 / n), .rest = (c - d) / (1 - 1 / n)};
    parts.runs = a - parts.runs_on_examples;
    parts.pairs = c - parts.rest;
    parts.examples = square / (n - 1) - 4 * parts.runs_on_examples / runs - parts.rest / count;
    return parts;
}

json_t *components_json(const Components *c)
{
    json_t *o = json_object();
    put(o, "examples", c->examples);
    put(o, "runs", c->runs);
    put(o, "runs_on_examples", c->runs_on_examples);
    put(o, "pairs", c->pairs);
    put(o, "rest", c->rest);
    return o;
}

int components_of(Components *c, const json_t *o)
{
    *c = (Components){number_of(o, "examples"), number_of(o, "runs"),
                      number_of(o, "runs_on_examples"), number_of(o, "pairs"),
                      number_of(o, "rest")};
    return !isnan(c->examples);
}

double components_variance(const Components *c, double S, double N)
{
    double runs = fmax(0, c->runs), pairs = fmax(0, c->pairs);
    double on_examples = fmax(0, c->runs_on_examples), rest = fmax(0, c->rest);
    /* the jackknife counts pairs as 4 / (S (S - 2)), where their mean varies by 2 / (S (S - 1)) */
    return fmax(0, c->examples) / N + 4 / S * (runs + on_examples / N) + 4 / (S * (S - 2)) * pairs +
           2 / (S * (S - 1)) * rest / N;
}

/* P(X < z and Y < z) of normal X and Y with this correlation, by Owen's (1956) T function. */
static double both_below(double z, double correlation)
{
    enum { STEPS = 200 };
    double a = sqrt((1 - correlation) / (1 + correlation)), sum = 0;
    for (int k = 0; k <= STEPS; k++) { /* Simpson */
        double x = a * k / STEPS, weight = k == 0 || k == STEPS ? 1 : k % 2 ? 4 : 2;
        sum += weight * exp(-z * z * (1 + x * x) / 2) / (1 + x * x);
    }
    return normal_cdf(z) - 2 * sum * a / (3 * STEPS) / (2 * acos(-1.0));
}

/* The correlation from 0 to most with which this value is reached; -1 if that is too little. */
static double correlation_of(double z, double value, double most)
{
    double low = 0, high = most;
    if (both_below(z, most) < value - 1e-9) {
        return -1;
    }
    for (int i = 0; i < 60; i++) {
        double middle = (low + high) / 2;
        *(both_below(z, middle) < value ? &low : &high) = middle;
    }
    return high;
}

/* Values and weights [n] of a standard normal variable. */
static void normal_nodes(double *x, double *weight, int n)
{
    double sum = 0;
    for (int k = 0; k < n; k++) {
        x[k] = 7.0 * (2 * k - (n - 1)) / (n - 1);
        weight[k] = exp(-x[k] * x[k] / 2);
        sum += weight[k];
    }
    for (int k = 0; k < n; k++) {
        weight[k] /= sum;
    }
}

int components_model(Components *c, double accuracy, double con, double sd, double N)
{
    double z = normal_quantile(accuracy), ccon = accuracy - (1 - con) / 2;
    double by_chance = accuracy * accuracy + (1 - accuracy) * (1 - accuracy);
    double e = con <= by_chance ? 0 : correlation_of(z, ccon, 1), r = 0;
    double shared = sd * sd - (accuracy - ccon) / N; /* what runs have in common on two examples */
    if (con < by_chance - 1e-9 || e < 0) {
        return -1;
    }
    if (shared > 0) {
        r = correlation_of(z, accuracy * accuracy + shared / (1 - 1 / N), 1 - e);
        if (r < 0) {
            return -1;
        }
    }
    if (con > 1 - 1e-9) { /* all say the same */
        *c = (Components){0};
        return 0;
    }
    /* q[j][i]: right on an example with D = x[i] in a run with B = y[j]; g[i] over all runs. Where
     * noise is small q is steep in D; means over D are smooth in B. */
    enum { EXAMPLES = 4001, RUNS = 81 };
    double *x = memory_alloc(EXAMPLES, sizeof *x), *w = memory_alloc(EXAMPLES, sizeof *w),
           *g = memory_alloc(EXAMPLES, sizeof *g),
           *q = memory_alloc((size_t)EXAMPLES * RUNS, sizeof *q), y[RUNS], v[RUNS];
    double mean = 0, examples = 0, single = 0, runs = 0, pairs = 0, noise = sqrt(1 - e - r);
    normal_nodes(x, w, EXAMPLES);
    normal_nodes(y, v, RUNS);
    for (int i = 0; i < EXAMPLES; i++) {
        g[i] = normal_cdf((z - sqrt(e) * x[i]) / sqrt(1 - e));
        double wrong = 1 - g[i], same = g[i] * g[i] + wrong * wrong;
        mean += w[i] * same;
        examples += w[i] * same * same;
        single += w[i] * (g[i] * g[i] * g[i] + wrong * wrong * wrong);
    }
    for (int j = 0; j < RUNS; j++) {
        double of_run = 0, *of = q + j * EXAMPLES;
        for (int i = 0; i < EXAMPLES; i++) {
            of[i] = normal_cdf((z - sqrt(e) * x[i] - sqrt(r) * y[j]) / fmax(1e-9, noise));
            of_run += w[i] * (of[i] * g[i] + (1 - of[i]) * (1 - g[i]));
        }
        runs += v[j] * of_run * of_run;
        for (int k = 0; k <= j; k++) {
            const double *other = q + k * EXAMPLES;
            double of_pair = 0;
            for (int i = 0; i < EXAMPLES; i++) {
                of_pair += w[i] * (of[i] * other[i] + (1 - of[i]) * (1 - other[i]));
            }
            pairs += (k < j ? 2 : 1) * v[j] * v[k] * of_pair * of_pair;
        }
    }
    free(x);
    free(w);
    free(g);
    free(q);
    double square = mean * mean;
    c->examples = examples - square;
    c->runs = runs - square;
    c->runs_on_examples = single - square - c->examples - c->runs;
    c->pairs = pairs - square - 2 * c->runs;
    c->rest = mean - square - c->examples - 2 * c->runs - 2 * c->runs_on_examples - c->pairs;
    return 0;
}
