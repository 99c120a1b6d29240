/* The head that reads spans: of each sequence the pooled vector and, behind it, the mean of the vectors
 * of each of its spans' tokens, as one row: (B, (1 + spans) C). So jiant's classifier for WiC has it
 * (SingleClassifier of jiant 1, which the SuperGLUE baselines use; Wang et al. 2019). */
#ifndef SPANS_H
#define SPANS_H

#include "pass.h"

/* wide (B, (1 + spans) C) from pooled (B, C) and x (N, C) of all tokens. */
void spans_forward(const Pass *pass, float *wide, const float *pooled, const float *x);

/* d_pooled (B, C) = gradient of pooled, d_x (N, C) that of x as far as it comes from spans; d_wide is
 * overwritten. */
void spans_backward(const Pass *pass, float *d_pooled, float *d_x, float *d_wide);

#endif
