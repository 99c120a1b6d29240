/* The model on the evaluation data. */
#ifndef EVALUATE_H
#define EVALUATE_H

#include "run.h"

/* Predictions, metric and mean loss of the weights as they are. Errors: 70 an op failed, 79 the
 * loss is not finite. */
int evaluate(Run *run, Evaluation *evaluation, Error *error);

/* Whether the evaluation's metric is better than that of the one which is kept. */
int evaluation_is_better(const Setup *setup, const Evaluation *evaluation, const Evaluation *kept);

#endif
