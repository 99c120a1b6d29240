/* Every op of ops.def: the bits of its reference (reference.c) from every build of the CPU with 1,
 * 2, 3 and 8 threads, and from the CUDA kernels in the emulator with its four orders of threads;
 * values against float64; gradients against central differences of float64; and scalar.h and rng.h
 * (words.def), the same from every build.
 *
 *     test_ops [--only NAME] [--mode test|grad|words|bounds|perf|support|races]
 *              [--device cuda|sim] [--repeat N]
 *
 * NAME is an op or a file of kernels/. test: bits, values, variants. grad: gradients. words: scalar.h
 * and rng.h, of a GPU over all 2^32 words. bounds: what those of rounding.h are worth. perf: time, GB/s and GFLOP/s at the shapes of
 * RoBERTa-large and Llama-3.2-3B, all builds side by side, and of what share of this machine's
 * ceilings; of a device with its variants. support: which build has which op. races: for a program
 * under ThreadSanitizer; every shape and variant with one fill, by several threads or in two orders:
 * values and the other orders make no race. Without --mode: test, grad and words. --device: of that
 * device alone, in memory that it shares. --repeat: the bits alone, each op N times with normal
 * inputs, spread over its shapes; else each shape 4 times, with other inputs too.
 *
 * Tolerances: a sum of n float32 operations on terms t_i is off by at most n 2^-24 sum |t_i|
 * (Higham 2002, section 3.1), to first order; each comparison states its n and its sum. Differences
 * with step h are off by about h^2. */
#include "check.h"
#include "cudasim.h"
#include "guarded.h"
#include "harness.h"
#include "ops_reference.h"
#include "rounding_check.h"
#include "words.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    const OpCase *cases;
} families[] = {
    {"matmul", matmul_cases},       {"lora", lora_cases}, {"attention", attention_cases},
    {"norm", norm_cases},           {"rope", rope_cases}, {"elementwise", elementwise_cases},
    {"embedding", embedding_cases}, {"loss", loss_cases}, {"optimizer", optimizer_cases},
    {"hash", hash_cases},
};
enum { FAMILIES = sizeof families / sizeof *families };

/* Whether two tables have the same function of this name. */
static int same_op(const Ops *a, const Ops *b, const char *op)
{
#define OP(name, ...)                                                                              \
    if (!strcmp(op, #name)) {                                                                      \
        return a->name == b->name;                                                                 \
    }
#include "ops.def"
#undef OP
    return 1;
}

static int has_op(const Ops *ops, const char *op)
{
    static const Ops none;
    return !same_op(ops, &none, op);
}

static int shape_ends(const Shape *shape)
{
    static const Shape end;
    return !memcmp(shape, &end, sizeof end);
}

/* --- modes --- */

/* A run that is watched. */
typedef struct Watched {
    Run *run;
    uint64_t hash; /* of all outputs, chained */
    int bounds;    /* rounding errors are compared with their bounds */
} Watched;

/* Called with each output. The scratch that the op has is not that of the op hash. */
static void look_at(void *user, Context *ctx, const WatchOutput *output)
{
    Watched *watched = user;
    const Device *device = ctx->watch->device;
    size_t floats = 2 * HASH_PARTS, own = ctx->scratch_size;
    float *scratch = ctx->scratch;
    uint64_t *sum = device->alloc(sizeof *sum), hash = 0;
    Error error;
    device->put(sum, &hash, sizeof hash);
    ctx->scratch = device->alloc(floats * sizeof(float));
    ctx->scratch_size = floats;
    watch_hash(ctx, sum, output);
    device->get(&hash, sum, sizeof hash);
    CHECK(!device->wait(&error), "%s", error.text);
    device->release(ctx->scratch, floats * sizeof(float));
    device->release(sum, sizeof *sum);
    ctx->scratch = scratch;
    ctx->scratch_size = own;
    watched->hash = watched->hash * 31 + hash;
    if (watched->bounds) { /* that of a softmax of bf16's products may be infinite */
        rounding_check_output(watched->run->what, ctx, output,
                              watched->run->fill == FILL_NORMAL && !ctx->bf16);
    }
}

/* Of --device and --repeat: the one device that is tested, or NULL. */
static const char *only_device;
static int repeat;

/* Of --mode races. The CPU has 3 and 8 threads, variants 2 and 3. Of the emulator, random order
 * does some copies of cp.async at once and has all shared memory; warps, the next one, does all of
 * them late and has little. */
static int races;

static const Device *shared_memory(void)
{
    return only_device ? device_find(only_device) : NULL;
}

/* build: of the CPU, or a device of its own. variety: threads of the CPU; for sim one of the orders
 * of cudasim.h, every other one with as little shared memory as a device of sm_80 or later has. */
static Backend backend_of(const char *build, int variety)
{
    Backend backend;
    Error error;
    int simulated = !strcmp(build, "sim"), own = simulated || !strcmp(build, "cuda");
    if (backend_init(&backend, own ? build : "cpu", own ? "auto" : build, variety, &error)) {
        printf("test_ops: %s\n", error.text);
        exit(error.code);
    }
    if (simulated) {
        cudasim_set_order((CudasimOrder)(variety % CUDASIM_ORDERS));
        backend.ctx.shared_limit = variety % 2 ? 99 * 1024 : backend.ctx.shared_limit;
    }
    backend.ctx.pace.grain = 0; /* share out even the smallest op */
    if (!own && (variety == 2 || variety == 3)) { /* blocks of products of odd sizes */
        backend.ctx.cache[0] = variety == 2 ? 3001 : 0;
        backend.ctx.cache[1] = variety == 2 ? 777 : 20011;
    }
    return backend;
}

/* All builds that have tests here, the emulator's last. Returns how many. */
static int tested_builds(const char *names[4])
{
    if (only_device) {
        names[0] = only_device;
        return 1;
    }
    int count = backend_builds(names);
    names[count] = "sim";
    return count + 1;
}

/* The definition itself, as a backend. */
static Backend reference_backend(void)
{
    Backend backend = backend_of("scalar", 1);
    backend.ops = ops_reference;
    return backend;
}

/* Each run goes through the op's wrapper of watch.h, and its hash too must be the reference's. The
 * first one, and all that are compared with float64, have bounds; not those of fewer bits. */
static uint64_t run_watched(Run *run, Backend *backend, int same_bits, int check)
{
    int bounds = (check || !run->kept) && !races && !strstr(backend->variants, "=tf32");
    Watched watched = {.run = run, .bounds = bounds};
    watch_begin(backend, WATCH_OUTPUTS);
    backend->ctx.watch->output = look_at;
    backend->ctx.watch->output_user = &watched;
    backend->ctx.watch->before = bounds ? rounding_check_before : NULL;
    run_case(run, backend, same_bits, check);
    CHECK(!backend->ctx.watch->error.code, "%s: %s", run->what, backend->ctx.watch->error.text);
    return watched.hash;
}

static void test_bits(const OpCase *c)
{
    static const int threads[] = {1, 2, 3, 8};
    const char *builds[4];
    int count = tested_builds(builds), varieties = 4, shapes = 0;
    for (; !shape_ends(c->shapes + shapes); shapes++) {
    }
    if (repeat) {
        varieties = (repeat + shapes - 1) / shapes;
    }
    for (const Shape *shape = c->shapes; !shape_ends(shape); shape++) {
        for (Fill fill = 0; fill < (races || repeat ? FILL_NORMAL + 1 : FILLS); fill++) {
            Run *run = run_new(c, shape->n, fill, shared_memory());
            Backend backend = reference_backend();
            uint64_t hash = run_watched(run, &backend, 0,
                                        fill == FILL_NORMAL && !c->gradient && !races);
            for (int k = 0; k < varieties * count; k++) {
                int b = k / varieties, variety = k % varieties;
                if (races && variety < CUDASIM_RANDOM) {
                    continue;
                }
                if (k == 0 || strcmp(builds[b], "cuda") != 0) { /* a GPU has one variety */
                    backend_free(&backend);
                    backend = backend_of(builds[b], b < count - 1 ? threads[variety] : variety);
                }
                if (has_op(&backend.ctx.inner, c->op) &&
                    (fill == FILL_NORMAL || variety == 2 % varieties)) {
                    int failed = checks_failed;
                    uint64_t again = run_watched(run, &backend, 1, 0);
                    CHECK(again == hash || checks_failed > failed || run_has_nan(run),
                          "%s: another hash", run->what);
                }
            }
            backend_free(&backend);
            run_free(run);
        }
    }
}

static void test_gradients(const OpCase *c)
{
    for (const Shape *shape = c->shapes; !shape_ends(shape); shape++) {
        Run *run = run_new(c, shape->n, FILL_NORMAL, shared_memory());
        Backend backend = reference_backend();
        run_case(run, &backend, 0, 1);
        run_free(run);
    }
}

/* Whether the op is another one with the variant: replaced by it, or made of ops that are. */
static int has_variant(const Backend *backend, const char *op)
{
    const Ops *plain = backend_ops(backend->ops.build), *ops = &backend->ctx.inner;
    return !same_op(plain, ops, op) || (!strcmp(op, "linear_cross_entropy") &&
                                        (!same_op(plain, ops, "matmul_forward") ||
                                         !same_op(plain, ops, "matmul_backward_input") ||
                                         !same_op(plain, ops, "matmul_backward_weight")));
}

/* A variant has sums of another order or precision. Values are compared with float64; where it is
 * of class exact every build must give the same bits, and not those of the op in every shape. */
static void test_variant(const OpCase *c, const char *choice, int exact)
{
    static const int threads[] = {1, 2, 3};
    const char *builds[4];
    int count = tested_builds(builds), runs = 0, differs = 0;
    for (const Shape *shape = c->shapes; !shape_ends(shape); shape++) {
        Run *run = run_new(c, shape->n, FILL_NORMAL, shared_memory()),
            *plain = run_new(c, shape->n, FILL_NORMAL, shared_memory());
        uint64_t plain_hash = 0;
        for (int k = 0; k < 3 * count; k++) {
            if (races && k % 3 == 0) {
                continue;
            }
            Backend backend = backend_of(builds[k / 3], threads[k % 3]);
            Error error;
            if (!backend_choose(&backend, choice, &error) && has_variant(&backend, c->op)) {
                if (!plain->kept) {
                    Backend default_ops = backend_of("auto", 1);
                    plain_hash = run_watched(plain, &default_ops, 0, 0);
                    backend_free(&default_ops);
                }
                int check = !races && (!exact || !run->kept);
                differs += run_watched(run, &backend, exact, check) != plain_hash;
                runs++;
            }
            backend_free(&backend);
        }
        run_free(run);
        run_free(plain);
    }
    CHECK(!runs || differs, "%s: %d runs of %s have the bits of the op", c->op, runs, choice);
}

/* A drawn order is another one with another seed, step or layer, of some shape, and the same one
 * with the same. */
static void test_draws(const OpCase *c, const char *choice)
{
    enum { DRAWS = 4 }; /* the first one, then another seed, step, layer */
    int differs[DRAWS] = {0}, runs = 0;
    for (const Shape *shape = c->shapes; !shape_ends(shape); shape++) {
        Run *run = run_new(c, shape->n, FILL_NORMAL, shared_memory());
        uint64_t first[DRAWS];
        for (int i = 0; i < 2 * DRAWS; i++) {
            Backend backend = backend_of("auto", 1 + i / DRAWS);
            Error error;
            if (!backend_choose(&backend, choice, &error) && has_variant(&backend, c->op)) {
                int draw = i % DRAWS;
                backend.ctx.order_seed = draw == 1 ? 5 : 0;
                backend.ctx.order_step = draw == 2;
                backend.ctx.layer = draw == 3 ? 0 : -1;
                uint64_t hash = run_watched(run, &backend, 0, 0);
                CHECK(i < DRAWS || hash == first[draw], "%s: other bits", run->what);
                first[draw] = hash;
                differs[draw] |= hash != first[0];
                runs++;
            }
            backend_free(&backend);
        }
        run_free(run);
    }
    CHECK(!runs || (differs[1] && differs[2] && differs[3]), "%s: %s: one order for each %s", c->op,
          choice,
          !differs[1]   ? "seed"
          : !differs[2] ? "step"
                        : "layer");
}

/* The definition of another dtype, as a backend. What is not a product is the scalar build's, which
 * linear_cross_entropy has from it. */
static Backend dtype_reference(const char *dtype)
{
    Backend backend = backend_of("scalar", 1);
    const Ops *products = reference_blocks(dtype);
    Error error;
    CHECK(!backend_choose_dtype(&backend, dtype, &error), "%s", error.text);
#define OP(name, ...) backend.ops.name = products->name ? products->name : backend.ops.name;
#include "ops.def"
#undef OP
    return backend;
}

/* With another dtype every build must give the bits of its definition, of all inputs. */
static void test_dtype(const OpCase *c, const char *dtype)
{
    static const int threads[] = {1, 3};
    const char *builds[4];
    int count = tested_builds(builds);
    for (const Shape *shape = c->shapes; !shape_ends(shape); shape++) {
        for (Fill fill = 0; fill < (races ? FILL_NORMAL + 1 : FILLS); fill++) {
            Run *run = run_new(c, shape->n, fill, shared_memory());
            Backend backend = dtype_reference(dtype);
            int runs = has_variant(&backend, c->op);
            uint64_t hash = runs ? run_watched(run, &backend, 0, fill == FILL_NORMAL && !races) : 0;
            for (int k = 0; k < 2 * count && runs; k++) {
                Error error;
                if (fill != FILL_NORMAL && k % 2 == 0) {
                    continue;
                }
                backend_free(&backend);
                backend = backend_of(builds[k / 2], threads[k % 2]);
                if (backend_choose_dtype(&backend, dtype, &error)) {
                    CHECK(!strcmp(builds[k / 2], "sim"), "%s", error.text); /* not there yet */
                    continue;
                }
                int failed = checks_failed;
                uint64_t again = run_watched(run, &backend, 1, 0);
                CHECK(again == hash || checks_failed > failed || run_has_nan(run),
                      "%s: another hash", run->what);
            }
            backend_free(&backend);
            run_free(run);
        }
    }
}

/* "all=..." is made of the functions of the others. */
static void test_variants(const OpCase *c)
{
#define VARIANT(op, variant, class, ...)                                                           \
    if (!strcmp(#op, "dtype")) {                                                                   \
        test_dtype(c, "bf16-" #variant);                                                           \
    } else if (strcmp(#op, "all")) {                                                               \
        test_variant(c, #op "=" #variant, !strcmp(class, "exact"));                                \
        if (!races && !strcmp(#variant, "shuffled")) {                                             \
            test_draws(c, #op "=" #variant);                                                       \
        }                                                                                          \
    }
#include "variants.def"
#undef VARIANT
}

/* What is measured, and its ceilings: float32 operations a second, and bytes a second that copy
 * reads and writes. */
static struct {
    const char *build;
    double flops, bytes;
} measured[4];
static int measured_count;

static Backend measured_backend(int b)
{
    Backend backend = backend_of(measured[b].build, 0);
    backend.ctx.pace.grain = PACE_GRAIN;
    return backend;
}

/* The emulator is not measured beside the CPU. */
static void measure_ceilings(void)
{
    enum { TIMES = 6 };
    const char *names[4];
    measured_count = only_device ? tested_builds(names) : backend_builds(names);
    for (int b = 0; b < measured_count; b++) {
        measured[b].build = names[b];
        Backend backend = measured_backend(b);
        const Device *device = backend.device;
        double flops = measured[b].flops = device->peak(&backend.ctx);
        size_t count = flops > 0 ? (size_t)1 << 26 : (size_t)1 << 20, /* the emulator is slow */
            size = count * sizeof(float);
        float *from = device->alloc(size), *to = device->alloc(size);
        double fastest = INFINITY;
        Error error;
        for (int i = 0; i < TIMES; i++) {
            double start = clock_seconds();
            backend.ops.copy(&backend.ctx, to, from, count);
            CHECK(!backend_wait(&backend, &error), "%s", error.text);
            fastest = i ? fmin(fastest, clock_seconds() - start) : fastest;
        }
        measured[b].bytes = 2.0 * (double)size / fastest;
        printf("%-8s ceilings: copy %.1f GB/s, fma %.1f GFLOP/s\n", names[b],
               1e-9 * measured[b].bytes, 1e-9 * flops);
        device->release(from, size);
        device->release(to, size);
        backend_free(&backend);
    }
}

/* FLOPs of a shape that are too much to wait for; the emulator has no peak. */
static double most_flops(int b)
{
    return !strcmp(measured[b].build, "cuda") ? INFINITY : measured[b].flops > 0 ? 4e9 : 1e7;
}

/* A line of what the op takes. */
static void measure_run(Run *run, const char *op, int b, const Backend *backend, const char *name)
{
    double most = measured[b].flops;
    double seconds = run_seconds(run, backend, most_flops(b));
    if (seconds < INFINITY) {
        double bytes = run->bytes / seconds, flops = run->flops / seconds;
        printf("%-28s %-8s %10.1f us %7.1f GB/s %3.0f%% %8.1f GFLOP/s %3.0f%%   %s\n", op, name,
               1e6 * seconds, 1e-9 * bytes, 100 * bytes / measured[b].bytes, 1e-9 * flops,
               most > 0 ? 100 * flops / most : 0.0, run->sizes);
    }
}

/* Where one device is measured, a variant beside its op: cublas, tf32 and others. */
static void measure_variant(Run *run, const OpCase *c, const char *choice)
{
    Backend backend = measured_backend(0);
    Error error;
    if (!backend_choose(&backend, choice, &error) && has_variant(&backend, c->op)) {
        measure_run(run, c->op, 0, &backend, strchr(choice, '=') + 1);
    }
    backend_free(&backend);
}

static void measure(const OpCase *c)
{
    for (const Shape *shape = c->real; !shape_ends(shape); shape++) {
        Run *run = run_new(c, shape->n, FILL_NORMAL, shared_memory());
        for (int b = 0; b < measured_count; b++) {
            Backend backend = measured_backend(b);
            if (has_op(&backend.ctx.inner, c->op)) {
                measure_run(run, c->op, b, &backend, measured[b].build);
            }
            backend_free(&backend);
        }
#define VARIANT(op, variant, ...)                                                                  \
    if (only_device) {                                                                             \
        measure_variant(run, c, #op "=" #variant);                                                 \
    }
#include "variants.def"
#undef VARIANT
        run_free(run);
    }
}

static void print_support(const char *op)
{
    const char *builds[4];
    int count = tested_builds(builds);
    printf("%-28s", op);
    for (int b = 0; b < count; b++) {
        printf(" %-8s", has_op(backend_ops(builds[b]), op) ? builds[b] : "-");
    }
    putchar('\n');
}

/* Says which variants are not there; what the CPU alone refuses is CUDA's. Of ops with the same sum
 * a variant is all or none. */
static void check_variant(const char *choice)
{
    static const char *const pairs[][2] = {{"layernorm_forward", "residual_layernorm_forward"},
                                           {"rmsnorm_forward", "residual_rmsnorm_forward"},
                                           {"cross_entropy", "linear_cross_entropy"}};
    Backend backend = backend_of("scalar", 1);
    Error error = {0};
    if (backend_choose(&backend, choice, &error)) {
        Backend sim = backend_of("sim", 0);
        Error other;
        if (backend_choose(&sim, choice, &other)) {
            printf("skipped %s: %s\n", choice, error.text);
        } else {
            CHECK(error.code == EXIT_USAGE && strstr(error.text, choice) &&
                      strstr(error.text, "not there on device cpu"),
                  "the cpu says of %s: %s", choice, error.text);
        }
        backend_free(&sim);
    }
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        CHECK(same_op(backend_ops("scalar"), &backend.ops, pairs[i][0]) ==
                  same_op(backend_ops("scalar"), &backend.ops, pairs[i][1]),
              "%s is one of %s and %s alone", choice, pairs[i][0], pairs[i][1]);
    }
    CHECK(error.code || !strcmp(backend.variants, choice), "recorded as '%s'", backend.variants);
    backend_free(&backend);
}

/* --- the command line --- */

static int selected(const char *only, const char *family, const char *op)
{
    return !only || !strcmp(only, family) || !strcmp(only, op);
}

static int usage(void)
{
    fputs("usage: test_ops [--only OP|FILE] [--mode test|grad|words|bounds|perf|support|races]"
          " [--device cuda|sim] [--repeat N]\n",
          stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    static const char *const modes[] = {"test", "grad",    "words", "bounds",
                                        "perf", "support", "races"};
    const char *only = NULL, *mode = "";
    int found[OPS] = {0}, count = 0;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) {
            return usage();
        }
        const char *value = argv[i + 1];
        if (!strcmp(argv[i], "--only")) {
            only = value;
        } else if (!strcmp(argv[i], "--mode")) {
            mode = NULL;
            for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
                mode = strcmp(modes[m], value) ? mode : modes[m];
            }
        } else if (!strcmp(argv[i], "--device") &&
                   (!strcmp(value, "sim") || !strcmp(value, "cuda"))) {
            only_device = value;
        } else if (!strcmp(argv[i], "--repeat") && atoi(value) > 0 && only_device) {
            repeat = atoi(value);
        } else {
            return usage();
        }
        if (!mode) {
            return usage();
        }
    }
    races = !strcmp(mode, "races");
    if (races && (repeat || (only_device && strcmp(only_device, "sim") != 0))) {
        return usage();
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    guarded_start();
    if (only_device) { /* is there one? */
        Backend backend = backend_of(only_device, 1);
        backend_free(&backend);
    }
    if (!strcmp(mode, "perf")) {
        measure_ceilings();
    }
    for (int f = 0; f < FAMILIES; f++) {
        for (const OpCase *c = families[f].cases; c->op; c++) {
            for (int i = 0; i < OPS; i++) {
                found[i] |= !strcmp(op_names[i], c->op);
            }
            if (!selected(only, families[f].name, c->op)) {
                continue;
            }
            count++;
            if (!*mode || !strcmp(mode, "test") || !strcmp(mode, "bounds") || races) {
                test_bits(c);
            }
            if ((!*mode || !strcmp(mode, "grad")) && c->gradient) {
                test_gradients(c);
            }
            if ((!repeat && (!*mode || !strcmp(mode, c->gradient ? "grad" : "test"))) || races) {
                test_variants(c);
            }
            if (!strcmp(mode, "perf")) {
                measure(c);
            }
            if (!strcmp(mode, "support")) {
                print_support(c->op);
            }
        }
    }
    if (only && !count) {
        fprintf(stderr, "test_ops: --only %s: no such op, and no such file of kernels/\n", only);
        return EXIT_USAGE;
    }
    if (!strcmp(mode, "perf") || !strcmp(mode, "support")) {
        return 0;
    }
    rounding_check_ratios(!strcmp(mode, "bounds"));
    if (!only && (!*mode || !strcmp(mode, "bounds"))) {
        rounding_check_wrong(&ops_reference);
    }
    if (!only && (!*mode || !strcmp(mode, "words"))) {
        test_words(only_device);
    }
#define VARIANT(op, variant, ...)                                                                  \
    if (strcmp(#op, "dtype")) {                                                                    \
        check_variant(#op "=" #variant);                                                           \
    }
#include "variants.def"
#undef VARIANT
    for (int i = 0; i < OPS && !only; i++) {
        CHECK(found[i], "op %s has no case", op_names[i]);
    }
    return checks_close("test_ops");
}
