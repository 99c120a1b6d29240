/* The innermost part of the product by blocks (block_gemm.c): a tile of C, a strip of A and a panel
 * of B, in the layouts that the vectors of this build read. */
#ifndef BLOCK_TILE_H
#define BLOCK_TILE_H

#include "block_sum.h"
#include "build.h"

/* COLUMNS: of a panel, two vectors. STRIP_DEPTH: the most k of a strip. */
#if defined(__AVX512F__)
enum { COLUMNS = 32, BLOCK_ROWS = 4, TILE_CHAINS = 12, STRIP_ROWS = 12 };
#elif defined(__AVX2__) && defined(__FMA__)
enum { COLUMNS = 16, BLOCK_ROWS = 2, TILE_CHAINS = 6, STRIP_ROWS = 6 };
#else
enum { COLUMNS = 16, BLOCK_ROWS = 4, TILE_CHAINS = 4, STRIP_ROWS = 4 };
#endif
enum { STRIP_DEPTH = 256 };

/* Rows of A as bf16 [rows][STRIP_DEPTH], zeros behind the last k and the last row; and what the
 * micro-kernel of their sum reads: each value, and its exponent twice in a word. */
typedef struct Strip {
    uint16_t bf16[STRIP_ROWS][STRIP_DEPTH] __attribute__((aligned(64)));
    float value[STRIP_DEPTH * TILE_CHAINS];
    int32_t exponent[STRIP_DEPTH * BLOCK_ROWS];
} Strip;

#define block_strip_rows KERNEL(block_strip_rows)
#define block_strip_pack KERNEL(block_strip_pack)
#define block_panel_pack KERNEL(block_panel_pack)
#define block_tile       KERNEL(block_tile)
#define block_begin      KERNEL(block_begin)
#define block_end        KERNEL(block_end)

/* Rows of a strip for this sum. */
int block_strip_rows(BlockSum sum);

/* Fills the rest of a strip from strip->bf16, of which `count` rows are there. */
void block_strip_pack(BlockSum sum, Strip *strip, size_t count, size_t depth);

/* `depth` rows of a panel [K][COLUMNS] from row k on, even, with `columns` that are there. values
 * has a row of zeros behind an odd last one. A panel is K COLUMNS floats large. */
void block_panel_pack(BlockSum sum, float *panel, size_t k, const uint16_t (*values)[COLUMNS],
                      size_t depth, size_t columns);

/* Around calls of block_tile: the thread's CPU flushes subnormals. */
unsigned block_begin(BlockSum sum);
void block_end(BlockSum sum, unsigned begun);

/* tile [rows of the strip][COLUMNS] += strip times rows k .. k + depth - 1 of the panel, k a
 * multiple of the length of a block. */
void block_tile(BlockSum sum, float (*tile)[COLUMNS], const Strip *strip, const float *panel,
                size_t k, size_t depth);

#endif
