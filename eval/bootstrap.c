/* The bootstrap of distinct pairs: item 8 of docs/STATISTICS.md. */
#include "statistics.h"
#include "result.h"
#include "rng.h"

#include <stdlib.h>

void statistics_resampled(const Group *g, const int *runs, const int *examples, double *con,
                          double *ccon)
{
    double same = 0, right = 0, weights = 0, drawn = 0, own = 0;
    double *sum = memory_alloc(2 * (size_t)g->K, sizeof *sum);
    for (size_t s = 0; s < g->S; s++) {
        drawn += runs[s];
        own += (double)runs[s] * runs[s];
    }
    for (size_t i = 0; i < g->N; i++) {
        if (!examples[i]) {
            continue;
        }
        /* pairs of distinct runs that predict c: (sum of m)^2 - sum of m^2 over the runs that do */
        memset(sum, 0, 2 * (size_t)g->K * sizeof *sum);
        for (size_t s = 0; s < g->S; s++) {
            int p = g->runs[s]->pred[i];
            if (p >= 0) {
                sum[2 * p] += runs[s];
                sum[2 * p + 1] += (double)runs[s] * runs[s];
            }
        }
        int label = g->label[i];
        weights += examples[i];
        for (int c = 0; c < g->K; c++) {
            double pairs = (sum[2 * c] * sum[2 * c] - sum[2 * c + 1]) * examples[i];
            same += pairs;
            right += c == label ? pairs : 0;
        }
    }
    free(sum);
    *con = same / ((drawn * drawn - own) * weights);
    *ccon = right / ((drawn * drawn - own) * weights);
}

/* Draws n of n with replacement into multiplicities, by the numbers from at on; returns how many are
 * not 0. */
static size_t draw(int *multiplicity, size_t n, uint64_t key, uint64_t at)
{
    size_t distinct = 0;
    memset(multiplicity, 0, n * sizeof *multiplicity);
    for (size_t i = 0; i < n; i++) {
        distinct += multiplicity[rng_below(key, at + i, (uint32_t)n)]++ == 0;
    }
    return distinct;
}

/* Where the numbers of each resample begin, [B]: those of its runs, then those of its examples. */
static uint64_t *find_draws(const Group *g, size_t B, uint64_t key)
{
    uint64_t *begin = memory_alloc(B, sizeof *begin), at = 0;
    int *runs = memory_alloc(g->S, sizeof *runs);
    for (size_t b = 0; b < B; b++) {
        while (draw(runs, g->S, key, at) < 2) { /* one run alone has no pair: draw again */
            at += g->S;
        }
        begin[b] = at;
        at += g->S + g->N;
    }
    free(runs);
    return begin;
}

/* Linear interpolation between order statistics, as numpy.percentile. */
static double percentile(const double *sorted, size_t n, double p)
{
    double at = p * (double)(n - 1);
    size_t low = (size_t)at;
    return low + 1 < n ? sorted[low] + (at - (double)low) * (sorted[low + 1] - sorted[low])
                       : sorted[n - 1];
}

json_t *statistics_bootstrap(const Group *g, size_t B, uint64_t seed, double level)
{
    if (g->S < 2 || g->runs[0]->regression || B == 0) {
        return json_null();
    }
    double *con = memory_alloc(B, sizeof *con), *ccon = memory_alloc(B, sizeof *ccon);
    uint64_t key = rng_key(seed, "bootstrap"), *begin = find_draws(g, B, key);
#pragma omp parallel if (is_worth_threads(B * g->N))
    {
        int *runs = memory_alloc(g->S, sizeof *runs),
            *examples = memory_alloc(g->N, sizeof *examples);
#pragma omp for
        for (size_t b = 0; b < B; b++) {
            (void)draw(runs, g->S, key, begin[b]);
            (void)draw(examples, g->N, key, begin[b] + g->S);
            statistics_resampled(g, runs, examples, &con[b], &ccon[b]);
        }
        free(runs);
        free(examples);
    }
    char name[32];
    json_t *o = json_object();
    put_count(o, "B", B);
    put(o, "mean", mean(con, B));
    put(o, "sd", sqrt(squares(con, B) / (double)B));
    qsort(con, B, sizeof *con, by_size);
    qsort(ccon, B, sizeof *ccon, by_size);
    double tail = (1 - level) / 2;
    json_object_set_new(o, leveled(name, "percentile", level),
                        interval(percentile(con, B, tail), percentile(con, B, 1 - tail)));
    json_object_set_new(o, leveled(name, "CCON_percentile", level),
                        interval(percentile(ccon, B, tail), percentile(ccon, B, 1 - tail)));
    free(con);
    free(ccon);
    free(begin);
    return o;
}
