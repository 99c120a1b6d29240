/* A decoder with real weights: build/test_smollm MODEL_DIR GOLDEN (without .safetensors, .json).
 *
 * SmolLM2-135M-Instruct in bf16 against float64 runs: the loss of 20 passages as a language model,
 * logits, hidden states, then five steps of LoRA on BoolQ texts. A float32 implementation may be
 * off by four times PyTorch's own float32 error. */
#include "check.h"
#include "json.h"
#include "hf.h"
#include "optim.h"
#include "rig.h"
#include "safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Golden {
    Safetensors file;
    json_t *json;
} Golden;

static const Tensor *find(const Golden *g, const char *name)
{
    const Tensor *t = safetensors_find(&g->file, name);
    if (!t) {
        printf("golden has no %s\n", name);
        exit(EXIT_BAD_DATA);
    }
    return t;
}

static int int_at(const Tensor *t, size_t i)
{
    int32_t x;
    memcpy(&x, t->data + 4 * i, sizeof x);
    return x;
}

static double real_at(const Tensor *t, size_t i)
{
    double wide;
    float x;
    if (t->dtype == DTYPE_F64) {
        memcpy(&wide, t->data + 8 * i, sizeof wide);
        return wide;
    }
    memcpy(&x, t->data + 4 * i, sizeof x);
    return (double)x;
}

static double listed(const Golden *g, const char *name, size_t i)
{
    return json_number_value(json_array_get(json_object_get(g->json, name), i));
}

static double torch_error(const Golden *g, const char *name)
{
    return json_number_value(
        json_object_get(json_object_get(g->json, "torch_float32_error"), name));
}

/* A padded row of token ids as one more sequence of the batch. Returns its length. */
static int add_row(Batch *batch, const Tensor *ids, const Tensor *lengths, size_t row)
{
    int length = int_at(lengths, row), tokens[1024];
    for (int i = 0; i < length; i++) {
        tokens[i] = int_at(ids, row * ids->shape[1] + (size_t)i);
    }
    batch_add(batch, tokens, NULL, length, batch->B);
    return length;
}

typedef struct Seen {
    const Rig *rig;
    const Tensor *hidden; /* [L + 1, 32, C] of the first passage, or NULL */
    float *normed;
    double worst;
} Seen;

static void observe(void *user, const char *name, const float *x, int rows, int columns)
{
    Seen *seen = user;
    int norm = !strcmp(name, "hidden.norm");
    if (norm) {
        seen->normed = rig_get(seen->rig, x, (size_t)rows * (size_t)columns);
    }
    if (!seen->hidden || strncmp(name, "hidden.", 7)) {
        return;
    }
    size_t last = seen->hidden->shape[0] - 1, layer = norm ? last : (size_t)atoi(name + 7);
    if (!norm && layer == last) { /* the golden has the last one behind the norm */
        return;
    }
    float *values = rig_get(seen->rig, x, 32 * (size_t)columns);
    for (size_t i = 0; i < 32 * (size_t)columns; i++) {
        double error = fabs((double)values[i] - real_at(seen->hidden, layer * 32 * (size_t)columns + i));
        seen->worst = error <= seen->worst ? seen->worst : error;
    }
    free(values);
}

static void load(Rig *rig, const char *folder, Problem problem, const LoraConfig *lora, int tokens)
{
    Error error;
    Config config;
    char *path = string_format("%s/config.json", folder), *made = NULL;
    if (config_read(&config, path, &error) ||
        rig_open(rig, "auto", 0, config, problem, problem == PROBLEM_LANGUAGE ? 0 : 2, lora,
                 &error) ||
        model_read(&rig->model, &rig->state, folder, 1, NULL, &made, &error) ||
        rig_plan(rig, tokens, 4, 160, 0, &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(error.code);
    }
    free(path);
    free(made);
}

static void check_language(const Golden *g, const char *folder)
{
    Rig rig;
    const Tensor *ids = find(g, "nll.input_ids"), *lengths = find(g, "nll.lengths"),
                 *last = find(g, "nll.last_logits");
    /* adapters that are never read: what is frozen stays mapped */
    static const LoraConfig none = {.targets = 1, .r = 1, .alpha = 1};
    load(&rig, folder, PROBLEM_LANGUAGE, &none, 160);
    double torch = 0, worst = 0, worst_logit = 0;
    for (size_t p = 0; p < ids->shape[0]; p++) {
        double error = fabs(listed(g, "nll_f32", p) - listed(g, "nll_f64", p));
        torch = error > torch ? error : torch;
    }
    for (size_t p = 0; p < ids->shape[0]; p++) {
        Seen seen = {.rig = &rig, .hidden = p ? NULL : find(g, "nll.hidden_states_0")};
        size_t V = (size_t)rig.model.config.V, C = (size_t)rig.model.config.C;
        float *logits = memory_alloc(V, sizeof *logits);
        batch_begin(&rig.batch);
        int length = add_row(&rig.batch, ids, lengths, p);
        batch_put(&rig.batch);
        Pass pass = rig_pass(&rig, (Step){0});
        pass.observe = observe;
        pass.observe_user = &seen;
        pass_forward(&pass);
        pass_loss(&pass, 0.0f, 0);
        double error = fabs(rig_loss(&rig) / (length - 1) - listed(g, "nll_f64", p));
        worst = error <= worst ? worst : error;
        if (p == 0) {
            CHECK(seen.worst <= 4 * torch_error(g, "hidden"),
                  "hidden states: largest error %g, PyTorch's %g", seen.worst,
                  torch_error(g, "hidden"));
            printf("hidden states: largest error %.2g, PyTorch's %.2g\n", seen.worst,
                   torch_error(g, "hidden"));
        }
        if (p < last->shape[0]) {
            float *word = rig_param(
                &rig, params_find(&rig.model.params, "model.embed_tokens.weight"));
            logits_row(logits, seen.normed + (size_t)(length - 1) * C, (Weight){.f32 = word}, V, C);
            free(word);
            for (size_t v = 0; v < V; v++) {
                error = fabs((double)logits[v] - real_at(last, p * last->shape[1] + v));
                worst_logit = error <= worst_logit ? worst_logit : error;
            }
        }
        free(logits);
        free(seen.normed);
    }
    CHECK(worst <= 4 * torch, "mean loss of a passage: largest error %g, PyTorch's %g", worst,
          torch);
    CHECK(worst_logit <= 4 * torch_error(g, "last_logits"),
          "last logits: largest error %g, PyTorch's %g", worst_logit,
          torch_error(g, "last_logits"));
    printf("loss of a passage: largest error %.2g, PyTorch's %.2g; last logits: %.2g, %.2g\n",
           worst, torch, worst_logit, torch_error(g, "last_logits"));
    rig_free(&rig);
}

/* The golden tensor of a trained parameter. */
static const Tensor *golden_of(const Golden *g, const char *when, const Param *param)
{
    char name[200];
    snprintf(name, sizeof name, "lora.%s.%s%s", when, param->adapter ? "" : "base_model.model.",
             param->name);
    return find(g, name);
}

static void check_lora(const Golden *g, const char *folder)
{
    static const LoraConfig lora = {
        .targets = 1u << LINEAR_Q | 1u << LINEAR_V, .r = 8, .alpha = 16};
    static const OptimConfig adamw = {0.9, 0.999, 1e-8, 0.0, 1.0, 0};
    Rig rig;
    const Tensor *ids = find(g, "lora.input_ids"), *lengths = find(g, "lora.lengths"),
                 *labels = find(g, "lora.labels"), *logits = find(g, "lora.logits");
    load(&rig, folder, PROBLEM_SINGLE, &lora, 640);
    Params *params = &rig.model.params;
    for (int i = 0; i < params->count; i++) {
        if (params->list[i].trainable) {
            const Tensor *start = golden_of(g, "start", &params->list[i]);
            float *values = memory_alloc(start->count, sizeof *values);
            memcpy(values, start->data, start->bytes);
            rig_param_put(&rig, &params->list[i], values);
            free(values);
        }
    }
    double torch = 0, worst_loss = 0, worst_logit = 0;
    for (size_t s = 0; s < 5; s++) {
        double error = fabs(listed(g, "lora_losses_f32", s) - listed(g, "lora_losses_f64", s));
        torch = error > torch ? error : torch;
    }
    for (size_t s = 0; s < 5; s++) {
        Pass pass = rig_pass(&rig, (Step){.train = 1, .step = (uint32_t)s});
        batch_begin(&rig.batch);
        for (size_t b = 0; b < 4; b++) {
            add_row(&rig.batch, ids, lengths, 4 * s + b);
            batch_label(&rig.batch, int_at(labels, 4 * s + b), 0);
        }
        batch_put(&rig.batch);
        pass_forward(&pass);
        float *z = rig_get(&rig, rig.work.logits, 8);
        for (size_t i = 0; i < 8; i++) {
            double error = fabs((double)z[i] - real_at(logits, 8 * s + i));
            worst_logit = error <= worst_logit ? worst_logit : error;
        }
        free(z);
        pass_loss(&pass, 0.25f, 1);
        double error = fabs(rig_loss(&rig) / 4 - listed(g, "lora_losses_f64", s));
        worst_loss = error <= worst_loss ? worst_loss : error;
        StepSums sums;
        Error failure;
        CHECK(!optim_step(&rig.state, &rig.model, &adamw, 1e-3, NULL, &sums, &failure), "%s",
              failure.text);
    }
    CHECK(worst_loss <= 4 * torch, "LoRA losses: largest error %g, PyTorch's %g", worst_loss,
          torch);
    CHECK(worst_logit <= 4 * torch_error(g, "lora_logits"),
          "LoRA logits: largest error %g, PyTorch's %g", worst_logit,
          torch_error(g, "lora_logits"));
    printf("LoRA: losses %.2g, PyTorch's %.2g; logits %.2g, %.2g\n", worst_loss, torch, worst_logit,
           torch_error(g, "lora_logits"));
    /* PyTorch's error of the end values is not in the file: theirs must lie where five steps led,
     * to a thousandth of the way */
    double off = 0, way = 0;
    for (int i = 0; i < params->count; i++) {
        const Param *param = &params->list[i];
        float *values = param->trainable ? rig_param(&rig, param) : NULL;
        for (size_t k = 0; k < param->count && values; k++) {
            double end = real_at(golden_of(g, "end", param), k);
            off += pow((double)values[k] - end, 2);
            way += pow(real_at(golden_of(g, "start", param), k) - end, 2);
        }
        free(values);
    }
    CHECK(sqrt(off / way) <= 1e-3, "LoRA end values: off by %g of the way", sqrt(off / way));
    printf("LoRA end values: off by %.2g of the way from the start\n", sqrt(off / way));
    rig_free(&rig);
}

int main(int argc, char **argv)
{
    Golden g;
    Error error;
    if (argc != 3) {
        fputs("usage: test_smollm MODEL_DIR GOLDEN\n", stderr);
        return EXIT_USAGE;
    }
    char *file = string_format("%s.safetensors", argv[2]),
         *json = string_format("%s.json", argv[2]);
    if (safetensors_open(&g.file, file, &error) || json_read_file(&g.json, json, &error)) {
        fprintf(stderr, "%s\n", error.text);
        return error.code;
    }
    check_language(&g, argv[1]);
    check_lora(&g, argv[1]);
    safetensors_close(&g.file);
    json_decref(g.json);
    free(file);
    free(json);
    return checks_close("test_smollm");
}
