/* What the variance of an agreement is made of, so that it can be told for other numbers of runs and
 * examples (docs/STATISTICS.md, "How many seeds and examples"). */
#ifndef COMPONENTS_H
#define COMPONENTS_H

#include "json.h"

/* h(s, t, i) = mean + example i + run s + run t + the same two on example i + pair s, t + rest:
 * variances of the parts, each of mean 0 and uncorrelated with the others. */
typedef struct Components {
    double examples, runs, runs_on_examples, pairs, rest;
} Components;

/* The value of two different runs on an example; the order of the runs does not matter. */
typedef double PairValue(const void *context, size_t s, size_t t, size_t i);

/* Unbiased estimates from all pairs of S runs on N examples, S > 3, N > 1; one may be negative. */
Components components_estimate(PairValue *value, const void *context, size_t S, size_t N);

/* The components of the agreement of two runs that are right or wrong, in a model with three
 * numbers: run s is right on example i if sqrt(e) D_i + sqrt(r) B_s + sqrt(1 - e - r) noise is below a
 * threshold, all normal. accuracy and con, between 0 and 1, give the threshold and e; sd, the standard
 * deviation of the scores on N examples, or 0, gives r. Returns 0, or -1 where no such model has
 * these numbers: con is less than that of independent runs, or sd is too large. */
int components_model(Components *c, double accuracy, double con, double sd, double N);

/* As a JSON object that the caller owns; and back: whether o is one. */
json_t *components_json(const Components *c);
int components_of(Components *c, const json_t *o);

/* What the two-way variance of docs/STATISTICS.md is on average, of S > 2 runs on N examples. A
 * negative component counts as 0. */
double components_variance(const Components *c, double S, double N);

#endif
