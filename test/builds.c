#include "builds.h"
#include "check.h"
#include "cudasim.h"
#include "harness.h"

#include <stdlib.h>
#include <string.h>

const char *only_device;

int same_op(const Ops *a, const Ops *b, const char *op)
{
#define OP(name, ...)                                                                              \
    if (!strcmp(op, #name)) {                                                                      \
        return a->name == b->name;                                                                 \
    }
#include "ops.def"
#undef OP
    return 1;
}

int has_op(const Ops *ops, const char *op)
{
    static const Ops none;
    return !same_op(ops, &none, op);
}

int shape_ends(const Shape *shape)
{
    static const Shape end;
    return !memcmp(shape, &end, sizeof end);
}

const Device *shared_memory(void)
{
    return only_device ? device_find(only_device) : NULL;
}

Backend backend_of(const char *build, int variety)
{
    Backend backend;
    Error error;
    int simulated = !strcmp(build, "sim"), own = simulated || !strcmp(build, "cuda");
    cudasim_capability = (variety + 1) / 2 % 2 ? 80 : 90;
    if (backend_init(&backend, own ? build : "cpu", own ? "auto" : build, variety, &error)) {
        printf("test_ops: %s\n", error.text);
        exit(error.code);
    }
    if (simulated) {
        cudasim_set_order((CudasimOrder)(variety % CUDASIM_ORDERS));
        backend.ctx.shared_limit = variety % 2 ? 99 * 1024 : backend.ctx.shared_limit;
    }
    backend.ctx.pace.grain = 0;                   /* share out even the smallest op */
    if (!own && (variety == 2 || variety == 3)) { /* blocks of products of odd sizes */
        backend.ctx.cache[0] = variety == 2 ? 3001 : 0;
        backend.ctx.cache[1] = variety == 2 ? 777 : 20011;
    }
    return backend;
}

int tested_builds(const char *names[4])
{
    if (only_device) {
        names[0] = only_device;
        return 1;
    }
    int count = backend_builds(names);
    names[count] = "sim";
    return count + 1;
}

int has_variant(const Backend *backend, const char *op)
{
    const Ops *plain = backend_ops(backend->ops.build), *ops = &backend->ctx.inner;
    return !same_op(plain, ops, op) || (!strcmp(op, "linear_cross_entropy") &&
                                        (!same_op(plain, ops, "matmul_forward") ||
                                         !same_op(plain, ops, "matmul_backward_input") ||
                                         !same_op(plain, ops, "matmul_backward_weight")));
}
