/* How the difference of two runs grows, from their traces: over steps the distance of the weights,
 * by their sketches, and of the training loss; over evaluations that of the logits, the share of
 * predictions that differ, and the loss. Beside it the same of two other runs, such as those of two
 * seeds: what a difference of that kind does anyhow. */
#ifndef TRACE_GROWTH_H
#define TRACE_GROWTH_H

#include "trace.h"

/* Appends the curve of a pair to *growth (NULL: begins it), one JSON object (docs/FORMATS.md). The
 * caller owns it. Errors: 65, those of reading, and where the two have nothing in common of which a
 * distance can be told. */
int trace_growth(json_t **growth, TraceReader *a, TraceReader *b, Error *error);

void trace_growth_text(FILE *out, const json_t *growth);
void trace_growth_html(FILE *out, const json_t *growth);

#endif
