/* Variance by source where runs form a grid of seeds (Dodge et al. 2020). */
#ifndef SOURCES_H
#define SOURCES_H

#include "table.h"

/* Puts "sources" if the init, data and dropout seeds of the runs form a complete balanced grid of
 * at least two of them: components of a random effects analysis of variance of the metric zeta [S],
 * with modified large sample intervals (Ting et al. 1990), and CON of pairs that share a seed. */
void put_sources(json_t *object, const Group *group, const Table *table, const double *zeta,
                 double level);

/* Where at least two of the seeds vary on their own but not as a complete grid: which, and some of
 * the combinations "init-data-dropout" that are missing. NULL for a grid, and for runs that differ
 * in one seed. The caller frees it. */
char *grid_gaps(const Group *group);

#endif
