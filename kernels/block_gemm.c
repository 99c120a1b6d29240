/* Packing and loops of the product by blocks: see block_gemm.h for what it promises. Panels of B are
 * COLUMNS wide. A strip of A is packed on the stack, STRIP_DEPTH k of it at a time, and goes over all
 * panels of a task. */
#include "block_gemm.h"
#include "base.h"
#include "block_amx.h"
#include "block_pairs.h"
#include "block_tile.h"

#include <string.h>

/* n neighbours from element `at` on. */
static void round_run(uint16_t *restrict out, Weight x, size_t at, size_t n)
{
    if (x.bf16) {
        memcpy(out, x.bf16 + at, n * sizeof *out);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = bf16_round(x.f32[at + i]);
    }
}

/* out[i][j] = x(i0 + i, j0 + j), rounded; width values from row to row of out. */
static void round_part(uint16_t *out, size_t width, Strided x, size_t i0, size_t rows, size_t j0,
                       size_t columns)
{
    enum { RUN = 64 };
    size_t at = i0 * x.row + j0 * x.col;
    for (size_t i = 0; i < rows && x.col == 1; i++) {
        round_run(out + i * width, x.w, at + i * x.row, columns);
    }
    for (size_t j = 0; j < columns && x.col != 1; j++) { /* along its columns */
        for (size_t i = 0; i < rows; i += RUN) {
            uint16_t run[RUN];
            size_t n = size_min(rows - i, RUN);
            round_run(run, x.w, at + j * x.col + i, n);
            for (size_t r = 0; r < n; r++) {
                out[(i + r) * width + j] = run[r];
            }
        }
    }
}

/* Panel number j of B. */
static void pack_panel(BlockSum sum, float *packed, Strided b, size_t N, size_t K, size_t j)
{
    enum { DEPTH = 64 };
    uint16_t rows[DEPTH + 1][COLUMNS];
    size_t n = j * COLUMNS, columns = size_min(N - n, COLUMNS);
#if defined(__AVX512F__)
    for (size_t k = 0; k < K && !sum.fraction; k += PAIRS_SIDE) {
        pairs_block((uint32_t *)(void *)(packed + n * K) + k / 2 * COLUMNS,
                    (Strided){b.w, b.col, b.row}, n, k, columns, size_min(K - k, PAIRS_SIDE), 1,
                    PAIRS_SIDE * b.row);
    }
    if (!sum.fraction) {
        return;
    }
#endif
    memset(rows, 0, sizeof rows);
    for (size_t k = 0; k < K; k += DEPTH) {
        size_t depth = size_min(K - k, DEPTH);
        round_part(rows[0], COLUMNS, b, k, depth, n, columns);
        memset(rows[depth], 0, sizeof rows[depth]);
        block_panel_pack(sum, packed + n * K, k, (const uint16_t(*)[COLUMNS])rows, depth, columns);
    }
}

void block_pack(BlockSum sum, float *packed, Strided b, size_t N, size_t K)
{
    for (size_t j = 0; j < panels(N, COLUMNS); j++) {
        pack_panel(sum, packed, b, N, K, j);
    }
}

/* `count` rows from i on and `depth` columns from k on of A. */
static void pack_strip(BlockSum sum, Strip *strip, Strided a, size_t i, size_t count, size_t k,
                       size_t depth)
{
    size_t rows = (size_t)block_strip_rows(sum),
           padded = size_min((depth + 31) / 32 * 32, STRIP_DEPTH);
    for (size_t r = 0; r < rows; r++) {
        memset(strip->bf16[r], 0, padded * sizeof **strip->bf16);
    }
    round_part(strip->bf16[0], STRIP_DEPTH, a, i, count, k, depth);
    block_strip_pack(sum, strip, count, depth);
}

/* What stands in C before the first block of k, or after an earlier one. */
static void tile_begin(float (*tile)[COLUMNS], const float *c, size_t ldc, size_t rows,
                       size_t columns, GemmStart start, const float *bias)
{
    for (size_t r = 0; r < rows; r++) {
        if (start == START_ZERO) {
            memset(tile[r], 0, sizeof tile[r]);
        } else {
            memcpy(tile[r], start == START_C ? c + r * ldc : bias, columns * sizeof **tile);
        }
    }
}

void block_rows(const Context *ctx, BlockSum sum, float *c, size_t ldc, Strided a,
                const float *packed, size_t depth, size_t first, size_t M, size_t N, size_t K,
                GemmStart start, const float *bias)
{
#if defined(__AVX512F__)
    if (!sum.fraction && ctx->amx) {
        block_amx_rows(c, ldc, a, packed, depth, first, M, N, K, start, bias);
        return;
    }
#else
    (void)ctx;
#endif
    Strip strip;
    float tile[STRIP_ROWS][COLUMNS] __attribute__((aligned(64))) = {{0}};
    size_t height = (size_t)block_strip_rows(sum);
    unsigned begun = block_begin(sum);
    for (size_t k = 0; k < K || k == 0; k += STRIP_DEPTH) {
        size_t part = size_min(K - k, STRIP_DEPTH);
        for (size_t i = 0; i < M; i += height) {
            size_t rows = size_min(M - i, height);
            pack_strip(sum, &strip, a, i, rows, k, part);
            for (size_t n = 0; n < N; n += COLUMNS) {
                size_t columns = size_min(N - n, COLUMNS);
                float *to = c + i * ldc + n;
                tile_begin(tile, to, ldc, rows, columns, k ? START_C : start,
                           bias ? bias + n : NULL);
                block_tile(sum, tile, &strip, packed + n * depth, first + k, part);
                for (size_t r = 0; r < rows; r++) {
                    memcpy(to + r * ldc, tile[r], columns * sizeof **tile);
                }
            }
        }
    }
    block_end(sum, begun);
}

void block_small(const Context *ctx, BlockSum sum, float *c, size_t ldc, Strided a, Strided b,
                 size_t M, size_t N, size_t K, GemmStart start, float *scratch)
{
    float *packed = scratch + (16 - (size_t)scratch / sizeof *scratch % 16) % 16;
    block_pack(sum, packed, b, N, K);
    block_rows(ctx, sum, c, ldc, a, packed, K, 0, M, N, K, start, NULL);
}

/* A task of block_gemm. */
enum { TASK_ROWS = 96, TASK_COLUMNS = 512 };

void block_gemm(Context *ctx, BlockSum sum, float *c, size_t ldc, Strided a, Strided b, size_t M,
                size_t N, size_t K, GemmStart start, const float *bias)
{
#if defined(__AVX512F__)
    if (!sum.fraction && ctx->amx) {
        block_amx(ctx, c, ldc, a, b, M, N, K, start, bias);
        return;
    }
#endif
    size_t down = panels(M, TASK_ROWS), across = panels(N, TASK_COLUMNS);
    int threads = threads_for(ctx, M * N * K / 8 + (M + N) * K / 4);
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (size_t j = 0; j < panels(N, COLUMNS); j++) {
            pack_panel(sum, ctx->scratch, b, N, K, j);
        }
#pragma omp for schedule(dynamic)
        for (size_t task = 0; task < down * across; task++) {
            size_t i = task % down * TASK_ROWS, n = task / down * TASK_COLUMNS;
            block_rows(ctx, sum, c + i * ldc + n, ldc, strided_from(a, i * a.row),
                       ctx->scratch + n * K, K, 0, size_min(M - i, TASK_ROWS),
                       size_min(N - n, TASK_COLUMNS), K, start, bias ? bias + n : NULL);
        }
    }
}
