/* The digest by which runs from the same weights are known, whatever files these came in. */
#include "model.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1 << 16 }; /* values hashed at a time, by one thread */

typedef struct Block {
    const Param *param;
    size_t first, count;
    char hex[65];
} Block;

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const Param *const *)a)->name, (*(const Param *const *)b)->name);
}

/* Values that all are bf16 numbers are hashed as such, in whatever type the file has them. */
static void hash_block(Block *block)
{
    Weight x = block->param->weight;
    if (x.bf16) {
        sha256_hex(block->hex, x.bf16 + block->first, block->count * sizeof *x.bf16);
        return;
    }
    uint16_t high[BLOCK];
    uint32_t low = 0;
    for (size_t i = 0; i < block->count; i++) {
        uint32_t bits;
        memcpy(&bits, x.f32 + block->first + i, sizeof bits);
        high[i] = (uint16_t)(bits >> 16);
        low |= bits & 0xFFFFu;
    }
    if (low) {
        sha256_hex(block->hex, x.f32 + block->first, block->count * sizeof *x.f32);
    } else {
        sha256_hex(block->hex, high, block->count * sizeof *high);
    }
}

void model_sha256(char hex[65], const Model *model)
{
    const Params *params = &model->params;
    const Param **stored = memory_calloc((size_t)params->count, sizeof *stored);
    size_t count = 0, blocks = 0, used = 0, at = 0;
    for (int i = 0; i < params->count; i++) {
        if (params->list[i].stored) {
            stored[count++] = &params->list[i];
            blocks += params->list[i].count / BLOCK + 1;
        }
    }
    qsort(stored, count, sizeof *stored, by_name);
    Block *list = memory_calloc(blocks, sizeof *list);
    for (size_t i = 0; i < count; i++) {
        for (size_t first = 0; first < stored[i]->count; first += BLOCK) {
            size_t left = stored[i]->count - first;
            list[used++] = (Block){stored[i], first, left < BLOCK ? left : BLOCK, ""};
        }
    }
#pragma omp parallel for schedule(dynamic) num_threads(model->backend->ctx.threads)
    for (size_t b = 0; b < used; b++) {
        hash_block(&list[b]);
    }
    char *text = memory_alloc(count * (sizeof stored[0]->name + 32) + used * 66 + 1, 1);
    *text = 0;
    for (size_t b = 0; b < used; b++) {
        const Param *param = list[b].param;
        if (!list[b].first) {
            at += (size_t)sprintf(text + at, "%s %d %d\n", param->name, param->shape[0],
                                  param->shape[1]);
        }
        at += (size_t)sprintf(text + at, "%s\n", list[b].hex);
    }
    sha256_hex(hex, text, at);
    free(text);
    free(list);
    free(stored);
}
