/* What the kernels of attention share, of float32 and of blocks of bf16: which rows a sequence and
 * head have, and what backward makes of a score. */
#ifndef ATTENTION_ROWS_CUH
#define ATTENTION_ROWS_CUH

#include "cuda.cuh"

enum {
    TILE =
        64, /* queries or keys that a block owns, and of the others those that it takes at a time */
    THREADS = 128, /* of a block */
    WARPS = THREADS / LANES,
};

/* The rows of one sequence and head in q, k, v ...: row i begins at x + i stride; count are
 * there. */
typedef struct Rows {
    const float *x;
    int stride, count;
} Rows;

/* Those of head `head` of x, from row `row` of the batch on. */
static __device__ __forceinline__ Rows rows_of(const float *x, int stride, int row, int head, int D,
                                               int count)
{
    Rows rows = {x + (size_t)row * (size_t)stride + (size_t)(head * D), stride, count};
    return rows;
}

static __device__ __forceinline__ Rows rows_from(Rows rows, int first)
{
    rows.x += (size_t)first * (size_t)rows.stride;
    rows.count -= first;
    return rows;
}

/* The sequence and head of a block. */
typedef struct Head {
    int b, head;       /* head: of queries, or of keys and values */
    int q_row, k_row;  /* first rows in the batch */
    int queries, keys; /* how many */
    int position;      /* of the first query */
    uint32_t slot;
} Head;

static __device__ __forceinline__ Head head_at(const AttentionShape *shape, int task, int heads)
{
    Head at = {};
    at.b = task / heads;
    at.head = task % heads;
    at.q_row = shape->cu_q[at.b];
    at.k_row = shape->cu_k[at.b];
    at.queries = shape->cu_q[at.b + 1] - at.q_row;
    at.keys = shape->cu_k[at.b + 1] - at.k_row;
    at.position = shape->q_position[at.b];
    at.slot = (uint32_t)shape->slot[at.b];
    return at;
}

/* Keys that query i of the sequence sees. */
static __device__ __forceinline__ int keys_seen(const AttentionShape *shape, const Head *at, int i)
{
    int limit = at->position + i + 1;
    return shape->causal && limit < at->keys ? limit : at->keys;
}

/* Where sums go: rows of D values. */
typedef struct Output {
    float *to;
    int stride, rows, D;
} Output;

static __device__ __forceinline__ Output output_of(float *x, int stride, int row, int head, int D,
                                                   int rows)
{
    Output out = {x + (size_t)row * (size_t)stride + (size_t)(head * D), stride, rows, D};
    return out;
}

/* Of a query: the largest score, one over the sum of its weights, the mean of its gradient; how
 * many keys of the sequence it sees. */
typedef struct Row {
    float max, rsum, mean;
    int seen;
} Row;

/* row_at [TILE] of a block's queries, from i0 on, zeros behind the last one; their means go to means
 * [q_rows, H] too. A mean is lanes over D of dout out, by a warp. */
static __device__ __forceinline__ void
rows_of_queries(Row *row_at, float *means, Rows dout, Rows out, const float *max, const float *rsum,
                const AttentionShape *shape, const Head *at, int i0)
{
    int warp = (int)threadIdx.x / LANES, lane = (int)threadIdx.x % LANES;
    for (int i = warp; i < TILE; i += WARPS) {
        size_t offset = (size_t)i * (size_t)dout.stride,
               n = (size_t)(at->q_row + i0 + i) * (size_t)shape->H + (size_t)at->head;
        float mean = 0.0f;
        for (int d = lane; d < shape->D && i < dout.count; d += LANES) {
            mean = fmaf(dout.x[offset + (size_t)d], out.x[offset + (size_t)d], mean);
        }
        mean = warp_sum(mean);
        if (lane == 0) {
            row_at[i] = Row{};
        }
        if (lane == 0 && i < dout.count) {
            means[n] = mean;
            row_at[i] = Row{max[n], rsum[n], mean, keys_seen(shape, at, i0 + i)};
        }
    }
}

/* One query and key: s, the score before scale, becomes the dropped p, and dp becomes ds; both 0
 * where the query does not see the key. kept: what dropout multiplies by. */
static __device__ __forceinline__ void score_backward(float *s, float *dp, const Row *row, int sees,
                                                      int is_kept, float kept, float scale)
{
    float p = scalar_exp(*s * scale - row->max) * row->rsum,
          ds = p * ((is_kept ? *dp * kept : 0.0f) - row->mean) * scale;
    *s = sees && is_kept ? p * kept : 0.0f;
    *dp = sees ? ds : 0.0f;
}

#endif
