/* Pairs of runs, Cochran's Q and chance-corrected agreement (items 3 to 6
 * of docs/STATISTICS.md). */
#ifndef COEFFICIENTS_H
#define COEFFICIENTS_H

#include "table.h"

/* Everything over pairs of runs; list_all adds the list "pairs". S > 1. */
void put_pairs(json_t *object, const Table *table, int list_all);
void put_cochran(json_t *object, const Table *table, double ccon);
void put_chance_corrected(json_t *object, const Table *table);

#endif
