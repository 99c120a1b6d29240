/* The micro-kernel of the matrix product: see gemm.h for what it promises. */
#include "gemm.h"

/* sum += a b over `steps` values of k, one fma after another. Each step fetches the next row of a
 * square of memory into the first level cache. */
static inline __attribute__((always_inline)) void
tile_steps(Vec sum[TILE_ROWS][TILE_VECS], size_t steps, const float *a, const float *b, Fetch fetch)
{
    const char *ahead = fetch.from;
    for (size_t k = 0; k < steps; k++) {
        Vec column[TILE_VECS];
#pragma GCC unroll 4
        for (size_t j = 0; j < TILE_VECS; j++) {
            __builtin_prefetch(ahead + j * sizeof(Vec));
            column[j] = vec_load(b + j * VEC_FLOATS);
        }
        ahead += fetch.step;
#pragma GCC unroll 16
        for (size_t i = 0; i < TILE_ROWS; i++) {
            Vec row = vec_set(a[i]);
#pragma GCC unroll 4
            for (size_t j = 0; j < TILE_VECS; j++) {
                sum[i][j] = vec_fma(row, column[j], sum[i][j]);
            }
        }
        a += TILE_ROWS;
        b += TILE_COLS;
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
    const Fetch nothing = {b, 0};
    for (int part = 0; K > 0; part++) {
        size_t steps = part < 2 && K > FETCH_ROWS ? FETCH_ROWS : K;
        tile_steps(sum, steps, a, b, part < 2 ? fetch[part] : nothing);
        a += steps * TILE_ROWS;
        b += steps * TILE_COLS;
        K -= steps;
    }
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
