/* amx.c on a model of the tile instructions (Intel SDM, "Intel AMX Instruction Set Reference"),
 * as CPUs that have them are rare: products are those of block_sum.h, and every instruction finds
 * the tiles configured, within their sizes. */
#include "block_sum.h"
#include "check.h"

#include <immintrin.h>
#include <string.h>

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

enum { ROWS = 32, COLUMNS = 32, DEPTH = 256 };

static uint32_t drawn = 1;

static uint16_t draw(void)
{
    drawn = drawn * 1664525u + 1013904223u;
    return bf16_round((float)(drawn >> 8) * 0x1p-23f - 1.0f);
}

/* What a product makes of one sum. */
static float expect(float sum, const uint16_t *row, const uint32_t *pairs, size_t depth)
{
    for (size_t k = 0; k < depth; k += BLOCK_LONGEST) {
        uint16_t column[BLOCK_LONGEST] = {0};
        for (size_t i = 0; i < BLOCK_LONGEST && k + i < depth; i++) {
            column[i] = (uint16_t)(pairs[(k + i) / 2 * COLUMNS] >> (k + i) % 2 * 16);
        }
        sum = block_sum(TILE32, row + k, column, BLOCK_LONGEST, sum);
    }
    return sum;
}

/* Two products between amx_begin and amx_end, as block_rows calls it. */
static void test_depth(size_t depth)
{
    static uint16_t a[ROWS][DEPTH];
    static uint32_t pairs[(DEPTH / 2 + 1) * COLUMNS];
    static float tile[ROWS][COLUMNS], expected[ROWS][COLUMNS];
    memset(a, 0, sizeof a);
    memset(pairs, 0xFF, sizeof pairs); /* NaN behind the last pair, which is not to be read */
    for (size_t m = 0; m < ROWS; m++) {
        for (size_t k = 0; k < depth; k++) {
            a[m][k] = draw();
        }
    }
    for (size_t k = 0; k < depth; k += 2) {
        for (size_t n = 0; n < COLUMNS; n++) {
            uint32_t second = k + 1 < depth ? (uint32_t)draw() << 16 : 0;
            pairs[k / 2 * COLUMNS + n] = draw() | second;
        }
    }
    for (size_t m = 0; m < ROWS; m++) {
        for (size_t n = 0; n < COLUMNS; n++) {
            float sum = tile[m][n] = bf16_widen(draw());
            for (int twice = 0; twice < 2; twice++) {
                sum = expect(sum, a[m], pairs + n, depth);
            }
            expected[m][n] = sum;
        }
    }
    amx_begin();
    amx_product(tile[0], a[0], DEPTH, pairs, depth);
    amx_product(tile[0], a[0], DEPTH, pairs, depth);
    amx_end();
    int differ = 0;
    for (size_t m = 0; m < ROWS; m++) {
        for (size_t n = 0; n < COLUMNS; n++) {
            differ += float_to_bits(tile[m][n]) != float_to_bits(expected[m][n]);
        }
    }
    CHECK(!differ, "depth %zu: %d of %d sums differ", depth, differ, ROWS * COLUMNS);
    CHECK(!tiles.faults && !tiles.configured, "depth %zu: %d instructions fault", depth,
          tiles.faults);
}

int main(void)
{
    static const size_t depths[] = {1, 2, 3, 31, 32, 33, 63, 64, 65, 95, 96, 200, 255, 256};
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        test_depth(depths[i]);
    }
    return checks_close("test_amx");
}
