/* How many seeds and examples an interval or a difference needs: consistency --plan
 * (docs/STATISTICS.md, "How many seeds and examples"). */
#ifndef PLANNING_H
#define PLANNING_H

#include "arguments.h"
#include "json.h"

typedef enum Goal { GOAL_VAR, GOAL_ZETA, GOAL_CON, GOAL_DELTA_ZETA, GOAL_DELTA_CON, GOALS } Goal;

/* What --want and --given say; NaN where they say nothing. */
typedef struct PlanNumbers {
    double want[GOALS]; /* points, or % of the value */
    int percent[GOALS];
    double zeta, VAR, CON, N, S; /* in % */
    double accuracy;             /* where zeta is another metric */
} PlanNumbers;

/* Errors: 64 for a name or number of these lists, for either without --plan, and for runs beside
 * --given. */
int plan_read(PlanNumbers *numbers, const Arguments *options, Error *error);

/* A list of plans: of the cells of an audited table, unless NULL, else of the numbers given, or of each group with "CON_components" and each comparison
 * of equal seeds. The caller owns it. Error: 64 where no runs can have the given numbers. */
int plan_make(json_t **plans, const PlanNumbers *numbers, const json_t *cells,
              const json_t *groups, const json_t *comparisons, double level, Error *error);

/* What is shown of it as text, Markdown, LaTeX or HTML. NULL: nothing. */
void plan_show(FILE *out, const json_t *plans, const Arguments *options);

#endif
