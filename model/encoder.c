/* The encoder's passes. Post-norm as in BERT (Devlin et al. 2019): every layer is x = layernorm(x +
 * dropout(block(x))). Reference: transformers modeling_bert.py, modeling_roberta.py. */
#include "linear.h"
#include "spans.h"

/* Weight and bias of a layer norm. */
typedef struct Norm {
    int weight, bias;
} Norm;

typedef struct Layer {
    Linear query, key, value, out, up, down;
    Norm attention_norm, mlp_norm;
} Layer;

/* Parameters by their index in the table. */
typedef struct Encoder {
    Norm embedding_norm;
    Linear head_dense, head_out;
    Layer layer[]; /* [L] */
} Encoder;

/* Activations of one layer. M is N, but B in the last layer, where only pooled rows go on. */
typedef struct LayerActs {
    float *query, *key, *value;         /* (M, C), (N, C), (N, C) */
    float *max, *rsum;                  /* (M, H) */
    float *mixed;                       /* (M, C) attention output */
    float *sum1, *mean1, *rstd1, *attn; /* (M, C), (M), (M), (M, C) */
    float *up, *gelu;                   /* (M, F) */
    float *sum2, *mean2, *rstd2;        /* (M, C), (M), (M) */
} LayerActs;

/* Other activations, and gradients. */
typedef struct EncoderWork {
    float *embedding_sum, *embedding_mean, *embedding_rstd; /* (N, C), (N), (N) */
    float *head_in, *dense;                                 /* (B, C) */
    float *head_mid;                                        /* (B, (1 + spans) C) */
    float *d_mid;                                           /* the same, where there are spans */
    float *d_masked, *d_mixed;                              /* (N, C) */
    float *d_query, *d_key, *d_value;                       /* (N, C) */
    float *d_up;                                            /* (N, F) */
} EncoderWork;

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

static Norm add_norm(Params *params, const char *prefix, const char *name, int C)
{
    char full[96];
    Norm norm;
    snprintf(full, sizeof full, "%s%s.weight", prefix, name);
    norm.weight = params_add(params, full, C, 0, INIT_ONE, 0, 0);
    snprintf(full, sizeof full, "%s%s.bias", prefix, name);
    norm.bias = params_add(params, full, C, 0, INIT_ZERO, 0, 0);
    return norm;
}

static int add_table(Params *params, const char *prefix, const char *name, int rows, int C)
{
    char full[96];
    snprintf(full, sizeof full, "%sembeddings.%s_embeddings.weight", prefix, name);
    return params_add(params, full, rows, C, INIT_NORMAL, 1, 0);
}

static void add_parameters(Model *model)
{
    const Config *c = &model->config;
    Params *p = &model->params;
    Encoder *e = model->layers = memory_calloc(1, sizeof *e + (size_t)c->L * sizeof *e->layer);
    int C = c->C, wide = (1 + c->spans) * C, roberta = c->architecture == ARCH_ROBERTA;
    const char *prefix = roberta ? "roberta." : "bert.";
    model->tables[0] = add_table(p, prefix, "word", c->V, C);
    model->tables[1] = add_table(p, prefix, "position", c->positions, C);
    model->tables[2] = add_table(p, prefix, "token_type", c->types, C);
    e->embedding_norm = add_norm(p, prefix, "embeddings.LayerNorm", C);
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
        e->head_out = linear_add_other(model, "classifier.out_proj", wide, model->O, 1, 1);
    } else {
        /* the pooler belongs to the base: PEFT trains the classifier alone beside adapters */
        e->head_dense = linear_add_other(model,
                                         roberta ? "roberta.pooler.dense" : "bert.pooler.dense", C,
                                         C, 1, !model->lora.targets);
        e->head_out = linear_add_other(model, "classifier", wide, model->O, 1, 1);
    }
}

/* RoBERTa's classification head drops its input too; a pooler does not. */
static float head_in_dropout(const Config *config, Problem problem)
{
    return config->architecture == ARCH_ROBERTA && problem != PROBLEM_CHOICE ? config->head_dropout
                                                                             : 0.0f;
}

static void lay_out(Workspace *work, Layout *layout, const Model *model)
{
    const Config *c = &model->config;
    const Layer *layer = &((const Encoder *)model->layers)->layer[0]; /* adapters: as in all */
    EncoderWork *e = work->other;
    LayerActs *acts = work->acts, shared = {0};
    size_t N = (size_t)work->max_tokens, B = (size_t)work->max_sequences, C = (size_t)c->C,
           F = (size_t)c->F, H = (size_t)c->H;
    for (int l = 0; l < c->L; l++) {
        LayerActs *a = &acts[l];
        size_t M = pass_narrows(model, l) ? B : N;
#define PART(field, needed, rows, columns)                                                         \
    a->field = layout_layer_part(layout, needed, &shared.field, rows, N, columns)
        PART(query, 1, M, C);
        PART(key, 1, N, C);
        PART(value, 1, N, C);
        PART(max, 1, M, H);
        PART(rsum, 1, M, H);
        PART(mixed, 1, M, C);
        PART(sum1, 1, M, C);
        PART(mean1, 1, M, 1);
        PART(rstd1, 1, M, 1);
        PART(attn, linear_needs_input(model, &layer->up), M, C);
        PART(up, 1, M, F);
        PART(gelu, linear_needs_input(model, &layer->down), M, F);
        PART(sum2, 1, M, C);
        PART(mean2, 1, M, 1);
        PART(rstd2, 1, M, 1);
#undef PART
    }
    e->embedding_sum = layout_part(layout, N, C);
    e->embedding_mean = layout_part(layout, N, 1);
    e->embedding_rstd = layout_part(layout, N, 1);
    e->head_in = layout_part(layout, B, C);
    e->dense = layout_part(layout, B, C);
    e->head_mid = layout_part(layout, B, (1 + (size_t)c->spans) * C);
    if (work->train) {
        e->d_mid = layout_part(layout, c->spans ? B : 0, (1 + (size_t)c->spans) * C);
        e->d_masked = layout_part(layout, N, C);
        e->d_mixed = layout_part(layout, N, C);
        e->d_query = layout_part(layout, N, C);
        e->d_key = layout_part(layout, N, C);
        e->d_value = layout_part(layout, N, C);
        e->d_up = layout_part(layout, N, F);
    }
}

/* Applies dropout in place to rows of so many columns, unless it is off. */
static void drop_columns(const Pass *pass, float *x, const Rows *rows, int columns,
                         const DropoutSite *where)
{
    const Backend *b = pass->model->backend;
    if (where->p > 0.0f) {
        b->ops.dropout(&pass->model->backend->ctx, x, x, rows->places, rows->slots, rows->count,
                       columns, where);
    }
}

static void drop(const Pass *pass, float *x, const Rows *rows, const DropoutSite *where)
{
    drop_columns(pass, x, rows, pass->model->config.C, where);
}

/* The gradient behind dropout: d itself, or d masked in d_masked. */
static const float *drop_backward(const Pass *pass, const float *d, const Rows *rows,
                                  const DropoutSite *where)
{
    float *d_masked = ((EncoderWork *)pass->work->other)->d_masked;
    if (where->p == 0.0f) {
        return d;
    }
    pass->model->backend->ops.dropout(&pass->model->backend->ctx, d_masked, d, rows->places,
                                      rows->slots, rows->count, pass->model->config.C, where);
    return d_masked;
}

static void embed(const Pass *pass)
{
    const Model *model = pass->model;
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    const Encoder *e = model->layers;
    const EncoderWork *w = pass->work->other;
    const Config *c = &model->config;
    const Batch *batch = pass->batch;
    float *hidden = pass->work->hidden[0];
    ops->embedding_forward(ctx, w->embedding_sum, batch->tokens, batch->positions, batch->types,
                           pass_weight(pass, model->tables[0]), pass_weight(pass, model->tables[1]),
                           pass_weight(pass, model->tables[2]), batch->N, c->C);
    ops->layernorm_forward(ctx, hidden, w->embedding_mean, w->embedding_rstd, w->embedding_sum,
                           pass_vector(pass, e->embedding_norm.weight),
                           pass_vector(pass, e->embedding_norm.bias), batch->N, c->C, c->eps);
    Rows all = rows_all(pass);
    DropoutSite embedding = pass_site(pass, SITE_EMBEDDING, c->dropout);
    drop(pass, hidden, &all, &embedding);
    pass_observe(pass, "hidden", 0, hidden, batch->N, c->C);
}

static void layer_forward(const Pass *pass, int l)
{
    const Model *model = pass->model;
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    const Config *c = &model->config;
    const Layer *layer = &((const Encoder *)model->layers)->layer[l];
    const LayerActs *a = (const LayerActs *)pass->work->acts + l;
    const float *x = pass->work->hidden[l];
    float *out = pass->work->hidden[l + 1];
    int base = SITE_LAYER * (l + 1);
    Rows all = rows_all(pass), rows = rows_behind(pass, l);
    AttentionShape shape = pass_attention(pass, l, 0);
    DropoutSite probs = pass_site(pass, base + SITE_PROBS, c->attention_dropout);
    DropoutSite after = pass_site(pass, base + SITE_ATTENTION, c->dropout);
    DropoutSite mlp = pass_site(pass, base + SITE_MLP, c->dropout);
    linear_forward(pass, &layer->key, a->key, x, &all);
    linear_forward(pass, &layer->value, a->value, x, &all);
    if (pass_narrows(model, l)) {
        ops->gather_rows(ctx, pass->work->last_in, (Weight){.f32 = x}, pass->batch->head_rows,
                         rows.count, c->C);
        x = pass->work->last_in;
    }
    linear_forward(pass, &layer->query, a->query, x, &rows);
    ops->attention_forward(ctx, a->mixed, a->max, a->rsum, a->query, a->key, a->value, &shape,
                           &probs);
    linear_forward(pass, &layer->out, a->sum1, a->mixed, &rows);
    drop(pass, a->sum1, &rows, &after);
    ops->residual_layernorm_forward(ctx, a->attn, a->sum1, a->mean1, a->rstd1, x, a->sum1,
                                    pass_vector(pass, layer->attention_norm.weight),
                                    pass_vector(pass, layer->attention_norm.bias), rows.count,
                                    c->C, c->eps);
    pass_observe(pass, "attn", l, a->attn, rows.count, c->C);
    linear_forward(pass, &layer->up, a->up, a->attn, &rows);
    ops->gelu_forward(ctx, a->gelu, a->up, (size_t)rows.count * (size_t)c->F);
    linear_forward(pass, &layer->down, a->sum2, a->gelu, &rows);
    drop(pass, a->sum2, &rows, &mlp);
    ops->residual_layernorm_forward(ctx, out, a->sum2, a->mean2, a->rstd2, a->attn, a->sum2,
                                    pass_vector(pass, layer->mlp_norm.weight),
                                    pass_vector(pass, layer->mlp_norm.bias), rows.count, c->C,
                                    c->eps);
    pass_observe(pass, "hidden", l + 1, out, rows.count, c->C);
}

/* logits = out(dropout(pooled)), pooled = tanh(dense(dropout(x))); spans stand behind pooled. */
static void head_forward(const Pass *pass)
{
    const Model *model = pass->model;
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    const Encoder *e = model->layers;
    const EncoderWork *w = pass->work->other;
    const Config *c = &model->config;
    Rows rows = rows_head(pass);
    size_t values = (size_t)rows.count * (size_t)c->C;
    DropoutSite in = pass_site(pass, SITE_HEAD_IN, head_in_dropout(c, model->problem));
    DropoutSite middle = pass_site(pass, SITE_HEAD_MID, c->head_dropout);
    const float *x = pass->work->hidden[c->L];
    if (c->spans) {
        ops->gather_rows(ctx, w->head_in, (Weight){.f32 = x}, pass->batch->head_rows, rows.count,
                         c->C);
    } else {
        ops->copy(ctx, w->head_in, x, values);
    }
    drop(pass, w->head_in, &rows, &in);
    linear_forward(pass, &e->head_dense, w->dense, w->head_in, &rows);
    ops->tanh_forward(ctx, w->dense, w->dense, values);
    if (c->spans) {
        spans_forward(pass, w->head_mid, w->dense, x);
    } else {
        ops->copy(ctx, w->head_mid, w->dense, values);
    }
    drop_columns(pass, w->head_mid, &rows, e->head_out.in, &middle);
    linear_forward(pass, &e->head_out, pass->work->logits, w->head_mid, &rows);
    pass_observe(pass, "logits", -1, pass->work->logits, pass->batch->examples,
                 model->O * model->choices);
}

static void head_backward(const Pass *pass)
{
    const Model *model = pass->model;
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    const Encoder *e = model->layers;
    const EncoderWork *w = pass->work->other;
    const Config *c = &model->config;
    float *d = pass->work->d_last;
    Rows rows = rows_head(pass);
    size_t values = (size_t)rows.count * (size_t)c->C;
    DropoutSite in = pass_site(pass, SITE_HEAD_IN, head_in_dropout(c, model->problem));
    DropoutSite middle = pass_site(pass, SITE_HEAD_MID, c->head_dropout);
    /* forward: logits = out(dropout(pooled)), pooled = tanh(dense(dropout(x))) */
    float *d_mid = c->spans ? w->d_mid : d;
    linear_backward(pass, &e->head_out, d_mid, pass->work->d_logits, w->head_mid, &rows, 0);
    drop_columns(pass, d_mid, &rows, e->head_out.in, &middle);
    if (c->spans) {
        spans_backward(pass, d, pass->work->d_hidden, d_mid);
    }
    ops->tanh_backward(ctx, d, d, w->dense, values);
    linear_backward(pass, &e->head_dense, w->d_mixed, d, w->head_in, &rows, 0);
    ops->copy(ctx, d, w->d_mixed, values);
    drop(pass, d, &rows, &in);
    if (c->spans) {
        ops->scatter_add_rows(ctx, pass->work->d_hidden, d, pass->batch->head_rows, rows.count,
                              c->C);
        d = pass->work->d_hidden;
        rows = rows_all(pass);
    }
    pass_observe(pass, "dhidden", c->L, d, rows.count, c->C);
}

static void norm_backward(const Pass *pass, const Norm *norm, float *d, const float *x,
                          const float *mean, const float *rstd, const Rows *rows)
{
    pass->model->backend->ops.layernorm_backward(
        &pass->model->backend->ctx, d, pass_gradient(pass, norm->weight),
        pass_gradient(pass, norm->bias), d, x, mean, rstd, pass_vector(pass, norm->weight),
        rows->cu, rows->sequences, rows->count, pass->model->config.C);
}

static void layer_backward(const Pass *pass, int l)
{
    const Model *model = pass->model;
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    const Config *c = &model->config;
    const Layer *layer = &((const Encoder *)model->layers)->layer[l];
    const LayerActs *a = (const LayerActs *)pass->work->acts + l;
    const EncoderWork *w = pass->work->other;
    const float *x = pass->work->hidden[l];
    int base = SITE_LAYER * (l + 1), last = pass_narrows(model, l);
    Rows all = rows_all(pass), rows = rows_behind(pass, l);
    AttentionShape shape = pass_attention(pass, l, 0);
    DropoutSite probs = pass_site(pass, base + SITE_PROBS, c->attention_dropout);
    DropoutSite after = pass_site(pass, base + SITE_ATTENTION, c->dropout);
    DropoutSite mlp = pass_site(pass, base + SITE_MLP, c->dropout);
    float *d = pass_d_out(pass, l);

    /* forward: out = layernorm(attn + dropout(down(gelu(up(attn))))) */
    norm_backward(pass, &layer->mlp_norm, d, a->sum2, a->mean2, a->rstd2, &rows);
    const float *d_masked = drop_backward(pass, d, &rows, &mlp);
    int below = pass_trains(pass, l, LINEAR_DOWN);
    linear_backward(pass, &layer->down, below ? w->d_up : NULL, d_masked, a->gelu, &rows, 0);
    if (!below) {
        return;
    }
    below = pass_trains(pass, l, LINEAR_UP);
    ops->gelu_backward(ctx, w->d_up, w->d_up, a->up, (size_t)rows.count * (size_t)c->F);
    linear_backward(pass, &layer->up, below ? d : NULL, w->d_up, a->attn, &rows, 1);
    if (!below) {
        return;
    }

    /* forward: attn = layernorm(x + dropout(out(mixed))) */
    below = pass_trains(pass, l, LINEAR_O);
    norm_backward(pass, &layer->attention_norm, d, a->sum1, a->mean1, a->rstd1, &rows);
    d_masked = drop_backward(pass, d, &rows, &after);
    linear_backward(pass, &layer->out, below ? w->d_mixed : NULL, d_masked, a->mixed, &rows, 0);
    if (!below) {
        return;
    }

    /* forward: mixed = attention(query, key, value of x) */
    below = pass_trains(pass, l, LINEAR_Q);
    ops->attention_backward(ctx, w->d_query, w->d_key, w->d_value, w->d_mixed, a->query, a->key,
                            a->value, a->mixed, a->max, a->rsum, &shape, &probs);
    float *d_query_in = below ? d : NULL, *d_x = below ? pass->work->d_hidden : NULL;
    linear_backward(pass, &layer->query, d_query_in, w->d_query, last ? pass->work->last_in : x,
                    &rows, 1);
    linear_backward(pass, &layer->key, d_x, w->d_key, x, &all, !last);
    linear_backward(pass, &layer->value, d_x, w->d_value, x, &all, 1);
    if (last && below) {
        ops->scatter_add_rows(ctx, d_x, d, pass->batch->head_rows, rows.count, c->C);
    }
}

static void embed_backward(const Pass *pass)
{
    const Model *model = pass->model;
    const Ops *ops = &model->backend->ops;
    Context *ctx = &model->backend->ctx;
    const Encoder *e = model->layers;
    const EncoderWork *w = pass->work->other;
    const Config *c = &model->config;
    float *d = pass->work->d_hidden;
    Rows all = rows_all(pass);
    DropoutSite embedding = pass_site(pass, SITE_EMBEDDING, c->dropout);
    /* forward: hidden[0] = dropout(layernorm(word + position + type)) */
    drop(pass, d, &all, &embedding);
    norm_backward(pass, &e->embedding_norm, d, w->embedding_sum, w->embedding_mean,
                  w->embedding_rstd, &all);
    for (int t = 0; t < TABLES; t++) {
        const RowGroups *g = &pass->batch->groups[t];
        ops->embedding_backward(ctx, pass_gradient(pass, model->tables[t]), d, g->rows, g->starts,
                                g->order, g->count, g->tokens, c->C);
    }
}

const Network encoder_network = {.add = add_parameters,
                                 .acts_size = sizeof(LayerActs),
                                 .other_size = sizeof(EncoderWork),
                                 .lay_out = lay_out,
                                 .embed = embed,
                                 .layer_forward = layer_forward,
                                 .head_forward = head_forward,
                                 .head_backward = head_backward,
                                 .layer_backward = layer_backward,
                                 .embed_backward = embed_backward};
