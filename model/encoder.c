/* The encoder's forward and backward pass. Post-norm as in BERT (Devlin et al. 2019): every block
 * is x = layernorm(x + dropout(block(x))). Reference: transformers modeling_bert.py,
 * modeling_roberta.py. */
#include "parts.h"

#include <stdlib.h>
#include <string.h>

typedef struct Layer {
    Linear query, key, value, out, up, down;
    int attention_norm, mlp_norm; /* weight; the bias is the next parameter */
} Layer;

/* Activations of one layer. M is N, but B in the last layer, where only pooled rows go on. */
typedef struct LayerActs {
    float *query, *key, *value;         /* (M, C), (N, C), (N, C) */
    float *max, *rsum;                  /* (M, H) */
    float *mixed;                       /* (M, C) attention output */
    float *sum1, *mean1, *rstd1, *attn; /* (M, C), (M), (M), (M, C) */
    float *up, *gelu;                   /* (M, F) */
    float *sum2, *mean2, *rstd2, *out;  /* (M, C), (M), (M), (M, C) */
    float *mid[LINEAR_KINDS];           /* (rows, R) of the adapters */
} LayerActs;

struct Encoder {
    int word, position, type, embedding_norm; /* parameters; the norm's bias is the next */
    Linear head_dense, head_out;
    Layer *layer; /* [L] */
    float *memory;
    float *embedding_sum, *embedding_mean, *embedding_rstd; /* (N, C), (N), (N) */
    float *hidden0;                                         /* (N, C) */
    LayerActs *acts;                                        /* [L] */
    float *pooled_in;                           /* (B, C) rows of the second last layer's output */
    float *head_in, *dense, *head_mid, *logits; /* (B, C), (B, C), (B, C), (B, O) */
    float *d_hidden, *d_masked, *d_mixed;       /* (N, C) */
    float *d_query, *d_key, *d_value;           /* (N, C) */
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
    const Config *c = &model->config;
    Params *p = &model->params;
    Encoder *e = model->encoder = memory_calloc(1, sizeof *e);
    int C = c->C, roberta = c->architecture == ARCH_ROBERTA;
    const char *prefix = roberta ? "roberta." : "bert.";
    e->word = add_table(p, prefix, "word", c->V, C);
    e->position = add_table(p, prefix, "position", c->positions, C);
    e->type = add_table(p, prefix, "token_type", c->types, C);
    e->embedding_norm = add_norm(p, prefix, "embeddings.LayerNorm", C);
    e->layer = memory_calloc((size_t)c->L, sizeof *e->layer);
    for (int l = 0; l < c->L; l++) {
        Layer *layer = &e->layer[l];
        char at[48];
        snprintf(at, sizeof at, "%s%d.", block_prefix(c->architecture), l);
        layer->query = linear_add(model, LINEAR_Q, l, C, C, 1);
        layer->key = linear_add(model, LINEAR_K, l, C, C, 1);
        layer->value = linear_add(model, LINEAR_V, l, C, C, 1);
        layer->out = linear_add(model, LINEAR_O, l, C, C, 1);
        layer->attention_norm = add_norm(p, at, "attention.output.LayerNorm", C);
        layer->up = linear_add(model, LINEAR_UP, l, C, c->F, 1);
        layer->down = linear_add(model, LINEAR_DOWN, l, c->F, C, 1);
        layer->mlp_norm = add_norm(p, at, "output.LayerNorm", C);
    }
    if (roberta && model->problem != PROBLEM_CHOICE) {
        e->head_dense = linear_add_other(model, "classifier.dense", C, C, 1, 1);
        e->head_out = linear_add_other(model, "classifier.out_proj", C, model->O, 1, 1);
    } else {
        /* the pooler belongs to the base: PEFT trains the classifier alone beside adapters */
        e->head_dense = linear_add_other(model,
                                         roberta ? "roberta.pooler.dense" : "bert.pooler.dense", C,
                                         C, 1, !model->lora.targets);
        e->head_out = linear_add_other(model, "classifier", C, model->O, 1, 1);
    }
}

/* RoBERTa's classification head drops its input too; a pooler does not. */
static int head_drops_input(const Model *model)
{
    return model->config.architecture == ARCH_ROBERTA && model->problem != PROBLEM_CHOICE;
}

/* Buffers of one layer with N rows, M behind the keys and values. What the backward pass needs is
 * carved for each layer; the rest is in shared, which serves all layers in turn. With shared NULL
 * this lays out the shared ones: those which no layer has of its own. */
static void lay_out_layer(const Model *model, Carver *carver, LayerActs *a, const LayerActs *shared,
                          int keep, size_t N, size_t M)
{
    const Layer *layer = &model->encoder->layer[0]; /* adapters are the same in all layers */
    size_t C = (size_t)model->config.C, F = (size_t)model->config.F, H = (size_t)model->config.H;
#define PART(field, kept, rows, columns)                                                           \
    if ((kept) == (shared != NULL)) {                                                              \
        a->field = carve(carver, rows, columns);                                                   \
    } else if (shared) {                                                                           \
        a->field = shared->field;                                                                  \
    }
    PART(query, keep, M, C)
    PART(key, keep, N, C)
    PART(value, keep, N, C)
    PART(max, keep, M, H)
    PART(rsum, keep, M, H)
    PART(mixed, keep && linear_needs_input(model, &layer->out), M, C)
    PART(sum1, keep, M, C)
    PART(mean1, keep, M, 1)
    PART(rstd1, keep, M, 1)
    PART(attn, keep && linear_needs_input(model, &layer->up), M, C)
    PART(up, keep, M, F)
    PART(gelu, keep && linear_needs_input(model, &layer->down), M, F)
    PART(sum2, keep, M, C)
    PART(mean2, keep, M, 1)
    PART(rstd2, keep, M, 1)
    for (int k = 0; k < LINEAR_KINDS; k++) {
        if (model->lora.targets >> k & 1) {
            PART(mid[k], keep, k == LINEAR_K || k == LINEAR_V ? N : M, (size_t)model->lora.r)
        }
    }
#undef PART
}

/* Lays out all activations; with memory NULL only counts. */
static void lay_out(Model *model, Carver *carver, int train)
{
    Encoder *e = model->encoder;
    LayerActs shared = {0};
    size_t N = (size_t)model->max_tokens, B = (size_t)model->max_sequences,
           C = (size_t)model->config.C;
    int L = model->config.L, keep = train && !model->recompute;
    e->embedding_sum = carve(carver, N, C);
    e->embedding_mean = carve(carver, N, 1);
    e->embedding_rstd = carve(carver, N, 1);
    e->hidden0 = carve(carver, N, C);
    lay_out_layer(model, carver, &shared, NULL, keep, N, N);
    for (int l = 0; l < L; l++) {
        LayerActs *a = &e->acts[l];
        lay_out_layer(model, carver, a, &shared, keep, N, l == L - 1 ? B : N);
        /* the next layer's input; without training two serve all in turn */
        a->out = train || l < 2 ? carve(carver, N, C) : e->acts[l - 2].out;
    }
    e->pooled_in = carve(carver, B, C);
    e->head_in = carve(carver, B, C);
    e->dense = carve(carver, B, C);
    e->head_mid = carve(carver, B, C);
    e->logits = carve(carver, B, (size_t)model->O);
    if (train) {
        e->d_hidden = carve(carver, N, C);
        e->d_masked = carve(carver, N, C);
        e->d_mixed = carve(carver, N, C);
        e->d_query = carve(carver, N, C);
        e->d_key = carve(carver, N, C);
        e->d_value = carve(carver, N, C);
        e->d_up = carve(carver, N, (size_t)model->config.F);
        e->d_logits = carve(carver, B, (size_t)model->O);
        e->d_pooled = carve(carver, B, C);
    }
}

void encoder_unplan(Model *model)
{
    Encoder *e = model->encoder;
    if (e) {
        arena_free(e->memory, model->acts_bytes);
        free(e->acts);
        free(e->positions);
        free(e->first_rows);
        e->memory = NULL;
        e->acts = NULL;
        e->positions = e->first_rows = NULL;
    }
}

void encoder_free(Model *model)
{
    encoder_unplan(model);
    if (model->encoder) {
        free(model->encoder->layer);
        free(model->encoder);
        model->encoder = NULL;
    }
}

size_t encoder_plan(Model *model, int train)
{
    Encoder *e = model->encoder;
    size_t N = (size_t)model->max_tokens, B = (size_t)model->max_sequences,
           C = (size_t)model->config.C;
    e->acts = memory_calloc((size_t)model->config.L, sizeof *e->acts);
    e->positions = memory_calloc(3 * N, sizeof *e->positions);
    e->token_position = e->positions + N;
    e->token_slot = e->positions + 2 * N;
    e->first_rows = memory_calloc(3 * B + 1, sizeof *e->first_rows);
    e->zeros = e->first_rows + B;
    e->counting = e->first_rows + 2 * B;
    for (int b = 0; b <= model->max_sequences; b++) {
        e->counting[b] = b;
    }
    Carver counted = {NULL, 0};
    lay_out(model, &counted, train);
    model->acts_bytes = counted.used * sizeof(float);
    e->memory = arena_alloc(model->acts_bytes);
    lay_out(model, &(Carver){e->memory, 0}, train);
    model->logits = e->logits;
    model->d_logits = e->d_logits;
    const Layer *layer = &e->layer[0];
    const Linear *linears[] = {&layer->query, &layer->key, &layer->value,
                               &layer->out,   &layer->up,  &layer->down};
    size_t scratch = attention_scratch((size_t)model->max_length, C / (size_t)model->config.H,
                                       model->backend->ctx.threads);
    for (size_t i = 0; i < sizeof linears / sizeof *linears; i++) {
        scratch = larger(scratch, linear_scratch(model, linears[i], larger(N, B)));
    }
    return larger(scratch, larger(linear_scratch(model, &e->head_dense, B),
                                  linear_scratch(model, &e->head_out, B)));
}

/* Table rows, places and slots of all tokens. RoBERTa counts from padding + 1 and gives padding
 * itself no place. */
static void place_tokens(Model *model, const Batch *batch)
{
    Encoder *e = model->encoder;
    int padding = model->config.padding, roberta = model->config.architecture == ARCH_ROBERTA;
    for (int b = 0; b < batch->B; b++) {
        int next = padding + 1;
        e->first_rows[b] = batch->cu_seqlens[b];
        for (int n = batch->cu_seqlens[b]; n < batch->cu_seqlens[b + 1]; n++) {
            int place = n - batch->cu_seqlens[b];
            e->token_position[n] = place;
            e->token_slot[n] = batch->slots[b];
            e->positions[n] = !roberta ? place : batch->tokens[n] == padding ? padding : next++;
        }
    }
}

static Rows rows_of(const Model *model, const Batch *batch, int l)
{
    if (l < model->config.L - 1) {
        return (Rows){batch->N, batch->B, batch->cu_seqlens, model->encoder->token_position,
                      model->encoder->token_slot};
    }
    return (Rows){batch->B, batch->B, NULL, model->encoder->zeros, batch->slots};
}

static AttentionShape attention_shape(const Model *model, const Batch *batch, int l)
{
    int C = model->config.C, H = model->config.H, last = l == model->config.L - 1;
    return (AttentionShape){.B = batch->B,
                            .H = H,
                            .K = H,
                            .D = C / H,
                            .q_rows = last ? batch->B : batch->N,
                            .k_rows = batch->N,
                            .longest = model->max_length,
                            .scale = 1.0f / sqrtf((float)(C / H)),
                            .cu_q = last ? model->encoder->counting : batch->cu_seqlens,
                            .cu_k = batch->cu_seqlens,
                            .q_position = model->encoder->zeros,
                            .slot = batch->slots,
                            .q_stride = C,
                            .kv_stride = C};
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
    model->backend->ops.dropout(&model->backend->ctx, model->encoder->d_masked, d, rows->position,
                                rows->slot, rows->count, model->config.C, where);
    return model->encoder->d_masked;
}

static Rows all_rows(const Model *model, const Batch *batch)
{
    return (Rows){batch->N, batch->B, batch->cu_seqlens, model->encoder->token_position,
                  model->encoder->token_slot};
}

static void layer_forward(Model *model, int l, const float *x, const Batch *batch, const Step *step)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    Encoder *e = model->encoder;
    const Layer *layer = &e->layer[l];
    LayerActs *a = &e->acts[l];
    int C = model->config.C, F = model->config.F, base = SITE_LAYER * (l + 1);
    Rows all = all_rows(model, batch), rows = rows_of(model, batch, l);
    AttentionShape shape = attention_shape(model, batch, l);
    DropoutSite probs = model_site(step, base + SITE_PROBS, model->config.attention_dropout);
    DropoutSite after = model_site(step, base + SITE_ATTENTION, model->config.dropout);
    DropoutSite mlp = model_site(step, base + SITE_MLP, model->config.dropout);
    linear_forward(model, &layer->key, a->key, a->mid[LINEAR_K], x, &all, step);
    linear_forward(model, &layer->value, a->value, a->mid[LINEAR_V], x, &all, step);
    if (l == model->config.L - 1) {
        ops->gather_rows(ctx, e->pooled_in, (Weight){.f32 = x}, e->first_rows, batch->B, C);
        x = e->pooled_in;
    }
    linear_forward(model, &layer->query, a->query, a->mid[LINEAR_Q], x, &rows, step);
    ops->attention_forward(ctx, a->mixed, a->max, a->rsum, a->query, a->key, a->value, &shape,
                           &probs);
    linear_forward(model, &layer->out, a->sum1, a->mid[LINEAR_O], a->mixed, &rows, step);
    drop(model, a->sum1, &rows, &after);
    ops->residual_layernorm_forward(ctx, a->attn, a->sum1, a->mean1, a->rstd1, x, a->sum1,
                                    model_vector(model, layer->attention_norm),
                                    model_vector(model, layer->attention_norm + 1), rows.count, C,
                                    model->config.eps);
    model_observe(model, "attn", l, a->attn, rows.count, C);
    linear_forward(model, &layer->up, a->up, a->mid[LINEAR_UP], a->attn, &rows, step);
    ops->gelu_forward(ctx, a->gelu, a->up, (size_t)rows.count * (size_t)F);
    linear_forward(model, &layer->down, a->sum2, a->mid[LINEAR_DOWN], a->gelu, &rows, step);
    drop(model, a->sum2, &rows, &mlp);
    ops->residual_layernorm_forward(ctx, a->out, a->sum2, a->mean2, a->rstd2, a->attn, a->sum2,
                                    model_vector(model, layer->mlp_norm),
                                    model_vector(model, layer->mlp_norm + 1), rows.count, C,
                                    model->config.eps);
    model_observe(model, "hidden", l + 1, a->out, rows.count, C);
}

const float *encoder_forward(Model *model, const Batch *batch, const Step *step)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    Encoder *e = model->encoder;
    const Config *config = &model->config;
    int C = config->C, N = batch->N, B = batch->B;
    place_tokens(model, batch);
    ops->embedding_forward(ctx, e->embedding_sum, batch->tokens, e->positions, batch->types,
                           model_weight(model, e->word), model_weight(model, e->position),
                           model_weight(model, e->type), N, C);
    ops->layernorm_forward(ctx, e->hidden0, e->embedding_mean, e->embedding_rstd, e->embedding_sum,
                           model_vector(model, e->embedding_norm),
                           model_vector(model, e->embedding_norm + 1), N, C, config->eps);
    Rows all = all_rows(model, batch), heads = {B, B, NULL, e->zeros, batch->slots};
    DropoutSite embedding = model_site(step, SITE_EMBEDDING, config->dropout);
    drop(model, e->hidden0, &all, &embedding);
    model_observe(model, "hidden", 0, e->hidden0, N, C);
    const float *x = e->hidden0;
    for (int l = 0; l < config->L; l++) {
        layer_forward(model, l, x, batch, step);
        x = e->acts[l].out;
    }
    /* head: [dropout,] dense, tanh, dropout, out */
    DropoutSite input = model_site(step, SITE_HEAD_IN,
                                   head_drops_input(model) ? config->head_dropout : 0.0f);
    DropoutSite middle = model_site(step, SITE_HEAD_MID, config->head_dropout);
    memcpy(e->head_in, x, (size_t)B * (size_t)C * sizeof(float));
    drop(model, e->head_in, &heads, &input);
    linear_forward(model, &e->head_dense, e->dense, NULL, e->head_in, &heads, step);
    ops->tanh_forward(ctx, e->dense, e->dense, (size_t)B * (size_t)C);
    memcpy(e->head_mid, e->dense, (size_t)B * (size_t)C * sizeof(float));
    drop(model, e->head_mid, &heads, &middle);
    linear_forward(model, &e->head_out, e->logits, NULL, e->head_mid, &heads, step);
    model_observe(model, "logits", -1, e->logits, B / model->choices, model->O * model->choices);
    return e->logits;
}

static unsigned bit(LinearKind kind)
{
    return 1u << kind;
}

/* d_hidden, d_pooled in the last layer, holds the gradient of the layer's output; d_hidden gets
 * that of its input (N, C), unless nothing below is trained. */
static void layer_backward(Model *model, int l, const float *x, const Batch *batch,
                           const Step *step)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    Encoder *e = model->encoder;
    const Layer *layer = &e->layer[l];
    const LayerActs *a = &e->acts[l];
    int C = model->config.C, base = SITE_LAYER * (l + 1), last = l == model->config.L - 1;
    Rows all = all_rows(model, batch), rows = rows_of(model, batch, l);
    AttentionShape shape = attention_shape(model, batch, l);
    DropoutSite probs = model_site(step, base + SITE_PROBS, model->config.attention_dropout);
    DropoutSite after = model_site(step, base + SITE_ATTENTION, model->config.dropout);
    DropoutSite mlp = model_site(step, base + SITE_MLP, model->config.dropout);
    const unsigned qkv = bit(LINEAR_Q) | bit(LINEAR_K) | bit(LINEAR_V),
                   attention = qkv | bit(LINEAR_O), above_gelu = attention | bit(LINEAR_UP);
    float *d = last ? e->d_pooled : e->d_hidden;

    /* forward: out = layernorm(attn + dropout(down(gelu(up(attn))))) */
    ops->layernorm_backward(ctx, d, model_gradient(model, layer->mlp_norm),
                            model_gradient(model, layer->mlp_norm + 1), d, a->sum2, a->mean2,
                            a->rstd2, model_vector(model, layer->mlp_norm), rows.cu, batch->B,
                            rows.count, C);
    const float *d_masked = drop_backward(model, d, &rows, &mlp);
    int below = model_trains(model, l, above_gelu);
    linear_backward(model, &layer->down, below ? e->d_up : NULL, d_masked, a->mid[LINEAR_DOWN],
                    a->gelu, &rows, step, 0);
    if (!below) {
        return;
    }
    below = model_trains(model, l, attention);
    ops->gelu_backward(ctx, e->d_up, e->d_up, a->up, (size_t)rows.count * (size_t)model->config.F);
    linear_backward(model, &layer->up, below ? d : NULL, e->d_up, a->mid[LINEAR_UP], a->attn, &rows,
                    step, 1);
    if (!below) {
        return;
    }

    /* forward: attn = layernorm(x + dropout(out(mixed))) */
    below = model_trains(model, l, qkv);
    ops->layernorm_backward(ctx, d, model_gradient(model, layer->attention_norm),
                            model_gradient(model, layer->attention_norm + 1), d, a->sum1, a->mean1,
                            a->rstd1, model_vector(model, layer->attention_norm), rows.cu, batch->B,
                            rows.count, C);
    d_masked = drop_backward(model, d, &rows, &after);
    linear_backward(model, &layer->out, below ? e->d_mixed : NULL, d_masked, a->mid[LINEAR_O],
                    a->mixed, &rows, step, 0);
    if (!below) {
        return;
    }

    /* forward: mixed = attention(query, key, value of x) */
    below = model_trains(model, l, 0);
    ops->attention_backward(ctx, e->d_query, e->d_key, e->d_value, e->d_mixed, a->query, a->key,
                            a->value, a->max, a->rsum, &shape, &probs);
    float *d_query_in = below ? d : NULL, *d_x = below ? e->d_hidden : NULL;
    linear_backward(model, &layer->query, d_query_in, e->d_query, a->mid[LINEAR_Q],
                    last ? e->pooled_in : x, &rows, step, 1);
    linear_backward(model, &layer->key, d_x, e->d_key, a->mid[LINEAR_K], x, &all, step, !last);
    linear_backward(model, &layer->value, d_x, e->d_value, a->mid[LINEAR_V], x, &all, step, 1);
    if (last && below) {
        ops->scatter_add_rows(ctx, e->d_hidden, d, e->first_rows, batch->B, C);
    }
}

void encoder_backward(Model *model, const Batch *batch, const Step *step)
{
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    Encoder *e = model->encoder;
    const Config *config = &model->config;
    int C = config->C, N = batch->N, B = batch->B, L = config->L;
    Rows heads = {B, B, NULL, e->zeros, batch->slots}, all = all_rows(model, batch);
    DropoutSite input = model_site(step, SITE_HEAD_IN,
                                   head_drops_input(model) ? config->head_dropout : 0.0f);
    DropoutSite middle = model_site(step, SITE_HEAD_MID, config->head_dropout);
    DropoutSite embedding = model_site(step, SITE_EMBEDDING, config->dropout);

    /* forward: logits = out(dropout(tanh(dense(dropout(x))))) */
    linear_backward(model, &e->head_out, e->d_pooled, e->d_logits, NULL, e->head_mid, &heads, step,
                    0);
    drop(model, e->d_pooled, &heads, &middle);
    ops->tanh_backward(ctx, e->d_pooled, e->d_pooled, e->dense, (size_t)B * (size_t)C);
    linear_backward(model, &e->head_dense, e->d_mixed, e->d_pooled, NULL, e->head_in, &heads, step,
                    0);
    memcpy(e->d_pooled, e->d_mixed, (size_t)B * (size_t)C * sizeof(float));
    drop(model, e->d_pooled, &heads, &input);
    model_observe(model, "dhidden", L, e->d_pooled, B, C);

    for (int l = L - 1; l >= 0; l--) {
        const float *x = l ? e->acts[l - 1].out : e->hidden0;
        if (model->recompute && l < L - 1) {
            void (*observe)(void *, const char *, const float *, int, int) = model->observe;
            model->observe = NULL; /* it has seen these */
            layer_forward(model, l, x, batch, step);
            model->observe = observe;
        }
        layer_backward(model, l, x, batch, step);
        if (model_trains(model, l, 0)) {
            model_observe(model, "dhidden", l, e->d_hidden, N, C);
        }
    }

    if (!model_gradient(model, e->word)) {
        return;
    }
    /* forward: hidden0 = dropout(layernorm(word + position + type)) */
    drop(model, e->d_hidden, &all, &embedding);
    ops->layernorm_backward(ctx, e->d_hidden, model_gradient(model, e->embedding_norm),
                            model_gradient(model, e->embedding_norm + 1), e->d_hidden,
                            e->embedding_sum, e->embedding_mean, e->embedding_rstd,
                            model_vector(model, e->embedding_norm), batch->cu_seqlens, B, N, C);
    ops->embedding_backward(ctx, model_gradient(model, e->word), model_gradient(model, e->position),
                            model_gradient(model, e->type), e->d_hidden, batch->tokens,
                            e->positions, batch->types, N, C, config->padding,
                            config->architecture == ARCH_ROBERTA ? config->padding : -1);
}
