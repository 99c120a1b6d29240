/* The model on what is evaluated. */
#ifndef EVALUATE_H
#define EVALUATE_H

#include "run.h"

/* Predictions, metric and mean loss of the weights as they are on a set of the setup (NaN where its
 * labels are hidden). Errors: 70 an op failed, 75 a signal asks for the end, 79 the loss, or a
 * logit, is not finite. */
int evaluate(Run *run, const Encoded *set, Evaluation *evaluation, Error *error);

/* The dev set into run->now; its selection is the metric on the half that selects, if one does.
 * Errors: the same. */
int evaluate_dev(Run *run, Error *error);

/* The further sets, by the weights of the kept evaluation, which become those of the run. Errors:
 * the same, 74. */
int evaluate_further(Run *run, Error *error);

/* Whether the evaluation's metric is better than that of the one which is kept. */
int evaluation_is_better(const Setup *setup, const Evaluation *evaluation, const Evaluation *kept);

#endif
