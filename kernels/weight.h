/* Reading a stored weight. */
#ifndef WEIGHT_H
#define WEIGHT_H

#include "ops.h"

#include <string.h>

/* n values of x from element `first` on, widened if they are bf16. */
static inline void weight_row(float *out, Weight x, size_t first, size_t n)
{
    if (x.f32) {
        memcpy(out, x.f32 + first, n * sizeof *out);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)x.bf16[first + i] << 16;
        memcpy(out + i, &bits, sizeof bits);
    }
}

#endif
