/* Sums of products as matrix units take them: operands are bf16, and a block of `length` products is
 * added to a float32 c at once. One source for C and CUDA; what ops.def calls block16, block8 and
 * tile. A last block that is shorter has zeros for what is missing.
 *
 * block16 and block8, NVIDIA's tensor cores (mma.m16n8k16 from sm_90 on, mma.m16n8k8 before): c and
 * each product are cut toward zero to multiples of 2^(emax - fraction), their sum is exact, and it is
 * cut toward zero to float32. emax is the largest of c's exponent and of the products' ones, which
 * are the sums of their factors' (a product of two numbers in [1, 2) has exponent 0, even if it is
 * 3). A zero has exponent -126, as subnormals have, which stay what they are; a sum of zeros is +0;
 * a sum beyond float32 is infinite. Of values that are not finite the sum is IEEE's: NaN where one
 * is NaN, where 0 meets an infinity or two infinities of both signs meet; else infinite. After
 * MMA-Sim (arXiv 2511.10909) and Khattak and Mikaitis (arXiv 2512.07004).
 *
 * tile, AMX's tdpbf16ps: e = chain of fma over the products 0, 2, ... 30 from +0, o over 1, 3, ...
 * 31; c + (e + o). Every operation takes subnormals for zeros and flushes its result to a zero of
 * the same sign where it is below 2^-126 after rounding to 24 bits (Intel SDM, "Flush-to-Zero"). */
#ifndef BLOCK_SUM_H
#define BLOCK_SUM_H

#include "scalar.h"

#include <stddef.h>

typedef struct BlockSum {
    int length;   /* products of a block, at most 32 */
    int fraction; /* bits; 0: tile */
} BlockSum;

#define BLOCK16 ((BlockSum){16, 25})
#define BLOCK8  ((BlockSum){8, 24})
#define TILE32  ((BlockSum){32, 0})
enum { BLOCK_LONGEST = 32 };

/* The nearest bf16, of two the even one; beyond the largest one infinity. */
SCALAR_FN uint16_t bf16_round(float x)
{
    uint32_t bits = float_to_bits(x), rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
    return (uint16_t)((bits & 0x7FFFFFFFu) > 0x7F800000u ? bits >> 16 | 0x40u : rounded);
}

SCALAR_FN float bf16_widen(uint16_t x)
{
    return bits_to_float((uint32_t)x << 16);
}

/* Of a number that is not NaN: unbiased, 128 of an infinity. */
SCALAR_FN int block_exponent(uint32_t bits)
{
    int biased = (int)(bits >> 23 & 0xFFu);
    return (biased ? biased : 1) - 127;
}

/* |x| 2^(23 - exponent), with x's sign. */
SCALAR_FN int64_t block_significand(uint32_t bits)
{
    int64_t m = (int64_t)(bits & 0x7FFFFFu) | (bits & 0x7F800000u ? 0x800000 : 0);
    return bits >> 31 ? -m : m;
}

/* m 2^shift, cut toward zero. |m| 2^shift < 2^52. */
SCALAR_FN int64_t block_shifted(int64_t m, int shift)
{
    uint64_t size = (uint64_t)(m < 0 ? -m : m);
    size = shift >= 0 ? size << shift : shift < -60 ? 0 : size >> -shift;
    return m < 0 ? -(int64_t)size : (int64_t)size;
}

/* sum 2^scale cut toward zero to float32. |sum| < 2^52, scale >= -126 - 25. */
SCALAR_FN float block_cut(int64_t sum, int scale)
{
    if (sum == 0) {
        return 0.0f;
    }
    double wide = (double)(sum < 0 ? -sum : sum);
    uint64_t bits;
    memcpy(&bits, &wide, sizeof bits);
    int exponent = (int)(bits >> 52) - 1023 + scale;
    uint32_t sign = sum < 0 ? 0x80000000u : 0u;
    if (exponent > 127) {
        return bits_to_float(sign | 0x7F800000u);
    }
    if (exponent >= -126) {
        return bits_to_float(sign | (uint32_t)(exponent + 127) << 23 |
                             (uint32_t)(bits >> 29 & 0x7FFFFFu));
    }
    return bits_to_float(sign | (uint32_t)block_shifted(sum < 0 ? -sum : sum, scale + 149));
}

/* One block of n products, block16's and block8's. */
SCALAR_FN float block_add(int fraction, const uint16_t *a, const uint16_t *b, int n, float c)
{
    uint32_t c_bits = float_to_bits(c);
    int emax = block_exponent(c_bits), finite = emax < 128;
    float special = c;
    for (int i = 0; i < n; i++) {
        uint32_t x = (uint32_t)a[i] << 16, y = (uint32_t)b[i] << 16;
        int ex = block_exponent(x), ey = block_exponent(y);
        emax = ex + ey > emax ? ex + ey : emax;
        if (ex > 127 || ey > 127) {
            special = (finite ? 0.0f : special) + bits_to_float(x) * bits_to_float(y);
            finite = 0;
        }
    }
    if (!finite) {
        return special;
    }
    int64_t sum = block_shifted(block_significand(c_bits),
                                fraction - 23 - emax + block_exponent(c_bits));
    for (int i = 0; i < n; i++) {
        uint32_t x = (uint32_t)a[i] << 16, y = (uint32_t)b[i] << 16;
        /* significands of 8 bits: exact below 2^16 */
        int64_t m = (block_significand(x) >> 16) * (block_significand(y) >> 16);
        sum += block_shifted(m, fraction - 14 - emax + block_exponent(x) + block_exponent(y));
    }
    return block_cut(sum, emax - fraction);
}

SCALAR_FN float tile_flushed(float x)
{
    uint32_t bits = float_to_bits(x);
    return bits & 0x7F800000u ? x : bits_to_float(bits & 0x80000000u);
}

/* a b + c, flushed. A sum that float32 rounds to 2^-126 may be below it with 24 bits: it is computed
 * once more, 2^64 times as large. Then |a b| is below 2^-100, and the smaller factor may grow. */
SCALAR_FN float tile_fma(float a, float b, float c)
{
    a = tile_flushed(a);
    b = tile_flushed(b);
    float sum = fmaf(a, b, c);
    if ((float_to_bits(sum) & 0x7FFFFFFFu) == 0x00800000u) {
        float larger = fabsf(a) > fabsf(b) ? a : b, smaller = fabsf(a) > fabsf(b) ? b : a;
        float again = fmaf(larger, smaller * 0x1p64f, c * 0x1p64f);
        return fabsf(again) < 0x1p-62f ? bits_to_float(float_to_bits(sum) & 0x80000000u) : sum;
    }
    return tile_flushed(sum);
}

/* One block of n products, tile's. */
SCALAR_FN float tile_add(const uint16_t *a, const uint16_t *b, int n, float c)
{
    float chain[2] = {0.0f, 0.0f};
    for (int i = 0; i < n; i++) {
        chain[i % 2] = tile_fma(bf16_widen(a[i]), bf16_widen(b[i]), chain[i % 2]);
    }
    for (int i = n; i < TILE32.length && i < n + 2; i++) {
        chain[i % 2] += 0.0f; /* a product of zeros makes -0 +0; further ones do nothing */
    }
    return tile_flushed(tile_flushed(c) + tile_flushed(chain[0] + chain[1]));
}

/* One block of either. */
SCALAR_FN float block_sum(BlockSum sum, const uint16_t *a, const uint16_t *b, int n, float c)
{
    return sum.fraction ? block_add(sum.fraction, a, b, n, c) : tile_add(a, b, n, c);
}

#endif
