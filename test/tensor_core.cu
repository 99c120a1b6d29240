/* A product by mma.sync, a warp a tile of 16 x 8, straight from global memory: for the bits, not for
 * speed. In the emulator the lanes exchange their parts of the operands (PTX ISA, "Matrix Fragments
 * for mma.m16n8k16 and m16n8k8") and sum by tensor_core_dot, as a device of compute capability 9.0. */
#include "cuda.cuh"
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

#ifdef __CUDACC__
static __device__ void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

static __device__ void mma(float (&d)[4], const uint32_t (&a)[2], const uint32_t (&b)[1])
{
    asm("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(b[0]));
}
#else
/* Registers 2 j and 2 j + 1 of a hold the values 8 j + l % 4 * 2 and the next one of the lane's two
 * rows, register j of b those of column l / 4. */
template <int A, int B>
static void mma(float (&d)[4], const uint32_t (&a)[A], const uint32_t (&b)[B])
{
    uint16_t row[2][8 * B], column[2][8 * B];
    int lane = (int)threadIdx.x;
    for (int quarter = 0; quarter < 4; quarter++) {
        for (int j = 0; j < B; j++) {
            for (int i = 0; i < 2; i++) {
                uint32_t x = __shfl_sync(WARP_ALL, a[2 * j + i], lane / 4 * 4 + quarter);
                uint32_t y = __shfl_sync(WARP_ALL, b[j], (lane % 4 * 2 + i) * 4 + quarter);
                memcpy(row[i] + 8 * j + 2 * quarter, &x, sizeof x);
                memcpy(column[i] + 8 * j + 2 * quarter, &y, sizeof y);
            }
        }
    }
    for (int i = 0; i < 4; i++) {
        d[i] = tensor_core_dot(KERNEL(tensor_core_of)(8 * B), row[i / 2], column[i % 2], 8 * B,
                               d[i]);
    }
}
#endif

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
        uint32_t x[K_STEP / 4], y[K_STEP / 8];
        for (int j = 0; j < K_STEP / 8; j++) {
            x[2 * j] = pair(a_row + k + 8 * j);
            x[2 * j + 1] = pair(a_row + k + 8 * j + 8 * K);
            y[j] = pair(b_row + k + 8 * j);
        }
        mma(d, x, y);
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
