/* What the test sets of runtime.c. */
#ifndef PTX_RUNTIME_H
#define PTX_RUNTIME_H

#include "ptx.h"

/* From now on kernels run as compiled for this target, from 0 on. Returns its name, sm_80, or NULL
 * if there is none. */
const char *runtime_choose(int target);

/* Whether its PTX is that of target 0, but for the name. */
int runtime_repeats(void);

/* A line for each kernel of the target that never ran: those of variants, and what no shape needs. */
void runtime_list_idle(void);

/* Kernels of this text run instead of those of the same name. */
void runtime_replace(const char *text);

#endif
