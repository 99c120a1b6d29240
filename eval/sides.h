/* Runs that are told apart: the sides of a comparison, the command that compares two of them, and
 * the names of groups that would be the same. */
#ifndef SIDES_H
#define SIDES_H

#include "preds.h"

/* Whether a run belongs to the side with this name: its model, the first digits of its recipe, its
 * folder, or KEY=VALUE of its metadata; of a digest (KEY_sha256) the first digits do. */
int run_is_of_side(const Preds *run, const char *side);

/* "./consistency --compare A B FILES", quoted for a shell, with patterns for the paths [n]. The
 * caller frees it. */
char *compare_command(const char *a, const char *b, const char *const *paths, size_t n);

/* The side of the runs with this value of a key: "kernels_sha256=1234abcd". The caller frees it. */
char *side_of_value(const char *key, const char *value);

/* Fills *error (65) for two runs of a group that have the same seeds, with the command that
 * compares them where something tells them apart. Returns the code. */
int refuse_twins(Preds *const *runs, size_t S, size_t first, size_t second, Error *error);

/* Adds "apart" to each object of a list (groups of a report in their order, or the sides of a
 * comparison) that shares examples and model with others: the digests (and sides) in which these
 * differ beside the recipe: "weights 1234abcd, training data unknown". */
void mark_apart(json_t *list);

#endif
