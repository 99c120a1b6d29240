/* Which elements differ in the first output that differs: both runs are run again up to it, from the
 * last checkpoint before it that --keep-checkpoints left, if both have that one and it is the same. */
#ifndef TRACE_EXPLAIN_H
#define TRACE_EXPLAIN_H

#include "json.h"

typedef struct TraceExplain {
    const char *traces[2];
    const char *programs[2]; /* that run them again; NULL: train_gpt beside this program */
    size_t window;           /* rows and columns that are written; 0: none */
    const char *file;        /* to where: safetensors */
    char *from[2];           /* checkpoints to begin from, or NULL: trace_explain's */
} TraceExplain;

/* result is that of trace_compare of the two traces, which differ; it gets "elements"
 * (docs/FORMATS.md), or "unexplained" where no op of a step made the difference. Where they record no
 * op, "first" becomes the first op that differs in that step. Errors: those of trace_rerun; 65 where
 * a program does not reproduce its trace up to that step; those of safetensors_write. */
int trace_explain(json_t *result, TraceExplain *explain, Error *error);

#endif
