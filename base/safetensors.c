#include "safetensors.h"

#include <stdlib.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the file format is little-endian, and so must the machine be"
#endif

enum { HEADER_LIMIT = 100000000 };

static const struct {
    const char *name;
    size_t size;
} dtypes[DTYPE_COUNT] = {
    [DTYPE_BOOL] = {"BOOL", 1},       [DTYPE_U8] = {"U8", 1},           [DTYPE_I8] = {"I8", 1},
    [DTYPE_F8_E5M2] = {"F8_E5M2", 1}, [DTYPE_F8_E4M3] = {"F8_E4M3", 1}, [DTYPE_U16] = {"U16", 2},
    [DTYPE_I16] = {"I16", 2},         [DTYPE_F16] = {"F16", 2},         [DTYPE_BF16] = {"BF16", 2},
    [DTYPE_U32] = {"U32", 4},         [DTYPE_I32] = {"I32", 4},         [DTYPE_F32] = {"F32", 4},
    [DTYPE_U64] = {"U64", 8},         [DTYPE_I64] = {"I64", 8},         [DTYPE_F64] = {"F64", 8},
};

const char *dtype_name(DType dtype)
{
    return dtypes[dtype].name;
}

static int read_size(size_t *size, const json_t *value)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return -1;
    }
    *size = (size_t)json_integer_value(value);
    return 0;
}

static int read_entry(Tensor *tensor, size_t *shape, size_t *begin, const char *name,
                      const json_t *entry, const Safetensors *st, Error *error)
{
    const char *path = st->path;
    const json_t *dtype = json_object_get(entry, "dtype"), *dims = json_object_get(entry, "shape");
    const json_t *offsets = json_object_get(entry, "data_offsets");
    if (!json_is_object(entry) || json_object_size(entry) != 3 || !json_is_string(dtype) ||
        !json_is_array(dims) || !json_is_array(offsets) || json_array_size(offsets) != 2) {
        return REFUSE("%s: offset 8: tensor '%s' needs exactly dtype, shape and two data_offsets; "
                      "get the file again",
                      path, name);
    }
    int type = 0;
    while (type < DTYPE_COUNT && strcmp(json_string_value(dtype), dtypes[type].name)) {
        type++;
    }
    if (type == DTYPE_COUNT) {
        return REFUSE(
            "%s: offset 8: tensor '%s' has the unknown dtype '%s'; convert it to F32, F16 or BF16",
            path, name, json_string_value(dtype));
    }
    *tensor = (Tensor){.name = name,
                       .dtype = (DType)type,
                       .rank = (int)json_array_size(dims),
                       .shape = shape,
                       .count = 1};
    size_t product = 1; /* without zero dimensions, so that these cannot hide an overflow */
    for (int i = 0; i < tensor->rank; i++) {
        if (read_size(&shape[i], json_array_get(dims, (size_t)i))) {
            return REFUSE("%s: offset 8: tensor '%s': shape[%d] is not a size; get the file again",
                          path, name, i);
        }
        tensor->count *= shape[i];
        if (__builtin_mul_overflow(product, shape[i] ? shape[i] : 1, &product)) {
            return REFUSE(
                "%s: offset 8: tensor '%s': the product of its shape overflows; get the file again",
                path, name);
        }
    }
    size_t end, size = dtypes[type].size;
    if (__builtin_mul_overflow(product, size, &product)) {
        return REFUSE("%s: offset 8: tensor '%s': its size overflows; get the file again", path,
                      name);
    }
    tensor->bytes = tensor->count * size;
    if (read_size(begin, json_array_get(offsets, 0)) ||
        read_size(&end, json_array_get(offsets, 1))) {
        return REFUSE("%s: offset 8: tensor '%s': data_offsets are not sizes; get the file again",
                      path, name);
    }
    if (*begin > end || end > st->file.size - st->data_offset) {
        return REFUSE("%s: offset %zu: tensor '%s' [%zu, %zu) lies outside the %zu bytes of data; "
                      "the file is cut or damaged, get it again",
                      path, st->data_offset, name, *begin, end, st->file.size - st->data_offset);
    }
    if (end - *begin != tensor->bytes) {
        return REFUSE(
            "%s: offset %zu: tensor '%s' has %zu bytes, its shape needs %zu; get the file again",
            path, st->data_offset + *begin, name, end - *begin, tensor->bytes);
    }
    tensor->data = st->file.bytes + st->data_offset + *begin;
    return 0;
}

/* Numbers in a header are digits only. jansson reads -0 as the integer 0, so look for a minus
 * outside of strings. */
static int has_minus(const char *text, size_t size)
{
    int inside = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '"') {
            inside = !inside;
        } else if (inside && text[i] == '\\') {
            i++;
        } else if (!inside && text[i] == '-') {
            return 1;
        }
    }
    return 0;
}

static int by_position(const void *a, const void *b)
{
    const Tensor *x = a, *y = b;
    if (x->data != y->data) {
        return x->data < y->data ? -1 : 1;
    }
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const Tensor *)a)->name, ((const Tensor *)b)->name);
}

static int read_header(Safetensors *st, Error *error)
{
    const char *path = st->path, *name;
    uint64_t length;
    if (st->file.size < sizeof length) {
        return REFUSE(
            "%s: offset 0: %zu bytes are too few for a safetensors file; get the file again", path,
            st->file.size);
    }
    memcpy(&length, st->file.bytes, sizeof length);
    if (length > HEADER_LIMIT || length > st->file.size - sizeof length) {
        return REFUSE("%s: offset 0: header length %llu is beyond the file (%zu bytes) or the "
                      "limit of %d; not a safetensors file, or cut",
                      path, (unsigned long long)length, st->file.size, HEADER_LIMIT);
    }
    st->data_offset = sizeof length + length;
    const char *text = (const char *)st->file.bytes + sizeof length;
    if (json_read_bytes(&st->header, text, length, path, error)) {
        return error->code;
    }
    if (!json_is_object(st->header) || has_minus(text, length)) {
        return REFUSE("%s: offset 8: the header is not a JSON object of sizes; get the file again",
                      path);
    }
    json_t *entry;
    size_t dims = 0, at = 0, position = st->data_offset;
    json_object_foreach(st->header, name, entry)
    {
        dims += json_array_size(json_object_get(entry, "shape"));
    }
    st->tensors = memory_calloc(json_object_size(st->header), sizeof *st->tensors);
    st->shapes = memory_calloc(dims, sizeof *st->shapes);
    json_object_foreach(st->header, name, entry)
    {
        if (!strcmp(name, "__metadata__")) {
            const char *key;
            json_t *value;
            if (!json_is_object(entry)) {
                return REFUSE("%s: offset 8: __metadata__ is not an object; get the file again",
                              path);
            }
            json_object_foreach(entry, key, value)
            {
                if (!json_is_string(value)) {
                    return REFUSE(
                        "%s: offset 8: __metadata__ '%s' is not a string; get the file again", path,
                        key);
                }
            }
            st->metadata = entry;
            continue;
        }
        size_t begin;
        Tensor *tensor = &st->tensors[st->count];
        if (read_entry(tensor, st->shapes + at, &begin, name, entry, st, error)) {
            return error->code;
        }
        at += (size_t)tensor->rank;
        st->count++;
    }
    qsort(st->tensors, st->count, sizeof *st->tensors, by_position);
    for (size_t i = 0; i < st->count; i++) {
        size_t begin = (size_t)(st->tensors[i].data - st->file.bytes);
        if (begin != position) {
            return REFUSE("%s: offset %zu: tensor '%s' %s; get the file again", path, begin,
                          st->tensors[i].name,
                          begin < position ? "overlaps the one before it"
                                           : "leaves a hole before it");
        }
        position += st->tensors[i].bytes;
    }
    if (position != st->file.size) {
        return REFUSE("%s: offset %zu: %zu bytes belong to no tensor; get the file again", path,
                      position, st->file.size - position);
    }
    qsort(st->tensors, st->count, sizeof *st->tensors, by_name);
    return 0;
}

int safetensors_open(Safetensors *st, const char *path, Error *error)
{
    *st = (Safetensors){0};
    if (file_map(&st->file, path, error)) {
        return error->code;
    }
    st->path = string_copy(path);
    if (read_header(st, error)) {
        safetensors_close(st);
        return error->code;
    }
    return 0;
}

void safetensors_close(Safetensors *st)
{
    json_decref(st->header);
    file_unmap(&st->file);
    free(st->path);
    free(st->tensors);
    free(st->shapes);
    *st = (Safetensors){0};
}

const Tensor *safetensors_find(const Safetensors *st, const char *name)
{
    Tensor key = {.name = name};
    return st->count ? bsearch(&key, st->tensors, st->count, sizeof key, by_name) : NULL;
}

const char *safetensors_meta(const Safetensors *st, const char *key)
{
    return string_of(st->metadata, key);
}

static float half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = (half >> 10) & 31,
             mantissa = half & 1023u, bits;
    if (exponent == 0) {
        float value = (float)mantissa * 0x1p-24f; /* zero and subnormals: exact */
        memcpy(&bits, &value, sizeof bits);
    } else if (exponent == 31) {
        bits = 0x7F800000u | mantissa << 13;
    } else {
        bits = (exponent + 112) << 23 | mantissa << 13;
    }
    bits |= sign;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

int tensor_to_float(float *out, const Tensor *tensor, const char *path, Error *error)
{
    const unsigned char *data = tensor->data;
    switch (tensor->dtype) {
    case DTYPE_F32:
        if (tensor->bytes) {
            memcpy(out, data, tensor->bytes);
        }
        return 0;
    case DTYPE_F64:
        for (size_t i = 0; i < tensor->count; i++) {
            double value;
            memcpy(&value, data + 8 * i, 8);
            out[i] = (float)value;
        }
        return 0;
    case DTYPE_F16:
    case DTYPE_BF16:
        for (size_t i = 0; i < tensor->count; i++) {
            uint16_t half;
            memcpy(&half, data + 2 * i, 2);
            uint32_t bits = (uint32_t)half << 16;
            if (tensor->dtype == DTYPE_F16) {
                out[i] = half_to_float(half);
            } else {
                memcpy(&out[i], &bits, 4);
            }
        }
        return 0;
    default:
        return REFUSE("%s: tensor '%s' has type %s, expected F32, F64, F16 or BF16; convert it",
                      path, tensor->name, dtype_name(tensor->dtype));
    }
}

static int source_order(const void *a, const void *b)
{
    const TensorSource *x = a, *y = b;
    size_t p = dtypes[x->dtype].size, q = dtypes[y->dtype].size;
    return p != q ? (p < q ? 1 : -1) : strcmp(x->name, y->name);
}

static size_t source_bytes(const TensorSource *source)
{
    size_t bytes = dtypes[source->dtype].size;
    for (int i = 0; i < source->rank; i++) {
        bytes *= source->shape[i];
    }
    return bytes;
}

static int put_source(const TensorSource *source, SafetensorsSink sink, void *user, Error *error)
{
    enum { BLOCK = 1 << 18 };
    size_t size = dtypes[source->dtype].size, count = source_bytes(source) / size;
    if (!source->read) {
        return sink(user, source->data, count * size, error);
    }
    int code = 0;
    void *values = memory_alloc(BLOCK, size);
    for (size_t first = 0; first < count && !code; first += BLOCK) {
        size_t part = size_min(BLOCK, count - first);
        code = source->read(source, values, first, part, error) ||
                       sink(user, values, part * size, error)
                   ? error->code
                   : 0;
    }
    free(values);
    return code;
}

int safetensors_put(const char *path, TensorSource *sources, size_t count, json_t *metadata,
                    SafetensorsSink sink, void *user, Error *error)
{
    json_t *header = json_object();
    size_t offset = 0;
    qsort(sources, count, sizeof *sources, source_order);
    if (metadata && json_object_get(metadata, "data_sha256")) {
        unsigned char digest[SHA256_BYTES];
        char hex[65];
        Bytes *parts = memory_alloc(count, sizeof *parts);
        for (size_t i = 0; i < count; i++) {
            parts[i] = (Bytes){sources[i].data, source_bytes(&sources[i])};
        }
        sha256(digest, parts, count);
        sha256_text(hex, digest);
        free(parts);
        json_object_set_new(metadata, "data_sha256", json_string(hex));
    }
    if (metadata) {
        json_object_set(header, "__metadata__", metadata);
    }
    for (size_t i = 0; i < count; i++) {
        json_t *shape = json_array();
        for (int d = 0; d < sources[i].rank; d++) {
            json_array_append_new(shape, json_integer((json_int_t)sources[i].shape[d]));
        }
        size_t end = offset + source_bytes(&sources[i]);
        json_object_set_new(header, sources[i].name,
                            json_pack("{s:s, s:o, s:[I, I]}", "dtype",
                                      dtypes[sources[i].dtype].name, "shape", shape, "data_offsets",
                                      (json_int_t)offset, (json_int_t)end));
        offset = end;
    }
    char *text = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    if (!text) {
        return error_set(error, EXIT_BUG,
                         "%s: the header cannot be written as JSON; please report this", path);
    }
    uint64_t length = strlen(text), padded = (length + 7) / 8 * 8;
    char *head = string_format("%8s%s%*s", "", text, (int)(padded - length), "");
    memcpy(head, &padded, sizeof padded);
    free(text);
    int code = sink(user, head, sizeof padded + padded, error);
    free(head);
    for (size_t i = 0; i < count && !code; i++) {
        code = put_source(&sources[i], sink, user, error);
    }
    return code;
}

static int put_into_stream(void *user, const void *bytes, size_t size, Error *error)
{
    const Writer *writer = user;
    return fwrite(bytes, 1, size, writer->stream) == size
               ? 0
               : error_set_errno(error, "write", writer->path);
}

int safetensors_write(const char *path, TensorSource *sources, size_t count, json_t *metadata,
                      Error *error)
{
    Writer writer;
    if (writer_open(&writer, path, error)) {
        return error->code;
    }
    if (safetensors_put(path, sources, count, metadata, put_into_stream, &writer, error) &&
        !ferror(writer.stream)) { /* else writer_commit says it */
        writer_abandon(&writer);
        return error->code;
    }
    return writer_commit(&writer, error);
}
