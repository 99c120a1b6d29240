/* Memory between inaccessible pages: whoever reads or writes behind its end is named and ends the
 * program. Or memory that a device shares, between bytes that are known. */
#ifndef GUARDED_H
#define GUARDED_H

#include "device.h"

#include <stddef.h>

typedef struct Guarded {
    const char *name;
    unsigned char *data;
    size_t bytes;
    unsigned char *map;       /* of all pages */
    size_t guard, accessible; /* bytes before the accessible ones, and of those */
    const Device *device;     /* whose memory it is, or NULL */
} Guarded;

/* data is a multiple of alignment, at most 64; up to alignment - 1 bytes behind its end are
 * accessible, and up to a page before it. NULL is freed too. device: NULL, or what shares it: then
 * nothing is inaccessible. */
Guarded *guarded_alloc(const char *name, size_t bytes, size_t alignment, const Device *device);
void guarded_free(Guarded *memory);

/* Whether nobody has written to the accessible bytes that are not its own. */
int guarded_intact(const Guarded *memory);

/* From now on a bad access ends the program with a line that names the memory beside it. */
void guarded_start(void);

/* What is being run, for that line, until NULL is given. */
void guarded_begin(const char *what);

#endif
