/* What runs can have: printed results of a task that no runs give, found from the four numbers. */
#ifndef BOUNDS_H
#define BOUNDS_H

#include "known.h"
#include "json.h"

/* The numbers of a cell. */
enum { ZETA, VAR_OF_ZETA, CON, CCON, CELL_NUMBERS };

/* Results of one model on one task, in percent as printed. */
typedef struct Cell {
    double zeta, VAR, CON, CCON;
    int K;                      /* classes, 0 unknown */
    double N, S;                /* examples, 0 unknown; runs, at least 2 */
    int decimals[CELL_NUMBERS]; /* as printed */
} Cell;

/* Puts into the cell's object: what the identity and the bounds of docs/STATISTICS.md ("Audits")
 * give, "grid" (numbers that are no rounding of a mean over N examples and S runs), a "verdict"
 * ("consistent", "beyond rounding", "truncated", "off the grid", "inconsistent" or "not checked")
 * and its "reason". known is the task, or NULL. */
void put_verdict(json_t *object, const Cell *cell, const KnownTask *known);

#endif
