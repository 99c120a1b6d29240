/* Runs a recorded run again: the command of a trace's header, in its folder, as a process of its
 * own that leaves the run's files alone. */
#ifndef TRACE_RERUN_H
#define TRACE_RERUN_H

#include "trace.h"

#include <signal.h>

/* A temporary folder for what the program writes. While it is there, signals that end this process
 * wait: they end the program, and then the folder is removed. */
typedef struct TraceRerun {
    char *folder;
    char *trace, *tensor; /* in it: what --trace and --trace-tensor wrote */
    sigset_t signals;     /* the mask before */
} TraceRerun;

/* Errors: 73, 77. */
int trace_rerun_open(TraceRerun *rerun, Error *error);
void trace_rerun_close(TraceRerun *rerun);

/* Runs the command of `trace` with the program of this path (NULL: train_gpt beside this program)
 * from its first step on, or from a checkpoint (from, an absolute path, or one in its folder), up to `until`, "STEP" or "STEP.RECORD"; with a record, its values are in rerun->tensor. options
 * (NULL-terminated) stand behind the command, whose own come before: the last one counts.
 * Errors: 66 no such program, or the folder of the run is not there any more; 77 it may not be
 * entered; that of the program, with its message, 65 where it refuses the command; 70 it crashed. A
 * run that diverged (79) is none where it wrote its trace. */
int trace_rerun(TraceRerun *rerun, const TraceReader *trace, const char *program, const char *from,
                const char *until, const char *const *options, Error *error);

#endif
