/* Every statistic of one group of runs, by the names of docs/STATISTICS.md. */
#ifndef STATISTICS_H
#define STATISTICS_H

#include "group.h"

typedef struct StatisticsOptions {
    double level;    /* of intervals, 0.95 */
    int summary;     /* only what the table shows: nothing over pairs of runs, no logits */
    int pairs;       /* list every pair of runs, and the values of every example */
    int components;  /* of CON's variance */
    size_t examples; /* how many of the least stable ones to list */
} StatisticsOptions;

/* A JSON object; what is undefined is null. The caller owns it. */
json_t *statistics_compute(const Group *group, const StatisticsOptions *options);

/* CON and CCON of weighted runs and examples, distinct pairs of runs only: runs [S] and examples
 * [N] multiplicities. */
void statistics_resampled(const Group *group, const int *runs, const int *examples, double *con,
                          double *ccon);

/* The bootstrap of distinct pairs (seeds and examples drawn with replacement, a run never paired
 * with itself): B, mean, sd, percentile95 of CON and CCON. The same seed gives the same draws
 * everywhere. */
json_t *statistics_bootstrap(const Group *group, size_t B, uint64_t seed, double level);

/* Compares the statistics of a group with a file of expected values: a JSON object of the same
 * names, or a report of one group. Relative tolerance for numbers, exactly for integers, null only
 * with null. Prints what differs or was not computed, a line each, and how many were compared.
 * Returns 0, 1 if any differs, or the code of an error: those of json_read_file, 65 for several
 * groups, no object, or one without any name that was computed. */
int expect_file(const char *path, const Group *group, double level, double tolerance,
                Error *error);

#endif
