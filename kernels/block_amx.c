/* The loops of tile's product on AMX: see block_gemm.h for what it promises. A and B are packed by
 * 32 x 32 (block_pairs.h); a block of C stays in tiles over the whole depth of a part. */
#include "block_amx.h"

#if defined(__AVX512F__)
#include "amx.h"
#include "base.h"
#include "block_pairs.h"

#include <omp.h>
#include <string.h>

/* DEEP: the most k of a part, whose blocks of A and B the second level cache holds. */
enum { SIDE = PAIRS_SIDE, DEEP = 1024 };

/* C [rows, columns] of one block. */
static void block_product(float *c, size_t ldc, const uint32_t *a, const uint32_t *b, size_t rows,
                          size_t columns, size_t depth, GemmStart start, const float *bias)
{
    static const float zeros[SIDE];
    float edge[SIDE * SIDE] __attribute__((aligned(64))), *to = c;
    const float *from = start == START_C ? c : start == START_BIAS ? bias : zeros;
    size_t from_step = start == START_C ? ldc : 0, step = ldc;
    int whole = rows == SIDE && columns == SIDE;
    if (!whole) {
        memset(edge, 0, sizeof edge);
        for (size_t i = 0; i < rows; i++) {
            memcpy(edge + i * SIDE, from + i * from_step, columns * sizeof *edge);
        }
        from = to = edge;
        from_step = step = SIDE;
    }
    amx_product(to, step, from, from_step, (const uint16_t *)a, b, depth);
    for (size_t i = 0; i < rows && !whole; i++) {
        memcpy(c + i * ldc, edge + i * SIDE, columns * sizeof *edge);
    }
}

/* Rows of A as strips of 32, each of `depth` k. */
static size_t strip_words(size_t depth)
{
    return panels(depth, SIDE) * PAIRS_WORDS;
}

/* `depth` k from k on of x, of its rows i .. end - 1: strip after strip, or panel after panel. */
static void pack(uint32_t *out, Strided x, size_t i, size_t end, size_t k, size_t depth, int turned)
{
    size_t rows = end - i, words = strip_words(depth), down = panels(rows, SIDE),
           deep = panels(depth, SIDE);
    int along_k = x.col == 1;
    for (size_t block = 0; block < down * deep; block++) { /* as they lie in x */
        size_t r = (along_k ? block / deep : block % down) * SIDE,
               at = (along_k ? block % deep : block / down) * SIDE;
        pairs_block(out + r / SIDE * words + at * PAIRS, x, i + r, k + at, size_min(rows - r, SIDE),
                    size_min(depth - at, SIDE), turned, along_k || down > 1 ? SIDE : SIDE * x.col);
    }
}

void block_amx_rows(float *c, size_t ldc, Strided a, const float *packed, size_t depth,
                    size_t first, size_t M, size_t N, size_t K, GemmStart start, const float *bias)
{
    uint32_t strip[DEEP / SIDE * PAIRS_WORDS] __attribute__((aligned(64)));
    amx_begin();
    for (size_t k = 0; k < K || k == 0; k += DEEP) {
        size_t part = size_min(K - k, DEEP);
        for (size_t i = 0; i < M; i += SIDE) {
            size_t rows = size_min(M - i, SIDE);
            pack(strip, a, i, i + rows, k, part, 0);
            for (size_t n = 0; n < N; n += SIDE) {
                const uint32_t *b = (const uint32_t *)(const void *)(packed + n * depth) +
                                    (first + k) / 2 * SIDE;
                block_product(c + i * ldc + n, ldc, strip, b, rows, size_min(N - n, SIDE), part,
                              k ? START_C : start, bias ? bias + n : NULL);
            }
        }
    }
    amx_end();
}

/* How a product is cut. A task is a block of C; it goes through k by `deep`, for each of these parts
 * packs its rows of A, and then panel after panel of B. */
typedef struct Cut {
    size_t rows, columns, deep;
    size_t threads, share; /* words of the scratch for each */
} Cut;

static Cut cut_for(const Context *ctx, size_t M, size_t N, size_t K, int threads)
{
    /* The caller may keep something behind a product's part of the scratch, as loss.c does. */
    size_t room = matmul_scratch(M, N, K),
           deep = size_max(panels(panels(K, SIDE), size_max(panels(K, DEEP), 1)), 1) * SIDE,
           panel = deep / 2 * SIDE, team = size_min((size_t)threads, room / (2 * panel));
    Cut cut = {.deep = deep, .threads = team, .share = room / team / 16 * 16};
    /* half of the second level cache has room for the rows */
    size_t most = size_min(ctx->cache[1] / 2 / sizeof(uint32_t), cut.share - panel) / panel,
           down = panels(M, size_max(most, 1) * SIDE), across = 1;
    while (down * across % team && down * across < 4 * team && across < panels(N, SIDE)) {
        across++;
    }
    cut.rows = panels(panels(M, SIDE), down) * SIDE;
    cut.columns = panels(panels(N, SIDE), across) * SIDE;
    return cut;
}

void block_amx(Context *ctx, float *c, size_t ldc, Strided a, Strided b, size_t M, size_t N,
               size_t K, GemmStart start, const float *bias)
{
    if (M == 0 || N == 0) {
        return;
    }
    Cut cut = cut_for(ctx, M, N, K, threads_for(ctx, M * N * K / 512 + (M + N) * K / 4));
    size_t down = panels(M, cut.rows), across = panels(N, cut.columns);
    Strided columns = {b.w, b.col, b.row};
#pragma omp parallel for schedule(dynamic) num_threads(cut.threads)
    for (size_t task = 0; task < down * across; task++) {
        uint32_t *panel = (uint32_t *)(void *)ctx->scratch +
                          (size_t)omp_get_thread_num() * cut.share,
                 *strips = panel + cut.deep / 2 * SIDE;
        size_t i0 = task % down * cut.rows, n0 = task / down * cut.columns,
               i1 = size_min(M, i0 + cut.rows), n1 = size_min(N, n0 + cut.columns);
        amx_begin();
        for (size_t k = 0; k < K || k == 0; k += cut.deep) {
            size_t depth = size_min(K - k, cut.deep);
            pack(strips, a, i0, i1, k, depth, 0);
            for (size_t n = n0; n < n1; n += SIDE) {
                size_t width = size_min(n1 - n, SIDE);
                pack(panel, columns, n, n + width, k, depth, 1);
                for (size_t i = i0; i < i1; i += SIDE) {
                    block_product(c + i * ldc + n, ldc,
                                  strips + (i - i0) / SIDE * strip_words(depth), panel,
                                  size_min(i1 - i, SIDE), width, depth, k ? START_C : start,
                                  bias ? bias + n : NULL);
                }
            }
        }
        amx_end();
    }
}
#endif
