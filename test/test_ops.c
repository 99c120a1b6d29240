/* Every op of ops.def at odd shapes: the same bits from every build and thread count, values
 * against a plain float64 definition, gradients against central differences of that definition. An
 * op without a case fails.
 *
 * Tolerances: a sum of n float32 operations on terms t_i is off by at most n 2^-24 sum |t_i|
 * (Higham 2002, section 3.1), to first order; each comparison states its n and its sum. Differences
 * with step h are off by about h^2. */
#include "op_cases.h"
#include "watch.h"

int variant_runs;

const int cu[B + 1] = {0, 1, 34, 41, 60, N};
const int slots[B] = {0, 3, 1, 9, 4};

void output_put(Output *out, const float *x, size_t n)
{
    out->x = memory_realloc(out->x, out->n + n, sizeof *out->x);
    memcpy(out->x + out->n, x, n * sizeof *x);
    out->n += n;
}

float *input(uint64_t key, size_t n)
{
    float *x = memory_alloc(n ? n : 1, sizeof *x);
    for (size_t i = 0; i < n; i++) {
        x[i] = rng_normal(key, i);
    }
    return x;
}

double *zeros(size_t n)
{
    return memory_calloc(n, sizeof(double));
}

float *zeros_float(size_t n)
{
    return memory_calloc(n, sizeof(float));
}

void near(const char *what, const float *ours, const double *truth, const double *tolerance,
          size_t n)
{
    size_t bad = 0, worst = 0;
    double share = 0;
    for (size_t i = 0; i < n; i++) {
        double s = fabs((double)ours[i] - truth[i]) / tolerance[i];
        s = (double)ours[i] == truth[i] ? 0 : s;
        bad += !(s <= 1);
        if (!(s <= share)) {
            share = s;
            worst = i;
        }
    }
    CHECK(bad == 0, "%s: %zu of %zu are off; worst at %zu: %.9g, truth %.9g, tolerance %.3g", what,
          bad, n, worst, (double)ours[worst], truth[worst], tolerance[worst]);
}

void near_all(const char *what, const float *ours, const double *truth, double tolerance, size_t n)
{
    double *list = zeros(n);
    for (size_t i = 0; i < n; i++) {
        list[i] = tolerance;
    }
    near(what, ours, truth, list, n);
    free(list);
}

uint16_t *to_bf16(float *x, size_t n)
{
    uint16_t *half = memory_alloc(n, sizeof *half);
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits &= 0xFFFF0000u;
        half[i] = (uint16_t)(bits >> 16);
        memcpy(x + i, &bits, sizeof bits);
    }
    return half;
}

double *doubles(const float *x, size_t n)
{
    double *copy = zeros(n);
    for (size_t i = 0; i < n; i++) {
        copy[i] = (double)x[i];
    }
    return copy;
}

/* --- the list --- */

typedef struct OpCase {
    const char *ops; /* names that it covers, each between spaces */
    void (*run)(const Ops *, Context *, Output *);
    void (*check)(const float *);
} OpCase;

static const OpCase cases[] = {
    {" matmul_forward matmul_backward_input matmul_backward_weight ", run_matmul, check_matmul},
    {" bias_backward ", run_bias, check_bias},
    {" layernorm_forward residual_layernorm_forward layernorm_backward ", run_norm, check_norm},
    {" rmsnorm_forward residual_rmsnorm_forward rmsnorm_backward rope swiglu_forward "
     "swiglu_backward ",
     run_decoder, check_decoder},
    {" attention_forward attention_backward ", run_attention, check_attention},
    {" gelu_forward gelu_backward tanh_forward tanh_backward add copy fill_zero ", run_elementwise,
     check_elementwise},
    {" embedding_forward embedding_backward gather_rows scatter_add_rows dropout ", run_rows,
     check_rows},
    {" lora_forward lora_backward ", run_lora, check_lora},
    {" linear_cross_entropy ", run_language, check_language},
    {" cross_entropy mean_squared_error sum_losses sum_squares gradient_norm adamw ", run_loss,
     check_loss},
};
enum { CASES = sizeof cases / sizeof *cases };

/* Chains the hashes of all outputs. */
static void chain_hash(void *user, const char *op, const char *output, int layer, uint64_t hash)
{
    (void)op, (void)output, (void)layer;
    *(uint64_t *)user = *(uint64_t *)user * 31 + hash;
}

/* The first run calls the ops themselves, all others their wrappers. */
static void run_case(const OpCase *c)
{
    uint64_t hash[12] = {0};
    const char *builds[3];
    int count = backend_builds(builds);
    Output first = {0};
    static const int threads[] = {1, 2, 3, 8};
    for (int b = 0; b < count; b++) {
        for (int t = 0; t < 4; t++) {
            Backend backend;
            Error error;
            Output out = {0};
            CHECK(!backend_init(&backend, builds[b], threads[t], &error), "%s", error.text);
            backend.ctx.pace.grain = 0; /* share out even the smallest op */
            backend_reserve(&backend, attention_scratch(40, 40, threads[t]) +
                                          matmul_scratch(400, 400, 400) +
                                          lora_scratch(400, 150, 150, 20, threads[t]) +
                                          vocabulary_scratch(LM_N, LM_C, LM_V));
            if (first.x) {
                watch_begin(&backend, WATCH_HASH);
                backend.ctx.watch->hashed = chain_hash;
                backend.ctx.watch->hashed_user = &hash[4 * b + t];
            }
            c->run(&backend.ops, &backend.ctx, &out);
            CHECK(!first.x || (hash[4 * b + t] == hash[1] && hash[1]),
                  "%s: %s with %d threads has another hash", c->ops, builds[b], threads[t]);
            if (!first.x) {
                first = out;
            } else {
                CHECK(out.n == first.n && !memcmp(out.x, first.x, out.n * sizeof *out.x),
                      "%s: %s with %d threads has other bits", c->ops, builds[b], threads[t]);
                free(out.x);
            }
            backend_free(&backend);
        }
    }
    c->check(first.x);
    free(first.x);
}

/* Every variant runs and stays near the default: same case, its own check. */
static void run_variants(void)
{
    static const char *const choices[] = {
#define VARIANT(op, variant, class, what, replaced) #op "=" #variant,
#include "variants.def"
#undef VARIANT
    };
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        Backend backend;
        Error error;
        char op[64];
        snprintf(op, sizeof op, " %.*s ", (int)strcspn(choices[i], "="), choices[i]);
        CHECK(!backend_init(&backend, "auto", 2, &error), "%s", error.text);
        backend.ctx.pace.grain = 0;
        if (backend_choose(&backend, choices[i], &error)) {
            printf("skipped %s: %s\n", choices[i], error.text);
            backend_free(&backend);
            continue;
        }
        CHECK(!strcmp(backend.variants, choices[i]), "recorded as '%s'", backend.variants);
        backend_reserve(&backend, attention_scratch(40, 40, 2) + matmul_scratch(400, 400, 400));
        for (int c = 0; c < CASES; c++) {
            if (strstr(cases[c].ops, op)) {
                Output out = {0};
                cases[c].run(&backend.ops, &backend.ctx, &out);
                cases[c].check(out.x);
                free(out.x);
            }
        }
        backend_free(&backend);
    }
}

int main(void)
{
    static const char *const names[] = {
#define OP(name, ...) #name,
#include "ops.def"
#undef OP
    };
    for (int c = 0; c < CASES; c++) {
        run_case(&cases[c]);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char key[64];
        int found = 0;
        snprintf(key, sizeof key, " %s ", names[i]);
        for (int c = 0; c < CASES; c++) {
            found |= strstr(cases[c].ops, key) != NULL;
        }
        CHECK(found, "op %s has no case", names[i]);
    }
    variant_runs = 1;
    run_variants();
    return checks_close("test_ops");
}
