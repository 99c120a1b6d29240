/* CUDA twin of attention_block.c's forward pass, bit for bit: attention whose products are by blocks
 * of bf16 operands, on tensor cores. A block owns a tile of queries of one head and computes scores
 * twice, first for the largest of each row, then for the weights: so they never leave registers. */
#include "attention_mma.cuh"

/* s, the scores before scale of the keys from j0 on, becomes dropped weights, 0 behind the `seen`
 * keys of a row; kept as kept_of says. sums: a lane's part of ops.h's lanes(e) of both rows; sum
 * 2 t + c is lane 8 t + tile_column(0) + c of the 32, which the columns 8 n + ... of t = n % 4
 * belong to. */
static __device__ __forceinline__ void tile_weights(float s[COLUMNS][4], float sums[2][8], int j0,
                                                    const int seen[2], const float max[2],
                                                    float scale, float dropped, uint32_t kept)
{
    float factor = 1.0f / (1.0f - dropped);
#pragma unroll
    for (int n = 0; n < COLUMNS; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int sees = j0 + tile_column(n) + i % 2 < seen[i / 2];
            float e = sees ? scalar_exp(s[n][i] * scale - max[i / 2]) : 0.0f;
            sums[i / 2][n % 4 * 2 + i % 2] += e;
            s[n][i] = kept >> (4 * n + i) & 1u ? e * factor : 0.0f;
        }
    }
}

/* ops.h's tree of tile_weights' sums of a row, in each of its four lanes. */
static __device__ __forceinline__ float row_total(const float sums[8])
{
    float pair[2];
#pragma unroll
    for (int c = 0; c < 2; c++) {
        float x = (sums[c] + sums[4 + c]) + (sums[2 + c] + sums[6 + c]);
        x += __shfl_xor_sync(WARP_ALL, x, 2);
        pair[c] = x + __shfl_xor_sync(WARP_ALL, x, 1);
    }
    return pair[0] + pair[1];
}

/* out, max, rsum of TILE queries of a head. Sums are ops.def's, in blocks: over d for a score, over
 * the keys for an output. A warp owns 16 rows of a tile of scores and as many of each 64 channels of
 * out. 3 D products for a query and a key that it sees, D more for each 64 channels beyond 64; a
 * tile of 64 x 64 scores takes 64 D floats from the L2 cache, twice as many where D is above 64, its
 * part of out 64 D. Bound by reads of shared memory, 8 bytes for 64 products of a lane (computed).
 * Grid: the tiles of all heads, the last ones first, as causal ones see the most keys. */
template <int LENGTH>
static __global__ void __launch_bounds__(THREADS, 3)
    forward_tiles(float *out, float *max, float *rsum, const float *q, const float *k,
                  const float *v, AttentionShape shape, DropoutSite dropout, int strips,
                  Products products)
{
    __shared__ Operand q_tile;
    __shared__ Operand k_tile;
    __shared__ Operand v_tile;
    __shared__ Operand w_tile;
    int tasks = shape.B * shape.H, D = shape.D;
    int i0 = (strips - 1 - (int)blockIdx.x / tasks) * TILE;
    Head at = head_at(&shape, (int)blockIdx.x % tasks, shape.H);
    int rows = at.queries - i0 < TILE ? at.queries - i0 : TILE;
    if (rows <= 0) {
        return; /* the whole block */
    }
    int kv = at.head / (shape.H / shape.K), most = keys_seen(&shape, &at, i0 + rows - 1), seen[2];
    Rows q_rows = rows_of(q, shape.q_stride, at.q_row + i0, at.head, D, rows),
         k_rows = rows_of(k, shape.kv_stride, at.k_row, kv, D, at.keys),
         v_rows = rows_of(v, shape.kv_stride, at.k_row, kv, D, at.keys);
    Output to = output_of(out, shape.H * D, at.q_row + i0, at.head, D, rows);
    float s[COLUMNS][4], m[2] = {-INFINITY, -INFINITY};
#pragma unroll
    for (int half = 0; half < 2; half++) {
        seen[half] = tile_row(half) < rows ? keys_seen(&shape, &at, i0 + tile_row(half)) : 0;
    }
#pragma unroll 1
    for (int j0 = 0; j0 < most; j0 += TILE) {
        scores_tile<LENGTH>(s, q_rows, rows_from(k_rows, j0), &products, &q_tile, &k_tile, j0 > 0);
#pragma unroll
        for (int n = 0; n < COLUMNS; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float x = s[n][i] * shape.scale;
                int sees = j0 + tile_column(n) + i % 2 < seen[i / 2];
                m[i / 2] = sees && x > m[i / 2] ? x : m[i / 2];
            }
        }
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        for (int lanes = 2; lanes > 0; lanes /= 2) { /* the other lanes of the row */
            float other = __shfl_xor_sync(WARP_ALL, m[half], lanes);
            m[half] = other > m[half] ? other : m[half];
        }
    }
#pragma unroll 1
    for (int first = 0; first < D; first += TILE) {
        float sums[COLUMNS][4], parts[2][8] = {}, r[2];
        sums_clear(sums);
#pragma unroll 1
        for (int j0 = 0; j0 < most; j0 += TILE) {
            Span span = {{0, 0}, {seen[0] - j0, seen[1] - j0}};
            if (first > 0 || most > TILE) { /* else the only tile's are still there */
                scores_tile<LENGTH>(s, q_rows, rows_from(k_rows, j0), &products, &q_tile, &k_tile,
                                    1);
            }
            tile_weights(s, parts, j0, seen, m, shape.scale, dropout.p,
                         kept_of<0>(&dropout, at.position + i0, j0, at.head, at.slot));
            put_rows(&w_tile, s);
            mix_tile<LENGTH>(sums, &w_tile, rows_from(v_rows, j0), first, &products, &span,
                             &v_tile);
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            size_t row = (size_t)(at.q_row + i0 + tile_row(half)) * (size_t)shape.H +
                         (size_t)at.head;
            r[half] = 1.0f / row_total(parts[half]);
            if (first == 0 && threadIdx.x % 4 == 0 && tile_row(half) < rows) {
                max[row] = m[half] + 0.0f;
                rsum[row] = r[half];
            }
        }
        put_sums(&to, first, sums, r);
    }
}

static void forward(Context *ctx, BlockSum sum, float *out, float *max, float *rsum, const float *q,
                    const float *k, const float *v, const AttentionShape *shape,
                    const DropoutSite *dropout)
{
    size_t strips = ((size_t)shape->longest + TILE - 1) / TILE,
           blocks = strips * (size_t)shape->B * (size_t)shape->H;
    Products products = {sum, shape->D,
                         shape->D % FOUR == 0 && rows_aligned(q, shape->q_stride) &&
                             rows_aligned(k, shape->kv_stride) &&
                             rows_aligned(v, shape->kv_stride)};
    auto kernel = mma_length(ctx) != sum.length ? forward_tiles<0>
                  : sum.length == 16            ? forward_tiles<16>
                                                : forward_tiles<8>;
    if (blocks) {
        kernel<<<(unsigned)blocks, THREADS, 0, stream_of(ctx)>>>(out, max, rsum, q, k, v, *shape,
                                                                 *dropout, (int)strips, products);
    }
}

void KERNEL(attention_forward_block16)(Context *ctx, float *out, float *max, float *rsum,
                                       const float *q, const float *k, const float *v,
                                       const AttentionShape *shape, const DropoutSite *dropout)
{
    forward(ctx, BLOCK16, out, max, rsum, q, k, v, shape, dropout);
}

void KERNEL(attention_forward_block8)(Context *ctx, float *out, float *max, float *rsum,
                                      const float *q, const float *k, const float *v,
                                      const AttentionShape *shape, const DropoutSite *dropout)
{
    forward(ctx, BLOCK8, out, max, rsum, q, k, v, shape, dropout);
}
