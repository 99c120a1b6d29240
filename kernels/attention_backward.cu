/* CUDA twin of attention.c's backward pass, bit for bit, without atomics: one kernel whose blocks
 * own strips of queries makes dq, a second one whose blocks own strips of keys makes dk and dv.
 * Both compute the scores they need again. */
#include "attention.cuh"

enum { TILE_ROW = TILE + GAP }; /* floats of a row of a strip */

/* A tile, of queries i0 and on by keys j0 and on, or of keys by queries: what key_gradients and
 * query_gradients do between their products. s, the scores before scale, becomes the dropped p, and
 * dp becomes ds, both [TILE][TILE_ROW]; 0 where a query does not see a key. A thread takes what it
 * has put there itself, two keys at a time, 32 apart: one block of words has both. */
template <int KEYS_BY_QUERIES>
static __device__ __forceinline__ void tile_backward(float *s, float *dp, const Row *row_at, int i0,
                                                     int j0, int position, int head, uint32_t slot,
                                                     float scale, const DropoutSite *dropout)
{
    uint32_t threshold = dropout_threshold(dropout->p);
    float kept = 1.0f / (1.0f - dropout->p);
#pragma unroll 2
    for (int n = 0; n < 16; n++) {
        int query = KEYS_BY_QUERIES ? column_of(n % 4) : row_of(n / 2),
            key = KEYS_BY_QUERIES ? row_of(n / 4) : column_of(n % 2),
            at = KEYS_BY_QUERIES ? key * TILE_ROW + query : query * TILE_ROW + key;
        Row row = row_at[query];
        Philox words = {};
        if (dropout->p > 0.0f) {
            words = dropout_words(dropout, (uint32_t)((j0 + key) / 128 * 32 + key % 32),
                                  (uint32_t)(position + i0 + query), (uint32_t)head, slot);
        }
        int second = j0 % 128 != 0; /* half of the block's keys */
#pragma unroll
        for (int w = 0; w < 2; w++) {
            int is_kept = (second ? words.word[2 + w] : words.word[w]) >= threshold;
            score_backward(&s[at], &dp[at], &row, j0 + key + 32 * w < row.seen, is_kept, kept,
                           scale);
            at += KEYS_BY_QUERIES ? 32 * TILE_ROW : 32;
        }
    }
}

/* dq of TILE queries of a head, and their means for key_gradients. The sums are ops.def's: a warp's
 * lanes and tree for a mean; chains over d for s and dp, over the keys for dq. A thread owns 8 x 4
 * scores of a tile and 8 x 4 values of dq of each 64 channels, whose chains wait in dq from tile to
 * tile. 3 D fma for a query and key that it sees; 64 x 64 of them take 256 D floats from the L2
 * cache for s and dp, and 192 D for dq, which they read and write. Bound by fma (computed). Grid:
 * as forward_strips. */
template <int WIDE>
static __global__ void __launch_bounds__(THREADS, 3)
    query_gradients(float *dq, float *means, const float *dout, const float *q, const float *k,
                    const float *v, const float *out, const float *max, const float *rsum,
                    AttentionShape shape, DropoutSite dropout, int strips)
{
    extern __shared__ float4 memory[];
    float *stages = (float *)memory, *s = stages + STAGES * STAGE, *ds = s + TILE * TILE_ROW;
    Row *row_at = (Row *)(ds + TILE * TILE_ROW);
    int tasks = shape.B * shape.H, D = shape.D, H = shape.H;
    int i0 = (strips - 1 - (int)blockIdx.x / tasks) * TILE;
    Head at = head_at(&shape, (int)blockIdx.x % tasks, H);
    int rows = at.queries - i0 < TILE ? at.queries - i0 : TILE;
    if (rows <= 0) {
        return; /* the whole block */
    }
    int kv = at.head / (H / shape.K), seen = keys_seen(&shape, &at, i0 + rows - 1);
    Rows q_rows = rows_of(q, shape.q_stride, at.q_row + i0, at.head, D, rows),
         dout_rows = rows_of(dout, H * D, at.q_row + i0, at.head, D, rows),
         out_rows = rows_of(out, H * D, at.q_row + i0, at.head, D, rows);
    Output to = output_of(dq, shape.q_stride, at.q_row + i0, at.head, D, rows);
    rows_of_queries(row_at, means, dout_rows, out_rows, max, rsum, &shape, &at, i0);
    for (int j0 = 0; j0 == 0 || j0 < seen; j0 += TILE) {
        int columns = seen - j0 < TILE ? seen - j0 : TILE;
        Rows k_rows = rows_of(k, shape.kv_stride, at.k_row + j0, kv, D, columns),
             v_rows = rows_of(v, shape.kv_stride, at.k_row + j0, kv, D, columns);
        if (columns > 0) {
            strip_pair<WIDE>(s, ds, TILE_ROW, q_rows, k_rows, dout_rows, v_rows, D, stages);
            tile_backward<0>(s, ds, row_at, i0, j0, at.position, at.head, at.slot, shape.scale,
                             &dropout);
        }
        sum_rows<WIDE>(&to, ds, TILE_ROW, columns, k_rows, j0 == 0, NULL, stages);
    }
}

/* dk and dv of TILE keys of a key/value head: chains over the heads of its group, and for each its
 * queries ascending; means are query_gradients'. A thread owns 8 x 4 scores of a tile of keys by
 * queries, and 8 x 4 values of dk and dv of each 64 channels, whose chains wait there from tile to
 * tile. 4 D fma for a key and each query that sees it; 64 x 64 of them take 256 D floats from the
 * L2 cache for s and dp, and 384 D for dk and dv, which they read and write. Bound by fma
 * (computed). Grid: the strips of all key/value heads, the first ones first, as most causal queries
 * see them. */
template <int WIDE>
static __global__ void __launch_bounds__(THREADS, 3)
    key_gradients(float *dk, float *dv, const float *means, const float *dout, const float *q,
                  const float *k, const float *v, const float *max, const float *rsum,
                  AttentionShape shape, DropoutSite dropout)
{
    extern __shared__ float4 memory[];
    float *stages = (float *)memory, *p = stages + STAGES * STAGE, *ds = p + TILE * TILE_ROW;
    Row *row_at = (Row *)(ds + TILE * TILE_ROW);
    int tasks = shape.B * shape.K, D = shape.D, H = shape.H, group = H / shape.K;
    int j0 = (int)blockIdx.x / tasks * TILE;
    Head at = head_at(&shape, (int)blockIdx.x % tasks, shape.K);
    int rows = at.keys - j0 < TILE ? at.keys - j0 : TILE;
    if (rows <= 0) {
        return; /* the whole block */
    }
    int unseen = shape.causal && j0 > at.position ? j0 - at.position : 0; /* queries before */
    Rows k_rows = rows_of(k, shape.kv_stride, at.k_row + j0, at.head, D, rows),
         v_rows = rows_of(v, shape.kv_stride, at.k_row + j0, at.head, D, rows);
    int from_zero = 1;
    for (int head = at.head * group; head < (at.head + 1) * group; head++) {
        for (int i0 = unseen; i0 == unseen || i0 < at.queries; i0 += TILE) {
            int columns = at.queries - i0 < TILE ? at.queries - i0 : TILE, i = (int)threadIdx.x;
            Rows q_rows = rows_of(q, shape.q_stride, at.q_row + i0, head, D, columns),
                 dout_rows = rows_of(dout, H * D, at.q_row + i0, head, D, columns);
            if (i < TILE) {
                size_t n = (size_t)(at.q_row + i0 + i) * (size_t)H + (size_t)head;
                row_at[i] = i < columns
                                ? Row{max[n], rsum[n], means[n], keys_seen(&shape, &at, i0 + i)}
                                : Row{};
            }
            if (columns > 0) {
                strip_pair<WIDE>(p, ds, TILE_ROW, k_rows, q_rows, v_rows, dout_rows, D, stages);
                tile_backward<1>(p, ds, row_at, i0, j0, at.position, head, at.slot, shape.scale,
                                 &dropout);
            }
#pragma unroll 1
            for (int values = 1; values >= 0; values--) { /* dv, dk */
                Output to = output_of(values ? dv : dk, shape.kv_stride, at.k_row + j0, at.head, D,
                                      rows);
                sum_rows<WIDE>(&to, values ? p : ds, TILE_ROW, columns, values ? dout_rows : q_rows,
                               from_zero, NULL, stages);
            }
            from_zero = 0;
        }
    }
}

void KERNEL(attention_backward)(Context *ctx, float *dq, float *dk, float *dv, const float *dout,
                                const float *q, const float *k, const float *v, const float *out,
                                const float *max, const float *rsum, const AttentionShape *shape,
                                const DropoutSite *dropout)
{
    enum { SHARED = sizeof(float) * (STAGES * STAGE + 2 * TILE * TILE_ROW) + TILE * sizeof(Row) };
    size_t strips = ((size_t)shape->longest + TILE - 1) / TILE,
           of_queries = strips * (size_t)shape->B * (size_t)shape->H,
           of_keys = strips * (size_t)shape->B * (size_t)shape->K;
    float *means = ctx->scratch; /* [q_rows, H] */
    int wide = shape->D % 4 == 0 && rows_aligned(dout, shape->H * shape->D) &&
               rows_aligned(q, shape->q_stride) && rows_aligned(dq, shape->q_stride) &&
               rows_aligned(k, shape->kv_stride) && rows_aligned(v, shape->kv_stride) &&
               rows_aligned(dk, shape->kv_stride) && rows_aligned(dv, shape->kv_stride);
    auto queries = wide ? query_gradients<1> : query_gradients<0>;
    auto keys = wide ? key_gradients<1> : key_gradients<0>;
    if (strips && shape->B) {
        queries<<<(unsigned)of_queries, THREADS, shared_for(queries, SHARED), stream_of(ctx)>>>(
            dq, means, dout, q, k, v, out, max, rsum, *shape, *dropout, (int)strips);
        keys<<<(unsigned)of_keys, THREADS, shared_for(keys, SHARED), stream_of(ctx)>>>(
            dk, dv, means, dout, q, k, v, max, rsum, *shape, *dropout);
    }
}
