#include "amx.h"

/* gcc 11 and clang 12 are the first that know the instructions. */
#if defined(__x86_64__) && (__GNUC__ >= 11 || (defined(__clang__) && __clang_major__ >= 12))
#include <cpuid.h>
#include <errno.h>
#include <immintrin.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int amx_start(const char **why)
{
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18, AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 };
    unsigned a, b, c, d = 0;
    *why = NULL;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & AMX_BF16) || !(d & AMX_TILE)) {
        return 0;
    }
    if (syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA)) {
        *why = strerror(errno);
        return 0;
    }
    return 1;
}

/* Of LDTILECFG, palette 1. */
typedef struct TileConfig {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} TileConfig;

#define WITH_AMX __attribute__((target("amx-tile,amx-bf16")))

enum { SIDE = 16, WIDE = 2 * SIDE, ROW = WIDE * sizeof(float) };

/* Static: gcc believes that ldtilecfg reads the first 8 bytes alone, and leaves out what is stored
 * in the others. */
static const TileConfig config = {.palette = 1,
                                  .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
                                  .rows = {SIDE, SIDE, SIDE, SIDE, SIDE, SIDE, SIDE, SIDE}};

/* Nor does it know that loads of tiles read memory: all is written by here. */
static inline void memory_is_read(const void *p)
{
    __asm__ volatile("" ::"r"(p) : "memory");
}

WITH_AMX void amx_begin(void)
{
    _tile_loadconfig(&config);
}

WITH_AMX void amx_end(void)
{
    _tile_release();
}

WITH_AMX void amx_product(float *to, size_t to_step, const float *from, size_t from_step,
                          const uint16_t *a, const uint32_t *pairs, size_t depth)
{
    size_t row = from_step * sizeof *from;
    memory_is_read(from);
    _tile_loadd(0, from, row);
    _tile_loadd(1, from + SIDE, row);
    _tile_loadd(2, from + SIDE * from_step, row);
    _tile_loadd(3, from + SIDE * from_step + SIDE, row);
    for (size_t k = 0; k < depth; k += 32) {
        const uint16_t *rows = a + k * WIDE;
        const uint32_t *b = pairs + k / 2 * WIDE;
        uint32_t last[SIDE * WIDE];
        if (depth - k < 32) { /* zeros behind the last pair */
            size_t words = (depth - k + 1) / 2 * WIDE;
            memcpy(last, b, words * sizeof *b);
            memset(last + words, 0, sizeof last - words * sizeof *b);
            b = last;
        }
        memory_is_read(b);
        _tile_loadd(4, rows, 64);
        _tile_loadd(6, b, ROW);
        _tile_loadd(7, b + SIDE, ROW);
        _tile_loadd(5, rows + SIDE * 32, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    row = to_step * sizeof *to;
    _tile_stored(0, to, row);
    _tile_stored(1, to + SIDE, row);
    _tile_stored(2, to + SIDE * to_step, row);
    _tile_stored(3, to + SIDE * to_step + SIDE, row);
}
#else
void amx_begin(void) {}

void amx_end(void) {}

void amx_product(float *to, size_t to_step, const float *from, size_t from_step, const uint16_t *a,
                 const uint32_t *pairs, size_t depth)
{
    (void)to, (void)to_step, (void)from, (void)from_step, (void)a, (void)pairs, (void)depth;
}

int amx_start(const char **why)
{
    *why = NULL;
    return 0;
}
#endif
