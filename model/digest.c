#include "digest.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1 << 16 }; /* values hashed at a time, by one thread */

/* Values that all are bf16 numbers are hashed as such, in whatever type the file has them. */
static void hash_block(char hex[65], Weight x, size_t first, size_t count)
{
    if (x.bf16) {
        sha256_hex(hex, x.bf16 + first, count * sizeof *x.bf16);
        return;
    }
    uint16_t high[BLOCK];
    uint32_t low = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, x.f32 + first + i, sizeof bits);
        high[i] = (uint16_t)(bits >> 16);
        low |= bits & 0xFFFFu;
    }
    if (low) {
        sha256_hex(hex, x.f32 + first, count * sizeof *x.f32);
    } else {
        sha256_hex(hex, high, count * sizeof *high);
    }
}

void digest_add(Digest *digest, const Param *param, Weight values, int threads)
{
    enum { LINE = 65 };
    size_t blocks = (param->count + BLOCK - 1) / BLOCK;
    char *text = memory_alloc(sizeof param->name + 32 + blocks * LINE, 1);
    size_t head = (size_t)sprintf(text, "%s %d %d\n", param->name, param->shape[0],
                                  param->shape[1]);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (size_t b = 0; b < blocks; b++) {
        size_t left = param->count - b * BLOCK;
        char hex[65], *line = text + head + b * LINE;
        hash_block(hex, values, b * BLOCK, left < BLOCK ? left : BLOCK);
        memcpy(line, hex, LINE - 1);
        line[LINE - 1] = '\n';
    }
    text[head + blocks * LINE] = 0;
    digest->parts = memory_realloc(digest->parts, digest->count + 1, sizeof *digest->parts);
    digest->parts[digest->count++] = (DigestPart){param->name, text};
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const DigestPart *)a)->name, ((const DigestPart *)b)->name);
}

void digest_end(char hex[65], Digest *digest)
{
    size_t size = 0;
    for (size_t i = 0; i < digest->count; i++) {
        size += strlen(digest->parts[i].text);
    }
    char *all = memory_alloc(size + 1, 1), *at = all;
    if (digest->count) {
        qsort(digest->parts, digest->count, sizeof *digest->parts, by_name);
    }
    for (size_t i = 0; i < digest->count; i++) {
        size_t length = strlen(digest->parts[i].text);
        at = (char *)memcpy(at, digest->parts[i].text, length) + length;
        free(digest->parts[i].text);
    }
    if (hex) {
        sha256_hex(hex, all, size);
    }
    free(all);
    free(digest->parts);
    *digest = (Digest){0};
}
