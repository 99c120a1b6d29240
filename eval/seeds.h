/* The seed of a run made elsewhere stands in its path (docs/FORMATS.md, "How classes, seeds, models
 * and data are identified"). */
#ifndef SEEDS_H
#define SEEDS_H

#include "base.h"

typedef struct Seeds {
    size_t count;
    char **seed;  /* [count] decimal, without leading zeros */
    char **model; /* [count] the paths with * in place of the seed */
    char *source; /* where it stands, for the reader of a report */
} Seeds;

/* Finds the seeds of all paths at one place: behind "seed", else behind "s", else behind "run",
 * else a folder or a name that is a number; or what the first group of the POSIX extended
 * expression matches, unless it is NULL. Errors: 64 without a seed, of more than 2^64 - 1, or where
 * the paths do not agree on one place. */
int seeds_find(Seeds *seeds, char *const *paths, size_t count, const char *expression,
               Error *error);
void seeds_free(Seeds *seeds);

#endif
