/* Every op of ops.def: the bits of its reference (reference.c) from every build of the CPU with 1,
 * 2, 3 and 8 threads, and from the CUDA kernels in the emulator with its four orders of threads;
 * values against float64; gradients against central differences of float64; and scalar.h and rng.h
 * (words.def), the same from every build.
 *
 *     test_ops [--only NAME] [--skip NAME] [--mode test|grad|words|bounds|perf|support|races]
 *              [--device cuda|sim] [--repeat N]
 *
 * NAME is an op or a file of kernels/. --skip: all others. test: bits, values, variants. grad:
 * gradients. words: scalar.h and rng.h, of a GPU over all 2^32 words. bounds: what those of
 * rounding.h are worth. perf: time, GB/s and GFLOP/s at the shapes of RoBERTa-large and
 * Llama-3.2-3B, all builds side by side, and of what share of this machine's ceilings; of a device
 * with its variants. support: which build has which op. races: for a program under
 * ThreadSanitizer; every shape and variant with one fill, by several threads or in two orders:
 * values and the other orders make no race. Without --mode: test, grad and words. --device: of
 * that device alone, in memory that it shares. --repeat: the bits alone, each op N times with
 * normal inputs, spread over its shapes; else each shape 4 times, with other inputs too.
 *
 * Tolerances: a sum of n float32 operations on terms t_i is off by at most n 2^-24 sum |t_i|
 * (Higham 2002, section 3.1), to first order; each comparison states its n and its sum. Differences
 * with step h are off by about h^2. */
#include "builds.h"
#include "check.h"
#include "cudasim.h"
#include "guarded.h"
#include "harness.h"
#include "ops_perf.h"
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

static int repeat; /* of --repeat */

/* Of --mode races. The CPU has 3 and 8 threads, variants 2 and 3. Of the emulator, random order
 * does some copies of cp.async at once and has all shared memory; warps, the next one, does all of
 * them late and has little. */
static int races;

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

/* Of equal bits the hashes are equal, too. */
static void run_again(Run *run, Backend *backend, uint64_t hash)
{
    int failed = checks_failed;
    uint64_t again = run_watched(run, backend, 1, 0);
    CHECK(again == hash || checks_failed > failed || run_has_nan(run), "%s: another hash",
          run->what);
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
                    run_again(run, &backend, hash);
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
                    CHECK(!strcmp(dtype, "bf16-tile") && strcmp(backend.device->name, "cpu") != 0,
                          "%s", error.text);
                    continue;
                }
                run_again(run, &backend, hash);
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

static int names(const char *name, const char *family, const char *op)
{
    return name && (!strcmp(name, family) || !strcmp(name, op));
}

static int is_known(const char *name)
{
    int known = 0;
    for (int f = 0; f < FAMILIES; f++) {
        for (const OpCase *c = families[f].cases; c->op; c++) {
            known |= names(name, families[f].name, c->op);
        }
    }
    if (!known) {
        fprintf(stderr, "test_ops: %s: no such op, and no such file of kernels/\n", name);
    }
    return known;
}

static int usage(void)
{
    fputs("usage: test_ops [--only OP|FILE] [--skip OP|FILE]"
          " [--mode test|grad|words|bounds|perf|support|races] [--device cuda|sim] [--repeat N]\n",
          stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    static const char *const modes[] = {"test", "grad",    "words", "bounds",
                                        "perf", "support", "races"};
    const char *only = NULL, *skip = NULL, *mode = "";
    int found[OPS] = {0};
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) {
            return usage();
        }
        const char *value = argv[i + 1];
        if (!strcmp(argv[i], "--only")) {
            only = value;
        } else if (!strcmp(argv[i], "--skip")) {
            skip = value;
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
    if ((only && !is_known(only)) || (skip && !is_known(skip))) {
        return EXIT_USAGE;
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
            if (names(skip, families[f].name, c->op) ||
                (only && !names(only, families[f].name, c->op))) {
                continue;
            }
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
