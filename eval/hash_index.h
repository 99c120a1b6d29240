/* Rows by the hash of their id: open addressing, for sorting would take most of the time of
 * reading. */
#ifndef HASH_INDEX_H
#define HASH_INDEX_H

#include "base.h"

typedef struct HashIndex {
    const uint64_t *hash; /* [n] not owned */
    uint32_t *slots;      /* 1 + row, 0 for empty; freed by hash_index_free */
    size_t size;          /* a power of 2, at least 2 n */
} HashIndex;

/* *twice is the first row whose hash an earlier row has, or n. */
HashIndex hash_index_make(const uint64_t *hash, size_t n, size_t *twice);
void hash_index_free(HashIndex *index);

/* The row with this hash, or -1. */
int64_t hash_index_find(const HashIndex *index, uint64_t hash);

#endif
