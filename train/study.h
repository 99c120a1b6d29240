/* train_gpt study: tasks x models x recipes x seeds as a list of independent runs, each a process of
 * train_gpt; docs/STUDY.md. */
#ifndef STUDY_H
#define STUDY_H

#include "json.h"
#include "recipe.h"

#include <sys/types.h>

/* What its command line has for itself; the other words go to every run. Texts point into argv. */
typedef struct StudyOptions {
    const char *tasks, *seeds, *grid, *out, *index;
    int print, run, dry_run, quiet, help;
    int jobs, threads;    /* runs at a time, threads of each; 0: as the machine has */
    const char **models;  /* [model_count], one NULL where none is named */
    const char **recipes; /* the same */
    char **rest;          /* [rest_count] */
    int model_count, recipe_count, rest_count;
} StudyOptions;

/* A task, model and recipe: the runs of a cell differ in their seeds alone. */
typedef struct Cell {
    const char *task, *model, *recipe;          /* as named; model and recipe may be NULL */
    char *task_name, *model_name, *recipe_name; /* as they are known */
    json_t *receipts; /* what the metadata of all its prediction files say */
    json_t *hparams;  /* without seeds */
    int steps;
    double cost;       /* of a run, in operations */
    size_t bytes;      /* of a run's memory */
    double seconds[2]; /* a run at least and at most, with all threads; 0: unknown */
} Cell;

typedef enum RunState { RUN_WAITS, RUN_GOES, RUN_ELSEWHERE, RUN_DONE, RUN_FAILED } RunState;

typedef struct StudyRun {
    const Cell *cell;
    char *name;   /* of its files: glue.rte.validation.tiny.1a2b3c4d.s42 */
    char **paths; /* [path_count] of its prediction files: of the dev set, then of further sets */
    int path_count;
    json_t *receipts; /* what the metadata of the first say */
    int number;       /* in the order of the command line */
    char **argv;
    int argc;
    RunState state;
    int tries;    /* how often it found another process at work */
    double retry; /* RUN_ELSEWHERE: when to look again */
} StudyRun;

enum { MAX_RUNS = 10000 };

typedef struct Study {
    StudyOptions options;
    const char *out; /* the folder: preds/, logs/, claims/, study.json and the tables */
    char *preds;
    Cell *cells;
    int cell_count;
    StudyRun *runs; /* the longest first */
    int run_count;
    char *task_memory; /* the cells' names point into it */
    size_t room;       /* bytes that all runs together may have */
    int cores;         /* that they may keep busy */
    int builtin, tiny; /* some data, some model are stand-ins */
    int stopped;       /* by a signal */
    int one_each;      /* a device that runs do not share */
} Study;

/* Reads the command line, without the word study. Errors: 64. */
int study_options(StudyOptions *options, int argc, char **argv, Error *error);
void study_help(FILE *out);

/* Makes the list of runs: opens data, tokenizer and model of every cell, so that whatever would
 * refuse a run does so before the first begins. Errors: all of setup_open and setup_plan, with the
 * cell's name before them. */
int study_expand(Study *study, Error *error);
void study_free(Study *study);

/* Whether the prediction file of a run is there, whole, and by its receipts this run's. */
int study_finished(const StudyRun *run);

/* Runs those of the list that are not finished, from first on so many: jobs at a time; shows what
 * goes on. Errors: 75 stopped by a signal, 73 one that was asked for alone runs elsewhere, and the
 * code of the first run that failed, when all others have ended. */
int study_work(Study *study, int first, int count, Error *error);

/* The command: argv[0] is the word study. Errors: those of its parts. */
int study_main(int argc, char **argv, Error *error);

#endif
