/* Learning curves: what the runs of a group predicted while they were trained. */
#ifndef CURVES_H
#define CURVES_H

#include "group.h"

/* zeta, VAR, CON and CCON of the group's examples at every evaluation that all runs have, by its
 * step: {"step": [...], "zeta": [...], "VAR": [...], "CON": [...], "CCON": [...]}, what is undefined
 * null. NULL if there is no such evaluation. The caller owns it. */
json_t *curves_compute(const Group *group);

/* Runs whose files have their evaluations. */
size_t curves_runs(const Group *group);

#endif
