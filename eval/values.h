/* Statistics of logits and of regression (items 9 and 15 of docs/STATISTICS.md). */
#ifndef VALUES_H
#define VALUES_H

#include "table.h"

/* "logits", if every run has them and all are finite; list_all adds the values of all pairs and
 * examples. S > 1. */
void put_logits(json_t *object, const Group *group, const Table *table, int list_all);
void put_regression(json_t *object, const Group *group, double level);

#endif
