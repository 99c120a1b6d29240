/* Random numbers that are functions of where they are used: Philox4x32-10 (Salmon, Moraes, Dror,
 * Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"). No state: the key is the seed, the
 * counter says what the number is for, so a resumed run, another thread count or another packing
 * draws the same. One source for C and CUDA. */
#ifndef RNG_H
#define RNG_H

#include "scalar.h"

#include <stddef.h>

typedef struct Philox {
    uint32_t word[4];
} Philox;

SCALAR_FN Philox philox4x32(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint64_t key)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    Philox result = {{c0, c1, c2, c3}};
    return result;
}

/* Word j of the stream of a key, in the order of cuRAND's host generator
 * CURAND_RNG_PSEUDO_PHILOX4_32_10 with this seed: with q = j / 4, the word j % 4 of sub-sequence
 * q % 65536 at position q / 65536, which in cuRAND's device generator is the first curand() after
 * curand_init(key, q % 65536, 4 (q / 65536) + j % 4). */
SCALAR_FN uint32_t rng_word(uint64_t key, uint64_t j)
{
    uint64_t q = j / 4, position = q >> 16;
    Philox p = philox4x32((uint32_t)position, (uint32_t)(position >> 32), (uint32_t)(q & 0xFFFF), 0,
                          key);
    return p.word[j % 4];
}

/* Uniform in (0, 1], as cuRAND's curand_uniform of the word. */
SCALAR_FN float rng_uniform(uint32_t word)
{
    return fmaf((float)word, 0x1p-32f, 0x1p-33f);
}

/* Standard normal number j of a key: Box and Muller (1958) on words 2 (j / 2) and 2 (j / 2) + 1,
 * sine for even j, as cuRAND; by our own logarithm and sine, within 4 ulp of its numbers. */
SCALAR_FN float rng_normal(uint64_t key, uint64_t j)
{
    float u = rng_uniform(rng_word(key, j & ~(uint64_t)1));
    float angle = 0x1.921fb6p+2f * rng_uniform(rng_word(key, j | 1));
    float radius = sqrtf(-2.0f * scalar_log(u));
    return radius * (j & 1 ? scalar_cos(angle) : scalar_sin(angle));
}

/* The key of a named stream of a seed, such as the initial values of one parameter: FNV-1a of the
 * name, mixed with the seed by one Philox block. Another name or another seed gives an unrelated
 * stream. */
SCALAR_FN uint64_t rng_key(uint64_t seed, const char *name)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (const char *c = name; *c; c++) {
        hash = (hash ^ (unsigned char)*c) * 0x100000001B3u;
    }
    Philox p = philox4x32((uint32_t)hash, (uint32_t)(hash >> 32), 0x6E616D65u, 0, seed);
    return (uint64_t)p.word[1] << 32 | p.word[0];
}

/* Uniform integer in [0, n), n > 0: word j by multiplication (Lemire 2019), without rejection; the
 * bias is below n / 2^32 and the same for everyone. */
SCALAR_FN uint32_t rng_below(uint64_t key, uint64_t j, uint32_t n)
{
    return (uint32_t)((uint64_t)rng_word(key, j) * n >> 32);
}

/* Where a dropout mask stands: never a row of a packed or micro batch, so packing, micro-batches
 * and companions cannot change it. Counter words: element group, position | head << 20,
 * slot | site << 20, step. */
typedef struct DropoutSite {
    uint64_t seed;
    uint32_t step;
    uint32_t site; /* layer and place in the layer, below 4096 */
    float p;       /* probability of dropping; 0 switches dropout off */
} DropoutSite;

/* A word below this is dropped. */
SCALAR_FN uint32_t dropout_threshold(float p)
{
    return (uint32_t)(p * 0x1p32f);
}

enum { DROPOUT_BLOCK = 128, DROPOUT_LANES = 32 };

/* Element i of a row uses word (i / 32) % 4 of the counter with element group
 * (i / 128) * 32 + i % 32: a warp draws its four elements a lane from one block each. For head
 * below 1024 the words are curand4() of cuRAND's device generator after
 *     curand_init(seed, step << 32 | slot | site << 20, 4 (group | position << 32 | head << 52));
 * its host generator cannot give them. */
SCALAR_FN Philox dropout_words(const DropoutSite *site, uint32_t group, uint32_t position,
                               uint32_t head, uint32_t slot)
{
    return philox4x32(group, position | head << 20, slot | site->site << 20, site->step,
                      site->seed);
}

#endif
