/* Hashes and sketches of arrays, for traces: sums of integers, which have no order. */
#include "hash.h"
#include "rows.h"

enum { LINE = 16 }; /* words of a line of the cache */

/* A block of at most HASH_BLOCK words of a row: lane l of 32 has the words l, l + 32, ... The next
 * block is fetched meanwhile: it lies behind this one, mostly on another page, where the CPU does
 * not look ahead by itself. A prefetch may name memory that is not there. */
uint64_t KERNEL(block_hash)(const uint32_t *words, size_t count, uint64_t place,
                            const uint64_t key[LANES])
{
    uint64_t lane[LANES] = {0}, sum = 0;
    size_t j = 0, lanes = count < LANES ? count : LANES;
    for (; (j + 1) * LANES <= count; j++) {
        for (size_t line = 0; line < LANES; line += LINE) {
            __builtin_prefetch(words + HASH_BLOCK + j * LANES + line);
        }
        for (size_t l = 0; l < LANES; l++) {
            lane[l] += key[j] * words[j * LANES + l];
        }
    }
    for (size_t l = 0; j * LANES + l < count; l++) {
        lane[l] += key[j] * words[j * LANES + l];
    }
    for (size_t l = 0; l < lanes; l++) {
        sum += hash_mix(place * LANES + l, lane[l]);
    }
    return sum;
}

void KERNEL(hash)(Context *ctx, uint64_t *sum, const void *data, const int *list, size_t rows,
                  size_t columns, size_t stride, size_t place)
{
    const uint32_t *words = data;
    size_t of_row = (columns + HASH_BLOCK - 1) / HASH_BLOCK, blocks = rows * of_row;
    uint64_t key[LANES], total = 0;
    for (size_t j = 0; j < LANES; j++) {
        key[j] = hash_key(j);
    }
#pragma omp parallel for schedule(static) reduction(+ : total)                                     \
    num_threads(threads_for(ctx, rows * columns / 8))
    for (size_t i = 0; i < blocks; i++) {
        size_t row = i / of_row, first = i % of_row * HASH_BLOCK, left = columns - first;
        row = list ? (size_t)list[row] : row;
        total += KERNEL(block_hash)(words + row * stride + first,
                                    left < HASH_BLOCK ? left : HASH_BLOCK,
                                    place + row * of_row + i % of_row, key);
    }
    *sum += total;
}

void KERNEL(sketch)(Context *ctx, uint64_t *sums, const float *x, size_t n)
{
    size_t blocks = (n + SKETCH_SUMS - 1) / SKETCH_SUMS;
#pragma omp parallel for schedule(static) reduction(+ : sums[:SKETCH_SUMS])                        \
    num_threads(threads_for(ctx, n))
    for (size_t b = 0; b < blocks; b++) {
        size_t turn = sketch_turn(b), first = b * SKETCH_SUMS,
               count = n - first < SKETCH_SUMS ? n - first : SKETCH_SUMS;
        for (size_t l = 0; l < count; l++) {
            uint64_t value = sketch_value(x[first + l]),
                     minus = sketch_signs(b * (SKETCH_SUMS / 64) + l / 64) >> l % 64 & 1;
            sums[(l + turn) % SKETCH_SUMS] += minus ? 0 - value : value;
        }
    }
}
