#include "golden_case.h"
#include "adapter_config.h"
#include "check.h"
#include "hf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double golden_number(const json_t *object, const char *path)
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

double golden_element(const Tensor *t, size_t i)
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

void golden_compare(Case *c, const char *name, const float *x, const Tensor *truth,
                    const size_t *at, size_t count, double tolerance)
{
    double worst = 0;
    size_t where = 0, bad = 0;
    if (truth && !at && truth->count < count) {
        truth = NULL; /* of another shape */
    }
    CHECK(truth, "%s: no golden %s of %zu values", c->folder, name, count);
    for (size_t i = 0; truth && i < count; i++) {
        size_t j = at ? at[i] : i;
        double y = golden_element(truth, j), error = fabs((double)x[i] - y);
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
          golden_element(truth, at ? at[where] : where), tolerance);
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

int golden_batch_load(GoldenBatch *g, Case *c, const char *prefix)
{
    char name[64];
    size_t N = 0, B1 = 0, n;
    int language = c->rig.model.problem == PROBLEM_LANGUAGE;
    Batch *batch = &c->rig.batch;
    *g = (GoldenBatch){0};
    snprintf(name, sizeof name, "%stokens", prefix);
    int *tokens = ints(&c->golden, name, &N);
    snprintf(name, sizeof name, "%scu_seqlens", prefix);
    g->cu = ints(&c->golden, name, &B1);
    snprintf(name, sizeof name, "%stoken_types", prefix);
    int *types = ints(&c->golden, name, &n);
    snprintf(name, sizeof name, "%s%s", prefix, language ? "targets" : "labels");
    const Tensor *labels = safetensors_find(&c->golden, name);
    if (!tokens || !g->cu || !labels) {
        free(tokens);
        free(types);
        return -1;
    }
    batch_begin(batch);
    for (size_t b = 0; b + 1 < B1; b++) {
        int first = g->cu[b];
        batch_add(batch, tokens + first, types ? types + first : NULL, g->cu[b + 1] - first, 0);
    }
    int *classes = ints(&c->golden, name, &n);
    if (language) {
        batch_targets(batch, classes);
    }
    for (size_t i = 0; i < labels->count && !language; i++) {
        batch_label(batch, classes ? classes[i] : 0,
                    classes ? 0 : (float)golden_element(labels, i));
    }
    g->terms = batch->terms;
    batch_put(batch);
    free(classes);
    free(tokens);
    free(types);
    return 0;
}

void golden_batch_free(GoldenBatch *g)
{
    free(g->cu);
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

int golden_load(Case *c, const char *build, int threads, const char *adapter)
{
    Error error;
    Config config;
    char *path = string_format("%s/config.json", c->folder), *names = NULL;
    int code = config_read(&config, path, &error);
    free(path);
    if (code) {
        CHECK(0, "%s", error.text);
        return -1;
    }
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
    code = (adapter && adapter_config_read(&lora, adapter_config, &config, &error)) ||
           rig_open(&c->rig, build, threads, config, kind,
                    kind == PROBLEM_LANGUAGE ? 0 : (int)logits->shape[1],
                    adapter   ? &lora
                    : c->made ? &made
                              : NULL,
                    &error) ||
           model_read(&c->rig.model, &c->rig.state, c->folder, 0, NULL, &names, &error);
    free(adapter_config);
    if (code) {
        CHECK(0, "%s", error.text);
        free(adapter_folder);
        return -1;
    }
    /* "param.NAME": what the checkpoint lacks, such as a head */
    size_t given = 0;
    for (int i = 0; i < c->rig.model.params.count; i++) {
        Param *param = &c->rig.model.params.list[i];
        char name[160];
        snprintf(name, sizeof name, "param.%s", param->name);
        const Tensor *t = safetensors_find(&c->golden, name);
        if (t && t->count == param->count) {
            float *values = memory_alloc(t->count, sizeof *values);
            given += !tensor_to_float(values, t, name, &error);
            rig_param_put(&c->rig, param, values);
            free(values);
        }
    }
    if (adapter) {
        CHECK(!adapter_read(&c->rig.model, &c->rig.state, adapter_folder, 0, NULL, &error), "%s",
              error.text);
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
    CHECK(!rig_plan(&c->rig, (int)tokens, (int)sequences, config_longest(&c->rig.model.config),
                    c->recompute, &error),
          "%s", error.text);
    return 0;
}
