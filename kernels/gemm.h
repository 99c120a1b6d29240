/* The packed matrix product of the CPU, under matmul.c, attention.c and lora.c and private to
 * them; one of each build.
 *
 * C[m, n] = chain over k of A[m, k] B[k, n], one fma after another, from what start says. A is
 * packed into panels of TILE_ROWS rows, B into panels of TILE_COLS columns; vectors run over n,
 * never over k; a block of k goes on from the partial sums stored in C. So the bits depend on A, B
 * and the start alone. */
#ifndef GEMM_H
#define GEMM_H

#include "rows.h"
#include "simd.h"

/* FETCH_ROWS: of a square that a tile fetches. */
enum { TILE_COLS = TILE_VECS * VEC_FLOATS, FETCH_ROWS = TILE_COLS };

/* A matrix by its strides: element (i, j) is at w.f32[i * row + j * col], or at w.bf16[...]; one of
 * the strides is 1. */
typedef struct Strided {
    Weight w;
    size_t row, col;
} Strided;

static inline Strided strided(const float *p, size_t row, size_t col)
{
    return (Strided){{.f32 = p}, row, col};
}

/* The same matrix from an element on. */
static inline Strided strided_from(Strided m, size_t element)
{
    m.w.f32 = m.w.f32 ? m.w.f32 + element : NULL;
    m.w.bf16 = m.w.bf16 ? m.w.bf16 + element : NULL;
    return m;
}

typedef enum GemmStart { START_ZERO, START_BIAS, START_C } GemmStart;

static inline size_t panels(size_t n, size_t width)
{
    return (n + width - 1) / width;
}

/* Called by their plain names, these are the functions of the build that is being compiled. */
#define gemm_tile   KERNEL(gemm_tile)
#define gemm_pack   KERNEL(gemm_pack)
#define gemm_pack_a KERNEL(gemm_pack_a)
#define gemm_rows   KERNEL(gemm_rows)
#define gemm_small  KERNEL(gemm_small)

/* C [M, N], ldc floats a row = A [M, K] B [K, N] by all threads, with the context's scratch. bias
 * [N] with START_BIAS. */
#define gemm KERNEL(gemm)
void gemm(Context *ctx, float *c, size_t ldc, Strided a, Strided b, size_t M, size_t N, size_t K,
          GemmStart start, const float *bias);

/* Memory that a tile fetches into the first level cache while it computes: FETCH_ROWS rows of a
 * vector's width times TILE_VECS, step bytes apart. It is not read, so it may be out of bounds. */
typedef struct Fetch {
    const void *from;
    size_t step;
} Fetch;

/* One tile of at most TILE_ROWS x TILE_COLS: a [K][TILE_ROWS], b [K][TILE_COLS], c with ldc floats
 * a row. Two squares are fetched, one after the other. */
void gemm_tile(size_t K, const float *a, const float *b, float *c, size_t ldc, size_t rows,
               size_t cols, GemmStart start, const float *bias, const Fetch fetch[2]);

/* All of B [K, N] as panels [K][TILE_COLS]: panels(N, TILE_COLS) K TILE_COLS floats, 64-byte
 * aligned; and all of A [M, K] as panels [K][TILE_ROWS]. What lies beyond an edge is 0. */
void gemm_pack(float *packed, Strided b, size_t N, size_t K);
void gemm_pack_a(float *packed, Strided a, size_t M, size_t K);

/* Rows of C by the calling thread, from a B that was packed with depth k: the first K of them from
 * `packed` on (packed + first k * TILE_COLS starts later), and the first N of its columns. a_panel
 * takes K TILE_ROWS floats. */
void gemm_rows(float *c, size_t ldc, Strided a, const float *packed, size_t depth, size_t M,
               size_t N, size_t K, GemmStart start, float *a_panel);

/* A whole small product by the calling thread. scratch: the panels, at most matmul_scratch
 * floats. */
void gemm_small(float *c, size_t ldc, Strided a, Strided b, size_t M, size_t N, size_t K,
                GemmStart start, float *scratch);

#endif
