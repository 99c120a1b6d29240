#include "rounding_check.h"

#include "backend.h"
#include "check.h"
#include "harness.h"

#include <stdlib.h>
#include <string.h>

/* Of an output, over all elements that normal inputs gave. Ratios of bound and error, where there is
 * an error, are counted by eighths of an octave. */
enum { STEPS = 8, OCTAVES = 40 };
typedef struct Ratios {
    size_t known, unknown, exact, counted, at[STEPS * OCTAVES];
} Ratios;

static Ratios ratios[OPS][MOST_OUTPUTS];
static int ran[OPS];
static Rounding rounding;

Rounding *rounding_check_before(void *user, const WatchOutput *outputs, size_t count)
{
    (void)user;
    rounding_free(&rounding); /* of the call before */
    for (size_t i = 0; i < count; i++) {
        rounding_want(&rounding, &outputs[i]);
    }
    return &rounding;
}

static void count_ratio(Ratios *r, double error, double bound)
{
    if (error == 0) {
        r->exact++;
        return;
    }
    double step = floor(STEPS * log2(bound / error));
    r->at[(size_t)fmax(0, fmin(step, STEPS * OCTAVES - 1))]++;
    r->counted++;
}

static double element(const char *row, size_t size, size_t column)
{
    float narrow;
    double wide;
    memcpy(&narrow, row + column * size, sizeof narrow);
    if (size == sizeof narrow) {
        return (double)narrow;
    }
    memcpy(&wide, row + column * size, sizeof wide);
    return wide;
}

void rounding_check_output(const char *what, Context *ctx, const WatchOutput *output, int usual)
{
    const Device *device = ctx->watch->device;
    size_t bytes = output->columns * output->size, bad = 0, worst = 0;
    const Rounded *known = rounding.output[output->output];
    double most = 1, value = 0;
    char *row = memory_alloc(bytes + 1, 1);
    Ratios *r = &ratios[output->op][output->output];
    Error error;
    ran[output->op] |= usual;
    for (size_t i = 0; i < output->rows; i++) {
        int listed = (int)i;
        if (output->list) {
            device->get(&listed, output->list + i, sizeof listed);
            CHECK(!device->wait(&error), "%s", error.text);
        }
        device->get(row, (char *)output->data + (size_t)listed * output->stride * output->size,
                    bytes);
        CHECK(!device->wait(&error), "%s", error.text);
        for (size_t c = 0; c < output->columns; c++) {
            const Rounded *k = &known[i * output->columns + c];
            double ours = element(row, output->size, c), off = fabs(ours - k->value);
            if (isnan(k->value) || k->error == INFINITY) {
                r->unknown += usual;
                continue;
            }
            r->known += usual;
            if (usual) {
                count_ratio(r, off, k->error);
            }
            if (!(off <= k->error)) {
                double share = k->error > 0 && !isnan(off) ? off / k->error : INFINITY;
                bad++;
                if (share >= most) {
                    most = share;
                    worst = i * output->columns + c;
                    value = ours;
                }
            }
        }
    }
    CHECK(!bad,
          "%s: %s: %zu of %zu are beyond their bounds; worst at [%zu, %zu]: %.9g, float64 gives "
          "%.9g, bound %.3g",
          what, op_outputs[output->op][output->output], bad, output->rows * output->columns,
          worst / output->columns, worst % output->columns, value, known[worst].value,
          known[worst].error);
    free(row);
}

/* --- what the bounds are worth --- */

/* The median, at the middle of its step; 1 where nothing was off. */
static double median(const Ratios *r)
{
    size_t seen = 0, step = 0;
    for (; step < STEPS * OCTAVES && 2 * (seen + r->at[step]) < r->counted; step++) {
        seen += r->at[step];
    }
    return r->counted ? exp2(((double)step + 0.5) / STEPS) : 1;
}

static double smallest(const Ratios *r)
{
    size_t step = 0;
    while (step < STEPS * OCTAVES - 1 && !r->at[step]) {
        step++;
    }
    return r->counted ? exp2((double)step / STEPS) : 1;
}

void rounding_check_ratios(int print)
{
    /* Their outputs are no arrays of numbers, or have no rounding. */
    static const int nothing_known[] = {OP_hash, OP_sketch, OP_gradient_norm};
    for (int op = 0; op < OPS; op++) {
        int unknown = 0;
        for (size_t i = 0; i < sizeof nothing_known / sizeof *nothing_known; i++) {
            unknown |= op == nothing_known[i];
        }
        for (int o = 0; op_outputs[op][o] && ran[op]; o++) {
            const Ratios *r = &ratios[op][o];
            if (print) {
                printf("%-28s %-10s %9zu elements, %5.1f %% not off, bound/error: smallest %7.3g, "
                       "median %7.3g\n",
                       op_names[op], op_outputs[op][o], r->known,
                       100.0 * (double)r->exact / fmax(1, (double)r->known), smallest(r),
                       median(r));
            }
            CHECK(unknown ? !r->known : r->known && !r->unknown,
                  "%s of %s: bounds of %zu elements are known, of %zu not", op_outputs[op][o],
                  op_names[op], r->known, r->unknown);
            CHECK(median(r) < 2e4, "%s of %s: bounds are %.3g times the errors", op_outputs[op][o],
                  op_names[op], median(r));
        }
    }
}

/* --- formulas that are wrong --- */

enum { N = 8, C = 64, O = 8 };

/* Inputs of all of them, and what a wrong formula gave. */
typedef struct Wrong {
    Context *ctx;
    float x[N * C], weight[N * C], bias[N * C], out[4][N * C];
} Wrong;

/* Wants output `output` of the right formula. */
static void want(Wrong *w, int op, int output, size_t n)
{
    rounding_want(&rounding, &(WatchOutput){.op = op, .output = output, .rows = 1, .columns = n});
    w->ctx->watch->rounding = &rounding;
}

/* CHECKs that elements of what the wrong formula gave lie beyond the bounds. */
static void check_beyond(const char *what, int output, const float *ours, size_t n)
{
    size_t beyond = 0;
    for (size_t i = 0; i < n; i++) {
        const Rounded *k = &rounding.output[output][i];
        beyond += !(fabs((double)ours[i] - k->value) <= k->error);
    }
    CHECK(beyond > 0, "%s: all %zu elements are within the bounds of the right formula", what, n);
    rounding_free(&rounding);
}

static void check_norms(Wrong *w, const Ops *right)
{
    static const float eps = 1e-5f;
    float *out = w->out[0], *mean = w->out[1], *rstd = w->out[2];
    want(w, OP_layernorm_forward, 0, N * C);
    ops_rounding.layernorm_forward(w->ctx, out, mean, rstd, w->x, w->weight, w->bias, N, C, eps);
    right->layernorm_forward(w->ctx, out, mean, rstd, w->x, w->weight, w->bias, N, C, 0.0f);
    check_beyond("layernorm without eps: out", 0, out, N * C);
    want(w, OP_layernorm_forward, 2, N);
    ops_rounding.layernorm_forward(w->ctx, out, mean, rstd, w->x, w->weight, w->bias, N, C, eps);
    check_beyond("layernorm without eps: rstd", 2, rstd, N);
    want(w, OP_layernorm_forward, 0, N * C);
    ops_rounding.layernorm_forward(w->ctx, out, mean, rstd, w->x, w->weight, w->bias, N, C, eps);
    right->rmsnorm_forward(w->ctx, out, rstd, w->x, w->weight, N, C, eps);
    right->add(w->ctx, out, out, w->bias, C);
    check_beyond("layernorm without its mean", 0, out, N * C);
    want(w, OP_rmsnorm_forward, 0, N * C);
    ops_rounding.rmsnorm_forward(w->ctx, out, rstd, w->x, w->weight, N, C, eps);
    right->rmsnorm_forward(w->ctx, out, rstd, w->x, w->weight, N, C - 1, eps);
    check_beyond("rmsnorm of a channel less", 0, out, C - 1);
}

static void check_products(Wrong *w, const Ops *right)
{
    float *out = w->out[0];
    Weight weight = {.f32 = w->weight};
    want(w, OP_matmul_forward, 0, N * O);
    ops_rounding.matmul_forward(w->ctx, out, w->x, weight, w->bias, N, C, O);
    right->matmul_forward(w->ctx, out, w->x, weight, NULL, N, C, O);
    check_beyond("matmul without its bias", 0, out, N * O);
    float few[N * C]; /* 10 bits of 23, as TF32 has */
    for (int i = 0; i < N * C; i++) {
        few[i] = bits_to_float((float_to_bits(w->x[i]) + 0x1000u) & ~0x1FFFu);
    }
    want(w, OP_matmul_forward, 0, N * O);
    ops_rounding.matmul_forward(w->ctx, out, w->x, weight, w->bias, N, C, O);
    right->matmul_forward(w->ctx, out, few, weight, w->bias, N, C, O);
    check_beyond("matmul of TF32", 0, out, N * O);
    want(w, OP_bias_backward, 0, C);
    memcpy(out, w->bias, sizeof w->bias);
    ops_rounding.bias_backward(w->ctx, out, w->x, NULL, N, N, C);
    right->bias_backward(w->ctx, out, w->x, NULL, N - 1, N - 1, C);
    check_beyond("bias gradient without the last token", 0, out, C);
}

static void check_attention(Wrong *w, const Ops *right)
{
    static const int cu[] = {0, N}, zero[] = {0};
    float *out = w->out[0], *max = w->out[1], *rsum = w->out[2];
    DropoutSite dropout = {.p = 0};
    AttentionShape shape = {.B = 1,
                            .H = 1,
                            .K = 1,
                            .D = C,
                            .q_rows = N,
                            .k_rows = N,
                            .longest = N,
                            .causal = 1,
                            .scale = 0.125f,
                            .cu_q = cu,
                            .cu_k = cu,
                            .q_position = zero,
                            .slot = zero,
                            .q_stride = C,
                            .kv_stride = C};
    for (int fault = 0; fault < 2; fault++) {
        AttentionShape other = shape;
        other.causal = fault == 0;
        other.scale = fault ? shape.scale : 0.12501f;
        want(w, OP_attention_forward, 2, N * C);
        ops_rounding.attention_forward(w->ctx, out, max, rsum, w->x, w->weight, w->bias, &shape,
                                       &dropout);
        right->attention_forward(w->ctx, out, max, rsum, w->x, w->weight, w->bias, &other,
                                 &dropout);
        check_beyond(fault ? "attention without its mask" : "attention of another scale", 2, out,
                     N * C);
    }
}

static void check_others(Wrong *w, const Ops *right)
{
    float *out = w->out[0];
    want(w, OP_gelu_forward, 0, N * C);
    ops_rounding.gelu_forward(w->ctx, out, w->x, N * C);
    for (int i = 0; i < N * C; i++) {
        float x = w->x[i];
        out[i] = 0.5f * x * (1 + tanhf(0.79788456f * fmaf(0.044715f * x * x, x, x)));
    }
    check_beyond("gelu by tanh", 0, out, N * C);
    static const int labels[N] = {0};
    want(w, OP_cross_entropy, 1, N * C);
    ops_rounding.cross_entropy(w->ctx, w->out[1], out, w->x, labels, N, C, 1.0f);
    right->cross_entropy(w->ctx, w->out[1], out, w->x, labels, N, C, 1.00001f);
    check_beyond("cross-entropy of another scale", 1, out, N * C);
    StepSums sums = {.gradient_scale = 1, .finite = 1};
    AdamW step = {.beta1_rest = 0.1f,
                  .beta2 = 0.999f,
                  .beta2_rest = 0.001f,
                  .eps = 1e-8f,
                  .rate = 1e-3f,
                  .correction = 1,
                  .segments = 1,
                  .segment = {{N * C, 1}}};
    for (int i = 0; i < N * C; i++) {
        w->out[1][i] = w->out[2][i] = w->out[3][i] = 1e-5f;
    }
    want(w, OP_adamw, 0, N * C);
    memcpy(out, w->weight, sizeof w->weight);
    ops_rounding.adamw(w->ctx, out, w->out[1], w->out[2], w->out[3], &sums, &step);
    step.segment[0].shrink = 1 - 1e-5f;
    right->adamw(w->ctx, out, w->out[1], w->out[2], w->out[3], &sums, &step);
    check_beyond("adamw with weight decay", 0, out, N * C);
}

void rounding_check_wrong(const Ops *right)
{
    Backend backend;
    Error error;
    CHECK(!backend_init(&backend, "cpu", "scalar", 1, &error), "%s", error.text);
    watch_begin(&backend, WATCH_OUTPUTS);
    Wrong w = {.ctx = &backend.ctx};
    for (int i = 0; i < N * C; i++) {
        w.x[i] = rng_normal(1, (uint64_t)i) + 0.5f;
        w.weight[i] = rng_normal(2, (uint64_t)i);
        w.bias[i] = rng_normal(3, (uint64_t)i);
    }
    rounding_free(&rounding);
    check_norms(&w, right);
    check_products(&w, right);
    check_attention(&w, right);
    check_others(&w, right);
    watch_end(&backend, WATCH_OUTPUTS);
    backend_free(&backend);
}
