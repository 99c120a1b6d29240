/* Products of blocks of bf16 by tensor cores, a warp 16 x 8 outputs: what matmul_block.cu and
 * attention on tensor cores are made of.
 *
 *     mma_block<LENGTH, MODEL>(d, a, b, count)    d += a b over up to 16 k, by block_sum.h
 *
 * LENGTH 16 is a block of block16, 8 two of block8. Without MODEL it is the instruction that sums so
 * on the device that has it (mma_length); with MODEL every lane computes its outputs as block_sum.h
 * says, in integers: the same bits on any device, more than a hundred times the instructions. The
 * warp takes part as a whole. Which one a kernel has is chosen where it is launched, by mma_length:
 * not by what it is compiled for, as a newer device may run the PTX of an older one. Attention has
 * operands in shared memory and a model of its own (attention_mma.cuh).
 *
 * Lane l, with g = l / 4 and t = l % 4, holds (PTX ISA, "Matrix Fragments for mma.m16n8k16")
 *     a [16, k]   a[0] row g, a[1] row g + 8: k 2 t, 2 t + 1; a[2], a[3] the same rows, 8 k further
 *     b [k, 8]    column g; b[0] k 2 t, 2 t + 1; b[1] 8 k further
 *     d [16, 8]   d[0], d[1] row g, columns 2 t, 2 t + 1; d[2], d[3] row g + 8
 * with the smaller k in the lower half of a word (bf16_pair). So d, as bf16_pair(d[0], d[1]) and so
 * on, is the half of an a whose k are the columns of d. */
#ifndef MMA_CUH
#define MMA_CUH

#include "block_sum.h"
#include "cuda.cuh"

enum { MMA_M = 16, MMA_N = 8, MMA_K = 16 };

/* Two floats rounded to bf16, the first in the lower half. */
static __device__ __forceinline__ uint32_t bf16_pair(float x, float y)
{
    return bf16_round(x) | (uint32_t)bf16_round(y) << 16;
}

/* d += a b over 8 WORDS k, one block, as block_sum.h has it: a [2][j] rows g and g + 8. The lanes of
 * a row or a column send each other theirs, two registers at once. One output after the other, each
 * as d[0] when its turn comes: all at once they would not have enough registers. */
template <int FRACTION, int WORDS>
static __device__ __forceinline__ void mma_model(float (&d)[4], const uint32_t (&a)[2][WORDS],
                                                 const uint32_t (&b)[WORDS])
{
    int lane = (int)threadIdx.x % LANES;
    uint64_t x[4 * WORDS], y[2][4]; /* the two rows; of each column what b has */
#pragma unroll
    for (int t = 0; t < 4; t++) {
#pragma unroll
        for (int j = 0; j < WORDS; j++) {
            uint64_t rows = a[0][j] | (uint64_t)a[1][j] << 32;
            x[WORDS * t + j] = __shfl_sync(WARP_ALL, rows, lane / 4 * 4 + t);
        }
#pragma unroll
        for (int i = 0; i < 2; i++) {
            uint64_t words = b[0] | (uint64_t)b[WORDS - 1] << 32;
            y[i][t] = __shfl_sync(WARP_ALL, words, (lane % 4 * 2 + i) * 4 + t);
        }
    }
#pragma unroll 1
    for (int i = 0; i < 4; i++) {
        uint16_t row[8 * WORDS], column[8 * WORDS];
#pragma unroll
        for (int k = 0; k < 4 * WORDS; k++) { /* pairs, in the same order in both */
            uint32_t two = i < 2 ? (uint32_t)x[k] : (uint32_t)(x[k] >> 32);
            uint64_t words = i % 2 ? y[1][k / WORDS] : y[0][k / WORDS];
            uint32_t other = (uint32_t)(words >> k % WORDS * 32);
            row[2 * k] = (uint16_t)two;
            row[2 * k + 1] = (uint16_t)(two >> 16);
            column[2 * k] = (uint16_t)other;
            column[2 * k + 1] = (uint16_t)(other >> 16);
        }
        float sum = block_add(FRACTION, row, column, 8 * WORDS, d[0]);
        d[0] = d[1];
        d[1] = d[2];
        d[2] = d[3];
        d[3] = sum;
    }
}

template <int FRACTION>
static __device__ __forceinline__ void mma_model_k16(float (&d)[4], const uint32_t (&a)[4],
                                                     const uint32_t (&b)[2])
{
    const uint32_t rows[2][2] = {{a[0], a[2]}, {a[1], a[3]}};
    mma_model<FRACTION, 2>(d, rows, b);
}

/* The half'th 8 of the 16 k. */
template <int FRACTION>
static __device__ __forceinline__ void mma_model_k8(float (&d)[4], const uint32_t (&a)[4],
                                                    const uint32_t (&b)[2], int half)
{
    const uint32_t rows[2][1] = {{a[2 * half]}, {a[2 * half + 1]}}, column[1] = {b[half]};
    mma_model<FRACTION, 1>(d, rows, column);
}

/* --- the instructions --- */

#ifdef __CUDACC__
static __device__ __forceinline__ void mma_k16(float (&d)[4], const uint32_t (&a)[4],
                                               const uint32_t (&b)[2])
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

static __device__ __forceinline__ void mma_k8(float (&d)[4], const uint32_t (&a)[4],
                                              const uint32_t (&b)[2], int half)
{
    asm("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[2 * half]), "r"(a[2 * half + 1]), "r"(b[half]));
}
#else
/* The emulator's: what the device that it stands for would give, wanted or not. The lanes leave their
 * operands where all read them: two waits for the model's exchanges, as each wait takes long. */
template <int FRACTION, int WORDS>
static inline void mma_emulated(float (&d)[4], const uint32_t (&a)[2][WORDS],
                                const uint32_t (&b)[WORDS])
{
    static struct {
        uint32_t a[2][WORDS], b[WORDS];
    } held[1024 / LANES][LANES];
    int lane = (int)threadIdx.x % LANES;
    auto &warp = held[threadIdx.x / LANES];
    memcpy(warp[lane].a, a, sizeof a);
    memcpy(warp[lane].b, b, sizeof b);
    __syncwarp();
    for (int i = 0; i < 4; i++) {
        uint16_t row[8 * WORDS], column[8 * WORDS];
        for (int t = 0; t < 4; t++) { /* pairs, in the same order in both */
            memcpy(row + 2 * WORDS * t, warp[lane / 4 * 4 + t].a[i / 2], sizeof a / 2);
            memcpy(column + 2 * WORDS * t, warp[(lane % 4 * 2 + i % 2) * 4 + t].b, sizeof b);
        }
        d[i] = block_add(FRACTION, row, column, 8 * WORDS, d[i]);
    }
    __syncwarp(); /* all have read them */
}

static inline void mma_k8(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], int half)
{
    const uint32_t rows[2][1] = {{a[2 * half]}, {a[2 * half + 1]}}, column[1] = {b[half]};
    if (cudasim_capability >= 90) {
        mma_emulated<25>(d, rows, column);
    } else {
        mma_emulated<24>(d, rows, column);
    }
}

static inline void mma_k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    const uint32_t rows[2][2] = {{a[0], a[2]}, {a[1], a[3]}};
    if (cudasim_capability >= 90) {
        mma_emulated<25>(d, rows, b);
    } else {
        mma_k8(d, a, b, 0);
        mma_k8(d, a, b, 1);
    }
}
#endif

/* One of block8's two blocks. */
template <int MODEL>
static __device__ __forceinline__ void mma_half(float (&d)[4], const uint32_t (&a)[4],
                                                const uint32_t (&b)[2], int half)
{
    if (MODEL) {
        mma_model_k8<24>(d, a, b, half);
    } else {
        mma_k8(d, a, b, half);
    }
}

/* count: how many of the 16 k there are, the same for all lanes; a and b have zeros for the others.
 * Of 8 or fewer block8 has no second block, which would make a sum of -0 +0. */
template <int LENGTH, int MODEL>
static __device__ __forceinline__ void mma_block(float (&d)[4], const uint32_t (&a)[4],
                                                 const uint32_t (&b)[2], int count)
{
    static_assert(LENGTH == 16 || LENGTH == 8, "block16 or block8");
    if (LENGTH == 8) {
        mma_half<MODEL>(d, a, b, 0);
        if (count > 8) {
            mma_half<MODEL>(d, a, b, 1);
        }
    } else if (MODEL) {
        mma_model_k16<25>(d, a, b);
    } else {
        mma_k16(d, a, b);
    }
}

#endif
