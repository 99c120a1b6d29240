/* What watching sees: hashes, values that are not finite, times, plans, hooks; and that an op gets
 * its arguments and does not go beyond the scratch that ops.def declares for it. */
#include "check.h"
#include "rng.h"
#include "watch.h"

#include <stdlib.h>
#include <string.h>

/* What output was called with. */
static struct {
    int count;
    char name[64];
    int layer;
    uint64_t hash;
} seen;

static void see(void *user, Context *ctx, const WatchOutput *output)
{
    const Device *device = ctx->watch->device;
    uint64_t *sum = device->alloc(sizeof *sum), none = 0;
    Error error;
    (void)user;
    device->put(sum, &none, sizeof none);
    watch_hash(ctx, sum, output);
    device->get(&seen.hash, sum, sizeof seen.hash);
    CHECK(!device->wait(&error), "%s", error.text);
    device->release(sum, sizeof *sum);
    seen.count++;
    seen.layer = output->layer;
    snprintf(seen.name, sizeof seen.name, "%s %s", op_names[output->op],
             op_outputs[output->op][output->output]);
}

static Backend start(const char *build, int threads, unsigned what)
{
    Backend backend;
    Error error;
    CHECK(!backend_init(&backend, "cpu", build, threads, &error), "%s", error.text);
    backend.ctx.pace.grain = 0;
    backend_reserve(&backend, what & WATCH_OUTPUTS ? 2 * HASH_PARTS : 0);
    watch_begin(&backend, what);
    backend.ctx.watch->output = see;
    return backend;
}

static void fill(float *x, size_t n, uint64_t key)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = rng_normal(key, i);
    }
}

/* --- hashes --- */

enum { E = 10007 };

static uint64_t hash_of(Backend *backend, const float *x, size_t n)
{
    static float out[E];
    backend->ops.copy(&backend->ctx, out, x, n);
    return seen.hash;
}

static uint64_t mix(uint64_t place, uint64_t x)
{
    uint64_t z = ((place + 1) * 0x9E3779B97F4A7C15u) ^ x;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* The definition, of one row of words of 32 bits. */
static uint64_t hash_here(const void *data, size_t words)
{
    uint64_t sum = 0;
    for (size_t b = 0; b < words; b += 1024) {
        for (size_t l = b; l < words && l < b + 32; l++) {
            uint64_t lane = 0;
            for (size_t i = l; i < words && i < b + 1024; i += 32) {
                uint32_t bits;
                memcpy(&bits, (const char *)data + 4 * i, 4);
                lane += (mix((i - l) / 32, 0) | 1) * bits;
            }
            sum += mix(b / 1024 * 32 + l - b, lane);
        }
    }
    return sum;
}

static void test_hash(void)
{
    static float x[E], y[E];
    Backend b = start("auto", 2, WATCH_OUTPUTS);
    fill(x, E, 1);
    uint64_t whole = hash_of(&b, x, E);
    CHECK(whole == hash_here(x, E), "the hash is not what is documented");
    CHECK(seen.count == 1 && !strcmp(seen.name, "copy out") && seen.layer == -1, "seen %d: %s",
          seen.count, seen.name);
    int same = 0;
    for (int i = 0; i < 2000; i++) { /* one bit of one element; two elements swapped */
        size_t at = (size_t)rng_below(7, (uint64_t)i, E - 1);
        uint32_t bits;
        float value = x[at];
        memcpy(&bits, x + at, 4);
        bits ^= 1u << i % 32;
        memcpy(x + at, &bits, 4);
        same += hash_of(&b, x, E) == whole;
        x[at] = x[at + 1];
        x[at + 1] = value;
        same += hash_of(&b, x, E) == whole;
        x[at + 1] = x[at];
        x[at] = value;
    }
    CHECK(same == 0, "%d of 4000 changes do not change the hash", same);
    CHECK(hash_of(&b, x, E) == whole, "the hash of the same values");

    /* rows of a table: by their place in it, whatever the order of the list; nothing between */
    static const int rows[] = {9, 2, 5}, other[] = {5, 9, 2};
    float *table = memory_calloc(100, sizeof *table), dout[30] = {0};
    fill(table, 100, 3);
    b.ops.scatter_add_rows(&b.ctx, table, dout, rows, 3, 10);
    uint64_t listed = seen.hash;
    table[35] = 1; /* row 3 */
    b.ops.scatter_add_rows(&b.ctx, table, dout, other, 3, 10);
    CHECK(seen.hash == listed, "rows of a table in another order");
    table[29] = 1; /* row 2 */
    b.ops.scatter_add_rows(&b.ctx, table, dout, other, 3, 10);
    CHECK(seen.hash != listed, "a row of a table");
    /* rows with a stride: 5 of 2 heads of 4, 20 floats from row to row */
    static const int positions[5] = {0};
    static const float cosine[2] = {1, 1}, sine[2] = {0, 0};
    b.ops.rope(&b.ctx, table, positions, cosine, sine, 5, 2, 4, 20, 1);
    uint64_t strided = seen.hash;
    table[8] = table[39] = 7;
    b.ops.rope(&b.ctx, table, positions, cosine, sine, 5, 2, 4, 20, 1);
    CHECK(seen.hash == strided, "between the rows");
    table[87] = 7;
    b.ops.rope(&b.ctx, table, positions, cosine, sine, 5, 2, 4, 20, 1);
    CHECK(seen.hash != strided, "the last of the rows");
    free(table);

    /* doubles and structs; an output that is not there */
    double sum = 0.1;
    float losses[3] = {1, 2, 3};
    b.ops.sum_losses(&b.ctx, &sum, losses, 3);
    CHECK(seen.hash == hash_here(&sum, 2), "a double");
    StepSums sums = {.loss = sum};
    b.ops.gradient_norm(&b.ctx, &sums, losses, 3, 1.0);
    CHECK(seen.hash == hash_here(&sums, sizeof sums / 4), "a struct");
    int label = 1;
    seen.count = 0;
    b.ops.cross_entropy(&b.ctx, losses, NULL, x, &label, 1, 3, 1.0f);
    CHECK(seen.count == 1 && !strcmp(seen.name, "cross_entropy losses"), "%s", seen.name);
    seen.count = 0;
    b.ctx.layer = 4;
    b.ops.cross_entropy(&b.ctx, losses, y, x, &label, 1, 3, 1.0f);
    CHECK(seen.count == 2 && seen.layer == 4, "%d outputs in layer %d", seen.count, seen.layer);
    backend_free(&b);
}

/* --- values that are not finite --- */

static void test_finite(void)
{
    static float x[200], out[200], mean[10], rstd[10], weight[40], bias[20];
    char text[160];
    Backend b = start("auto", 2, WATCH_FINITE);
    fill(x, 200, 1);
    fill(weight, 40, 2);
    b.ctx.layer = 3;
    b.ops.copy(&b.ctx, out, x, 200);
    CHECK(!*watch_found(&b, text), "found %s", text);
    x[5 * 20 + 17] = INFINITY;
    b.ops.layernorm_forward(&b.ctx, out, mean, rstd, x, weight, bias, 10, 20, 1e-5f);
    CHECK(!strcmp(watch_found(&b, text), "out[5, 0] of layernorm_forward in layer 3 (nan)"), "%s",
          text);
    b.ops.copy(&b.ctx, out, x, 200);
    CHECK(strstr(text, "layernorm"), "the first stays: %s", text);
    watch_begin(&b, WATCH_FINITE);
    b.ctx.layer = -1;
    b.ops.copy(&b.ctx, out, x, 200);
    CHECK(!strcmp(watch_found(&b, text), "out[0, 117] of copy (inf)"), "%s", text);
    static const int rows[] = {9, 5};
    watch_begin(&b, WATCH_FINITE);
    b.ops.scatter_add_rows(&b.ctx, x, weight, rows, 2, 20);
    CHECK(!strcmp(watch_found(&b, text), "dx[5, 17] of scatter_add_rows (inf)"), "%s", text);
    double sum = 1;
    float losses[2] = {NAN, 1};
    StepSums sums = {.loss = NAN};
    watch_begin(&b, WATCH_FINITE);
    b.ops.gradient_norm(&b.ctx, &sums, losses, 2, 1.0); /* says so itself */
    CHECK(!*watch_found(&b, text), "found %s", text);
    b.ops.sum_losses(&b.ctx, &sum, losses, 2);
    CHECK(!strcmp(watch_found(&b, text), "sum[0, 0] of sum_losses (nan)"), "%s", text);
    backend_free(&b);
}

/* --- plans --- */

/* A call of one of the ops that have scratch, at shapes around the edges of blocks and tiles. */
enum { PRODUCTS = 8 };

static void call_product(const Ops *ops, Context *ctx, float *x, float *y, float *z, int size,
                         int which)
{
    int M = size, K = 3 * size / 2 + 1, O = size + 7, R = size % 20 + 1;
    int positions[128] = {0}, slots[128] = {0}, cu[] = {0, 1, 2 * size / 3, size},
        queries[] = {0, 1, 2, 3}, targets[128] = {0};
    Weight weight = {.f32 = z};
    DropoutSite drop = {1, 2, 3, 0.3f};
    Lora lora = {z, z + 3000, R, 0.5f, drop, positions, slots};
    AttentionShape shape = {.B = 3,
                            .H = 4,
                            .K = 2,
                            .D = size / 4 + 1,
                            .q_rows = size,
                            .k_rows = size,
                            .longest = size,
                            .causal = 1,
                            .scale = 0.1f,
                            .cu_q = cu,
                            .cu_k = cu,
                            .q_position = positions,
                            .slot = slots};
    int wide = shape.H * shape.D;
    shape.q_stride = shape.kv_stride = wide;
    switch (which) {
    case 0:
        ops->matmul_forward(ctx, y, x, weight, NULL, M, K, O);
        break;
    case 1:
        ops->matmul_backward_input(ctx, y, x, weight, M, K, O, 0);
        break;
    case 2:
        ops->matmul_backward_weight(ctx, y, x, z, M, K, O);
        break;
    case 3:
        ops->lora_forward(ctx, y, y + 60000, x, &lora, M, K, O);
        break;
    case 4:
        ops->lora_backward(ctx, y, y + 60000, y + 70000, x, z, z, &lora, M, K, O);
        break;
    case 5:
        ops->attention_forward(ctx, y, y + 60000, y + 70000, x, z, z + 100, &shape, &drop);
        break;
    case 6:
        shape.cu_q = queries;
        shape.q_rows = 3;
        ops->attention_forward(ctx, y, y + 60000, y + 70000, x, z, z + 100, &shape, &drop);
        shape.cu_q = cu;
        shape.q_rows = size;
        ops->attention_backward(ctx, y, y + 30000, y + 60000, x, x, z, z + 100, x, y, y, &shape,
                                &drop);
        break;
    default:
        ops->linear_cross_entropy(ctx, y, y + 1000, y + 20000, x, weight, targets, M, 40, 30 * size,
                                  1.0f);
    }
}

/* Every call alone, with the scratch that was planned for it and no float more. */
static void test_scratch(const char *build, int threads, const char *variant)
{
    enum { FLOATS = 200000, GUARD = 256 };
    static const int sizes[] = {6, 33, 14, 64, 100};
    int count = (variant ? 2 : 5) * PRODUCTS;
    float *x = memory_alloc(FLOATS, 4), *y = memory_calloc(FLOATS, 4), *z = memory_alloc(FLOATS, 4);
    fill(x, FLOATS, 1);
    fill(z, FLOATS, 2);
    for (int s = 0; s < count; s++) {
        Backend b = start(build, threads, WATCH_PLAN);
        Context *ctx = &b.ctx;
        int size = sizes[s / PRODUCTS];
        Error error;
        int dtype = variant && !strncmp(variant, "bf16", 4);
        if (variant && (dtype ? backend_choose_dtype(&b, variant, &error)
                              : backend_choose(&b, variant, &error))) {
            printf("skipped %s: %s\n", variant, error.text);
            s = count;
        }
        call_product(&b.ops, ctx, x, y, z, size, s % PRODUCTS);
        size_t scratch = ctx->watch->scratch, calls = 0;
        for (int op = 0; op < OPS; op++) {
            calls += ctx->watch->planned[op].calls;
        }
        CHECK(calls == (s % PRODUCTS == 6 ? 2 : 1) && !ctx->watch->error.code && (s || y[0] == 0),
              "planned %zu calls; y %g", calls, (double)y[0]);
        watch_end(&b, WATCH_PLAN);
        float *memory = arena_alloc((scratch + GUARD) * sizeof *memory);
        memset(memory, 0x5A, (scratch + GUARD) * sizeof *memory);
        ctx->scratch = memory;
        ctx->scratch_size = scratch;
        watch_begin(&b, WATCH_TIME);
        call_product(&b.ops, ctx, x, y, z, size, s % PRODUCTS);
        int beyond = 0;
        for (size_t i = scratch; i < scratch + GUARD; i++) {
            uint32_t bits;
            memcpy(&bits, memory + i, 4);
            beyond += bits != 0x5A5A5A5A;
        }
        CHECK(!beyond && !ctx->watch->error.code,
              "%s, %d threads, %s, size %d, product %d: %d floats beyond %zu%s", build, threads,
              variant ? variant : "no variant", size, s % PRODUCTS, beyond, scratch,
              ctx->watch->error.text);
        int other = 0;
        for (int op = 0; op < OPS; op++) {
            other += ctx->watch->timed[op].calls != ctx->watch->planned[op].calls ||
                     ctx->watch->timed[op].flops != ctx->watch->planned[op].flops;
        }
        CHECK(!other, "%d ops were planned otherwise than done", other);
        ctx->scratch = NULL;
        ctx->scratch_size = 0;
        arena_free(memory, (scratch + GUARD) * sizeof *memory);
        backend_free(&b);
    }
    free(x);
    free(y);
    free(z);
}

/* A variant has a part in a plan if one of the ops that it replaces is called. */
static void test_variants(void)
{
    static float x[100], y[100], mean[10], rstd[10];
    Error error;
    Backend b = start("auto", 1, WATCH_PLAN);
    CHECK(!backend_choose(&b, "layernorm_forward=float64", &error), "%s", error.text);
    b.ops.copy(&b.ctx, y, x, 100);
    CHECK(backend_check_plan(&b, &error) == EXIT_USAGE &&
              strstr(error.text, "--kernel layernorm_forward=float64 changes nothing"),
          "a variant that is never called: %s", error.text);
    b.ops.residual_layernorm_forward(&b.ctx, y, y, mean, rstd, x, x, x, x, 10, 10, 1e-5f);
    CHECK(!backend_check_plan(&b, &error), "%s", error.text);
    backend_free(&b);
}

static void test_refusals(void)
{
    static float x[600], y[600], z[600];
    Backend b = start("auto", 1, WATCH_TIME);
    fill(x, 600, 1);
    backend_reserve(&b, matmul_scratch(20, 30, 10) - 1);
    b.ops.matmul_forward(&b.ctx, y, x, (Weight){.f32 = z}, NULL, 20, 10, 30);
    CHECK(b.ctx.watch->error.code == EXIT_BUG &&
              strstr(b.ctx.watch->error.text, "op matmul_forward needs") && y[0] == 0,
          "scratch too small: %s", b.ctx.watch->error.text);
    b.ops.copy(&b.ctx, y, x, 600);
    CHECK(y[0] == 0, "an op is called after an error");
    backend_free(&b);

    b = start("auto", 1, WATCH_DEVICE); /* any bit, so that inner is filled */
    watch_end(&b, WATCH_DEVICE);
    b.ops.tanh_forward = NULL;
    watch_begin(&b, WATCH_PLAN);
    b.ops.copy(&b.ctx, y, x, 600);
    b.ops.tanh_forward(&b.ctx, y, x, 600);
    Error error;
    CHECK(backend_check_plan(&b, &error) == EXIT_USAGE &&
              !strcmp(error.text, "op tanh_forward: this backend has no kernel for it"),
          "no kernel: %s", error.text);
    backend_free(&b);
}

/* --- tables, hooks, times --- */

static char steps[16]; /* < for open, > for close, o where the op had written by then */
static float *written;

static void on_open(void)
{
    strcat(steps, written[0] == 0 ? "<" : "o<");
}

static const char *on_close(void)
{
    strcat(steps, written[0] == 0 ? ">" : "o>");
    return written[0] == 2 ? "too many blocks" : NULL;
}

/* What is watched stands in memory of a device: rows one behind the other, listed and with a
 * stride, more of them than are brought to the host at a time. */
static void watch_on(const char *name, uint64_t hash[3], char text[160])
{
    enum { ROWS = 3000, C = 200, LIST = 7 };
    static const int rows[LIST] = {9, 2, 5, 2999, 0, 1, 77}, positions[ROWS] = {0};
    Backend b;
    Error error;
    CHECK(!backend_init(&b, name, "auto", 1, &error), "%s", error.text);
    const Device *device = b.device;
    size_t bytes = (size_t)ROWS * C * sizeof(float);
    float *x = memory_alloc(ROWS * C, sizeof *x), *from = device->alloc(bytes),
          *to = device->alloc(bytes);
    fill(x, ROWS * C, 5);
    device->put(from, x, bytes);
    const int *list = device->view(rows, sizeof rows),
              *at = device->view(positions, sizeof positions);
    backend_reserve(&b, 2 * HASH_PARTS);
    watch_begin(&b, WATCH_OUTPUTS | WATCH_TIME);
    b.ctx.watch->output = see;
    b.ops.copy(&b.ctx, to, from, (size_t)ROWS * C);
    hash[0] = seen.hash;
    CHECK(hash[0] == hash_here(x, ROWS * C), "%s: the hash of many", name);
    b.ops.scatter_add_rows(&b.ctx, to, from, list, LIST, C);
    hash[1] = seen.hash;
    b.ops.rope(&b.ctx, to, at, from, from, ROWS, 3, 64, C, 1);
    hash[2] = seen.hash;
    /* an emulated thread for each of 600,000 values takes longer than to enqueue the op */
    double least = strcmp(name, "sim") ? 0.0 : 1e-4;
    CHECK(b.ctx.watch->timed[OP_copy].calls == 1 && b.ctx.watch->timed[OP_copy].seconds > least,
          "%s: %g s", name, b.ctx.watch->timed[OP_copy].seconds);
    watch_begin(&b, WATCH_FINITE);
    x[2998 * C + 6] = INFINITY;
    device->put(from, x, bytes);
    b.ops.add(&b.ctx, to, to, from, (size_t)ROWS * C);
    watch_found(&b, text);
    CHECK(!backend_wait(&b, &error), "%s", error.text);
    device->unview(list, sizeof rows);
    device->unview(at, sizeof positions);
    device->release(from, bytes);
    device->release(to, bytes);
    free(x);
    backend_free(&b);
}

static void test_devices(void)
{
    static const char *const names[] = {"cpu", "fence", "sim"};
    uint64_t hash[3][3];
    for (int i = 0; i < 3; i++) {
        char text[160];
        watch_on(names[i], hash[i], text);
        CHECK(!memcmp(hash[i], hash[0], sizeof hash[i]), "%s: other hashes", names[i]);
        CHECK(strstr(text, "599606] of add"), "%s: %s", names[i], text);
    }
}

static void test_hooks(void)
{
    static float x[100], y[100];
    Backend b;
    Error error;
    CHECK(!backend_init(&b, "cpu", "auto", 1, &error), "%s", error.text);
    Ops plain = b.ops;
    written = y;
    x[0] = 1;
    Device device = *b.device;
    device.open = on_open;
    device.close = on_close;
    b.device = &device;
    watch_begin(&b, WATCH_DEVICE);
    watch_begin(&b, WATCH_TIME);
    CHECK(!strcmp(b.ops.build, plain.build) && b.ops.copy != plain.copy, "the table of wrappers");
    b.ops.copy(&b.ctx, y, x, 100);
    CHECK(!strcmp(steps, "<o>"), "hooks: %s", steps);
    watch_begin(&b, WATCH_PLAN);
    b.ops.copy(&b.ctx, y, x, 100);
    CHECK(!strcmp(steps, "<o>") && b.ctx.watch->timed[OP_copy].calls == 1, "planned: %s", steps);
    watch_end(&b, WATCH_PLAN);
    const OpTally *t = &b.ctx.watch->timed[OP_copy];
    CHECK(t->calls == 1 && t->bytes == 800 && t->flops == 0 && t->seconds > 0,
          "%zu calls, %g bytes, %g FLOPs, %g s", t->calls, t->bytes, t->flops, t->seconds);
    /* a variant that is chosen now is called by the wrapper */
    void (*wrapper)(Context *, float *, const float *, size_t) = b.ops.sum_squares;
    CHECK(!backend_choose(&b, "sum_squares=float64", &error), "%s", error.text);
    CHECK(b.ops.sum_squares == wrapper && b.ctx.inner.sum_squares != plain.sum_squares,
          "a variant stands in the place of its wrapper");
    x[0] = 2;
    b.ops.copy(&b.ctx, y, x, 100);
    CHECK(b.ctx.watch->error.code == EXIT_BUG &&
              !strcmp(b.ctx.watch->error.text, "op copy: too many blocks"),
          "launch: %s", b.ctx.watch->error.text);
    watch_end(&b, WATCH_TIME);
    CHECK(b.ops.copy != plain.copy, "the device's hooks end with another watch");
    watch_end(&b, WATCH_DEVICE);
    CHECK(b.ops.copy == plain.copy && b.ops.sum_squares != plain.sum_squares, "the plain table");
    backend_free(&b);
}

/* A product of known size: FLOPs and bytes, bf16 at half of float32's. */
static void test_tally(void)
{
    static float x[200], y[600], w[300], bias[30];
    static uint16_t half[300];
    Backend b = start("auto", 1, WATCH_TIME);
    const OpTally *t = &b.ctx.watch->timed[OP_matmul_forward];
    backend_reserve(&b, matmul_scratch(20, 30, 10));
    b.ops.matmul_forward(&b.ctx, y, x, (Weight){.f32 = w}, bias, 20, 10, 30);
    CHECK(t->flops == 12000 && t->bytes == 4 * (200 + 300 + 30 + 600), "%g FLOPs, %g bytes",
          t->flops, t->bytes);
    b.ops.matmul_forward(&b.ctx, y, x, (Weight){.bf16 = half}, NULL, 20, 10, 30);
    CHECK(t->flops == 24000 && t->bytes == 4 * (200 + 300 + 30 + 600 + 200 + 150 + 600),
          "%g FLOPs, %g bytes", t->flops, t->bytes);
    watch_begin(&b, WATCH_TIME);
    CHECK(t->calls == 0 && t->bytes == 0, "times begin anew");
    backend_free(&b);
}

int main(void)
{
    const char *builds[3];
    int count = backend_builds(builds);
    test_hash();
    test_finite();
    for (int i = 0; i < count; i++) {
        test_scratch(builds[i], 1, NULL);
    }
    test_scratch("auto", 3, NULL);
#define VARIANT(op, variant, class, what, replaced)                                                \
    test_scratch("auto", 2, strcmp(#op, "dtype") ? #op "=" #variant : "bf16-" #variant);
#include "variants.def"
#undef VARIANT
    test_variants();
    test_refusals();
    test_hooks();
    test_devices();
    test_tally();
    return checks_close("test_watch");
}
