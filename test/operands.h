/* Operands of bf16 products of every kind, for tests of their sums. */
#ifndef OPERANDS_H
#define OPERANDS_H

#include "rng.h"

/* What operands and addends are like: bits of all signs and fractions with these exponents (biased,
 * first and how many). */
static const struct {
    const char *name;
    unsigned first, count;
} classes[] = {{"near 1", 124, 4},    {"wide", 100, 55},       {"many zeros", 124, 4},
               {"subnormal", 0, 66},  {"cancelling", 124, 4},  {"any", 30, 150},
               {"overflow", 185, 15}, {"at 2^-126", 60, 6},    {"not finite", 200, 56},
               {"all bits", 0, 256},  {"about 2^-149", 52, 1}, {"just below 2", 127, 1}};
enum {
    CLASSES = 7, /* those that a device is asked for */
    ALL_CLASSES = sizeof classes / sizeof *classes,
    ZEROS = 2,
    CANCELLING = 4,
    NOT_FINITE = 8,
    LARGEST = ALL_CLASSES - 1 /* sums do not fit int32 */
};

/* The next operand of a class, a bf16 in the upper half; below it bits that bf16 has none for. */
static inline uint32_t operand(int class, uint64_t *next)
{
    uint32_t word = rng_word(1, (*next)++), other = rng_word(1, (*next)++);
    uint32_t exponent = classes[class].first + other % classes[class].count;
    if (class == ZEROS && other >> 31) {
        return word & 0x80000000u;
    }
    if (class == LARGEST) {
        word = (other & 0x80000000u && word & 1 ? 0x80000000u : 0) | 0x7FFFFFu;
    }
    return (word & 0x807FFFFFu) | exponent << 23;
}

#endif
