/* Columns of class scores in imported tables (docs/FORMATS.md, "Imports"). */
#ifndef SCORES_H
#define SCORES_H

#include "classes.h"

/* A column that is no id, label or prediction. */
typedef struct ScoreColumn {
    char *name;
    int at;          /* its place in a record */
    int chosen;      /* the class scores, in this order: 1, 2, ...; 0 for another column */
    double *values;  /* [rows] up to the first that is no number; NaN: empty */
    size_t bad_line; /* of it, 1-based; 0 for none */
} ScoreColumn;

/* Chooses the columns of class scores: those that are named (--scores, or NULL), else those that
 * are named as a class of the gold labels, of hints->names or of a known task that has the gold
 * labels, or are numbered as classes. *classes gets the class of each, in the order of chosen;
 * NULL: there are no scores, which is an error if needed. Errors: 64, 65 with the column. */
int scores_choose(json_t **classes, ScoreColumn *columns, int count, size_t rows,
                  const json_t *gold, const ClassHints *hints, const json_t *wanted, int needed,
                  const char *path, Error *error);

/* Whether each row of these columns, those with chosen >= least, is a distribution. */
int scores_are_probabilities(const ScoreColumn *columns, int count, size_t rows, int least);

#endif
