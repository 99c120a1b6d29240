/* LoRA: the low-rank branch of a linear layer. All products put the rank on the rows of a tile,
 * which is wide over tokens or channels: a tile of 32 columns would waste most of them on a rank
 * of 8. The orientation changes no bit, for every element is one chain of fma. */
#include "gemm.h"

#include <string.h>

/* The op's own memory lies behind what its products take. */
typedef struct LoraScratch {
    float *dropped;    /* (N, C) */
    float *mid, *dmid; /* (R, N) transposed */
    float *db;         /* (R, O) transposed */
} LoraScratch;

static LoraScratch lora_memory(const Context *ctx, size_t N, size_t C, size_t O, size_t R)
{
    float *own = ctx->scratch + (lora_products(N, C, O, R) + 15) / 16 * 16;
    return (LoraScratch){own, own + N * C, own + N * C + N * R, own + N * C + 2 * N * R};
}

/* drop(x): x itself where nothing is dropped. */
static const float *dropped(Context *ctx, float *memory, const float *x, const Lora *lora, int N,
                            int C)
{
    if (lora->dropout.p <= 0.0f) {
        return x;
    }
    KERNEL(dropout)(ctx, memory, x, lora->positions, lora->slots, N, C, &lora->dropout);
    return memory;
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

void KERNEL(lora_forward)(Context *ctx, float *out, float *mid, const float *x, const Lora *lora,
                          int N, int C, int O)
{
    size_t n = (size_t)N, c = (size_t)C, o = (size_t)O, r = (size_t)lora->R;
    LoraScratch own = lora_memory(ctx, n, c, o, r);
    const float *input = dropped(ctx, own.dropped, x, lora, N, C);
    gemm(ctx, own.mid, n, strided(lora->a, c, 1), strided(input, 1, c), r, n, c, START_ZERO, NULL);
    transpose(mid, own.mid, r, n, lora->scale);
    gemm(ctx, out, o, strided(mid, r, 1), strided(lora->b, 1, r), n, o, r, START_C, NULL);
}

void KERNEL(lora_backward)(Context *ctx, float *dx, float *da, float *db, const float *dout,
                           const float *mid, const float *x, const Lora *lora, int N, int C, int O)
{
    size_t n = (size_t)N, c = (size_t)C, o = (size_t)O, r = (size_t)lora->R;
    LoraScratch own = lora_memory(ctx, n, c, o, r);
    /* forward: out += mid b^T */
    transpose(own.db, db, o, r, 1.0f);
    gemm(ctx, own.db, o, strided(mid, 1, r), strided(dout, o, 1), r, o, n, START_C, NULL);
    transpose(db, own.db, r, o, 1.0f);
    gemm(ctx, own.dmid, n, strided(lora->b, 1, r), strided(dout, 1, o), r, n, o, START_ZERO, NULL);
    for (size_t i = 0; i < r * n; i++) {
        own.dmid[i] *= lora->scale;
    }
    /* forward: mid = scale drop(x) a^T; da before dx, which may take the memory of drop(x) */
    const float *input = dropped(ctx, own.dropped, x, lora, N, C);
    gemm(ctx, da, c, strided(own.dmid, n, 1), strided(input, c, 1), r, c, n, START_C, NULL);
    if (!dx) {
        return;
    }
    if (input == x) {
        gemm(ctx, dx, c, strided(own.dmid, 1, n), strided(lora->a, c, 1), n, c, r, START_C, NULL);
        return;
    }
    gemm(ctx, own.dropped, c, strided(own.dmid, 1, n), strided(lora->a, c, 1), n, c, r, START_ZERO,
         NULL);
    KERNEL(dropout)
    (ctx, own.dropped, own.dropped, lora->positions, lora->slots, N, C, &lora->dropout);
    KERNEL(add)(ctx, dx, dx, own.dropped, n * c);
}
