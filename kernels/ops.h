/* The op table: what every model is written over, and the contract of every op.
 *
 * ops.def is the one list. From it come the struct Ops below, the prototypes of every build
 * (build.h) and the list that the tests go through. A build is the same C files compiled for one
 * instruction set; all builds give the same bits.
 *
 * The rule: tensors and index arrays belong to the device, and only ops touch them. A struct that
 * is passed by pointer (AttentionShape, Lora, AdamW, DropoutSite) is host memory and is read before
 * the op returns; the pointers inside it are the device's. So whatever decides a grid or a size is
 * a host scalar, never read from an array by the caller.
 *
 * Letters: N tokens in the batch, B sequences, C channels, H heads, K key/value heads, D head size,
 * F feed-forward, V vocabulary, L layers, O outputs, T tokens of one sequence. Tensors are dense
 * row-major float32 unless a stride is given; sizes are in elements.
 *
 * Contract of all ops. Outputs come first. Activations and their gradients are written (=),
 * gradients of parameters are added to (+=). Inputs and outputs may not overlap unless the op says
 * so. cu_seqlens[0] is 0. No op allocates; scratch is in the context. The order of every sum is
 * part of the definition and does not depend on threads, vector width or batch packing:
 *
 *     chain   one fma after another over the index in ascending order, from the value named
 *     blocks  of a dtype other than float32 (block_sum.h): both operands rounded to bf16, blocks of 16,
 *             8 or 32 products in ascending order, each added to the float32 sum so far; zeros behind
 *             the last product
 *     lanes   lane l of 32 takes elements l, l + 32, ... in order, a product by one fma; then lanes
 *             combine as l += l + 16, 8, 4, 2, 1
 *     tokens  for a parameter's gradient: a chain over the tokens of each sequence from 0, then the
 *             sequences are added in batch order to what is there
 *
 * All else is computed as C does, from left to right, each operation rounded; fma(a, b, c),
 * a b + c, is rounded once. exp, log, tanh and erf are those of scalar.h. */
#ifndef OPS_H
#define OPS_H

#include "rng.h"
#include "threads.h"

#include <stddef.h>

typedef struct Context Context;

/* A weight as it is stored: float32, or bf16 that is widened where it is read, which is exact. One
 * of the pointers is NULL. */
typedef struct Weight {
    const float *f32;
    const uint16_t *bf16;
} Weight;

/* Floats that a value of the weight takes in memory; 0 where it has no data. */
static inline double weight_floats(Weight weight)
{
    return weight.f32 ? 1.0 : weight.bf16 ? 0.5 : 0.0;
}

/* A LoRA adapter of one linear layer (Hu et al. 2021): y += scale B (A drop(x)). */
typedef struct Lora {
    const float *a, *b;           /* (R, C), (O, R) */
    int R;                        /* rank */
    float scale;                  /* alpha / R, or alpha / sqrt(R) */
    DropoutSite dropout;          /* of x */
    const int *positions, *slots; /* [N] of the rows of x, for dropout */
} Lora;

/* Which rows attend to which: packed sequences, queries q and keys k with their own row ranges. */
typedef struct AttentionShape {
    int B, H, K, D;          /* H query heads share K key/value heads, H % K == 0 */
    int q_rows, k_rows;      /* of all sequences: cu_q[B], cu_k[B] */
    int longest;             /* no sequence has more queries or keys */
    int causal;              /* query at position p sees keys 0..p, else all keys of its sequence */
    float scale;             /* of the scores, usually 1 / sqrt(D) */
    const int *cu_q;         /* [B + 1] rows of q, out */
    const int *cu_k;         /* [B + 1] rows of k, v */
    const int *q_position;   /* [B] position of the first query of each sequence */
    const int *slot;         /* [B] of each sequence in the global batch, for dropout */
    int q_stride, kv_stride; /* floats from row to row of q (and dq), of k and v (and dk, dv) */
} AttentionShape;

/* One AdamW step as PyTorch defines it. All factors are computed in double and rounded once: 1 -
 * beta2 from a rounded beta2 would be off by a millionth. */
typedef struct AdamW {
    float beta1_rest, beta2, beta2_rest; /* 1 - beta1, beta2, 1 - beta2 */
    float eps;
    float rate;       /* lr / (1 - beta1^t), or lr where bias is not corrected */
    float correction; /* sqrt(1 - beta2^t), or 1 */
    int hashes;       /* 0; or, of one segment, 1: of parameter, or 4: then of gradient as it was, of
                       * m and of v too */
    uint64_t *hash;   /* [hashes]: what the op hash gives for each is added */
    int segments;     /* of the arena, one behind the other from 0 on */
    struct {
        size_t end;
        float shrink; /* 1 - lr * weight decay */
    } segment[2];
} AdamW;

/* Parameters of the arena. */
static inline size_t adamw_size(const AdamW *step)
{
    return step->segment[step->segments - 1].end;
}

/* Sums of one optimizer step; device memory that the host reads once a step. */
typedef struct StepSums {
    double loss, norm;    /* of the step's terms, by sum_losses; of the gradients */
    float gradient_scale; /* clipping */
    int finite;           /* loss and norm are; else nothing may be updated */
} StepSums;

#define OP(name, parameters, ...) typedef void name##_op parameters;
#include "ops.def"
#undef OP

typedef struct Ops {
    const char *build; /* "scalar", "avx2", "avx512", "sim" */
#define OP(name, parameters, ...) name##_op *name;
#include "ops.def"
#undef OP
} Ops;

/* All state of a backend. */
struct Context {
    int threads;    /* the most that an op uses; scratch is shared out by it */
    Pace pace;      /* how many of them pay now */
    void *stream;   /* cudaStream_t of a device of CUDA's kind, on which its ops are enqueued */
    size_t shared_limit; /* bytes of shared memory that a block of it may have */
    int multiprocessors; /* of it */
    int capability;      /* its compute capability, 90 for 9.0 */
    int bf16;       /* products round their operands to bf16, for bounds (rounded.h) */
    int amx;        /* products of the dtype bf16-tile use the CPU's matrix unit */
    size_t cache[2]; /* bytes of a core's first and second level cache, for the blocks of products */
    float *scratch; /* [scratch_size] floats, shared by all ops, 64-byte aligned */
    size_t scratch_size;
    Ops inner;           /* the ops in force: wrappers call them, and ops that are made of others */
    int layer;           /* in which a model is, or -1: for watches and drawn orders */
    uint64_t order_seed; /* of the variants "shuffled" (order.h), and the optimizer step */
    uint32_t order_step;
    struct Watch *watch; /* of watch.h; NULL where nobody ever watched */
};

/* Lanes of the sum of a row: a warp. */
enum { LANES = 32 };

/* Products of a block that the device's tensor cores sum: block16 or block8 of block_sum.h. */
static inline int mma_length(const Context *ctx)
{
    return ctx->capability >= 90 ? 16 : 8;
}

#ifdef __cplusplus
extern "C" {
#endif
/* Floats of scratch, for ops.def: of a product [M, N] over K; of attention, LoRA and the language
 * model's loss. */
size_t matmul_scratch(size_t M, size_t N, size_t K);
size_t attention_scratch(const AttentionShape *shape, int threads);
size_t lora_scratch(size_t N, size_t C, size_t O, size_t R, int threads);
size_t vocabulary_scratch(size_t N, size_t C, size_t V);

/* Of a product by blocks on CUDA: its operands as bf16, with k up to the next multiple of 16. */
size_t blocks_scratch(size_t M, size_t N, size_t K);

/* The part at the start of vocabulary_scratch that its products use; a thread's part at the end of
 * lora_scratch. */
size_t vocabulary_products(size_t N, size_t C, size_t width);
size_t lora_share(size_t N, size_t C, size_t O, size_t R);
#ifdef __cplusplus
}
#endif

/* Tokens or channels that a thread takes at a time in the LoRA ops. */
enum { LORA_BLOCK = 64 };

/* linear_cross_entropy: words of the vocabulary whose logits are held at a time. */
enum { VOCABULARY_BLOCK = 2048 };

/* sum_squares: floats of x per partial sum. */
enum { SUM_GROUP = 4096 };

/* hash: words of a block; sketch: its sums; and the most blocks of threads that CUDA takes. */
enum { HASH_BLOCK = LANES * LANES, SKETCH_SUMS = 256, HASH_PARTS = 1024, SKETCH_PARTS = 128 };

#endif
