/* What attention.cu and attention_backward.cu share: the two products that attention is made of,
 * over tiles of TILE x TILE by blocks of THREADS threads. A thread owns 8 x 4 values of a tile, and
 * each is one chain in the order of ops.def, whatever the tile.
 *
 * Rows and columns that are not there come as zeros. ops.def says why a masked key may come as a
 * product with zero, and the same holds here of every other zero: it can change but the sign of a
 * sum that is zero, which nothing sees behind the + 0 of each output. So no tile has a case of its
 * own at its edges. Shared memory does not depend on D, and is below the 99 KB that every device
 * from sm_80 on has for a block. */
#ifndef ATTENTION_CUH
#define ATTENTION_CUH

#include "attention_rows.cuh"

enum {
    DEPTH = 16, /* of a slab: how much of a product's depth is in shared memory */
    GAP = 4,    /* floats behind a row: then eight rows begin in different banks */
    SLAB_ROW = DEPTH + GAP,
    STAGES = 3, /* slabs in use and on their way */
    STAGE = 2 * TILE * SLAB_ROW,
};

/* The 8 rows of a thread in a tile, and its 4 columns in a tile of scores; in one of sums these are
 * 4 side by side. A warp has 8 by 4 threads: eight addresses for its lanes, in different banks. */
static __device__ __forceinline__ int row_of(int i)
{
    return (int)threadIdx.x % 8 + 8 * i;
}

static __device__ __forceinline__ int column_of(int j)
{
    return (int)threadIdx.x / 8 + 16 * j;
}

/* Starts copies of R rows of C columns from column `first` on, of D, to `to` [R][TO_ROW]. WIDE: 16
 * bytes at a time, for rows that all begin at 16 bytes and D a multiple of 4. */
template <int WIDE, int R, int C, int TO_ROW>
static __device__ __forceinline__ void load_slab(float *to, Rows from, int first, int D)
{
    const int floats = WIDE ? 4 : 1, in_row = C / floats, self = opaque((int)threadIdx.x);
#pragma unroll
    for (int m = 0; m < R * in_row / THREADS; m++) {
        int n = m * THREADS + self, i = n / in_row, d = n % in_row * floats;
        float *cell = to + i * TO_ROW + d;
        if (i < from.count && first + d < D) {
            __pipeline_memcpy_async(cell, from.x + (size_t)i * (size_t)from.stride + first + d,
                                    floats * sizeof(float));
        } else {
            for (int f = 0; f < floats; f++) {
                cell[f] = 0.0f;
            }
        }
    }
}

/* Two tiles of scores, whose slabs come one behind the other: a[p] by b[p]. */
typedef struct Scores {
    Rows a[2], b[2];
    int D;
    int slabs, all; /* of the first tile, and with the second, which has none if b[1] has no rows */
} Scores;

static __device__ __forceinline__ Scores scores_of(Rows a0, Rows b0, Rows a1, Rows b1, int D)
{
    int slabs = (D + DEPTH - 1) / DEPTH;
    Scores scores = {{a0, a1}, {b0, b1}, D, slabs, b1.count > 0 ? 2 * slabs : slabs};
    return scores;
}

/* sums[i][j] = chain over d from 0 of a[row_of(i)][d] b[column_of(j)][d] of tile 0, or of tile 1,
 * which comes next. */
template <int WIDE, int TILE_NUMBER>
static __device__ __forceinline__ void scores_tile(float sums[8][4], float *stages,
                                                   const Scores *scores)
{
#pragma unroll
    for (int i = 0; i < 8; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            sums[i][j] = 0.0f;
        }
    }
    if (TILE_NUMBER == 0) {
        __syncthreads(); /* the stages are no longer read */
    }
    int begin = TILE_NUMBER ? scores->slabs : 1 - STAGES,
        end = TILE_NUMBER ? scores->all : scores->slabs;
#pragma unroll 1
    for (int s = begin; s < end; s++) {
        if (s >= 0) {
            __pipeline_wait_prior(STAGES - 2);
            __syncthreads(); /* slab s is there, and slab s - 1 no longer read */
        }
        int next = s + STAGES - 1;
        if (next < scores->all) {
            int second = next >= scores->slabs, d = (second ? next - scores->slabs : next) * DEPTH;
            float *stage = stages + next % STAGES * STAGE;
            load_slab<WIDE, TILE, DEPTH, SLAB_ROW>(stage, second ? scores->a[1] : scores->a[0], d,
                                                   scores->D);
            load_slab<WIDE, TILE, DEPTH, SLAB_ROW>(
                stage + TILE * SLAB_ROW, second ? scores->b[1] : scores->b[0], d, scores->D);
        }
        __pipeline_commit();
        if (s < 0) {
            continue; /* two slabs come before the first is used */
        }
        const float *a = stages + s % STAGES * STAGE, *b = a + TILE * SLAB_ROW;
#pragma unroll 2
        for (int d = 0; d < DEPTH; d += 4) {
            float x[FOUR], y[4][FOUR];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                four_read(y[j], b + column_of(j) * SLAB_ROW + d);
            }
#pragma unroll
            for (int i = 0; i < 8; i++) {
                four_read(x, a + row_of(i) * SLAB_ROW + d);
#pragma unroll
                for (int j = 0; j < 4; j++) {
#pragma unroll
                    for (int k = 0; k < FOUR; k++) {
                        sums[i][j] = fmaf(x[k], y[j][k], sums[i][j]);
                    }
                }
            }
        }
    }
}

static __device__ __forceinline__ void strip_put(float *strip, int strip_row, float sums[8][4])
{
#pragma unroll
    for (int i = 0; i < 8; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            strip[row_of(i) * strip_row + column_of(j)] = sums[i][j];
        }
    }
}

/* Two tiles of scores, to shared memory: s0[i][j] = chain over d from 0 of a0[i][d] b0[j][d], and
 * so s1; rows of strip_row floats. Where b1 has no rows s1 is all 0. */
template <int WIDE>
static __device__ __forceinline__ void strip_pair(float *s0, float *s1, int strip_row, Rows a0,
                                                  Rows b0, Rows a1, Rows b1, int D, float *stages)
{
    Scores scores = scores_of(a0, b0, a1, b1, D);
    float sums[8][4];
    scores_tile<WIDE, 0>(sums, stages, &scores);
    strip_put(s0, strip_row, sums);
    scores_tile<WIDE, 1>(sums, stages, &scores);
    strip_put(s1, strip_row, sums);
}

/* Where channels `first` to first + 3 of row i stand, and how many of them are there. */
template <int WIDE>
static __device__ __forceinline__ float *output_at(const Output *out, int i, int first, int *count)
{
    int left = i < out->rows ? out->D - first : 0;
    *count = WIDE && left > 0 ? FOUR : left;
    return out->to + (size_t)i * (size_t)out->stride + first;
}

/* out[i][d] = ((chain over k < depth of strip[i][k] x[k][d], from 0 or from what is there) + 0)
 * factor[i], a factor of NULL being 1. strip, in shared memory, has rows of strip_row floats, and
 * zeros from depth to the next multiple of DEPTH. */
template <int WIDE>
static __device__ __forceinline__ void sum_rows(const Output *out, const float *strip,
                                                int strip_row, int depth, Rows x, int from_zero,
                                                const float *factor, float *stages)
{
    int slabs = (depth + DEPTH - 1) / DEPTH;
    for (int first = 0; first < out->D; first += TILE) {
        int column = (int)threadIdx.x / 8 * 4;
        float sums[8][FOUR] = {};
        int top = opaque(row_of(0)), count;
#pragma unroll
        for (int i = 0; i < 8 && !from_zero; i++) {
            const float *from = output_at<WIDE>(out, top + 8 * i, first + column, &count);
            four_get(sums[i], from, count, WIDE);
        }
        __syncthreads(); /* the strip is there, and the stages no longer read */
#pragma unroll 1
        for (int s = 1 - STAGES; s < slabs; s++) {
            if (s >= 0) {
                __pipeline_wait_prior(STAGES - 2);
                __syncthreads(); /* slab s is there, and slab s - 1 no longer read */
            }
            int next = s + STAGES - 1;
            if (next < slabs) {
                load_slab<WIDE, DEPTH, TILE, TILE>(stages + next % STAGES * STAGE,
                                                   rows_from(x, next * DEPTH), first, out->D);
            }
            __pipeline_commit();
            if (s < 0) {
                continue;
            }
            const float *a = strip + s * DEPTH, *b = stages + s % STAGES * STAGE + column;
#pragma unroll 2
            for (int k = 0; k < DEPTH; k += 4) {
                float e[FOUR], y[4][FOUR];
#pragma unroll
                for (int m = 0; m < 4; m++) {
                    four_read(y[m], b + (k + m) * TILE);
                }
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    four_read(e, a + row_of(i) * strip_row + k);
#pragma unroll
                    for (int m = 0; m < 4; m++) {
#pragma unroll
                        for (int c = 0; c < FOUR; c++) {
                            sums[i][c] = fmaf(e[m], y[m][c], sums[i][c]);
                        }
                    }
                }
            }
        }
        top = opaque(row_of(0));
#pragma unroll
        for (int i = 0; i < 8; i++) {
            float r = factor ? factor[top + 8 * i] : 1.0f;
#pragma unroll
            for (int c = 0; c < FOUR; c++) {
                sums[i][c] = (sums[i][c] + 0.0f) * r;
            }
            float *to = output_at<WIDE>(out, top + 8 * i, first + column, &count);
            four_put(to, sums[i], count, WIDE);
        }
    }
}

#endif
