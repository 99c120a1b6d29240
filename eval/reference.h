/* Our groups beside the cells of a published table, or of one of the user's. */
#ifndef REFERENCE_H
#define REFERENCE_H

#include "report.h"

/* Sets groups of a report beside a table as audit_table gives it. Returns {"file", "source",
 * "rows": [{"group": its place in the list, what it is, "S", "N", "metric", "cell": the audited
 * cell, and "zeta", "VAR", "CON", "CCON", each with "ours", its "ci", "reference", "difference" and
 * "inside"}], "notes": [...]}, all in percent. A group meets the cells of its task: of those whose model has its name, in part, if
 * there are any, else all. The caller owns it. Errors (65): a task that is neither public nor one
 * of the groups, two cells of one model for one group, no task in common. */
int reference_compare(json_t **reference, const json_t *table, const json_t *groups,
                      const Arguments *options, Error *error);

/* How many cells beside ours no runs can have. */
size_t reference_impossible(const json_t *reference);

/* What is shown of it as text, Markdown, LaTeX or HTML. NULL: nothing. */
void reference_show(FILE *out, const json_t *reference, const Arguments *options);

#endif
