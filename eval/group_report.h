/* What the report says of one group of runs: facts, statistics, texts of examples, warnings. */
#ifndef GROUP_REPORT_H
#define GROUP_REPORT_H

#include "arguments.h"
#include "group.h"
#include "json.h"

/* One object of the report's "groups" (docs/FORMATS.md); the caller owns it. */
json_t *group_report(const Group *joined, const Arguments *options);

/* Appends a line to a list of warnings. */
__attribute__((format(printf, 2, 3))) void warning_add(json_t *list, const char *format, ...);

/* Adds warnings to the groups where runs of one model and task are of several recipes, weights,
 * adapters, training data, tokenizers or data files. */
void warn_mixed(const json_t *groups);

#endif
