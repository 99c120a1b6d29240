#include "hash_index.h"

#include <stdlib.h>

/* The slot that has this hash, or the empty one where it belongs. */
static size_t slot_of(const HashIndex *index, uint64_t hash)
{
    size_t at = (hash * 0x9E3779B97F4A7C15u >> 20) & (index->size - 1);
    while (index->slots[at] && index->hash[index->slots[at] - 1] != hash) {
        at = (at + 1) & (index->size - 1);
    }
    return at;
}

HashIndex hash_index_make(const uint64_t *hash, size_t n, size_t *twice)
{
    HashIndex index = {.hash = hash, .size = 4};
    while (index.size < 2 * n) {
        index.size *= 2;
    }
    index.slots = memory_calloc(index.size, sizeof *index.slots);
    *twice = n;
    for (size_t i = 0; i < n; i++) {
        size_t at = slot_of(&index, hash[i]);
        if (!index.slots[at]) {
            index.slots[at] = (uint32_t)i + 1;
        } else if (*twice == n) {
            *twice = i;
        }
    }
    return index;
}

void hash_index_free(HashIndex *index)
{
    free(index->slots);
    *index = (HashIndex){0};
}

int64_t hash_index_find(const HashIndex *index, uint64_t hash)
{
    return (int64_t)index->slots[slot_of(index, hash)] - 1;
}
