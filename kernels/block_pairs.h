/* Operands of the product by blocks of tile, as AMX and add_pairs of block_tile.c read them: bf16 in
 * pairs of neighbouring k, a word each, the first of them in its lower half. In blocks of 32 of k and 32
 * rows of A or columns of B, by AVX-512: in that build alone, private to block_gemm.c. */
#ifndef BLOCK_PAIRS_H
#define BLOCK_PAIRS_H

#include "gemm.h"

enum { PAIRS_SIDE = 32, PAIRS = 16, PAIRS_WORDS = PAIRS_SIDE * PAIRS };

#define pairs_block KERNEL(pairs_block)

/* The block of x from element (i, k) on, where i runs over A's rows or B's columns, of which `count`
 * and `depth` are there; of the others 0. As [32][PAIRS] for A, or, turned, as [PAIRS][32] for B, of
 * which only the pairs that are there are written. The block that is as many elements ahead in x is
 * fetched meanwhile: the next one. */
void pairs_block(uint32_t *out, Strided x, size_t i, size_t k, size_t count, size_t depth,
                 int turned, size_t ahead);

#endif
