#include "backend.h"
#include "amx.h"
#include "cublas.h"
#include "openblas.h"
#include "threads.h"
#include "watch.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* Scratch is as large as the hungriest op of a plan needs it, by one formula for all devices. CPUs
 * pay nothing for the others: cuBLAS's float32 copy of a bf16 weight is no larger than the packed
 * one here, and sums of sequences and of rows (layernorm_backward, attention) are far below the
 * products of the same step. A GPU has packed operands that it does not use: 43 MB at 16 x 128
 * tokens of RoBERTa-large (computed), less than a second formula is worth.
 *
 * Two packed operands, each up to a panel too wide; those of blocks are half as large, but not where
 * K is below 8, and AMX's ones have 32 of K at least. */
size_t matmul_scratch(size_t M, size_t N, size_t K)
{
    return size_max((M + 64) * K + (N + 64) * K + 1024, blocks_scratch(M, N, K));
}

size_t blocks_scratch(size_t M, size_t N, size_t K)
{
    return (M + N) * ((K + 15) / 16 * 8);
}

size_t vocabulary_products(size_t N, size_t C, size_t width)
{
    size_t backward = size_max(matmul_scratch(N, C, width), matmul_scratch(width, C, N));
    return size_max(matmul_scratch(N, width, C), backward);
}

/* lora.c: drop(x) and dmid; then each thread's part, or in lora.cu the packed operands of the largest
 * of its products by blocks. A part: a block of drop(x) and of mid, and the panels of the largest of
 * its small products: a block of columns and a tile's rows over C, O or N, or C or O columns over
 * R. */
size_t lora_share(size_t N, size_t C, size_t O, size_t R)
{
    size_t wide = size_max(C, O), deep = matmul_scratch(0, LORA_BLOCK, size_max(wide, N));
    return ((R + C) * LORA_BLOCK + deep + matmul_scratch(0, wide, R) + 15) / 16 * 16;
}

size_t lora_scratch(size_t N, size_t C, size_t O, size_t R, int threads)
{
    size_t wide = size_max(C, O);
    size_t blocks = size_max(size_max(blocks_scratch(N, R, wide), blocks_scratch(N, wide, R)),
                             blocks_scratch(wide, R, N));
    return N * C + N * R + 32 + size_max((size_t)threads * lora_share(N, C, O, R), blocks);
}

/* loss.c: the largest product over one block of words, then its logits, and four values a row. */
size_t vocabulary_scratch(size_t N, size_t C, size_t V)
{
    size_t width = size_min(V, VOCABULARY_BLOCK);
    return vocabulary_products(N, C, width) + N * (width + 4) + 64;
}

/* attention_block.c: two matrices of scores, five packed operands and a panel of the sixth; or, on
 * CUDA, the mean of each row. attention.c keeps no more than half a megabyte of scores, but which of
 * them runs, the shape does not say: in float32 2 T T floats a thread are not used, 34 MB at 2,048
 * tokens. */
size_t attention_scratch(const AttentionShape *shape, int threads)
{
    size_t T = ((size_t)shape->longest + 31) / 32 * 32, wide = ((size_t)shape->D + 31) / 32 * 32,
           share = 2 * T * T + 5 * T * wide + 16 * size_max(T, wide) + 128;
    return size_max((size_t)threads * share, (size_t)shape->q_rows * (size_t)shape->H);
}

extern const Ops ops_scalar, variants_scalar[];
#if defined(__x86_64__)
extern const Ops ops_avx2, variants_avx2[], ops_avx512, variants_avx512[];
#endif
extern const Ops ops_sim, variants_sim[];
extern const Ops ops_cuda __attribute__((weak)), variants_cuda[] __attribute__((weak));

/* Those of the CPU, narrowest first, then those of devices of their own name; cuda where nvcc
 * was. */
static const struct {
    const char *name;
    const Ops *ops, *variants;
} builds[] = {
    {"scalar", &ops_scalar, variants_scalar},
#if defined(__x86_64__)
    {"avx2", &ops_avx2, variants_avx2},       {"avx512", &ops_avx512, variants_avx512},
#endif
    {"sim", &ops_sim, variants_sim},          {"cuda", &ops_cuda, variants_cuda},
};
enum {
    BUILDS = sizeof builds / sizeof *builds,
    DEVICE_BUILDS = 2,
    CPU_BUILDS = BUILDS - DEVICE_BUILDS
};

/* Whether this machine can run a build of the CPU. */
static int build_runs(int i)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (i == 1) {
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    }
    if (i == 2) {
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("fma");
    }
#endif
    return i == 0;
}

int backend_builds(const char *names[3])
{
    int count = 0;
    for (int i = 0; i < CPU_BUILDS; i++) {
        if (build_runs(i)) {
            names[count++] = builds[i].name;
        }
    }
    return count;
}

const Ops *backend_ops(const char *build)
{
    for (int i = 0; i < BUILDS; i++) {
        if (!strcmp(build, builds[i].name)) {
            return i >= CPU_BUILDS || build_runs(i) ? builds[i].ops : NULL;
        }
    }
    return NULL;
}

/* The build that a device has of its own, or NULL: it runs those of the CPU. */
static const char *device_build(const char *device)
{
    for (int i = CPU_BUILDS; i < BUILDS; i++) {
        if (!strcmp(device, builds[i].name)) {
            return builds[i].name;
        }
    }
    return NULL;
}

/* Fills backend->device and what it says of itself. Errors: as backend_init. */
static int find_device(Backend *backend, const char *name, Error *error)
{
    backend->device = device_find(name);
    if (!backend->device && !strcmp(name, "cuda")) {
        return error_set(error, EXIT_UNAVAILABLE,
                         "--device cuda: this program was built without nvcc; build it where the "
                         "CUDA toolkit is, or use --device cpu");
    }
    if (!backend->device) {
        return error_set(error, EXIT_USAGE, "--device %s: there are cpu, cuda, sim, fence and auto",
                         name);
    }
    return backend->device->start ? backend->device->start(&backend->ctx, backend->machine, error)
                                  : 0;
}

int backend_init(Backend *backend, const char *device, const char *simd, int threads, Error *error)
{
    const char *names[3], *variable = getenv("SEEDBED_DEVICE");
    int count = backend_builds(names);
    *backend = (Backend){0};
    if (!strcmp(device, "auto") && variable && *variable) {
        device = variable;
    }
    if (!strcmp(device, "auto")) {
        Error none;
        device = device_find("cuda") && !find_device(backend, "cuda", &none) ? "cuda" : "cpu";
    }
    if (find_device(backend, device, error)) {
        return error->code;
    }
    const char *own = device_build(device);
    if (own && strcmp(simd, "auto") != 0) {
        return error_set(error, EXIT_USAGE,
                         "--simd %s: device %s has kernels of its own; leave it out", simd, device);
    }
    if (!strcmp(simd, "auto")) {
        simd = own ? own : names[count - 1];
    }
    const Ops *ops = backend_ops(simd);
    if (!ops || (!own && device_build(simd))) {
        return error_set(error, EXIT_USAGE,
                         "--simd %s: this machine runs %s%s%s%s%s; choose one of these or auto",
                         simd, names[0], count > 1 ? ", " : "", count > 1 ? names[1] : "",
                         count > 2 ? ", " : "", count > 2 ? names[2] : "");
    }
    backend->ops = backend->ctx.inner = *ops;
    backend->ctx.threads = own ? 1 : threads > 0 ? threads : threads_available();
    backend->ctx.pace.grain = PACE_GRAIN;
    backend->ctx.cache[0] = cache_bytes(1);
    backend->ctx.cache[1] = cache_bytes(2);
    backend->ctx.layer = -1;
    backend->dtype = "float32";
    if (!backend->device->start) {
        snprintf(backend->machine, sizeof backend->machine, "%d threads", backend->ctx.threads);
    }
    if (backend->device->open) {
        watch_begin(backend, WATCH_DEVICE); /* for as long as the backend lives */
    }
    omp_set_dynamic(0); /* num_threads means what it says: scratch is divided by it */
    return 0;
}

void backend_reserve(Backend *backend, size_t floats)
{
    if (floats > backend->ctx.scratch_size) {
        backend->device->release(backend->ctx.scratch, backend->ctx.scratch_size * sizeof(float));
        backend->ctx.scratch = backend->device->alloc(floats * sizeof(float));
        backend->ctx.scratch_size = floats;
    }
}

int backend_wait(const Backend *backend, Error *error)
{
    const Watch *watch = backend->ctx.watch;
    int code = backend->device->wait(error);
    if (watch && watch->error.code) { /* after it each wait fails too, and names no op */
        *error = watch->error;
        return error->code;
    }
    return code;
}

void backend_free(Backend *backend)
{
    if (backend->device) {
        backend->device->release(backend->ctx.scratch, backend->ctx.scratch_size * sizeof(float));
    }
    free(backend->ctx.watch);
    *backend = (Backend){0};
}

/* The variants, in the order of the tables that every build has of them. */
static const char *const variant_names[] = {
#define VARIANT(op, variant, class, what, replaced) #op "=" #variant,
#include "variants.def"
#undef VARIANT
};
enum { VARIANTS = sizeof variant_names / sizeof *variant_names };

/* The ops that variant i replaces in this build, NULL for all others. */
static const Ops *variant_ops(const Backend *backend, int i)
{
    int build = 0;
    while (strcmp(backend->ops.build, builds[build].name)) {
        build++;
    }
    return &builds[build].variants[i];
}

/* Of the variants that --dtype chooses "bf16-block16" and the like, else NULL. */
static const char *dtype_of(int i)
{
    static const char *const names[] = {
#define VARIANT(op, variant, class, what, replaced) #op "=bf16-" #variant,
#include "variants.def"
#undef VARIANT
    };
    static const char prefix[] = "dtype=";
    size_t length = sizeof prefix - 1;
    return strncmp(names[i], prefix, length) ? NULL : names[i] + length;
}

/* Whether variant i stands in a list between commas. */
static int listed(const char *list, int i)
{
    char *key = string_format(",%s,", variant_names[i]);
    int found = strstr(list, key) != NULL;
    free(key);
    return found;
}

/* A variant in force, of another name, that takes the place of an op as variant `chosen` does; or
 * -1. */
static int other_choice(const Backend *backend, int chosen)
{
    char list[sizeof backend->variants + 2];
    size_t name = strcspn(variant_names[chosen], "=");
    const Ops *mine = variant_ops(backend, chosen);
    snprintf(list, sizeof list, ",%s,", backend->variants);
    for (int i = 0; i < VARIANTS; i++) {
        const Ops *ops = variant_ops(backend, i);
        int both = 0;
#define OP(op, ...) both |= ops->op && mine->op;
#include "ops.def"
#undef OP
        int in_force = dtype_of(i) ? !strcmp(backend->dtype, dtype_of(i)) : listed(list, i);
        if (both && in_force && strncmp(variant_names[i], variant_names[chosen], name + 1)) {
            return i;
        }
    }
    return -1;
}

/* "--kernel OP=VARIANT" or "--dtype NAME". */
static const char *option_of(char text[64], int i)
{
    snprintf(text, 64, dtype_of(i) ? "--dtype %s" : "--kernel %s",
             dtype_of(i) ? dtype_of(i) : variant_names[i]);
    return text;
}

/* Whether the device has all ops of a dtype. */
static int dtype_there(const Backend *backend, int i)
{
    const Ops *all = &variants_scalar[i], *ops = variant_ops(backend, i);
    int there = 1;
#define OP(name, ...) there &= !all->name || ops->name;
#include "ops.def"
#undef OP
    return there;
}

/* The dtypes, or those that the backend has: "float32, ...". */
static const char *dtype_list(char list[256], const Backend *backend)
{
    size_t used = (size_t)snprintf(list, 256, "float32");
    for (int i = 0; i < VARIANTS; i++) {
        if (dtype_of(i) && (!backend || dtype_there(backend, i))) {
            used += (size_t)snprintf(list + used, 256 - used, ", %s", dtype_of(i));
        }
    }
    return list;
}

/* Puts variant `chosen` in force; it is recorded by its caller. */
static int put_in_force(Backend *backend, int chosen, Error *error)
{
    char text[64], second[64];
    const char *choice = option_of(text, chosen);
    const Ops *replaced = variant_ops(backend, chosen);
    int other = other_choice(backend, chosen), there = 0;
    if (other >= 0) {
        return error_set(error, EXIT_USAGE, "%s and %s take the place of the same op; choose one",
                         option_of(second, other), choice);
    }
    if (dtype_of(chosen) && !dtype_there(backend, chosen)) {
        char list[256];
        return error_set(error, EXIT_USAGE, "%s: device %s has %s; choose one, or another --device",
                         choice, backend->device->name, dtype_list(list, backend));
    }
#define OP(name, ...) there |= replaced->name != NULL;
#include "ops.def"
#undef OP
    if (!there) {
        return error_set(error, EXIT_USAGE,
                         "%s: it is not there on device %s; leave it out, or choose another "
                         "--device",
                         choice, backend->device->name);
    }
    if ((strstr(choice, "=openblas") && openblas_open(&backend->library, error)) ||
        ((strstr(choice, "=cublas") || strstr(choice, "=tf32")) &&
         cublas_open(backend->device->name, &backend->library, error))) {
        return error->code;
    }
#define OP(name, ...)                                                                              \
    if (replaced->name) {                                                                          \
        backend->ctx.inner.name = replaced->name;                                                  \
    }
#include "ops.def"
#undef OP
    if (!backend->ctx.watch || !backend->ctx.watch->what) {
        backend->ops = backend->ctx.inner;
    }
    return 0;
}

int backend_choose(Backend *backend, const char *choice, Error *error)
{
    int chosen = 0;
    while (!dtype_of(chosen) && strcmp(choice, variant_names[chosen])) { /* dtypes come last */
        chosen++;
    }
    if (dtype_of(chosen)) {
        const char *near = nearest_word(choice, variant_names, chosen);
        return error_set(error, EXIT_USAGE,
                         "--kernel %s: no such variant%s%s; train_gpt --help lists them", choice,
                         near ? "; did you mean " : "", near ? near : "");
    }
    if (put_in_force(backend, chosen, error)) {
        return error->code;
    }
    /* Recorded in the order of variants.def, each once, whatever order they were given in. */
    char old[sizeof backend->variants + 2], *at = backend->variants;
    snprintf(old, sizeof old, ",%s,", backend->variants);
    *at = 0;
    for (int i = 0; i < VARIANTS; i++) {
        size_t op = strcspn(choice, "=");
        int same_op = !strncmp(variant_names[i], choice, op) && variant_names[i][op] == '=';
        if (i == chosen || (listed(old, i) && !same_op)) {
            size_t left = sizeof backend->variants - (size_t)(at - backend->variants);
            int length = snprintf(at, left, "%s%s", at == backend->variants ? "" : ",",
                                  variant_names[i]);
            at += length < (int)left ? length : (int)left - 1;
        }
    }
    return 0;
}

/* Says once where a device's tensor cores are none for the dtype. */
static void note_blocks(const Backend *backend)
{
    static int said;
    int capability = backend->ctx.capability, length = mma_length(&backend->ctx);
    if (capability && !said && length != (strcmp(backend->dtype, "bf16-block16") ? 8 : 16)) {
        said = 1;
        fprintf(stderr,
                "NOTE: --dtype %s: tensor cores of compute capability %d.%d sum in blocks of %d; "
                "the same bits come without them, more slowly\n",
                backend->dtype, capability / 10, capability % 10, length);
    }
}

int backend_choose_dtype(Backend *backend, const char *dtype, Error *error)
{
    int chosen = 0;
    if (!strcmp(dtype, backend->dtype)) {
        return 0;
    }
    while (chosen < VARIANTS && (!dtype_of(chosen) || strcmp(dtype, dtype_of(chosen)))) {
        chosen++;
    }
    if (chosen == VARIANTS) {
        char list[256];
        return error_set(error, EXIT_USAGE, "--dtype %s: there are %s", dtype,
                         dtype_list(list, NULL));
    }
    if (put_in_force(backend, chosen, error)) {
        return error->code;
    }
    backend->dtype = dtype_of(chosen);
    backend->ctx.bf16 = 1;
    const char *refused = NULL;
    note_blocks(backend);
    if (!strcmp(backend->dtype, "bf16-tile") && !strcmp(backend->ops.build, "avx512")) {
        backend->ctx.amx = amx_start(&refused);
    }
    if (refused) {
        fprintf(stderr,
                "NOTE: --dtype %s: the system keeps this process from AMX (%s); the same bits "
                "come from fma, more slowly\n",
                dtype, refused);
    }
    return 0;
}

int backend_plain(const Backend *backend)
{
    return !*backend->variants && !strcmp(backend->dtype, "float32");
}

int backend_check_plan(const Backend *backend, Error *error)
{
    const Watch *watch = backend->ctx.watch;
    char list[sizeof backend->variants + 2];
    snprintf(list, sizeof list, ",%s,", backend->variants);
    if (watch->error.code) {
        *error = watch->error;
        return error->code;
    }
    for (int i = 0; i < VARIANTS; i++) {
        const Ops *replaced = variant_ops(backend, i);
        size_t calls = 0;
#define OP(name, ...) calls += replaced->name ? watch->planned[OP_##name].calls : 0;
#include "ops.def"
#undef OP
        if (!calls && listed(list, i)) {
            return error_set(error, EXIT_USAGE,
                             "--kernel %s changes nothing: this run never calls that op; leave it "
                             "out",
                             variant_names[i]);
        }
    }
    return 0;
}

int backend_exact(const Backend *backend)
{
    static const char *const classes[] = {
#define VARIANT(op, variant, class, ...) class,
#include "variants.def"
#undef VARIANT
    };
    char list[sizeof backend->variants + 2];
    snprintf(list, sizeof list, ",%s,", backend->variants);
    for (int i = 0; i < VARIANTS; i++) {
        if (listed(list, i) && strcmp(classes[i], "exact") != 0) {
            return 0;
        }
    }
    return 1;
}

void backend_list_variants(FILE *out)
{
#define VARIANT(op, variant, class, what, replaced)                                                \
    if (strcmp(#op, "dtype")) {                                                                    \
        fprintf(out, "  %-32s %-6s ", #op "=" #variant, class);                                    \
        print_words(out, 42, 42, what);                                                            \
        fputc('\n', out);                                                                          \
    }
#include "variants.def"
#undef VARIANT
}
