/* A task of one's own: two or three tables of a user, in CSV, TSV or JSON lines, whose columns, label names
 * and kind are named by options or seen in the training file (docs/TASKS.md). */
#ifndef OWN_H
#define OWN_H

#include "tasks.h"

/* What the options say; NULL for what they leave open. The texts stay the caller's. */
typedef struct OwnRequest {
    const char *name;
    const char *texts;    /* columns of the texts, between commas; of a choice its context, then the
                             choices */
    const char *label;    /* column of the label */
    const char *id;       /* column of the ids, or "none" */
    const char *problem;  /* single, choice or regression */
    const char *template; /* text for a decoder, "Premise: {premise}| Hypothesis: {hypothesis}" */
} OwnRequest;

typedef struct Own {
    Task task; /* kind, K and labels are known when the training file is read */
    OwnRequest request;
    char **texts;     /* stb_ds: two of a pair, one of a single text or of a choice's context */
    char **choices;   /* stb_ds: columns; one that is a list in JSON stands for all choices */
    char **ignored;   /* stb_ds: other columns */
    char *label, *id; /* columns; id is NULL where rows are numbered */
    char *decoder;
    char **names; /* stb_ds: labels of the task, and where they are kept */
    struct {
        char *key;
        int value;          /* in the order of the training file, then the class */
    } * labels;             /* stb_ds map: as they are written */
    int numbers, fractions; /* labels of the training file that are numbers, that are not whole */
    int list;               /* choices is a list's name */
    char **absent;          /* stb_ds: names of which the dev file has no example */
    struct {
        char *key;
        int value;
    } * ids; /* stb_ds map: those of the split, and their lines */
} Own;

/* A task with this name that waits for its training file. own_free in any case. Errors: 64. */
int own_init(Own *own, const OwnRequest *request, Error *error);
void own_free(Own *own);

/* Reads one split: the training file ("train") first, whole, though of it only so many examples are
 * kept, so that the label names do not depend on the limit; then "validation", and "test", whose
 * labels may be hidden, all of them. Ids are those of the id column, "<split>-17" for 17, or count
 * the rows. Nothing depends on how many threads parse. Errors: 64 the columns, or the problem, are
 * not clear, 65 with file and line, 66. */
int own_read(Own *own, Dataset *dataset, const char *path, const char *split, int limit,
             int allow_bad_rows, int threads, Error *error);

/* One line about the columns and labels; to be freed. */
char *own_describe(const Own *own);

/* What decides how rows become examples, as one canonical text; to be freed. decoder: with its
 * text. */
char *own_columns(const Own *own, int decoder);

#endif
