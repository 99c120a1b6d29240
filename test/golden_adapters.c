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
static void check_merged_layer(Case *c, const Param *weight, const float *merged)
{
    enum { ROWS = 5 };
    const Param *a = adapter_of(&c->rig.model, weight), *b = a + 1;
    const Ops *ops = &c->rig.backend.ops;
    Context *ctx = &c->rig.backend.ctx;
    const Device *device = c->rig.backend.device;
    int O = weight->shape[0], C = weight->shape[1], R = a->shape[0];
    size_t in = (size_t)C, out = (size_t)O, rank = (size_t)R, bad = 0;
    float *A = rig_param(&c->rig, a), *B = rig_param(&c->rig, b), *W = rig_param(&c->rig, weight);
    double scale = lora_scale(&c->rig.model.lora), u = 0x1p-24, n1 = C + R + 2, n2 = C + 1;
    const float *weights = c->rig.state.weights;
    Lora lora = {.a = weights + a->offset, .b = weights + b->offset, .R = R, .scale = (float)scale};
    float *x = memory_alloc(ROWS * in, sizeof *x);
    /* on the device: x, both outputs, mid, the merged weight */
    size_t sizes[] = {ROWS * in, ROWS * out, ROWS * out, ROWS * rank, out * in};
    float *on[5];
    for (int i = 0; i < 5; i++) {
        on[i] = device->alloc(sizes[i] * sizeof(float));
    }
    uint64_t key = rng_key(1, weight->name);
    for (size_t i = 0; i < ROWS * in; i++) {
        x[i] = rng_normal(key, i);
    }
    device->put(on[0], x, sizes[0] * sizeof *x);
    device->put(on[4], merged, sizes[4] * sizeof *x);
    ops->matmul_forward(ctx, on[1], on[0], weight->frozen, NULL, ROWS, C, O);
    ops->lora_forward(ctx, on[1], on[3], on[0], &lora, ROWS, C, O);
    ops->matmul_forward(ctx, on[2], on[0], (Weight){.f32 = on[4]}, NULL, ROWS, C, O);
    float *apart = rig_get(&c->rig, on[1], sizes[1]), *together = rig_get(&c->rig, on[2], sizes[2]);
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
    for (int i = 0; i < 5; i++) {
        device->release(on[i], sizes[i] * sizeof(float));
    }
    free(A);
    free(B);
    free(W);
    free(x);
    free(apart);
    free(together);
}

/* Logits of the case's batch against the truth. */
static void check_logits(Case *c, const char *what, const Tensor *truth)
{
    Pass pass = rig_pass(&c->rig, (Step){.train = 0});
    pass_forward(&pass);
    CHECK(truth != NULL, "%s: no golden %s", c->folder, what);
    if (truth) {
        float *logits = rig_get(&c->rig, c->rig.work.logits, truth->count);
        golden_compare(c, what, logits, truth, NULL, truth->count,
                       4 * golden_number(c->json, "once/torch_f32_error/logits/max_abs"));
        free(logits);
    }
}

/* Every adapted layer merged, against the truth. Then the model's weights are the merged ones and
 * its adapters 0. Returns how many. */
static int merge_all(Case *c)
{
    Error error;
    int merged = 0;
    for (int p = 0; p < c->rig.model.params.count; p++) {
        Param *param = &c->rig.model.params.list[p];
        const Param *a = adapter_of(&c->rig.model, param);
        char name[160];
        snprintf(name, sizeof name, "merged.%s", param->name);
        const Tensor *truth = safetensors_find(&c->golden, name);
        CHECK(!a == !truth, "%s: golden %s", c->folder, name);
        if (a && truth) {
            float *out = memory_alloc(param->count, sizeof *out);
            size_t part = param->count / 3; /* in two parts, as a file is written */
            CHECK(!adapter_merge(&c->rig.model, &c->rig.state, param, out, 0, part, &error) &&
                      !adapter_merge(&c->rig.model, &c->rig.state, param, out + part, part,
                                     param->count - part, &error),
                  "%s", error.text);
            golden_compare(c, name, out, truth, NULL, param->count, 0x1p-149); /* rounded once */
            check_merged_layer(c, param, out);
            rig_param_put(&c->rig, param, out);
            Param *b = &c->rig.model.params.list[a - c->rig.model.params.list + 1];
            float *zero = memory_calloc(b->count, sizeof *zero);
            rig_param_put(&c->rig, b, zero);
            free(zero);
            free(out);
            merged++;
        }
    }
    return merged;
}

void golden_check_adapters(Case *c, const char *build)
{
    static const char *const adapters[] = {"adapter-init", "adapter-random", "adapter-trained"};
    for (int i = 0; i < 3; i++) {
        GoldenBatch g;
        char name[160];
        if (golden_load(c, build, 2, adapters[i]) || golden_batch_load(&g, c, "")) {
            CHECK(0, "%s/%s: cannot be loaded", c->folder, adapters[i]);
            return;
        }
        snprintf(name, sizeof name, "%s.logits.f64", adapters[i]);
        const Tensor *truth = safetensors_find(&c->golden, name);
        check_logits(c, name, truth);
        if (!strcmp(adapters[i], c->adapter)) {
            CHECK(merge_all(c), "%s: nothing merged", c->folder);
            check_logits(c, "logits of the merged model", truth);
        }
        golden_batch_free(&g);
        rig_free(&c->rig);
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
    Model *model = &c->rig.model;
    for (int i = 0; i < model->params.count; i++) {
        Param *param = &model->params.list[i];
        if (param->adapter && param->init == INIT_ZERO) {
            rig_param_normal(&c->rig, param, 9, 0.1f);
        }
        if (!param->trainable && param->rank == 2 && way->widened) {
            float *values = rig_param(&c->rig, param);
            rig_param_put(&c->rig, param, values);
            free(values);
        }
    }
    model->config.dropout = model->config.attention_dropout = model->config.head_dropout = 0.1f;
    Pass pass = rig_pass(&c->rig, step);
    pass_forward(&pass);
    pass_loss(&pass, 0.125f, 1);
    state_add_lookup(&c->rig.state, model);
    float *gradients = rig_get(&c->rig, c->rig.state.gradients, model->params.trained);
    sha256_hex(digest, gradients, model->params.trained * sizeof *gradients);
    free(gradients);
    golden_batch_free(&g);
    rig_free(&c->rig);
}

void golden_check_exactness(Case *c)
{
    const char *builds[3];
    int count = rig_builds(builds);
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
    char part[96];
    c->made = &lora;
    int bad = golden_load(c, build, 2, NULL) || golden_batch_load(&g, c, "");
    c->made = NULL;
    if (bad) {
        return -1;
    }
    Params *params = &c->rig.model.params;
    snprintf(part, sizeof part, ".%s.lora_", linear_module(c->architecture, (LinearKind)kind));
    for (int i = 0; i < params->count; i++) {
        Param *param = &params->list[i];
        if (of_module(param, part) && param->init == INIT_ZERO) {
            rig_param_normal(&c->rig, param, 9, 0.1f);
        }
    }
    size_t count = 0;
    Pass pass = rig_pass(&c->rig, (Step){.train = 0});
    pass_forward(&pass);
    pass_loss(&pass, 0.125f, 1);
    float *all = NULL, *gradients = rig_get(&c->rig, c->rig.state.gradients, params->trained);
    for (int i = 0; i < params->count; i++) {
        const Param *param = &params->list[i];
        if (param->trainable && (of_module(param, part) || param->head)) {
            all = memory_realloc(all, count + param->count, sizeof *all);
            for (size_t k = 0; k < param->count; k++) {
                all[count++] = gradients[param->offset + k] + 0.0f; /* -0 counts as 0 */
            }
        }
    }
    sha256_hex(digest, all, count * sizeof *all);
    free(all);
    free(gradients);
    golden_batch_free(&g);
    rig_free(&c->rig);
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
