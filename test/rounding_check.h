/* The bounds of kernels/rounding.h against what ops leave: test_ops calls these around every op that
 * it watches. */
#ifndef ROUNDING_CHECK_H
#define ROUNDING_CHECK_H

#include "rounding.h"

/* For Watch.before: wants all outputs. */
Rounding *rounding_check_before(void *user, const WatchOutput *outputs, size_t count);

/* CHECKs that each element of an output is as near to float64 as its bound says. what: the run;
 * usual: its inputs are normal numbers, and the ratio of bound and error counts. */
void rounding_check_output(const char *what, Context *ctx, const WatchOutput *output, int usual);

/* CHECKs that what wrong formulas give lies beyond the bounds of right ones; ops have the right
 * ones. */
void rounding_check_wrong(const Ops *right);

/* CHECKs what the ratios were of the ops that ran; prints them if print. */
void rounding_check_ratios(int print);

#endif
