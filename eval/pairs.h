/* How often two runs agree, from one bit an example: counts of whole numbers, which no order of
 * counting changes. */
#ifndef PAIRS_H
#define PAIRS_H

#include "table.h"

/* What every run predicts, in planes of bits: the digits of the class, whether there is no answer
 * (only where that occurs), and whether it is right. Of S N (log2 K + 1 or 2) / 8 bytes. */
typedef struct PairBits {
    size_t S, N, words; /* 64 examples each, of a plane; a multiple of PAIR_LANES */
    size_t digits, planes;
    uint64_t *bits; /* [S, planes, words] */
} PairBits;

enum { PAIR_LANES = 8 };

typedef struct PairCount {
    size_t agree; /* both say the same; no answer agrees with nothing */
    size_t both;  /* both are right */
} PairCount;

PairBits pair_bits_make(const Table *table);
void pair_bits_free(PairBits *bits);
PairCount pair_count(const PairBits *bits, size_t s, size_t r);

#endif
