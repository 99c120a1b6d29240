/* The decoder's forward and backward pass: pre-norm blocks as in Llama, x = x + attention(norm(x)),
 * x = x + mlp(norm(x)), RoPE, grouped key and value heads, SwiGLU. Reference: transformers
 * modeling_llama.py. A class is read from the last token of each sequence; a language model reads
 * the next token from every one. */
#include "parts.h"
#include "rope.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Block {
    int norm1, norm2; /* parameters */
    Linear query, key, value, out, gate, up, down;
} Block;

/* Activations of one block. M is N, but B in the last block of a classifier, where only the last
 * tokens go on. */
typedef struct BlockActs {
    float *rstd1, *norm1;       /* (N), (N, C) */
    float *query, *key, *value; /* (M, H D), (N, K D) turned, (N, K D) */
    float *max, *rsum, *mixed;  /* (M, H), (M, H), (M, H D) attention output */
    float *sum, *rstd2, *norm2; /* (M, C) residual stream behind attention, (M), (M, C) */
    float *gate, *up, *inner;   /* (M, F) */
    float *out;                 /* (M, C) residual stream */
    float *mid[LINEAR_KINDS];   /* (rows, R) of the adapters */
} BlockActs;

struct Decoder {
    int word, final_norm; /* parameters; word is the first */
    Linear head;          /* score, or the language model's output */
    Block *block;         /* [L] */
    float *memory;
    BlockActs *acts;                        /* [L] */
    float *hidden0;                         /* (N, C) */
    float *branch;                          /* (N, C) of the residual stream */
    float *last_x, *last_norm;              /* (B, C) rows of the last block's input and its norm */
    float *rstd, *norm, *logits;            /* (M), (M, C), (B, O) */
    float *d_hidden, *d_norm, *d_mixed;     /* (N, C), (N, C), (N, H D) */
    float *d_query, *d_key, *d_value;       /* (N, H D), (N, K D), (N, K D) */
    float *d_gate, *d_up;                   /* (N, F) */
    float *d_logits, *d_last, *d_last_norm; /* (B, O), (B, C), (B, C) */
    float *cosine, *sine;                   /* (max_length, D / 2) */
    int *positions, *slots;                 /* [N] place in the sequence, slot of the sequence */
    int *last_rows, *last_positions, *zeros, *counting; /* [B], [B], [B], [B + 1] */
};

enum { SITE_BLOCK = 4 }; /* first site of dropout of a block: attention probabilities */

static int add_vector(Model *model, int l, const char *name)
{
    char full[96];
    snprintf(full, sizeof full, "model.layers.%d.%s.weight", l, name);
    return params_add(&model->params, full, model->config.C, 0, INIT_ONE, 0, 0);
}

void decoder_init(Model *model)
{
    const Config *c = &model->config;
    Params *p = &model->params;
    Decoder *d = model->decoder = memory_calloc(1, sizeof *d);
    int Q = c->H * c->D, KV = c->K * c->D, bias = c->attention_bias, mlp_bias = c->mlp_bias;
    d->word = params_add(p, "model.embed_tokens.weight", c->V, c->C, INIT_NORMAL, 1, 0);
    d->block = memory_calloc((size_t)c->L, sizeof *d->block);
    for (int l = 0; l < c->L; l++) {
        Block *b = &d->block[l];
        b->norm1 = add_vector(model, l, "input_layernorm");
        b->query = linear_add(model, LINEAR_Q, l, c->C, Q, bias);
        b->key = linear_add(model, LINEAR_K, l, c->C, KV, bias);
        b->value = linear_add(model, LINEAR_V, l, c->C, KV, bias);
        b->out = linear_add(model, LINEAR_O, l, Q, c->C, bias);
        b->norm2 = add_vector(model, l, "post_attention_layernorm");
        b->gate = linear_add(model, LINEAR_GATE, l, c->C, c->F, mlp_bias);
        b->up = linear_add(model, LINEAR_UP, l, c->C, c->F, mlp_bias);
        b->down = linear_add(model, LINEAR_DOWN, l, c->F, c->C, mlp_bias);
    }
    d->final_norm = params_add(p, "model.norm.weight", c->C, 0, INIT_ONE, 0, 0);
    if (model->problem != PROBLEM_LANGUAGE) {
        d->head = linear_add_other(model, "score", c->C, model->O, 0, 1);
    } else if (c->tied) {
        d->head = (Linear){.weight = d->word, .bias = -1, .lora = -1, .in = c->C, .out = c->V};
    } else {
        d->head = linear_add_other(model, "lm_head", c->C, c->V, 0, 0);
    }
}

/* Only the last tokens go on behind the keys and values of the last block. */
static int last_only(const Model *model, int l)
{
    return l == model->config.L - 1 && model->problem != PROBLEM_LANGUAGE;
}

/* Buffers of one block with N rows, M behind the keys and values. What the backward pass needs is
 * carved for each block; the rest is in shared, which serves all blocks in turn. With shared NULL
 * this lays out the shared ones: those which no block has of its own. */
static void lay_out_block(const Model *model, Carver *carver, BlockActs *a, const BlockActs *shared,
                          int keep, size_t N, size_t M)
{
    const Config *c = &model->config;
    const Block *b = &model->decoder->block[0];
    size_t C = (size_t)c->C, F = (size_t)c->F, H = (size_t)c->H, Q = H * (size_t)c->D,
           KV = (size_t)(c->K * c->D), R = (size_t)model->lora.r;
    /* adapters are the same in all blocks */
    int keep_norm1 = keep &&
                     (linear_needs_input(model, &b->query) || linear_needs_input(model, &b->key) ||
                      linear_needs_input(model, &b->value));
    int keep_norm2 = keep &&
                     (linear_needs_input(model, &b->gate) || linear_needs_input(model, &b->up));
#define PART(field, kept, rows, columns)                                                           \
    if ((kept) == (shared != NULL)) {                                                              \
        a->field = carve(carver, rows, columns);                                                   \
    } else if (shared) {                                                                           \
        a->field = shared->field;                                                                  \
    }
    PART(rstd1, keep, N, 1)
    PART(norm1, keep_norm1, N, C)
    PART(query, keep, M, Q)
    PART(key, keep, N, KV)
    PART(value, keep, N, KV)
    PART(max, keep, M, H)
    PART(rsum, keep, M, H)
    PART(mixed, keep && linear_needs_input(model, &b->out), M, Q)
    PART(sum, keep, M, C)
    PART(rstd2, keep, M, 1)
    PART(norm2, keep_norm2, M, C)
    PART(gate, keep, M, F)
    PART(up, keep, M, F)
    PART(inner, keep && linear_needs_input(model, &b->down), M, F)
    for (int k = 0; k < LINEAR_KINDS; k++) {
        if (model->lora.targets >> k & 1) {
            PART(mid[k], keep, k == LINEAR_K || k == LINEAR_V ? N : M, R)
        }
    }
#undef PART
}

/* Lays out all activations; with memory NULL only counts. */
static void lay_out(Model *model, Carver *carver, int train)
{
    Decoder *d = model->decoder;
    const Config *c = &model->config;
    BlockActs shared = {0};
    size_t N = (size_t)model->max_tokens, B = (size_t)model->max_sequences, C = (size_t)c->C,
           F = (size_t)c->F, Q = (size_t)(c->H * c->D), KV = (size_t)(c->K * c->D),
           half = (size_t)c->D / 2, O = (size_t)model->O;
    int keep = train && !model->recompute, language = model->problem == PROBLEM_LANGUAGE;
    d->hidden0 = carve(carver, N, C);
    lay_out_block(model, carver, &shared, NULL, keep, N, N);
    for (int l = 0; l < c->L; l++) {
        BlockActs *a = &d->acts[l];
        size_t M = last_only(model, l) ? B : N;
        lay_out_block(model, carver, a, &shared, keep, N, M);
        /* the next block's input; without training two serve all in turn */
        a->out = train || l < 2 ? carve(carver, N, C) : d->acts[l - 2].out;
    }
    d->branch = carve(carver, N, C);
    d->last_x = carve(carver, B, C);
    d->last_norm = carve(carver, B, C);
    d->rstd = carve(carver, language ? N : B, 1);
    d->norm = carve(carver, language ? N : B, C);
    d->logits = carve(carver, B, O);
    d->cosine = carve(carver, (size_t)model->max_length, half);
    d->sine = carve(carver, (size_t)model->max_length, half);
    if (train) {
        d->d_hidden = carve(carver, N, C);
        d->d_norm = carve(carver, N, C);
        d->d_mixed = carve(carver, N, Q);
        d->d_query = carve(carver, N, Q);
        d->d_key = carve(carver, N, KV);
        d->d_value = carve(carver, N, KV);
        d->d_gate = carve(carver, N, F);
        d->d_up = carve(carver, N, F);
        d->d_logits = carve(carver, B, O);
        d->d_last = carve(carver, B, C);
        d->d_last_norm = carve(carver, B, C);
    }
}

void decoder_unplan(Model *model)
{
    Decoder *d = model->decoder;
    if (d) {
        arena_free(d->memory, model->acts_bytes);
        free(d->acts);
        free(d->positions);
        free(d->last_rows);
        d->memory = NULL;
        d->acts = NULL;
        d->positions = d->last_rows = NULL;
    }
}

void decoder_free(Model *model)
{
    decoder_unplan(model);
    if (model->decoder) {
        free(model->decoder->block);
        free(model->decoder);
        model->decoder = NULL;
    }
}

static size_t plan_scratch(const Model *model)
{
    const Config *c = &model->config;
    const Decoder *d = model->decoder;
    const Block *b = &d->block[0];
    const Linear *linears[] = {&b->query, &b->key, &b->value, &b->out, &b->gate, &b->up, &b->down};
    size_t N = (size_t)model->max_tokens, B = (size_t)model->max_sequences;
    size_t scratch = attention_scratch((size_t)model->max_length, (size_t)c->D,
                                       model->backend->ctx.threads);
    for (size_t i = 0; i < sizeof linears / sizeof *linears; i++) {
        scratch = larger(scratch, linear_scratch(model, linears[i], larger(N, B)));
    }
    return larger(scratch, model->problem == PROBLEM_LANGUAGE
                               ? vocabulary_scratch(N, (size_t)c->C, (size_t)c->V)
                               : linear_scratch(model, &d->head, B));
}

size_t decoder_plan(Model *model, int train)
{
    Decoder *d = model->decoder;
    const Config *c = &model->config;
    size_t N = (size_t)model->max_tokens, B = (size_t)model->max_sequences;
    d->acts = memory_calloc((size_t)c->L, sizeof *d->acts);
    d->positions = memory_calloc(2 * N, sizeof *d->positions);
    d->slots = d->positions + N;
    d->last_rows = memory_calloc(4 * B + 1, sizeof *d->last_rows);
    d->last_positions = d->last_rows + B;
    d->zeros = d->last_rows + 2 * B;
    d->counting = d->last_rows + 3 * B;
    for (int b = 0; b <= model->max_sequences; b++) {
        d->counting[b] = b;
    }
    Carver counted = {NULL, 0};
    lay_out(model, &counted, train);
    model->acts_bytes = counted.used * sizeof(float);
    d->memory = arena_alloc(model->acts_bytes);
    lay_out(model, &(Carver){d->memory, 0}, train);
    model->logits = d->logits;
    model->d_logits = d->d_logits;
    double *frequency = memory_alloc((size_t)c->D, sizeof *frequency);
    rope_frequencies(frequency, c->D, &c->rope);
    for (int i = 0; i < model->max_length; i++) {
        size_t row = (size_t)i * (size_t)c->D / 2;
        rope_angles(d->cosine + row, d->sine + row, i, frequency, c->D);
    }
    free(frequency);
    return plan_scratch(model);
}

static Rows all_rows(const Model *model, const Batch *batch)
{
    return (Rows){batch->N, batch->B, batch->cu_seqlens, model->decoder->positions,
                  model->decoder->slots};
}

/* Those that go on behind the keys and values of block l. */
static Rows rows_of(const Model *model, const Batch *batch, int l)
{
    return last_only(model, l)
               ? (Rows){batch->B, batch->B, NULL, model->decoder->last_positions, batch->slots}
               : all_rows(model, batch);
}

static AttentionShape attention_shape(const Model *model, const Batch *batch, int l)
{
    const Config *c = &model->config;
    const Decoder *d = model->decoder;
    int last = last_only(model, l);
    return (AttentionShape){.B = batch->B,
                            .H = c->H,
                            .K = c->K,
                            .D = c->D,
                            .q_rows = last ? batch->B : batch->N,
                            .k_rows = batch->N,
                            .longest = model->max_length,
                            .causal = 1,
                            .scale = 1.0f / sqrtf((float)c->D),
                            .cu_q = last ? d->counting : batch->cu_seqlens,
                            .cu_k = batch->cu_seqlens,
                            .q_position = last ? d->last_positions : d->zeros,
                            .slot = batch->slots,
                            .q_stride = c->H * c->D,
                            .kv_stride = c->K * c->D};
}

static void block_forward(Model *model, int l, const float *x, const Batch *batch, const Step *step)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    const Config *c = &model->config;
    Decoder *d = model->decoder;
    const Block *b = &d->block[l];
    BlockActs *a = &d->acts[l];
    Rows all = all_rows(model, batch), rows = rows_of(model, batch, l);
    int M = rows.count, C = c->C;
    size_t inner = (size_t)M * (size_t)c->F;
    AttentionShape shape = attention_shape(model, batch, l);
    DropoutSite probs = model_site(step, SITE_BLOCK * (l + 1), c->attention_dropout);
    const float *normed = a->norm1;
    ops->rmsnorm_forward(ctx, a->norm1, a->rstd1, x, model_vector(model, b->norm1), batch->N, C,
                         c->eps);
    linear_forward(model, &b->key, a->key, a->mid[LINEAR_K], a->norm1, &all, step);
    linear_forward(model, &b->value, a->value, a->mid[LINEAR_V], a->norm1, &all, step);
    if (last_only(model, l)) {
        ops->gather_rows(ctx, d->last_norm, (Weight){.f32 = a->norm1}, d->last_rows, M, C);
        ops->gather_rows(ctx, d->last_x, (Weight){.f32 = x}, d->last_rows, M, C);
        normed = d->last_norm;
        x = d->last_x;
    }
    linear_forward(model, &b->query, a->query, a->mid[LINEAR_Q], normed, &rows, step);
    ops->rope(ctx, a->query, rows.position, d->cosine, d->sine, M, c->H, c->D, c->H * c->D, 1);
    ops->rope(ctx, a->key, all.position, d->cosine, d->sine, batch->N, c->K, c->D, c->K * c->D, 1);
    ops->attention_forward(ctx, a->mixed, a->max, a->rsum, a->query, a->key, a->value, &shape,
                           &probs);
    linear_forward(model, &b->out, d->branch, a->mid[LINEAR_O], a->mixed, &rows, step);
    model_observe(model, "attn", l, d->branch, M, C);
    ops->residual_rmsnorm_forward(ctx, a->norm2, a->sum, a->rstd2, x, d->branch,
                                  model_vector(model, b->norm2), M, C, c->eps);
    linear_forward(model, &b->gate, a->gate, a->mid[LINEAR_GATE], a->norm2, &rows, step);
    linear_forward(model, &b->up, a->up, a->mid[LINEAR_UP], a->norm2, &rows, step);
    ops->swiglu_forward(ctx, a->inner, a->gate, a->up, inner);
    linear_forward(model, &b->down, d->branch, a->mid[LINEAR_DOWN], a->inner, &rows, step);
    ops->add(ctx, a->out, a->sum, d->branch, (size_t)M * (size_t)C);
    model_observe(model, "hidden", l + 1, a->out, M, C);
}

static void place_tokens(Model *model, const Batch *batch)
{
    Decoder *d = model->decoder;
    for (int b = 0; b < batch->B; b++) {
        int first = batch->cu_seqlens[b], end = batch->cu_seqlens[b + 1];
        for (int n = first; n < end; n++) {
            d->positions[n] = n - first;
            d->slots[n] = batch->slots[b];
        }
        d->last_rows[b] = end - 1;
        d->last_positions[b] = end - 1 - first;
    }
}

const float *decoder_forward(Model *model, const Batch *batch, const Step *step)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    Decoder *d = model->decoder;
    const Config *c = &model->config;
    place_tokens(model, batch);
    ops->gather_rows(ctx, d->hidden0, model_weight(model, d->word), batch->tokens, batch->N, c->C);
    model_observe(model, "hidden", 0, d->hidden0, batch->N, c->C);
    const float *x = d->hidden0;
    for (int l = 0; l < c->L; l++) {
        block_forward(model, l, x, batch, step);
        x = d->acts[l].out;
    }
    Rows rows = rows_of(model, batch, c->L - 1);
    ops->rmsnorm_forward(ctx, d->norm, d->rstd, x, model_vector(model, d->final_norm), rows.count,
                         c->C, c->eps);
    model_observe(model, "hidden.norm", -1, d->norm, rows.count, c->C);
    if (model->problem == PROBLEM_LANGUAGE) {
        return NULL;
    }
    linear_forward(model, &d->head, d->logits, NULL, d->norm, &rows, step);
    model_observe(model, "logits", -1, d->logits, batch->B / model->choices,
                  model->O * model->choices);
    return d->logits;
}

static unsigned bits(LinearKind a, LinearKind b, LinearKind c)
{
    return 1u << a | 1u << b | 1u << c;
}

/* d_hidden, d_last in the last block of a classifier, holds the gradient of the block's output;
 * d_hidden gets that of its input x, unless nothing below is trained. */
static void block_backward(Model *model, int l, const float *x, const Batch *batch,
                           const Step *step)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    const Config *c = &model->config;
    Decoder *g = model->decoder;
    const Block *b = &g->block[l];
    const BlockActs *a = &g->acts[l];
    Rows all = all_rows(model, batch), rows = rows_of(model, batch, l);
    int N = batch->N, M = rows.count, C = c->C, last = last_only(model, l);
    AttentionShape shape = attention_shape(model, batch, l);
    DropoutSite probs = model_site(step, SITE_BLOCK * (l + 1), c->attention_dropout);
    const unsigned qkv = bits(LINEAR_Q, LINEAR_K, LINEAR_V),
                   attention = qkv | bits(LINEAR_O, LINEAR_O, LINEAR_O),
                   above_inner = attention | bits(LINEAR_GATE, LINEAR_UP, LINEAR_UP);
    float *d = last ? g->d_last : g->d_hidden;

    /* forward: out = sum + down(silu(gate(norm2)) up(norm2)) */
    int below = model_trains(model, l, above_inner);
    linear_backward(model, &b->down, below ? g->d_up : NULL, d, a->mid[LINEAR_DOWN], a->inner,
                    &rows, step, 0);
    if (!below) {
        return;
    }
    below = model_trains(model, l, attention);
    ops->swiglu_backward(ctx, g->d_gate, g->d_up, g->d_up, a->gate, a->up,
                         (size_t)M * (size_t)c->F);
    linear_backward(model, &b->gate, below ? g->d_norm : NULL, g->d_gate, a->mid[LINEAR_GATE],
                    a->norm2, &rows, step, 0);
    linear_backward(model, &b->up, below ? g->d_norm : NULL, g->d_up, a->mid[LINEAR_UP], a->norm2,
                    &rows, step, 1);
    if (!below) {
        return;
    }
    ops->rmsnorm_backward(ctx, g->d_norm, model_gradient(model, b->norm2), g->d_norm, a->sum,
                          a->rstd2, model_vector(model, b->norm2), rows.cu, batch->B, M, C);
    ops->add(ctx, d, d, g->d_norm, (size_t)M * (size_t)C);

    /* forward: sum = x + out(attention(rope(query, key), value of norm1)) */
    below = model_trains(model, l, qkv);
    linear_backward(model, &b->out, below ? g->d_mixed : NULL, d, a->mid[LINEAR_O], a->mixed, &rows,
                    step, 0);
    if (!below) {
        return;
    }
    below = model_trains(model, l, 0);
    ops->attention_backward(ctx, g->d_query, g->d_key, g->d_value, g->d_mixed, a->query, a->key,
                            a->value, a->max, a->rsum, &shape, &probs);
    ops->rope(ctx, g->d_query, rows.position, g->cosine, g->sine, M, c->H, c->D, c->H * c->D, -1);
    ops->rope(ctx, g->d_key, all.position, g->cosine, g->sine, N, c->K, c->D, c->K * c->D, -1);
    float *d_norm = below ? g->d_norm : NULL,
          *d_query_norm = last && below ? g->d_last_norm : d_norm;
    linear_backward(model, &b->query, d_query_norm, g->d_query, a->mid[LINEAR_Q],
                    last ? g->last_norm : a->norm1, &rows, step, 0);
    linear_backward(model, &b->key, d_norm, g->d_key, a->mid[LINEAR_K], a->norm1, &all, step,
                    !last);
    linear_backward(model, &b->value, d_norm, g->d_value, a->mid[LINEAR_V], a->norm1, &all, step,
                    1);
    if (!below) {
        return;
    }
    if (last) {
        ops->scatter_add_rows(ctx, d_norm, d_query_norm, g->last_rows, M, C);
    }
    ops->rmsnorm_backward(ctx, d_norm, model_gradient(model, b->norm1), d_norm, x, a->rstd1,
                          model_vector(model, b->norm1), batch->cu_seqlens, batch->B, N, C);
    if (last) {
        ops->scatter_add_rows(ctx, d_norm, d, g->last_rows, M, C);
        memcpy(g->d_hidden, d_norm, (size_t)N * (size_t)C * sizeof *d_norm);
    } else {
        ops->add(ctx, d, d, d_norm, (size_t)N * (size_t)C);
    }
}

/* From the gradient of the final norm's output in d, (M, C), down. */
static void backward_below_head(Model *model, float *d, const Batch *batch, const Step *step)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    Decoder *g = model->decoder;
    const Config *c = &model->config;
    int L = c->L;
    Rows rows = rows_of(model, batch, L - 1);
    model_observe(model, "dhidden.norm", -1, d, rows.count, c->C);
    ops->rmsnorm_backward(ctx, d, model_gradient(model, g->final_norm), d, g->acts[L - 1].out,
                          g->rstd, model_vector(model, g->final_norm), rows.cu, batch->B,
                          rows.count, c->C);
    model_observe(model, "dhidden", L, d, rows.count, c->C);
    for (int l = L - 1; l >= 0; l--) {
        const float *x = l ? g->acts[l - 1].out : g->hidden0;
        if (model->recompute && l < L - 1) {
            void (*observe)(void *, const char *, const float *, int, int) = model->observe;
            model->observe = NULL; /* it has seen these */
            block_forward(model, l, x, batch, step);
            model->observe = observe;
        }
        block_backward(model, l, x, batch, step);
        if (model_trains(model, l, 0)) {
            model_observe(model, "dhidden", l, g->d_hidden, batch->N, c->C);
        }
    }
    /* forward: hidden 0 = word */
    float *d_word = model->d_lookup ? model->d_lookup : model_gradient(model, g->word);
    if (d_word) {
        ops->embedding_backward(ctx, d_word, NULL, NULL, g->d_hidden, batch->tokens, g->positions,
                                batch->types, batch->N, c->C, c->padding, -1);
    }
}

void decoder_backward(Model *model, const Batch *batch, const Step *step)
{
    Decoder *g = model->decoder;
    Rows rows = rows_of(model, batch, model->config.L - 1);
    /* forward: logits = score(norm(hidden L) of the last token) */
    linear_backward(model, &g->head, g->d_last, g->d_logits, NULL, g->norm, &rows, step, 0);
    backward_below_head(model, g->d_last, batch, step);
}

void decoder_language_loss(Model *model, const Batch *batch, const Step *step, float *losses,
                           float scale, int with_gradient)
{
    Decoder *g = model->decoder;
    const Config *c = &model->config;
    model->backend->ops.linear_cross_entropy(
        &model->backend->ctx, losses, with_gradient ? g->d_hidden : NULL,
        with_gradient ? model_gradient(model, g->head.weight) : NULL, g->norm,
        model_weight(model, g->head.weight), batch->labels, batch->N, c->C, c->V, scale);
    if (with_gradient) {
        backward_below_head(model, g->d_hidden, batch, step);
    }
}
