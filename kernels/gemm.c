/* Packing and the micro-kernel of the matrix product: see gemm.h for what it promises. */
#include "gemm.h"
#include "base.h"

#include <omp.h>
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
/* 16 x 16 transpose: 16 rows of x, 16 k, to a panel of width W. */
static void pack_16(float *out, Weight x, size_t at, size_t row, size_t K, int W)
{
    for (size_t k = 0; k + 16 <= K; k += 16) {
        __m512 r[16], t[16];
        for (int i = 0; i < 16; i++) {
            size_t first = at + (size_t)i * row + k;
            r[i] = x.f32 ? _mm512_loadu_ps(x.f32 + first) : vec_widen(x.bf16 + first);
        }
        for (int i = 0; i < 16; i += 2) {
            t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
            t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
        }
        for (int i = 0; i < 16; i += 4) {
            for (int j = 0; j < 2; j++) {
                __m512d low = _mm512_castps_pd(t[i + j]), high = _mm512_castps_pd(t[i + j + 2]);
                r[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
                r[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
            }
        }
        for (int i = 0; i < 4;
             i++) { /* r[4 g + i]: columns i, 4 + i, 8 + i, 12 + i of rows 4 g .. 4 g + 3 */
            t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
            t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xDD);
            t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
            t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xDD);
        }
        for (int i = 0; i < 4; i++) {
            _mm512_storeu_ps(out + (k + (size_t)i) * (size_t)W,
                             _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88));
            _mm512_storeu_ps(out + (k + (size_t)i + 8) * (size_t)W,
                             _mm512_shuffle_f32x4(t[i], t[i + 8], 0xDD));
            _mm512_storeu_ps(out + (k + (size_t)i + 4) * (size_t)W,
                             _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88));
            _mm512_storeu_ps(out + (k + (size_t)i + 12) * (size_t)W,
                             _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xDD));
        }
    }
    size_t done = K / 16 * 16;
    pack_rows(out + done * (size_t)W, x, at + done, row, 16, K - done, W);
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

/* Packs panel number `panel` of width W: out[k][w] = x(first + w, k), zero where first + w >= n. W
 * is a constant of every call, and the copies depend on it. */
static inline __attribute__((always_inline)) void pack_panel(float *out, Strided x, size_t n,
                                                             size_t K, size_t panel, int W)
{
    size_t first = panel * (size_t)W;
    int rows = n - first < (size_t)W ? (int)(n - first) : W;
    size_t at = first * x.row;
    if (rows < W) {
        memset(out, 0, K * (size_t)W * sizeof *out);
    }
    if (x.row == 1 && rows == W) { /* a constant size, which needs no call of memcpy */
        for (size_t k = 0; k < K; k++) {
            weight_row(out + k * (size_t)W, x.w, at + k * x.col, (size_t)W);
        }
        return;
    }
    if (x.row == 1) {
        for (size_t k = 0; k < K; k++) {
            weight_row(out + k * (size_t)W, x.w, at + k * x.col, (size_t)rows);
        }
        return;
    }
#if defined(__AVX512F__)
    for (; rows >= 16; rows -= 16, at += 16 * x.row, out += 16) {
        pack_16(out, x.w, at, x.row, K, W);
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

/* A panel of rows of A [M, K], of columns of B [K, N]. */
static void pack_a(float *out, Strided a, size_t M, size_t K, size_t panel)
{
    pack_panel(out, a, M, K, panel, TILE_ROWS);
}

static void pack_b(float *out, Strided b, size_t N, size_t K, size_t panel)
{
    pack_panel(out, (Strided){b.w, b.col, b.row}, N, K, panel, TILE_COLS);
}

/* The whole tile: 28 accumulators of 16 floats with AVX-512. The arrays live in registers: every
 * loop has a constant bound and is unrolled. */
static inline __attribute__((always_inline)) void tile_full(size_t K, const float *a,
                                                            const float *b, float *c, size_t ldc,
                                                            GemmStart start, const float *bias,
                                                            const float *next_b)
{
    Vec sum[TILE_ROWS][TILE_VECS];
#pragma GCC unroll 16
    for (int i = 0; i < TILE_ROWS; i++) {
#pragma GCC unroll 4
        for (int j = 0; j < TILE_VECS; j++) {
            sum[i][j] = start == START_C ? vec_load(c + (size_t)i * ldc + (size_t)(j * VEC_FLOATS))
                        : start == START_BIAS ? vec_load(bias + j * VEC_FLOATS)
                                              : vec_set(0.0f);
        }
    }
    for (size_t k = 0; k < K; k++) {
        Vec column[TILE_VECS];
        __builtin_prefetch(next_b + k * 16, 0, 2);
#pragma GCC unroll 4
        for (int j = 0; j < TILE_VECS; j++) {
            column[j] = vec_load(b + j * VEC_FLOATS);
        }
#pragma GCC unroll 16
        for (int i = 0; i < TILE_ROWS; i++) {
            Vec row = vec_set(a[i]);
#pragma GCC unroll 4
            for (int j = 0; j < TILE_VECS; j++) {
                sum[i][j] = vec_fma(row, column[j], sum[i][j]);
            }
        }
        a += TILE_ROWS;
        b += TILE_COLS;
    }
#pragma GCC unroll 16
    for (int i = 0; i < TILE_ROWS; i++) {
#pragma GCC unroll 4
        for (int j = 0; j < TILE_VECS; j++) {
            vec_store(c + (size_t)i * ldc + (size_t)(j * VEC_FLOATS), sum[i][j]);
        }
    }
}

void gemm_tile(size_t K, const float *a, const float *b, float *c, size_t ldc, int rows, int cols,
               GemmStart start, const float *bias, const float *next_b)
{
    if (rows == TILE_ROWS && cols == TILE_COLS) {
        if (start == START_ZERO) {
            tile_full(K, a, b, c, ldc, START_ZERO, NULL, next_b);
        } else if (start == START_BIAS) {
            tile_full(K, a, b, c, ldc, START_BIAS, bias, next_b);
        } else {
            tile_full(K, a, b, c, ldc, START_C, NULL, next_b);
        }
        return;
    }
    /* A tile at the edge: the same arithmetic on a copy; rows and columns beyond the edge are
     * computed and dropped. */
    float edge[TILE_ROWS * TILE_COLS] = {0};
    for (int i = 0; i < rows && start != START_ZERO; i++) {
        memcpy(edge + i * TILE_COLS, start == START_C ? c + (size_t)i * ldc : bias,
               (size_t)cols * sizeof *edge);
    }
    if (start == START_ZERO) {
        tile_full(K, a, b, edge, TILE_COLS, START_ZERO, NULL, next_b);
    } else {
        tile_full(K, a, b, edge, TILE_COLS, START_C, NULL, next_b);
    }
    for (int i = 0; i < rows; i++) {
        memcpy(c + (size_t)i * ldc, edge + i * TILE_COLS, (size_t)cols * sizeof *edge);
    }
}

/* Blocks of C that stay in the second level cache while k goes by in blocks: the panel of B in the
 * first level cache is K_BLOCK x TILE_COLS floats (docs/BENCH.md). */
enum { K_BLOCK = 256, BLOCK_ROWS = 10, BLOCK_COLS = 12 };

void gemm(Context *ctx, float *c, size_t ldc, Strided a, Strided b, size_t M, size_t N, size_t K,
          GemmStart start, const float *bias)
{
    size_t a_panels = panels(M, TILE_ROWS), b_panels = panels(N, TILE_COLS);
    size_t row_blocks = panels(a_panels, BLOCK_ROWS), col_blocks = panels(b_panels, BLOCK_COLS);
    float *packed_b = ctx->scratch, *packed_a = packed_b + b_panels * TILE_COLS * K;
    int threads = threads_for(ctx, M * N * K / 64 + (M + N) * K / 8);
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static) nowait
        for (size_t j = 0; j < b_panels; j++) {
            pack_b(packed_b + j * TILE_COLS * K, b, N, K, j);
        }
#pragma omp for schedule(static)
        for (size_t i = 0; i < a_panels; i++) {
            pack_a(packed_a + i * TILE_ROWS * K, a, M, K, i);
        }
#pragma omp for schedule(dynamic)
        for (size_t block = 0; block < row_blocks * col_blocks; block++) {
            size_t i0 = block % row_blocks * BLOCK_ROWS, i1 = size_min(i0 + BLOCK_ROWS, a_panels);
            size_t j0 = block / row_blocks * BLOCK_COLS, j1 = size_min(j0 + BLOCK_COLS, b_panels);
            for (size_t k = 0; k < K || k == 0; k += K_BLOCK) {
                size_t depth = size_min(K - k, K_BLOCK);
                for (size_t j = j0; j < j1; j++) {
                    const float *panel = packed_b + (j * K + k) * TILE_COLS,
                                *next = panel + K * TILE_COLS;
                    int cols = (int)size_min(N - j * TILE_COLS, TILE_COLS);
                    for (size_t i = i0; i < i1; i++) {
                        int rows = (int)size_min(M - i * TILE_ROWS, TILE_ROWS);
                        /* Every tile fetches its share of the next panel of B into the second level
                         * cache. */
                        const float *share = next + (i - i0) % TILE_VECS * depth * 16;
                        gemm_tile(depth, packed_a + (i * K + k) * TILE_ROWS, panel,
                                  c + i * TILE_ROWS * ldc + j * TILE_COLS, ldc, rows, cols,
                                  k ? START_C : start, bias ? bias + j * TILE_COLS : NULL, share);
                    }
                }
            }
        }
    }
}

void gemm_pack(float *packed, Strided b, size_t N, size_t K)
{
    for (size_t j = 0; j < panels(N, TILE_COLS); j++) {
        pack_b(packed + j * K * TILE_COLS, b, N, K, j);
    }
}

void gemm_rows(float *c, size_t ldc, Strided a, const float *packed, size_t depth, size_t M,
               size_t N, size_t K, GemmStart start, float *a_panel)
{
    for (size_t i = 0; i * TILE_ROWS < M; i++) {
        int rows = (int)size_min(M - i * TILE_ROWS, TILE_ROWS);
        pack_a(a_panel, a, M, K, i);
        for (size_t j = 0; j < panels(N, TILE_COLS); j++) {
            int cols = (int)size_min(N - j * TILE_COLS, TILE_COLS);
            const float *panel = packed + j * depth * TILE_COLS;
            gemm_tile(K, a_panel, panel, c + i * TILE_ROWS * ldc + j * TILE_COLS, ldc, rows, cols,
                      start, NULL, panel);
        }
    }
}

void gemm_small(float *c, size_t ldc, Strided a, Strided b, size_t M, size_t N, size_t K,
                GemmStart start, float *scratch)
{
    float *packed = scratch + K * TILE_ROWS;
    packed += 16 - (size_t)(packed - scratch) % 16;
    gemm_pack(packed, b, N, K);
    gemm_rows(c, ldc, a, packed, K, M, N, K, start, scratch);
}
