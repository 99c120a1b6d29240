/* The decoder's forward and backward pass: pre-norm blocks as in Llama, x = x + attention(norm(x)),
 * x = x + mlp(norm(x)), RoPE, grouped key and value heads, SwiGLU. Reference: transformers
 * modeling_llama.py. The class is read from the last token of each sequence. */
#include "parts.h"
#include "rope.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Indices into the parameter table. query, key and value are neighbours: one [(H + 2K) D, C]
 * matrix. */
struct Block {
    int norm1, query, out, norm2, gate, up, down;
};

/* Activations of one block. QKV = (H + 2K) D. */
typedef struct BlockActs {
    float *rstd1, *norm1;     /* (N), (N, C) */
    float *qkv, *max, *rsum;  /* (N, QKV) turned, (N, H), (N, H) */
    float *mixed;             /* (N, H D) attention output */
    float *sum, *rstd2;       /* (N, C) residual stream behind attention, (N) */
    float *norm2;             /* (N, C) */
    float *gate, *up, *inner; /* (N, F) */
    float *out;               /* (N, C) residual stream */
} BlockActs;

struct DecoderActs {
    float *memory;
    float *hidden0;                       /* (N, C) */
    BlockActs *block;                     /* [L] */
    float *branch;                        /* (N, C) of the residual stream */
    float *rstd, *norm, *pooled, *logits; /* (N), (N, C), (B, C), (B, O) */
    float *d_hidden, *d_norm, *d_mixed;   /* (N, C), (N, C), (N, H D) */
    float *d_qkv, *d_gate, *d_up;         /* (N, QKV), (N, F), (N, F) */
    float *d_logits, *d_pooled;           /* (B, O), (B, C) */
    float *cosine, *sine;                 /* (max_length, D / 2) */
    int *positions, *last_rows, *zeros;   /* [N], [B], [B] */
};

enum { SITE_BLOCK = 4 }; /* first site of dropout of a block: attention probabilities */

static int qkv_width(const Config *c)
{
    return (c->H + 2 * c->K) * c->D;
}

void decoder_init(Model *model)
{
    const Config *c = &model->config;
    Params *p = &model->params;
    static const char *const projections[] = {"q", "k", "v"};
    char name[96];
    model->word = params_add(p, "model.embed_tokens.weight", c->V, c->C, INIT_NORMAL, 1, 0);
    model->blocks = memory_calloc((size_t)c->L, sizeof *model->blocks);
    for (int l = 0; l < c->L; l++) {
        Block *b = &model->blocks[l];
        char at[40];
        snprintf(at, sizeof at, "model.layers.%d.", l);
#define ADD(text, rows, columns, init, decay)                                                      \
    (snprintf(name, sizeof name, "%s%s.weight", at, text),                                         \
     params_add(p, name, rows, columns, init, decay, 0))
        b->norm1 = ADD("input_layernorm", c->C, 0, INIT_ONE, 0);
        b->query = p->count;
        for (int i = 0; i < 3; i++) {
            char part[32];
            snprintf(part, sizeof part, "self_attn.%s_proj", projections[i]);
            ADD(part, (i ? c->K : c->H) * c->D, c->C, INIT_NORMAL, 1);
        }
        b->out = ADD("self_attn.o_proj", c->C, c->H * c->D, INIT_NORMAL, 1);
        b->norm2 = ADD("post_attention_layernorm", c->C, 0, INIT_ONE, 0);
        b->gate = ADD("mlp.gate_proj", c->F, c->C, INIT_NORMAL, 1);
        b->up = ADD("mlp.up_proj", c->F, c->C, INIT_NORMAL, 1);
        b->down = ADD("mlp.down_proj", c->C, c->F, INIT_NORMAL, 1);
#undef ADD
    }
    model->final_norm = params_add(p, "model.norm.weight", c->C, 0, INIT_ONE, 0, 0);
    model->head_out = params_add(p, "score.weight", model->O, c->C, INIT_NORMAL, 1, 1);
}

/* Lays out all activations; with memory NULL only counts. Without training two sets of block
 * buffers serve all in turn: a block reads the output of the one before. */
static size_t lay_out(Model *model, float *memory, int train)
{
    DecoderActs *acts = model->decoder_acts;
    const Config *c = &model->config;
    Carver carver = {memory, 0};
    size_t N = (size_t)model->max_tokens, B = (size_t)model->max_sequences, C = (size_t)c->C,
           F = (size_t)c->F, H = (size_t)c->H, Q = H * (size_t)c->D, QKV = (size_t)qkv_width(c),
           half = (size_t)c->D / 2;
    acts->hidden0 = carve(&carver, N, C);
    for (int l = 0; l < c->L; l++) {
        BlockActs *a = &acts->block[l];
        if (!train && l > 1) {
            *a = acts->block[l - 2];
            continue;
        }
        a->rstd1 = carve(&carver, N, 1);
        a->norm1 = carve(&carver, N, C);
        a->qkv = carve(&carver, N, QKV);
        a->max = carve(&carver, N, H);
        a->rsum = carve(&carver, N, H);
        a->mixed = carve(&carver, N, Q);
        a->sum = carve(&carver, N, C);
        a->rstd2 = carve(&carver, N, 1);
        a->norm2 = carve(&carver, N, C);
        a->gate = carve(&carver, N, F);
        a->up = carve(&carver, N, F);
        a->inner = carve(&carver, N, F);
        a->out = carve(&carver, N, C);
    }
    acts->branch = carve(&carver, N, C);
    acts->rstd = carve(&carver, N, 1);
    acts->norm = carve(&carver, N, C);
    acts->pooled = carve(&carver, B, C);
    acts->logits = carve(&carver, B, (size_t)model->O);
    acts->cosine = carve(&carver, (size_t)model->max_length, half);
    acts->sine = carve(&carver, (size_t)model->max_length, half);
    if (train) {
        acts->d_hidden = carve(&carver, N, C);
        acts->d_norm = carve(&carver, N, C);
        acts->d_mixed = carve(&carver, N, Q);
        acts->d_qkv = carve(&carver, N, QKV);
        acts->d_gate = carve(&carver, N, F);
        acts->d_up = carve(&carver, N, F);
        acts->d_logits = carve(&carver, B, (size_t)model->O);
        acts->d_pooled = carve(&carver, B, C);
    }
    return carver.used;
}

void decoder_free(Model *model)
{
    if (model->decoder_acts) {
        arena_free(model->decoder_acts->memory, model->acts_bytes);
        free(model->decoder_acts->block);
        free(model->decoder_acts->positions);
        free(model->decoder_acts);
        model->decoder_acts = NULL;
    }
}

/* Scratch of the three products of one matrix [out, in] and N rows. */
static size_t linear_scratch(size_t N, size_t in, size_t out)
{
    return larger(matmul_scratch(N, out, in),
                  larger(matmul_scratch(N, in, out), matmul_scratch(out, in, N)));
}

size_t decoder_plan(Model *model, int train)
{
    DecoderActs *acts = model->decoder_acts = memory_calloc(1, sizeof *acts);
    const Config *c = &model->config;
    size_t N = (size_t)model->max_tokens, B = (size_t)model->max_sequences, C = (size_t)c->C;
    acts->block = memory_calloc((size_t)c->L, sizeof *acts->block);
    acts->positions = memory_calloc(N + 2 * B, sizeof *acts->positions);
    acts->last_rows = acts->positions + N;
    acts->zeros = acts->positions + N + B;
    model->acts_bytes = lay_out(model, NULL, train) * sizeof(float);
    acts->memory = arena_alloc(model->acts_bytes);
    lay_out(model, acts->memory, train);
    model->logits = acts->logits;
    model->d_logits = acts->d_logits;
    double *frequency = memory_alloc((size_t)c->D, sizeof *frequency);
    rope_frequencies(frequency, c->D, &c->rope);
    for (int i = 0; i < model->max_length; i++) {
        size_t row = (size_t)i * (size_t)c->D / 2;
        rope_angles(acts->cosine + row, acts->sine + row, i, frequency, c->D);
    }
    free(frequency);
    size_t scratch = attention_scratch((size_t)model->max_length, (size_t)c->D,
                                       model->backend->ctx.threads);
    scratch = larger(scratch, linear_scratch(N, C, (size_t)qkv_width(c)));
    scratch = larger(scratch, linear_scratch(N, (size_t)(c->H * c->D), C));
    scratch = larger(scratch, linear_scratch(N, C, (size_t)c->F));
    scratch = larger(scratch, linear_scratch(N, (size_t)c->F, C));
    return larger(scratch, linear_scratch(B, C, (size_t)model->O));
}

static AttentionShape attention_shape(const Model *model, const Batch *batch)
{
    const Config *c = &model->config;
    return (AttentionShape){.B = batch->B,
                            .H = c->H,
                            .K = c->K,
                            .D = c->D,
                            .causal = 1,
                            .scale = 1.0f / sqrtf((float)c->D),
                            .cu_q = batch->cu_seqlens,
                            .cu_k = batch->cu_seqlens,
                            .q_position = model->decoder_acts->zeros,
                            .slot = batch->slots,
                            .q_stride = qkv_width(c),
                            .kv_stride = qkv_width(c)};
}

static void block_forward(Model *model, int l, const float *x, const Batch *batch, const Step *step)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    const Config *c = &model->config;
    const Block *b = &model->blocks[l];
    DecoderActs *acts = model->decoder_acts;
    BlockActs *a = &acts->block[l];
    int N = batch->N, C = c->C, F = c->F, QKV = qkv_width(c);
    AttentionShape shape = attention_shape(model, batch);
    DropoutSite probs = model_site(step, SITE_BLOCK * (l + 1), c->attention_dropout);
    ops->rmsnorm_forward(ctx, a->norm1, a->rstd1, x, model_weight(model, b->norm1), N, C, c->eps);
    ops->matmul_forward(ctx, a->qkv, a->norm1, model_weight(model, b->query), NULL, N, C, QKV);
    ops->rope(ctx, a->qkv, acts->positions, acts->cosine, acts->sine, N, c->H + c->K, c->D, QKV, 1);
    const float *key = a->qkv + c->H * c->D;
    ops->attention_forward(ctx, a->mixed, a->max, a->rsum, a->qkv, key, key + c->K * c->D, &shape,
                           &probs);
    ops->matmul_forward(ctx, acts->branch, a->mixed, model_weight(model, b->out), NULL, N,
                        c->H * c->D, C);
    model_observe(model, "attn", l, acts->branch, N, C);
    ops->residual_rmsnorm_forward(ctx, a->norm2, a->sum, a->rstd2, x, acts->branch,
                                  model_weight(model, b->norm2), N, C, c->eps);
    ops->matmul_forward(ctx, a->gate, a->norm2, model_weight(model, b->gate), NULL, N, C, F);
    ops->matmul_forward(ctx, a->up, a->norm2, model_weight(model, b->up), NULL, N, C, F);
    ops->swiglu_forward(ctx, a->inner, a->gate, a->up, (size_t)N * (size_t)F);
    ops->matmul_forward(ctx, acts->branch, a->inner, model_weight(model, b->down), NULL, N, F, C);
    ops->add(ctx, a->out, a->sum, acts->branch, (size_t)N * (size_t)C);
    model_observe(model, "hidden", l + 1, a->out, N, C);
}

const float *decoder_forward(Model *model, const Batch *batch, const Step *step)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    DecoderActs *acts = model->decoder_acts;
    const Config *c = &model->config;
    for (int b = 0; b < batch->B; b++) {
        for (int n = batch->cu_seqlens[b]; n < batch->cu_seqlens[b + 1]; n++) {
            acts->positions[n] = n - batch->cu_seqlens[b];
        }
        acts->last_rows[b] = batch->cu_seqlens[b + 1] - 1;
    }
    ops->gather_rows(ctx, acts->hidden0, model_weight(model, model->word), batch->tokens, batch->N,
                     c->C);
    model_observe(model, "hidden", 0, acts->hidden0, batch->N, c->C);
    const float *x = acts->hidden0;
    for (int l = 0; l < c->L; l++) {
        block_forward(model, l, x, batch, step);
        x = acts->block[l].out;
    }
    ops->rmsnorm_forward(ctx, acts->norm, acts->rstd, x, model_weight(model, model->final_norm),
                         batch->N, c->C, c->eps);
    model_observe(model, "hidden.norm", -1, acts->norm, batch->N, c->C);
    ops->gather_rows(ctx, acts->pooled, acts->norm, acts->last_rows, batch->B, c->C);
    ops->matmul_forward(ctx, acts->logits, acts->pooled, model_weight(model, model->head_out), NULL,
                        batch->B, c->C, model->O);
    model_observe(model, "logits", -1, acts->logits, batch->B / model->choices,
                  model->O * model->choices);
    return acts->logits;
}

/* Gradients of one linear layer out = in weight^T: the weight's, and d_in. */
static void linear_backward(Model *model, int index, float *d_in, const float *d_out,
                            const float *in, int rows, int in_width, int out_width, int accumulate)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    ops->matmul_backward_weight(ctx, model_gradient(model, index), d_out, in, rows, in_width,
                                out_width);
    ops->matmul_backward_input(ctx, d_in, d_out, model_weight(model, index), rows, in_width,
                               out_width, accumulate);
}

/* d_hidden holds the gradient of the block's output and gets that of its input x. */
static void block_backward(Model *model, int l, const float *x, const Batch *batch,
                           const Step *step)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    const Config *c = &model->config;
    const Block *b = &model->blocks[l];
    DecoderActs *acts = model->decoder_acts;
    BlockActs *a = &acts->block[l];
    int N = batch->N, C = c->C, F = c->F, Q = c->H * c->D, QKV = qkv_width(c);
    size_t all = (size_t)N * (size_t)C;
    AttentionShape shape = attention_shape(model, batch);
    DropoutSite probs = model_site(step, SITE_BLOCK * (l + 1), c->attention_dropout);
    float *d = acts->d_hidden;

    /* forward: out = sum + down(silu(gate(norm2)) up(norm2)) */
    linear_backward(model, b->down, acts->d_up, d, a->inner, N, F, C, 0);
    ops->swiglu_backward(ctx, acts->d_gate, acts->d_up, acts->d_up, a->gate, a->up,
                         (size_t)N * (size_t)F);
    linear_backward(model, b->gate, acts->d_norm, acts->d_gate, a->norm2, N, C, F, 0);
    linear_backward(model, b->up, acts->d_norm, acts->d_up, a->norm2, N, C, F, 1);
    ops->rmsnorm_backward(ctx, acts->d_norm, model_gradient(model, b->norm2), acts->d_norm, a->sum,
                          a->rstd2, model_weight(model, b->norm2), batch->cu_seqlens, batch->B, C);
    ops->add(ctx, d, d, acts->d_norm, all);

    /* forward: sum = x + out(attention(rope(query, key), value of norm1)) */
    linear_backward(model, b->out, acts->d_mixed, d, a->mixed, N, Q, C, 0);
    const float *key = a->qkv + Q;
    float *d_key = acts->d_qkv + Q;
    ops->attention_backward(ctx, acts->d_qkv, d_key, d_key + c->K * c->D, acts->d_mixed, a->qkv,
                            key, key + c->K * c->D, a->max, a->rsum, &shape, &probs);
    ops->rope(ctx, acts->d_qkv, acts->positions, acts->cosine, acts->sine, N, c->H + c->K, c->D,
              QKV, -1);
    linear_backward(model, b->query, acts->d_norm, acts->d_qkv, a->norm1, N, C, QKV, 0);
    ops->rmsnorm_backward(ctx, acts->d_norm, model_gradient(model, b->norm1), acts->d_norm, x,
                          a->rstd1, model_weight(model, b->norm1), batch->cu_seqlens, batch->B, C);
    ops->add(ctx, d, d, acts->d_norm, all);
}

void decoder_backward(Model *model, const Batch *batch, const Step *step)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    DecoderActs *acts = model->decoder_acts;
    const Config *c = &model->config;
    int N = batch->N, B = batch->B, C = c->C, L = c->L;
    /* forward: logits = score(norm(hidden L) of the last token) */
    linear_backward(model, model->head_out, acts->d_pooled, acts->d_logits, acts->pooled, B, C,
                    model->O, 0);
    ops->fill_zero(ctx, acts->d_hidden, (size_t)N * (size_t)C);
    ops->scatter_add_rows(ctx, acts->d_hidden, acts->d_pooled, acts->last_rows, B, C);
    ops->rmsnorm_backward(ctx, acts->d_hidden, model_gradient(model, model->final_norm),
                          acts->d_hidden, acts->block[L - 1].out, acts->rstd,
                          model_weight(model, model->final_norm), batch->cu_seqlens, B, C);
    model_observe(model, "dhidden", L, acts->d_hidden, N, C);
    for (int l = L - 1; l >= 0; l--) {
        block_backward(model, l, l ? acts->block[l - 1].out : acts->hidden0, batch, step);
        model_observe(model, "dhidden", l, acts->d_hidden, N, C);
    }
    /* forward: hidden 0 = word */
    ops->embedding_backward(ctx, model_gradient(model, model->word), NULL, NULL, acts->d_hidden,
                            batch->tokens, acts->positions, batch->types, N, C, c->padding, -1);
}
