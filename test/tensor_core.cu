/* A product by the instructions of mma.cuh, a warp a tile of 16 x 8, straight from global memory: for
 * the bits, not for speed. */
#include "mma.cuh"
#include "tensor_core.h"

/* Of lane l: rows l / 4 and l / 4 + 8 of the tile, columns l % 4 * 2 and the next one. */
static __device__ size_t tile_row(int i)
{
    return threadIdx.x / 4 + i / 2 * 8;
}

static __device__ size_t tile_column(int i)
{
    return threadIdx.x % 4 * 2 + i % 2;
}

/* Two values of bf16 from an even element on. */
static __device__ uint32_t pair(const uint16_t *x)
{
    return *(const uint32_t *)x;
}

template <int K_STEP>
static __global__ void product(float *c, const uint16_t *a, const uint16_t *b, size_t N, size_t K)
{
    size_t m = (size_t)blockIdx.x * TENSOR_CORE_ROWS, n = (size_t)blockIdx.y * TENSOR_CORE_COLUMNS;
    const uint16_t *a_row = a + (m + tile_row(0)) * K + tile_column(0);
    const uint16_t *b_row = b + (n + threadIdx.x / 4) * K + tile_column(0);
    float d[4];
    for (int i = 0; i < 4; i++) {
        d[i] = c[(m + tile_row(i)) * N + n + tile_column(i)];
    }
    for (size_t k = 0; k < K; k += K_STEP) {
        uint32_t x[4], y[2];
        for (int j = 0; j < K_STEP / 8; j++) {
            x[2 * j] = pair(a_row + k + 8 * j);
            x[2 * j + 1] = pair(a_row + k + 8 * j + 8 * K);
            y[j] = pair(b_row + k + 8 * j);
        }
        if (K_STEP == 16) {
            mma_k16(d, x, y);
        } else {
            mma_k8(d, x, y, 0);
        }
    }
    for (int i = 0; i < 4; i++) {
        c[(m + tile_row(i)) * N + n + tile_column(i)] = d[i];
    }
}

void KERNEL(tensor_core_product)(const Context *ctx, int k, float *c, const uint16_t *a,
                                 const uint16_t *b, size_t M, size_t N, size_t K)
{
    dim3 grid((unsigned)(M / TENSOR_CORE_ROWS), (unsigned)(N / TENSOR_CORE_COLUMNS));
    if (k == 16) {
        product<16><<<grid, 32, 0, stream_of(ctx)>>>(c, a, b, N, K);
    } else {
        product<8><<<grid, 32, 0, stream_of(ctx)>>>(c, a, b, N, K);
    }
}

TensorCore KERNEL(tensor_core_of)(int k)
{
    cudaDeviceProp properties;
    memset(&properties, 0, sizeof properties);
    (void)cudaGetDeviceProperties(&properties, 0); /* the backend has asked too, and it was there */
    return properties.major >= 9 ? TensorCore{k, 25} : TensorCore{8, 24};
}
