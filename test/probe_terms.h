/* How the sums of probe_products.c and probe_attention.c are set up: memory of the device that the
 * host fills, and that is free again once the sum was computed. What else an op computes is made
 * exact: factors of 1, means of 0, exp(0), divisions by powers of two. */
#ifndef PROBE_TERMS_H
#define PROBE_TERMS_H

#include "probe.h"

#include <stdlib.h>
#include <string.h>

/* Zeroed floats of the device, until the sum was computed. */
static inline float *floats(Probe *p, size_t n)
{
    float *x = p->memory + p->used;
    p->used += (n + 15) / 16 * 16;
    memset(x, 0, n * sizeof *x);
    return x;
}

static inline float *filled(Probe *p, size_t n, float value)
{
    float *x = floats(p, n);
    for (size_t i = 0; i < n; i++) {
        x[i] = value;
    }
    return x;
}

static inline float *terms(Probe *p, const float *from, int n)
{
    float *x = floats(p, (size_t)n);
    memcpy(x, from, (size_t)n * sizeof *x);
    return x;
}

static inline int *integers(Probe *p, const int *values, int n)
{
    int *x = (int *)(void *)floats(p, (size_t)n);
    memcpy(x, values, (size_t)n * sizeof *x);
    return x;
}

/* Ends of sequences whose lengths are those of probe_lengths. */
static inline const int *sequences(Probe *p)
{
    int cu[SEQUENCES + 1] = {0};
    for (int i = 0; i < SEQUENCES; i++) {
        cu[i + 1] = cu[i] + probe_lengths[i];
    }
    return integers(p, cu, SEQUENCES + 1);
}

static inline double result(Probe *p, const float *at)
{
    Error error = {0};
    if (backend_wait(&p->backend, &error)) {
        fprintf(stderr, "probe: %s\n", error.text);
        exit(error.code);
    }
    p->used = 0;
    return (double)*at;
}

#define CALL(op, ...) p->backend.ops.op(&p->backend.ctx, __VA_ARGS__)

static inline Weight weight(const float *x)
{
    return (Weight){x, NULL};
}

#endif
