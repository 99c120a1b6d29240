/* Schedules of the rate, AdamW and clipping. With arguments, golden files: build/test_optim
 * [.../ops/golden.safetensors] */
#include "check.h"
#include "optim.h"
#include "rig.h"
#include "safetensors.h"
#include "schedule.h"

static void check_schedules(void)
{
    CHECK(schedule_factor(SCHEDULE_LINEAR, 0, 3, 10) == 0 &&
              schedule_factor(SCHEDULE_LINEAR, 3, 3, 10) == 1,
          "warm-up");
    CHECK(fabs(schedule_factor(SCHEDULE_LINEAR, 9, 3, 10) - 1.0 / 7) < 1e-15, "last linear step");
    CHECK(schedule_factor(SCHEDULE_LINEAR, 0, 0, 10) == 1, "no warm-up");
    /* scalar_cos is right to half a float ulp; pi / 2 as a float is off by 4e-8 */
    CHECK(fabs(schedule_factor(SCHEDULE_COSINE, 5, 0, 10) - 0.5) < 1e-7 &&
              schedule_factor(SCHEDULE_COSINE, 0, 0, 10) == 1,
          "cosine");
    CHECK(schedule_factor(SCHEDULE_CONSTANT, 9, 3, 10) == 1, "constant");
    CHECK(schedule_warmup(0.1, 375) == 38 && schedule_warmup(0, 10) == 0 &&
              schedule_warmup(12, 100) == 12,
          "warm-up steps");
}

static void check_schedule_golden(const char *path)
{
    Safetensors st;
    Error error;
    json_t *root;
    char *json = string_format("%.*sgolden.json", (int)(strrchr(path, '/') + 1 - path), path);
    if (safetensors_open(&st, path, &error) || json_read_file(&root, json, &error)) {
        CHECK(0, "%s", error.text);
        free(json);
        return;
    }
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "schedule.%d", i);
        const json_t *entry = json_object_get(json_object_get(root, "ops"), name);
        snprintf(name, sizeof name, "schedule.%d.factor", i);
        const Tensor *t = safetensors_find(&st, name);
        int steps = (int)json_integer_value(json_object_get(entry, "total")),
            warmup = (int)json_integer_value(json_object_get(entry, "warmup"));
        if (!entry || !t || !json_object_get(entry, "total")) {
            char *text = json_dumps(entry, JSON_COMPACT);
            CHECK(0, "%s has no %s: %s", path, name, text ? text : "");
            free(text);
            continue;
        }
        for (size_t s = 0; s < t->count; s++) {
            double truth;
            memcpy(&truth, t->data + 8 * s, 8);
            CHECK(fabs(schedule_factor(SCHEDULE_LINEAR, (int)s, warmup, steps) - truth) < 1e-14,
                  "%s step %zu", name, s);
        }
    }
    json_decref(root);
    safetensors_close(&st);
    free(json);
}

/* Three steps from drawn weights with drawn gradients, against Adam in double: bias corrected as by
 * torch.optim.AdamW, or not at all, as by google-research/bert's AdamWeightDecayOptimizer. */
static void check_adam(int uncorrected)
{
    const OptimConfig config = {0.9, 0.999, 1e-6, 0.1, 0, uncorrected};
    const double rate = 1e-2;
    Rig rig;
    rig_open_small(&rig, 10);
    size_t n = rig.model.params.trained, decayed = rig.model.params.decayed;
    const Device *device = rig.backend.device;
    double *p = memory_calloc(n, sizeof *p), *m = memory_calloc(n, sizeof *m),
           *v = memory_calloc(n, sizeof *v), worst = 0;
    float *values = memory_alloc(n, sizeof *values);
    for (size_t i = 0; i < n; i++) {
        p[i] = (double)(values[i] = rng_normal(1, i));
    }
    device->put(rig.state.weights, values, n * sizeof *values);
    for (int t = 1; t <= 3; t++) {
        StepSums sums;
        Error error;
        for (size_t i = 0; i < n; i++) {
            double g = (double)(values[i] = rng_normal(1 + (uint64_t)t, i));
            m[i] += (1 - 0.9) * (g - m[i]);
            v[i] += (1 - 0.999) * (g * g - v[i]);
            double first = uncorrected ? m[i] : m[i] / (1 - pow(0.9, t)),
                   second = uncorrected ? v[i] : v[i] / (1 - pow(0.999, t));
            p[i] -= rate * (first / (sqrt(second) + 1e-6) + (i < decayed ? 0.1 * p[i] : 0));
        }
        device->put(rig.state.gradients, values, n * sizeof *values);
        CHECK(!optim_step(&rig.state, &rig.model, &config, rate, NULL, &sums, &error) &&
                  sums.finite,
              "%s", error.text);
    }
    float *got = rig_get(&rig, rig.state.weights, n);
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)got[i] - p[i]) / (1 + fabs(p[i])));
    }
    CHECK(worst < 1e-6, "%s: off by %g", uncorrected ? "uncorrected" : "corrected", worst);
    free(got);
    free(values);
    free(p);
    free(m);
    free(v);
    rig_free(&rig);
}

/* Scales of a gradient of length sqrt(square) from torch.nn.utils.clip_grad_norm_ (PyTorch 2, in
 * float64, rounded). Its 1e-6 decides where the norm is near the limit, and where both are
 * small. */
static void check_clipping(void)
{
    static const struct {
        float square;
        double clip;
        float scale;
    } cases[] = {{0x1p0f, 1, 0x1.ffffdep-1f},
                 {0x1.ffffdep-1f, 1, 0x1.fffffp-1f},
                 {0x1.ffff8p-1f, 1, 1},
                 {0x1p-20f, 0x1p-10, 0x1.ff79ecp-1f},
                 {0x1p-4f, 0.25, 0x1.ffff7ap-1f},
                 {9, 1, 0x1.55554ep-2f},
                 {2.25f, 2, 1},
                 {0, 1, 1},
                 {1e10f, 0, 1}};
    const char *builds[3];
    int count = backend_builds(builds);
    for (int b = 0; b < count; b++) {
        Backend backend;
        Error error;
        if (backend_init(&backend, "cpu", builds[b], 1, &error)) {
            CHECK(0, "%s", error.text);
            continue;
        }
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            StepSums sums = {.loss = 1};
            float partial = cases[i].square;
            backend.ops.gradient_norm(&backend.ctx, &sums, &partial, 1, cases[i].clip);
            CHECK(sums.gradient_scale == cases[i].scale && sums.finite,
                  "%s: scale %a of norm %.9g and limit %g, PyTorch's is %a", builds[b],
                  (double)sums.gradient_scale, sums.norm, cases[i].clip, (double)cases[i].scale);
        }
        backend_free(&backend);
    }
}

int main(int argc, char **argv)
{
    check_schedules();
    check_clipping();
    check_adam(0);
    check_adam(1);
    for (int i = 1; i < argc; i++) {
        check_schedule_golden(argv[i]);
    }
    return checks_close("test_optim");
}
