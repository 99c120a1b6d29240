/* Compares models with golden runs: build/test_golden DIR...
 *
 * A directory holds config.json, model.safetensors, golden.safetensors (float64 truth) and
 * golden.json (the error of PyTorch's own float32 run). A float32 implementation may be off by four
 * times that error, plus half a unit in the last place where the truth is stored as float32
 * (goldens' README). Every build that the machine runs is compared, and all builds and thread
 * counts must agree bit for bit. */
#include "check.h"
#include "adapter.h"
#include "model.h"
#include "optim.h"
#include "rng.h"
#include "safetensors.h"
#include "weight.h"

#include <stdlib.h>
#include <string.h>

typedef struct Case {
    const char *folder;
    Safetensors golden;
    json_t *json;
    Backend backend;
    Model model;
    int recompute;
    const char *adapter, *start; /* folders of the adapter to compare and to train; NULL: none */
    const LoraConfig *made;      /* adapters made from the seed instead; targets 0: all */
    Architecture architecture;   /* of the last model that was loaded */
    double worst;                /* largest share of a tolerance that was used */
    char worst_name[160];
} Case;

static double number(const json_t *object, const char *path)
{
    char part[64];
    while (object && *path) {
        size_t length = strcspn(path, "/");
        snprintf(part, sizeof part, "%.*s", (int)length, path);
        object = json_object_get(object, part);
        path += length + (path[length] == '/');
    }
    return object ? json_number_value(object) : NAN;
}

static double element(const Tensor *t, size_t i)
{
    if (t->dtype == DTYPE_F64) {
        double x;
        memcpy(&x, t->data + 8 * i, 8);
        return x;
    }
    float x;
    memcpy(&x, t->data + 4 * i, 4);
    return (double)x;
}

/* x[i] against truth[i] for count values: absolute tolerance, plus half an ulp of float32 truth. */
static void compare(Case *c, const char *name, const float *x, const Tensor *truth,
                    const size_t *at, size_t count, double tolerance)
{
    double worst = 0;
    size_t where = 0, bad = 0;
    CHECK(truth, "%s: no golden %s", c->folder, name);
    for (size_t i = 0; truth && i < count; i++) {
        size_t j = at ? at[i] : i;
        double y = element(truth, j), error = fabs((double)x[i] - y);
        double allowed = tolerance + (truth->dtype == DTYPE_F32 ? fabs(y) * 0x1p-24 : 0);
        double share = error / allowed;
        if (error == 0) {
            share = 0;
        }
        if (!(share <= 1)) {
            bad++;
        }
        if (!(share <= worst)) {
            worst = share;
            where = i;
        }
    }
    if (!truth) {
        return;
    }
    CHECK(bad == 0,
          "%s %s: %zu of %zu values are off; worst at %zu: %.9g, truth %.9g, tolerance %.3g",
          c->folder, name, bad, count, where, (double)x[where],
          element(truth, at ? at[where] : where), tolerance);
    if (!(worst <= c->worst)) {
        c->worst = worst;
        snprintf(c->worst_name, sizeof c->worst_name, "%s", name);
    }
}

static int *ints(const Safetensors *golden, const char *name, size_t *count)
{
    const Tensor *t = safetensors_find(golden, name);
    if (!t || t->dtype != DTYPE_I32) {
        return NULL;
    }
    *count = t->count;
    int *values = memory_alloc(t->count, sizeof *values);
    memcpy(values, t->data, t->bytes);
    return values;
}

/* The batch under "" or "train.3.". */
typedef struct GoldenBatch {
    Batch batch;
    int *tokens, *types, *cu, *slots, *labels;
    float *targets;
    int examples; /* losses: of examples, or of tokens */
    int terms;    /* of the mean loss */
} GoldenBatch;

static int batch_load(GoldenBatch *g, const Case *c, const char *prefix)
{
    char name[64];
    size_t N = 0, B1 = 0, n;
    *g = (GoldenBatch){0};
    snprintf(name, sizeof name, "%stokens", prefix);
    g->tokens = ints(&c->golden, name, &N);
    snprintf(name, sizeof name, "%scu_seqlens", prefix);
    g->cu = ints(&c->golden, name, &B1);
    if (!g->tokens || !g->cu) {
        return -1;
    }
    snprintf(name, sizeof name, "%stoken_types", prefix);
    g->types = ints(&c->golden, name, &n);
    if (!g->types) {
        g->types = memory_calloc(N, sizeof *g->types);
    }
    int language = c->model.problem == PROBLEM_LANGUAGE;
    snprintf(name, sizeof name, "%s%s", prefix, language ? "targets" : "labels");
    const Tensor *labels = safetensors_find(&c->golden, name);
    if (!labels) {
        return -1;
    }
    if (labels->dtype == DTYPE_F32) {
        g->targets = memory_alloc(labels->count, sizeof(float));
        memcpy(g->targets, labels->data, labels->bytes);
    } else {
        g->labels = ints(&c->golden, name, &n);
    }
    g->slots = memory_calloc(B1, sizeof *g->slots);
    g->examples = g->terms = (int)labels->count;
    for (int i = 0; i < g->examples && g->labels; i++) {
        g->terms -= g->labels[i] < 0; /* a token without a target */
    }
    g->batch = (Batch){(int)N, (int)B1 - 1, g->tokens, g->types,
                       g->cu,  g->slots,    g->labels, g->targets};
    return 0;
}

static void batch_free(GoldenBatch *g)
{
    free(g->tokens);
    free(g->types);
    free(g->cu);
    free(g->slots);
    free(g->labels);
    free(g->targets);
}

typedef struct Observer {
    Case *c;
    const int *cu;
    int B;
    const float *normed; /* what the language model's output reads */
} Observer;

/* Hidden states, attention outputs and their gradients as the model computes them. In the last
 * layer it has one token of each sequence, the first or (decoder) the last; the truth has all rows,
 * so these are picked. */
static void observe(void *user, const char *name, const float *x, int rows, int columns)
{
    Observer *o = user;
    if (!strcmp(name, "hidden.norm")) {
        o->normed = x;
    }
    const Tensor *truth = safetensors_find(&o->c->golden, name);
    if (!truth || !strcmp(name, "logits")) {
        return;
    }
    char key[80];
    int gradient = name[0] == 'd';
    snprintf(key, sizeof key, "once/torch_f32_error/%s/max_abs", gradient ? "dhidden" : "hidden");
    double tolerance = 4 * number(o->c->json, key);
    size_t count = (size_t)rows * (size_t)columns, *at = NULL;
    if (truth->count != count) {
        at = memory_alloc(count, sizeof *at);
        for (size_t i = 0; i < count; i++) {
            size_t b = i / (size_t)columns;
            int row = o->c->model.config.architecture == ARCH_LLAMA ? o->cu[b + 1] - 1 : o->cu[b];
            at[i] = (size_t)row * (size_t)columns + i % (size_t)columns;
        }
    }
    compare(o->c, name, x, truth, at, count, tolerance);
    free(at);
}

/* The config as transformers 4 wrote it gives the same model. */
static void check_other_config(const Case *c, const Config *config)
{
    Config other;
    Error error;
    char *path = string_format("%s/config.v4.json", c->folder);
    if (path_exists(path)) {
        int code = config_read(&other, path, &error);
        CHECK(!code, "%s", error.text);
        if (!code) {
            const RopeParameters *a = &config->rope, *b = &other.rope;
            CHECK(other.V == config->V && other.C == config->C && other.F == config->F &&
                      other.L == config->L && other.H == config->H && other.K == config->K &&
                      other.D == config->D && other.padding == config->padding &&
                      other.positions == config->positions && other.eps == config->eps &&
                      other.attention_dropout == config->attention_dropout &&
                      a->theta == b->theta && a->llama3 == b->llama3 && a->factor == b->factor &&
                      a->low_freq_factor == b->low_freq_factor &&
                      a->high_freq_factor == b->high_freq_factor &&
                      a->original_positions == b->original_positions,
                  "%s: another model than config.json", path);
            config_free(&other);
        }
    }
    free(path);
}

/* adapter: a folder below the case's, or NULL for a model without adapters. */
static int load(Case *c, const char *build, int threads, const char *adapter)
{
    Error error;
    Config config;
    char *path = string_format("%s/config.json", c->folder), *names = NULL;
    if (backend_init(&c->backend, build, threads, &error) || config_read(&config, path, &error)) {
        CHECK(0, "%s", error.text);
        free(path);
        return -1;
    }
    free(path);
    check_other_config(c, &config);
    const char *problem = json_string_value(json_object_get(c->json, "problem"));
    const Tensor *logits = safetensors_find(&c->golden, "logits.f64");
    Problem kind = !strcmp(problem, "lm")            ? PROBLEM_LANGUAGE
                   : !strcmp(problem, "regression")  ? PROBLEM_REGRESSION
                   : !strcmp(problem, "multichoice") ? PROBLEM_CHOICE
                                                     : PROBLEM_SINGLE;
    LoraConfig lora, made = c->made ? *c->made : (LoraConfig){0};
    if (!made.targets) {
        lora_targets(&made.targets, "all", config.architecture, &error);
    }
    c->architecture = config.architecture;
    char *adapter_folder = string_format("%s/%s", c->folder, adapter ? adapter : ""),
         *adapter_config = string_format("%s/adapter_config.json", adapter_folder);
    int bad = adapter && adapter_config_read(&lora, adapter_config, &config, &error);
    free(adapter_config);
    if (bad) {
        CHECK(0, "%s", error.text);
        free(adapter_folder);
        return -1;
    }
    model_init(&c->model, config, kind, kind == PROBLEM_LANGUAGE ? 0 : (int)logits->shape[1],
               adapter   ? &lora
               : c->made ? &made
                         : NULL,
               &c->backend);
    c->model.recompute = c->recompute;
    if (model_read(&c->model, c->folder, 0, &names, &error)) {
        CHECK(0, "%s", error.text);
        return -1;
    }
    /* "param.NAME": what the checkpoint lacks, such as a head */
    size_t given = 0;
    for (int i = 0; i < c->model.params.count; i++) {
        const Param *param = &c->model.params.list[i];
        char name[160];
        snprintf(name, sizeof name, "param.%s", param->name);
        const Tensor *t = safetensors_find(&c->golden, name);
        if (t && t->count == param->count) {
            given += !tensor_to_float(c->model.params.weights + param->offset, t, name, &error);
        }
    }
    if (adapter) {
        CHECK(!adapter_read(&c->model, adapter_folder, 0, &error), "%s", error.text);
    }
    free(adapter_folder);
    CHECK(!*names || given || c->adapter || c->made, "%s: made from the seed: %s", c->folder,
          names);
    free(names);
    /* The largest of all batches in the file. */
    size_t tokens = 1, sequences = 1;
    for (size_t i = 0; i < c->golden.count; i++) {
        const Tensor *t = &c->golden.tensors[i];
        const char *dot = strrchr(t->name, '.'), *last = dot ? dot + 1 : t->name;
        tokens = !strcmp(last, "tokens") && t->count > tokens ? t->count : tokens;
        sequences = !strcmp(last, "cu_seqlens") && t->count > sequences ? t->count : sequences;
    }
    model_plan(&c->model, (int)tokens, (int)sequences, config_longest(&config), 1);
    return 0;
}

/* A language model never holds these at once: the output layer on the final norm. */
static float *language_logits(Case *c, const Observer *o)
{
    const Tensor *truth = safetensors_find(&c->golden, "logits.f64");
    const Config *config = &c->model.config;
    Param *output = params_find(&c->model.params,
                                config->tied ? "model.embed_tokens.weight" : "lm_head.weight");
    float *logits = memory_alloc(truth->count, sizeof *logits);
    size_t C = (size_t)config->C, words = (size_t)config->V;
    for (size_t n = 0; n < truth->shape[0]; n++) {
        logits_row(logits + n * words, o->normed + n * C, output->weight, words, C);
    }
    return logits;
}

/* The golden files name everything of an adapted model as PEFT does. */
static void golden_name(const Case *c, char out[200], const char *before, const Param *param)
{
    snprintf(out, 200, "%s.%s%s", before,
             c->model.lora.targets && !param->adapter ? "base_model.model." : "", param->name);
}

static void run_once(Case *c)
{
    GoldenBatch g;
    if (batch_load(&g, c, "")) {
        CHECK(0, "%s: golden.safetensors has no batch", c->folder);
        return;
    }
    Step step = {.train = 0};
    Observer observer = {c, g.cu, g.batch.B, NULL};
    float *losses = memory_alloc((size_t)g.examples, sizeof *losses);
    c->model.observe = observe;
    c->model.observe_user = &observer;
    model_zero_gradients(&c->model);
    const float *logits = model_forward(&c->model, &g.batch, &step);
    const Tensor *truth = safetensors_find(&c->golden, "logits.f64");
    float *all_logits = c->model.problem == PROBLEM_LANGUAGE ? language_logits(c, &observer) : NULL;
    compare(c, "logits", all_logits ? all_logits : logits, truth, NULL, truth->count,
            4 * number(c->json, "once/torch_f32_error/logits/max_abs"));
    free(all_logits);
    model_loss(&c->model, &g.batch, &step, losses, 1.0f / (float)g.terms, 1);
    model_add_lookups(&c->model);
    c->model.observe = NULL;
    truth = safetensors_find(&c->golden, "each_loss.f64");
    compare(c, "each_loss", losses, truth, NULL, truth->count,
            4 * number(c->json, "once/torch_f32_error/each_loss/max_abs"));
    const json_t *by_tensor = json_object_get(
        json_object_get(json_object_get(c->json, "once"), "torch_f32_error"), "grad_by_tensor");
    int gradients = 0, trained = 0;
    for (int i = 0; i < c->model.params.count; i++) {
        const Param *p = &c->model.params.list[i];
        char name[200];
        golden_name(c, name, "grad", p);
        if (!p->trainable) {
            continue;
        }
        trained++;
        truth = safetensors_find(&c->golden, name);
        if (!truth) {
            CHECK(0, "%s: no golden %s", c->folder, name);
            continue;
        }
        const json_t *own = json_object_get(by_tensor, name + strlen("grad."));
        double tolerance = 4 * number(own, "max_abs");
        compare(c, name, c->model.params.gradients + p->offset, truth, NULL, p->count, tolerance);
        gradients++;
    }
    CHECK(gradients == trained, "%s: %d of %d gradients compared", c->folder, gradients, trained);
    free(losses);
    batch_free(&g);
}

static int zero_gradient(const char *name)
{
    return strstr(name, "self.key.bias") != NULL;
}

/* entry: of golden.json's train/variants. */
static void run_training(Case *c, const char *variant, const json_t *entry, const char *build)
{
    char key[160], prefix[32];
    const json_t *hyper = json_object_get(entry, "hyper"), *betas = json_object_get(hyper, "betas"),
                 *errors = json_object_get(entry, "torch_f32_error");
    OptimConfig config = {
        json_number_value(json_array_get(betas, 0)), json_number_value(json_array_get(betas, 1)),
        number(hyper, "eps"), number(hyper, "weight_decay"),
        json_is_number(json_object_get(hyper, "clip")) ? number(hyper, "clip") : 0};
    Optim optim;
    optim_init(&optim, &config);
    if (load(c, build, 2, c->start)) {
        return;
    }
    int steps = (int)number(c->json, "train/steps");
    for (int s = 0; s < steps; s++) {
        GoldenBatch g;
        snprintf(prefix, sizeof prefix, "train.%d.", s);
        if (batch_load(&g, c, prefix)) {
            CHECK(0, "%s: no batch %s", c->folder, prefix);
            return;
        }
        Step step = {.train = 0};
        float *losses = memory_alloc((size_t)g.examples, sizeof *losses);
        double loss = 0;
        model_zero_gradients(&c->model);
        model_forward(&c->model, &g.batch, &step);
        model_loss(&c->model, &g.batch, &step, losses, 1.0f / (float)g.terms, 1);
        for (int b = 0; b < g.examples; b++) {
            loss += (double)losses[b];
        }
        snprintf(key, sizeof key, "train.%s.lr", variant);
        const Tensor *rates = safetensors_find(&c->golden, key);
        CHECK(rates, "%s: no golden %s", c->folder, key);
        double norm = optim_step(&optim, &c->model, rates ? element(rates, (size_t)s) : 0);
        float value = (float)(loss / g.terms), norm_value = (float)norm;
        size_t at = (size_t)s;
        snprintf(key, sizeof key, "train.%s.loss", variant);
        compare(c, key, &value, safetensors_find(&c->golden, key), &at, 1,
                4 * number(errors, "loss"));
        snprintf(key, sizeof key, "train.%s.norm", variant);
        compare(c, key, &norm_value, safetensors_find(&c->golden, key), &at, 1,
                4 * number(errors, "grad_norm"));
        free(losses);
        batch_free(&g);
    }
    /* AdamW divides a gradient by its own size, so the error of an element whose gradient is near 0
     * is as large as the step, and the largest error is that of one such element: the root mean
     * square is the steadier figure (goldens' README). It is held to 4 times PyTorch's, the largest
     * to 8 times. */
    double squares = 0;
    size_t count = 0;
    for (int i = 0; i < c->model.params.count; i++) {
        const Param *p = &c->model.params.list[i];
        const float *x = c->model.params.weights + p->offset;
        char before[32], name[200];
        snprintf(before, sizeof before, "final.%s", variant);
        golden_name(c, name, before, p);
        const Tensor *truth = p->trainable ? safetensors_find(&c->golden, name) : NULL;
        CHECK(truth || !p->trainable, "%s: no golden %s", c->folder, name);
        if (!truth) {
            continue;
        }
        compare(c, name, x, truth, NULL, p->count,
                zero_gradient(p->name) ? 4 * number(errors, "final_zero_gradient/max_abs")
                                       : 8 * number(errors, "final/max_abs"));
        for (size_t k = 0; k < p->count && !zero_gradient(p->name); k++) {
            squares += pow((double)x[k] - element(truth, k), 2);
            count++;
        }
    }
    double rms = sqrt(squares / (double)count), torch = number(errors, "final/rms");
    CHECK(rms <= 4 * torch, "%s: final.%s: root mean square error %.3g, PyTorch's is %.3g",
          c->folder, variant, rms, torch);
    printf("%s: final.%s: root mean square error %.2g, PyTorch's %.2g\n", c->folder, variant, rms,
           torch);
    model_free(&c->model);
    backend_free(&c->backend);
}

/* One adapted layer, merged [O, C] and not, on the same random rows. With u = 2^-24, S = sum |x W|
 * + scale sum |b| sum |a x| and gamma(n) = n u / (1 - n u) (Higham 2002, lemma 3.1): without
 * merging an output is a chain of C and R terms, each term of R a chain of C times a rounded scale,
 * so off by at most gamma(C + R + 2) S; merged, each weight is rounded once and the chain has C
 * terms: gamma(C + 1) S. */
static void check_merged_layer(Case *c, const Param *weight, const Param *a, const float *merged)
{
    enum { ROWS = 5 };
    const Ops *ops = &c->backend.ops;
    Context *ctx = &c->backend.ctx;
    int O = weight->shape[0], C = weight->shape[1], R = a->shape[0];
    size_t in = (size_t)C, out = (size_t)O, rank = (size_t)R, bad = 0;
    const float *A = a->weight.f32, *B = (a + 1)->weight.f32;
    double scale = lora_scale(&c->model.lora), u = 0x1p-24, n1 = C + R + 2, n2 = C + 1;
    Lora lora = {.a = A, .b = B, .R = R, .scale = (float)scale};
    float *x = memory_alloc(ROWS * in, sizeof *x), *W = memory_alloc(out * in, sizeof *W),
          *apart = memory_alloc(ROWS * out, sizeof *apart),
          *together = memory_alloc(ROWS * out, sizeof *together),
          *mid = memory_alloc(ROWS * rank, sizeof *mid);
    uint64_t key = rng_key(1, weight->name);
    weight_row(W, weight->weight, 0, out * in);
    for (size_t i = 0; i < ROWS * in; i++) {
        x[i] = rng_normal(key, i);
    }
    ops->matmul_forward(ctx, apart, x, weight->weight, NULL, ROWS, C, O);
    ops->lora_forward(ctx, apart, mid, x, &lora, ROWS, C, O);
    ops->matmul_forward(ctx, together, x, (Weight){.f32 = merged}, NULL, ROWS, C, O);
    for (size_t n = 0; n < ROWS; n++) {
        for (size_t o = 0; o < out; o++) {
            double sum = 0;
            for (size_t k = 0; k < in; k++) {
                sum += fabs((double)x[n * in + k] * (double)W[o * in + k]);
            }
            for (size_t r = 0; r < rank; r++) {
                double inner = 0;
                for (size_t k = 0; k < in; k++) {
                    inner += fabs((double)A[r * in + k] * (double)x[n * in + k]);
                }
                sum += scale * fabs((double)B[o * rank + r]) * inner;
            }
            double bound = (n1 * u / (1 - n1 * u) + n2 * u / (1 - n2 * u)) * sum;
            double off = fabs((double)apart[n * out + o] - (double)together[n * out + o]);
            bad += !(off <= bound);
        }
    }
    CHECK(bad == 0, "%s: %s: %zu outputs of the merged layer are beyond the bound", c->folder,
          weight->name, bad);
    free(x);
    free(W);
    free(apart);
    free(together);
    free(mid);
}

/* Logits of the adapters of the case, and weights with one of them merged. */
static void run_adapters(Case *c, const char *build)
{
    static const char *const adapters[] = {"adapter-init", "adapter-random", "adapter-trained"};
    for (int i = 0; i < 3; i++) {
        GoldenBatch g;
        char name[160];
        Step step = {.train = 0};
        if (load(c, build, 2, adapters[i]) || batch_load(&g, c, "")) {
            CHECK(0, "%s/%s: cannot be loaded", c->folder, adapters[i]);
            return;
        }
        snprintf(name, sizeof name, "%s.logits.f64", adapters[i]);
        const Tensor *truth = safetensors_find(&c->golden, name);
        const float *logits = model_forward(&c->model, &g.batch, &step);
        CHECK(truth != NULL, "%s: no golden %s", c->folder, name);
        if (truth) {
            compare(c, name, logits, truth, NULL, truth->count,
                    4 * number(c->json, "once/torch_f32_error/logits/max_abs"));
        }
        int merged = 0;
        for (int p = 0; p < c->model.params.count && !strcmp(adapters[i], c->adapter); p++) {
            const Param *param = &c->model.params.list[p];
            int a = adapter_of(&c->model, param->name);
            snprintf(name, sizeof name, "merged.%s", param->name);
            truth = safetensors_find(&c->golden, name);
            CHECK((a >= 0) == (truth != NULL), "%s: golden %s", c->folder, name);
            if (a >= 0 && truth) {
                float *out = memory_alloc(param->count, sizeof *out);
                adapter_merge(&c->model, a, out);
                compare(c, name, out, truth, NULL, param->count, 0x1p-149); /* rounded once */
                check_merged_layer(c, param, &c->model.params.list[a], out);
                free(out);
                merged++;
            }
        }
        CHECK(merged || strcmp(adapters[i], c->adapter), "%s: nothing merged", c->folder);
        if (merged) {
            /* The merged model has the same truth: its weights replaced, its adapters 0. */
            for (int p = 0; p < c->model.params.count; p++) {
                Param *param = &c->model.params.list[p];
                int a = adapter_of(&c->model, param->name);
                if (a >= 0) {
                    float *out = memory_alloc(param->count, sizeof *out);
                    adapter_merge(&c->model, a, out);
                    memcpy(param_values(&c->model.params, param), out, param->count * sizeof *out);
                    free(out);
                    Param *b = &c->model.params.list[a + 1];
                    memset(param_values(&c->model.params, b), 0, b->count * sizeof *out);
                }
            }
            snprintf(name, sizeof name, "%s.logits.f64", adapters[i]);
            truth = safetensors_find(&c->golden, name);
            logits = model_forward(&c->model, &g.batch, &step);
            if (truth) {
                compare(c, "logits of the merged model", logits, truth, NULL, truth->count,
                        4 * number(c->json, "once/torch_f32_error/logits/max_abs"));
            }
        }
        batch_free(&g);
        model_free(&c->model);
        backend_free(&c->backend);
    }
}

/* Ways to compute the same gradients. */
typedef struct Way {
    const char *build;
    int threads, recompute, widened;
} Way;

/* A digest of logits and gradients of the first batch, with dropout everywhere. lora: adapters on
 * all linear layers, from a seed, B too; widened: frozen weights are float32 copies. */
static void digest_of(char digest[65], Case *c, const Way *way, int lora)
{
    static const LoraConfig all = {.r = 3, .alpha = 5, .dropout = 0.1f, .rslora = 1};
    GoldenBatch g;
    Step step = {.train = 1, .step = 7, .seed_dropout = 52};
    c->recompute = way->recompute;
    c->made = lora ? &all : NULL;
    int bad = load(c, way->build, way->threads, NULL) || batch_load(&g, c, "");
    c->recompute = 0;
    c->made = NULL;
    CHECK(!bad, "%s: cannot be loaded", c->folder);
    if (bad) {
        return;
    }
    Model *model = &c->model;
    for (int i = 0; i < model->params.count; i++) {
        Param *param = &model->params.list[i];
        if (param->adapter && param->init == INIT_ZERO) {
            param->init = INIT_NORMAL;
            param_init(&model->params, param, 9, 0.1f);
        }
        if (!param->trainable && param->rank == 2 && way->widened) {
            Weight stored = param->weight;
            weight_row(param_values(&model->params, param), stored, 0, param->count);
        }
    }
    float *losses = memory_alloc((size_t)g.examples, sizeof *losses);
    model->config.dropout = model->config.attention_dropout = model->config.head_dropout = 0.1f;
    model_forward(model, &g.batch, &step);
    model_loss(model, &g.batch, &step, losses, 0.125f, 1);
    model_add_lookups(model);
    sha256_hex(digest, model->params.gradients, model->params.trained * sizeof(float));
    free(losses);
    batch_free(&g);
    model_free(&c->model);
    backend_free(&c->backend);
}

/* The same bits from every build and thread count, with and without recomputing, from mapped and
 * widened weights. */
static void run_exactness(Case *c)
{
    const char *builds[3];
    int count = backend_builds(builds);
    for (int lora = 0; lora < 2; lora++) {
        char first[65] = "", digest[65] = "";
        for (int b = 0; b < count; b++) {
            for (int i = 0; i < 4; i++) {
                Way way = {builds[b], i < 3 ? i + 1 : 2, i == 3, lora && i == 1};
                digest_of(digest, c, &way, lora);
                CHECK(!*first || !strcmp(first, digest),
                      "%s%s: %s with %d threads%s%s has other bits", c->folder,
                      lora ? " with adapters" : "", way.build, way.threads,
                      way.recompute ? ", recomputed" : "", way.widened ? ", widened" : "");
                memcpy(first, digest, sizeof first);
            }
        }
    }
}

/* Whether the module stands right behind the number of its layer. */
static int of_module(const Param *param, const char *part)
{
    const char *at = strstr(param->name, part);
    return at && at > param->name && at[-1] >= '0' && at[-1] <= '9';
}

/* Gradients of the adapters on one kind of layer and of the head, all others with B = 0. */
static int digest_of_kind(char digest[65], Case *c, const char *build, int kind, unsigned targets)
{
    LoraConfig lora = {.targets = targets, .r = 3, .alpha = 5};
    GoldenBatch g;
    Step step = {.train = 0};
    char part[96];
    c->made = &lora;
    int bad = load(c, build, 2, NULL) || batch_load(&g, c, "");
    c->made = NULL;
    if (bad) {
        return -1;
    }
    Params *params = &c->model.params;
    snprintf(part, sizeof part, ".%s.lora_", linear_module(c->architecture, (LinearKind)kind));
    for (int i = 0; i < params->count; i++) {
        Param *param = &params->list[i];
        if (of_module(param, part) && param->init == INIT_ZERO) {
            param->init = INIT_NORMAL;
            param_init(params, param, 9, 0.1f);
        }
    }
    float *losses = memory_alloc((size_t)g.examples, sizeof *losses), *all = NULL;
    size_t count = 0;
    model_zero_gradients(&c->model);
    model_forward(&c->model, &g.batch, &step);
    model_loss(&c->model, &g.batch, &step, losses, 0.125f, 1);
    for (int i = 0; i < params->count; i++) {
        const Param *param = &params->list[i];
        if (param->trainable && (of_module(param, part) || param->head)) {
            all = memory_realloc(all, count + param->count, sizeof *all);
            for (size_t k = 0; k < param->count; k++) {
                all[count++] = params->gradients[param->offset + k] + 0.0f; /* -0 counts as 0 */
            }
        }
    }
    sha256_hex(digest, all, count * sizeof *all);
    free(all);
    free(losses);
    batch_free(&g);
    model_free(&c->model);
    backend_free(&c->backend);
    return 0;
}

/* With adapters on one kind of layer alone the backward pass ends early; their gradients must be
 * those of a model with adapters everywhere, of which all others add nothing. */
static void run_targets(Case *c, const char *build)
{
    for (int k = 0; k < LINEAR_KINDS; k++) {
        char alone[65] = "alone", beside[65] = "beside";
        if (linear_module(c->architecture, (LinearKind)k)) {
            CHECK(!digest_of_kind(alone, c, build, k, 1u << k) &&
                      !digest_of_kind(beside, c, build, k, 0) && !strcmp(alone, beside),
                  "%s: adapters on %s alone have other gradients than beside others", c->folder,
                  linear_kind_name((LinearKind)k));
        }
    }
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: test_golden DIR...\n", stderr);
        return EXIT_USAGE;
    }
    const char *builds[3];
    int count = backend_builds(builds);
    for (int i = 1; i < argc; i++) {
        Case c = {.folder = argv[i]};
        Error error;
        char *golden = string_format("%s/golden.safetensors", argv[i]),
             *json = string_format("%s/golden.json", argv[i]);
        int before = checks_passed + checks_failed;
        if (safetensors_open(&c.golden, golden, &error) || json_read_file(&c.json, json, &error)) {
            CHECK(0, "%s", error.text);
        } else {
            char *folder = string_format("%s/adapter-random", argv[i]);
            if (path_is_folder(folder)) {
                c.adapter = "adapter-random";
                c.start = "adapter-init";
                run_adapters(&c, builds[count - 1]);
            }
            free(folder);
            for (int b = 0; b < count; b++) {
                if (!load(&c, builds[b], 2, c.adapter)) {
                    run_once(&c);
                    model_free(&c.model);
                    backend_free(&c.backend);
                }
            }
            const char *variant;
            json_t *entry;
            json_object_foreach(json_object_get(json_object_get(c.json, "train"), "variants"),
                                variant, entry)
            {
                run_training(&c, variant, entry, builds[count - 1]);
            }
            run_exactness(&c);
            run_targets(&c, builds[count - 1]);
            printf("%s: %d comparisons, worst %.2f of its tolerance (%s)\n", argv[i],
                   checks_passed + checks_failed - before, c.worst, c.worst_name);
            safetensors_close(&c.golden);
            json_decref(c.json);
        }
        free(golden);
        free(json);
    }
    return checks_close("test_golden");
}
