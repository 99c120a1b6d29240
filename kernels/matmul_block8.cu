/* The products of matmul_block.cu by blocks of 8. */
#include "block_tile.cuh"

void product_blocks8(const Context *ctx, const Product *product, const Packed *packed)
{
    blocks_launch<8>(ctx, product, packed);
}
