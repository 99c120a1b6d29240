/* Micro-kernels of the product by blocks. Of block16 and block8 a term is cut by the conversion to
 * int32, which cuts toward zero, of term 2^(fraction - emax); two sums of 9 terms below 2^27 fit
 * int32. That holds for emax from LOWEST to HIGHEST, where no product under- or overflows; other
 * outputs, and those that are not finite, go by block_sum one by one. Exponents are compared as int16,
 * twice as many in a vector. Of tile the chains of fma run in vectors with subnormals flushed by the
 * CPU; where it has the sum itself, block_amx.c does instead.
 *
 * Row k of a panel: block16 and block8 have the values as bf16, column l of the first vector before
 * column l of the second, then their exponents in the same order; tile has a word for each column
 * and pair of rows, as in block_pairs.h. */
#include "block_tile.h"

#include <string.h>

enum { LOWEST = -100, HIGHEST = 120, NOT_FINITE = 1000 };

/* Of an operand; of one that is not finite so large that its outputs go one by one. */
static inline int exponent_of(uint16_t x)
{
    int biased = x >> 7 & 0xFF;
    return biased == 0xFF ? NOT_FINITE : (biased ? biased : 1) - 127;
}

void block_panel_pack(BlockSum sum, float *panel, size_t k, const uint16_t (*values)[COLUMNS],
                      size_t depth, size_t columns)
{
    enum { HALF = COLUMNS / 2 };
    if (!sum.fraction) {
        uint32_t *words = (uint32_t *)(void *)panel + k / 2 * COLUMNS;
        for (size_t i = 0; i < depth; i += 2, words += COLUMNS) {
            for (size_t n = 0; n < COLUMNS; n++) {
                words[n] = values[i][n] | (uint32_t)values[i + 1][n] << 16;
            }
        }
        return;
    }
    uint16_t *to = (uint16_t *)(void *)panel + k * 2 * COLUMNS;
    for (size_t i = 0; i < depth; i++, to += 2 * COLUMNS) {
        for (size_t n = 0; n < HALF; n++) {
            uint16_t first = values[i][n], second = values[i][n + HALF];
            to[2 * n] = first;
            to[2 * n + 1] = second;
            /* of columns that are not there 0, which is no special case */
            to[COLUMNS + 2 * n] = (uint16_t)(n < columns ? exponent_of(first) : 0);
            to[COLUMNS + 2 * n + 1] = (uint16_t)(n + HALF < columns ? exponent_of(second) : 0);
        }
    }
}

int block_strip_rows(BlockSum sum)
{
    return sum.fraction ? BLOCK_ROWS : TILE_CHAINS;
}

void block_strip_pack(BlockSum sum, Strip *strip, size_t count, size_t depth)
{
    size_t rows = (size_t)block_strip_rows(sum);
    for (size_t i = 0; i < rows; i++) {
        for (size_t k = 0; k < depth + depth % 2; k++) {
            strip->value[k * rows + i] = bf16_widen(strip->bf16[i][k]);
        }
    }
    for (size_t i = 0; i < rows && sum.fraction; i++) {
        for (size_t k = 0; k < depth; k++) {
            /* of rows that are not there 0, which is no special case */
            int exponent = i < count ? exponent_of(strip->bf16[i][k]) : 0;
            strip->exponent[k * rows + i] = (exponent + 127) * 0x10001; /* as c's bits have it */
        }
    }
}

#if defined(__AVX512F__)
#include <immintrin.h>
enum { LANES_OF = 16 };
typedef __m512 Floats;
typedef __m512i Ints;
#define V(name)        _mm512_##name
#define ints_load(p)   _mm512_loadu_si512(p)
#define floats_bits(x) _mm512_castps_si512(x)
#define bits_floats(x) _mm512_castsi512_ps(x)
#define ints_and(x, y) _mm512_and_si512(x, y)
#define ints_or(x, y)  _mm512_or_si512(x, y)
#define ints_zero()    _mm512_setzero_si512()
/* A bit for each lane whose sign bit is set. */
static inline unsigned lanes_negative(Ints x)
{
    return _mm512_movepi32_mask(x);
}
/* (x ^ z) & (y ^ z) */
static inline Ints ints_overflow(Ints x, Ints y, Ints z)
{
    return _mm512_ternarylogic_epi32(x, y, z, 0x42);
}
/* To float32, cut toward zero. */
static inline Floats ints_cut(Ints x)
{
    return _mm512_cvt_roundepi32_ps(x, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
}
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
enum { LANES_OF = 8 };
typedef __m256 Floats;
typedef __m256i Ints;
#define V(name)        _mm256_##name
#define ints_load(p)   _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define floats_bits(x) _mm256_castps_si256(x)
#define bits_floats(x) _mm256_castsi256_ps(x)
#define ints_and(x, y) _mm256_and_si256(x, y)
#define ints_or(x, y)  _mm256_or_si256(x, y)
#define ints_zero()    _mm256_setzero_si256()
static inline unsigned lanes_negative(Ints x)
{
    return (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(x));
}
static inline Ints ints_overflow(Ints x, Ints y, Ints z)
{
    return _mm256_and_si256(_mm256_xor_si256(x, z), _mm256_xor_si256(y, z));
}
/* Bits below the 24 highest are taken away first; |x| < 2^31. */
static inline Floats ints_cut(Ints x)
{
    __m256i magnitude = _mm256_abs_epi32(x), lost = _mm256_srli_epi32(magnitude, 24);
    lost = _mm256_or_si256(lost, _mm256_srli_epi32(lost, 1));
    lost = _mm256_or_si256(lost, _mm256_srli_epi32(lost, 2));
    lost = _mm256_or_si256(lost, _mm256_srli_epi32(lost, 4));
    return _mm256_cvtepi32_ps(_mm256_sign_epi32(_mm256_andnot_si256(lost, magnitude), x));
}
#endif

#if defined(__AVX2__)
/* Outputs of row i that have a bit in `lanes`, of columns half LANES_OF + lane, by the definition. */
static __attribute__((noinline)) void add_alone(BlockSum sum, float *row, Floats before,
                                                const Strip *strip, int i, const uint16_t *panel,
                                                size_t k, int n, unsigned lanes, int half)
{
    float c[LANES_OF];
    uint16_t a[BLOCK_LONGEST], b[BLOCK_LONGEST];
    int zeros = 1;
    V(storeu_ps)(c, before);
    memcpy(a, strip->bf16[i] + k, (size_t)n * sizeof *a);
    for (int j = 0; j < n; j++) {
        zeros &= !(uint16_t)(a[j] << 1);
    }
    for (int lane = 0; lane < LANES_OF; lane++) {
        if (!(lanes >> lane & 1)) {
            continue;
        }
        int at = 2 * lane + half, finite = 1;
        for (int j = 0; j < n; j++) {
            b[j] = panel[j * 2 * COLUMNS + at];
            finite &= (b[j] & 0x7F80) != 0x7F80;
        }
        int nothing = zeros && finite && c[lane] == 0.0f; /* as behind a mask: not worth a sum */
        row[half * LANES_OF + lane] = nothing ? 0.0f : block_sum(sum, a, b, n, c[lane]);
    }
}

/* Adds the products with row j of the panel, cut. */
static inline __attribute__((always_inline)) void add_terms(Ints sums[BLOCK_ROWS][2],
                                                            const Floats scale[BLOCK_ROWS][2],
                                                            const float *values,
                                                            const uint16_t *panel, int j)
{
    Ints both = ints_load(panel + j * 2 * COLUMNS);
    Floats b[2] = {bits_floats(V(slli_epi32)(both, 16)),
                   bits_floats(ints_and(both, V(set1_epi32)((int)0xFFFF0000u)))};
#pragma GCC unroll 4
    for (int i = 0; i < BLOCK_ROWS; i++) {
        Floats a = V(set1_ps)(values[j * BLOCK_ROWS + i]);
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            Floats term = V(mul_ps)(V(mul_ps)(a, b[h]), scale[i][h]);
            sums[i][h] = V(add_epi32)(sums[i][h], V(cvttps_epi32)(term));
        }
    }
}

/* One block of n products, a constant of each call, so that all arrays live in registers. */
static inline __attribute__((always_inline)) void add_block(BlockSum sum, float (*tile)[COLUMNS],
                                                            const Strip *strip,
                                                            const uint16_t *panel, size_t k, int n)
{
    const float *values = strip->value + k * BLOCK_ROWS;
    const int32_t *exponents = strip->exponent + k * BLOCK_ROWS;
    Ints largest[BLOCK_ROWS], even[BLOCK_ROWS][2], odd[BLOCK_ROWS][2];
    Ints alone[BLOCK_ROWS][2], any = ints_zero(); /* a sign bit for what goes one by one */
    Floats scale[BLOCK_ROWS][2];
#pragma GCC unroll 4
    for (int i = 0; i < BLOCK_ROWS; i++) {
        largest[i] = V(set1_epi16)(0);
    }
    for (int j = 0; j < n; j++) {
        Ints e = ints_load(panel + j * 2 * COLUMNS + COLUMNS);
#pragma GCC unroll 4
        for (int i = 0; i < BLOCK_ROWS; i++) {
            Ints both = V(add_epi16)(e, V(set1_epi32)(exponents[j * BLOCK_ROWS + i]));
            largest[i] = V(max_epi16)(largest[i], both);
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < BLOCK_ROWS; i++) {
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            Floats c = V(loadu_ps)(tile[i] + h * LANES_OF);
            Ints own = ints_and(V(srli_epi32)(floats_bits(c), 23), V(set1_epi32)(0xFF)),
                 e = V(srai_epi32)(h ? largest[i] : V(slli_epi32)(largest[i], 16), 16),
                 emax = V(max_epi32)(V(max_epi32)(own, V(set1_epi32)(1)), e),
                 above = V(sub_epi32)(emax, V(set1_epi32)(LOWEST + 127));
            alone[i][h] = ints_or(above, V(sub_epi32)(V(set1_epi32)(HIGHEST - LOWEST), above));
            scale[i][h] = bits_floats(
                V(slli_epi32)(V(sub_epi32)(V(set1_epi32)(254 + sum.fraction), emax), 23));
            even[i][h] = V(cvttps_epi32)(V(mul_ps)(c, scale[i][h]));
            odd[i][h] = ints_zero();
        }
    }
    for (int j = 0; j < n; j += 2) {
        add_terms(even, scale, values, panel, j);
        if (j + 1 < n) {
            add_terms(odd, scale, values, panel, j + 1);
        }
    }
    Floats before[BLOCK_ROWS][2];
#pragma GCC unroll 4
    for (int i = 0; i < BLOCK_ROWS; i++) {
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            Ints all = V(add_epi32)(even[i][h], odd[i][h]);
            Floats inverse = bits_floats(
                V(sub_epi32)(V(set1_epi32)(254 << 23), floats_bits(scale[i][h])));
            alone[i][h] = ints_or(alone[i][h], ints_overflow(even[i][h], odd[i][h], all));
            any = ints_or(any, alone[i][h]);
            before[i][h] = V(loadu_ps)(tile[i] + h * LANES_OF);
            V(storeu_ps)(tile[i] + h * LANES_OF, V(mul_ps)(ints_cut(all), inverse));
        }
    }
    if (lanes_negative(any)) {
        for (int i = 0; i < 2 * BLOCK_ROWS; i++) {
            add_alone(sum, tile[i / 2], before[i / 2][i % 2], strip, i / 2, panel, k, n,
                      lanes_negative(alone[i / 2][i % 2]), i % 2);
        }
    }
}

static __attribute__((noinline)) void add_blocks(BlockSum sum, float (*tile)[COLUMNS],
                                                 const Strip *strip, const uint16_t *panel,
                                                 size_t depth)
{
    for (size_t k = 0; k < depth; k += (size_t)sum.length) {
        const uint16_t *from = panel + k * 2 * COLUMNS;
        int n = depth - k < (size_t)sum.length ? (int)(depth - k) : sum.length;
        if (n == BLOCK16.length) {
            add_block(sum, tile, strip, from, k, 16);
        } else if (n == BLOCK8.length) {
            add_block(sum, tile, strip, from, k, 8);
        } else {
            add_block(sum, tile, strip, from, k, n);
        }
    }
}

/* Chains of fma of one half of each pair, flushed where the CPU was told to. */
static inline __attribute__((always_inline)) void add_chains(Floats sums[TILE_CHAINS][2],
                                                             const float *values,
                                                             const uint32_t *panel, int pairs,
                                                             int odd)
{
#pragma GCC unroll 12
    for (int i = 0; i < TILE_CHAINS; i++) {
        sums[i][0] = sums[i][1] = V(setzero_ps)();
    }
    for (int p = 0; p < pairs; p++) {
        Floats b[2];
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            Ints pair = ints_load(panel + p * COLUMNS + h * LANES_OF);
            b[h] = bits_floats(odd ? ints_and(pair, V(set1_epi32)((int)0xFFFF0000u))
                                   : V(slli_epi32)(pair, 16));
        }
#pragma GCC unroll 12
        for (int i = 0; i < TILE_CHAINS; i++) {
            Floats a = V(set1_ps)(values[(2 * p + odd) * TILE_CHAINS + i]);
            sums[i][0] = V(fmadd_ps)(a, b[0], sums[i][0]);
            sums[i][1] = V(fmadd_ps)(a, b[1], sums[i][1]);
        }
    }
}

static __attribute__((noinline)) void add_pairs(float (*tile)[COLUMNS], const Strip *strip,
                                                const uint32_t *panel, size_t depth)
{
    const Floats zero = V(setzero_ps)();
    for (size_t k = 0; k < depth; k += 32) {
        int n = depth - k < 32 ? (int)(depth - k) : 32, pairs = (n + 1) / 2;
        const float *values = strip->value + k * TILE_CHAINS;
        const uint32_t *from = panel + k / 2 * COLUMNS;
        Floats even[TILE_CHAINS][2], odd[TILE_CHAINS][2];
        add_chains(even, values, from, pairs, 0);
        add_chains(odd, values, from, pairs, 1);
#pragma GCC unroll 12
        for (int i = 0; i < TILE_CHAINS; i++) {
#pragma GCC unroll 2
            for (int h = 0; h < 2; h++) {
                float *c = tile[i] + h * LANES_OF;
                if (pairs < 16) { /* a product of zeros makes -0 +0 */
                    even[i][h] = V(add_ps)(even[i][h], zero);
                    odd[i][h] = V(add_ps)(odd[i][h], zero);
                }
                V(storeu_ps)(c, V(add_ps)(V(loadu_ps)(c), V(add_ps)(even[i][h], odd[i][h])));
            }
        }
    }
}

void block_tile(BlockSum sum, float (*tile)[COLUMNS], const Strip *strip, const float *panel,
                size_t k, size_t depth)
{
    if (sum.fraction) {
        add_blocks(sum, tile, strip, (const uint16_t *)(const void *)panel + k * 2 * COLUMNS,
                   depth);
    } else {
        add_pairs(tile, strip, (const uint32_t *)(const void *)panel + k / 2 * COLUMNS, depth);
    }
}

unsigned block_begin(BlockSum sum)
{
    enum { FLUSH_TO_ZERO = 0x8000, DENORMALS_ARE_ZERO = 0x40 };
    unsigned mode = _mm_getcsr();
    if (!sum.fraction) {
        _mm_setcsr(mode | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO);
    }
    return mode;
}

void block_end(BlockSum sum, unsigned begun)
{
    if (!sum.fraction) {
        _mm_setcsr(begun);
    }
}
#else
void block_tile(BlockSum sum, float (*tile)[COLUMNS], const Strip *strip, const float *panel,
                size_t k, size_t depth)
{
    const uint16_t *values = (const uint16_t *)(const void *)panel;
    int rows = block_strip_rows(sum);
    for (size_t first = 0; first < depth; first += (size_t)sum.length) {
        int n = depth - first < (size_t)sum.length ? (int)(depth - first) : sum.length;
        for (size_t column = 0; column < COLUMNS; column++) {
            uint16_t b[BLOCK_LONGEST];
            for (int i = 0; i < n; i++) {
                size_t row = k + first + (size_t)i;
                size_t word = row / 2 * COLUMNS + column; /* of tile's pairs */
                size_t value = row * 2 * COLUMNS + column % (COLUMNS / 2) * 2 +
                               column / (COLUMNS / 2);
                b[i] = values[sum.fraction ? value : word * 2 + row % 2];
            }
            for (int i = 0; i < rows; i++) {
                tile[i][column] = block_sum(sum, strip->bf16[i] + first, b, n, tile[i][column]);
            }
        }
    }
}

unsigned block_begin(BlockSum sum)
{
    (void)sum;
    return 0;
}

void block_end(BlockSum sum, unsigned begun)
{
    (void)sum, (void)begun;
}
#endif
