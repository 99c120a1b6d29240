/* RMSNorm, SiLU (in SwiGLU) and RoPE against PyTorch: build/test_decoder_ops
 * .../ops/golden.safetensors (golden.json beside it). Truth is float64; allowed is 4 times the
 * error of torch's own float32, and one rounding. */
#include "backend.h"
#include "check.h"
#include "json.h"
#include "rope.h"
#include "safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static Safetensors st;
static json_t *info;
static Backend backend;

/* A tensor by name and part as doubles; the caller frees it. */
static double *load(const char *name, const char *part, size_t *count)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", name, part);
    const Tensor *t = safetensors_find(&st, key);
    CHECK(t != NULL, "%s is missing", key);
    *count = t ? t->count : 0;
    double *x = memory_calloc(*count + 1, sizeof *x);
    for (size_t i = 0; i < *count; i++) {
        if (t->dtype == DTYPE_F64) {
            memcpy(&x[i], t->data + 8 * i, 8);
        } else if (t->dtype == DTYPE_F32) {
            float f;
            memcpy(&f, t->data + 4 * i, 4);
            x[i] = (double)f;
        } else {
            int32_t v;
            memcpy(&v, t->data + 4 * i, 4);
            x[i] = v;
        }
    }
    return x;
}

static float *load_float(const char *name, const char *part, size_t *count)
{
    double *x = load(name, part, count);
    float *f = memory_alloc(*count + 1, sizeof *f);
    for (size_t i = 0; i < *count; i++) {
        f[i] = (float)x[i];
    }
    free(x);
    return f;
}

/* Worst share of the allowed error. */
static double worst;

static void compare(const char *name, const char *part, const float *ours, size_t count)
{
    size_t n;
    double *truth = load(name, part, &n), largest = 0;
    const json_t *torch = json_object_get(
        json_object_get(json_object_get(info, name), "torch_f32_error"), part);
    double allowed = 4 * json_number_value(json_object_get(torch, "max_abs"));
    for (size_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs(truth[i]));
    }
    CHECK(n == count && allowed > 0, "%s %s: %zu values, expected %zu", name, part, count, n);
    for (size_t i = 0; i < n && i < count; i++) {
        double error = fabs((double)ours[i] - truth[i]);
        worst = fmax(worst, error / allowed);
        CHECK(error <= allowed, "%s %s[%zu]: %.9g, expected %.9g, off by %.1e, allowed %.1e", name,
              part, i, (double)ours[i], truth[i], error, allowed);
    }
    free(truth);
}

static void check_rmsnorm(const char *name)
{
    const json_t *shape = json_object_get(json_object_get(info, name), "shape");
    int N = (int)json_integer_value(json_array_get(shape, 0)),
        C = (int)json_integer_value(json_array_get(shape, 1));
    float eps = (float)json_number_value(json_object_get(json_object_get(info, name), "eps"));
    size_t n;
    float *x = load_float(name, "x", &n), *dy = load_float(name, "dy", &n), *w;
    float *y = memory_alloc(n, sizeof *y), *rstd = memory_alloc((size_t)N, sizeof *rstd);
    size_t channels;
    w = load_float(name, "weight", &channels);
    float *dw = memory_calloc(channels, sizeof *dw);
    int cu[2] = {0, N};
    backend.ops.rmsnorm_forward(&backend.ctx, y, rstd, x, w, N, C, eps);
    compare(name, "y", y, n);
    backend.ops.rmsnorm_backward(&backend.ctx, y, dw, dy, x, rstd, w, cu, 1, N, C);
    compare(name, "dx", y, n);
    compare(name, "dweight", dw, channels);
    free(x);
    free(dy);
    free(w);
    free(y);
    free(rstd);
    free(dw);
}

static void check_rope(const char *name)
{
    const json_t *o = json_object_get(info, name), *p = json_object_get(o, "parameters");
    int D = (int)json_integer_value(json_object_get(o, "D"));
    RopeParameters parameters = {
        .theta = json_number_value(json_object_get(p, "rope_theta")),
        .llama3 = !strcmp(json_string_value(json_object_get(p, "rope_type")), "llama3"),
        .factor = json_number_value(json_object_get(p, "factor")),
        .low_freq_factor = json_number_value(json_object_get(p, "low_freq_factor")),
        .high_freq_factor = json_number_value(json_object_get(p, "high_freq_factor")),
        .original_positions = (int)json_integer_value(
            json_object_get(p, "original_max_position_embeddings"))};
    size_t n, half, rows, table;
    double *truth = load(name, "inv_freq", &half), *positions = load("rope", "positions", &rows);
    double *frequency = memory_alloc(half, sizeof *frequency);
    rope_frequencies(frequency, D, &parameters);
    for (size_t i = 0; i < half; i++) {
        CHECK(fabs(frequency[i] - truth[i]) <= 1e-14 * truth[i], "%s inv_freq[%zu]: %.17g, %.17g",
              name, i, frequency[i], truth[i]);
    }
    double *cosine = load(name, "cos", &table), *sine = load(name, "sin", &table);
    float *c = memory_alloc(table, sizeof *c), *s = memory_alloc(table, sizeof *s);
    int *order = memory_alloc(rows, sizeof *order);
    for (size_t r = 0; r < rows; r++) {
        order[r] = (int)r;
        rope_angles(c + r * half, s + r * half, (int)positions[r], frequency, D);
    }
    for (size_t i = 0; i < table; i++) {
        /* one rounding to float, and an angle up to 1e5 that is good to 1e-14 of itself */
        CHECK(fabs((double)c[i] - cosine[i]) <= 0x1p-24 + 1e-9 &&
                  fabs((double)s[i] - sine[i]) <= 0x1p-24 + 1e-9,
              "%s table[%zu]: %.9g %.9g, expected %.9g %.9g", name, i, (double)c[i], (double)s[i],
              cosine[i], sine[i]);
    }
    float *x = load_float(name, "x", &n);
    int H = (int)(n / rows / (size_t)D);
    backend.ops.rope(&backend.ctx, x, order, c, s, (int)rows, H, D, H * D, 1);
    compare(name, "y", x, n);
    free(x);
    x = load_float(name, "dy", &n);
    backend.ops.rope(&backend.ctx, x, order, c, s, (int)rows, H, D, H * D, -1);
    compare(name, "dx", x, n);
    free(x);
    free(truth);
    free(positions);
    free(frequency);
    free(cosine);
    free(sine);
    free(c);
    free(s);
    free(order);
}

/* silu(x) is swiglu with up = 1; to 4 units in the last place. */
static void check_silu(void)
{
    size_t n;
    float *x = load_float("silu", "x", &n), *dy = load_float("silu", "dy", &n);
    double *y = load("silu", "y64", &n), *dx = load("silu", "dx64", &n);
    float *one = memory_alloc(n, sizeof *one), *out = memory_alloc(n, sizeof *out),
          *dup = memory_alloc(n, sizeof *dup);
    for (size_t i = 0; i < n; i++) {
        one[i] = 1;
    }
    backend.ops.swiglu_forward(&backend.ctx, out, x, one, n);
    for (size_t i = 0; i < n; i++) {
        int both_nan = isnan(y[i]) && isnan(out[i]);
        /* below -88 exp(-x) overflows float and silu is -0 instead of a number under 1e-36 */
        CHECK(both_nan || (isinf(y[i]) && (double)out[i] == y[i]) ||
                  fabs((double)out[i] - y[i]) <= 4 * 0x1p-23 * fabs(y[i]) + 1e-35,
              "silu[%zu] of %.9g: %.9g, expected %.9g", i, (double)x[i], (double)out[i], y[i]);
    }
    backend.ops.swiglu_backward(&backend.ctx, out, dup, dy, x, one, n);
    for (size_t i = 0; i < n; i++) {
        if (isfinite(x[i]) && isfinite(dx[i])) {
            /* 1 - s has an absolute error of a rounding of 1, times x */
            double allowed = 4 * 0x1p-23 * fabs((double)dy[i]) *
                             (1 + (fabs((double)x[i]) < 90 ? fabs((double)x[i]) : 0));
            CHECK(fabs((double)out[i] - dx[i]) <= allowed, "silu dx[%zu] of %.9g: %.9g, %.9g", i,
                  (double)x[i], (double)out[i], dx[i]);
        }
    }
    free(x);
    free(dy);
    free(y);
    free(dx);
    free(one);
    free(out);
    free(dup);
}

int main(int argc, char **argv)
{
    static const char *const norms[] = {"rmsnorm.0", "rmsnorm.1", "rmsnorm.2", "rmsnorm.3",
                                        "rmsnorm.4"};
    static const char *const ropes[] = {"rope.plain", "rope.llama31", "rope.llama32", "rope.short"};
    Error error;
    json_t *root;
    if (argc != 2) {
        fputs("usage: test_decoder_ops .../ops/golden.safetensors\n", stderr);
        return EXIT_USAGE;
    }
    char *json = string_format("%.*sgolden.json", (int)(strrchr(argv[1], '/') + 1 - argv[1]),
                               argv[1]);
    if (safetensors_open(&st, argv[1], &error) || json_read_file(&root, json, &error) ||
        backend_init(&backend, "cpu", "auto", 2, &error)) {
        fprintf(stderr, "test_decoder_ops: %s\n", error.text);
        return 1;
    }
    info = json_object_get(root, "ops");
    for (int i = 0; i < 5; i++) {
        check_rmsnorm(norms[i]);
    }
    for (int i = 0; i < 4; i++) {
        check_rope(ropes[i]);
    }
    check_silu();
    printf("worst share of the allowed error: %.2f\n", worst);
    backend_free(&backend);
    safetensors_close(&st);
    json_decref(root);
    free(json);
    return checks_close("test_decoder_ops");
}
