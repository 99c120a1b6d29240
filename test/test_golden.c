/* Compares models with golden runs: build/test_golden DIR...
 *
 * A directory holds config.json, model.safetensors, golden.safetensors (float64 truth) and
 * golden.json (the error of PyTorch's own float32 run). A float32 implementation may be off by four
 * times that error, plus half a unit in the last place where the truth is stored as float32
 * (goldens' README). Every build that the machine runs is compared, and all builds and thread
 * counts must agree bit for bit. */
#include "check.h"
#include "golden_case.h"
#include "optim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Observer {
    Case *c;
    const int *cu;
    float *normed; /* what the language model's output reads */
} Observer;

/* Hidden states, attention outputs and their gradients as the model computes them. In the last
 * layer it has one token of each sequence, the first or (decoder) the last; the truth has all rows,
 * so these are picked. */
static void observe(void *user, const char *name, const float *x, int rows, int columns)
{
    Observer *o = user;
    size_t count = (size_t)rows * (size_t)columns, *at = NULL;
    if (!strcmp(name, "hidden.norm")) {
        o->normed = rig_get(&o->c->rig, x, count);
    }
    const Tensor *truth = safetensors_find(&o->c->golden, name);
    if (!truth || !strcmp(name, "logits")) {
        return;
    }
    char key[80];
    int gradient = name[0] == 'd';
    snprintf(key, sizeof key, "once/torch_f32_error/%s/max_abs", gradient ? "dhidden" : "hidden");
    double tolerance = 4 * golden_number(o->c->json, key);
    if (truth->count != count) {
        at = memory_alloc(count, sizeof *at);
        for (size_t i = 0; i < count; i++) {
            size_t b = i / (size_t)columns;
            int row = o->c->rig.model.config.architecture == ARCH_LLAMA ? o->cu[b + 1] - 1 : o->cu[b];
            at[i] = (size_t)row * (size_t)columns + i % (size_t)columns;
        }
    }
    float *values = rig_get(&o->c->rig, x, count);
    golden_compare(o->c, name, values, truth, at, count, tolerance);
    free(values);
    free(at);
}

/* A language model never holds these at once: the output layer on the final norm. */
static float *language_logits(Case *c, const Observer *o)
{
    const Tensor *truth = safetensors_find(&c->golden, "logits.f64");
    const Config *config = &c->rig.model.config;
    const Param *output = params_find(&c->rig.model.params,
                                config->tied ? "model.embed_tokens.weight" : "lm_head.weight");
    float *logits = memory_alloc(truth->count, sizeof *logits), *weight = rig_param(&c->rig, output);
    size_t C = (size_t)config->C, words = (size_t)config->V;
    for (size_t n = 0; n < truth->shape[0]; n++) {
        logits_row(logits + n * words, o->normed + n * C, (Weight){.f32 = weight}, words, C);
    }
    free(weight);
    return logits;
}

/* The golden files name everything of an adapted model as PEFT does. */
static void golden_name(const Case *c, char out[200], const char *before, const Param *param)
{
    snprintf(out, 200, "%s.%s%s", before,
             c->rig.model.lora.targets && !param->adapter ? "base_model.model." : "", param->name);
}

/* Adding the same to all keys changes no softmax, so the gradient of their bias is 0: what is
 * computed is what is left of sums that cancel. */
static int zero_gradient(const char *name)
{
    return strstr(name, "self.key.bias") != NULL;
}

/* PyTorch's largest error of a gradient. Where the truth is 0 the size of what is left is luck;
 * then that of the query's bias counts, a sum of as many terms of the same scores. */
static double gradient_error(const json_t *by_tensor, const char *name)
{
    char query[200];
    double error = json_number_value(json_object_get(json_object_get(by_tensor, name), "max_abs"));
    const char *at = strstr(name, "self.key.bias");
    if (at) {
        snprintf(query, sizeof query, "%.*sself.query.bias", (int)(at - name), name);
        const json_t *other = json_object_get(by_tensor, query);
        error = fmax(error, json_number_value(json_object_get(other, "max_abs")));
    }
    return error;
}

static void run_once(Case *c)
{
    GoldenBatch g;
    if (golden_batch_load(&g, c, "")) {
        CHECK(0, "%s: golden.safetensors has no batch", c->folder);
        return;
    }
    Observer observer = {c, g.cu, NULL};
    Pass pass = rig_pass(&c->rig, (Step){.train = 0});
    pass.observe = observe;
    pass.observe_user = &observer;
    pass_forward(&pass);
    const Tensor *truth = safetensors_find(&c->golden, "logits.f64");
    float *logits = c->rig.model.problem == PROBLEM_LANGUAGE
                        ? language_logits(c, &observer)
                        : rig_get(&c->rig, c->rig.work.logits, truth->count);
    golden_compare(c, "logits", logits, truth, NULL, truth->count,
                   4 * golden_number(c->json, "once/torch_f32_error/logits/max_abs"));
    free(logits);
    free(observer.normed);
    pass_loss(&pass, 1.0f / (float)g.terms, 1);
    state_add_lookup(&c->rig.state, &c->rig.model);
    /* An error d of the logits is one of up to 2 d in a loss; over a handful of losses PyTorch's
     * own may be luckier than that. */
    double loss_error = golden_number(c->json, "once/torch_f32_error/each_loss/max_abs"),
           logits_error = golden_number(c->json, "once/torch_f32_error/logits/max_abs");
    if (c->rig.model.problem != PROBLEM_REGRESSION) {
        loss_error = fmax(loss_error, logits_error);
    }
    truth = safetensors_find(&c->golden, "each_loss.f64");
    float *losses = rig_get(&c->rig, c->rig.work.losses, (size_t)c->rig.batch.losses);
    golden_compare(c, "each_loss", losses, truth, NULL, truth->count, 4 * loss_error);
    float *gradient = rig_get(&c->rig, c->rig.state.gradients, c->rig.model.params.trained);
    const json_t *by_tensor = json_object_get(
        json_object_get(json_object_get(c->json, "once"), "torch_f32_error"), "grad_by_tensor");
    int gradients = 0, trained = 0;
    for (int i = 0; i < c->rig.model.params.count; i++) {
        const Param *p = &c->rig.model.params.list[i];
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
        golden_compare(c, name, gradient + p->offset, truth, NULL, p->count,
                       4 * gradient_error(by_tensor, name + strlen("grad.")));
        gradients++;
    }
    CHECK(gradients == trained, "%s: %d of %d gradients compared", c->folder, gradients, trained);
    free(losses);
    free(gradient);
    golden_batch_free(&g);
}

/* entry: of golden.json's train/variants. */
static void run_training(Case *c, const char *variant, const json_t *entry, const char *build)
{
    char key[160], prefix[32];
    const json_t *hyper = json_object_get(entry, "hyper"), *betas = json_object_get(hyper, "betas"),
                 *errors = json_object_get(entry, "torch_f32_error");
    OptimConfig config = {
        json_number_value(json_array_get(betas, 0)), json_number_value(json_array_get(betas, 1)),
        golden_number(hyper, "eps"), golden_number(hyper, "weight_decay"),
        json_is_number(json_object_get(hyper, "clip")) ? golden_number(hyper, "clip") : 0, 0};
    if (golden_load(c, build, 2, c->start)) {
        return;
    }
    int steps = (int)golden_number(c->json, "train/steps");
    for (int s = 0; s < steps; s++) {
        GoldenBatch g;
        snprintf(prefix, sizeof prefix, "train.%d.", s);
        if (golden_batch_load(&g, c, prefix)) {
            CHECK(0, "%s: no batch %s", c->folder, prefix);
            return;
        }
        Pass pass = rig_pass(&c->rig, (Step){.train = 0});
        pass_forward(&pass);
        pass_loss(&pass, 1.0f / (float)g.terms, 1);
        double loss = rig_loss(&c->rig);
        snprintf(key, sizeof key, "train.%s.lr", variant);
        const Tensor *rates = safetensors_find(&c->golden, key);
        CHECK(rates, "%s: no golden %s", c->folder, key);
        StepSums sums;
        Error error;
        CHECK(!optim_step(&c->rig.state, &c->rig.model, &config,
                          rates ? golden_element(rates, (size_t)s) : 0, NULL, &sums, &error),
              "%s", error.text);
        float value = (float)(loss / g.terms), norm_value = (float)sums.norm;
        size_t at = (size_t)s;
        snprintf(key, sizeof key, "train.%s.loss", variant);
        golden_compare(c, key, &value, safetensors_find(&c->golden, key), &at, 1,
                       4 * golden_number(errors, "loss"));
        snprintf(key, sizeof key, "train.%s.norm", variant);
        golden_compare(c, key, &norm_value, safetensors_find(&c->golden, key), &at, 1,
                       4 * golden_number(errors, "grad_norm"));
        golden_batch_free(&g);
    }
    /* AdamW divides a gradient by its own size, so the error of an element whose gradient is near 0
     * is as large as the step, and the largest error is that of one such element: the root mean
     * square is the steadier figure (goldens' README). It is held to 4 times PyTorch's, the largest
     * to 8 times. */
    double squares = 0;
    size_t count = 0;
    for (int i = 0; i < c->rig.model.params.count; i++) {
        const Param *p = &c->rig.model.params.list[i];
        char before[32], name[200];
        snprintf(before, sizeof before, "final.%s", variant);
        golden_name(c, name, before, p);
        const Tensor *truth = p->trainable ? safetensors_find(&c->golden, name) : NULL;
        CHECK(truth || !p->trainable, "%s: no golden %s", c->folder, name);
        if (!truth) {
            continue;
        }
        float *x = rig_param(&c->rig, p);
        golden_compare(c, name, x, truth, NULL, p->count,
                       zero_gradient(p->name)
                           ? 4 * golden_number(errors, "final_zero_gradient/max_abs")
                           : 8 * golden_number(errors, "final/max_abs"));
        for (size_t k = 0; k < p->count && !zero_gradient(p->name); k++) {
            squares += pow((double)x[k] - golden_element(truth, k), 2);
            count++;
        }
        free(x);
    }
    double rms = sqrt(squares / (double)count), torch = golden_number(errors, "final/rms");
    CHECK(rms <= 4 * torch, "%s: final.%s: root mean square error %.3g, PyTorch's is %.3g",
          c->folder, variant, rms, torch);
    printf("%s: final.%s: root mean square error %.2g, PyTorch's %.2g\n", c->folder, variant, rms,
           torch);
    rig_free(&c->rig);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: test_golden DIR...\n", stderr);
        return EXIT_USAGE;
    }
    const char *builds[3];
    int count = rig_builds(builds);
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
                golden_check_adapters(&c, builds[count - 1]);
            }
            free(folder);
            for (int b = 0; b < count; b++) {
                if (!golden_load(&c, builds[b], 2, c.adapter)) {
                    run_once(&c);
                    rig_free(&c.rig);
                }
            }
            const char *variant;
            json_t *entry;
            json_object_foreach(json_object_get(json_object_get(c.json, "train"), "variants"),
                                variant, entry)
            {
                run_training(&c, variant, entry, builds[count - 1]);
            }
            golden_check_exactness(&c);
            golden_check_targets(&c, builds[count - 1]);
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
