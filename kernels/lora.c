/* LoRA: the low-rank branch of a linear layer. Its products are small, so every thread runs whole
 * ones, over a block of tokens, or over a block of channels where the chain goes over tokens. The
 * rank is on the rows of a tile, which is wide over tokens or channels: a tile of 32 columns would
 * waste most of them on a rank of 8. Neither changes a bit, for every element is one chain
 * of fma. */
#include "block_gemm.h"

#include <omp.h>

/* A small product by the calling thread, as gemm_small has it. */
typedef void SmallProduct(const Context *ctx, float *c, size_t ldc, Strided a, Strided b, size_t M,
                          size_t N, size_t K, GemmStart start, float *scratch);

static void by_chains(const Context *ctx, float *c, size_t ldc, Strided a, Strided b, size_t M,
                      size_t N, size_t K, GemmStart start, float *scratch)
{
    (void)ctx;
    gemm_small(c, ldc, a, b, M, N, K, start, scratch);
}

/* What one thread has for itself, and what all have together in backward. */
typedef struct LoraScratch {
    float *dropped; /* (N, C) drop(x), all threads */
    float *dmid;    /* (R, N) transposed, all threads */
    float *narrow;  /* (R, LORA_BLOCK) a block transposed */
    float *wide;    /* (LORA_BLOCK, C) a block of drop(x), or of dx before its mask */
    float *small;   /* of gemm_small */
} LoraScratch;

static LoraScratch lora_memory(const Context *ctx, size_t N, size_t C, size_t O, size_t R)
{
    size_t shared = (N * C + N * R + 15) / 16 * 16;
    float *own = ctx->scratch + shared + (size_t)omp_get_thread_num() * lora_share(N, C, O, R);
    return (LoraScratch){ctx->scratch, ctx->scratch + N * C, own, own + R * LORA_BLOCK,
                         own + (R + C) * LORA_BLOCK};
}

/* out[n, c] = drop(x)[n, c] of rows first .. first + count, which out and x start with. */
static void drop_rows(float *out, const float *x, const Lora *lora, size_t first, size_t count,
                      size_t C)
{
    for (size_t n = 0; n < count; n++) {
        row_dropout(out + n * C, x + n * C, C, &lora->dropout, (uint32_t)lora->positions[first + n],
                    0, (uint32_t)lora->slots[first + n]);
    }
}

/* out[j, i] = scale x[i, j], x [I, J]. */
static void transpose(float *out, const float *x, size_t I, size_t J, float scale)
{
    for (size_t i = 0; i < I; i++) {
        for (size_t j = 0; j < J; j++) {
            out[j * I + i] = scale * x[i * J + j];
        }
    }
}

static size_t block_size(size_t first, size_t n)
{
    return n - first < LORA_BLOCK ? n - first : LORA_BLOCK;
}

static void forward(Context *ctx, SmallProduct *product, float *out, float *mid, const float *x,
                    const Lora *lora, int N, int C, int O)
{
    size_t n = (size_t)N, c = (size_t)C, o = (size_t)O, r = (size_t)lora->R;
    int threads = threads_for(ctx, n * (c + o) * (r + 32) / 64);
#pragma omp parallel num_threads(threads)
    {
        LoraScratch own = lora_memory(ctx, n, c, o, r);
#pragma omp for schedule(dynamic)
        for (size_t first = 0; first < n; first += LORA_BLOCK) {
            size_t rows = block_size(first, n);
            const float *input = x + first * c;
            float *mid_rows = mid + first * r;
            if (lora->dropout.p > 0.0f) {
                drop_rows(own.wide, input, lora, first, rows, c);
                input = own.wide;
            }
            product(ctx, own.narrow, rows, strided(lora->a, c, 1), strided(input, 1, c), r, rows, c,
                    START_ZERO, own.small);
            transpose(mid_rows, own.narrow, r, rows, lora->scale);
            product(ctx, out + first * o, o, strided(mid_rows, r, 1), strided(lora->b, 1, r), rows,
                    o, r, START_C, own.small);
        }
    }
}

/* dx += dmid a, dropped like x, of the rows from first on. */
static void backward_input(const Context *ctx, SmallProduct *product, float *dx, const Lora *lora,
                           const LoraScratch *own, size_t first, size_t rows, size_t n, size_t c)
{
    size_t r = (size_t)lora->R;
    Strided dmid = strided(own->dmid + first, 1, n), a = strided(lora->a, c, 1);
    if (lora->dropout.p <= 0.0f) {
        product(ctx, dx + first * c, c, dmid, a, rows, c, r, START_C, own->small);
        return;
    }
    product(ctx, own->wide, c, dmid, a, rows, c, r, START_ZERO, own->small);
    drop_rows(own->wide, own->wide, lora, first, rows, c);
    for (size_t i = 0; i < rows * c; i++) {
        dx[first * c + i] += own->wide[i];
    }
}

static void backward(Context *ctx, SmallProduct *product, float *dx, float *da, float *db,
                     const float *dout, const float *mid, const float *x, const Lora *lora, int N,
                     int C, int O)
{
    size_t n = (size_t)N, c = (size_t)C, o = (size_t)O, r = (size_t)lora->R;
    size_t c_blocks = panels(c, LORA_BLOCK), o_blocks = panels(o, LORA_BLOCK);
    int threads = threads_for(ctx, n * (c + o) * (r + 32) / 16);
#pragma omp parallel num_threads(threads)
    {
        LoraScratch own = lora_memory(ctx, n, c, o, r);
        /* forward: out += mid b^T; mid = scale drop(x) a^T */
#pragma omp for schedule(dynamic)
        for (size_t first = 0; first < n; first += LORA_BLOCK) {
            size_t rows = block_size(first, n);
            product(ctx, own.dmid + first, n, strided(lora->b, 1, r),
                    strided(dout + first * o, 1, o), r, rows, o, START_ZERO, own.small);
            for (size_t i = 0; i < r; i++) {
                for (size_t j = first; j < first + rows; j++) {
                    own.dmid[i * n + j] *= lora->scale;
                }
            }
            if (lora->dropout.p > 0.0f) {
                drop_rows(own.dropped + first * c, x + first * c, lora, first, rows, c);
            }
            if (dx) {
                backward_input(ctx, product, dx, lora, &own, first, rows, n, c);
            }
        }
        /* da[r, c] and db[o, r] are chains over all tokens: blocks of channels */
        const float *input = lora->dropout.p > 0.0f ? own.dropped : x;
#pragma omp for schedule(dynamic)
        for (size_t block = 0; block < c_blocks + o_blocks; block++) {
            if (block < c_blocks) {
                size_t first = block * LORA_BLOCK;
                product(ctx, da + first, c, strided(own.dmid, n, 1), strided(input + first, c, 1),
                        r, block_size(first, c), n, START_C, own.small);
                continue;
            }
            size_t first = (block - c_blocks) * LORA_BLOCK, columns = block_size(first, o);
            transpose(own.narrow, db + first * r, columns, r, 1.0f);
            product(ctx, own.narrow, columns, strided(mid, 1, r), strided(dout + first, o, 1), r,
                    columns, n, START_C, own.small);
            transpose(db + first * r, own.narrow, r, columns, 1.0f);
        }
    }
}

void KERNEL(lora_forward)(Context *ctx, float *out, float *mid, const float *x, const Lora *lora,
                          int N, int C, int O)
{
    forward(ctx, by_chains, out, mid, x, lora, N, C, O);
}

void KERNEL(lora_backward)(Context *ctx, float *dx, float *da, float *db, const float *dout,
                           const float *mid, const float *x, const Lora *lora, int N, int C, int O)
{
    backward(ctx, by_chains, dx, da, db, dout, mid, x, lora, N, C, O);
}

/* --- variants --- */

/* drop(x): x itself, or its copy at the start of the scratch. */
static const float *dropped(const Context *ctx, const float *x, const Lora *lora, size_t n,
                            size_t c)
{
    if (lora->dropout.p <= 0.0f) {
        return x;
    }
    drop_rows(ctx->scratch, x, lora, 0, n, c);
    return ctx->scratch;
}

void KERNEL(lora_forward_float64)(Context *ctx, float *out, float *mid, const float *x,
                                  const Lora *lora, int N, int C, int O)
{
    size_t c = (size_t)C, o = (size_t)O, r = (size_t)lora->R;
    const float *input = dropped(ctx, x, lora, (size_t)N, c);
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (size_t n = 0; n < (size_t)N; n++) {
        float *mid_n = mid + n * r;
        for (size_t i = 0; i < r; i++) {
            mid_n[i] = lora->scale * dot_double(0.0, input + n * c, 1, lora->a + i * c, 1, c);
        }
        for (size_t i = 0; i < o; i++) {
            out[n * o + i] = dot_double((double)out[n * o + i], mid_n, 1, lora->b + i * r, 1, r);
        }
    }
}

void KERNEL(lora_backward_float64)(Context *ctx, float *dx, float *da, float *db, const float *dout,
                                   const float *mid, const float *x, const Lora *lora, int N, int C,
                                   int O)
{
    size_t n_count = (size_t)N, c = (size_t)C, o = (size_t)O, r = (size_t)lora->R;
    const float *input = dropped(ctx, x, lora, n_count, c);
    float *dmid = ctx->scratch + n_count * c; /* (N, R) */
#pragma omp parallel num_threads(ctx->threads)
    {
        float *row = lora_memory(ctx, n_count, c, o, r).wide;
#pragma omp for schedule(static)
        for (size_t n = 0; n < n_count; n++) {
            float *dmid_n = dmid + n * r;
            for (size_t i = 0; i < r; i++) {
                dmid_n[i] = lora->scale * dot_double(0.0, dout + n * o, 1, lora->b + i, r, o);
            }
            for (size_t i = 0; i < (dx ? c : 0); i++) {
                row[i] = dot_double(0.0, dmid_n, 1, lora->a + i, c, r);
            }
            if (dx && lora->dropout.p > 0.0f) {
                drop_rows(row, row, lora, n, 1, c);
            }
            for (size_t i = 0; i < (dx ? c : 0); i++) {
                dx[n * c + i] += row[i];
            }
        }
#pragma omp for schedule(static) nowait
        for (size_t i = 0; i < r * c; i++) {
            da[i] = dot_double((double)da[i], dmid + i / c, r, input + i % c, c, n_count);
        }
#pragma omp for schedule(static)
        for (size_t i = 0; i < o * r; i++) {
            db[i] = dot_double((double)db[i], dout + i / r, o, mid + i % r, r, n_count);
        }
    }
}

#define BY_BLOCKS(name, sum)                                                                       \
    static void by_##name(const Context *ctx, float *c, size_t ldc, Strided a, Strided b,          \
                          size_t M, size_t N, size_t K, GemmStart start, float *scratch)           \
    {                                                                                              \
        block_small(ctx, sum, c, ldc, a, b, M, N, K, start, scratch);                              \
    }                                                                                              \
    void KERNEL(lora_forward_##name)(Context * ctx, float *out, float *mid, const float *x,        \
                                     const Lora *lora, int N, int C, int O)                        \
    {                                                                                              \
        forward(ctx, by_##name, out, mid, x, lora, N, C, O);                                       \
    }                                                                                              \
    void KERNEL(lora_backward_##name)(Context * ctx, float *dx, float *da, float *db,              \
                                      const float *dout, const float *mid, const float *x,         \
                                      const Lora *lora, int N, int C, int O)                       \
    {                                                                                              \
        backward(ctx, by_##name, dx, da, db, dout, mid, x, lora, N, C, O);                         \
    }
BY_BLOCKS(block16, BLOCK16)
BY_BLOCKS(block8, BLOCK8)
BY_BLOCKS(tile, TILE32)
