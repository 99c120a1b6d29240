/* Rounding and pairing: see block_pairs.h. */
#include "block_pairs.h"

#if defined(__AVX512F__)
#include "base.h"

#include <string.h>

/* 16 values from an element on, rounded as bf16_round does, in the upper halves of words. */
static inline __m512i rounded(Weight x, size_t at)
{
    if (x.bf16) {
        return _mm512_castps_si512(vec_widen(x.bf16 + at));
    }
    __m512 value = _mm512_loadu_ps(x.f32 + at);
    __m512i bits = _mm512_castps_si512(value),
            even = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1)),
            up = _mm512_add_epi32(_mm512_add_epi32(bits, even), _mm512_set1_epi32(0x7FFF));
    __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    return _mm512_mask_or_epi32(up, nan, bits, _mm512_set1_epi32(0x400000));
}

/* 16 values from an element on into the first level cache; they may be out of bounds. */
static inline void fetch(Weight x, size_t at)
{
    __builtin_prefetch(x.f32 ? (const void *)(x.f32 + at) : x.bf16 + at);
}

/* Half a block, as 16 vectors of words: of 16 rows i from element `at` on, where k is next to k... */
static inline __attribute__((always_inline)) void half_along_k(Vec words[16], Weight x, size_t at,
                                                               size_t row, size_t ahead)
{
    const __m512i odd = _mm512_set_epi32(0x3F003D, 0x3B0039, 0x370035, 0x330031, 0x2F002D, 0x2B0029,
                                         0x270025, 0x230021, 0x1F001D, 0x1B0019, 0x170015, 0x130011,
                                         0xF000D, 0xB0009, 0x70005, 0x30001);
#pragma GCC unroll 4
    for (size_t i = 0; i < 16; i++, at += row) {
        fetch(x, at + ahead);
        fetch(x, at + ahead + 16);
        words[i] = _mm512_castsi512_ps(
            _mm512_permutex2var_epi16(rounded(x, at), odd, rounded(x, at + 16)));
    }
}

/* ... or of 16 pairs of k, where i is next to i. */
static inline __attribute__((always_inline)) void half_along_i(Vec words[16], Weight x, size_t at,
                                                               size_t row, size_t ahead)
{
#pragma GCC unroll 4
    for (size_t p = 0; p < 16; p++, at += 2 * row) {
        fetch(x, at + ahead);
        fetch(x, at + ahead + row);
        __m512i first = _mm512_srli_epi32(rounded(x, at), 16);
        words[p] = _mm512_castsi512_ps(
            _mm512_mask_blend_epi16(0xAAAAAAAA, first, rounded(x, at + row)));
    }
}

/* A whole block. along_k: how it comes; turned: how it goes. */
static inline __attribute__((always_inline)) void block(uint32_t *out, Weight x, size_t at,
                                                        size_t row, size_t ahead, size_t pairs,
                                                        int along_k, int turned)
{
    for (size_t h = 0; h < 2; h++) {
        Vec words[16];
        if (along_k) {
            half_along_k(words, x, at + 16 * h * row, row, ahead);
        } else {
            half_along_i(words, x, at + 16 * h, row, ahead);
        }
        if (along_k == turned) {
            vec_transpose(words);
        }
        size_t count = turned ? pairs : 16, step = turned ? PAIRS_SIDE : PAIRS;
        uint32_t *to = out + 16 * h * (turned ? 1 : PAIRS);
        for (size_t i = 0; i < count; i++) {
            vec_store((float *)(void *)(to + i * step), words[i]);
        }
    }
}

void pairs_block(uint32_t *out, Strided x, size_t i, size_t k, size_t count, size_t depth,
                 int turned, size_t ahead)
{
    enum { SIDE = PAIRS_SIDE };
    float edge[SIDE * SIDE];
    size_t at = i * x.row + k * x.col, pairs = (depth + 1) / 2;
    if (count < SIDE || depth < SIDE) {
        size_t runs = x.col == 1 ? count : depth, step = x.col == 1 ? x.row : x.col,
               length = x.col == 1 ? depth : count;
        memset(edge, 0, sizeof edge);
        for (size_t run = 0; run < runs; run++) {
            weight_row(edge + run * SIDE, x.w, at + run * step, length);
        }
        x = x.col == 1 ? strided(edge, SIDE, 1) : strided(edge, 1, SIDE);
        at = ahead = 0;
    }
    if (x.col == 1 && turned) {
        block(out, x.w, at, x.row, ahead, pairs, 1, 1);
    } else if (x.col == 1) {
        block(out, x.w, at, x.row, ahead, pairs, 1, 0);
    } else if (turned) {
        block(out, x.w, at, x.col, ahead, pairs, 0, 1);
    } else {
        block(out, x.w, at, x.col, ahead, pairs, 0, 0);
    }
}
#endif
