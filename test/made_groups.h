/* Groups of runs made in memory, for tests of statistics. */
#ifndef MADE_GROUPS_H
#define MADE_GROUPS_H

#include "check.h"
#include "statistics.h"

typedef struct Made {
    Preds *runs;  /* [S] */
    Preds **list; /* [S], as the group sorts them */
    Group group;
} Made;

/* S runs that predict pred [S, N] where label [N] is right, not joined. seeds: init, data and
 * dropout of each run; NULL: all three are its number. */
Made made_runs(size_t S, size_t N, int K, const int *label, const int *pred, const int (*seeds)[3]);

/* The same, joined to a group. */
Made made_group(size_t S, size_t N, int K, const int *label, const int *pred,
                const int (*seeds)[3]);
void made_free(Made *made, size_t S);

json_t *statistics_of(const Made *made);

/* A number of an object, NaN for null and where there is none. */
double number(const json_t *object, const char *key);

/* The numbers of a list, 0 for null; the caller frees them. */
double *reals(const json_t *list);

/* A check that got is expected, relative to it; NaN with NaN. */
void near(const char *name, const char *key, double got, double expected, double tolerance);

/* Draws of splitmix64 (Steele, Lea, Flood 2014): 64 bits, and a number in [0, 1). */
extern uint64_t splitmix_state;
uint64_t splitmix(void);
double uniform(void);

#endif
