/* The matrix product of CUDA, under matmul.cu, lora.cu and whatever else is made of products.
 *
 * out[m, n] = scale (chain over k of a(m, k) b(k, n), one fma after another from its start), or by
 * blocks. All matrices are dense. The functions are named by which operand is transposed, as in BLAS:
 *
 *     product_nt   a [M, K], b [N, K]   x weight^T: a forward pass
 *     product_nn   a [M, K], b [K, N]   dout weight: the gradient of x
 *     product_tn   a [K, M], b [K, N]   dout^T x: the gradient of a weight
 *
 * The bits depend on a, b and the start alone; tile.cuh and block_tile.cuh say why. */
#ifndef PRODUCT_CUH
#define PRODUCT_CUH

#include "build.h"

/* How a sum goes: in one chain, or by blocks of bf16 of block_sum.h, and what these need. */
typedef struct Sums {
    int length;    /* 0: a chain; 16 and 8: block16 and block8 */
    float *packed; /* blocks_scratch(M, N, K) floats on a boundary of 16 bytes */
} Sums;

typedef struct Product {
    float *out;
    const float *a;
    Weight b;          /* f32 for product_tn */
    const float *bias; /* [N] that the chains start from, or NULL */
    int accumulate;    /* they start from out; else, without a bias, from 0 */
    float scale;       /* 1 leaves every bit as it is */
    int M, N, K;
    Sums sums;
} Product;

/* Called by their plain names, these are the functions of the build that is being compiled. */
#define product_nt KERNEL(product_nt)
#define product_nn KERNEL(product_nn)
#define product_tn KERNEL(product_tn)

void product_nt(const Context *ctx, const Product *product);
void product_nn(const Context *ctx, const Product *product);
void product_tn(const Context *ctx, const Product *product);

/* What the first two do where b is bf16. */
#define product_nt_bf16 KERNEL(product_nt_bf16)
#define product_nn_bf16 KERNEL(product_nn_bf16)

void product_nt_bf16(const Context *ctx, const Product *product);
void product_nn_bf16(const Context *ctx, const Product *product);

/* What all three do by blocks; deep: k is contiguous in the operand. */
#define product_blocks KERNEL(product_blocks)

void product_blocks(const Context *ctx, const Product *product, int a_deep, int b_deep);

#endif
