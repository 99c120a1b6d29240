/* Strict JSON files (jansson): UTF-8, no duplicate keys, no text behind the value,
 * bounded depth. */
#ifndef JSON_H
#define JSON_H

#include "base.h"

#include <jansson.h>

/* For a program's start, and before threads parse: jansson's memory is checked, and its hash has a
 * seed. May be called again. */
void json_prepare(void);

/* Memory for values that go together. While a thread uses a pool, all that jansson allocates there is
 * of the pool and nothing is freed; json_pool_clear frees all at once, whatever the counts of
 * references are. json_pool_use(NULL) ends the use. */
typedef struct JsonPool {
    struct JsonPart *parts; /* the one that is filled, then those that are full */
} JsonPool;
void json_pool_use(JsonPool *pool);
void json_pool_clear(JsonPool *pool);
void json_pool_free(JsonPool *pool);

/* Parses a whole file. On success *value is owned by the caller (json_decref). Errors: those of
 * file_map, and 65 with file:line:column. */
int json_read_file(json_t **value, const char *path, Error *error);

/* The same with every integer as a real number, for files whose integers may go beyond 64 bits. */
int json_read_file_as_real(json_t **value, const char *path, Error *error);

/* Parses size bytes; where names them in messages. */
int json_read_bytes(json_t **value, const void *bytes, size_t size, const char *where,
                    Error *error);

/* Canonical text: sorted keys, no spaces, ASCII with lower-case \u escapes. The caller frees it. */
char *json_canonical(const json_t *value);

/* Writes a file for people: indented, sorted keys, ASCII, a line break at the end; real numbers
 * with so many digits, 0 for all that they have. Takes over the reference. Errors: those of Writer.
 */
int json_write_file(json_t *value, const char *path, int digits, Error *error);

/* A new JSON string; in text that is not UTF-8 every byte above 7F becomes '?'. */
json_t *json_text(const char *text);

/* The string of this key; NULL, or "", if there is none. */
const char *string_of(const json_t *object, const char *key);
const char *text_of(const json_t *object, const char *key);

#endif
