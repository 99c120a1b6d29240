/* What a run shows while it goes: a bar on a terminal, plain lines elsewhere, JSON lines in a log
 * file. */
#ifndef PROGRESS_H
#define PROGRESS_H

#include "setup.h"

typedef struct Progress {
    const Setup *setup;
    FILE *log;
    const char *path; /* of the log */
    int terminal, quiet;
    double start, shown;
    double seconds; /* once it is closed; before it is opened of what was made of the run already */
    long tokens;
    double loss; /* smoothed, for the bar */
} Progress;

/* Opens the log (replacing an old one); its path must live as long. A log is written line by line
 * under its own name, for that of a run that was killed says how far it came; it is whole if it
 * has an "end". A run that goes on has its seconds, tokens and loss in progress, which else is 0,
 * and its log so far in a file of the path `earlier`, else NULL. Errors: 73, 74, 77. */
int progress_open(Progress *progress, const Setup *setup, const Seeds *seeds, const char *log,
                  const char *earlier, Error *error);

/* Errors: 74 if the log cannot be written. */
int progress_step(Progress *progress, int step, double loss, double norm, double lr, long tokens,
                  Error *error);
int progress_evaluation(Progress *progress, const Evaluation *evaluation, double train_loss,
                        const char *metric, Error *error);

/* --patience ends the run behind this step. Errors: the same. */
int progress_early(Progress *progress, int step, Error *error);

/* An evaluation of a further set, at the end. Errors: the same. */
int progress_further(Progress *progress, const Dataset *dataset, const Evaluation *evaluation,
                     Error *error);

/* Ends the log with the code of the run, and returns it, or 74 for a run whose log cannot be
 * written. */
int progress_close(Progress *progress, int code, Error *error);

#endif
