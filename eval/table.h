/* A group of runs as a dense table, and its agreement. */
#ifndef TABLE_H
#define TABLE_H

#include "group.h"

/* The group as a dense table, perhaps of some runs or examples only. */
typedef struct Table {
    size_t S, N, K;
    const int **pred; /* [S] the predictions [N] of each run, the group's where all examples are taken */
    int *taken;       /* [S, N] those of some examples, or NULL */
    int *label;       /* [N] */
    int *votes;       /* [N, K] */
    int *right;       /* [N] */
    size_t *correct;  /* [S] */
    size_t missing;   /* predictions of -1 */
} Table;

/* Runs with use_run[s], examples with use_example[i]; NULL takes all. Freed by table_free. */
Table table_make(const Group *group, const char *use_run, const char *use_example);
void table_free(Table *table);

/* The class that most runs predict on example i; ties go to the smallest. -1 where
 * none answered. */
int majority_vote(const Table *table, size_t i);

/* Ordered pairs of runs that agree on example i, or agree and are right. */
double pairs_same(const Table *table, size_t i);
double pairs_right(const Table *table, size_t i);

/* CON (pairs_same) or CCON (pairs_right): a sum of integers below 2^53 and one division. S > 1. */
double agreement(const Table *table, double (*pairs)(const Table *, size_t));

#endif
