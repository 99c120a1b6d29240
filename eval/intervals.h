/* Intervals over seeds, and over seeds and examples (items 1 and 7 of docs/STATISTICS.md). */
#ifndef INTERVALS_H
#define INTERVALS_H

#include "table.h"

/* zeta, VAR, SD_sample and the rest of item 1 from the metric of S runs. */
void put_spread(json_t *object, const double *zeta, size_t S, double level);

/* The two-way interval of CON, or of CCON if right; null for S < 3 or N < 2. cluster [N] or NULL
 * replaces the examples' part by that of clusters. The caller owns the object. */
json_t *two_way(const Table *table, int right, const int *cluster, double level);

#endif
