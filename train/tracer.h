/* Writes the trace of a run (eval/trace.h) while it goes. Without --trace there is no tracer: all of
 * these take NULL and do nothing then. */
#ifndef TRACER_H
#define TRACER_H

#include "setup.h"
#include "trace.h"

typedef struct Tracer Tracer;

/* Creates the file of --trace; an earlier one goes on as NAME.1.trace, or the first number that is
 * free. With --resume auto a run that goes on writes on in its trace, which tracer_reaches was asked
 * about; with --resume DIR it makes one that begins behind the step. Errors: those of trace_create
 * and trace_resume. */
int tracer_open(Tracer **tracer, Setup *setup, const State *state, const Seeds *seeds,
                Error *error);

/* Whether a run that goes on behind this step can write on in the file of --trace. Errors: those of
 * trace_resume; 78 there is no such file. */
int tracer_reaches(const Setup *setup, const Seeds *seeds, int step, Error *error);

/* Before the passes of the step that follows state->step; before each part of it; behind the passes
 * of a micro-batch; behind the op calls of the step. */
void tracer_begin(Tracer *tracer);
void tracer_part(Tracer *tracer, TracePass pass);
void tracer_micro_batch(Tracer *tracer);
void tracer_pause(Tracer *tracer);

/* Where AdamW is to add hashes in this step; NULL where it is not traced. */
const OptimHashes *tracer_hashes(const Tracer *tracer);

/* Appends the step that was made, or that diverged, or an evaluation. Errors: 70, 74. */
int tracer_step(Tracer *tracer, const StepSums *sums, double terms, double lr, Error *error);
int tracer_evaluation(Tracer *tracer, const Evaluation *evaluation, Error *error);

/* Ends the file: with its end if the run went through. hex gets the chain of all its steps, or "". Returns code, or
 * 74. */
int tracer_close(Tracer *tracer, int whole, char hex[65], int code, Error *error);

#endif
