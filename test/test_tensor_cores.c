/* The model of tensor_core.h beside tensor cores, bit for bit:
 *     build/test_tensor_cores FILE.safetensors...   what GPUs gave, one block an output: bf16.a and
 *                                                   bf16.b [n, 8 or 16], bf16.c and bf16.d [n], as bits
 *     build/test_tensor_cores --device NAME [ROUNDS]
 *                                                   what a device gives now, for several kinds of
 *                                                   operands, chains of blocks and both instructions
 * Without arguments: sums whose bits follow from the definition by hand. */
#include "backend.h"
#include "check.h"
#include "rng.h"
#include "safetensors.h"
#include "tensor_core.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

extern tensor_core_function tensor_core_product_sim, tensor_core_product_cuda;
extern tensor_core_kind tensor_core_of_sim, tensor_core_of_cuda;
#pragma weak tensor_core_product_cuda
#pragma weak tensor_core_of_cuda

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
        {"subnormal", {0x1p-70f, 0}, {0x1p-70f, 0}, 0x1p-149f, 0x1.008p-140f, 0x1.008p-140f},
        {"the largest", {0x1p127f, 0x1p127f}, {1, 1}, -0x1p103f, FLT_MAX, FLT_MAX},
        {"beyond", {-0x1p127f, -0x1p127f}, {1, 1}, 0, -INFINITY, -INFINITY},
    };
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
        uint16_t a[2] = {bf16(sums[i].a[0]), bf16(sums[i].a[1])};
        uint16_t b[2] = {bf16(sums[i].b[0]), bf16(sums[i].b[1])};
        float sum16 = tensor_core_dot(block16, a, b, 2, sums[i].c);
        float sum8 = tensor_core_dot(block8, a, b, 2, sums[i].c);
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
        differ += float_to_bits(tensor_core_dot(core, a, b, K, c)) != float_to_bits(d);
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

/* What operands and addends are like: bits of all signs and fractions with these exponents (biased,
 * first and how many). */
static const struct {
    const char *name;
    unsigned first, count;
} classes[] = {{"near 1", 124, 4},   {"wide", 100, 55},      {"many zeros", 124, 4},
               {"subnormal", 0, 66}, {"cancelling", 124, 4}, {"any", 30, 150},
               {"overflow", 185, 15}};
enum { CLASSES = 7, ZEROS = 2, CANCELLING = 4, SIDE = 64, VALUES = SIDE * SIDE };

/* The next operand of a class, a bf16 in the upper half; below it bits that bf16 has none for. */
static uint32_t operand(int class, uint64_t *next)
{
    uint32_t word = rng_word(1, (*next)++), other = rng_word(1, (*next)++);
    uint32_t exponent = classes[class].first + other % classes[class].count;
    if (class == ZEROS && other >> 31) {
        return word & 0x80000000u;
    }
    return (word & 0x807FFFFFu) | exponent << 23;
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

static int usage(void)
{
    fputs("usage: test_tensor_cores [FILE.safetensors... | --device NAME [ROUNDS]]\n", stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    int device = argc > 1 && !strcmp(argv[1], "--device"), rounds = argc > 3 ? atoi(argv[3]) : 200;
    if (device ? argc < 3 || argc > 4 || rounds < 1 : argc > 1 && argv[1][0] == '-') {
        return usage();
    }
    check_by_hand();
    if (device) {
        int code = check_device(argv[2], rounds);
        if (code) {
            return code;
        }
    }
    for (int i = 1; !device && i < argc; i++) {
        check_recorded(argv[i]);
    }
    return checks_close("test_tensor_cores");
}
