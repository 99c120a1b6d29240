/* The decoder's passes: pre-norm layers as in Llama, x = x + attention(norm(x)), x = x +
 * mlp(norm(x)), RoPE, grouped key and value heads, SwiGLU. Reference: transformers
 * modeling_llama.py. A class is read from the last token of each sequence; a language model reads
 * the next token from every one. */
#include "linear.h"
#include "rope.h"
#include "spans.h"

#include <stdlib.h>

typedef struct Layer {
    int norm1, norm2; /* parameters */
    Linear query, key, value, out, gate, up, down;
} Layer;

/* Parameters by their index in the table. */
typedef struct Decoder {
    int final_norm;
    Linear head;   /* score, or the language model's output */
    Layer layer[]; /* [L] */
} Decoder;

/* Activations of one layer. M is N, but B in the last layer of a classifier, where only the last
 * tokens go on. */
typedef struct LayerActs {
    float *rstd1, *norm1;       /* (N), (N, C) */
    float *query, *key, *value; /* (M, H D), (N, K D) turned, (N, K D) */
    float *max, *rsum, *mixed;  /* (M, H), (M, H), (M, H D) attention output */
    float *sum, *rstd2, *norm2; /* (M, C) residual stream behind attention, (M), (M, C) */
    float *gate, *up, *inner;   /* (M, F) */
} LayerActs;

/* Other activations, and gradients. */
typedef struct DecoderWork {
    float *branch;                    /* (N, C) of the residual stream */
    float *last_norm;                 /* (B, C) rows of the last layer's first norm */
    float *rstd, *norm;               /* (M), (M, C) of the final norm */
    float *d_norm, *d_mixed;          /* (N, C), (N, H D) */
    float *d_query, *d_key, *d_value; /* (N, H D), (N, K D), (N, K D) */
    float *d_gate, *d_up;             /* (N, F) */
    float *d_last_norm;               /* (B, C) */
    float *pooled, *wide, *d_wide;    /* of a head that reads spans: (B, C), (B, (1 + spans) C) */
    float *cosine, *sine;             /* (max_length, D / 2) */
} DecoderWork;

enum { SITE_LAYER = 4 }; /* first site of dropout of a layer: attention probabilities */

static int add_vector(Model *model, int l, const char *name)
{
    char full[96];
    snprintf(full, sizeof full, "model.layers.%d.%s.weight", l, name);
    return params_add(&model->params, full, model->config.C, 0, INIT_ONE, 0, 0);
}

static void add_parameters(Model *model)
{
    const Config *c = &model->config;
    Params *p = &model->params;
    Decoder *d = model->layers = memory_calloc(1, sizeof *d + (size_t)c->L * sizeof *d->layer);
    int Q = c->H * c->D, KV = c->K * c->D, bias = c->attention_bias, mlp_bias = c->mlp_bias;
    model->tables[0] = params_add(p, "model.embed_tokens.weight", c->V, c->C, INIT_NORMAL, 1, 0);
    for (int l = 0; l < c->L; l++) {
        Layer *layer = &d->layer[l];
        layer->norm1 = add_vector(model, l, "input_layernorm");
        layer->query = linear_add(model, LINEAR_Q, l, c->C, Q, bias);
        layer->key = linear_add(model, LINEAR_K, l, c->C, KV, bias);
        layer->value = linear_add(model, LINEAR_V, l, c->C, KV, bias);
        layer->out = linear_add(model, LINEAR_O, l, Q, c->C, bias);
        layer->norm2 = add_vector(model, l, "post_attention_layernorm");
        layer->gate = linear_add(model, LINEAR_GATE, l, c->C, c->F, mlp_bias);
        layer->up = linear_add(model, LINEAR_UP, l, c->C, c->F, mlp_bias);
        layer->down = linear_add(model, LINEAR_DOWN, l, c->F, c->C, mlp_bias);
    }
    d->final_norm = params_add(p, "model.norm.weight", c->C, 0, INIT_ONE, 0, 0);
    if (model->problem != PROBLEM_LANGUAGE) {
        d->head = linear_add_other(model, "score", (1 + c->spans) * c->C, model->O, 0, 1);
    } else if (c->tied) {
        d->head.weight = model->tables[0];
    } else {
        d->head = linear_add_other(model, "lm_head", c->C, c->V, 0, 0);
    }
}

static void lay_out(Workspace *work, Layout *layout, const Model *model)
{
    const Config *c = &model->config;
    const Layer *layer = &((const Decoder *)model->layers)->layer[0]; /* adapters: as in all */
    DecoderWork *d = work->other;
    LayerActs *acts = work->acts, shared = {0};
    size_t N = (size_t)work->max_tokens, B = (size_t)work->max_sequences, C = (size_t)c->C,
           F = (size_t)c->F, H = (size_t)c->H, Q = H * (size_t)c->D, KV = (size_t)(c->K * c->D),
           half = (size_t)c->D / 2, ends = pass_narrows(model, c->L - 1) ? B : N,
           wide = c->spans ? (1 + (size_t)c->spans) * C : 0;
    int needs_norm1 = linear_needs_input(model, &layer->query) ||
                      linear_needs_input(model, &layer->key) ||
                      linear_needs_input(model, &layer->value);
    int needs_norm2 = linear_needs_input(model, &layer->gate) ||
                      linear_needs_input(model, &layer->up);
    for (int l = 0; l < c->L; l++) {
        LayerActs *a = &acts[l];
        size_t M = pass_narrows(model, l) ? B : N;
#define PART(field, needed, rows, columns)                                                         \
    a->field = layout_layer_part(layout, needed, &shared.field, rows, N, columns)
        PART(rstd1, 1, N, 1);
        PART(norm1, needs_norm1, N, C);
        PART(query, 1, M, Q);
        PART(key, 1, N, KV);
        PART(value, 1, N, KV);
        PART(max, 1, M, H);
        PART(rsum, 1, M, H);
        PART(mixed, 1, M, Q);
        PART(sum, 1, M, C);
        PART(rstd2, 1, M, 1);
        PART(norm2, needs_norm2, M, C);
        PART(gate, 1, M, F);
        PART(up, 1, M, F);
        PART(inner, linear_needs_input(model, &layer->down), M, F);
#undef PART
    }
    d->branch = layout_part(layout, N, C);
    d->last_norm = layout_part(layout, B, C);
    d->rstd = layout_part(layout, ends, 1);
    d->norm = layout_part(layout, ends, C);
    d->pooled = layout_part(layout, wide ? B : 0, C);
    d->wide = layout_part(layout, B, wide);
    d->cosine = layout_part(layout, (size_t)work->max_length, half);
    d->sine = layout_part(layout, (size_t)work->max_length, half);
    if (work->train) {
        d->d_norm = layout_part(layout, N, C);
        d->d_mixed = layout_part(layout, N, Q);
        d->d_query = layout_part(layout, N, Q);
        d->d_key = layout_part(layout, N, KV);
        d->d_value = layout_part(layout, N, KV);
        d->d_gate = layout_part(layout, N, F);
        d->d_up = layout_part(layout, N, F);
        d->d_last_norm = layout_part(layout, B, C);
        d->d_wide = layout_part(layout, B, wide);
    }
}

/* The tables of angles. */
static void prepare(Workspace *work, const Model *model)
{
    const Config *c = &model->config;
    const DecoderWork *d = work->other;
    const Device *device = model->backend->device;
    size_t half = (size_t)c->D / 2, count = (size_t)work->max_length * half;
    double *frequency = memory_alloc(half, sizeof *frequency);
    float *cosine = memory_alloc(count, sizeof *cosine), *sine = memory_alloc(count, sizeof *sine);
    rope_frequencies(frequency, c->D, &c->rope);
    for (int i = 0; i < work->max_length; i++) {
        rope_angles(cosine + (size_t)i * half, sine + (size_t)i * half, i, frequency, c->D);
    }
    device->put(d->cosine, cosine, count * sizeof *cosine);
    device->put(d->sine, sine, count * sizeof *sine);
    free(frequency);
    free(cosine);
    free(sine);
}

static void embed(const Pass *pass)
{
    const Model *model = pass->model;
    const Batch *batch = pass->batch;
    float *hidden = pass->work->hidden[0];
    int C = model->config.C;
    model->backend->ops.gather_rows(&model->backend->ctx, hidden,
                                    pass_weight(pass, model->tables[0]),
                                    batch->tokens, batch->N, C);
    pass_observe(pass, "hidden", 0, hidden, batch->N, C);
}

/* Turns heads of D by the place of their rows; direction -1 turns back. */
static void turn(const Pass *pass, float *x, const Rows *rows, int heads, int direction)
{
    const DecoderWork *w = pass->work->other;
    int D = pass->model->config.D;
    pass->model->backend->ops.rope(&pass->model->backend->ctx, x, rows->places, w->cosine, w->sine,
                                   rows->count, heads, D, heads * D, direction);
}

static void layer_forward(const Pass *pass, int l)
{
    const Model *model = pass->model;
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    const Config *c = &model->config;
    const Layer *layer = &((const Decoder *)model->layers)->layer[l];
    const LayerActs *a = (const LayerActs *)pass->work->acts + l;
    const DecoderWork *w = pass->work->other;
    const float *x = pass->work->hidden[l], *normed = a->norm1;
    float *out = pass->work->hidden[l + 1];
    Rows all = rows_all(pass), rows = rows_behind(pass, l);
    int M = rows.count, C = c->C;
    AttentionShape shape = pass_attention(pass, l, 1);
    DropoutSite probs = pass_site(pass, SITE_LAYER * (l + 1), c->attention_dropout);
    ops->rmsnorm_forward(ctx, a->norm1, a->rstd1, x, pass_vector(pass, layer->norm1), all.count, C,
                         c->eps);
    linear_forward(pass, &layer->key, a->key, a->norm1, &all);
    linear_forward(pass, &layer->value, a->value, a->norm1, &all);
    if (pass_narrows(model, l)) {
        const int *head_rows = pass->batch->head_rows;
        ops->gather_rows(ctx, w->last_norm, (Weight){.f32 = a->norm1}, head_rows, M, C);
        ops->gather_rows(ctx, pass->work->last_in, (Weight){.f32 = x}, head_rows, M, C);
        normed = w->last_norm;
        x = pass->work->last_in;
    }
    linear_forward(pass, &layer->query, a->query, normed, &rows);
    turn(pass, a->query, &rows, c->H, 1);
    turn(pass, a->key, &all, c->K, 1);
    ops->attention_forward(ctx, a->mixed, a->max, a->rsum, a->query, a->key, a->value, &shape,
                           &probs);
    linear_forward(pass, &layer->out, w->branch, a->mixed, &rows);
    pass_observe(pass, "attn", l, w->branch, M, C);
    ops->residual_rmsnorm_forward(ctx, a->norm2, a->sum, a->rstd2, x, w->branch,
                                  pass_vector(pass, layer->norm2), M, C, c->eps);
    linear_forward(pass, &layer->gate, a->gate, a->norm2, &rows);
    linear_forward(pass, &layer->up, a->up, a->norm2, &rows);
    ops->swiglu_forward(ctx, a->inner, a->gate, a->up, (size_t)M * (size_t)c->F);
    linear_forward(pass, &layer->down, w->branch, a->inner, &rows);
    ops->add(ctx, out, a->sum, w->branch, (size_t)M * (size_t)C);
    pass_observe(pass, "hidden", l + 1, out, M, C);
}

/* logits = score(norm(hidden L)), spans behind it; a language model's loss reads the norm. */
static void head_forward(const Pass *pass)
{
    const Model *model = pass->model;
    const Config *c = &model->config;
    const Decoder *d = model->layers;
    const DecoderWork *w = pass->work->other;
    Rows rows = rows_behind(pass, c->L - 1);
    model->backend->ops.rmsnorm_forward(&model->backend->ctx, w->norm, w->rstd,
                                        pass->work->hidden[c->L],
                                        pass_vector(pass, d->final_norm), rows.count, c->C, c->eps);
    pass_observe(pass, "hidden.norm", -1, w->norm, rows.count, c->C);
    if (c->spans) {
        rows = rows_head(pass);
        model->backend->ops.gather_rows(&model->backend->ctx, w->pooled, (Weight){.f32 = w->norm},
                                        pass->batch->head_rows, rows.count, c->C);
        spans_forward(pass, w->wide, w->pooled, w->norm);
    }
    if (model->problem != PROBLEM_LANGUAGE) {
        linear_forward(pass, &d->head, pass->work->logits, c->spans ? w->wide : w->norm, &rows);
        pass_observe(pass, "logits", -1, pass->work->logits, pass->batch->examples,
                     model->O * model->choices);
    }
}

/* dx = gradient of rmsnorm's input x, from that of its output in dx. */
static void norm_backward(const Pass *pass, int norm, float *dx, const float *x, const float *rstd,
                          const Rows *rows)
{
    pass->model->backend->ops.rmsnorm_backward(
        &pass->model->backend->ctx, dx, pass_gradient(pass, norm), dx, x, rstd,
        pass_vector(pass, norm), rows->cu, rows->sequences, rows->count, pass->model->config.C);
}

static void final_norm_backward(const Pass *pass, float *d)
{
    const Config *c = &pass->model->config;
    const DecoderWork *w = pass->work->other;
    Rows rows = rows_behind(pass, c->L - 1);
    pass_observe(pass, "dhidden.norm", -1, d, rows.count, c->C);
    norm_backward(pass, ((const Decoder *)pass->model->layers)->final_norm, d,
                  pass->work->hidden[c->L], w->rstd, &rows);
    pass_observe(pass, "dhidden", c->L, d, rows.count, c->C);
}

static void head_backward(const Pass *pass)
{
    const Model *model = pass->model;
    const Linear *head = &((const Decoder *)model->layers)->head;
    const DecoderWork *w = pass->work->other;
    float *d = pass->work->d_last;
    Rows rows = rows_head(pass);
    /* forward: logits = score(norm(hidden L) of the last token, and of spans behind it) */
    if (model->config.spans) {
        linear_backward(pass, head, w->d_wide, pass->work->d_logits, w->wide, &rows, 0);
        spans_backward(pass, d, pass->work->d_hidden, w->d_wide);
        model->backend->ops.scatter_add_rows(&model->backend->ctx, pass->work->d_hidden, d,
                                             pass->batch->head_rows, rows.count, model->config.C);
        d = pass->work->d_hidden;
    } else {
        linear_backward(pass, head, d, pass->work->d_logits, w->norm, &rows, 0);
    }
    final_norm_backward(pass, d);
}

static void language_loss(const Pass *pass, float scale, int gradient)
{
    const Model *model = pass->model;
    const Config *c = &model->config;
    const DecoderWork *w = pass->work->other;
    int weight = ((const Decoder *)model->layers)->head.weight;
    float *d = gradient ? pass->work->d_hidden : NULL;
    model->backend->ops.linear_cross_entropy(
        &model->backend->ctx, pass->work->losses, d, gradient ? pass_gradient(pass, weight) : NULL,
        w->norm, pass_weight(pass, weight), pass->batch->labels, pass->batch->N, c->C, c->V, scale);
    if (gradient) {
        final_norm_backward(pass, d);
    }
}

static void layer_backward(const Pass *pass, int l)
{
    const Model *model = pass->model;
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    const Config *c = &model->config;
    const Layer *layer = &((const Decoder *)model->layers)->layer[l];
    const LayerActs *a = (const LayerActs *)pass->work->acts + l;
    const DecoderWork *w = pass->work->other;
    const float *x = pass->work->hidden[l];
    Rows all = rows_all(pass), rows = rows_behind(pass, l);
    int N = all.count, M = rows.count, C = c->C, last = pass_narrows(model, l);
    AttentionShape shape = pass_attention(pass, l, 1);
    DropoutSite probs = pass_site(pass, SITE_LAYER * (l + 1), c->attention_dropout);
    float *d = pass_d_out(pass, l);

    /* forward: out = sum + down(silu(gate(norm2)) up(norm2)) */
    int below = pass_trains(pass, l, LINEAR_DOWN);
    linear_backward(pass, &layer->down, below ? w->d_up : NULL, d, a->inner, &rows, 0);
    if (!below) {
        return;
    }
    below = pass_trains(pass, l, LINEAR_GATE);
    ops->swiglu_backward(ctx, w->d_gate, w->d_up, w->d_up, a->gate, a->up,
                         (size_t)M * (size_t)c->F);
    linear_backward(pass, &layer->gate, below ? w->d_norm : NULL, w->d_gate, a->norm2, &rows, 0);
    linear_backward(pass, &layer->up, below ? w->d_norm : NULL, w->d_up, a->norm2, &rows, 1);
    if (!below) {
        return;
    }
    norm_backward(pass, layer->norm2, w->d_norm, a->sum, a->rstd2, &rows);
    ops->add(ctx, d, d, w->d_norm, (size_t)M * (size_t)C);

    /* forward: sum = x + out(attention(rope(query, key), value of norm1)) */
    below = pass_trains(pass, l, LINEAR_O);
    linear_backward(pass, &layer->out, below ? w->d_mixed : NULL, d, a->mixed, &rows, 0);
    if (!below) {
        return;
    }
    below = pass_trains(pass, l, LINEAR_Q);
    ops->attention_backward(ctx, w->d_query, w->d_key, w->d_value, w->d_mixed, a->query, a->key,
                            a->value, a->mixed, a->max, a->rsum, &shape, &probs);
    turn(pass, w->d_query, &rows, c->H, -1);
    turn(pass, w->d_key, &all, c->K, -1);
    float *d_norm = below ? w->d_norm : NULL,
          *d_query_norm = last && below ? w->d_last_norm : d_norm;
    linear_backward(pass, &layer->query, d_query_norm, w->d_query,
                    last ? w->last_norm : a->norm1, &rows, 0);
    linear_backward(pass, &layer->key, d_norm, w->d_key, a->norm1, &all, !last);
    linear_backward(pass, &layer->value, d_norm, w->d_value, a->norm1, &all, 1);
    if (!below) {
        return;
    }
    if (last) {
        ops->scatter_add_rows(ctx, d_norm, d_query_norm, pass->batch->head_rows, M, C);
    }
    norm_backward(pass, layer->norm1, d_norm, x, a->rstd1, &all);
    if (last) {
        ops->scatter_add_rows(ctx, d_norm, d, pass->batch->head_rows, M, C);
        ops->copy(ctx, pass->work->d_hidden, d_norm, (size_t)N * (size_t)C);
    } else {
        ops->add(ctx, d, d, d_norm, (size_t)N * (size_t)C);
    }
}

static void embed_backward(const Pass *pass)
{
    const Model *model = pass->model;
    const RowGroups *g = &pass->batch->groups[0];
    float *lookup = pass->state->lookup, *d_word = pass_gradient(pass, model->tables[0]);
    /* forward: hidden[0] = word */
    model->backend->ops.embedding_backward(&model->backend->ctx, lookup ? lookup : d_word,
                                           pass->work->d_hidden, g->rows, g->starts, g->order,
                                           g->count, g->tokens, model->config.C);
}

const Network decoder_network = {.add = add_parameters,
                                 .acts_size = sizeof(LayerActs),
                                 .other_size = sizeof(DecoderWork),
                                 .lay_out = lay_out,
                                 .prepare = prepare,
                                 .embed = embed,
                                 .layer_forward = layer_forward,
                                 .head_forward = head_forward,
                                 .language_loss = language_loss,
                                 .head_backward = head_backward,
                                 .layer_backward = layer_backward,
                                 .embed_backward = embed_backward};
