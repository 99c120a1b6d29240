/* Which examples a step has, and how they get into a batch. */
#ifndef PACK_H
#define PACK_H

#include "encode.h"
#include "pass.h"
#include "setup.h"

/* Fills a batch with the examples order[first .. first + count), or first + i where order is NULL,
 * and sends it to the device. Their slots count from first_slot: the place of the example in its
 * global batch. */
void pack(Batch *batch, const Encoded *encoded, const int *order, int first, int count,
          int first_slot);

/* Examples from first on, as many as fit into the planned memory, at least one: companions change
 * no bit. */
int pack_fitting(const Setup *setup, const Encoded *encoded, int first);

/* Where a step stands: its epoch, and its examples [first, end) in the order of that epoch. */
typedef struct StepRange {
    int epoch, first, end;
} StepRange;
StepRange step_range(const Setup *setup, int step);

/* Terms of the loss of a step: its examples, or a language model's targets. */
int step_terms(const Setup *setup, const StepRange *range, const int *order);

#endif
