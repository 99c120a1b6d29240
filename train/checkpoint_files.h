/* The files of a checkpoint, as those who write and read them know them (docs/FORMATS.md). */
#ifndef CHECKPOINT_FILES_H
#define CHECKPOINT_FILES_H

#include "checkpoint.h"
#include "safetensors.h"

extern const char checkpoint_format[], checkpoint_version[];
extern const char checkpoint_manifest[], checkpoint_numbers[], checkpoint_logged[],
    checkpoint_weights[], checkpoint_optimizer[], checkpoint_kept[], checkpoint_history[];

/* An arena of a State, parameter by parameter, and what stands before the parameters' names. */
typedef struct Arena {
    const char *prefix;
    float *values;
    int squares; /* no value is below 0 */
} Arena;

/* An array of the host. */
typedef struct Array {
    const char *name;
    DType dtype;
    int rank;
    size_t shape[3];
    void *values;
} Array;

enum { CONTENT_ARRAYS = 3, CHECKPOINT_CONTENTS = 4 };

/* What a file of tensors has. */
typedef struct Content {
    const char *name;
    Arena arenas[2];              /* values NULL: not there */
    Array arrays[CONTENT_ARRAYS]; /* name NULL: not there */
} Content;

/* The files of a state; the third is there behind an evaluation, the fourth with --epoch-preds.
 * Returns how many. */
int checkpoint_contents(Content list[CHECKPOINT_CONTENTS], const Setup *setup, const State *state);

/* What the manifest says of a file. */
json_t *checkpoint_entry(size_t size, const char *xxh3);

#endif
