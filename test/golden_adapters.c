/* What golden cases say of adapters, and that no way to compute changes a bit. */
#include "check.h"
#include "golden_case.h"
#include "rng.h"
#include "weight.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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
void golden_check_adapters(Case *c, const char *build)
{
    static const char *const adapters[] = {"adapter-init", "adapter-random", "adapter-trained"};
    for (int i = 0; i < 3; i++) {
        GoldenBatch g;
        char name[160];
        Step step = {.train = 0};
        if (golden_load(c, build, 2, adapters[i]) || golden_batch_load(&g, c, "")) {
            CHECK(0, "%s/%s: cannot be loaded", c->folder, adapters[i]);
            return;
        }
        snprintf(name, sizeof name, "%s.logits.f64", adapters[i]);
        const Tensor *truth = safetensors_find(&c->golden, name);
        const float *logits = model_forward(&c->model, &g.batch, &step);
        CHECK(truth != NULL, "%s: no golden %s", c->folder, name);
        if (truth) {
            golden_compare(c, name, logits, truth, NULL, truth->count,
                           4 * golden_number(c->json, "once/torch_f32_error/logits/max_abs"));
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
                golden_compare(c, name, out, truth, NULL, param->count,
                               0x1p-149); /* rounded once */
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
                golden_compare(c, "logits of the merged model", logits, truth, NULL, truth->count,
                               4 * golden_number(c->json, "once/torch_f32_error/logits/max_abs"));
            }
        }
        golden_batch_free(&g);
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
    int bad = golden_load(c, way->build, way->threads, NULL) || golden_batch_load(&g, c, "");
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
    golden_batch_free(&g);
    model_free(&c->model);
    backend_free(&c->backend);
}

void golden_check_exactness(Case *c)
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
    int bad = golden_load(c, build, 2, NULL) || golden_batch_load(&g, c, "");
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
    golden_batch_free(&g);
    model_free(&c->model);
    backend_free(&c->backend);
    return 0;
}

void golden_check_targets(Case *c, const char *build)
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
