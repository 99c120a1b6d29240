/* The models of block sums beside each other and beside tensor cores, bit for bit: that of
 * tensor_core.h, a second one, and kernels/block_sum.h, with which every build of the CPU is compared
 * for operands of all kinds.
 *     build/test_tensor_cores FILE.safetensors...   what GPUs gave, one block an output: bf16.a and
 *                                                   bf16.b [n, 8 or 16], bf16.c and bf16.d [n], as bits
 *     build/test_tensor_cores --device NAME [ROUNDS]
 *                                                   what a device gives now, for several kinds of
 *                                                   operands, chains of blocks and both instructions
 *     build/test_tensor_cores --wgmma [ROUNDS]      whether wgmma of compute capability 9.0 sums as
 *                                                   block16 does
 * Without arguments: sums whose bits follow from the definition by hand, and the builds. */
#include "backend.h"
#include "block_sum.h"
#include "check.h"
#include "cudasim.h"
#include "operands.h"
#include "rng.h"
#include "safetensors.h"
#include "tensor_core.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

extern tensor_core_function tensor_core_product_sim, tensor_core_product_cuda;
extern tensor_core_kind tensor_core_of_sim, tensor_core_of_cuda;
extern tensor_core_wgmma_function tensor_core_wgmma_cuda;
#pragma weak tensor_core_product_cuda
#pragma weak tensor_core_of_cuda
#pragma weak tensor_core_wgmma_cuda

static const TensorCore block16 = {16, 25}, block8 = {8, 24};

static uint16_t bf16(float x)
{
    return (uint16_t)(float_to_bits(x) >> 16);
}

static void check_by_hand(void)
{
    static const struct {
        const char *what;
        float a[2], b[2], c, sum16, sum8; /* c + a[0] b[0] + a[1] b[1] */
    } sums[] = {
        {"exact", {1, 2}, {3, 0.5f}, -1, 3, 3},
        {"not to nearest", {0x1p-12f, 0}, {0x1.8p-12f, 0}, 1, 1, 1},
        {"toward zero, not down", {-1, -0x1p-12f}, {1, 0x1.8p-12f}, 0, -1, -1},
        {"each is cut alone", {-0x1p-13f, -0x1p-13f}, {0x1p-13f, 0x1p-13f}, 1, 1, 1},
        {"what is left adds up",
         {0x1p-12f, 0x1p-12f},
         {0x1p-12f, 0x1p-12f},
         1,
         0x1.000002p0f,
         0x1.000002p0f},
        {"a bit that only 25 have", {-0x1p-12f, 0}, {0x1p-13f, 0}, 1, 0x1.fffffep-1f, 1},
        {"products as they come", {1.5f, 1.5f}, {1.5f, -1.5f}, 0x1p-25f, 0x1p-25f, 0},
        {"a zero is as high as its factors", {0, 0}, {0x1p127f, 0}, 0x1p-30f, 0, 0},
        {"a sum of zeros", {-0.0f, 0}, {1, 1}, -0.0f, 0, 0},
        {"nothing is left", {1, 0}, {1, 0}, -1, 0, 0},
        {"nothing is left of large ones", {1000, -1000}, {1000, 1000}, 0, 0, 0},
        {"subnormal", {0x1p-70f, 0}, {0x1p-70f, 0}, 0x1p-149f, 0x1.008p-140f, 0x1.008p-140f},
        {"the largest", {0x1p127f, 0x1p127f}, {1, 1}, -0x1p103f, FLT_MAX, FLT_MAX},
        {"beyond", {-0x1p127f, -0x1p127f}, {1, 1}, 0, -INFINITY, -INFINITY},
    };
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
        uint16_t a[2] = {bf16(sums[i].a[0]), bf16(sums[i].a[1])};
        uint16_t b[2] = {bf16(sums[i].b[0]), bf16(sums[i].b[1])};
        float sum16 = tensor_core_dot(block16, a, b, 2, sums[i].c);
        float sum8 = tensor_core_dot(block8, a, b, 2, sums[i].c);
        CHECK(float_to_bits(sum16) == float_to_bits(block_sum(BLOCK16, a, b, 2, sums[i].c)) &&
                  float_to_bits(sum8) == float_to_bits(block_sum(BLOCK8, a, b, 2, sums[i].c)),
              "%s: two models", sums[i].what);
        CHECK(float_to_bits(sum16) == float_to_bits(sums[i].sum16), "block16, %s: %a, wanted %a",
              sums[i].what, sum16, sums[i].sum16);
        CHECK(float_to_bits(sum8) == float_to_bits(sums[i].sum8), "block8, %s: %a, wanted %a",
              sums[i].what, sum8, sums[i].sum8);
    }
    /* halves of a last bit in products 0 and 8, which only one block adds */
    uint16_t a[16] = {[0] = bf16(0x1p-12f), [8] = bf16(0x1p-12f)};
    CHECK(tensor_core_dot(block16, a, a, 16, 1) == 0x1.000002p0f, "one block of 16");
    CHECK(tensor_core_dot(block8, a, a, 16, 1) == 1, "two blocks of 8");
    CHECK(tensor_core_dot(block16, a, a, 16, INFINITY) == INFINITY, "an infinite sum stays");
}

/* What block_sum.h says of tile, of values that are not finite, and of rounding to bf16. */
static void check_definition(void)
{
    static const struct {
        const char *what;
        float a[3], b[3], c, sum;
    } tiles[] = {
        {"two chains", {1, 0x1p-24f, 0x1p-24f}, {1, 1, 1}, 0, 1},
        {"each rounded once", {1, 0x1p-24f, 0x1p-12f}, {1, 1, 0x1p-12f}, 0x1p-23f, 0x1.000002p0f},
        {"no subnormal operand", {0x1p-127f, 0, 0}, {0x1p127f, 0, 0}, 1, 1},
        {"no subnormal addend", {0}, {0}, 0x1p-127f, 0},
        {"no subnormal sum", {0x1p-100f, 0, 0}, {0x1p-27f, 0, 0}, 0, 0},
        {"below 2^-126 in 24 bits", {0x1p-63f, 0, -0x1.8p-75f}, {0x1p-63f, 0, 0x1p-76f}, 0, 0},
        {"2^-126 in 24 bits", {0x1p-63f, 0, -0x1p-75f}, {0x1p-63f, 0, 0x1p-76f}, 0, 0x1p-126f},
        {"zeros behind -0", {-0x1p-100f, -0x1p-100f, 0}, {0x1p-50f, 0x1p-50f, 0}, -0.0f, 0},
    };
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
        uint16_t a[3], b[3];
        for (int k = 0; k < 3; k++) {
            a[k] = bf16(tiles[i].a[k]);
            b[k] = bf16(tiles[i].b[k]);
        }
        float sum = block_sum(TILE32, a, b, 3, tiles[i].c);
        CHECK(float_to_bits(sum) == float_to_bits(tiles[i].sum), "tile, %s: %a, wanted %a",
              tiles[i].what, sum, tiles[i].sum);
    }
    static const struct {
        float a[2], b[2], c, sum; /* NaN: one with any bits */
    } infinite[] = {{{INFINITY, 1}, {2, 1}, 0, INFINITY},
                    {{INFINITY, 1}, {-0x1p-130f, 1}, 0x1p127f, -INFINITY},
                    {{INFINITY, 1}, {0, 1}, 0, NAN},
                    {{INFINITY, -INFINITY}, {1, 1}, 0, NAN},
                    {{INFINITY, 1}, {1, 1}, -INFINITY, NAN},
                    {{INFINITY, 1}, {1, 1}, INFINITY, INFINITY},
                    {{1, NAN}, {1, 0}, 0, NAN},
                    {{1, 1}, {1, 1}, NAN, NAN},
                    {{0x1p127f, 0x1p127f}, {0x1p127f, -0x1p127f}, -INFINITY, -INFINITY}};
    for (size_t i = 0; i < sizeof infinite / sizeof *infinite; i++) {
        for (int kind = 0; kind < 2; kind++) {
            uint16_t a[2] = {bf16_round(infinite[i].a[0]), bf16_round(infinite[i].a[1])};
            uint16_t b[2] = {bf16_round(infinite[i].b[0]), bf16_round(infinite[i].b[1])};
            float sum = block_sum(kind ? BLOCK8 : BLOCK16, a, b, 2, infinite[i].c);
            CHECK(sum == infinite[i].sum || (sum != sum && infinite[i].sum != infinite[i].sum),
                  "sum %zu that is not finite: %a, wanted %a", i, sum, infinite[i].sum);
        }
    }
    static const struct {
        float x;
        uint16_t bf16;
    } rounded[] = {{1, 0x3F80},
                   {0x1.01p0f, 0x3F80},
                   {0x1.03p0f, 0x3F82},
                   {0x1.010002p0f, 0x3F81},
                   {-0x1.03p0f, 0xBF82},
                   {0x1p-134f, 0},
                   {0x1.8p-133f, 2},
                   {FLT_MAX, 0x7F80},
                   {-0x1.FEFFFEp127f, 0xFF7F},
                   {-0.0f, 0x8000},
                   {-INFINITY, 0xFF80}};
    for (size_t i = 0; i < sizeof rounded / sizeof *rounded; i++) {
        uint16_t x = bf16_round(rounded[i].x);
        CHECK(x == rounded[i].bf16, "%a rounds to %x, wanted %x", rounded[i].x, x, rounded[i].bf16);
    }
    for (uint32_t nan = 0x7F800001u; nan < 0x7FFFFFFFu; nan += 0x1001) {
        float back = bf16_widen(bf16_round(bits_to_float(nan)));
        CHECK(back != back, "the bf16 of a NaN is %a", back);
    }
}

static int all_zero(const Tensor *tensor)
{
    size_t zeros = 0;
    while (zeros < tensor->bytes && !tensor->data[zeros]) {
        zeros++;
    }
    return zeros == tensor->bytes;
}

/* How many of the outputs that a GPU gave are another one's by the model. */
static size_t recorded_differ(TensorCore core, const Tensor *const tensors[4])
{
    size_t n = tensors[3]->count, K = tensors[0]->count / n, differ = 0;
    for (size_t i = 0; i < n; i++) {
        uint16_t a[16], b[16];
        float c, d;
        memcpy(a, tensors[0]->data + i * K * sizeof *a, K * sizeof *a);
        memcpy(b, tensors[1]->data + i * K * sizeof *b, K * sizeof *b);
        memcpy(&c, tensors[2]->data + i * sizeof c, sizeof c);
        memcpy(&d, tensors[3]->data + i * sizeof d, sizeof d);
        float sum = tensor_core_dot(core, a, b, K, c);
        CHECK(float_to_bits(sum) ==
                  float_to_bits(block_sum((BlockSum){(int)K, core.fraction}, a, b, (int)K, c)),
              "output %zu: two models", i);
        differ += float_to_bits(sum) != float_to_bits(d);
    }
    return differ;
}

/* A file of outputs that no model with one bit more or less has too. */
static void check_recorded(const char *path)
{
    static const char *const names[] = {"bf16.a", "bf16.b", "bf16.c", "bf16.d"};
    const Tensor *tensors[4];
    Safetensors st;
    Error error;
    if (safetensors_open(&st, path, &error)) {
        CHECK(0, "%s", error.text);
        return;
    }
    int fits = 1;
    for (int i = 0; i < 4; i++) {
        tensors[i] = safetensors_find(&st, names[i]);
        fits = fits && tensors[i] && tensors[i]->dtype == (i < 2 ? DTYPE_U16 : DTYPE_U32) &&
               tensors[i]->rank == (i < 2 ? 2 : 1) &&
               tensors[i]->shape[0] == tensors[0]->shape[0] &&
               (i > 1 || tensors[i]->shape[1] == 8 || tensors[i]->shape[1] == 16);
    }
    fits = fits && tensors[3]->count && tensors[0]->count == tensors[1]->count;
    CHECK(fits, "%s: not bf16.a, .b [n, 8 or 16] of U16 and bf16.c, .d [n] of U32", path);
    if (fits && all_zero(tensors[0])) {
        printf("SKIPPED: %s: its operands are lost: bf16.a is zero throughout\n", path);
    } else if (fits) {
        TensorCore core = tensors[0]->shape[1] == 16 ? block16 : block8, more = core, less = core;
        more.fraction++;
        less.fraction--;
        size_t n = tensors[3]->count, differ = recorded_differ(core, tensors);
        size_t differ_more = recorded_differ(more, tensors);
        size_t differ_less = recorded_differ(less, tensors);
        printf("%s: %zu outputs of blocks of %d: %zu differ; %zu with %d bits, %zu with %d\n", path,
               n, core.length, differ, differ_less, less.fraction, differ_more, more.fraction);
        CHECK(differ == 0, "%s: %zu of %zu outputs differ", path, differ, n);
        /* 3 of 100, or the file would not tell these models apart */
        CHECK(differ_more * 100 >= n * 3 && differ_less * 100 >= n * 3,
              "%s: %d or %d bits would do as well", path, less.fraction, more.fraction);
    }
    safetensors_close(&st);
}

enum { SIDE = 64, VALUES = SIDE * SIDE };

/* Outputs of every build by every dtype, of operands of every class, beside the definition; of finite
 * ones beside the other model too. The emulator is a device of one kind or the other. */
static void check_builds(void)
{
    enum { M = 7, N = 37, K = 83 };
    static const struct {
        const char *name;
        BlockSum sum;
        TensorCore core;
    } dtypes[] = {{"bf16-block16", BLOCK16, {16, 25}},
                  {"bf16-block8", BLOCK8, {8, 24}},
                  {"bf16-tile", TILE32, {0, 0}}};
    static float x[M * K], weight[N * K], start[M * N], out[M * N];
    const char *builds[4];
    int count = backend_builds(builds);
    builds[count++] = "sim";
    uint64_t next = 1 << 20;
    for (int trial = 0; trial < 4 * ALL_CLASSES; trial++) {
        int class = trial / 4;
        for (int i = 0; i < M * K; i++) {
            x[i] = bits_to_float(operand(class, &next) & 0xFFFF0000u);
            x[i] = class == CANCELLING && i % K % 2 ? x[i - 1] : x[i];
        }
        if (trial % 4 == 0 && class == 0) { /* a NaN that rounding alone would make -0 */
            x[0] = bits_to_float(0x7FFFFFFFu);
        }
        for (int i = 0; i < N * K; i++) {
            weight[i] = bits_to_float(operand(class, &next) & 0xFFFF0000u);
            weight[i] = class == CANCELLING && i % K % 2 ? -weight[i - 1] : weight[i];
        }
        for (int i = 0; i < M * N; i++) {
            start[i] = trial % 2 ? bits_to_float(operand(class, &next)) : 0;
        }
        for (int d = 0; d < 3 * count; d++) {
            size_t differ = 0, models = 0;
            BlockSum sum = dtypes[d % 3].sum;
            Backend backend;
            Error error;
            int cpu = d / 3 < count - 1;
            cudasim_capability = trial % 2 ? 80 : 90;
            CHECK(!backend_init(&backend, cpu ? "cpu" : "sim", cpu ? builds[d / 3] : "auto", 1,
                                &error),
                  "%s", error.text);
            if (backend_choose_dtype(&backend, dtypes[d % 3].name, &error)) {
                CHECK(!cpu && !sum.fraction, "%s", error.text);
                backend_free(&backend);
                continue;
            }
            backend_reserve(&backend, matmul_scratch(M, N, K));
            memcpy(out, start, sizeof out);
            /* a weight is read along its rows or its columns */
            if (trial % 4 < 2) {
                for (int m = 0; m < M; m++) { /* from a bias */
                    backend.ops.matmul_forward(&backend.ctx, out + m * N, x + m * K,
                                               (Weight){.f32 = weight}, start + m * N, 1, K, N);
                }
            } else {
                static float turned[K * N];
                for (int i = 0; i < K * N; i++) {
                    turned[i] = weight[i % N * K + i / N];
                }
                backend.ops.matmul_backward_input(&backend.ctx, out, x, (Weight){.f32 = turned}, M,
                                                  N, K, 1);
            }
            CHECK(!backend_wait(&backend, &error), "%s", error.text);
            for (int i = 0; i < M * N; i++) {
                uint16_t a[K], b[K];
                int finite = 1;
                float c = start[i];
                for (int k = 0; k < K; k++) {
                    a[k] = bf16(x[i / N * K + k]);
                    b[k] = bf16(weight[i % N * K + k]);
                    finite &= (a[k] & 0x7F80) < 0x7F80 && (b[k] & 0x7F80) < 0x7F80;
                }
                for (int k = 0; k < K; k += sum.length) {
                    c = block_sum(sum, a + k, b + k, K - k < sum.length ? K - k : sum.length, c);
                }
                differ += float_to_bits(c) != float_to_bits(out[i]) &&
                          !(c != c && out[i] != out[i]);
                if (sum.fraction && finite && start[i] == start[i]) {
                    float other = tensor_core_dot(dtypes[d % 3].core, a, b, K, start[i]);
                    models += float_to_bits(c) != float_to_bits(other) && other == other;
                }
            }
            CHECK(!differ, "%s, %s, %s: %zu of %d outputs differ", builds[d / 3],
                  dtypes[d % 3].name, classes[class].name, differ, M * N);
            CHECK(!models, "%s, %s: two models differ in %zu of %d outputs", dtypes[d % 3].name,
                  classes[class].name, models, M * N);
            backend_free(&backend);
        }
    }
}

/* Side by side on the device: SIDE x SIDE outputs over SIDE products. */
typedef struct Product {
    uint16_t a[VALUES], b[VALUES];
    float c[VALUES], d[VALUES];
} Product;

static void product_fill(Product *p, int class, int with_c, uint64_t *next)
{
    for (int i = 0; i < VALUES; i++) {
        p->a[i] = (uint16_t)(operand(class, next) >> 16);
        p->b[i] = (uint16_t)(operand(class, next) >> 16);
        uint32_t c = operand(class, next);
        p->c[i] = with_c ? bits_to_float(c) : 0;
        if (class == CANCELLING && i % 2) {
            p->a[i] = p->a[i - 1];
            p->b[i] = p->b[i - 1] ^ 0x8000;
        }
    }
}

static size_t product_differs(const Product *p, TensorCore core)
{
    size_t differ = 0;
#pragma omp parallel for reduction(+ : differ)
    for (int i = 0; i < VALUES; i++) {
        float x = tensor_core_dot(core, p->a + i / SIDE * SIDE, p->b + i % SIDE * SIDE, SIDE,
                                  p->c[i]);
        int nan = x != x && p->d[i] != p->d[i];
        differ += !nan && float_to_bits(x) != float_to_bits(p->d[i]);
    }
    return differ;
}

static int check_device(const char *name, int rounds)
{
    Backend backend;
    Error error;
    int code = backend_init(&backend, name, "auto", 0, &error);
    int cuda = !code && !strcmp(backend.device->name, "cuda");
    if (!code && !cuda && strcmp(backend.device->name, "sim") != 0) {
        code = error_set(&error, EXIT_UNAVAILABLE, "--device %s has no tensor cores", name);
        backend_free(&backend);
    }
    if (code) {
        fprintf(stderr, "test_tensor_cores: %s\n", error.text);
        return code;
    }
    tensor_core_function *product = cuda ? tensor_core_product_cuda : tensor_core_product_sim;
    tensor_core_kind *kind = cuda ? tensor_core_of_cuda : tensor_core_of_sim;
    const Device *device = backend.device;
    Product *p = memory_alloc(1, sizeof *p);
    Product *there = device->alloc(sizeof *there);
    uint64_t next = 0;
    size_t all = 0, all_differ = 0;
    for (int class = 0; class < CLASSES; class ++) {
        for (int k = 8; k <= 16; k += 8) {
            size_t differ = 0;
            for (int round = 0; round < rounds; round++) {
                product_fill(p, class, round % 2, &next);
                device->put(there, p, sizeof *p);
                product(&backend.ctx, k, there->c, there->a, there->b, SIDE, SIDE, SIDE);
                device->get(p->d, there->c, sizeof p->d);
                CHECK(!backend_wait(&backend, &error), "%s", error.text);
                differ += product_differs(p, kind(k));
            }
            size_t outputs = (size_t)rounds * VALUES;
            CHECK(differ == 0, "%s, mma.k%d: %zu of %zu outputs differ", classes[class].name, k,
                  differ, outputs);
            printf("%-10s mma.k%-2d %zu outputs over %d products, %zu differ\n",
                   classes[class].name, k, outputs, SIDE, differ);
            all += outputs;
            all_differ += differ;
        }
    }
    printf("%s: %zu outputs of tensor cores, %zu differ from the model\n", backend.machine, all,
           all_differ);
    device->release(there, sizeof *there);
    free(p);
    backend_free(&backend);
    return 0;
}

/* Sums of small integers are exact in any order: that they are wrong means operands in wrong places,
 * and nothing about how wgmma sums. */
static void fill_integers(Product *p, uint64_t *next)
{
    for (int i = 0; i < VALUES; i++) {
        p->a[i] = bf16((float)(rng_word(1, (*next)++) % 17) - 8);
        p->b[i] = bf16((float)(rng_word(1, (*next)++) % 17) - 8);
        p->c[i] = (float)(rng_word(1, (*next)++) % 1000);
    }
}

static int check_wgmma(int rounds)
{
    Backend backend;
    Error error;
    int code = backend_init(&backend, "cuda", "auto", 0, &error);
    if (!code && (!tensor_core_wgmma_cuda || backend.ctx.capability != 90)) {
        code = error_set(&error, EXIT_UNAVAILABLE, "wgmma: %s",
                         tensor_core_wgmma_cuda ? "compute capability 9.0 alone has it"
                                                : "nvcc does not know sm_90a");
        backend_free(&backend);
    }
    if (code) {
        fprintf(stderr, "test_tensor_cores: %s\n", error.text);
        return code;
    }
    const Device *device = backend.device;
    Product *p = memory_alloc(1, sizeof *p);
    Product *there = device->alloc(sizeof *there);
    uint64_t next = 0;
    size_t all = 0, all_differ = 0, misplaced = 0;
    for (int class = -1; class < CLASSES; class ++) {
        for (int columns = 8; columns <= 64; columns += 56) {
            size_t differ = 0;
            for (int round = 0; round < (class < 0 ? 1 : rounds); round++) {
                if (class < 0) {
                    fill_integers(p, &next);
                } else {
                    product_fill(p, class, round % 2, &next);
                }
                device->put(there, p, sizeof *p);
                CHECK(tensor_core_wgmma_cuda(&backend.ctx, columns, there->c, there->a, there->b,
                                             SIDE, SIDE, SIDE),
                      "wgmma: the launch was refused");
                device->get(p->d, there->c, sizeof p->d);
                CHECK(!backend_wait(&backend, &error), "%s", error.text);
                differ += product_differs(p, block16);
            }
            size_t outputs = class < 0 ? VALUES : (size_t)rounds * VALUES;
            printf("%-10s wgmma.n%-2d %zu outputs over %d products, %zu differ\n",
                   class < 0 ? "integers" : classes[class].name, columns, outputs, SIDE, differ);
            misplaced += class < 0 ? differ : 0;
            all += class < 0 ? 0 : outputs;
            all_differ += class < 0 ? 0 : differ;
        }
    }
    CHECK(!misplaced, "wgmma: operands lie in wrong places: nothing is known of its sums");
    CHECK(misplaced || !all_differ, "wgmma does not sum as block16: %zu of %zu outputs differ",
          all_differ, all);
    printf("%s: %zu outputs of wgmma, %zu differ from block16\n", backend.machine, all, all_differ);
    device->release(there, sizeof *there);
    free(p);
    backend_free(&backend);
    return 0;
}

static int usage(void)
{
    fputs("usage: test_tensor_cores [FILE.safetensors... | --device NAME [ROUNDS] | "
          "--wgmma [ROUNDS]]\n",
          stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    int device = argc > 1 && !strcmp(argv[1], "--device"),
        wgmma = argc > 1 && !strcmp(argv[1], "--wgmma"), files = 1 + 2 * device + wgmma,
        rounds = (device || wgmma) && argc > files ? atoi(argv[files]) : 200;
    if (device || wgmma ? argc < files || argc > files + 1 || rounds < 1
                        : argc > 1 && argv[1][0] == '-') {
        return usage();
    }
    check_by_hand();
    check_definition();
    if (argc == 1) {
        check_builds();
    }
    if (device || wgmma) {
        int code = wgmma ? check_wgmma(rounds) : check_device(argv[2], rounds);
        if (code) {
            return code;
        }
    }
    for (int i = 1; !device && !wgmma && i < argc; i++) {
        check_recorded(argv[i]);
    }
    return checks_close("test_tensor_cores");
}
