/* The one container of seedbed: a strict reader and writer of safetensors files.
 *
 * A file is a u64 little-endian header length, a JSON header and raw little-endian row-major
 * tensors (https://github.com/huggingface/safetensors, "Format"). The reader is stricter than the
 * reference where that one lets two readers disagree: duplicate names and keys, and a NUL in a
 * name, are refused too. docs/FORMATS.md has the list. */
#ifndef SAFETENSORS_H
#define SAFETENSORS_H

#include "base.h"
#include "json.h"

typedef enum DType {
    DTYPE_BOOL,
    DTYPE_U8,
    DTYPE_I8,
    DTYPE_F8_E5M2,
    DTYPE_F8_E4M3,
    DTYPE_U16,
    DTYPE_I16,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_U32,
    DTYPE_I32,
    DTYPE_F32,
    DTYPE_U64,
    DTYPE_I64,
    DTYPE_F64,
    DTYPE_COUNT
} DType;

const char *dtype_name(DType dtype);

typedef struct Tensor {
    const char *name;
    DType dtype;
    int rank;
    const size_t *shape;       /* [rank] */
    size_t count, bytes;       /* elements (1 for a scalar), and count times its size */
    const unsigned char *data; /* in the mapped file; may be unaligned: read it with memcpy */
} Tensor;

typedef struct Safetensors {
    char *path;
    File file;
    json_t *header;         /* owns the names */
    const json_t *metadata; /* object of strings, or NULL */
    size_t data_offset;     /* of the first tensor byte in the file */
    Tensor *tensors;        /* [count], sorted by name */
    size_t count;
    size_t *shapes; /* storage of all shapes */
} Safetensors;

/* Maps and checks a file; every tensor lies inside it. Errors: those of file_map, 65 with path,
 * offset and reason. */
int safetensors_open(Safetensors *st, const char *path, Error *error);
void safetensors_close(Safetensors *st);

/* NULL if there is none of that name. */
const Tensor *safetensors_find(const Safetensors *st, const char *name);
const char *safetensors_meta(const Safetensors *st, const char *key);

/* Copies a tensor to float32: F32, F64 (rounded), F16 and BF16 (exact). Returns 0, or 65 for
 * another type. */
int tensor_to_float(float *out, const Tensor *tensor, const char *path, Error *error);

/* What safetensors_write takes: row-major native data, not owned. Where there is a read it fills
 * values with those from first on when their turn comes, a part of the tensor at a time. */
typedef struct TensorSource {
    const char *name;
    DType dtype;
    int rank;
    size_t shape[4];
    const void *data;
    int (*read)(const struct TensorSource *source, void *values, size_t first, size_t count,
                Error *error);
    const void *user; /* of read */
} TensorSource;

/* Where the bytes of a file go, one piece behind the other. */
typedef int (*SafetensorsSink)(void *user, const void *bytes, size_t size, Error *error);

/* Gives a sink what safetensors_write would write into the file of this path. Errors: those of the
 * sink and of reading. */
int safetensors_put(const char *path, TensorSource *sources, size_t count, json_t *metadata,
                    SafetensorsSink sink, void *user, Error *error);

/* Writes a file under a temporary name and renames it. Tensors are ordered by size of type
 * (descending), then name; the data is aligned to 8 bytes. metadata: object of strings or NULL. If
 * it has the key "data_sha256", its value is replaced by the digest of all bytes after the header,
 * and no source may have a read.
 * The sources are reordered. Errors: 73, 74, 77. */
int safetensors_write(const char *path, TensorSource *sources, size_t count, json_t *metadata,
                      Error *error);

#endif
