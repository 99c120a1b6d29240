/* Two sets of runs on the same examples (items 11 and 12 of docs/STATISTICS.md). */
#ifndef COMPARE_H
#define COMPARE_H

#include "group.h"

/* What changes from side 1 to side 0 of a joined group: differences are A minus B, A = side 0.
 * Metric by name; delta_CON and delta_CCON with an interval and a t test over seeds and examples,
 * delta_zeta with Welch's and a permutation test, agreement across the sides, and "paired" for the
 * runs of equal seeds. The caller owns it. */
json_t *compare_groups(const Group *joined, double level);

/* Over the comparisons of several tasks: adds Holm's and Benjamini and Hochberg's adjusted p to
 * each, and returns Wilcoxon's and the sign test across tasks. The caller owns it. */
json_t *compare_across(json_t *comparisons);

#endif
