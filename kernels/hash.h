/* What the ops hash and sketch are made of, on every device. */
#ifndef HASH_H
#define HASH_H

#include "ops.h"

/* splitmix64's finalizer (Steele, Lea and Flood 2014) of a place and a number: at one place two
 * numbers never give the same. */
SCALAR_FN uint64_t hash_mix(uint64_t place, uint64_t x)
{
    x ^= (place + 1) * 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

/* Of the word in row j of a block: odd, so that one word that changes always changes the sum. */
SCALAR_FN uint64_t hash_key(uint64_t j)
{
    return hash_mix(j, 0) | 1;
}

/* w 2^40 without its fraction; 0 for what is no weight. */
SCALAR_FN uint64_t sketch_value(float w)
{
    return (uint64_t)(int64_t)(fabsf(w) < 0x1p22f ? (double)w * 0x1p40 : 0.0);
}

/* Of 64 values, one bit each: 1 is minus. */
SCALAR_FN uint64_t sketch_signs(uint64_t place)
{
    return hash_mix(place, 1);
}

/* By how many places a block of values is turned. */
SCALAR_FN size_t sketch_turn(uint64_t block)
{
    return (size_t)(hash_mix(block, 2) % SKETCH_SUMS);
}

#endif
