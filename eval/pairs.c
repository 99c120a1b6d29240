#include "pairs.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif
#include <stdlib.h>

PairBits pair_bits_make(const Table *t)
{
    PairBits b = {.S = t->S, .N = t->N};
    while (b.digits < 8 * sizeof(int) - 1 && (size_t)1 << b.digits < t->K) {
        b.digits++;
    }
    b.planes = b.digits + (t->missing > 0) + 1;
    b.words = (t->N + 64 * PAIR_LANES - 1) / (64 * PAIR_LANES) * PAIR_LANES;
    b.bits = memory_calloc(b.S * b.planes * b.words, sizeof *b.bits);
#pragma omp parallel for if (is_worth_threads(t->S * t->N))
    for (size_t s = 0; s < t->S; s++) {
        uint64_t *own = b.bits + s * b.planes * b.words;
        for (size_t i = 0; i < t->N; i++) {
            int p = t->pred[s][i];
            uint64_t *word = own + i / 64;
            for (size_t d = 0; d < b.digits; d++) {
                word[d * b.words] |= (uint64_t)(p >> d & 1) << i % 64;
            }
            word[b.digits * b.words] |= (uint64_t)(p < 0) << i % 64;
            word[(b.planes - 1) * b.words] |= (uint64_t)(p >= 0 && p == t->label[i]) << i % 64;
        }
    }
    return b;
}

void pair_bits_free(PairBits *b)
{
    free(b->bits);
    *b = (PairBits){0};
}

/* Of two runs' planes. */
static inline __attribute__((always_inline)) PairCount count(const PairBits *b, const uint64_t *x,
                                                             const uint64_t *y)
{
    size_t W = b->words, right = (b->planes - 1) * W;
    PairCount sum = {.agree = b->N};
    for (size_t w = 0; w < W; w++) {
        uint64_t differ = 0;
        size_t at = w;
        for (; at < b->digits * W; at += W) {
            differ |= x[at] ^ y[at];
        }
        for (; at < right; at += W) { /* no answer */
            differ |= x[at] | y[at];
        }
        sum.agree -= (size_t)__builtin_popcountll(differ);
        sum.both += (size_t)__builtin_popcountll(x[at] & y[at]);
    }
    return sum;
}

#ifdef __x86_64__
__attribute__((target("popcnt"))) static PairCount
count_popcnt(const PairBits *b, const uint64_t *x, const uint64_t *y)
{
    return count(b, x, y);
}

/* The same, eight words at a time. */
__attribute__((target("avx512f,avx512vpopcntdq"))) static PairCount
count_avx512(const PairBits *b, const uint64_t *x, const uint64_t *y)
{
    size_t W = b->words, right = (b->planes - 1) * W;
    __m512i apart = _mm512_setzero_si512(), both = apart;
    for (size_t w = 0; w < W; w += PAIR_LANES) {
        __m512i differ = _mm512_setzero_si512();
        size_t at = w;
        for (; at < b->digits * W; at += W) {
            __m512i other = _mm512_xor_si512(_mm512_loadu_si512(x + at),
                                             _mm512_loadu_si512(y + at));
            differ = _mm512_or_si512(differ, other);
        }
        for (; at < right; at += W) {
            __m512i none = _mm512_or_si512(_mm512_loadu_si512(x + at), _mm512_loadu_si512(y + at));
            differ = _mm512_or_si512(differ, none);
        }
        __m512i hits = _mm512_and_si512(_mm512_loadu_si512(x + at), _mm512_loadu_si512(y + at));
        apart = _mm512_add_epi64(apart, _mm512_popcnt_epi64(differ));
        both = _mm512_add_epi64(both, _mm512_popcnt_epi64(hits));
    }
    return (PairCount){.agree = b->N - (size_t)_mm512_reduce_add_epi64(apart),
                       .both = (size_t)_mm512_reduce_add_epi64(both)};
}
#endif

PairCount pair_count(const PairBits *b, size_t s, size_t r)
{
    const uint64_t *x = b->bits + s * b->planes * b->words, *y = b->bits + r * b->planes * b->words;
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512vpopcntdq")) {
        return count_avx512(b, x, y);
    }
    if (__builtin_cpu_supports("popcnt")) {
        return count_popcnt(b, x, y);
    }
#endif
    return count(b, x, y);
}
