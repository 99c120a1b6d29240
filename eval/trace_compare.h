/* Two traces: whether they are of runs that can be compared, and what differs first. The result is
 * one JSON object (docs/FORMATS.md, "Comparisons of traces"), of which the text is a view. */
#ifndef TRACE_COMPARE_H
#define TRACE_COMPARE_H

#include "trace.h"

/* What differs in what the two runs rest on: [{"part": "run" or "machine", "key", "a", "b"}]. Runs
 * may differ in seeds, variants of kernels, micro-batches, and in what their traces record. The
 * caller owns it. Errors: 65 anything else, by its name. */
int trace_receipts(json_t **receipts, const TraceReader *a, const TraceReader *b, Error *error);

/* The next blocks of both of the same kind and step; what one alone records is passed over. A tag is
 * TRACE_NONE where one has ended. Errors: those of trace_next. */
int trace_next_pair(TraceReader *reader[2], TraceBlock block[2], Error *error);

/* Reads both up to the first difference, in memory of one block each. "equal"; "first", what differs
 * first, by name; "equal_before" it. The caller owns it. Errors: 65, also where they have no step in
 * common. */
int trace_compare(json_t **result, TraceReader *a, TraceReader *b, Error *error);

void trace_compare_text(FILE *out, const json_t *result);

/* One line for each of the receipts, with this before it. */
void trace_receipts_text(FILE *out, const char *indent, const json_t *receipts);

/* An op's record: "micro_batch", "pass", "layer", "op", "output", "rows", "columns", "hash". The
 * caller owns it. */
json_t *trace_op_json(const TraceReader *reader, const TraceOp *op);

/* "step 3, micro-batch 0, backward, layer 1: dx of matmul_backward_input": the place of an op's
 * record. The caller frees it. */
char *trace_place(const json_t *first);

#endif
