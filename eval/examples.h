/* What the runs say of single examples. */
#ifndef EXAMPLES_H
#define EXAMPLES_H

#include "table.h"

/* Probabilities [K] of finite logits, in double; their logarithms too, or NULL. */
void softmax(double *p, double *log_p, const float *logits, size_t K);

/* Of an example: mean and population SD of the probabilities [S] that runs give to its label. */
void confidence_of(double *confidence, double *variability, const double *own, size_t S);

/* Whether every run has logits and all are finite. */
int has_logits(const Group *group);

/* Mean and population SD over runs of the probability of the label (Swayamdipta et al. 2020) into
 * confidence [N] and variability [N]. Returns 0, or -1 if a run has no logits, or such that are not
 * finite. */
int label_confidence(double *confidence, double *variability, const Group *group);

/* Shares of examples by how many runs are right, the majority vote (ties to the smallest class),
 * the values that a_i takes and how often. */
void put_shares(json_t *object, const Table *table);

/* "examples": the limit least stable ones, least agreement first, then row. */
void put_least_stable(json_t *object, const Group *group, const Table *table, size_t limit);

#endif
