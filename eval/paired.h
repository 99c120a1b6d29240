/* Two sets of runs that share seeds: what the change from one to the other does, measured against
 * what another seed does (docs/STATISTICS.md, "Does a change matter?"). */
#ifndef PAIRED_H
#define PAIRED_H

#include "group.h"

/* A and B are the sides of a joined group, zeta_a and zeta_b the scores of their runs. Runs of
 * equal seeds are pairs; the others have no part in it, but are counted. The caller owns it. */
json_t *compare_paired(const Group *a, const Group *b, const double *zeta_a, const double *zeta_b,
                       double level);

/* The place in A, and the place in B, of each pair into at [2, least S]; returns how many. */
size_t paired_runs(size_t *at[2], const Group *a, const Group *b);

/* What compare_paired found, in plain words. The caller frees it. */
char *paired_sentence(const json_t *paired, int regression, double level);

#endif
