/* The pictures of an HTML report. One that a group or table has no values for is left out, or a
 * line says what it needs. */
#ifndef HTML_PLOTS_H
#define HTML_PLOTS_H

#include "report.h"

/* Scores of all seeds, for every task of one block of the table. */
void html_scores(FILE *out, const PaperTable *table, int block);

/* Of one group: agreement of all pairs of runs; how many runs are right, and the distribution of
 * agreement; confidence and variability of examples. */
void html_pairs(FILE *out, const json_t *group);
void html_right(FILE *out, const json_t *group);
void html_data_map(FILE *out, const json_t *group);

/* Of one group: score and agreement, and VAR, over training. */
void html_curves(FILE *out, const json_t *group);

/* VAR, CON or CCON against training size: one correlation. */
void html_sizes(FILE *out, const json_t *correlation, const Arguments *options);

/* VAR beside what independent errors would give, and what disagreement is made of. */
void html_independence(FILE *out, const json_t *groups);
void html_churn(FILE *out, const json_t *groups);

#endif
