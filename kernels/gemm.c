/* The loops of the matrix product: see gemm.h for what it promises. */
#include "gemm.h"
#include "base.h"

#include <math.h>
#include <omp.h>

/* How a product is cut. A task is a block of C of rows x cols panels; it goes through k by depth. Of
 * all that no bit depends. */
typedef struct Blocks {
    size_t rows, cols, depth;
    size_t threads, share; /* floats of the scratch for each */
} Blocks;

/* The number of equal parts of n, each at most `most`; a chain of no products is one part. */
static size_t parts_of(size_t n, size_t most)
{
    return size_max(panels(n, size_max(most, 1)), 1);
}

/* A panel of B stays in the first level cache while panels of A go by, which stay in the second: a
 * fifth of it holds them. C does not: a tile is fetched while the one before it is computed. So a
 * block is twice as wide as it is high, for packing A costs twice as much as packing B. */
static Blocks blocks_for(const Context *ctx, size_t M, size_t N, size_t K, int threads)
{
    size_t a_panels = panels(M, TILE_ROWS), b_panels = panels(N, TILE_COLS), team = (size_t)threads,
           side = (size_t)sqrt((double)ctx->cache[1] / 2 / sizeof(float)),
           deepest = ctx->cache[0] * 7 / 8 / ((TILE_ROWS + TILE_COLS) * sizeof(float)),
           depth = panels(panels(K, parts_of(K, deepest)), 16) * 16;
    /* wider where it cannot be so high */
    size_t rows = parts_of(M, side), cols = parts_of(N, size_max(2 * side, 2 * side * side / M));
    /* as many for each thread, or some for each */
    while (rows * cols % team && rows * cols < 4 * team && (rows < a_panels || cols < b_panels)) {
        if (cols < b_panels && (rows >= a_panels || N / cols >= M / rows)) {
            cols++;
        } else {
            rows++;
        }
    }
    Blocks cut = {panels(a_panels, rows), panels(b_panels, cols), size_max(size_min(depth, K), 1),
                  0, 0};
    /* what a thread packs must have room in its share of the scratch */
    size_t scratch = matmul_scratch(M, N, K), one = (TILE_ROWS + TILE_COLS) * cut.depth + 16;
    cut.threads = size_min(size_min(team, rows * cols), scratch / one);
    cut.share = scratch / cut.threads / 16 * 16;
    cut.rows = size_min(cut.rows, (cut.share / cut.depth - TILE_COLS) / TILE_ROWS);
    return cut;
}

/* The square of x from an element on. */
static Fetch fetch_from(Strided x, size_t element, size_t step)
{
    if (x.w.f32) {
        return (Fetch){x.w.f32 + element, step * sizeof *x.w.f32};
    }
    return (Fetch){x.w.bf16 + element, step * sizeof *x.w.bf16};
}

/* The rows of C [M, N] and its columns that are one task's. */
typedef struct Range {
    size_t m, rows, n, cols;
} Range;

static Range range_of(const Blocks *cut, size_t task, size_t M, size_t N)
{
    size_t height = cut->rows * TILE_ROWS, width = cut->cols * TILE_COLS, down = panels(M, height),
           m = task % down * height, n = task / down * width;
    return (Range){m, size_min(M - m, height), n, size_min(N - n, width)};
}

/* A panel of B over its block of A; `next` is where the panel after this one comes from, which the
 * tiles fetch, a square each. */
static void panel_product(size_t K, const float *a_block, const float *b_panel, float *c,
                          size_t ldc, size_t rows, size_t cols, GemmStart start, const float *bias,
                          Strided b, size_t next, size_t next_depth)
{
    size_t along = b.row * TILE_COLS, step = b.row == 1 ? b.col : b.row;
    for (size_t i = 0, k = 0; i < rows; i += TILE_ROWS, k += TILE_COLS) {
        float *c_i = c + i * ldc;
        Fetch fetch[2] = {{c_i + TILE_ROWS * ldc, ldc * sizeof *c}, {b_panel, 0}};
        if (k < next_depth) {
            fetch[1] = fetch_from(b, next + k / TILE_COLS * along, step);
        }
        gemm_tile(K, a_block + i * K, b_panel, c_i, ldc, size_min(rows - i, TILE_ROWS), cols, start,
                  bias, fetch);
    }
}

void gemm(Context *ctx, float *c, size_t ldc, Strided a, Strided b, size_t M, size_t N, size_t K,
          GemmStart start, const float *bias)
{
    if (M == 0 || N == 0) {
        return;
    }
    Blocks cut = blocks_for(ctx, M, N, K, threads_for(ctx, M * N * K / 64 + (M + N) * K / 8));
    size_t tasks = panels(M, cut.rows * TILE_ROWS) * panels(N, cut.cols * TILE_COLS);
#pragma omp parallel for schedule(dynamic) num_threads(cut.threads)
    for (size_t task = 0; task < tasks; task++) {
        float *b_panel = ctx->scratch + (size_t)omp_get_thread_num() * cut.share,
              *a_block = b_panel + TILE_COLS * cut.depth;
        Range at = range_of(&cut, task, M, N);
        for (size_t k = 0; k < K || k == 0; k += cut.depth) {
            size_t depth = size_min(K - k, cut.depth), end = k + depth;
            gemm_pack_a(a_block, strided_from(a, at.m * a.row + k * a.col), at.rows, depth);
            for (size_t n = at.n; n < at.n + at.cols; n += TILE_COLS) {
                size_t cols = size_min(at.n + at.cols - n, TILE_COLS), next_n = n + TILE_COLS,
                       next = k * b.row + next_n * b.col, next_depth = depth;
                if (next_n >= at.n + at.cols) {
                    next = end * b.row + at.n * b.col;
                    next_depth = size_min(K - end, cut.depth);
                }
                gemm_pack(b_panel, strided_from(b, k * b.row + n * b.col), cols, depth);
                panel_product(depth, a_block, b_panel, c + at.m * ldc + n, ldc, at.rows, cols,
                              k ? START_C : start, bias ? bias + n : NULL, b, next, next_depth);
            }
        }
    }
}

void gemm_rows(float *c, size_t ldc, Strided a, const float *packed, size_t depth, size_t M,
               size_t N, size_t K, GemmStart start, float *a_panel)
{
    for (size_t i = 0; i < M; i += TILE_ROWS) {
        size_t rows = size_min(M - i, TILE_ROWS);
        gemm_pack_a(a_panel, strided_from(a, i * a.row), rows, K);
        for (size_t n = 0; n < N; n += TILE_COLS) {
            const float *panel = packed + n * depth;
            float *at = c + i * ldc + n;
            Fetch fetch[2] = {{at + TILE_COLS, ldc * sizeof *c},
                              {panel + TILE_COLS * depth, TILE_COLS * sizeof *panel}};
            gemm_tile(K, a_panel, panel, at, ldc, rows, size_min(N - n, TILE_COLS), start, NULL,
                      fetch);
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
