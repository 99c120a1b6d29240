/* How much the runs of one group agree: zeta, VAR, CON and CCON of the study (docs/STATISTICS.md is
 * the next step). */
#ifndef AGREEMENT_H
#define AGREEMENT_H

#include "preds.h"

/* Runs of one task, model and recipe over the same examples, joined by example_hash. */
typedef struct Group {
    Preds **runs; /* [S] sorted by seed; not owned */
    size_t S, N;
    int K;
    size_t(*order); /* [S, N]: row of example i in run s */
} Group;

/* Joins the runs: refuses (65) other example sets, labels or classes, and two runs of one seed. The
 * array is sorted. */
int group_join(Group *group, Preds **runs, size_t S, Error *error);
void group_free(Group *group);

typedef struct Agreement {
    double *zeta;          /* [S] metric of each run; NaN where undefined */
    double zeta_mean, var; /* VAR is a population standard deviation */
    int pairs;             /* whether CON and CCON exist: S > 1 and classes */
    uint64_t con_numerator, ccon_numerator, denominator;
    double con, ccon;  /* one division each */
    size_t degenerate; /* runs with a single class, or not above the majority rate */
    double majority;
} Agreement;

void agreement_compute(Agreement *agreement, const Group *group);
void agreement_free(Agreement *agreement);

#endif
