#include "ops_perf.h"
#include "builds.h"
#include "check.h"
#include "threads.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What is measured, and its ceilings: float32 operations a second, and bytes a second that copy
 * reads and writes. */
static struct {
    const char *build;
    double flops, bytes;
} measured[4];
static int measured_count;

static Backend measured_backend(int b)
{
    Backend backend = backend_of(measured[b].build, 0);
    backend.ctx.pace.grain = PACE_GRAIN;
    return backend;
}

void measure_ceilings(void)
{
    enum { TIMES = 6 };
    const char *names[4];
    measured_count = only_device ? tested_builds(names) : backend_builds(names);
    for (int b = 0; b < measured_count; b++) {
        measured[b].build = names[b];
        Backend backend = measured_backend(b);
        const Device *device = backend.device;
        double flops = measured[b].flops = device->peak(&backend.ctx);
        size_t count = flops > 0 ? (size_t)1 << 26 : (size_t)1 << 20, /* the emulator is slow */
            size = count * sizeof(float);
        float *from = device->alloc(size), *to = device->alloc(size);
        double fastest = INFINITY;
        Error error;
        for (int i = 0; i < TIMES; i++) {
            double start = clock_seconds();
            backend.ops.copy(&backend.ctx, to, from, count);
            CHECK(!backend_wait(&backend, &error), "%s", error.text);
            fastest = i ? fmin(fastest, clock_seconds() - start) : fastest;
        }
        measured[b].bytes = 2.0 * (double)size / fastest;
        printf("%-8s ceilings: copy %.1f GB/s, fma %.1f GFLOP/s\n", names[b],
               1e-9 * measured[b].bytes, 1e-9 * flops);
        device->release(from, size);
        device->release(to, size);
        backend_free(&backend);
    }
}

/* FLOPs of a shape that are too much to wait for; the emulator has no peak. */
static double most_flops(int b)
{
    return !strcmp(measured[b].build, "cuda") ? INFINITY : measured[b].flops > 0 ? 4e9 : 1e7;
}

/* A line of what the op takes. */
static void measure_run(Run *run, const char *op, int b, const Backend *backend, const char *name)
{
    double most = measured[b].flops;
    double seconds = run_seconds(run, backend, most_flops(b));
    if (seconds < INFINITY) {
        double bytes = run->bytes / seconds, flops = run->flops / seconds;
        printf("%-28s %-8s %10.1f us %7.1f GB/s %3.0f%% %8.1f GFLOP/s %3.0f%%   %s\n", op, name,
               1e6 * seconds, 1e-9 * bytes, 100 * bytes / measured[b].bytes, 1e-9 * flops,
               most > 0 ? 100 * flops / most : 0.0, run->sizes);
    }
}

/* Where one device is measured, a variant beside its op: cublas, tf32 and others. */
static void measure_variant(Run *run, const OpCase *c, const char *choice)
{
    Backend backend = measured_backend(0);
    Error error;
    if (!backend_choose(&backend, choice, &error) && has_variant(&backend, c->op)) {
        measure_run(run, c->op, 0, &backend, strchr(choice, '=') + 1);
    }
    backend_free(&backend);
}

void measure(const OpCase *c)
{
    for (const Shape *shape = c->real; !shape_ends(shape); shape++) {
        Run *run = run_new(c, shape->n, FILL_NORMAL, shared_memory());
        for (int b = 0; b < measured_count; b++) {
            Backend backend = measured_backend(b);
            if (has_op(&backend.ctx.inner, c->op)) {
                measure_run(run, c->op, b, &backend, measured[b].build);
            }
            backend_free(&backend);
        }
#define VARIANT(op, variant, ...)                                                                  \
    if (only_device) {                                                                             \
        measure_variant(run, c, #op "=" #variant);                                                 \
    }
#include "variants.def"
#undef VARIANT
        run_free(run);
    }
}
