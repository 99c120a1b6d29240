/* The digest by which runs from the same weights are known, whatever files these came in: SHA-256
 * of names, shapes and values in the order of the names, be they in one file or many, float32 or
 * bf16. */
#ifndef DIGEST_H
#define DIGEST_H

#include "params.h"

typedef struct DigestPart {
    const char *name;
    char *text; /* shape and digests of the blocks of values */
} DigestPart;

typedef struct Digest {
    DigestPart *parts;
    size_t count;
} Digest;

/* Adds a parameter with its values in the host's memory. */
void digest_add(Digest *digest, const Param *param, Weight values, int threads);

/* Ends it: hex gets the digest, unless it is NULL; frees what was added. */
void digest_end(char hex[65], Digest *digest);

#endif
