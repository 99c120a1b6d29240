/* The widest vector of a build of the CPU, for the micro-kernel of the products alone. Each
 * operation is one float32 operation per element, so a wider vector cannot change a bit.
 * FMA_BROADCASTS: an fma can read one float of memory for all elements. */
#ifndef SIMD_H
#define SIMD_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__AVX512F__)
#include <immintrin.h>
enum { VEC_FLOATS = 16, TILE_ROWS = 14, TILE_VECS = 2, FMA_BROADCASTS = 1 };
typedef __m512 Vec;
static inline Vec vec_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
static inline void vec_store(float *p, Vec v)
{
    _mm512_storeu_ps(p, v);
}
/* Element `first` of a row stands at p: as many of the vector as are among the row's first n. The
 * others are not touched; read, they are 0. */
static inline __mmask16 vec_mask(size_t n, size_t first)
{
    return (__mmask16)(n >= first + 16 ? 0xFFFF : n > first ? (1u << (n - first)) - 1 : 0);
}
static inline Vec vec_load_first(const float *p, size_t n, size_t first)
{
    return _mm512_maskz_loadu_ps(vec_mask(n, first), p);
}
static inline void vec_store_first(float *p, Vec v, size_t n, size_t first)
{
    _mm512_mask_storeu_ps(p, vec_mask(n, first), v);
}
static inline Vec vec_set(float x)
{
    return _mm512_set1_ps(x);
}
static inline Vec vec_fma(Vec a, Vec b, Vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}
/* 16 bf16 values as float32. */
static inline Vec vec_widen(const uint16_t *p)
{
    __m256i half = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}
/* 16 rows of 16 become columns. */
static inline __attribute__((always_inline)) void vec_transpose(Vec r[16])
{
    Vec t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            __m512d low = _mm512_castps_pd(t[i + j]), high = _mm512_castps_pd(t[i + j + 2]);
            r[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
            r[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4;
         i++) { /* r[4 g + i]: columns i, 4 + i, 8 + i, 12 + i of rows 4 g .. 4 g + 3 */
        t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xDD);
        t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xDD);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
        r[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xDD);
        r[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xDD);
    }
}
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
enum { VEC_FLOATS = 8, TILE_ROWS = 6, TILE_VECS = 2, FMA_BROADCASTS = 0 };
typedef __m256 Vec;
static inline Vec vec_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
static inline void vec_store(float *p, Vec v)
{
    _mm256_storeu_ps(p, v);
}
/* As with AVX-512. */
static inline __m256i vec_mask(size_t n, size_t first)
{
    int left = n > first ? (int)(n - first) : 0;
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(left), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline Vec vec_load_first(const float *p, size_t n, size_t first)
{
    return _mm256_maskload_ps(p, vec_mask(n, first));
}
static inline void vec_store_first(float *p, Vec v, size_t n, size_t first)
{
    _mm256_maskstore_ps(p, vec_mask(n, first), v);
}
static inline Vec vec_set(float x)
{
    return _mm256_set1_ps(x);
}
static inline Vec vec_fma(Vec a, Vec b, Vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}
/* 8 bf16 values as float32. */
static inline Vec vec_widen(const uint16_t *p)
{
    __m128i half = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}
#else
enum { VEC_FLOATS = 1, TILE_ROWS = 4, TILE_VECS = 4, FMA_BROADCASTS = 0 };
typedef float Vec;
static inline Vec vec_load(const float *p)
{
    return *p;
}
static inline void vec_store(float *p, Vec v)
{
    *p = v;
}
static inline Vec vec_load_first(const float *p, size_t n, size_t first)
{
    return n > first ? *p : 0.0f;
}
static inline void vec_store_first(float *p, Vec v, size_t n, size_t first)
{
    if (n > first) {
        *p = v;
    }
}
static inline Vec vec_set(float x)
{
    return x;
}
static inline Vec vec_fma(Vec a, Vec b, Vec c)
{
    return fmaf(a, b, c);
}
#endif

#endif
