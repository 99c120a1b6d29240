/* CUDA twin of attention_block.c's backward pass, bit for bit, without atomics: one kernel whose
 * blocks own tiles of queries makes dq, a second one whose blocks own tiles of keys makes dv, then dk.
 * Both compute the scores they need again. A file for each LENGTH of attention_mma.cuh, as nvcc takes
 * long. */
#ifndef ATTENTION_MMA_BACKWARD_CUH
#define ATTENTION_MMA_BACKWARD_CUH

#include "attention_mma.cuh"

typedef struct Gradients {
    float *dq, *dk, *dv;
    const float *dout, *q, *k, *v, *out, *max, *rsum;
} Gradients;

#define gradients_block16 KERNEL(gradients_block16)
#define gradients_block8  KERNEL(gradients_block8)
#define gradients_model   KERNEL(gradients_model)
typedef void gradients_function(const Context *ctx, const Gradients *x, const AttentionShape *shape,
                                const DropoutSite *dropout, const Products *products);
gradients_function gradients_block16, gradients_block8, gradients_model;

/* A tile of queries by keys, or of keys by queries: what the kernels below do between their products.
 * s, the scores before scale, becomes the dropped p, and dp becomes ds; 0 where a query does not see
 * a key. row_at [TILE]: of the tile's queries; j0: its first key; kept as kept_of says. */
template <int KEYS_BY_QUERIES>
static __device__ __forceinline__ void tile_backward(float s[COLUMNS][4], float dp[COLUMNS][4],
                                                     const Row *row_at, int j0, float scale,
                                                     float dropped, uint32_t kept)
{
    float factor = 1.0f / (1.0f - dropped);
#pragma unroll
    for (int n = 0; n < COLUMNS; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int across = tile_column(n) + i % 2, down = tile_row(i / 2),
                key = j0 + (KEYS_BY_QUERIES ? down : across);
            Row row = row_at[KEYS_BY_QUERIES ? across : down];
            score_backward(&s[n][i], &dp[n][i], &row, key < row.seen, kept >> (4 * n + i) & 1u,
                           factor, scale);
        }
    }
}

/* dq of TILE queries of a head, and their means for key_gradients. Sums are ops.def's, in blocks over
 * d for s and dp, over the keys for dq; a warp's lanes and tree for a mean. A warp owns 16 rows of a
 * tile of scores and as many of each 64 channels of dq. 3 D products for a query and key that it
 * sees, 2 D more for each 64 channels beyond 64; a tile of 64 x 64 takes 128 D floats from the L2
 * cache for s and dp, twice as many where D is above 64, and 64 D for dq. Bound as forward_tiles
 * (computed). Grid: as forward_tiles. */
template <int LENGTH>
static __global__ void __launch_bounds__(THREADS, 3)
    query_gradients(Gradients x, float *means, AttentionShape shape, DropoutSite dropout,
                    int strips, Products products)
{
    __shared__ Operand q_tile;
    __shared__ Operand dout_tile;
    __shared__ Operand b_tile;
    __shared__ Operand x_tile;
    __shared__ Operand ds_tile;
    __shared__ Row row_at[TILE];
    int tasks = shape.B * shape.H, D = shape.D, H = shape.H;
    int i0 = (strips - 1 - (int)blockIdx.x / tasks) * TILE;
    Head at = head_at(&shape, (int)blockIdx.x % tasks, H);
    int rows = at.queries - i0 < TILE ? at.queries - i0 : TILE;
    if (rows <= 0) {
        return; /* the whole block */
    }
    int kv = at.head / (H / shape.K), most = keys_seen(&shape, &at, i0 + rows - 1);
    Rows q_rows = rows_of(x.q, shape.q_stride, at.q_row + i0, at.head, D, rows),
         dout_rows = rows_of(x.dout, H * D, at.q_row + i0, at.head, D, rows),
         out_rows = rows_of(x.out, H * D, at.q_row + i0, at.head, D, rows),
         k_rows = rows_of(x.k, shape.kv_stride, at.k_row, kv, D, at.keys),
         v_rows = rows_of(x.v, shape.kv_stride, at.k_row, kv, D, at.keys);
    Output to = output_of(x.dq, shape.q_stride, at.q_row + i0, at.head, D, rows);
    rows_of_queries(row_at, means, dout_rows, out_rows, x.max, x.rsum, &shape, &at, i0);
    __syncthreads();
#pragma unroll 1
    for (int first = 0; first < D; first += TILE) {
        const float one[2] = {1.0f, 1.0f};
        float s[COLUMNS][4], ds[COLUMNS][4], sums[COLUMNS][4];
        sums_clear(sums);
#pragma unroll 1
        for (int j0 = 0; j0 < most; j0 += TILE) {
            Rows k_tile = rows_from(k_rows, j0);
            Span span = {{0, 0}, {row_at[tile_row(0)].seen - j0, row_at[tile_row(1)].seen - j0}};
            scores_tile<LENGTH>(s, q_rows, k_tile, &products, &q_tile, &b_tile, j0 > 0);
            scores_tile<LENGTH>(ds, dout_rows, rows_from(v_rows, j0), &products, &dout_tile,
                                &b_tile, j0 > 0);
            tile_backward<0>(s, ds, row_at, j0, shape.scale, dropout.p,
                             kept_of<0>(&dropout, at.position + i0, j0, at.head, at.slot));
            put_rows(&ds_tile, ds);
            mix_tile<LENGTH>(sums, &ds_tile, k_tile, first, &products, &span, &x_tile);
        }
        put_sums(&to, first, sums, one);
    }
}

/* The gradient of TILE values (VALUES) or keys of a key/value head: in blocks over the heads of its
 * group, and for each its queries ascending; means are query_gradients'. A warp owns 16 rows of a tile
 * of keys by queries, and as many of each 64 channels of dv or dk: both at once would take all
 * registers. 2 D products for a value and each query that sees it, D more for each 64 channels beyond
 * 64; for a key 3 D, 2 D more. A tile of 64 x 64 takes 64 D floats from the L2 cache for s, as many
 * for dp, both twice where D is above 64, and 64 D for the gradient. Bound as forward_tiles
 * (computed). Grid: the tiles of all key/value heads, the first ones first, as most causal queries
 * see them. */
template <int LENGTH, int VALUES>
static __global__ void __launch_bounds__(THREADS, 3)
    key_gradients(Gradients x, const float *means, AttentionShape shape, DropoutSite dropout,
                  Products products)
{
    __shared__ Operand k_tile;
    __shared__ Operand v_tile;
    __shared__ Operand b_tile;
    __shared__ Operand x_tile;
    __shared__ Operand w_tile;
    __shared__ Row row_at[TILE];
    int tasks = shape.B * shape.K, D = shape.D, H = shape.H, group = H / shape.K;
    int j0 = (int)blockIdx.x / tasks * TILE;
    Head at = head_at(&shape, (int)blockIdx.x % tasks, shape.K);
    int rows = at.keys - j0 < TILE ? at.keys - j0 : TILE;
    if (rows <= 0) {
        return; /* the whole block */
    }
    int unseen[2]; /* queries before those that see a lane's keys; all, if none does */
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int j = j0 + tile_row(half);
        unseen[half] = shape.causal && j > at.position ? j - at.position : 0;
        unseen[half] = j < at.keys && unseen[half] < at.queries ? unseen[half] : at.queries;
    }
    int begin = shape.causal && j0 > at.position ? (j0 - at.position) / MMA_K * MMA_K : 0;
    int there = 0; /* k_tile and v_tile are */
#pragma unroll 1
    for (int first = 0; first < D; first += TILE) {
        const float one[2] = {1.0f, 1.0f};
        float p[COLUMNS][4], ds[COLUMNS][4], sums[COLUMNS][4];
        sums_clear(sums);
        sums_clear(ds);
#pragma unroll 1
        for (int head = at.head * group; head < (at.head + 1) * group; head++) {
#pragma unroll 1
            for (int i0 = begin; i0 < at.queries; i0 += TILE) {
                int columns = at.queries - i0 < TILE ? at.queries - i0 : TILE, i = (int)threadIdx.x;
                int j_row = opaque(at.k_row + j0); /* no registers for k_rows and v_rows between */
                Rows k_rows = rows_of(x.k, shape.kv_stride, j_row, at.head, D, rows),
                     v_rows = rows_of(x.v, shape.kv_stride, j_row, at.head, D, rows),
                     q_rows = rows_of(x.q, shape.q_stride, at.q_row + i0, head, D, columns),
                     dout_rows = rows_of(x.dout, H * D, at.q_row + i0, head, D, columns);
                Span span;
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    span.begin[half] = unseen[half] - i0;
                    span.end[half] = unseen[half] < at.queries ? at.queries - i0 : 0;
                }
                if (i < TILE) { /* scores_tile waits for it */
                    size_t n = (size_t)(at.q_row + i0 + i) * (size_t)H + (size_t)head;
                    row_at[i] = i < columns ? Row{x.max[n], x.rsum[n], means[n],
                                                  keys_seen(&shape, &at, i0 + i)}
                                            : Row{};
                }
                scores_tile<LENGTH>(p, k_rows, q_rows, &products, &k_tile, &b_tile, there);
                if (!VALUES) {
                    scores_tile<LENGTH>(ds, v_rows, dout_rows, &products, &v_tile, &b_tile, there);
                }
                tile_backward<1>(p, ds, row_at, j0, shape.scale, dropout.p,
                                 kept_of<1>(&dropout, at.position + i0, j0, head, at.slot));
                if (VALUES) {
                    put_rows(&w_tile, p);
                } else {
                    put_rows(&w_tile, ds);
                }
                mix_tile<LENGTH>(sums, &w_tile, VALUES ? dout_rows : q_rows, first, &products,
                                 &span, &x_tile);
                there = 1;
            }
        }
        Output to = output_of(VALUES ? x.dv : x.dk, shape.kv_stride, at.k_row + j0, at.head, D,
                              rows);
        put_sums(&to, first, sums, one);
    }
}

template <int LENGTH>
static void gradients(const Context *ctx, const Gradients *x, const AttentionShape *shape,
                      const DropoutSite *dropout, const Products *products)
{
    size_t strips = ((size_t)shape->longest + TILE - 1) / TILE,
           of_queries = strips * (size_t)shape->B * (size_t)shape->H,
           of_keys = strips * (size_t)shape->B * (size_t)shape->K;
    float *means = ctx->scratch; /* [q_rows, H] */
    if (strips && shape->B) {
        query_gradients<LENGTH><<<(unsigned)of_queries, THREADS, 0, stream_of(ctx)>>>(
            *x, means, *shape, *dropout, (int)strips, *products);
        key_gradients<LENGTH, 1><<<(unsigned)of_keys, THREADS, 0, stream_of(ctx)>>>(
            *x, means, *shape, *dropout, *products);
        key_gradients<LENGTH, 0><<<(unsigned)of_keys, THREADS, 0, stream_of(ctx)>>>(
            *x, means, *shape, *dropout, *products);
    }
}

#endif
