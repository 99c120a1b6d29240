/* The encoder's forward and backward pass. Post-norm as in BERT (Devlin et al. 2019): every block
 * is x = layernorm(x + dropout(block(x))). Reference: transformers modeling_bert.py,
 * modeling_roberta.py. */
#include "parts.h"

#include <stdlib.h>
#include <string.h>

/* Indices into the parameter table. query, key and value are neighbours: together one [3C, C]
 * matrix and one [3C] bias. */
struct Layer {
    int query, key, query_bias, key_bias;
    int attention_out, attention_norm; /* weight; the bias is the next parameter */
    int up, down, mlp_norm;
};

/* Activations of one layer. M is N, but B in the last layer, where only pooled rows go on. */
typedef struct LayerActs {
    float *query;      /* (M, C), row stride 3C but in the last layer */
    float *key;        /* (N, 2C) with the values, row stride 3C but in the last layer */
    float *max, *rsum; /* (M, H) */
    float *mixed;      /* (M, C) attention output */
    float *sum1, *mean1, *rstd1, *attn; /* (M, C), (M), (M), (M, C) */
    float *up, *gelu;                   /* (M, F) */
    float *sum2, *mean2, *rstd2, *out;  /* (M, C), (M), (M), (M, C) */
} LayerActs;

struct Acts {
    float *memory;
    float *embedding_sum, *embedding_mean, *embedding_rstd; /* (N, C), (N), (N) */
    float *hidden0;                                         /* (N, C) */
    LayerActs *layer;                                       /* [L] */
    float *pooled_in;                           /* (B, C) rows of the second last layer's output */
    float *head_in, *dense, *head_mid, *logits; /* (B, C), (B, C), (B, C), (B, O) */
    float *d_hidden, *d_masked, *d_mixed;       /* (N, C) */
    float *d_qkv;                               /* (N, 3C) */
    float *d_up;                                /* (N, F) */
    float *d_logits, *d_pooled;                 /* (B, O), (B, C) */
    int *positions, *token_position, *token_slot; /* [N] table rows; place in the sequence; slot */
    int *first_rows, *zeros, *counting;           /* [B], [B], [B + 1] */
};

/* Sites of dropout: 0 embeddings, 1 and 2 head, then four a layer. */
enum {
    SITE_EMBEDDING,
    SITE_HEAD_IN,
    SITE_HEAD_MID,
    SITE_LAYER = 4,
    SITE_PROBS = 0,
    SITE_ATTENTION = 1,
    SITE_MLP = 2
};

static int add_linear(Params *params, const char *prefix, const char *name, int out, int in,
                      int head)
{
    char full[96];
    snprintf(full, sizeof full, "%s%s.weight", prefix, name);
    int index = params_add(params, full, out, in, INIT_NORMAL, 1, head);
    snprintf(full, sizeof full, "%s%s.bias", prefix, name);
    params_add(params, full, out, 0, INIT_ZERO, 0, head);
    return index;
}

static int add_norm(Params *params, const char *prefix, const char *name, int C)
{
    char full[96];
    snprintf(full, sizeof full, "%s%s.weight", prefix, name);
    int index = params_add(params, full, C, 0, INIT_ONE, 0, 0);
    snprintf(full, sizeof full, "%s%s.bias", prefix, name);
    params_add(params, full, C, 0, INIT_ZERO, 0, 0);
    return index;
}

static int add_table(Params *params, const char *prefix, const char *name, int rows, int C)
{
    char full[96];
    snprintf(full, sizeof full, "%sembeddings.%s_embeddings.weight", prefix, name);
    return params_add(params, full, rows, C, INIT_NORMAL, 1, 0);
}

void encoder_init(Model *model)
{
    Config config = model->config;
    Problem problem = model->problem;
    Params *p = &model->params;
    int C = config.C, roberta = config.architecture == ARCH_ROBERTA;
    const char *prefix = roberta ? "roberta." : "bert.";
    model->word = add_table(p, prefix, "word", config.V, C);
    model->position = add_table(p, prefix, "position", config.positions, C);
    model->type = add_table(p, prefix, "token_type", config.types, C);
    model->embedding_norm = add_norm(p, prefix, "embeddings.LayerNorm", C);
    model->layers = memory_calloc((size_t)config.L, sizeof *model->layers);
    for (int l = 0; l < config.L; l++) {
        Layer *layer = &model->layers[l];
        char at[40], full[96];
        static const char *const parts[] = {"query", "key", "value"};
        snprintf(at, sizeof at, "%sencoder.layer.%d.", prefix, l);
        int first = p->count;
        for (int i = 0; i < 6; i++) {
            snprintf(full, sizeof full, "%sattention.self.%s.%s", at, parts[i % 3],
                     i < 3 ? "weight" : "bias");
            params_add(p, full, C, i < 3 ? C : 0, i < 3 ? INIT_NORMAL : INIT_ZERO, i < 3, 0);
        }
        layer->query = first;
        layer->key = first + 1;
        layer->query_bias = first + 3;
        layer->key_bias = first + 4;
        layer->attention_out = add_linear(p, at, "attention.output.dense", C, C, 0);
        layer->attention_norm = add_norm(p, at, "attention.output.LayerNorm", C);
        layer->up = add_linear(p, at, "intermediate.dense", config.F, C, 0);
        layer->down = add_linear(p, at, "output.dense", C, config.F, 0);
        layer->mlp_norm = add_norm(p, at, "output.LayerNorm", C);
    }
    if (roberta && problem != PROBLEM_CHOICE) {
        model->head_dense = add_linear(p, "classifier.", "dense", C, C, 1);
        model->head_out = add_linear(p, "classifier.", "out_proj", model->O, C, 1);
    } else {
        model->head_dense = add_linear(p, prefix, "pooler.dense", C, C, 1);
        model->head_out = add_linear(p, "", "classifier", model->O, C, 1);
    }
}

/* RoBERTa's classification head drops its input too; a pooler does not. */
static int head_drops_input(const Model *model)
{
    return model->config.architecture == ARCH_ROBERTA && model->problem != PROBLEM_CHOICE;
}

/* Lays out all activations; with memory NULL only counts. Without training one set of layer buffers
 * serves all. */
static size_t lay_out(Model *model, float *memory, int train)
{
    Acts *acts = model->acts;
    Carver carver = {memory, 0};
    size_t N = (size_t)model->max_tokens, B = (size_t)model->max_sequences,
           C = (size_t)model->config.C;
    size_t F = (size_t)model->config.F, H = (size_t)model->config.H;
    int L = model->config.L;
    acts->embedding_sum = carve(&carver, N, C);
    acts->embedding_mean = carve(&carver, N, 1);
    acts->embedding_rstd = carve(&carver, N, 1);
    acts->hidden0 = carve(&carver, N, C);
    for (int l = 0; l < L; l++) {
        LayerActs *a = &acts->layer[l];
        size_t M = l == L - 1 ? B : N;
        if (!train && l > 1 && l < L - 1) {
            *a = acts->layer[l -
                             2]; /* two sets in turn: a layer reads the output of the one before */
            continue;
        }
        if (l == L - 1) {
            a->query = carve(&carver, M, C);
            a->key = carve(&carver, N, 2 * C);
        } else {
            a->query = carve(&carver, M, 3 * C);
            a->key = a->query ? a->query + C : NULL;
        }
        a->max = carve(&carver, M, H);
        a->rsum = carve(&carver, M, H);
        a->mixed = carve(&carver, M, C);
        a->sum1 = carve(&carver, M, C);
        a->mean1 = carve(&carver, M, 1);
        a->rstd1 = carve(&carver, M, 1);
        a->attn = carve(&carver, M, C);
        a->up = carve(&carver, M, F);
        a->gelu = carve(&carver, M, F);
        a->sum2 = carve(&carver, M, C);
        a->mean2 = carve(&carver, M, 1);
        a->rstd2 = carve(&carver, M, 1);
        a->out = carve(&carver, M, C);
    }
    acts->pooled_in = carve(&carver, B, C);
    acts->head_in = carve(&carver, B, C);
    acts->dense = carve(&carver, B, C);
    acts->head_mid = carve(&carver, B, C);
    acts->logits = carve(&carver, B, (size_t)model->O);
    if (train) {
        acts->d_hidden = carve(&carver, N, C);
        acts->d_masked = carve(&carver, N, C);
        acts->d_mixed = carve(&carver, N, C);
        acts->d_qkv = carve(&carver, N, 3 * C);
        acts->d_up = carve(&carver, N, F);
        acts->d_logits = carve(&carver, B, (size_t)model->O);
        acts->d_pooled = carve(&carver, B, C);
    }
    return carver.used;
}

void encoder_free(Model *model)
{
    if (model->acts) {
        arena_free(model->acts->memory, model->acts_bytes);
        free(model->acts->layer);
        free(model->acts->positions);
        free(model->acts->first_rows);
        free(model->acts);
        model->acts = NULL;
    }
}

size_t encoder_plan(Model *model, int train)
{
    Acts *acts = model->acts = memory_calloc(1, sizeof *acts);
    size_t N = (size_t)model->max_tokens, B = (size_t)model->max_sequences,
           C = (size_t)model->config.C, F = (size_t)model->config.F;
    acts->layer = memory_calloc((size_t)model->config.L, sizeof *acts->layer);
    acts->positions = memory_calloc(3 * N, sizeof *acts->positions);
    acts->token_position = acts->positions + N;
    acts->token_slot = acts->positions + 2 * N;
    acts->first_rows = memory_calloc(3 * B + 1, sizeof *acts->first_rows);
    acts->zeros = acts->first_rows + B;
    acts->counting = acts->first_rows + 2 * B;
    for (int b = 0; b <= model->max_sequences; b++) {
        acts->counting[b] = b;
    }
    model->acts_bytes = lay_out(model, NULL, train) * sizeof(float);
    acts->memory = arena_alloc(model->acts_bytes);
    lay_out(model, acts->memory, train);
    model->logits = acts->logits;
    model->d_logits = acts->d_logits;
    size_t scratch = attention_scratch((size_t)model->max_length, C / (size_t)model->config.H,
                                       model->backend->ctx.threads);
    scratch = larger(scratch, larger(matmul_scratch(N, F, C), matmul_scratch(N, C, F)));
    scratch = larger(scratch, larger(matmul_scratch(N, 3 * C, C), matmul_scratch(N, C, 3 * C)));
    scratch = larger(scratch, larger(matmul_scratch(3 * C, C, N), matmul_scratch(F, C, N)));
    scratch = larger(scratch, larger(matmul_scratch(B, (size_t)model->O, C),
                                     matmul_scratch((size_t)model->O, C, B)));
    scratch = larger(
        scratch, larger(matmul_scratch(B, C, C),
                        larger(matmul_scratch(C, C, B), matmul_scratch(B, C, (size_t)model->O))));
    return scratch;
}

/* Table rows, places and slots of all tokens. RoBERTa counts from padding + 1 and gives padding
 * itself no place. */
static void place_tokens(Model *model, const Batch *batch)
{
    Acts *acts = model->acts;
    int padding = model->config.padding, roberta = model->config.architecture == ARCH_ROBERTA;
    for (int b = 0; b < batch->B; b++) {
        int next = padding + 1;
        acts->first_rows[b] = batch->cu_seqlens[b];
        for (int n = batch->cu_seqlens[b]; n < batch->cu_seqlens[b + 1]; n++) {
            int place = n - batch->cu_seqlens[b];
            acts->token_position[n] = place;
            acts->token_slot[n] = batch->slots[b];
            acts->positions[n] = !roberta ? place : batch->tokens[n] == padding ? padding : next++;
        }
    }
}

/* Rows and where they belong: all tokens, or the first of each sequence. */
typedef struct Rows {
    int count, sequences;
    const int *cu; /* NULL: every row is a sequence of its own */
    const int *position, *slot;
} Rows;

static Rows rows_of(const Model *model, const Batch *batch, int l)
{
    if (l < model->config.L - 1) {
        return (Rows){batch->N, batch->B, batch->cu_seqlens, model->acts->token_position,
                      model->acts->token_slot};
    }
    return (Rows){batch->B, batch->B, NULL, model->acts->zeros, batch->slots};
}

static AttentionShape attention_shape(const Model *model, const Batch *batch, int l)
{
    int C = model->config.C, H = model->config.H, last = l == model->config.L - 1;
    return (AttentionShape){.B = batch->B,
                            .H = H,
                            .K = H,
                            .D = C / H,
                            .scale = 1.0f / sqrtf((float)(C / H)),
                            .cu_q = last ? model->acts->counting : batch->cu_seqlens,
                            .cu_k = batch->cu_seqlens,
                            .q_position = model->acts->zeros,
                            .slot = batch->slots,
                            .q_stride = last ? C : 3 * C,
                            .kv_stride = last ? 2 * C : 3 * C};
}

/* Applies dropout in place, unless it is off. */
static void drop(Model *model, float *x, const Rows *rows, const DropoutSite *where)
{
    if (where->p > 0.0f) {
        model->backend->ops.dropout(&model->backend->ctx, x, x, rows->position, rows->slot,
                                    rows->count, model->config.C, where);
    }
}

/* The gradient behind dropout: d itself, or d masked in d_masked. */
static const float *drop_backward(Model *model, const float *d, const Rows *rows,
                                  const DropoutSite *where)
{
    if (where->p == 0.0f) {
        return d;
    }
    model->backend->ops.dropout(&model->backend->ctx, model->acts->d_masked, d, rows->position,
                                rows->slot, rows->count, model->config.C, where);
    return model->acts->d_masked;
}

static void layer_forward(Model *model, int l, const float *x, const Batch *batch, const Step *step)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    const Layer *layer = &model->layers[l];
    LayerActs *a = &model->acts->layer[l];
    int C = model->config.C, F = model->config.F, base = SITE_LAYER * (l + 1);
    Rows rows = rows_of(model, batch, l);
    AttentionShape shape = attention_shape(model, batch, l);
    DropoutSite probs = model_site(step, base + SITE_PROBS, model->config.attention_dropout);
    DropoutSite after = model_site(step, base + SITE_ATTENTION, model->config.dropout);
    DropoutSite mlp = model_site(step, base + SITE_MLP, model->config.dropout);
    const float *residual = x;
    if (l < model->config.L - 1) {
        ops->matmul_forward(ctx, a->query, x, model_weight(model, layer->query),
                            model_weight(model, layer->query_bias), batch->N, C, 3 * C);
    } else {
        ops->matmul_forward(ctx, a->key, x, model_weight(model, layer->key),
                            model_weight(model, layer->key_bias), batch->N, C, 2 * C);
        ops->gather_rows(ctx, model->acts->pooled_in, x, model->acts->first_rows, batch->B, C);
        residual = model->acts->pooled_in;
        ops->matmul_forward(ctx, a->query, residual, model_weight(model, layer->query),
                            model_weight(model, layer->query_bias), batch->B, C, C);
    }
    ops->attention_forward(ctx, a->mixed, a->max, a->rsum, a->query, a->key, a->key + C, &shape,
                           &probs);
    ops->matmul_forward(ctx, a->sum1, a->mixed, model_weight(model, layer->attention_out),
                        model_weight(model, layer->attention_out + 1), rows.count, C, C);
    drop(model, a->sum1, &rows, &after);
    ops->residual_layernorm_forward(ctx, a->attn, a->sum1, a->mean1, a->rstd1, residual, a->sum1,
                                    model_weight(model, layer->attention_norm),
                                    model_weight(model, layer->attention_norm + 1), rows.count, C,
                                    model->config.eps);
    model_observe(model, "attn", l, a->attn, rows.count, C);
    ops->matmul_forward(ctx, a->up, a->attn, model_weight(model, layer->up),
                        model_weight(model, layer->up + 1), rows.count, C, F);
    ops->gelu_forward(ctx, a->gelu, a->up, (size_t)rows.count * (size_t)F);
    ops->matmul_forward(ctx, a->sum2, a->gelu, model_weight(model, layer->down),
                        model_weight(model, layer->down + 1), rows.count, F, C);
    drop(model, a->sum2, &rows, &mlp);
    ops->residual_layernorm_forward(ctx, a->out, a->sum2, a->mean2, a->rstd2, a->attn, a->sum2,
                                    model_weight(model, layer->mlp_norm),
                                    model_weight(model, layer->mlp_norm + 1), rows.count, C,
                                    model->config.eps);
    model_observe(model, "hidden", l + 1, a->out, rows.count, C);
}

const float *encoder_forward(Model *model, const Batch *batch, const Step *step)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    Acts *acts = model->acts;
    const Config *config = &model->config;
    int C = config->C, N = batch->N, B = batch->B;
    place_tokens(model, batch);
    ops->embedding_forward(ctx, acts->embedding_sum, batch->tokens, acts->positions, batch->types,
                           model_weight(model, model->word), model_weight(model, model->position),
                           model_weight(model, model->type), N, C);
    ops->layernorm_forward(ctx, acts->hidden0, acts->embedding_mean, acts->embedding_rstd,
                           acts->embedding_sum, model_weight(model, model->embedding_norm),
                           model_weight(model, model->embedding_norm + 1), N, C, config->eps);
    Rows all = {N, B, batch->cu_seqlens, acts->token_position, acts->token_slot},
         heads = {B, B, NULL, acts->zeros, batch->slots};
    DropoutSite embedding = model_site(step, SITE_EMBEDDING, config->dropout);
    drop(model, acts->hidden0, &all, &embedding);
    model_observe(model, "hidden", 0, acts->hidden0, N, C);
    const float *x = acts->hidden0;
    for (int l = 0; l < config->L; l++) {
        layer_forward(model, l, x, batch, step);
        x = acts->layer[l].out;
    }
    /* head: [dropout,] dense, tanh, dropout, out */
    DropoutSite input = model_site(step, SITE_HEAD_IN,
                                   head_drops_input(model) ? config->head_dropout : 0.0f);
    DropoutSite middle = model_site(step, SITE_HEAD_MID, config->head_dropout);
    memcpy(acts->head_in, x, (size_t)B * (size_t)C * sizeof(float));
    drop(model, acts->head_in, &heads, &input);
    ops->matmul_forward(ctx, acts->dense, acts->head_in, model_weight(model, model->head_dense),
                        model_weight(model, model->head_dense + 1), B, C, C);
    ops->tanh_forward(ctx, acts->dense, acts->dense, (size_t)B * (size_t)C);
    memcpy(acts->head_mid, acts->dense, (size_t)B * (size_t)C * sizeof(float));
    drop(model, acts->head_mid, &heads, &middle);
    ops->matmul_forward(ctx, acts->logits, acts->head_mid, model_weight(model, model->head_out),
                        model_weight(model, model->head_out + 1), B, C, model->O);
    model_observe(model, "logits", -1, acts->logits, B / model->choices, model->O * model->choices);
    return acts->logits;
}

/* Gradients of a linear layer's weight (index) and bias (index + 1), given d out. */
static void linear_gradients(Model *model, int index, const float *dout, const float *x,
                             const Rows *rows, int in, int out)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    ops->bias_backward(ctx, model_gradient(model, index + 1), dout, rows->cu, rows->sequences, out);
    ops->matmul_backward_weight(ctx, model_gradient(model, index), dout, x, rows->count, in, out);
}

/* d_hidden holds the gradient of the layer's output (M, C) and gets that of its input (N, C). */
static void layer_backward(Model *model, int l, const float *x, const Batch *batch,
                           const Step *step)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    const Layer *layer = &model->layers[l];
    Acts *acts = model->acts;
    const LayerActs *a = &acts->layer[l];
    int C = model->config.C, F = model->config.F, base = SITE_LAYER * (l + 1),
        last = l == model->config.L - 1;
    Rows rows = rows_of(model, batch, l);
    AttentionShape shape = attention_shape(model, batch, l);
    DropoutSite probs = model_site(step, base + SITE_PROBS, model->config.attention_dropout);
    DropoutSite after = model_site(step, base + SITE_ATTENTION, model->config.dropout);
    DropoutSite mlp = model_site(step, base + SITE_MLP, model->config.dropout);
    float *d = last ? acts->d_pooled : acts->d_hidden;

    /* forward: out = layernorm(attn + dropout(down(gelu(up(attn))))) */
    ops->layernorm_backward(ctx, d, model_gradient(model, layer->mlp_norm),
                            model_gradient(model, layer->mlp_norm + 1), d, a->sum2, a->mean2,
                            a->rstd2, model_weight(model, layer->mlp_norm), rows.cu, batch->B, C);
    const float *d_masked = drop_backward(model, d, &rows, &mlp);
    linear_gradients(model, layer->down, d_masked, a->gelu, &rows, F, C);
    ops->matmul_backward_input(ctx, acts->d_up, d_masked, model_weight(model, layer->down),
                               rows.count, F, C, 0);
    ops->gelu_backward(ctx, acts->d_up, acts->d_up, a->up, (size_t)rows.count * (size_t)F);
    linear_gradients(model, layer->up, acts->d_up, a->attn, &rows, C, F);
    ops->matmul_backward_input(ctx, d, acts->d_up, model_weight(model, layer->up), rows.count, C, F,
                               1);

    /* forward: attn = layernorm(x + dropout(attention_out(mixed))) */
    ops->layernorm_backward(ctx, d, model_gradient(model, layer->attention_norm),
                            model_gradient(model, layer->attention_norm + 1), d, a->sum1, a->mean1,
                            a->rstd1, model_weight(model, layer->attention_norm), rows.cu, batch->B,
                            C);
    d_masked = drop_backward(model, d, &rows, &after);
    linear_gradients(model, layer->attention_out, d_masked, a->mixed, &rows, C, C);
    ops->matmul_backward_input(ctx, acts->d_mixed, d_masked,
                               model_weight(model, layer->attention_out), rows.count, C, C, 0);

    /* forward: mixed = attention(query, key, value of x) */
    if (!last) {
        float *d_q = acts->d_qkv;
        ops->attention_backward(ctx, d_q, d_q + C, d_q + 2 * C, acts->d_mixed, a->query, a->key,
                                a->key + C, a->max, a->rsum, &shape, &probs);
        ops->bias_backward(ctx, model_gradient(model, layer->query_bias), d_q, batch->cu_seqlens,
                           batch->B, 3 * C);
        ops->matmul_backward_weight(ctx, model_gradient(model, layer->query), d_q, x, batch->N, C,
                                    3 * C);
        ops->matmul_backward_input(ctx, d, d_q, model_weight(model, layer->query), batch->N, C,
                                   3 * C, 1);
        return;
    }
    float *d_kv = acts->d_qkv, *d_q = acts->d_qkv + 2 * (size_t)C * (size_t)batch->N;
    ops->attention_backward(ctx, d_q, d_kv, d_kv + C, acts->d_mixed, a->query, a->key, a->key + C,
                            a->max, a->rsum, &shape, &probs);
    ops->bias_backward(ctx, model_gradient(model, layer->query_bias), d_q, NULL, batch->B, C);
    ops->bias_backward(ctx, model_gradient(model, layer->key_bias), d_kv, batch->cu_seqlens,
                       batch->B, 2 * C);
    ops->matmul_backward_weight(ctx, model_gradient(model, layer->query), d_q, acts->pooled_in,
                                batch->B, C, C);
    ops->matmul_backward_weight(ctx, model_gradient(model, layer->key), d_kv, x, batch->N, C,
                                2 * C);
    ops->matmul_backward_input(ctx, d, d_q, model_weight(model, layer->query), batch->B, C, C, 1);
    ops->matmul_backward_input(ctx, acts->d_hidden, d_kv, model_weight(model, layer->key), batch->N,
                               C, 2 * C, 0);
    ops->scatter_add_rows(ctx, acts->d_hidden, d, acts->first_rows, batch->B, C);
}

void encoder_backward(Model *model, const Batch *batch, const Step *step)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    Acts *acts = model->acts;
    const Config *config = &model->config;
    int C = config->C, N = batch->N, B = batch->B, L = config->L;
    Rows heads = {B, B, NULL, acts->zeros, batch->slots},
         all = {N, B, batch->cu_seqlens, acts->token_position, acts->token_slot};
    DropoutSite input = model_site(step, SITE_HEAD_IN,
                                   head_drops_input(model) ? config->head_dropout : 0.0f);
    DropoutSite middle = model_site(step, SITE_HEAD_MID, config->head_dropout);
    DropoutSite embedding = model_site(step, SITE_EMBEDDING, config->dropout);

    /* forward: logits = out(dropout(tanh(dense(dropout(x))))) */
    linear_gradients(model, model->head_out, acts->d_logits, acts->head_mid, &heads, C, model->O);
    ops->matmul_backward_input(ctx, acts->d_pooled, acts->d_logits,
                               model_weight(model, model->head_out), B, C, model->O, 0);
    drop(model, acts->d_pooled, &heads, &middle);
    ops->tanh_backward(ctx, acts->d_pooled, acts->d_pooled, acts->dense, (size_t)B * (size_t)C);
    linear_gradients(model, model->head_dense, acts->d_pooled, acts->head_in, &heads, C, C);
    ops->matmul_backward_input(ctx, acts->d_mixed, acts->d_pooled,
                               model_weight(model, model->head_dense), B, C, C, 0);
    memcpy(acts->d_pooled, acts->d_mixed, (size_t)B * (size_t)C * sizeof(float));
    drop(model, acts->d_pooled, &heads, &input);
    model_observe(model, "dhidden", L, acts->d_pooled, B, C);

    for (int l = L - 1; l >= 0; l--) {
        layer_backward(model, l, l ? acts->layer[l - 1].out : acts->hidden0, batch, step);
        model_observe(model, "dhidden", l, acts->d_hidden, N, C);
    }

    /* forward: hidden0 = dropout(layernorm(word + position + type)) */
    drop(model, acts->d_hidden, &all, &embedding);
    ops->layernorm_backward(ctx, acts->d_hidden, model_gradient(model, model->embedding_norm),
                            model_gradient(model, model->embedding_norm + 1), acts->d_hidden,
                            acts->embedding_sum, acts->embedding_mean, acts->embedding_rstd,
                            model_weight(model, model->embedding_norm), batch->cu_seqlens, B, C);
    ops->embedding_backward(ctx, model_gradient(model, model->word),
                            model_gradient(model, model->position),
                            model_gradient(model, model->type), acts->d_hidden, batch->tokens,
                            acts->positions, batch->types, N, C, config->padding,
                            config->architecture == ARCH_ROBERTA ? config->padding : -1);
}
