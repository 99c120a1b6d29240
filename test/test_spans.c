/* The head that reads spans, against the same in float64 and differences of its loss: build/test_spans.
 * What is below it is tested elsewhere: its input is the engine's last hidden state. */
#include "check.h"
#include "pass.h"
#include "rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { C = 16, CLASSES = 3, SPANS = 2, SEQUENCES = 4, WIDE = (1 + SPANS) * C };

/* Lengths, spans and labels; spans overlap, are one token or all, and hold the pooled token. */
static const struct {
    int length, spans[SPANS][2], label;
} examples[SEQUENCES] = {{7, {{1, 4}, {3, 6}}, 0},
                         {1, {{0, 1}, {0, 1}}, 2},
                         {5, {{4, 5}, {0, 5}}, 1},
                         {9, {{2, 3}, {2, 3}}, 2}};

static json_t *config_json(const char *type)
{
    json_t *json = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:f}", "model_type",
                             type, "vocab_size", 50, "hidden_size", C, "num_hidden_layers", 2,
                             "num_attention_heads", 2, "max_position_embeddings", 40,
                             "intermediate_size", 24, "initializer_range", 0.3,
                             "hidden_dropout_prob", 0.0, "attention_probs_dropout_prob", 0.0);
    if (!strcmp(type, "llama")) {
        json_object_set_new(json, "num_key_value_heads", json_integer(1));
    }
    return json;
}

/* What the observer saw: hidden.2, or behind a decoder's last norm, and its gradient. */
typedef struct Seen {
    const Rig *rig;
    const char *value, *gradient;
    float *x, *dx;
    int rows;
} Seen;

static void observe(void *user, const char *name, const float *x, int rows, int columns)
{
    Seen *seen = user;
    float **into = !strcmp(name, seen->value)      ? &seen->x
                   : !strcmp(name, seen->gradient) ? &seen->dx
                                                   : NULL;
    if (into) {
        free(*into);
        *into = rig_get(seen->rig, x, (size_t)rows * (size_t)columns);
        seen->rows = rows;
    }
}

/* The head in double, its values by the names that the parameters have there. */
typedef struct Head {
    double *dense, *dense_bias, *out, *out_bias; /* dense: of an encoder */
} Head;

static double *doubles_of(const Rig *rig, const char *name)
{
    const Param *param = params_find(&rig->model.params, name);
    if (!param) {
        return NULL;
    }
    float *values = rig_param(rig, param);
    double *copy = memory_alloc(param->count, sizeof *copy);
    for (size_t i = 0; i < param->count; i++) {
        copy[i] = (double)values[i];
    }
    free(values);
    return copy;
}

/* logits [CLASSES] of sequence b, whose rows begin at x. Returns the loss. */
static double head_loss(const Head *h, const double *x, int b, int decoder, double logits[CLASSES])
{
    double wide[WIDE] = {0}, sum = 0;
    int pooled = decoder ? examples[b].length - 1 : 0;
    for (int o = 0; o < C; o++) {
        double y = h->dense ? h->dense_bias[o] : x[pooled * C + o];
        for (int c = 0; c < C && h->dense; c++) {
            y += h->dense[o * C + c] * x[pooled * C + c];
        }
        wide[o] = h->dense ? tanh(y) : y;
    }
    for (int s = 0; s < SPANS; s++) {
        const int *span = examples[b].spans[s];
        for (int n = span[0]; n < span[1]; n++) {
            for (int c = 0; c < C; c++) {
                wide[(1 + s) * C + c] += x[n * C + c] / (span[1] - span[0]);
            }
        }
    }
    for (int k = 0; k < CLASSES; k++) {
        logits[k] = h->out_bias ? h->out_bias[k] : 0;
        for (int i = 0; i < WIDE; i++) {
            logits[k] += h->out[k * WIDE + i] * wide[i];
        }
        sum += exp(logits[k]);
    }
    return log(sum) - logits[examples[b].label];
}

static double all_losses(const Head *h, const double *x, int decoder)
{
    double sum = 0, logits[CLASSES];
    for (int b = 0, n = 0; b < SEQUENCES; n += examples[b++].length) {
        sum += head_loss(h, x + n * C, b, decoder, logits);
    }
    return sum;
}

/* The gradient of the losses' sum against values, by differences. */
static void compare(const char *what, const float *ours, double *values, size_t count,
                    const Head *h, const double *x, int decoder)
{
    double worst = 0;
    for (size_t i = 0; i < count; i++) {
        double at = values[i], step = 1e-5, above;
        values[i] = at + step;
        above = all_losses(h, x, decoder);
        values[i] = at - step;
        double slope = (above - all_losses(h, x, decoder)) / (2 * step);
        values[i] = at;
        worst = fmax(worst, fabs(slope - (double)ours[i]) / (1e-5 + 1e-4 * fabs(slope)));
    }
    CHECK(worst < 1, "%s: off by %.3g of what is allowed", what, worst);
}

static void fill(Rig *rig, const int order[SEQUENCES], int count)
{
    batch_begin(&rig->batch);
    for (int i = 0; i < count; i++) {
        int tokens[16], b = order[i];
        for (int t = 0; t < examples[b].length; t++) {
            tokens[t] = 2 + (b * 11 + t * 7) % 40;
        }
        batch_add(&rig->batch, tokens, NULL, examples[b].length, b);
        batch_spans(&rig->batch, examples[b].spans);
        batch_label(&rig->batch, examples[b].label, 0);
    }
    batch_put(&rig->batch);
}

static float *gradients_of(const Rig *rig, const char *name)
{
    const Param *param = params_find(&rig->model.params, name);
    return rig_get(rig, rig->state.gradients + param->offset, param->count);
}

static void check_head(Rig *rig, const char *dense, const char *out)
{
    static const int all[SEQUENCES] = {0, 1, 2, 3};
    char *names[4] = {string_format("%s.weight", dense), string_format("%s.bias", dense),
                      string_format("%s.weight", out), string_format("%s.bias", out)};
    int decoder = rig->model.config.architecture == ARCH_LLAMA;
    Seen seen = {.rig = rig,
                 .value = decoder ? "hidden.norm" : "hidden.2",
                 .gradient = decoder ? "dhidden.norm" : "dhidden.2"};
    Pass pass = rig_pass(rig, (Step){.train = 1});
    pass.observe = observe;
    pass.observe_user = &seen;
    fill(rig, all, SEQUENCES);
    pass_forward(&pass);
    pass_loss(&pass, 1.0f, 1);
    size_t n = (size_t)rig->batch.N * C;
    CHECK(seen.rows == rig->batch.N, "%d rows go on", seen.rows);
    double *x = memory_alloc(n, sizeof *x), logits[CLASSES];
    for (size_t i = 0; i < n; i++) {
        x[i] = (double)seen.x[i];
    }
    Head head = {doubles_of(rig, names[0]), doubles_of(rig, names[1]), doubles_of(rig, names[2]),
                 doubles_of(rig, names[3])};
    float *engine = rig_get(rig, rig->work.logits, SEQUENCES * CLASSES);
    for (int b = 0, row = 0; b < SEQUENCES; row += examples[b++].length) {
        head_loss(&head, x + row * C, b, decoder, logits);
        for (int k = 0; k < CLASSES; k++) {
            CHECK(fabs(logits[k] - (double)engine[b * CLASSES + k]) < 2e-5,
                  "logit %d of %d: %.9g, expected %.9g", k, b, (double)engine[b * CLASSES + k],
                  logits[k]);
        }
    }
    CHECK(fabs(rig_loss(rig) - all_losses(&head, x, decoder)) < 1e-4, "loss");
    compare("gradient of the hidden state", seen.dx, x, n, &head, x, decoder);
    double *const values[4] = {head.dense, head.dense_bias, head.out, head.out_bias};
    for (int i = 0; i < 4; i++) {
        if (values[i]) {
            const Param *param = params_find(&rig->model.params, names[i]);
            float *ours = gradients_of(rig, names[i]);
            compare(names[i], ours, values[i], param->count, &head, x, decoder);
            free(ours);
        }
    }
    for (int i = 0; i < 4; i++) {
        free(values[i]);
        free(names[i]);
    }
    free(engine);
    free(x);
    free(seen.x);
    free(seen.dx);
}

/* Logits of a sequence do not depend on its neighbours or its place: the same bits alone. */
static void check_alone(Rig *rig)
{
    static const int other[SEQUENCES] = {3, 1, 0, 2};
    Pass pass = rig_pass(rig, (Step){0});
    fill(rig, other, SEQUENCES);
    pass_forward(&pass);
    float *together = rig_get(rig, rig->work.logits, SEQUENCES * CLASSES);
    for (int i = 0; i < SEQUENCES; i++) {
        fill(rig, &other[i], 1);
        pass_forward(&pass);
        float *alone = rig_get(rig, rig->work.logits, CLASSES);
        CHECK(!memcmp(alone, together + i * CLASSES, CLASSES * sizeof *alone),
              "sequence %d has other bits alone", other[i]);
        free(alone);
    }
    free(together);
}

int main(void)
{
    static const struct {
        const char *type, *dense, *out;
    } models[] = {{"bert", "bert.pooler.dense", "classifier"},
                  {"roberta", "classifier.dense", "classifier.out_proj"},
                  {"llama", "", "score"}};
    const char *builds[3];
    int count = rig_builds(builds);
    for (int i = 0; i < 3; i++) {
        for (int b = 0; b < count; b++) {
            Rig rig;
            Config config;
            Error error;
            if (config_from_json(&config, config_json(models[i].type), models[i].type, &error)) {
                CHECK(0, "%s", error.text);
                continue;
            }
            config.spans = SPANS;
            if (rig_open(&rig, builds[b], 2, config, PROBLEM_SINGLE, CLASSES, NULL, &error) ||
                rig_plan(&rig, 40, SEQUENCES, 16, 0, &error)) {
                CHECK(0, "%s", error.text);
                continue;
            }
            for (int p = 0; p < rig.model.params.count; p++) {
                rig_param_normal(&rig, &rig.model.params.list[p], 7, 0.3f);
            }
            check_head(&rig, models[i].dense, models[i].out);
            check_alone(&rig);
            rig_free(&rig);
        }
    }
    return checks_close("test_spans");
}
