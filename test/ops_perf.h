/* What ops take: --mode perf of test_ops. */
#ifndef OPS_PERF_H
#define OPS_PERF_H

#include "harness.h"

/* Measures and prints what each build could do, once, before the first op; the emulator not beside
 * the CPU. */
void measure_ceilings(void);

/* A line for each shape and build of an op; where one device is measured, of its variants too. */
void measure(const OpCase *c);

#endif
