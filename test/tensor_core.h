/* bf16 products as NVIDIA's tensor cores sum them: what a CPU must do to have their bits, and the
 * instructions themselves (tensor_core.cu), for test_tensor_cores.
 *
 * A block is up to `length` products and an addend c. Each is cut toward zero to a multiple of
 * 2^(emax - fraction), their sum is exact, and it is cut toward zero to float32. emax is the largest
 * of c's exponent and of the products' ones, which are the sums of their factors' (a product of two
 * numbers in [1, 2) has exponent 0, even if it is 3); a zero has exponent -126, that of subnormals.
 * A sum beyond float32 is infinite, and stays so. Operands are finite.
 * After MMA-Sim (arXiv 2511.10909) and Khattak and Mikaitis (arXiv 2512.07004). */
#ifndef TENSOR_CORE_H
#define TENSOR_CORE_H

#include "build.h"

typedef struct TensorCore {
    int length;   /* of a block, at most 16 */
    int fraction; /* bits */
} TensorCore;

/* m and n of the instructions' tiles. */
enum { TENSOR_CORE_ROWS = 16, TENSOR_CORE_COLUMNS = 8 };

#ifdef __cplusplus
extern "C" {
#endif

/* c + a b over K values in blocks, the first block first and the last one maybe shorter; a and b
 * are bf16. */
float tensor_core_dot(TensorCore core, const uint16_t *a, const uint16_t *b, size_t K, float c);

/* c [M, N] += a [M, K] b [N, K]^T by mma.m16n8k16 or mma.m16n8k8 (k 16 or 8), the first k first;
 * M, N and K are multiples of 16, 8 and k. Memory of the device; a and b on boundaries of 4 bytes. */
typedef void tensor_core_function(const Context *ctx, int k, float *c, const uint16_t *a,
                                  const uint16_t *b, size_t M, size_t N, size_t K);
tensor_core_function KERNEL(tensor_core_product);

/* The same by wgmma.m64n8k16 or m64n64k16 (columns 8 or 64); M and N are multiples of 64, K of 16.
 * Returns 0 where the device has no machine code of it: all but compute capability 9.0. */
typedef int tensor_core_wgmma_function(const Context *ctx, int columns, float *c, const uint16_t *a,
                                       const uint16_t *b, size_t M, size_t N, size_t K);
tensor_core_wgmma_function KERNEL(tensor_core_wgmma);

/* How the device sums an instruction of k products: blocks of 16 or fewer with 25 bits from compute
 * capability 9.0 on (k 16 is one block), blocks of 8 with 24 bits before. */
typedef TensorCore tensor_core_kind(int k);
tensor_core_kind KERNEL(tensor_core_of);

#ifdef __cplusplus
}
#endif

#endif
