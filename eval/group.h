/* Runs of one task, model and recipe over the same examples. */
#ifndef GROUP_H
#define GROUP_H

#include "preds.h"

typedef struct Group {
    Preds **runs; /* [S] sorted by side and seed; not owned. Row i of each is example i */
    size_t S, N;
    int K, regression;
    /* of the examples, as the first run has them; not owned */
    const int *label, *cluster; /* [N]; cluster may be NULL */
    const float *target;        /* [N] or NULL */
    char *const *id;            /* [N] or NULL */
    size_t lost; /* examples of the largest run that some run lacks (intersect only) */
} Group;

/* The metadata by which runs are grouped, "" where a file lacks one: which examples they are of,
 * then what was trained, on which data, and the file that was predicted. */
enum { KEYS_OF_EXAMPLES = 3, GROUP_KEYS = 10 };
extern const char *const group_keys[GROUP_KEYS];

/* Reads the tensors of the runs whose headers alone were read and joins the runs by example_hash,
 * in the order of the first run. Only that run keeps labels, hashes and ids. Refuses (65) other
 * labels or classes, two runs of the same seeds, and other example sets unless intersect, which
 * keeps the common examples. The array is sorted, so the order of files changes nothing. */
int group_join(Group *group, Preds **runs, size_t S, int intersect, Error *error);

/* Whether so many predictions are worth several threads: fewer take a millisecond or two. */
static inline int is_worth_threads(size_t predictions)
{
    return predictions >= 1 << 18;
}

/* Whether no example has a class as label that is known. */
int group_is_hidden(const Group *group);

/* The runs of one side (0 or 1) of a joined group, as a group. */
Group group_side(const Group *group, int side);

/* The runs with use[s], as a group; it uses runs [S] of the caller. */
Group group_part(const Group *group, const char *use, Preds **runs);

#endif
