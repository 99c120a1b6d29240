/* The kernel of product.cuh: a block of threads computes one tile of the output.
 *
 * k goes by in slabs of 16. cp.async brings them into three stages of shared memory, two ahead of
 * the one that is multiplied; an operand keeps the layout that it has in memory, so that a copy is
 * four elements wide where rows are aligned. A thread holds its outputs in registers from the start
 * to the last k. k is never split, and the last slab runs its own k alone: a padding zero would
 * turn a chain of -0 into +0. So each output is one chain in ascending order, and neither the tile
 * nor the grid can change a bit.
 *
 * 2 M N K FLOPs; each operand is read once for every tile along the other. Bound by FFMA
 * (computed): a thread with 8 x 8 outputs has 16 of them for a 16-byte read of shared memory. */
#ifndef TILE_CUH
#define TILE_CUH

#include "cuda.cuh"
#include "product.cuh"

enum { SLAB = 16, STAGES = 3, M_LANES = 4, N_LANES = 8 }; /* a warp is 4 x 8 threads */

/* A tile of TILE_M x TILE_N outputs, and those of a thread. */
template <int TILE_M, int TILE_N, int OWN_M, int OWN_N> struct Tile {
    enum { M = TILE_M, N = TILE_N, M_OWN = OWN_M, N_OWN = OWN_N };
    enum { N_WARPS = N / (N_LANES * N_OWN), THREADS = M / M_OWN * (N / N_OWN) };
};

/* How a slab of an operand lies in shared memory. EDGE: its rows or columns of the output; DEEP: k
 * is contiguous, in rows of 16 and 4 more that keep them out of each other's banks; else the edge
 * is, in 16 rows. A thread reads its values of the edge RUN neighbours at a time, and the next lane
 * has the next ones. */
template <int EDGE, int DEEP, int OWN> struct Slab {
    enum { WIDTH = DEEP ? SLAB : EDGE, ROW = DEEP ? SLAB + 4 : EDGE, ROWS = DEEP ? EDGE : SLAB };
    enum { SIZE = ROWS * ROW, RUN = DEEP || OWN < 4 ? 1 : 4 };
};

/* From the first value of a thread to its value i. */
template <int RUN, int PLACES> static __device__ __forceinline__ int step_to(int i)
{
    return i / RUN * RUN * PLACES + i % RUN;
}

template <int RUN, typename Stored>
static __device__ __forceinline__ void read_run(float *x, const Stored *from)
{
    if (RUN == 4) {
        four_read(x, from);
    } else {
        *x = widened(*from);
    }
}

/* At most four elements of a row that is not aligned. */
static __device__ __forceinline__ void copy_singly(float *to, const float *from, int count)
{
#pragma unroll 1
    for (int i = 0; i < 4 && i < count; i++) {
        __pipeline_memcpy_async(to + i, from + i, sizeof *to);
    }
}

static __device__ __forceinline__ void copy_singly(uint16_t *to, const uint16_t *from, int count)
{
#pragma unroll 1
    for (int i = 0; i < 4 && i < count; i++) {
        to[i] = from[i]; /* 2 bytes are too few for cp.async */
    }
}

/* Starts the copy of a slab of x: of the operand's `count` rows or columns those from `first` on, k
 * from k0 on. What lies outside of x is left as it was, and in no chain that is written. */
template <int EDGE, int DEEP, int THREADS, typename Stored>
static __device__ __forceinline__ void copy_slab(Stored *slab, const Stored *x, int first,
                                                 int count, int k0, int K, int wide)
{
    typedef Slab<EDGE, DEEP, 1> Shape;
    const int ACROSS = Shape::WIDTH / 4, STEP = THREADS / ACROSS;
    int thread = opaque((int)threadIdx.x), row = thread / ACROSS, column = thread % ACROSS * 4;
    int rows = DEEP ? count - first : K - k0, columns = DEEP ? K - k0 : count - first;
    size_t row_size = (size_t)(DEEP ? K : count);
    const Stored *from = x + (size_t)(DEEP ? first : k0) * row_size + (size_t)(DEEP ? k0 : first);
#pragma unroll
    for (int down = 0; down < Shape::ROWS; down += STEP, row += STEP) {
        if (row >= rows || column >= columns || row >= Shape::ROWS) {
            continue;
        }
        Stored *to = slab + row * Shape::ROW + column;
        const Stored *piece = from + (size_t)row * row_size + (size_t)column;
        if (wide) {
            __pipeline_memcpy_async(to, piece, 4 * sizeof(Stored));
        } else {
            copy_singly(to, piece, columns - column);
        }
    }
}

/* x[j][i] = value i of a thread at k + j; its value 0 stands at `edge`. */
template <int EDGE, int DEEP, int PLACES, int OWN, typename Stored>
static __device__ __forceinline__ void read_values(float x[4][OWN], const Stored *slab, int edge,
                                                   int k)
{
    typedef Slab<EDGE, DEEP, OWN> Shape;
#pragma unroll
    for (int i = 0; i < OWN; i += Shape::RUN) {
        const Stored *from = slab +
                             (edge + step_to<Shape::RUN, PLACES>(i)) * (DEEP ? Shape::ROW : 1) +
                             k * (DEEP ? 1 : Shape::ROW);
        if (DEEP) {
            float four[4];
            four_read(four, from);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                x[j][i] = four[j];
            }
        } else {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                read_run<Shape::RUN>(&x[j][i], from + j * Shape::ROW);
            }
        }
    }
}

/* The chains of a thread go on over the 16 k of a slab. A b in which k is contiguous is taken a
 * column at a time: 4 registers instead of 32. */
template <typename T, int A_DEEP, int B_DEEP, typename Stored>
static __device__ __forceinline__ void multiply(float sum[T::M_OWN][T::N_OWN], const float *a,
                                                const Stored *b, int m, int n)
{
    const int COLUMNS = B_DEEP ? 1 : T::N_OWN;
#pragma unroll
    for (int k = 0; k < SLAB; k += 4) {
        float x[4][T::M_OWN];
        read_values<T::M, A_DEEP, M_LANES, T::M_OWN>(x, a, m, k);
#pragma unroll
        for (int first = 0; first < T::N_OWN; first += COLUMNS) {
            float y[4][COLUMNS];
            read_values<T::N, B_DEEP, N_LANES, COLUMNS>(y, b, n + N_LANES * first, k);
#pragma unroll
            for (int step = 0; step < 4; step++) {
#pragma unroll
                for (int i = 0; i < T::M_OWN; i++) {
#pragma unroll
                    for (int j = 0; j < COLUMNS; j++) {
                        sum[i][first + j] = fmaf(x[step][i], y[step][j], sum[i][first + j]);
                    }
                }
            }
        }
    }
}

/* The same over the first `depth` k of a slab alone. */
template <typename T, int A_DEEP, int B_DEEP, typename Stored>
static __device__ __forceinline__ void multiply_last(float sum[T::M_OWN][T::N_OWN], const float *a,
                                                     const Stored *b, int m, int n, int depth)
{
    typedef Slab<T::M, A_DEEP, T::M_OWN> A;
    typedef Slab<T::N, B_DEEP, T::N_OWN> B;
#pragma unroll 1
    for (int k = 0; k < depth; k++) {
        float x[T::M_OWN];
#pragma unroll
        for (int i = 0; i < T::M_OWN; i++) {
            int edge = m + step_to<A::RUN, M_LANES>(i);
            x[i] = a[A_DEEP ? edge * A::ROW + k : k * A::ROW + edge];
        }
#pragma unroll
        for (int j = 0; j < T::N_OWN; j++) {
            int edge = n + step_to<B::RUN, N_LANES>(j);
            float y = widened(b[B_DEEP ? edge * B::ROW + k : k * B::ROW + edge]);
#pragma unroll
            for (int i = 0; i < T::M_OWN; i++) {
                sum[i][j] = fmaf(x[i], y, sum[i][j]);
            }
        }
    }
}

/* Where a thread's first output stands in the tile; a warp owns a patch of 4 M_OWN x 8 N_OWN. */
template <typename T, int RUN> static __device__ __forceinline__ int m_of(int thread)
{
    return thread / LANES / T::N_WARPS * M_LANES * T::M_OWN + thread % LANES % M_LANES * RUN;
}

template <typename T, int RUN> static __device__ __forceinline__ int n_of(int thread)
{
    return thread / LANES % T::N_WARPS * N_LANES * T::N_OWN + thread % LANES / M_LANES * RUN;
}

/* Block (x, y) owns tile x along M, y along N; a thread M_OWN x N_OWN outputs of it. PART, for the
 * variant splitk alone: block z adds the chain over its PART k to out, the first from the bias
 * on. */
template <typename T, int A_DEEP, int B_DEEP, int PART, typename Stored>
static __device__ __forceinline__ void tile_product(const Product &p, const Stored *b)
{
    typedef Slab<T::M, A_DEEP, T::M_OWN> A;
    typedef Slab<T::N, B_DEEP, T::N_OWN> B;
    const int B_AT = A::SIZE * (int)sizeof(float), STAGE = B_AT + B::SIZE * (int)sizeof(Stored);
    extern __shared__ float4 memory[];
    char *stages = (char *)memory;
    int m0 = (int)blockIdx.x * T::M, n0 = (int)blockIdx.y * T::N;
    int first = (int)blockIdx.z * PART, end = PART && p.K - first > PART ? first + PART : p.K;
    int m = m_of<T, A::RUN>((int)threadIdx.x), n = n_of<T, B::RUN>((int)threadIdx.x);
    int a_wide = rows_aligned(p.a, A_DEEP ? p.K : p.M);
    int b_wide = rows_aligned(b, B_DEEP ? p.K : p.N);
    float sum[T::M_OWN][T::N_OWN];
#pragma unroll
    for (int j = 0; j < T::N_OWN; j++) {
        int column = n0 + n + step_to<B::RUN, N_LANES>(j);
        float start = p.bias && first == 0 && column < p.N ? p.bias[column] : 0.0f;
#pragma unroll
        for (int i = 0; i < T::M_OWN; i++) {
            sum[i][j] = start;
        }
    }
    if (p.accumulate) {
        const float *out = p.out + (size_t)(m0 + m) * (size_t)p.N + (size_t)(n0 + n);
#pragma unroll
        for (int i = 0; i < T::M_OWN; i++) {
            int down = step_to<A::RUN, M_LANES>(i);
#pragma unroll
            for (int j = 0; j < T::N_OWN; j++) {
                int right = step_to<B::RUN, N_LANES>(j);
                if (down < p.M - m0 - m && right < p.N - n0 - n) {
                    sum[i][j] = out[(size_t)down * (size_t)p.N + (size_t)right];
                }
            }
        }
    }
    /* the first two rounds only start copies */
    for (int slab = first / SLAB + 1 - STAGES; slab * SLAB < end; slab++) {
        __pipeline_wait_prior(STAGES - 2);
        __syncthreads(); /* this slab is there for all, and all have left the one before */
        int ahead = slab + STAGES - 1, k = ahead * SLAB;
        if (k < end) {
            char *stage = stages + ahead % STAGES * STAGE;
            copy_slab<T::M, A_DEEP, T::THREADS>((float *)stage, p.a, m0, p.M, k, p.K, a_wide);
            copy_slab<T::N, B_DEEP, T::THREADS>((Stored *)(stage + B_AT), b, n0, p.N, k, p.K,
                                                b_wide);
        }
        __pipeline_commit();
        if (slab * SLAB < first) {
            continue;
        }
        const char *stage = stages + slab % STAGES * STAGE;
        const float *a_slab = (const float *)stage;
        const Stored *b_slab = (const Stored *)(stage + B_AT);
        int depth = end - slab * SLAB;
        if (depth >= SLAB) {
            multiply<T, A_DEEP, B_DEEP>(sum, a_slab, b_slab, m, n);
        } else {
            multiply_last<T, A_DEEP, B_DEEP>(sum, a_slab, b_slab, m, n, depth);
        }
    }
    m = m_of<T, A::RUN>(opaque((int)threadIdx.x));
    n = n_of<T, B::RUN>(opaque((int)threadIdx.x));
    float *out = p.out + (size_t)(m0 + m) * (size_t)p.N + (size_t)(n0 + n);
#pragma unroll
    for (int i = 0; i < T::M_OWN; i++) {
        int down = step_to<A::RUN, M_LANES>(i);
#pragma unroll
        for (int j = 0; j < T::N_OWN; j++) {
            int right = step_to<B::RUN, N_LANES>(j);
            if (down < p.M - m0 - m && right < p.N - n0 - n) {
                float *at = out + (size_t)down * (size_t)p.N + (size_t)right;
                if (PART) {
                    atomicAdd(at, p.scale * sum[i][j]);
                } else {
                    *at = p.scale * sum[i][j];
                }
            }
        }
    }
}

template <typename T, int A_DEEP, int B_DEEP, typename Stored>
static __global__ void __launch_bounds__(T::THREADS, 512 / T::THREADS)
    product_tile(Product p, const Stored *b)
{
    tile_product<T, A_DEEP, B_DEEP, 0>(p, b);
}

/* Bytes of the stages. */
template <typename T, int A_DEEP, int B_DEEP, typename Stored> static size_t stages_size(void)
{
    return STAGES * (Slab<T::M, A_DEEP, T::M_OWN>::SIZE * sizeof(float) +
                     Slab<T::N, B_DEEP, T::N_OWN>::SIZE * sizeof(Stored));
}

template <typename T, int A_DEEP, int B_DEEP, typename Stored>
static void tile_launch(const Context *ctx, const Product *p, const Stored *b)
{
    size_t bytes = shared_for(product_tile<T, A_DEEP, B_DEEP, Stored>,
                              stages_size<T, A_DEEP, B_DEEP, Stored>());
    dim3 tiles(blocks_for((size_t)p->M, T::M), blocks_for((size_t)p->N, T::N));
    product_tile<T, A_DEEP, B_DEEP, Stored><<<tiles, T::THREADS, bytes, stream_of(ctx)>>>(*p, b);
}

/* Whether tiles of this size are a block for nearly every multiprocessor. */
template <typename T> static int tiles_suffice(const Context *ctx, const Product *p)
{
    return 8.0 * p->M * p->N >= 7.0 * ctx->multiprocessors * T::M * T::N;
}

/* The largest tiles that suffice. */
template <int A_DEEP, int B_DEEP, typename Stored>
static void product_launch(const Context *ctx, const Product *p, const Stored *b)
{
    typedef Tile<128, 128, 8, 8> Wide;
    typedef Tile<128, 64, 8, 8> Tall;
    typedef Tile<64, 64, 4, 8> Square;
    typedef Tile<32, 32, 4, 4> Small;
    typedef Tile<16, 8, 1, 1> Tiny;
    if (p->M == 0 || p->N == 0) {
        return;
    }
    if (tiles_suffice<Wide>(ctx, p)) {
        tile_launch<Wide, A_DEEP, B_DEEP>(ctx, p, b);
    } else if (tiles_suffice<Tall>(ctx, p)) {
        tile_launch<Tall, A_DEEP, B_DEEP>(ctx, p, b);
    } else if (tiles_suffice<Square>(ctx, p)) {
        tile_launch<Square, A_DEEP, B_DEEP>(ctx, p, b);
    } else if (tiles_suffice<Small>(ctx, p)) {
        tile_launch<Small, A_DEEP, B_DEEP>(ctx, p, b);
    } else {
        tile_launch<Tiny, A_DEEP, B_DEEP>(ctx, p, b);
    }
}

#endif
