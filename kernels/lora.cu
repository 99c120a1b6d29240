/* CUDA twin of lora.c. Each of its sums goes over a whole dimension, so all are products of
 * product.cuh; dropout is the op's. Scratch: [N, C] of what is dropped, then dmid [N, R], then the
 * operands of a product by blocks.
 *
 * Rank 8 makes [N, R], [R, C] and [O, R] small: bound by the latency of a chain over C, O or N
 * (computed: 16 us for 3,072 k), the updates of out and dx by their bytes. */
#include "cuda.cuh"
#include "product.cuh"

/* x, or drop(x) [N, C] in `dropped`. */
static const float *input_of(Context *ctx, float *dropped, const float *x, const Lora *lora, int N,
                             int C)
{
    if (lora->dropout.p <= 0.0f) {
        return x;
    }
    ctx->inner.dropout(ctx, dropped, x, lora->positions, lora->slots, N, C, &lora->dropout);
    return dropped;
}

/* Behind what is dropped. */
static float *dmid_of(const Context *ctx, int N, int C)
{
    return ctx->scratch + ((size_t)N * (size_t)C + 15) / 16 * 16;
}

/* Of blocks of `length`, or 0. */
static Sums sums_of(const Context *ctx, int length, const Lora *lora, int N, int C)
{
    return Sums{length, dmid_of(ctx, N, C) + ((size_t)N * (size_t)lora->R + 15) / 16 * 16};
}

static void forward(Context *ctx, int length, float *out, float *mid, const float *x,
                    const Lora *lora, int N, int C, int O)
{
    Sums sums = sums_of(ctx, length, lora, N, C);
    const float *input = input_of(ctx, ctx->scratch, x, lora, N, C);
    Product down = {mid, input, {lora->a, NULL}, NULL, 0, lora->scale, N, lora->R, C, sums};
    product_nt(ctx, &down);
    Product up = {out, mid, {lora->b, NULL}, NULL, 1, 1.0f, N, O, lora->R, sums};
    product_nt(ctx, &up);
}

static void backward(Context *ctx, int length, float *dx, float *da, float *db, const float *dout,
                     const float *mid, const float *x, const Lora *lora, int N, int C, int O)
{
    Sums sums = sums_of(ctx, length, lora, N, C);
    float *dropped = ctx->scratch, *dmid = dmid_of(ctx, N, C);
    const float *input = input_of(ctx, dropped, x, lora, N, C);
    /* forward: out += mid b^T */
    Product to_mid = {dmid, dout, {lora->b, NULL}, NULL, 0, lora->scale, N, lora->R, O, sums};
    product_nn(ctx, &to_mid);
    Product to_b = {db, dout, {mid, NULL}, NULL, 1, 1.0f, O, lora->R, N, sums};
    product_tn(ctx, &to_b);
    /* forward: mid = scale input a^T */
    Product to_a = {da, dmid, {input, NULL}, NULL, 1, 1.0f, lora->R, C, N, sums};
    product_tn(ctx, &to_a);
    if (!dx) {
        return;
    }
    int whole = input == x; /* else the gradient of drop(x) takes its place */
    float *to = whole ? dx : dropped;
    Product to_x = {to, dmid, {lora->a, NULL}, NULL, whole, 1.0f, N, C, lora->R, sums};
    product_nn(ctx, &to_x);
    if (!whole) {
        ctx->inner.dropout(ctx, dropped, dropped, lora->positions, lora->slots, N, C,
                           &lora->dropout);
        ctx->inner.add(ctx, dx, dx, dropped, (size_t)N * (size_t)C);
    }
}

#define LORA(name, length)                                                                         \
    void KERNEL(lora_forward##name)(Context * ctx, float *out, float *mid, const float *x,         \
                                    const Lora *lora, int N, int C, int O)                         \
    {                                                                                              \
        forward(ctx, length, out, mid, x, lora, N, C, O);                                          \
    }                                                                                              \
    void KERNEL(lora_backward##name)(Context * ctx, float *dx, float *da, float *db,               \
                                     const float *dout, const float *mid, const float *x,          \
                                     const Lora *lora, int N, int C, int O)                        \
    {                                                                                              \
        backward(ctx, length, dx, da, db, dout, mid, x, lora, N, C, O);                            \
    }
LORA(, 0)
LORA(_block16, 16)
LORA(_block8, 8)
