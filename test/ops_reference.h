/* The definition of every op as plain loops: the table ops_reference, with which every build is
 * compared bit for bit. It is written from the comments of ops.def: each sum is one loop that adds
 * in the order stated there; no blocks, vectors or threads. */
#ifndef OPS_REFERENCE_H
#define OPS_REFERENCE_H

#include "ops.h"

#include <math.h>

extern const Ops ops_reference;

/* The products of another --dtype, and nothing else. */
const Ops *reference_blocks(const char *dtype);

/* rmsnorm_forward's definition is REFERENCE(rmsnorm_forward). */
#define REFERENCE(name) name##_reference

#define OP(name, parameters, ...) void REFERENCE(name) parameters;
#include "ops.def"
#undef OP

/* The sum "lanes" of ops.h: start with all zero, add term i to lane[i % 32], in order. */
typedef struct Lanes {
    float lane[32];
} Lanes;

static inline float lanes_sum(Lanes s)
{
    for (int half = 16; half > 0; half /= 2) {
        for (int l = 0; l < half; l++) {
            s.lane[l] += s.lane[l + half];
        }
    }
    return s.lane[0];
}

/* Element i of a stored weight. */
static inline float weight_at(Weight w, size_t i)
{
    return w.f32 ? w.f32[i] : bits_to_float((uint32_t)w.bf16[i] << 16);
}

/* x where the mask keeps it, over the share that is kept; element (channel or key) i of a row. */
static inline float dropped(float x, const DropoutSite *site, size_t i, int position, int head,
                            int slot)
{
    if (site->p <= 0.0f) {
        return x;
    }
    uint32_t group = (uint32_t)(i / 128 * 32 + i % 32);
    Philox words = dropout_words(site, group, (uint32_t)position, (uint32_t)head, (uint32_t)slot);
    return words.word[i / 32 % 4] >= dropout_threshold(site->p) ? x * (1.0f / (1.0f - site->p))
                                                                : 0.0f;
}

#endif
