/* CUDA twin of attention.c's backward pass, bit for bit, without atomics: one kernel whose blocks own
 * strips of queries makes dq, a second one whose blocks own strips of keys makes dk and dv. Both
 * compute the scores they need again. */
#include "attention.cuh"

enum {
    KEYS = 2 * TILE,       /* of a part of query_gradients */
    KEYS_ROW = KEYS + GAP, /* floats of its strip's rows */
    TILE_ROW = TILE + GAP, /* of key_gradients' */
};

/* Of a query: the largest score, one over the sum of its weights, the mean of its gradient. */
typedef struct Row {
    float max, rsum, mean;
} Row;

/* Bit 0: whether dropout keeps key `key` of a query, bit 1: key + 32. key % 64 < 32. */
static __device__ __forceinline__ uint32_t kept_keys(const DropoutSite *dropout, int key,
                                                     int position, int head, uint32_t slot)
{
    uint32_t threshold = dropout_threshold(dropout->p);
    Philox words = dropout_words(dropout, (uint32_t)(key / 128 * 32 + key % 32), (uint32_t)position,
                                 (uint32_t)head, slot);
    int second = key % 128 >= 64;
    uint32_t one = second ? words.word[2] : words.word[0],
             other = second ? words.word[3] : words.word[1];
    return (uint32_t)(one >= threshold) | (uint32_t)(other >= threshold) << 1;
}

/* s, the score before scale, becomes the dropped p, and dp becomes ds. */
static __device__ __forceinline__ void element_backward(float *s, float *dp, Row row, float scale,
                                                        int is_kept, float kept)
{
    float p = scalar_exp(*s * scale - row.max) * row.rsum;
    *dp = p * ((is_kept ? *dp * kept : 0.0f) - row.mean) * scale;
    *s = is_kept ? p * kept : 0.0f;
}

/* dq of TILE queries of a head, and their means for key_gradients. The sums are ops.def's: a warp's
 * lanes and tree for a mean; chains over d for s and dp, over the keys for dq. A thread owns 8 x 4
 * scores of a tile and 8 x 4 values of dq of each 64 channels, whose chains wait in dq from part to
 * part. 3 D fma for a query and key that it sees; 64 x 64 of them take 256 D floats from the L2 cache
 * for s and dp and 64 D for dq. Bound by fma (computed). Grid: as forward_strips. */
template <int WIDE>
static __global__ void __launch_bounds__(THREADS, 3)
    query_gradients(float *dq, float *means, const float *dout, const float *q, const float *k,
                    const float *v, const float *out, const float *max, const float *rsum,
                    AttentionShape shape, DropoutSite dropout, int strips)
{
    extern __shared__ float4 memory[];
    float *stages = (float *)memory, *strip = stages + STAGES * STAGE;
    Row *row_at = (Row *)(strip + TILE * KEYS_ROW);
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
         out_rows = rows_of(out, H * D, at.q_row + i0, at.head, D, rows),
         k_rows = rows_of(k, shape.kv_stride, at.k_row, kv, D, seen),
         v_rows = rows_of(v, shape.kv_stride, at.k_row, kv, D, seen);
    Output to = output_of(dq, shape.q_stride, at.q_row + i0, at.head, D, rows);
    int warp = (int)threadIdx.x / LANES, lane = (int)threadIdx.x % LANES;
    for (int i = warp; i < TILE; i += WARPS) {
        size_t offset = (size_t)i * (size_t)(H * D),
               n = (size_t)(at.q_row + i0 + i) * (size_t)H + (size_t)at.head;
        float mean = 0.0f;
        for (int d = lane; d < D && i < rows; d += LANES) {
            mean = fmaf(dout_rows.x[offset + (size_t)d], out_rows.x[offset + (size_t)d], mean);
        }
        mean = warp_sum(mean);
        if (lane == 0 && i < rows) {
            means[n] = mean;
            row_at[i] = Row{max[n], rsum[n], mean};
        }
    }
    float kept = 1.0f / (1.0f - dropout.p);
    for (int first = 0; first == 0 || first < seen; first += KEYS) {
        int columns = seen - first < KEYS ? seen - first : KEYS;
        for (int j0 = 0; j0 < columns; j0 += TILE) {
            float s[8][4], dp[8][4];
            Scores scores = scores_of(q_rows, rows_from(k_rows, first + j0), dout_rows,
                                      rows_from(v_rows, first + j0), D);
            scores_tile<WIDE, 0>(s, stages, &scores);
            scores_tile<WIDE, 1>(dp, stages, &scores);
            /* bit 4 i + j: s[i][j] is kept */
            uint32_t mask = (uint32_t)opaque(dropout.p > 0.0f ? 0 : ~0);
#pragma unroll 1
            for (int n = 0; n < 16 && dropout.p > 0.0f; n++) {
                int i = n / 2, j = n % 2;
                uint32_t pair = kept_keys(&dropout, first + j0 + column_of(j),
                                          at.position + i0 + row_of(i), at.head, at.slot);
                mask |= ((pair & 1) | pair >> 1 << 2) << (4 * i + j);
            }
            int top = opaque(row_of(0)), left = opaque(column_of(0));
#pragma unroll
            for (int i = 0; i < 8; i++) {
                int r = top + 8 * i, n = r < rows ? keys_seen(&shape, &at, i0 + r) : 0;
                Row row = row_at[r];
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    element_backward(&s[i][j], &dp[i][j], row, shape.scale, mask >> (4 * i + j) & 1,
                                     kept);
                    int column = j0 + left + 16 * j;
                    strip[r * KEYS_ROW + column] = first + column < n ? dp[i][j] : 0.0f;
                }
            }
        }
        sum_rows<WIDE>(&to, strip, KEYS_ROW, columns, rows_from(k_rows, first), first == 0, NULL,
                       stages);
    }
}

/* dk and dv of TILE keys of a key/value head: chains over the heads of its group, and for each its
 * queries ascending; means are query_gradients'. A thread owns 8 x 4 scores of a tile of keys by
 * queries, and 8 x 4 values of dk and dv of each 64 channels, whose chains wait there from tile to
 * tile. 4 D fma for a key and each query that sees it; 64 x 64 of them take 256 D floats from the L2
 * cache for s and dp, 128 D for dk and dv, which they read and write. Bound by fma (computed). Grid:
 * the strips of all key/value heads, the first ones first, as most causal queries see them. */
template <int WIDE>
static __global__ void __launch_bounds__(THREADS, 3)
    key_gradients(float *dk, float *dv, const float *means, const float *dout, const float *q,
                  const float *k, const float *v, const float *max, const float *rsum,
                  AttentionShape shape, DropoutSite dropout)
{
    extern __shared__ float4 memory[];
    float *stages = (float *)memory, *p_strip = stages + STAGES * STAGE,
          *ds_strip = p_strip + TILE * TILE_ROW;
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
    float kept = 1.0f / (1.0f - dropout.p);
    for (int head = at.head * group; head < (at.head + 1) * group; head++) {
        for (int i0 = unseen; i0 == unseen || i0 < at.queries; i0 += TILE) {
            int columns = at.queries - i0 < TILE ? at.queries - i0 : TILE;
            Rows q_rows = rows_of(q, shape.q_stride, at.q_row + i0, head, D, columns),
                 dout_rows = rows_of(dout, H * D, at.q_row + i0, head, D, columns);
            if (columns > 0) {
                float s[8][4], dp[8][4];
                Scores scores = scores_of(k_rows, q_rows, v_rows, dout_rows, D);
                scores_tile<WIDE, 0>(s, stages, &scores);
                scores_tile<WIDE, 1>(dp, stages, &scores);
                /* bit 4 i + j: s[i][j] is kept */
                uint32_t mask = (uint32_t)opaque(dropout.p > 0.0f ? 0 : ~0);
#pragma unroll 1
                for (int n = 0; n < 16 && dropout.p > 0.0f; n++) {
                    int i = n / 4, j = n % 4;
                    uint32_t pair = kept_keys(&dropout, j0 + row_of(i),
                                              at.position + i0 + column_of(j), head, at.slot);
                    mask |= ((pair & 1) | pair >> 1 << 16) << (4 * i + j);
                }
                int top = opaque(row_of(0)), left = opaque(column_of(0));
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    int column = left + 16 * j,
                        n = column < columns ? keys_seen(&shape, &at, i0 + column) - j0 : 0;
                    size_t m = (size_t)(at.q_row + i0 + column) * (size_t)H + (size_t)head;
                    Row row = {};
                    if (column < columns) {
                        row = Row{max[m], rsum[m], means[m]};
                    }
#pragma unroll
                    for (int i = 0; i < 8; i++) {
                        int r = top + 8 * i, to = r * TILE_ROW + column;
                        element_backward(&s[i][j], &dp[i][j], row, shape.scale,
                                         mask >> (4 * i + j) & 1, kept);
                        p_strip[to] = r < n ? s[i][j] : 0.0f;
                        ds_strip[to] = r < n ? dp[i][j] : 0.0f;
                    }
                }
            }
            int from_zero = head == at.head * group && i0 == unseen;
#pragma unroll 1
            for (int values = 1; values >= 0; values--) { /* dv, dk */
                Output to = output_of(values ? dv : dk, shape.kv_stride, at.k_row + j0, at.head, D,
                                      rows);
                sum_rows<WIDE>(&to, values ? p_strip : ds_strip, TILE_ROW, columns,
                               values ? dout_rows : q_rows, from_zero, NULL, stages);
            }
        }
    }
}

void KERNEL(attention_backward)(Context *ctx, float *dq, float *dk, float *dv, const float *dout,
                                const float *q, const float *k, const float *v, const float *out,
                                const float *max, const float *rsum, const AttentionShape *shape,
                                const DropoutSite *dropout)
{
    enum { QUERY_FLOATS = STAGES * STAGE + TILE * KEYS_ROW + 3 * TILE };
    enum { KEY_FLOATS = STAGES * STAGE + 2 * TILE * TILE_ROW };
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
        queries<<<(unsigned)of_queries, THREADS, shared_for(queries, QUERY_FLOATS * sizeof(float)),
                  stream_of(ctx)>>>(dq, means, dout, q, k, v, out, max, rsum, *shape, *dropout,
                                    (int)strips);
        keys<<<(unsigned)of_keys, THREADS, shared_for(keys, KEY_FLOATS * sizeof(float)),
               stream_of(ctx)>>>(dk, dv, means, dout, q, k, v, max, rsum, *shape, *dropout);
    }
}
