/* Whether two traces are of runs that can be compared. */
#include "result.h"
#include "trace_compare.h"

#include <stdlib.h>
#include <string.h>

/* Keys in which the runs may differ: what is studied, and what the traces record. */
static int may_differ(const char *key)
{
    static const char *const keys[] = {"seed",       "seed_init", "seed_data",   "seed_dropout",
                                       "seed_order", "kernels",   "micro_batch", "recompute",
                                       "dtype",      "level",     "every"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (!strcmp(keys[i], key)) {
            return 1;
        }
    }
    return 0;
}

static char *value_text(const json_t *value)
{
    const char *text = json_is_string(value) ? json_string_value(value) : NULL;
    return (text && !*text) || !value ? string_copy("none")
           : text                     ? string_copy(text)
                                      : json_dumps(value, JSON_ENCODE_ANY | JSON_SORT_KEYS);
}

/* Adds what differs in this key of two objects; where both have an object, in its keys. */
static void add_key(json_t *list, const char *part, const char *key, const json_t *a,
                    const json_t *b);

static void add_keys(json_t *list, const char *part, const json_t *a, const json_t *b)
{
    json_t *all = json_copy((json_t *)(uintptr_t)a), *value;
    const char *key;
    json_object_update(all, (json_t *)(uintptr_t)b);
    json_object_foreach(all, key, value)
    {
        add_key(list, part, key, a, b);
    }
    json_decref(all);
}

static void add_key(json_t *list, const char *part, const char *key, const json_t *a,
                    const json_t *b)
{
    const json_t *x = json_object_get(a, key), *y = json_object_get(b, key);
    int moved = !strcmp(key, "micro_batch") || !strcmp(key, "recompute"); /* by the level */
    if (!strcmp(key, "created") || (moved && (!x || !y)) || (x && y && json_equal(x, y))) {
        return;
    }
    if (json_is_object(x) && json_is_object(y)) {
        add_keys(list, part, x, y);
        return;
    }
    char *left = value_text(x), *right = value_text(y);
    json_t *entry = json_object();
    json_object_set_new(entry, "part", json_string(part));
    json_object_set_new(entry, "key", json_string(key));
    json_object_set_new(entry, "a", json_text(left));
    json_object_set_new(entry, "b", json_text(right));
    int seen = 0; /* the seeds stand in the recipe, too */
    for (size_t i = 0; i < json_array_size(list); i++) {
        seen |= json_equal(json_array_get(list, i), entry);
    }
    if (!seen) {
        json_array_append(list, entry);
    }
    json_decref(entry);
    free(left);
    free(right);
}

int trace_receipts(json_t **receipts, const TraceReader *a, const TraceReader *b, Error *error)
{
    json_t *list = json_array();
    int code = 0;
    add_keys(list, "run", json_object_get(a->header, "run"), json_object_get(b->header, "run"));
    for (size_t i = 0; i < json_array_size(list) && !code; i++) {
        const json_t *entry = json_array_get(list, i);
        if (!may_differ(text_of(entry, "key"))) {
            code = REFUSE("%s and %s are of runs that cannot be compared: %s is %.80s in one, "
                          "%.80s in the other",
                          a->path, b->path, text_of(entry, "key"), text_of(entry, "a"),
                          text_of(entry, "b"));
        }
    }
    if (!code && !json_equal(json_object_get(a->header, "parameters"),
                             json_object_get(b->header, "parameters"))) {
        code = REFUSE("%s and %s are of runs that cannot be compared: their models have other "
                      "parameters",
                      a->path, b->path);
    }
    add_keys(list, "machine", json_object_get(a->header, "machine"),
             json_object_get(b->header, "machine"));
    if (code) {
        json_decref(list);
        list = NULL;
    }
    *receipts = list;
    return code;
}
