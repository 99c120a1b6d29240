/* Compares token ids with golden cases: build/test_tokenizer TOKENIZER_DIR CASES.jsonl... A
 * manifest.json instead of a tokenizer lists files beside it to accept or to refuse. */
#include "check.h"
#include "json.h"
#include "tokenizer.h"

#include <pthread.h>
#include <stb/stb_ds.h>
#include <stdlib.h>
#include <string.h>

static int same_ids(const Ids ids, const json_t *expected)
{
    if (!json_is_array(expected) || json_array_size(expected) != arrlenu(ids)) {
        return 0;
    }
    for (size_t i = 0; i < arrlenu(ids); i++) {
        if (json_integer_value(json_array_get(expected, i)) != ids[i]) {
            return 0;
        }
    }
    return 1;
}

static void show(const char *what, const Ids ids, const json_t *expected)
{
    char *text = json_dumps(expected, JSON_COMPACT | JSON_ENCODE_ANY);
    printf("  %s: expected %.300s\n  got      [", what, text ? text : "nothing");
    for (size_t i = 0; i < arrlenu(ids) && i < 60; i++) {
        printf("%s%d", i ? "," : "", ids[i]);
    }
    printf("]\n");
    free(text);
}

static void expect(const char *path, int line, const char *what, Ids ids, const json_t *expected)
{
    int same = same_ids(ids, expected);
    CHECK(same, "%s:%d", path, line);
    if (!same) {
        show(what, ids, expected);
    }
    arrfree(ids);
}

/* Every text that was encoded, with its ids. */
static struct {
    char *text;
    size_t size;
    int flags;
    Ids ids;
} * encoded;

static Ids encode_bytes(const Tokenizer *t, const char *text, size_t size, int flags)
{
    Ids ids = NULL, kept = NULL, again = NULL;
    Place *places = NULL;
    int valid = utf8_valid_prefix(text, size) == size;
    tokenizer_encode(t, &ids, text, size, flags);
    if (valid) {
        tokenizer_encode_placed(t, &again, &places, text, size, flags);
    }
    CHECK(!valid || (arrlenu(again) == arrlenu(ids) && arrlenu(places) == arrlenu(ids) &&
                     (!ids || !memcmp(again, ids, arrlenu(ids) * sizeof *ids))),
          "%zu ids and %zu places of '%.40s'", arrlenu(again), arrlenu(places), text);
    for (size_t i = 0; i < arrlenu(places); i++) {
        CHECK(places[i].begin <= places[i].end && places[i].end <= size &&
                  (i == 0 || places[i].begin >= places[i - 1].begin),
              "token %zu of '%.40s' is at %zu to %zu", i, text, places[i].begin, places[i].end);
    }
    arrfree(again);
    arrfree(places);
    for (size_t i = 0; i < arrlenu(ids); i++) {
        arrput(kept, ids[i]);
    }
    ptrdiff_t i = arraddnindex(encoded, 1);
    encoded[i].text = memory_alloc(size + 1, 1);
    memcpy(encoded[i].text, text, size);
    encoded[i].size = size;
    encoded[i].flags = flags;
    encoded[i].ids = kept;
    return ids;
}

/* What one of several threads encodes with a tokenizer that no thread has used before: every text,
 * the first threads ahead of the others by one. */
typedef struct Worker {
    const Tokenizer *tokenizer;
    size_t first, wrong;
} Worker;

static void *work(void *argument)
{
    Worker *worker = argument;
    for (size_t n = 0; n < arrlenu(encoded); n++) {
        size_t i = (worker->first + n) % arrlenu(encoded);
        Ids ids = NULL;
        tokenizer_encode(worker->tokenizer, &ids, encoded[i].text, encoded[i].size,
                         encoded[i].flags);
        worker->wrong += arrlenu(ids) != arrlenu(encoded[i].ids) ||
                         (ids && memcmp(ids, encoded[i].ids, arrlenu(ids) * sizeof *ids));
        arrfree(ids);
    }
    return NULL;
}

/* The same ids from several threads at once. */
static void check_threads(const char *folder)
{
    enum { THREADS = 4 };
    Tokenizer *t;
    Error error;
    pthread_t threads[THREADS];
    Worker workers[THREADS];
    CHECK(!tokenizer_open(&t, folder, &error), "%s", error.text);
    for (size_t i = 0; i < THREADS; i++) {
        workers[i] = (Worker){t, i / 2, 0};
        CHECK(!pthread_create(&threads[i], NULL, work, &workers[i]), "no thread");
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        CHECK(!workers[i].wrong, "%zu of %zu texts have other ids from %d threads at once",
              workers[i].wrong, arrlenu(encoded), THREADS);
    }
    tokenizer_close(t);
    for (size_t i = 0; i < arrlenu(encoded); i++) {
        free(encoded[i].text);
        arrfree(encoded[i].ids);
    }
    arrfree(encoded);
}

static Ids encode(const Tokenizer *t, const json_t *text, int flags)
{
    return encode_bytes(t, json_string_value(text), json_string_length(text), flags);
}

static Ids with_template(const Tokenizer *t, Part *parts, int count, int longest, Ids *types)
{
    Ids ids = NULL;
    CHECK(!tokenizer_build(t, &ids, types, parts, count, longest, TRUNCATE_LONGEST_FIRST),
          "cannot build");
    return ids;
}

static void check_pair(const Tokenizer *t, const json_t *object, const char *path, int line)
{
    Ids types = NULL;
    Part parts[] = {{.ids = encode(t, json_object_get(object, "a"), 0)},
                    {.ids = encode(t, json_object_get(object, "b"), 0), .segment = 1}};
    const json_t *expected = json_object_get(object, "ids"), *item;
    expect(path, line, "pair", with_template(t, parts, 2, 1 << 20, &types), expected);
    if (json_object_get(object, "type_ids")) {
        expect(path, line, "type_ids", types, json_object_get(object, "type_ids"));
    } else {
        arrfree(types);
    }
    size_t i;
    json_array_foreach(json_object_get(object, "cases"), i, item)
    {
        const char *strategy = json_string_value(json_object_get(item, "strategy"));
        int truncation = !strcmp(strategy, "only_first")    ? 0
                         : !strcmp(strategy, "only_second") ? 1
                                                            : TRUNCATE_LONGEST_FIRST;
        Ids ids = NULL, cut_types = NULL;
        int code = tokenizer_build(t, &ids, &cut_types, parts, 2,
                                   (int)json_integer_value(json_object_get(item, "max")),
                                   truncation);
        if (json_object_get(item, "error")) {
            CHECK(code, "%s:%d: case %zu should fail", path, line, i);
            arrfree(ids);
        } else {
            expect(path, line, strategy, ids,
                   json_is_true(json_object_get(item, "same")) ? expected
                                                               : json_object_get(item, "ids"));
        }
        if (json_object_get(item, "type_ids")) {
            expect(path, line, "cut type_ids", cut_types, json_object_get(item, "type_ids"));
        } else {
            arrfree(cut_types);
        }
    }
    arrfree(parts[0].ids);
    arrfree(parts[1].ids);
}

static void check_hex(const Tokenizer *t, const json_t *object, const char *name, const char *path,
                      int line)
{
    const char *hex = json_string_value(json_object_get(object, "hex"));
    char bytes[4096];
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n && i < sizeof bytes; i++) {
        unsigned value;
        sscanf(hex + 2 * i, "%2x", &value);
        bytes[i] = (char)value;
    }
    expect(path, line, hex, encode_bytes(t, bytes, n, 0),
           json_object_get(json_object_get(object, "ids"), name));
}

static void check_line(const Tokenizer *t, const json_t *object, const char *name, const char *path,
                       int line)
{
    const char *key;
    json_t *value;
    if (json_object_get(object, "hex")) {
        if (json_object_get(json_object_get(object, "ids"), name)) {
            check_hex(t, object, name, path, line);
        }
        return;
    }
    if (json_object_get(object, "a")) {
        check_pair(t, object, path, line);
        return;
    }
    Ids ids = encode(t, json_object_get(object, "text"), 0);
    json_object_foreach((json_t *)object, key, value)
    {
        if (!strcmp(key, "special")) {
            expect(path, line, key, with_template(t, &(Part){.ids = ids}, 1, 1 << 20, NULL), value);
        } else if (!strncmp(key, "max_", 4)) {
            expect(path, line, key, with_template(t, &(Part){.ids = ids}, 1, atoi(key + 4), NULL),
                   value);
        } else if (!strcmp(key, "literal")) {
            expect(path, line, key, encode(t, json_object_get(object, "text"), ENCODE_LITERAL),
                   value);
        } else if (!strcmp(key, "continues")) {
            expect(path, line, key, encode(t, json_object_get(object, "text"), ENCODE_CONTINUES),
                   value);
        } else if (!strcmp(key, "ids")) {
            expect(path, line, key, encode(t, json_object_get(object, "text"), 0), value);
        }
    }
    arrfree(ids);
}

static void check_manifest(const char *path)
{
    json_t *manifest, *entry;
    const char *name;
    Error error;
    if (json_read_file(&manifest, path, &error)) {
        CHECK(0, "%s", error.text);
        return;
    }
    int folder = (int)(strrchr(path, '/') ? strrchr(path, '/') - path + 1 : 0);
    json_object_foreach(manifest, name, entry)
    {
        char *file = string_format("%.*s%s", folder, path, name);
        const char *wanted = json_string_value(json_object_get(entry, "expect"));
        Tokenizer *t;
        int code = tokenizer_open(&t, file, &error);
        CHECK(!strcmp(wanted, "either") || (*wanted == 'a' ? !code : code == EXIT_BAD_DATA),
              "%s: exit code %d, should %s: %s", file, code, wanted,
              code ? error.text : "accepted");
        tokenizer_close(t);
        free(file);
    }
    json_decref(manifest);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: test_tokenizer TOKENIZER_DIR CASES.jsonl... | test_tokenizer manifest.json\n",
              stderr);
        return EXIT_USAGE;
    }
    if (argc == 2) {
        check_manifest(argv[1]);
        return checks_close("test_tokenizer");
    }
    Tokenizer *t;
    Error error;
    if (tokenizer_open(&t, argv[1], &error)) {
        fprintf(stderr, "%s\n", error.text);
        return error.code;
    }
    char *folder = string_copy(argv[1]);
    while (strlen(folder) && folder[strlen(folder) - 1] == '/') {
        folder[strlen(folder) - 1] = 0;
    }
    const char *name = strrchr(folder, '/') ? strrchr(folder, '/') + 1 : folder;
    for (int i = 2; i < argc; i++) {
        File file;
        int before = checks_passed + checks_failed, line = 0;
        if (file_map(&file, argv[i], &error)) {
            CHECK(0, "%s", error.text);
            continue;
        }
        for (size_t at = 0; at < file.size; line++) {
            const unsigned char *end = memchr(file.bytes + at, '\n', file.size - at);
            size_t length = end ? (size_t)(end - file.bytes) - at : file.size - at;
            json_error_t problem;
            json_t *object = json_loadb((const char *)file.bytes + at, length, JSON_ALLOW_NUL,
                                        &problem);
            CHECK(object != NULL, "%s:%d: %s", argv[i], line + 1, problem.text);
            if (object) {
                check_line(t, object, name, argv[i], line + 1);
            }
            json_decref(object);
            at += length + 1;
        }
        file_unmap(&file);
        printf("%s: %d lines, %d comparisons\n", argv[i], line,
               checks_passed + checks_failed - before);
    }
    free(folder);
    tokenizer_close(t);
    check_threads(argv[1]);
    return checks_close("test_tokenizer");
}
