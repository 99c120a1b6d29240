/* CUDA twin of matmul_block.c: products by blocks of bf16 operands, on tensor cores where those of the
 * device sum such blocks (mma.cuh), else by the definition in integers. block16's are here, block8's
 * in matmul_block8.cu. */
#include "block_tile.cuh"

/* --- packing --- */

enum { SIDE = 32, THREADS = 256 };

/* packed [rows, depth] = x rounded to bf16, 0 from k = K on; depth is K, or the next multiple of 16.
 * x [rows, K] if deep, else [K, rows]. In each 16 k the pairs stand in the order 0, 4, 1, 5, 2, 6, 3,
 * 7: a lane of mma.cuh has both of its own in 8 bytes.
 *
 * A block of threads turns 32 rows by 32 k through shared memory. 4 or 2 bytes are read and 2 written
 * for an element; bound by memory. That costs 12 us where the product itself takes tensor cores 17 at
 * their peak (computed, 2048 x 1024 x 4096 on an H100: 38 MB). */
static __global__ void __launch_bounds__(THREADS)
    blocks_pack(uint32_t *packed, Weight x, int rows, int K, int depth, int deep)
{
    __shared__ float tile[SIDE][SIDE + 1];
    unsigned across = ((unsigned)depth + SIDE - 1) / SIDE;
    int row0 = (int)(blockIdx.x / across) * SIDE, k0 = (int)(blockIdx.x % across) * SIDE;
    int near = (int)threadIdx.x % SIDE, far = (int)threadIdx.x / SIDE;
    size_t width = (size_t)(deep ? K : rows);
    for (; far < SIDE; far += THREADS / SIDE) {
        int row = deep ? far : near, k = deep ? near : far;
        size_t i = (size_t)(deep ? row0 + row : k0 + k) * width +
                   (size_t)(deep ? k0 + k : row0 + row);
        tile[row][k] = row < rows - row0 && k < K - k0 ? weight_at(x, i) : 0.0f;
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < SIDE * SIDE / 2; i += THREADS) {
        int row = i / (SIDE / 2), word = i % (SIDE / 2), place = word % 8;
        int k = word / 8 * MMA_K + place / 2 * 2 + place % 2 * 8;
        if (row < rows - row0 && k < depth - k0) {
            packed[(size_t)(row0 + row) * (size_t)(depth / 2) + (size_t)(k0 / 2 + word)] =
                bf16_pair(tile[row][k], tile[row][k + 1]);
        }
    }
}

static const uint16_t *pack(const Context *ctx, float *to, Weight x, int rows, int K, int depth,
                            int deep)
{
    unsigned blocks = blocks_for((size_t)rows, SIDE) * blocks_for((size_t)depth, SIDE);
    uint32_t *packed = (uint32_t *)(void *)to;
    blocks_pack<<<blocks, THREADS, 0, stream_of(ctx)>>>(packed, x, rows, K, depth, deep);
    return (const uint16_t *)(void *)packed;
}

/* Both operands get k contiguous, so that one kernel does for all layouts. */
void product_blocks(const Context *ctx, const Product *p, int a_deep, int b_deep)
{
    if (p->M == 0 || p->N == 0) {
        return;
    }
    int depth = (p->K + MMA_K - 1) / MMA_K * MMA_K;
    float *b = p->sums.packed + blocks_scratch((size_t)p->M, 0, (size_t)p->K);
    Packed packed = {NULL, NULL, depth};
    if (depth > 0) {
        packed.a = pack(ctx, p->sums.packed, Weight{p->a, NULL}, p->M, p->K, depth, a_deep);
        packed.b = pack(ctx, b, p->b, p->N, p->K, depth, b_deep);
    }
    if (p->sums.length == 16) {
        blocks_launch<16>(ctx, p, &packed);
    } else {
        product_blocks8(ctx, p, &packed);
    }
}

/* --- ops --- */

static Product product_of(const Context *ctx, int length, float *out, const float *a, Weight b,
                          int M, int N, int K)
{
    return Product{out, a, b, NULL, 0, 1.0f, M, N, K, {length, ctx->scratch}};
}

static void forward(const Context *ctx, int length, float *out, const float *x, Weight weight,
                    const float *bias, int M, int K, int O)
{
    Product p = product_of(ctx, length, out, x, weight, M, O, K);
    p.bias = bias;
    product_nt(ctx, &p);
}

static void backward_input(const Context *ctx, int length, float *dx, const float *dout,
                           Weight weight, int M, int K, int O, int accumulate)
{
    Product p = product_of(ctx, length, dx, dout, weight, M, K, O);
    p.accumulate = accumulate;
    product_nn(ctx, &p);
}

static void backward_weight(const Context *ctx, int length, float *dweight, const float *dout,
                            const float *x, int M, int K, int O)
{
    Product p = product_of(ctx, length, dweight, dout, Weight{x, NULL}, O, K, M);
    p.accumulate = 1;
    product_tn(ctx, &p);
}

#define PRODUCTS(name, length)                                                                     \
    void KERNEL(matmul_forward_##name)(Context * ctx, float *out, const float *x, Weight weight,   \
                                       const float *bias, int M, int K, int O)                     \
    {                                                                                              \
        forward(ctx, length, out, x, weight, bias, M, K, O);                                       \
    }                                                                                              \
    void KERNEL(matmul_backward_input_##name)(Context * ctx, float *dx, const float *dout,         \
                                              Weight weight, int M, int K, int O, int accumulate)  \
    {                                                                                              \
        backward_input(ctx, length, dx, dout, weight, M, K, O, accumulate);                        \
    }                                                                                              \
    void KERNEL(matmul_backward_weight_##name)(Context * ctx, float *dweight, const float *dout,   \
                                               const float *x, int M, int K, int O)                \
    {                                                                                              \
        backward_weight(ctx, length, dweight, dout, x, M, K, O);                                   \
    }
PRODUCTS(block16, 16)
PRODUCTS(block8, 8)
