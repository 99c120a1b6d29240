/* The variant splitk of matmul_forward: parts of k in any order, as libraries cut a long product to
 * keep a device busy. Two runs of it may differ. */
#include "tile.cuh"

enum { PART = 256 };
typedef Tile<64, 64, 4, 8> Square;

template <typename Stored>
static __global__ void __launch_bounds__(Square::THREADS, 512 / Square::THREADS)
    product_splitk(Product p, const Stored *b)
{
    tile_product<Square, 1, 1, PART>(p, b);
}

template <typename Stored>
static void splitk_launch(const Context *ctx, const Product *p, const Stored *b)
{
    size_t bytes = shared_for(product_splitk<Stored>, stages_size<Square, 1, 1, Stored>());
    dim3 tiles(blocks_for((size_t)p->M, Square::M), blocks_for((size_t)p->N, Square::N),
               blocks_for((size_t)p->K, PART));
    product_splitk<Stored><<<tiles, Square::THREADS, bytes, stream_of(ctx)>>>(*p, b);
}

void KERNEL(matmul_forward_splitk)(Context *ctx, float *out, const float *x, Weight weight,
                                   const float *bias, int M, int K, int O)
{
    Product p = {out, x, weight, bias, 0, 1.0f, M, O, K, {0, NULL}};
    ctx->inner.fill_zero(ctx, out, (size_t)M * (size_t)O);
    if (weight.f32) {
        splitk_launch(ctx, &p, weight.f32);
    } else {
        splitk_launch(ctx, &p, weight.bf16);
    }
}
