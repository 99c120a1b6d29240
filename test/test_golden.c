/* Compares models with golden runs: build/test_golden DIR...
 *
 * A directory holds config.json, model.safetensors, golden.safetensors (float64 truth) and
 * golden.json (the error of PyTorch's own float32 run). A float32 implementation may be off by four
 * times that error, plus half a unit in the last place where the truth is stored as float32
 * (goldens' README). Every build that the machine runs is compared, and all builds and thread
 * counts must agree bit for bit. */
#include "check.h"
#include "model.h"
#include "optim.h"
#include "safetensors.h"

#include <stdlib.h>
#include <string.h>

typedef struct Case {
    const char *folder;
    Safetensors golden;
    json_t *json;
    Backend backend;
    Model model;
    double worst; /* largest share of a tolerance that was used */
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
    for (size_t i = 0; i < count; i++) {
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
    int examples;
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
    snprintf(name, sizeof name, "%slabels", prefix);
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
    g->examples = (int)labels->count;
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
} Observer;

/* Hidden states, attention outputs and their gradients as the model computes them. In the last
 * layer it has the first token of each sequence only; the truth has all rows, so these are picked.
 */
static void observe(void *user, const char *name, const float *x, int rows, int columns)
{
    Observer *o = user;
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
            at[i] = (size_t)o->cu[i / (size_t)columns] * (size_t)columns + i % (size_t)columns;
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

static int load(Case *c, const char *build, int threads)
{
    Error error;
    Config config;
    char *path = string_format("%s/config.json", c->folder), *made = NULL;
    if (backend_init(&c->backend, build, threads, &error) || config_read(&config, path, &error)) {
        CHECK(0, "%s", error.text);
        free(path);
        return -1;
    }
    free(path);
    check_other_config(c, &config);
    const char *problem = json_string_value(json_object_get(c->json, "problem"));
    const Tensor *logits = safetensors_find(&c->golden, "logits.f64");
    Problem kind = !strcmp(problem, "regression")    ? PROBLEM_REGRESSION
                   : !strcmp(problem, "multichoice") ? PROBLEM_CHOICE
                                                     : PROBLEM_SINGLE;
    model_init(&c->model, config, kind, (int)logits->shape[1], &c->backend);
    if (model_read(&c->model, c->folder, 0, &made, &error)) {
        CHECK(0, "%s", error.text);
        return -1;
    }
    /* "param.NAME": what the checkpoint lacks, such as a head */
    size_t given = 0;
    for (int i = 0; i < c->model.params.count; i++) {
        const Param *param = &c->model.params.list[i];
        char name[128];
        snprintf(name, sizeof name, "param.%s", param->name);
        const Tensor *t = safetensors_find(&c->golden, name);
        if (t && t->count == param->count) {
            given += !tensor_to_float(c->model.params.weights + param->offset, t, name, &error);
        }
    }
    CHECK(!*made || given, "%s: made from the seed: %s", c->folder, made);
    free(made);
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

static void run_once(Case *c)
{
    GoldenBatch g;
    if (batch_load(&g, c, "")) {
        CHECK(0, "%s: golden.safetensors has no batch", c->folder);
        return;
    }
    Step step = {.train = 0};
    Observer observer = {c, g.cu, g.batch.B};
    float *losses = memory_alloc((size_t)g.examples, sizeof *losses);
    c->model.observe = observe;
    c->model.observe_user = &observer;
    model_zero_gradients(&c->model);
    const float *logits = model_forward(&c->model, &g.batch, &step);
    const Tensor *truth = safetensors_find(&c->golden, "logits.f64");
    compare(c, "logits", logits, truth, NULL, truth->count,
            4 * number(c->json, "once/torch_f32_error/logits/max_abs"));
    model_loss(&c->model, &g.batch, &step, losses, 1.0f / (float)g.examples, 1);
    c->model.observe = NULL;
    truth = safetensors_find(&c->golden, "each_loss.f64");
    compare(c, "each_loss", losses, truth, NULL, truth->count,
            4 * number(c->json, "once/torch_f32_error/each_loss/max_abs"));
    const json_t *by_tensor = json_object_get(
        json_object_get(json_object_get(c->json, "once"), "torch_f32_error"), "grad_by_tensor");
    int gradients = 0;
    for (int i = 0; i < c->model.params.count; i++) {
        const Param *p = &c->model.params.list[i];
        char name[128];
        snprintf(name, sizeof name, "grad.%s", p->name);
        truth = safetensors_find(&c->golden, name);
        if (!truth) {
            CHECK(0, "%s: no golden %s", c->folder, name);
            continue;
        }
        const json_t *own = json_object_get(by_tensor, p->name);
        double tolerance = 4 * number(own, "max_abs");
        compare(c, name, c->model.params.gradients + p->offset, truth, NULL, p->count, tolerance);
        gradients++;
    }
    CHECK(gradients == c->model.params.count, "%s: %d of %d gradients compared", c->folder,
          gradients, c->model.params.count);
    free(losses);
    batch_free(&g);
}

static int zero_gradient(const char *name)
{
    return strstr(name, "self.key.bias") != NULL;
}

static void run_training(Case *c, const char *variant, const char *build)
{
    char key[160], prefix[32];
    snprintf(key, sizeof key, "train/variants/%s/hyper/", variant);
    const json_t *hyper = json_object_get(
        json_object_get(json_object_get(json_object_get(c->json, "train"), "variants"), variant),
        "hyper");
    const json_t *betas = json_object_get(hyper, "betas"),
                 *errors = json_object_get(
                     json_object_get(json_object_get(json_object_get(c->json, "train"), "variants"),
                                     variant),
                     "torch_f32_error");
    OptimConfig config = {
        json_number_value(json_array_get(betas, 0)), json_number_value(json_array_get(betas, 1)),
        number(hyper, "eps"), number(hyper, "weight_decay"),
        json_is_number(json_object_get(hyper, "clip")) ? number(hyper, "clip") : 0};
    Optim optim;
    optim_init(&optim, &config);
    if (load(c, build, 2)) {
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
        model_loss(&c->model, &g.batch, &step, losses, 1.0f / (float)g.examples, 1);
        for (int b = 0; b < g.examples; b++) {
            loss += (double)losses[b];
        }
        snprintf(key, sizeof key, "train.%s.lr", variant);
        double norm = optim_step(&optim, &c->model,
                                 element(safetensors_find(&c->golden, key), (size_t)s));
        float value = (float)(loss / g.examples), norm_value = (float)norm;
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
    for (int i = 0; i < c->model.params.count; i++) {
        const Param *p = &c->model.params.list[i];
        snprintf(key, sizeof key, "final.%s.%s", variant, p->name);
        const Tensor *truth = safetensors_find(&c->golden, key);
        const float *x = c->model.params.weights + p->offset;
        if (!truth) {
            CHECK(0, "%s: no golden %s", c->folder, key);
            continue;
        }
        compare(c, key, x, truth, NULL, p->count,
                4 * number(errors, zero_gradient(p->name) ? "final_zero_gradient/max_abs"
                                                          : "final/max_abs"));
    }
    model_free(&c->model);
    backend_free(&c->backend);
}

/* Gradients and logits of the first batch with every build and several thread counts, by digest. */
static void run_exactness(Case *c)
{
    const char *builds[3];
    int count = backend_builds(builds);
    char first[65] = "", digest[65];
    for (int b = 0; b < count; b++) {
        for (int threads = 1; threads <= 3; threads++) {
            GoldenBatch g;
            Step step = {.train = 1, .step = 7, .seed_dropout = 52};
            if (load(c, builds[b], threads) || batch_load(&g, c, "")) {
                return;
            }
            float *losses = memory_alloc((size_t)g.examples, sizeof *losses);
            c->model.config.dropout = c->model.config.attention_dropout =
                c->model.config.head_dropout = 0.1f;
            model_forward(&c->model, &g.batch, &step);
            model_loss(&c->model, &g.batch, &step, losses, 0.125f, 1);
            sha256_hex(digest, c->model.params.gradients, c->model.params.total * sizeof(float));
            CHECK(!*first || !strcmp(first, digest), "%s: %s with %d threads has other bits",
                  c->folder, builds[b], threads);
            memcpy(first, digest, sizeof first);
            free(losses);
            batch_free(&g);
            model_free(&c->model);
            backend_free(&c->backend);
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
            for (int b = 0; b < count; b++) {
                if (!load(&c, builds[b], 2)) {
                    run_once(&c);
                    model_free(&c.model);
                    backend_free(&c.backend);
                }
            }
            static const char *const variants[] = {"main", "noclip", "default"};
            for (int v = 0;
                 v < 3 &&
                 json_is_object(json_object_get(json_object_get(c.json, "train"), "variants"));
                 v++) {
                run_training(&c, variants[v], builds[count - 1]);
            }
            run_exactness(&c);
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
