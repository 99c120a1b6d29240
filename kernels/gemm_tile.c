/* The micro-kernel of the matrix product: see gemm.h for what it promises. */
#include "gemm.h"

/* One step of k. `again` is a once more, but the compiler must not know it: it would load a value
 * once and keep it, where two fma that read it from memory themselves are two instructions instead
 * of three. Where another hyperthread shares the core, about 1.5 for each fma can be issued at the
 * full rate of the fma (docs/BENCH.md). Every fourth row is kept, to leave room for other loads. */
static inline __attribute__((always_inline)) void
tile_step(Vec sum[TILE_ROWS][TILE_VECS], const float *a, const float *again, const float *b)
{
    Vec column[TILE_VECS];
#pragma GCC unroll 4
    for (size_t j = 0; j < TILE_VECS; j++) {
        column[j] = vec_load(b + j * VEC_FLOATS);
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < TILE_ROWS; i++) {
#pragma GCC unroll 4
        for (size_t j = 0; j < TILE_VECS; j++) {
            const float *from = FMA_BROADCASTS && i % 4 && j ? again : a;
            sum[i][j] = vec_fma(vec_set(from[i]), column[j], sum[i][j]);
        }
    }
}

/* sum += a b over `steps` values of k, one fma after another. With `fetches`, each two of them fetch
 * two rows of a square of memory into the first level cache. */
static inline __attribute__((always_inline)) void
tile_steps(Vec sum[TILE_ROWS][TILE_VECS], size_t steps, const float *a, const float *b, Fetch fetch,
           int fetches)
{
    const char *ahead = fetch.from;
    const float *again = a;
    __asm__("" : "+r"(again));
    for (; steps >= 2; steps -= 2) {
#pragma GCC unroll 4
        for (size_t j = 0; fetches && j < TILE_VECS; j++) {
            __builtin_prefetch(ahead + j * sizeof(Vec));
            __builtin_prefetch(ahead + fetch.step + j * sizeof(Vec));
        }
        tile_step(sum, a, again, b);
        tile_step(sum, a + TILE_ROWS, again + TILE_ROWS, b + TILE_COLS);
        ahead += 2 * fetch.step;
        a += 2 * TILE_ROWS;
        again += 2 * TILE_ROWS;
        b += 2 * TILE_COLS;
    }
    if (steps) {
        tile_step(sum, a, again, b);
    }
}

/* 28 accumulators of 16 floats with AVX-512, 12 of 8 with AVX2. The array lives in registers: every
 * loop over it has a constant bound and is unrolled. At an edge of C, rows and columns beyond it
 * are computed from what packing has filled with zeros, and dropped. */
static inline __attribute__((always_inline)) void tile(size_t K, const float *a, const float *b,
                                                       float *c, size_t ldc, size_t rows,
                                                       size_t cols, GemmStart start,
                                                       const float *bias, const Fetch fetch[2])
{
    Vec sum[TILE_ROWS][TILE_VECS];
    int whole = rows == TILE_ROWS && cols == TILE_COLS; /* known when this is compiled */
#pragma GCC unroll 16
    for (size_t i = 0; i < TILE_ROWS; i++) {
#pragma GCC unroll 4
        for (size_t j = 0; j < TILE_VECS; j++) {
            if (start == START_ZERO || i >= rows) {
                sum[i][j] = vec_set(0.0f);
                continue;
            }
            const float *from = (start == START_C ? c + i * ldc : bias) + j * VEC_FLOATS;
            sum[i][j] = whole ? vec_load(from) : vec_load_first(from, cols, j * VEC_FLOATS);
        }
    }
    for (int part = 0; part < 2; part++) {
        size_t steps = K < FETCH_ROWS ? K : FETCH_ROWS;
        tile_steps(sum, steps, a, b, fetch[part], 1);
        a += steps * TILE_ROWS;
        b += steps * TILE_COLS;
        K -= steps;
    }
    tile_steps(sum, K, a, b, (Fetch){b, 0}, 0);
#pragma GCC unroll 16
    for (size_t i = 0; i < TILE_ROWS; i++) {
#pragma GCC unroll 4
        for (size_t j = 0; j < TILE_VECS; j++) {
            float *to = c + i * ldc + j * VEC_FLOATS;
            if (whole) {
                vec_store(to, sum[i][j]);
            } else if (i < rows) {
                vec_store_first(to, sum[i][j], cols, j * VEC_FLOATS);
            }
        }
    }
}

void gemm_tile(size_t K, const float *a, const float *b, float *c, size_t ldc, size_t rows,
               size_t cols, GemmStart start, const float *bias, const Fetch fetch[2])
{
    if (rows < TILE_ROWS || cols < TILE_COLS) {
        tile(K, a, b, c, ldc, rows, cols, start, bias, fetch);
    } else if (start == START_ZERO) {
        tile(K, a, b, c, ldc, TILE_ROWS, TILE_COLS, START_ZERO, NULL, fetch);
    } else if (start == START_BIAS) {
        tile(K, a, b, c, ldc, TILE_ROWS, TILE_COLS, START_BIAS, bias, fetch);
    } else {
        tile(K, a, b, c, ldc, TILE_ROWS, TILE_COLS, START_C, NULL, fetch);
    }
}
