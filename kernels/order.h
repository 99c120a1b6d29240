/* The variants "shuffled": sums whose order --seed-order draws, as atomics and split-K have one that
 * nobody draws. A drawn order of n things is first, first + step, first + 2 step, ... modulo n, with
 * a step that has no factor in common with n: each comes once, and nothing has to be stored.
 *
 * The numbers are drawn from (seed; op, layer, step of the optimizer), so one call's sums have one
 * order; no thread, tile or vector width is in it. What is drawn is the order of things that the call
 * sees: where those are tokens, the order depends on how a batch is cut and packed. */
#ifndef ORDER_H
#define ORDER_H

#include "ops.h"

/* In the counter of the random numbers; never renumber. */
typedef enum OrderedOp {
    ORDER_MATMUL_FORWARD,
    ORDER_MATMUL_INPUT,
    ORDER_MATMUL_WEIGHT,
    ORDER_BIAS,
    ORDER_LAYERNORM,
    ORDER_RMSNORM,
    ORDER_EMBEDDING,
    ORDER_ATTENTION_FORWARD,
    ORDER_ATTENTION_BACKWARD
} OrderedOp;

/* Of n things; the two words choose first and step. */
typedef struct Order {
    size_t n, first, step;
} Order;

static inline Order order_of(const Philox *drawn, size_t n)
{
    size_t step = n ? drawn->word[1] % n : 0;
    for (;; step++) {
        size_t a = n, b = step % (n ? n : 1);
        while (b) {
            size_t rest = a % b;
            a = b;
            b = rest;
        }
        if (a <= 1) {
            return (Order){n, n ? drawn->word[0] % n : 0, step};
        }
    }
}

static inline Philox order_draw(const Context *ctx, OrderedOp op)
{
    return philox4x32((uint32_t)(ctx->layer + 1), ctx->order_step, (uint32_t)op, 0x6F726465,
                      ctx->order_seed);
}

static inline size_t order_at(const Order *order, size_t i)
{
    return (order->first + i * order->step) % order->n;
}

/* Rows of one sequence. */
typedef struct Tokens {
    size_t first;
    int count;
} Tokens;

/* cu_seqlens NULL: each row is a sequence. */
static inline Tokens sequence_tokens(const int *cu_seqlens, size_t b)
{
    return cu_seqlens ? (Tokens){(size_t)cu_seqlens[b], cu_seqlens[b + 1] - cu_seqlens[b]}
                      : (Tokens){b, 1};
}

#endif
