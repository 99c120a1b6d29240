#include "json.h"

#include <stdlib.h>
#include <string.h>

typedef struct JsonPart {
    struct JsonPart *next;
    size_t size, used;
    max_align_t bytes[]; /* size bytes */
} JsonPart;

static _Thread_local JsonPool *used_pool;

static void *pool_alloc(JsonPool *pool, size_t bytes)
{
    enum { PART = 1 << 18 };
    JsonPart *part = pool->parts;
    if (!part || part->size - part->used < bytes) {
        size_t size = size_max(bytes, PART);
        part = memory_alloc(1, sizeof *part + size);
        *part = (JsonPart){.next = pool->parts, .size = size};
        pool->parts = part;
    }
    char *place = (char *)part->bytes + part->used;
    size_t align = sizeof(max_align_t) - 1;
    part->used = size_min(part->size, part->used + ((bytes + align) & ~align));
    return place;
}

static void *json_alloc(size_t bytes)
{
    return used_pool ? pool_alloc(used_pool, bytes) : memory_alloc(bytes, 1);
}

static void json_release(void *memory)
{
    if (!used_pool) {
        free(memory);
    }
}

void json_prepare(void)
{
    json_set_alloc_funcs(json_alloc, json_release);
    json_object_seed(0);
}

void json_pool_use(JsonPool *pool)
{
    used_pool = pool;
}

static void free_parts(JsonPart *part)
{
    while (part) {
        JsonPart *next = part->next;
        free(part);
        part = next;
    }
}

void json_pool_clear(JsonPool *pool)
{
    if (pool->parts) { /* the one that was filled last serves again */
        free_parts(pool->parts->next);
        pool->parts->next = NULL;
        pool->parts->used = 0;
    }
}

void json_pool_free(JsonPool *pool)
{
    free_parts(pool->parts);
    pool->parts = NULL;
}

static int read_bytes(json_t **value, const void *bytes, size_t size, size_t flags,
                      const char *where, Error *error)
{
    json_error_t problem;
    *value = json_loadb(bytes ? bytes : "", size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | flags,
                        &problem);
    if (!*value) {
        return REFUSE("%s:%d:%d: not valid JSON: %s; get the file again", where, problem.line,
                      problem.column, problem.text);
    }
    return 0;
}

int json_read_bytes(json_t **value, const void *bytes, size_t size, const char *where, Error *error)
{
    return read_bytes(value, bytes, size, 0, where, error);
}

static int read_file(json_t **value, const char *path, size_t flags, Error *error)
{
    File file;
    *value = NULL;
    int code = file_map(&file, path, error);
    if (!code) {
        code = read_bytes(value, file.bytes, file.size, flags, path, error);
        file_unmap(&file);
    }
    return code;
}

int json_read_file(json_t **value, const char *path, Error *error)
{
    return read_file(value, path, 0, error);
}

int json_read_file_as_real(json_t **value, const char *path, Error *error)
{
    return read_file(value, path, JSON_DECODE_INT_AS_REAL, error);
}

int json_write_file(json_t *value, const char *path, int digits, Error *error)
{
    Writer writer;
    if (!value) { /* json_pack met text that is not UTF-8 */
        return error_set(error, EXIT_BUG, "cannot write %s: what was to stand in it is no JSON",
                         path);
    }
    int code = writer_open(&writer, path, error);
    if (!code) { /* a write that fails is seen by writer_commit */
        json_dumpf(value, writer.stream, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_ENSURE_ASCII |
                                             JSON_REAL_PRECISION((size_t)digits));
        fputc('\n', writer.stream);
        code = writer_commit(&writer, error);
    }
    json_decref(value);
    return code;
}

char *json_canonical(const json_t *value)
{
    char *text = json_dumps(value,
                            JSON_SORT_KEYS | JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
    if (!text) {
        return string_copy("null");
    }
    for (char *c = text; *c; c++) {
        if (*c == '\\') {
            if (*++c == 'u') { /* jansson writes \u00E9, Python and the format \u00e9 */
                for (int i = 1; i <= 4; i++) {
                    c[i] = (char)(c[i] >= 'A' && c[i] <= 'F' ? c[i] + 32 : c[i]);
                }
            }
        }
    }
    return text;
}

json_t *json_text(const char *text)
{
    json_t *string = json_string(text);
    if (!string) {
        char *copy = string_copy(text);
        for (char *c = copy; *c; c++) {
            if ((unsigned char)*c >= 0x80) {
                *c = '?';
            }
        }
        string = json_string(copy);
        free(copy);
    }
    return string;
}

const char *string_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

const char *text_of(const json_t *object, const char *key)
{
    const char *text = string_of(object, key);
    return text ? text : "";
}
