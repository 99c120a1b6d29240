/* amx.c on a model of the tile instructions (Intel SDM, "Intel AMX Instruction Set Reference"),
 * whose products are those of block_sum.h, and where every instruction finds the tiles configured,
 * within their sizes; and, where the CPU has them, the instructions themselves beside block_sum.h.
 *     test_amx [ROUNDS]
 * more products of each kind of operands on the CPU: 400 rounds are 34 million blocks' sums. */
#include "amx.h"
#include "base.h"
#include "block_sum.h"
#include "check.h"
#include "operands.h"

#include <immintrin.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    int configured, rows[8], bytes[8], faults;
    float value[8][16][16];
} tiles;

static void model_configure(const uint8_t *config)
{
    tiles.configured = config[0] == 1;
    for (int t = 0; t < 8; t++) {
        tiles.bytes[t] = config[16 + 2 * t] | config[17 + 2 * t] << 8;
        tiles.rows[t] = config[48 + t];
        tiles.faults += tiles.bytes[t] > 64 || tiles.rows[t] > 16;
    }
    memset(tiles.value, 0, sizeof tiles.value);
}

static void model_move(int t, char *memory, size_t stride, int store)
{
    tiles.faults += !tiles.configured;
    for (int i = 0; i < tiles.rows[t]; i++) {
        void *row = tiles.value[t][i], *at = memory + (size_t)i * stride;
        memcpy(store ? at : row, store ? row : at, (size_t)tiles.bytes[t]);
    }
}

static void model_product(int c, int a, int b)
{
    int pairs = tiles.bytes[a] / 4;
    tiles.faults += !tiles.configured || tiles.rows[c] != tiles.rows[a] ||
                    tiles.bytes[c] != tiles.bytes[b] || pairs != tiles.rows[b];
    for (int m = 0; m < tiles.rows[c]; m++) {
        for (int n = 0; n < tiles.bytes[c] / 4; n++) {
            uint16_t row[BLOCK_LONGEST], column[BLOCK_LONGEST];
            memcpy(row, tiles.value[a][m], (size_t)pairs * 4);
            for (int k = 0; k < pairs; k++) {
                memcpy(column + 2 * k, &tiles.value[b][k][n], 4);
            }
            float *sum = &tiles.value[c][m][n];
            *sum = block_sum(TILE32, row, column, 2 * pairs, *sum);
        }
    }
}

static void model_release(void)
{
    tiles.configured = 0;
}

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#define _tile_loadconfig(config)   model_configure((const uint8_t *)(config))
#define _tile_release()            model_release()
#define _tile_loadd(t, p, stride)  model_move(t, (char *)(uintptr_t)(p), stride, 0)
#define _tile_stored(t, p, stride) model_move(t, (char *)(p), stride, 1)
#define _tile_dpbf16ps(c, a, b)    model_product(c, a, b)
/* beside those of the build */
#define amx_start   model_amx_start
#define amx_begin   model_amx_begin
#define amx_end     model_amx_end
#define amx_product model_amx_product
#include "../kernels/amx.c"
#undef amx_start
#undef amx_begin
#undef amx_end
#undef amx_product

enum { ROWS = 32, COLUMNS = 32, DEPTH = 256, OUTPUTS = ROWS * COLUMNS };

/* Operands of one product, and what stands in C before and after it. */
typedef struct Product {
    size_t depth;
    uint16_t a[DEPTH / 32][ROWS][32], b[DEPTH][COLUMNS];
    uint32_t pairs[(DEPTH / 2 + 1) * COLUMNS];
    float from[ROWS][COLUMNS], expected[ROWS][COLUMNS];
} Product;

/* The upper half of an operand; few are not finite, or all sums were NaN. */
static uint16_t draw(int class, uint64_t *next)
{
    int seldom = class == NOT_FINITE && rng_word(1, (*next)++) % 512;
    return (uint16_t)(operand(seldom ? 0 : class, next) >> 16);
}

/* What a sum begins with: 0, as large as a product, or as an operand. */
static float draw_sum(int class, uint64_t *next)
{
    uint32_t kind = rng_word(1, (*next)++) % 4;
    float x = bits_to_float(operand(class, next)), y = bf16_widen(draw(class, next));
    return kind == 0 ? 0 * x : kind < 3 ? bf16_widen(draw(class, next)) * y : x;
}

static void product_expect(Product *p)
{
    for (size_t m = 0; m < ROWS; m++) {
        for (size_t n = 0; n < COLUMNS; n++) {
            float sum = p->from[m][n];
            for (size_t k = 0; k < p->depth; k += 32) {
                uint16_t column[32] = {0};
                for (size_t i = 0; i < 32 && k + i < p->depth; i++) {
                    column[i] = p->b[k + i][n];
                }
                sum = block_sum(TILE32, p->a[k / 32][m], column, 32, sum);
            }
            p->expected[m][n] = sum;
        }
    }
}

static void product_fill(Product *p, int class, size_t depth, uint64_t *next)
{
    memset(p, 0, sizeof *p);
    p->depth = depth;
    memset(p->pairs, 0xFF, sizeof p->pairs); /* NaN behind the last pair, which is not to be read */
    for (size_t k = 0; k < depth; k++) {
        int opposite = class == CANCELLING &&
                       k & 2; /* of what came two before, in the same chain */
        for (size_t m = 0; m < ROWS; m++) {
            p->a[k / 32][m][k % 32] = opposite ? p->a[(k - 2) / 32][m][(k - 2) % 32]
                                               : draw(class, next);
        }
        for (size_t n = 0; n < COLUMNS; n++) {
            p->b[k][n] = opposite ? p->b[k - 2][n] ^ 0x8000 : draw(class, next);
            uint32_t *pair = &p->pairs[k / 2 * COLUMNS + n];
            *pair = k % 2 ? *pair | (uint32_t)p->b[k][n] << 16 : p->b[k][n];
        }
    }
    for (size_t m = 0; m < ROWS; m++) {
        for (size_t n = 0; n < COLUMNS; n++) {
            p->from[m][n] = draw_sum(class, next);
        }
    }
    product_expect(p);
}

/* Outputs that differ; a NaN is one whatever its bits. */
static int differ(const Product *p, float (*out)[COLUMNS])
{
    int count = 0;
    for (size_t i = 0; i < OUTPUTS; i++) {
        float x = out[i / COLUMNS][i % COLUMNS], y = p->expected[i / COLUMNS][i % COLUMNS];
        count += float_to_bits(x) != float_to_bits(y) && !(x != x && y != y);
    }
    return count;
}

/* Three products between amx_begin and amx_end, as a task has them: from rows of their own, in place,
 * and from one row for all. */
static void test_model(size_t depth)
{
    static Product p, same;
    static float out[ROWS][COLUMNS], in_place[ROWS][COLUMNS], broadcast[ROWS][2 * COLUMNS];
    uint64_t next = depth << 32;
    product_fill(&p, 0, depth, &next);
    memcpy(in_place, p.from, sizeof in_place);
    model_amx_begin();
    model_amx_product(out[0], COLUMNS, p.from[0], COLUMNS, p.a[0][0], p.pairs, depth);
    model_amx_product(in_place[0], COLUMNS, in_place[0], COLUMNS, p.a[0][0], p.pairs, depth);
    model_amx_product(broadcast[0], 2 * COLUMNS, p.from[0], 0, p.a[0][0], p.pairs, depth);
    model_amx_end();
    int first = differ(&p, out), second = differ(&p, in_place), third = 0;
    for (size_t m = 0; m < ROWS; m++) {
        memcpy(out[m], broadcast[m], sizeof out[m]);
        memcpy(same.from[m], p.from[0], sizeof out[m]);
    }
    model_amx_begin();
    model_amx_product(same.expected[0], COLUMNS, same.from[0], COLUMNS, p.a[0][0], p.pairs, depth);
    model_amx_end();
    third = differ(&same, out);
    CHECK(!first && !second && !third, "depth %zu: %d, %d and %d of %d sums differ", depth, first,
          second, third, OUTPUTS);
    CHECK(!tiles.faults && !tiles.configured, "depth %zu: %d instructions fault", depth,
          tiles.faults);
}

/* --- the CPU's own --- */

static int native_differ(const Product *p)
{
    float out[ROWS][COLUMNS];
    amx_begin();
    amx_product(out[0], COLUMNS, p->from[0], COLUMNS, p->a[0][0], p->pairs, p->depth);
    amx_end();
    return differ(p, out);
}

static void test_class(int class, int rounds)
{
    size_t wrong = 0, zeros = 0, subnormal = 0, infinite = 0, nan = 0;
#pragma omp parallel for num_threads(3) reduction(+ : wrong, zeros, subnormal, infinite, nan)
    for (int round = 0; round < rounds; round++) {
        Product p;
        uint64_t next = (uint64_t)(class * 1000000 + round) << 32;
        product_fill(&p, class, round % 3 ? (size_t)(1 + round * 37 % DEPTH) : 32, &next);
        wrong += (size_t)native_differ(&p);
        for (size_t i = 0; i < OUTPUTS; i++) {
            float x = p.expected[i / COLUMNS][i % COLUMNS];
            zeros += x == 0;
            subnormal += x != 0 && fabsf(x) < 0x1p-126f;
            infinite += isinf(x) != 0;
            nan += x != x;
        }
    }
    size_t outputs = (size_t)rounds * OUTPUTS;
    printf("%-14s %zu outputs, %zu zeros, %zu infinite, %zu NaN: %zu differ\n", classes[class].name,
           outputs, zeros, infinite, nan, wrong);
    CHECK(!wrong && !subnormal, "%s: %zu of %zu outputs differ, %zu are subnormal",
          classes[class].name, wrong, outputs, subnormal);
}

/* Sums around 2^-126: 2^-126 + 2^-149 (1 - x), x from 1 to 2. What counts is 24 bits of it, which are
 * 2^-126 for an x of up to 1.25, though as a float32 it is the nearest for more. */
static void test_smallest(void)
{
    static Product p;
    p.depth = 32;
    for (size_t i = 0; i < ROWS; i++) {
        float factor = 1 + (float)i / 32;
        p.a[0][i][0] = p.b[0][i] = bf16_round(0x1p-63f);
        p.a[0][i][2] = bf16_round(0x1p-75f);
        p.a[0][i][4] = bf16_round(-0x1p-75f);
        p.b[2][i] = bf16_round(0x1p-74f);
        p.b[4][i] = bf16_round(0x1p-74f * factor);
        for (size_t k = 0; k < 6; k += 2) {
            p.pairs[k / 2 * COLUMNS + i] = p.b[k][i];
        }
    }
    product_expect(&p);
    int wrong = native_differ(&p);
    CHECK(!wrong && p.expected[0][8] > 0 && p.expected[0][9] == 0, "%d of %d sums at 2^-126 differ",
          wrong, OUTPUTS);
}

/* A child of fork has its parent's permission. */
static void test_child(void)
{
    Product p;
    uint64_t next = 1;
    int status = -1;
    product_fill(&p, 0, 100, &next);
    pid_t child = fork();
    if (!child) {
        _exit(native_differ(&p) != 0);
    }
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child of fork: status %d", status);
}

int main(int argc, char **argv)
{
    static const size_t depths[] = {1, 2, 3, 31, 32, 33, 63, 64, 65, 95, 96, 200, 255, 256};
    int rounds = argc > 1 ? atoi(argv[1]) : 12;
    const char *why;
    if (argc > 2 || rounds < 1) {
        fputs("usage: test_amx [ROUNDS]\n", stderr);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        test_model(depths[i]);
    }
#pragma omp parallel num_threads(3) /* threads that are there before the permission is */
    {
    }
    if (amx_start(&why)) {
        for (int class = 0; class < ALL_CLASSES; class ++) {
            test_class(class, rounds);
        }
        test_smallest();
        test_child();
    } else {
        printf("SKIPPED: the CPU's own instructions: %s\n", why ? why : "it has none");
    }
    return checks_close("test_amx");
}
