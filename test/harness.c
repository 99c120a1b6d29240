#include "harness.h"

#include "check.h"
#include "cudasim.h"
#include "guarded.h"

#include <stdlib.h>
#include <string.h>

typedef enum Kind { INPUT, OUTPUT, UPDATED, STORED, INTEGERS, WIDE_VALUES } Kind;

struct Tensor {
    const char *name;
    Kind kind;
    size_t rows, cols, size; /* size: bytes of an element */
    Guarded *memory;
    unsigned char *data;
    unsigned char *initial;     /* as the harness fills it */
    unsigned char *before;      /* at the call: a case may have changed it */
    unsigned char *expected;    /* after the first run */
    unsigned char *named;       /* for each element: whether ops.def names it as an output */
    size_t checked, bad, worst; /* of expect */
    double share, ours, truth, tolerance;
};

static size_t tensor_bytes(const Tensor *t)
{
    return t->rows * t->cols * t->size;
}

/* --- values --- */

static float wide(uint64_t key, size_t i)
{
    uint32_t word = rng_word(~key, i);
    float x = rng_normal(key, i);
    return word % 32 == 25 ? x * 0x1p-135f : ldexpf(x, (int)(word % 25) - 12);
}

/* Element i of the float tensor that the case makes after `number` others. */
static float value_of(const Run *run, const Tensor *t, size_t number, uint64_t key, size_t i)
{
    float x = rng_normal(key, i);
    if (run->fill == FILL_WIDE) {
        /* every fifth takes an earlier one away again */
        return i % 5 == 4 ? -wide(key, i - 3) : wide(key, i);
    }
    if (run->fill == FILL_ZERO && t->kind == UPDATED) {
        return -0.0f;
    }
    if (run->fill == FILL_ZERO && number == 0) {
        return i / t->cols % 3 == 1 || i % t->cols % 3 == 1 ? -0.0f : x;
    }
    if (run->fill == FILL_ZERO && number < 3) {
        return number == 1 ? fabsf(x) : -fabsf(x);
    }
    return x;
}

static void tensor_fill(const Run *run, Tensor *t, size_t number)
{
    enum { PERIOD = 1 << 16 }; /* of a large tensor, to time with */
    uint64_t key = rng_key((uint64_t)run->fill, t->name);
    size_t n = t->rows * t->cols;
    float *x = (float *)(void *)t->initial;
    uint16_t *half = (uint16_t *)(void *)t->initial;
    for (size_t i = 0; i < n; i++) {
        if (run->began && i >= PERIOD) {
            memcpy(t->initial + i * t->size, t->initial + (i - PERIOD) * t->size, t->size);
        } else if (t->kind == OUTPUT) {
            x[i] = NAN;
        } else if (t->kind == STORED) {
            half[i] = (uint16_t)(float_to_bits(value_of(run, t, number, key, i)) >> 16);
        } else {
            x[i] = value_of(run, t, number, key, i);
        }
    }
}

/* The next tensor that the case makes: made in the first run, and set back to its first values in
 * every one. */
static void *tensor(Run *run, const char *name, Kind kind, size_t rows, size_t cols, size_t size,
                    const void *values)
{
    size_t number = run->next++;
    if (number == run->count) {
        run->tensors = memory_realloc(run->tensors, ++run->count, sizeof *run->tensors);
        Tensor *t = &run->tensors[number];
        *t = (Tensor){.name = name, .kind = kind, .rows = rows, .cols = cols, .size = size};
        t->memory = guarded_alloc(name, tensor_bytes(t), 1, run->device);
        t->data = t->memory->data;
        t->initial = memory_alloc(tensor_bytes(t) + 1, 1);
        t->before = memory_alloc(tensor_bytes(t) + 1, 1);
        t->expected = memory_alloc(tensor_bytes(t) + 1, 1);
        t->named = memory_calloc(rows * cols + 1, 1);
        if (values) {
            memcpy(t->initial, values, tensor_bytes(t));
        } else {
            tensor_fill(run, t, run->floats++);
        }
    }
    Tensor *t = &run->tensors[number];
    memcpy(t->data, t->initial, tensor_bytes(t));
    return t->data;
}

float *input(Run *run, const char *name, size_t rows, size_t cols)
{
    return tensor(run, name, INPUT, rows, cols, sizeof(float), NULL);
}

float *output(Run *run, const char *name, size_t rows, size_t cols)
{
    return tensor(run, name, OUTPUT, rows, cols, sizeof(float), NULL);
}

float *updated(Run *run, const char *name, size_t rows, size_t cols)
{
    return tensor(run, name, UPDATED, rows, cols, sizeof(float), NULL);
}

Weight stored(Run *run, const char *name, size_t rows, size_t cols, int half)
{
    if (half) {
        return (Weight){.bf16 = tensor(run, name, STORED, rows, cols, sizeof(uint16_t), NULL)};
    }
    return (Weight){.f32 = input(run, name, rows, cols)};
}

const int *integers(Run *run, const char *name, const int *values, size_t n)
{
    return tensor(run, name, INTEGERS, 1, n, sizeof(int), values);
}

void *wide_values(Run *run, const char *name, const void *values, size_t n)
{
    return tensor(run, name, WIDE_VALUES, 1, n, sizeof(double), values);
}

Packed packed(Run *run, int B, int T)
{
    static const int odd[] = {1, 33, 7, 64, 19, 128, 65, 2};
    int *cu = memory_calloc((size_t)B + 1, sizeof *cu);
    for (int b = 0; b < B; b++) {
        int length = T > 0 ? T : T == -1 ? 1 : odd[b];
        cu[b + 1] = cu[b] + (T == -2 && b % 2 == 0 ? 0 : length);
    }
    int N = cu[B], *rows = memory_calloc(2 * (size_t)N + 1, sizeof *rows);
    for (int b = 0; b < B; b++) {
        for (int n = cu[b]; n < cu[b + 1]; n++) {
            rows[n] = n - cu[b];
            rows[N + n] = (b * 5 + 3) % 11;
        }
    }
    Packed p = {B, N, T == -1 ? NULL : integers(run, "cu_seqlens", cu, (size_t)B + 1),
                integers(run, "positions", rows, (size_t)N),
                integers(run, "slots", rows + N, (size_t)N)};
    free(cu);
    free(rows);
    return p;
}

static Tensor *tensor_at(const Run *run, const void *at)
{
    const unsigned char *byte = at;
    for (size_t i = 0; i < run->count; i++) {
        Tensor *t = &run->tensors[i];
        if (byte >= t->data && byte < t->data + tensor_bytes(t)) {
            return t;
        }
    }
    printf("FAILED %s: an output or a value is outside of all tensors\n", run->what);
    exit(EXIT_BUG);
}

/* --- what ops.def says of a call --- */

/* The run that plan_ops works for. */
static Run *planned;

static void plan_call(size_t scratch, double flops, double reads)
{
    Run *run = planned;
    run->flops = flops;
    run->bytes = reads * sizeof(float);
    if (!run->scratch || run->scratch->bytes != scratch * sizeof(float)) {
        guarded_free(run->scratch);
        run->scratch = guarded_alloc("scratch", scratch * sizeof(float), 64, run->device);
    }
    run->ctx.scratch = (float *)(void *)run->scratch->data;
    run->ctx.scratch_size = scratch;
}

static void plan_output(const void *first, size_t size, const int *list, size_t rows, size_t cols,
                        size_t stride)
{
    if (!first || !rows || !cols) {
        return;
    }
    Tensor *t = tensor_at(planned, first);
    size_t at = (size_t)((const unsigned char *)first - t->data);
    for (size_t r = 0; r < rows; r++) {
        size_t from = at + (list ? (size_t)list[r] : r) * stride * size, end = from + cols * size;
        if (end > tensor_bytes(t)) {
            printf("FAILED %s: ops.def names an output that is larger than %s\n", planned->what,
                   t->name);
            exit(EXIT_BUG);
        }
        memset(t->named + from / t->size, 1, (end - from) / t->size);
    }
    planned->bytes += (double)(rows * cols * size);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define OUT(pointer, rows, columns)                                                                \
    plan_output(pointer, sizeof *(pointer), NULL, (size_t)(rows), (size_t)(columns),               \
                (size_t)(columns));
#define STRIDED(pointer, rows, columns, stride)                                                    \
    plan_output(pointer, sizeof *(pointer), NULL, (size_t)(rows), (size_t)(columns),               \
                (size_t)(stride));
#define LISTED(pointer, list, rows, columns)                                                       \
    plan_output(pointer, sizeof *(pointer), list, (size_t)(rows), (size_t)(columns),               \
                (size_t)(columns));
#define OP(name, parameters, names, outputs, scratch, flops, reads)                                \
    static void name##_plan parameters                                                             \
    {                                                                                              \
        plan_call((size_t)(scratch), flops, reads);                                                \
        outputs                                                                                    \
    }
#include "ops.def"
#undef OP
#pragma GCC diagnostic pop

/* A table that does nothing but note what the op needs, writes and costs. */
static const Ops plan_ops = {
    .build = "plan",
#define OP(name, ...) .name = name##_plan,
#include "ops.def"
#undef OP
};

/* --- calls --- */

/* In perf, at least 3 samples, and until half a second has passed. */
enum { SAMPLES = 50, CALLS_ON_GPU = 20 };
static const double timed_seconds = 0.5;

/* Calls of a sample: a GPU is waited for behind the last one. */
static int calls_per_sample(const Run *run)
{
    return run->began && !strcmp(run->table->build, "cuda") ? CALLS_ON_GPU : 1;
}

void call_begin(Run *run)
{
    run->calls = -1;
    planned = run;
    for (size_t i = 0; i < run->count && !run->began; i++) {
        memcpy(run->tensors[i].before, run->tensors[i].data, tensor_bytes(&run->tensors[i]));
    }
}

/* The first call is of plan_ops, all others of the table. */
int call_again(Run *run)
{
    int calls = run->calls++, per_sample = calls_per_sample(run), again = calls < 1;
    Error error;
    run->ops = calls < 0 ? &plan_ops : run->table;
    if (calls >= 0 && calls % per_sample == 0 && backend_wait(run->backend, &error)) {
        CHECK(0, "%s: %s", run->what, error.text);
    }
    if (run->began && calls >= 0) {
        int sample = calls / per_sample;
        if (calls % per_sample == 0) {
            run->began[sample] = clock_seconds();
        }
        again = calls % per_sample > 0 || (!sample && run->flops <= run->most) ||
                (sample && sample < 3) ||
                (sample && sample < SAMPLES && run->began[sample] - run->began[0] < timed_seconds);
    }
    guarded_begin(again ? run->what : NULL);
    return again;
}

/* --- comparison with float64 --- */

void expect_value(Run *run, const void *at, double ours, double truth, double tolerance)
{
    Tensor *t = tensor_at(run, at);
    double share = ours == truth ? 0 : fabs(ours - truth) / (tolerance * run->slack);
    t->checked++;
    t->bad += !(share <= 1);
    if (!(share <= t->share)) {
        t->share = share;
        t->worst = (size_t)((const unsigned char *)at - t->data) / t->size;
        t->ours = ours;
        t->truth = truth;
        t->tolerance = tolerance;
    }
}

double before(const Run *run, const float *at)
{
    const Tensor *t = tensor_at(run, at);
    float value;
    memcpy(&value, t->before + ((const unsigned char *)at - t->data), sizeof value);
    return (double)value;
}

double *doubles(Run *run, const float *x, size_t count)
{
    double *copy = memory_calloc(count + 1, sizeof *copy);
    for (size_t i = 0; i < count && x; i++) {
        copy[i] = (double)x[i];
    }
    run->temporary = memory_realloc(run->temporary, run->temporaries + 1, sizeof *run->temporary);
    run->temporary[run->temporaries++] = copy;
    return copy;
}

double slope(double (*value)(const void *arg), const void *arg, double *x, double h)
{
    double at = *x;
    *x = at + h;
    double above = value(arg);
    *x = at - h;
    double below = value(arg);
    *x = at;
    return (above - below) / (2 * h);
}

static void tensor_report(const Run *run, Tensor *t)
{
    CHECK(t->bad == 0,
          "%s: %s: %zu of %zu are off; worst at [%zu, %zu]: %.9g, float64 gives %.9g, allowed %.3g",
          run->what, t->name, t->bad, t->checked, t->worst / t->cols, t->worst % t->cols, t->ours,
          t->truth, t->tolerance);
    t->checked = t->bad = t->worst = 0;
    t->share = 0;
}

/* --- comparison with the reference --- */

/* Element i as bits, and as a number. All NaN are one: nobody promises their sign and payload. */
static uint64_t element(const Tensor *t, const unsigned char *data, size_t i, double *value)
{
    uint64_t bits = 0;
    memcpy(&bits, data + i * t->size, t->size);
    if (t->kind == WIDE_VALUES) {
        memcpy(value, &bits, sizeof *value);
    } else if (t->kind == INTEGERS) {
        *value = (int32_t)bits;
    } else {
        *value = (double)bits_to_float((uint32_t)(t->kind == STORED ? bits << 16 : bits));
    }
    return isnan(*value) ? UINT64_MAX : bits;
}

static void tensor_compare(const Run *run, const Tensor *t)
{
    size_t n = t->rows * t->cols, differ = 0, first = 0;
    double ours = 0, theirs = 0;
    int same = !memcmp(t->data, t->expected, tensor_bytes(t));
    for (size_t i = n; i-- > 0 && !same;) {
        if (element(t, t->data, i, &ours) != element(t, t->expected, i, &theirs)) {
            differ++;
            first = i;
        }
    }
    if (!differ) {
        checks_passed++;
        return;
    }
    int digits = (int)(2 * t->size);
    uint64_t bits = element(t, t->data, first, &ours),
             right = element(t, t->expected, first, &theirs);
    CHECK(0,
          "%s: %s: %zu of %zu differ, the first at [%zu, %zu]: %.9g (%a, 0x%0*jx), reference %.9g "
          "(%a, 0x%0*jx)",
          run->what, t->name, differ, n, first / t->cols, first % t->cols, ours, ours, digits,
          (uintmax_t)bits, theirs, theirs, digits, (uintmax_t)right);
}

/* Keeps what the first run left; what changed must be an output of ops.def. */
static void tensor_keep(const Run *run, Tensor *t)
{
    size_t n = t->rows * t->cols, unnamed = 0, first = 0;
    double before, after;
    for (size_t i = n; i-- > 0;) {
        if (!t->named[i] && element(t, t->before, i, &before) != element(t, t->data, i, &after)) {
            unnamed++;
            first = i;
        }
    }
    memcpy(t->expected, t->data, tensor_bytes(t));
    CHECK(!unnamed,
          "%s: %s: %zu elements that ops.def does not name as output are changed, the "
          "first at [%zu, %zu]",
          run->what, t->name, unnamed, first / t->cols, first % t->cols);
}

/* --- runs --- */

Run *run_new(const OpCase *op, const int *shape, Fill fill, const Device *device)
{
    Run *run = memory_calloc(1, sizeof *run);
    run->op = op;
    run->shape = shape;
    run->fill = fill;
    run->device = device;
    const char *letter = op->letters;
    for (int i = 0, at = 0; *letter; i++) {
        int length = (int)strcspn(letter, " ");
        at += snprintf(run->sizes + at, sizeof run->sizes - (size_t)at, "%s%.*s %d", i ? " " : "",
                       length, letter, shape[i]);
        letter += length + (letter[length] == ' ');
    }
    return run;
}

void run_free(Run *run)
{
    for (size_t i = 0; i < run->count; i++) {
        Tensor *t = &run->tensors[i];
        guarded_free(t->memory);
        free(t->initial);
        free(t->before);
        free(t->expected);
        free(t->named);
    }
    for (size_t i = 0; i < run->temporaries; i++) {
        free(run->temporary[i]);
    }
    guarded_free(run->scratch);
    free(run->temporary);
    free(run->tensors);
    free(run);
}

static void run_backend(Run *run, const Backend *backend)
{
    static const char *const fills[FILLS] = {"normal", "wide", "zero"};
    char threads[32];
    run->backend = backend;
    run->table = &backend->ops;
    run->slack = backend->ctx.bf16 ? 0x1p17 : strstr(backend->variants, "=tf32") ? 0x1p14 : 1.0;
    run->ctx = backend->ctx;
    run->next = 0;
    snprintf(threads, sizeof threads, "%d thread%s", run->ctx.threads,
             run->ctx.threads == 1 ? "" : "s");
    snprintf(run->what, sizeof run->what, "%s: %s%s%.60s, %s, %s, %s", run->op->op,
             backend->ops.build, backend->ctx.bf16 || *backend->variants ? " " : "",
             backend->ctx.bf16 ? backend->dtype : backend->variants,
             strcmp(backend->ops.build, "sim") ? threads : cudasim_order(), run->sizes,
             fills[run->fill]);
    run->op->run(run, run->shape);
}

void run_case(Run *run, const Backend *backend, int same_bits, int check)
{
    run->check = check;
    run_backend(run, backend);
    CHECK(guarded_intact(run->scratch), "%s: writes beyond scratch", run->what);
    int first = !run->kept;
    run->kept = 1;
    for (size_t i = 0; i < run->count; i++) {
        Tensor *t = &run->tensors[i];
        CHECK(guarded_intact(t->memory), "%s: writes before %s", run->what, t->name);
        if (t->checked) {
            tensor_report(run, t);
        }
        if (first) {
            tensor_keep(run, t);
        } else if (same_bits) {
            tensor_compare(run, t);
        }
    }
}

int run_has_nan(const Run *run)
{
    double value;
    for (size_t k = 0; k < run->count; k++) {
        const Tensor *t = &run->tensors[k];
        for (size_t i = 0; i < t->rows * t->cols; i++) {
            if (element(t, t->data, i, &value) == UINT64_MAX) {
                return 1;
            }
        }
    }
    return 0;
}

double run_seconds(Run *run, const Backend *backend, double most)
{
    double began[SAMPLES + 1], fastest = INFINITY;
    run->began = began;
    run->most = most;
    run_backend(run, backend);
    int per_sample = calls_per_sample(run), samples = (run->calls - 1) / per_sample;
    run->began = NULL;
    for (int i = 1; i < samples; i++) { /* the first has everything to fetch */
        fastest = fmin(fastest, (began[i + 1] - began[i]) / per_sample);
    }
    return fastest;
}
