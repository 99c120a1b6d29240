/* Comparing scalar.h and rng.h between builds, word by word: every build of the CPU has words.c,
 * CUDA and the emulator have words.cu, with the same functions (words.def). */
#ifndef WORDS_H
#define WORDS_H

#include "build.h"
#include "rng.h"

static const uint64_t WORDS_KEY = 0x9E3779B97F4A7C15u; /* any large odd number */

SCALAR_FN uint32_t float_word(float x)
{
    return x == x ? float_to_bits(x) : 0x7FC00000u;
}

SCALAR_FN uint32_t dropout_word(uint32_t i)
{
    DropoutSite site = {WORDS_KEY, i >> 20, i & 0xFFF, 0.5f};
    Philox p = dropout_words(&site, i & 0x7F, i >> 12, i >> 24, i >> 8 & 0xFFF);
    return p.word[0] + 3 * p.word[1] + 5 * p.word[2] + 7 * p.word[3];
}

enum {
#define FUNCTION(name, value) WORDS_##name,
#include "words.def"
#undef FUNCTION
    WORDS_FUNCTIONS
};

/* What a function makes of the words of group g, 2^8 g to 2^8 (g + 1) - 1, is one sum: of all of
 * them, each with a factor of its own. */
enum { WORDS_GROUP = 256 };

#ifdef __cplusplus
extern "C" {
#endif

/* sums[n] of group first + n every, for n < count: of the device. */
typedef void words_sums_function(const Context *ctx, int function, uint64_t *sums, uint32_t first,
                                 uint32_t every, uint32_t count);
words_sums_function KERNEL(words_sums);

/* All builds of the CPU and the emulator over a part of all words; or a device, "cuda" over all of
 * them. The counts of check.h go on. device may be NULL. */
void test_words(const char *device);

#ifdef __cplusplus
}
#endif

#endif
