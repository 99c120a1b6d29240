/* What attention_mma.cu and attention_mma_backward.cuh share: the two products that attention is made
 * of, by blocks of bf16 operands. LENGTH 16 and 8 are block16 and block8 on tensor cores that sum so;
 * LENGTH 0 is either of them without, by block_sum.h, and slow: the same bits on any device. A warp
 * owns 16 rows of a tile of TILE x TILE, and its sums stay in registers as mma.cuh lays them out; an
 * operand stands in shared memory, rounded as it is loaded, with pairs of neighbours along k. It is
 * float32 in memory, so cp.async, which copies bytes as they are, cannot bring it.
 *
 * Blocks of keys begin at a sequence's first key and those of queries at its first query, so tiles
 * begin at multiples of 16 of them. A row leaves out the blocks in which all is masked for it alone:
 * its sum goes on from what it was before the instruction. No bit depends on the tiles. */
#ifndef ATTENTION_MMA_CUH
#define ATTENTION_MMA_CUH

#include "attention_rows.cuh"
#include "mma.cuh"

enum { COLUMNS = TILE / MMA_N }; /* a warp's instructions side by side */

/* [TILE][TILE] of bf16. Rows are 4 words longer: then eight of them begin in different banks. */
typedef struct Operand {
    uint32_t pair[TILE][TILE / 2 + 4];
} Operand;

/* A lane's two rows of a tile, 32 apart: one block of dropout's words has both if rows are keys. */
static __device__ __forceinline__ int tile_row(int half)
{
    return (int)threadIdx.x / LANES * 8 + (int)threadIdx.x % LANES / 4 + 32 * half;
}

/* A lane's columns of instruction n, this one and the next. */
static __device__ __forceinline__ int tile_column(int n)
{
    return n * MMA_N + (int)threadIdx.x % 4 * 2;
}

static __device__ __forceinline__ void sums_clear(float sums[COLUMNS][4])
{
#pragma unroll
    for (int n = 0; n < COLUMNS; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            sums[n][i] = 0.0f;
        }
    }
}

/* What every product of a launch has. */
typedef struct Products {
    BlockSum sum; /* of LENGTH 0 */
    int D;
    int wide; /* rows begin at 16 bytes, D is a multiple of 4 */
} Products;

/* to[i][d] = x[i][first + d], 0 for what is not there. */
static __device__ __forceinline__ void load_rows(Operand *to, Rows x, int first, const Products *p)
{
#pragma unroll 2
    for (int m = 0; m < TILE * TILE / FOUR / THREADS; m++) {
        int n = m * THREADS + (int)threadIdx.x, i = n / (TILE / FOUR), d = n % (TILE / FOUR) * FOUR;
        float four[FOUR];
        four_get(four, x.x + (size_t)i * (size_t)x.stride + first + d,
                 i < x.count ? p->D - first - d : 0, p->wide);
        to->pair[i][d / 2] = bf16_pair(four[0], four[1]);
        to->pair[i][d / 2 + 1] = bf16_pair(four[2], four[3]);
    }
}

/* to[d][i] = x[i][first + d]: rows of x along k. */
static __device__ __forceinline__ void load_turned(Operand *to, Rows x, int first,
                                                   const Products *p)
{
#pragma unroll 1
    for (int m = 0; m < TILE * TILE / FOUR / 2 / THREADS; m++) {
        int n = m * THREADS + (int)threadIdx.x, pair = n / 2 % (TILE / 2),
            d = (n % 2 + n / TILE * 2) * FOUR;
        float four[2][FOUR];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            four_get(four[i], x.x + (size_t)(2 * pair + i) * (size_t)x.stride + first + d,
                     2 * pair + i < x.count ? p->D - first - d : 0, p->wide);
        }
#pragma unroll
        for (int f = 0; f < FOUR; f++) {
            to->pair[d + f][pair] = bf16_pair(four[0][f], four[1][f]);
        }
    }
}

/* Which k of a tile count for the two rows of a lane: [begin, end), of which begin may be below 0. A
 * block of which none does is left out. */
typedef struct Span {
    int begin[2], end[2];
} Span;

/* c and one block of a b, of operands in shared memory. */
static __device__ __forceinline__ float model_sum(BlockSum sum, const uint32_t *a,
                                                  const uint32_t *b, float c)
{
    const uint16_t *x = (const uint16_t *)(const void *)a, *y = (const uint16_t *)(const void *)b;
    return block_add(sum.fraction, x, y, sum.length, c);
}

/* sums = those of the next column, or of the next row, and so on: after 4 COLUMNS times what they
 * were. So a loop may take them one by one and leave them in registers. */
static __device__ __forceinline__ void sums_rotate(float sums[COLUMNS][4])
{
    float first = sums[0][0];
#pragma unroll
    for (int e = 1; e < 4 * COLUMNS; e++) {
        sums[(e - 1) / 4][(e - 1) % 4] = sums[e / 4][e % 4];
    }
    sums[COLUMNS - 1][3] = first;
}

/* sums[row][column] += a[row][k] b[column][k] in blocks over k < depth, of columns < columns. */
template <int LENGTH>
static __device__ __forceinline__ void tile_product(float sums[COLUMNS][4], const Operand *a,
                                                    const Operand *b, int columns, int depth,
                                                    const Span *span, const Products *p)
{
    int column = (int)threadIdx.x % LANES / 4, quarter = (int)threadIdx.x % 4;
    int length = LENGTH ? LENGTH : p->sum.length;
#pragma unroll 1
    for (int k = 0; k < depth; k += length) {
        int in[2];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            in[half] = k < span->end[half] && k + length > span->begin[half];
        }
        if (!__any_sync(WARP_ALL, in[0] || in[1])) {
            continue;
        }
        if (LENGTH == 0) {
#pragma unroll 1
            for (int e = 0; e < 4 * COLUMNS; e++) {
                int at = tile_column(e / 4) + e % 2, half = e % 4 / 2;
                if ((half ? in[1] : in[0]) && at < columns) {
                    sums[0][0] = model_sum(p->sum, &a->pair[tile_row(half)][k / 2],
                                           &b->pair[at][k / 2], sums[0][0]);
                }
                sums_rotate(sums);
            }
            continue;
        }
        uint32_t x[4] = {};
#pragma unroll
        for (int j = 0; j < LENGTH / 4; j++) {
            x[j] = a->pair[tile_row(j % 2)][k / 2 + j / 2 * 4 + quarter];
        }
#pragma unroll
        for (int n = 0; n < COLUMNS; n++) {
            if (n * MMA_N >= columns) {
                break;
            }
            uint32_t y[2] = {};
            float sum[4];
#pragma unroll
            for (int j = 0; j < LENGTH / 8; j++) {
                y[j] = b->pair[n * MMA_N + column][k / 2 + j * 4 + quarter];
            }
#pragma unroll
            for (int i = 0; i < 4; i++) {
                sum[i] = sums[n][i];
            }
            mma_block<LENGTH == 8 ? 8 : 16, 0>(sum, x, y, LENGTH);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                sums[n][i] = in[i / 2] ? sum[i] : sums[n][i];
            }
        }
    }
}

/* s[row][column] = blocks over d from 0 of a[row][d] b[column][d]. a_there: a is what the last call
 * with a_tile had, and need not be loaded again if all of it has been. */
template <int LENGTH>
static __device__ __forceinline__ void scores_tile(float s[COLUMNS][4], Rows a, Rows b,
                                                   const Products *p, Operand *a_tile,
                                                   Operand *b_tile, int a_there)
{
    const Span there = {{0, 0},
                        {tile_row(0) < a.count ? TILE : 0, tile_row(1) < a.count ? TILE : 0}};
    sums_clear(s);
#pragma unroll 1
    for (int d = 0; d < p->D; d += TILE) {
        __syncthreads(); /* the tiles are no longer read */
#pragma unroll 1
        for (int right = a_there && p->D <= TILE; right < 2; right++) {
            load_rows(right ? b_tile : a_tile, right ? b : a, d, p);
        }
        __syncthreads();
        tile_product<LENGTH>(s, a_tile, b_tile, b.count, p->D - d < TILE ? p->D - d : TILE, &there,
                             p);
    }
}

/* sums[row][d] += w[row][k] x[k][first + d], in blocks over the rows of x. w_tile: the warp's own
 * rows are there. */
template <int LENGTH>
static __device__ __forceinline__ void mix_tile(float sums[COLUMNS][4], const Operand *w_tile,
                                                Rows x, int first, const Products *p,
                                                const Span *span, Operand *x_tile)
{
    __syncthreads(); /* the tile is no longer read */
    load_turned(x_tile, x, first, p);
    __syncthreads();
    tile_product<LENGTH>(sums, w_tile, x_tile, p->D - first, x.count < TILE ? x.count : TILE, span,
                         p);
}

/* The warp's rows of w_tile, from where its sums are. */
static __device__ __forceinline__ void put_rows(Operand *w_tile, float w[COLUMNS][4])
{
    __syncwarp(); /* no lane reads them any longer */
#pragma unroll
    for (int n = 0; n < COLUMNS; n++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            w_tile->pair[tile_row(half)][tile_column(n) / 2] = bf16_pair(w[n][2 * half],
                                                                         w[n][2 * half + 1]);
        }
    }
    __syncwarp();
}

/* Bit 4 n + i: whether dropout keeps value i of a lane's scores of instruction n. first_query: the
 * position of row 0 of the tile, or of column 0 if rows are keys; j0: its first key. Two values that
 * are 32 keys apart have one block of words. */
template <int KEYS_BY_QUERIES>
static __device__ __forceinline__ uint32_t kept_of(const DropoutSite *dropout, int first_query,
                                                   int j0, int head, uint32_t slot)
{
    uint32_t threshold = dropout_threshold(dropout->p), bits = 0;
#pragma unroll 1
    for (int i = 0; i < 16 && dropout->p > 0.0f; i++) {
        int c = i % 2, n = KEYS_BY_QUERIES ? i / 2 : i / 2 % 4, half = KEYS_BY_QUERIES ? 0 : i / 8,
            across = tile_column(n) + c, query = KEYS_BY_QUERIES ? across : tile_row(half),
            key = j0 + (KEYS_BY_QUERIES ? tile_row(0) : across);
        Philox words = dropout_words(dropout, (uint32_t)(key / 128 * 32 + key % 32),
                                     (uint32_t)(first_query + query), (uint32_t)head, slot);
        int second = j0 % 128 != 0; /* half of the block's keys */
        uint32_t near = second ? words.word[2] : words.word[0],
                 far = second ? words.word[3] : words.word[1];
        int bit = 4 * n + 2 * half + c;
        bits |= (uint32_t)(near >= threshold) << bit;
        bits |= (uint32_t)(far >= threshold) << (bit + (KEYS_BY_QUERIES ? 2 : 16));
    }
    return dropout->p > 0.0f ? bits : 0xFFFFFFFFu;
}

/* out[row][first + d] = (sums[row][d] + 0) factor of the row. */
static __device__ __forceinline__ void put_sums(const Output *out, int first,
                                                float sums[COLUMNS][4], const float factor[2])
{
#pragma unroll
    for (int i = 0; i < 4; i++) {
        float *to = out->to + (size_t)tile_row(i / 2) * (size_t)out->stride + first;
#pragma unroll
        for (int n = 0; n < COLUMNS; n++) {
            int d = tile_column(n) + i % 2;
            if (tile_row(i / 2) < out->rows && first + d < out->D) {
                to[d] = (sums[n][i] + 0.0f) * factor[i / 2];
            }
        }
    }
}

#endif
