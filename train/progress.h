/* What a run shows while it goes: a bar on a terminal, plain lines elsewhere, JSON lines in a log
 * file. */
#ifndef PROGRESS_H
#define PROGRESS_H

#include "study.h"

typedef struct Progress {
    const Study *study;
    FILE *log;
    int terminal, quiet;
    double start, shown, seconds;
    long tokens;
    double loss; /* smoothed, for the bar */
} Progress;

/* Opens the log (replacing an old one). Errors: 73, 74, 77. */
int progress_open(Progress *progress, const Study *study, const Seeds *seeds, const char *log,
                  Error *error);
void progress_step(Progress *progress, int step, double loss, double norm, double lr, long tokens);
void progress_epoch(Progress *progress, int epoch, double train_loss, double dev_loss,
                    const char *metric, double value);
void progress_close(Progress *progress, int code);

#endif
