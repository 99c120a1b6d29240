/* Intervals over seeds, and over seeds and examples (items 1 and 7 of docs/STATISTICS.md). */
#ifndef INTERVALS_H
#define INTERVALS_H

#include "table.h"

/* zeta, VAR, SD_sample and the rest of item 1 from the metric of S runs. */
void put_spread(json_t *object, const double *zeta, size_t S, double level);

/* The variance of a mean over N examples of a statistic of S runs, by the two-way formula of item 7:
 * value [N] is the statistic on each example; the influence [N] of each run, which the function gives
 * until it is called again, is S - 1 times what leaving out that run takes from it, so that its sum
 * over runs is 0. cluster as below. S > 1, N > 1. */
typedef struct TwoWay {
    double examples, seeds, both, all; /* all = examples + seeds - both, at least the first two */
} TwoWay;
typedef const double *Influence(const void *context, size_t run);
TwoWay two_way_variance(const double *value, Influence *influence, const void *context, size_t S,
                        size_t N, const int *cluster);

/* The two-way interval of CON, or of CCON if right; null for S < 3 or N < 2. cluster [N] or NULL
 * replaces the examples' part by that of clusters. The caller owns the object. */
json_t *two_way(const Table *table, int right, const int *cluster, double level);

#endif
