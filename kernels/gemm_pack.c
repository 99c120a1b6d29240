/* Packing of the operands of the matrix product: see gemm.h. */
#include "gemm.h"
#include "base.h"

#include <string.h>

/* The copy that turns W rows of x into columns of a panel, 16 k at a time so that the compiler
 * can keep the block in registers or at least in the first level cache. */
static void pack_rows(float *restrict out, Weight x, size_t at, size_t row, int rows, size_t K,
                      int W)
{
    enum { BLOCK = 16 };
    size_t k = 0;
    for (; k + BLOCK <= K; k += BLOCK) {
        float block[64][BLOCK];
        for (int w = 0; w < rows; w++) {
            weight_row(block[w], x, at + (size_t)w * row + k, BLOCK);
        }
        for (int i = 0; i < BLOCK; i++) {
            float *restrict to = out + (k + (size_t)i) * (size_t)W;
            for (int w = 0; w < rows; w++) {
                to[w] = block[w][i];
            }
        }
    }
    for (; k < K; k++) {
        for (int w = 0; w < rows; w++) {
            weight_row(out + k * (size_t)W + (size_t)w, x, at + (size_t)w * row + k, 1);
        }
    }
}

#if defined(__AVX512F__)
/* 16 x 16 transpose: 16 rows of x, or TILE_ROWS, to a panel of width W. */
static inline __attribute__((always_inline)) void pack_16(float *out, Weight x, size_t at,
                                                          size_t row, int rows, size_t K, int W)
{
    __mmask16 mask = (__mmask16)((1u << rows) - 1);
    for (size_t k = 0; k + 16 <= K; k += 16) {
        Vec r[16];
        for (int i = 0; i < 16; i++) {
            size_t first = at + (size_t)i * row + k;
            r[i] = i >= rows ? vec_set(0.0f)
                   : x.f32   ? vec_load(x.f32 + first)
                             : vec_widen(x.bf16 + first);
        }
        vec_transpose(r);
        for (int i = 0; i < 16; i++) {
            _mm512_mask_storeu_ps(out + (k + (size_t)i) * (size_t)W, mask, r[i]);
        }
    }
    size_t done = K / 16 * 16;
    pack_rows(out + done * (size_t)W, x, at + done, row, rows, K - done, W);
}
#elif defined(__AVX2__)
/* 8 x 8 transpose: 8 rows of x, or TILE_ROWS, to a panel of width W. With fewer than 8 rows a store
 * spills into the next k, which is written after it; so the last k are left to pack_rows. */
static inline __attribute__((always_inline)) void pack_8(float *out, Weight x, size_t at,
                                                         size_t row, int rows, size_t K, int W)
{
    size_t k = 0;
    for (; k + 8 + (rows < 8) <= K; k += 8) {
        __m256 r[8], t[8];
        for (int i = 0; i < 8; i++) {
            size_t first = at + (size_t)i * row + k;
            r[i] = i >= rows ? _mm256_setzero_ps()
                   : x.f32   ? _mm256_loadu_ps(x.f32 + first)
                             : vec_widen(x.bf16 + first);
        }
        for (int i = 0; i < 8; i += 2) {
            t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
            t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
        }
        for (int i = 0; i < 8; i += 4) { /* r[i + j]: columns j and 4 + j of rows i .. i + 3 */
            r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
            r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xEE);
            r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
            r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
        }
        for (int j = 0; j < 8; j++) {
            _mm256_storeu_ps(out + (k + (size_t)j) * (size_t)W,
                             j < 4 ? _mm256_permute2f128_ps(r[j], r[j + 4], 0x20)
                                   : _mm256_permute2f128_ps(r[j - 4], r[j], 0x31));
        }
    }
    pack_rows(out + k * (size_t)W, x, at + k, row, rows, K - k, W);
}
#endif

/* One panel of width W: out[k][w] = x(first + w, k), zero where first + w >= n. W is a constant of
 * every call, and the copies depend on it. */
static inline __attribute__((always_inline)) void pack_panel(float *out, Strided x, size_t first,
                                                             size_t n, size_t K, int W)
{
    int rows = n - first < (size_t)W ? (int)(n - first) : W;
    size_t at = first * x.row;
    if (rows < W) {
        memset(out, 0, K * (size_t)W * sizeof *out);
    }
#if defined(__AVX512F__)
    for (; rows >= 16; rows -= 16, at += 16 * x.row, out += 16) {
        pack_16(out, x.w, at, x.row, 16, K, W);
    }
    if (rows == TILE_ROWS && W == TILE_ROWS) {
        pack_16(out, x.w, at, x.row, TILE_ROWS, K, W);
        return;
    }
#elif defined(__AVX2__)
    for (; rows >= 8; rows -= 8, at += 8 * x.row, out += 8) {
        pack_8(out, x.w, at, x.row, 8, K, W);
    }
    if (rows == TILE_ROWS && W == TILE_ROWS) {
        pack_8(out, x.w, at, x.row, TILE_ROWS, K, W);
        return;
    }
#endif
    pack_rows(out, x.w, at, x.row, rows, K, W);
}

/* All of x as panels. Where its rows run along the panels they are read DEEP at a time over their
 * whole length: down one panel alone, every read would be in another page of memory. */
static inline __attribute__((always_inline)) void pack(float *out, Strided x, size_t n, size_t K,
                                                       int W)
{
    enum { DEEP = 16 };
    size_t width = (size_t)W;
    if (x.row != 1) {
        for (size_t first = 0; first < n; first += width) {
            pack_panel(out + first * K, x, first, n, K, W);
        }
        return;
    }
    for (size_t k0 = 0; k0 < K; k0 += DEEP) {
        size_t k1 = size_min(K, k0 + DEEP), first = 0;
        for (; first + width <= n; first += width) { /* a constant size needs no call of memcpy */
            for (size_t k = k0; k < k1; k++) {
                weight_row(out + first * K + k * width, x.w, first + k * x.col, width);
            }
        }
        for (size_t k = k0; k < k1 && first < n; k++) {
            float *to = out + first * K + k * width;
            weight_row(to, x.w, first + k * x.col, n - first);
            memset(to + (n - first), 0, (width - (n - first)) * sizeof *to);
        }
    }
}

void gemm_pack_a(float *packed, Strided a, size_t M, size_t K)
{
    pack(packed, a, M, K, TILE_ROWS);
}

void gemm_pack(float *packed, Strided b, size_t N, size_t K)
{
    pack(packed, (Strided){b.w, b.col, b.row}, N, K, TILE_COLS);
}
