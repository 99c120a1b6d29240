/* Runs of one task, model and recipe over the same examples. */
#ifndef GROUP_H
#define GROUP_H

#include "preds.h"

typedef struct Group {
    Preds **runs; /* [S] sorted by seed; not owned */
    size_t S, N;
    int K;
    uint32_t *order; /* [S, N] row in run s of example i; example i is row i of run 0 */
} Group;

/* Joins the runs by example_hash: refuses (65) other example sets, labels or classes, and two runs
 * of the same seeds. The array is sorted by seed, so the order of files changes nothing. */
int group_join(Group *group, Preds **runs, size_t S, Error *error);
void group_free(Group *group);

#endif
