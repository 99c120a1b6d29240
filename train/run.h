/* One run while it goes: what its parts, the loop, the evaluation and the output, work on. */
#ifndef RUN_H
#define RUN_H

#include "progress.h"
#include "tracer.h"

/* The checkpoints of a run (checkpoint.h). */
typedef struct Saves {
    char *folder;      /* NULL: none are made */
    int newest, older; /* steps of the two that stay; 0: none */
    double time;       /* of the last one */
    char *log;         /* of the one from which the run went on, or NULL */
    void *copy;        /* memory for a copy of the state; NULL: the run waits for the disk */
    struct Saving *saving; /* what is being written beside the run, or NULL */
} Saves;

typedef struct Run {
    Setup *setup;
    const Seeds *seeds;
    const char *name; /* path of its files, without .bin */
    State state;
    Evaluation now; /* the last one; the one to write is state.kept */
    Evaluation half; /* of the half of the dev set that selects */
    Evaluation further[MAX_SETS];
    float *logits; /* [setup_most_evaluated, K] on the device */
    Progress progress;
    Saves saves;
    Tracer *tracer;        /* NULL without --trace */
    char trace_sha256[65]; /* its chain, or "" */
} Run;

/* Trains from the state as it is to the last step and leaves the evaluation to write in it. Errors:
 * 65, 70, 74, 79; 75 a signal, and a checkpoint was saved. */
int run_loop(Run *run, Error *error);

/* Whether --patience ends the run here. */
int run_lost_patience(const Run *run);

/* Mean loss of the epoch's steps so far. */
double run_train_loss(const Run *run);

#endif
