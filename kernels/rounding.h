/* What float64 says of an op's outputs: the value of its formula, and a bound on how far float32 may
 * be from it. It holds in whatever order sums are added: a sum of n terms t is off by at most
 * gamma(n) sum |t|, gamma(n) = n u / (1 - n u), u = 2^-24, whether products are rounded by themselves
 * or by fma (Higham 2002, sections 3.1 and 4.2). What an operation makes of the errors of its operands
 * is carried on, to which its own rounding is added (running error analysis, section 3.3). exp, log,
 * tanh and erf may be off by 2 ulp: those of scalar.h are better, and so are those of most libraries.
 * So a value within the bound may come from another order of sums; one beyond it comes from another
 * formula, other inputs, fewer bits or a fault. Two values that are both right are at most twice the
 * bound apart.
 *
 * Inputs count as exact: those of the call, such as the mean that layernorm_backward is given. */
#ifndef ROUNDING_H
#define ROUNDING_H

#include "watch.h"

/* A value, and the most that float32 is off. Infinite: it may be anything, as behind an overflow.
 * Zero: nothing is rounded. */
typedef struct Rounded {
    double value, error;
} Rounded;

/* Of each output of ops.def by number its elements, row after row, [rows, columns]; NULL where nobody
 * wants it. */
typedef struct Rounding {
    Rounded *output[MOST_OUTPUTS];
} Rounding;

/* Makes room for an output; its elements may be anything. */
void rounding_want(Rounding *rounding, const WatchOutput *output);
void rounding_free(Rounding *rounding);

/* Ops that compute nothing but what ctx->watch->rounding wants, on the host, from a copy of their
 * inputs. They are called before the op itself, which may work in place. Of hash and sketch, which
 * add integers, and of gradient_norm, whose output is a struct, nothing is known. */
extern const Ops ops_rounding;

#endif
