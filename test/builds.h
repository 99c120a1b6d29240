/* The builds and devices that test_ops runs, and which ops they have. */
#ifndef BUILDS_H
#define BUILDS_H

#include "harness.h"

/* Of --device: the one that is tested, or NULL. */
extern const char *only_device;

/* Its memory, or NULL: that of the CPU. */
const Device *shared_memory(void);

/* build: of the CPU, or a device of its own. variety: threads of the CPU; for sim one of the orders
 * of cudasim.h, every other one with as little shared memory as a device of sm_80 or later has. Ends
 * the program where there is none. To be freed by backend_free. */
Backend backend_of(const char *build, int variety);

/* All builds that have tests here, the emulator's last. Returns how many. */
int tested_builds(const char *names[4]);

/* Whether two tables have the same function of this name; whether a table has one. */
int same_op(const Ops *a, const Ops *b, const char *op);
int has_op(const Ops *ops, const char *op);

/* Whether the op is another one with the variant: replaced by it, or made of ops that are. */
int has_variant(const Backend *backend, const char *op);

/* Whether it is the one behind the last of a list. */
int shape_ends(const Shape *shape);

#endif
