/* The tables of an HTML report. Those of a list that is empty or missing are left out. */
#ifndef HTML_TABLES_H
#define HTML_TABLES_H

#include "report.h"

/* Table 1 with intervals, and the other numbers of all groups. */
void html_paper(FILE *out, const PaperTable *table, const Arguments *options);
void html_numbers(FILE *out, const json_t *groups, const Arguments *options);

/* The examples of a group that seeds decide. */
void html_examples(FILE *out, const json_t *group);

void html_sources(FILE *out, const json_t *groups, const Arguments *options);
void html_comparisons(FILE *out, const json_t *comparisons, const Arguments *options);
void html_audit(FILE *out, const json_t *audit);

/* What was done, and what others need to do it again. */
void html_checklist(FILE *out, const json_t *report, const Arguments *options);

#endif
