/* A decoder with real weights: build/test_smollm MODEL_DIR GOLDEN (without .safetensors, .json).
 *
 * SmolLM2-135M-Instruct in bf16 against float64 runs: the loss of 20 passages as a language model,
 * logits, hidden states, then five steps of LoRA on BoolQ texts. A float32 implementation may be
 * off by four times PyTorch's own float32 error. */
#include "check.h"
#include "json.h"
#include "model.h"
#include "optim.h"
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

/* A padded row of token ids as a batch of one sequence, appended to what is there. */
typedef struct Tokens {
    int tokens[1024], types[1024], next[1024], cu[32], slots[32], labels[32];
    Batch batch;
} Tokens;

static void add_row(Tokens *t, const Tensor *ids, const Tensor *lengths, size_t row)
{
    int length = int_at(lengths, row), begin = t->batch.N;
    for (int i = 0; i < length; i++) {
        t->tokens[begin + i] = int_at(ids, row * ids->shape[1] + (size_t)i);
        t->next[begin + i] = i + 1 < length ? int_at(ids, row * ids->shape[1] + (size_t)i + 1) : -1;
    }
    t->batch = (Batch){begin + length, t->batch.B + 1, t->tokens, t->types,
                       t->cu,          t->slots,       t->next,   NULL};
    t->cu[t->batch.B] = begin + length;
    t->slots[t->batch.B - 1] = t->batch.B - 1;
}

typedef struct Seen {
    const Tensor *hidden; /* [L + 1, 32, C] of the first passage, or NULL */
    const float *normed;
    double worst;
} Seen;

static void observe(void *user, const char *name, const float *x, int rows, int columns)
{
    Seen *seen = user;
    int norm = !strcmp(name, "hidden.norm");
    (void)rows;
    if (norm) {
        seen->normed = x;
    }
    if (!seen->hidden || strncmp(name, "hidden.", 7)) {
        return;
    }
    size_t last = seen->hidden->shape[0] - 1, layer = norm ? last : (size_t)atoi(name + 7);
    if (!norm && layer == last) { /* the golden has the last one behind the norm */
        return;
    }
    for (size_t i = 0; i < 32 * (size_t)columns; i++) {
        double error = fabs((double)x[i] - real_at(seen->hidden, layer * 32 * (size_t)columns + i));
        seen->worst = error <= seen->worst ? seen->worst : error;
    }
}

static int load(Model *model, Backend *backend, const char *folder, Problem problem,
                const LoraConfig *lora, int tokens)
{
    Error error;
    Config config;
    char *path = string_format("%s/config.json", folder), *made = NULL;
    int bad = backend_init(backend, "auto", 0, &error) || config_read(&config, path, &error);
    free(path);
    if (!bad) {
        model_init(model, config, problem, problem == PROBLEM_LANGUAGE ? 0 : 2, lora, backend);
        bad = model_read(model, folder, 1, &made, &error);
    }
    free(made);
    if (bad) {
        fprintf(stderr, "%s\n", error.text);
        exit(error.code);
    }
    model_plan(model, tokens, 4, 160, lora != NULL);
    return 0;
}

static void check_language(const Golden *g, const char *folder)
{
    Model model;
    Backend backend;
    const Tensor *ids = find(g, "nll.input_ids"), *lengths = find(g, "nll.lengths"),
                 *last = find(g, "nll.last_logits");
    /* adapters that are never read: what is frozen stays mapped */
    static const LoraConfig none = {.targets = 1, .r = 1, .alpha = 1};
    load(&model, &backend, folder, PROBLEM_LANGUAGE, &none, 160);
    double torch = 0, worst = 0, worst_logit = 0;
    for (size_t p = 0; p < ids->shape[0]; p++) {
        double error = fabs(listed(g, "nll_f32", p) - listed(g, "nll_f64", p));
        torch = error > torch ? error : torch;
    }
    for (size_t p = 0; p < ids->shape[0]; p++) {
        Tokens t = {.batch = {0}};
        Step step = {0};
        Seen seen = {.hidden = p ? NULL : find(g, "nll.hidden_states_0")};
        float losses[160], *logits = memory_alloc((size_t)model.config.V, sizeof *logits);
        double sum = 0;
        add_row(&t, ids, lengths, p);
        model.observe = observe;
        model.observe_user = &seen;
        model_forward(&model, &t.batch, &step);
        model_loss(&model, &t.batch, &step, losses, 0.0f, 0);
        for (int n = 0; n < t.batch.N; n++) {
            sum += (double)losses[n];
        }
        double error = fabs(sum / (t.batch.N - 1) - listed(g, "nll_f64", p));
        worst = error <= worst ? worst : error;
        if (p == 0) {
            CHECK(seen.worst <= 4 * torch_error(g, "hidden"),
                  "hidden states: largest error %g, PyTorch's %g", seen.worst,
                  torch_error(g, "hidden"));
            printf("hidden states: largest error %.2g, PyTorch's %.2g\n", seen.worst,
                   torch_error(g, "hidden"));
        }
        if (p < last->shape[0]) {
            const Param *word = params_find(&model.params, "model.embed_tokens.weight");
            size_t C = (size_t)model.config.C;
            logits_row(logits, seen.normed + (size_t)(t.batch.N - 1) * C, word->weight,
                       (size_t)model.config.V, C);
            for (size_t v = 0; v < (size_t)model.config.V; v++) {
                error = fabs((double)logits[v] - real_at(last, p * last->shape[1] + v));
                worst_logit = error <= worst_logit ? worst_logit : error;
            }
        }
        free(logits);
    }
    CHECK(worst <= 4 * torch, "mean loss of a passage: largest error %g, PyTorch's %g", worst,
          torch);
    CHECK(worst_logit <= 4 * torch_error(g, "last_logits"),
          "last logits: largest error %g, PyTorch's %g", worst_logit,
          torch_error(g, "last_logits"));
    printf("loss of a passage: largest error %.2g, PyTorch's %.2g; last logits: %.2g, %.2g\n",
           worst, torch, worst_logit, torch_error(g, "last_logits"));
    model_free(&model);
    backend_free(&backend);
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
    static const OptimConfig adamw = {0.9, 0.999, 1e-8, 0.0, 1.0};
    Model model;
    Backend backend;
    Optim optim;
    const Tensor *ids = find(g, "lora.input_ids"), *lengths = find(g, "lora.lengths"),
                 *labels = find(g, "lora.labels"), *logits = find(g, "lora.logits");
    load(&model, &backend, folder, PROBLEM_SINGLE, &lora, 640);
    Params *params = &model.params;
    for (int i = 0; i < params->count; i++) {
        if (params->list[i].trainable) {
            const Tensor *start = golden_of(g, "start", &params->list[i]);
            memcpy(param_values(params, &params->list[i]), start->data, start->bytes);
        }
    }
    optim_init(&optim, &adamw);
    double torch = 0, worst_loss = 0, worst_logit = 0;
    for (size_t s = 0; s < 5; s++) {
        double error = fabs(listed(g, "lora_losses_f32", s) - listed(g, "lora_losses_f64", s));
        torch = error > torch ? error : torch;
    }
    for (size_t s = 0; s < 5; s++) {
        Tokens t = {.batch = {0}};
        Step step = {.train = 1, .step = (uint32_t)s};
        float losses[4];
        double loss = 0;
        for (size_t b = 0; b < 4; b++) {
            add_row(&t, ids, lengths, 4 * s + b);
            t.labels[b] = int_at(labels, 4 * s + b);
        }
        t.batch.labels = t.labels;
        model_zero_gradients(&model);
        const float *z = model_forward(&model, &t.batch, &step);
        for (size_t i = 0; i < 8; i++) {
            double error = fabs((double)z[i] - real_at(logits, 8 * s + i));
            worst_logit = error <= worst_logit ? worst_logit : error;
        }
        model_loss(&model, &t.batch, &step, losses, 0.25f, 1);
        for (int b = 0; b < 4; b++) {
            loss += (double)losses[b] / 4;
        }
        double error = fabs(loss - listed(g, "lora_losses_f64", s));
        worst_loss = error <= worst_loss ? worst_loss : error;
        optim_step(&optim, &model, 1e-3);
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
        for (size_t k = 0; k < param->count && param->trainable; k++) {
            double end = real_at(golden_of(g, "end", param), k);
            off += pow((double)param->weight.f32[k] - end, 2);
            way += pow(real_at(golden_of(g, "start", param), k) - end, 2);
        }
    }
    CHECK(sqrt(off / way) <= 1e-3, "LoRA end values: off by %g of the way", sqrt(off / way));
    printf("LoRA end values: off by %.2g of the way from the start\n", sqrt(off / way));
    model_free(&model);
    backend_free(&backend);
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
