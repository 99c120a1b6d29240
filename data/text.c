#include "text.h"
#include "token_cache.h"

#include <limits.h>
#include <stb/stb_ds.h>
#include <stdlib.h>
#include <string.h>

/* Windows of tokens: window i is [start[i], start[i + 1]). */
typedef struct Windows {
    Ids ids;
    size_t *start; /* stb_ds array, one more than there are windows */
    int *line;     /* stb_ds array: where the document of each begins */
} Windows;

static void windows_free(Windows *w)
{
    arrfree(w->ids);
    arrfree(w->start);
    arrfree(w->line);
}

/* The windows of a document that begins in this line. */
static void add_windows(Windows *w, int line, const int *ids, ptrdiff_t count, int longest)
{
    for (ptrdiff_t first = 0; first + 1 < count; first += longest - 1) {
        ptrdiff_t end = first + longest < count ? first + longest : count;
        for (ptrdiff_t i = first; i < end; i++) {
            arrput(w->ids, ids[i]);
        }
        arrput(w->start, arrlenu(w->ids));
        arrput(w->line, line);
    }
}

/* Appends a document without the ends of its last lines. */
static void add_document(Dataset *documents, size_t *room, int line, const char *text, size_t size)
{
    while (size && (text[size - 1] == '\n' || text[size - 1] == '\r')) {
        size--;
    }
    if ((size_t)documents->count == *room) {
        *room = *room ? 2 * *room : 64;
        documents->examples = memory_realloc(documents->examples, *room,
                                             sizeof *documents->examples);
    }
    Example *example = &documents->examples[documents->count++];
    *example = (Example){.line = line, .text = memory_calloc(1, sizeof *example->text)};
    example->text[0][0] = string_part(text, size);
}

/* Whether a line holds white space alone. */
static int is_blank(const char *line, size_t size)
{
    size_t i = 0;
    while (i < size && (line[i] == ' ' || line[i] == '\t' || line[i] == '\r')) {
        i++;
    }
    return i == size;
}

static void add_documents(Dataset *documents, const char *text, size_t size)
{
    size_t document = 0, room = 0;
    int line = 1, first_line = 1;
    for (size_t at = 0; at < size; line++) {
        const char *newline = memchr(text + at, '\n', size - at);
        size_t end = newline ? (size_t)(newline - text) : size, next = newline ? end + 1 : end;
        int blank = is_blank(text + at, end - at);
        if ((blank || next == size) && (blank ? at : next) > document) {
            add_document(documents, &room, first_line, text + document,
                         (blank ? at : next) - document);
        }
        if (blank) {
            document = next;
            first_line = line + 1;
        }
        at = next;
    }
}

/* Documents are tokenized whole, so that their kept tokens serve windows of any length. */
static int read_windows(Windows *w, const char *path, char sha256[65], const Task *task,
                        const Encoding *encoding, Error *error)
{
    File file;
    Dataset documents = {.task = task, .path = string_copy(path)};
    Encoding whole = *encoding;
    Encoded encoded = {0};
    *w = (Windows){0};
    if (file_map(&file, path, error)) {
        dataset_free(&documents);
        return error->code;
    }
    const char *text = (const char *)file.bytes,
               *nul = file.size ? memchr(text, 0, file.size) : NULL;
    size_t valid = utf8_valid_prefix(text, file.size);
    int code = valid != file.size
                   ? REFUSE("%s: byte %zu is not UTF-8; convert the file to UTF-8 text", path,
                            valid)
               : nul ? REFUSE("%s: byte %zu is 0; is it a text?", path, (size_t)(nul - text))
                     : 0;
    sha256_hex(sha256, file.bytes, file.size);
    if (!code) {
        add_documents(&documents, text, file.size);
    }
    file_unmap(&file);
    whole.longest = INT_MAX;
    code = code ? code : encode_cached(&encoded, &documents, &whole, TOKEN_CACHE_LEAST, error);
    arrput(w->start, 0);
    for (int d = 0; d < documents.count && !code; d++) {
        size_t begin = encoded.start[d];
        add_windows(w, documents.examples[d].line, encoded.ids + begin,
                    (ptrdiff_t)(encoded.start[d + 1] - begin), encoding->longest);
    }
    if (code) {
        windows_free(w);
    } else {
        encoded_free(&encoded);
    }
    dataset_free(&documents);
    return code;
}

/* The windows [first, first + count) as a data set. */
static void take(Dataset *dataset, Encoded *encoded, const Windows *w, int first, int count,
                 const char *split, const char *path, const char *sha256, const Task *task)
{
    *dataset = (Dataset){.task = task, .split = split, .path = string_copy(path), .count = count};
    memcpy(dataset->sha256, sha256, sizeof dataset->sha256);
    dataset->examples = memory_calloc((size_t)count, sizeof *dataset->examples);
    *encoded = (Encoded){.dataset = dataset, .choices = 1};
    encoded->start = memory_calloc((size_t)count + 1, sizeof *encoded->start);
    for (int i = 0; i < count; i++) {
        size_t begin = w->start[first + i], end = w->start[first + i + 1];
        dataset->examples[i] = (Example){.id = string_format("%s-%d", split, i),
                                         .line = w->line[first + i],
                                         .label = -1,
                                         .cluster = -1};
        for (size_t t = begin; t < end; t++) {
            arrput(encoded->ids, w->ids[t]);
            arrput(encoded->types, 0);
        }
        encoded->start[i + 1] = arrlenu(encoded->ids);
        encoded->longest = int_max(encoded->longest, (int)(end - begin));
    }
}

static int at_most(int count, int limit)
{
    return limit > 0 ? int_min(limit, count) : count;
}

int text_read(Dataset *train, Dataset *dev, Encoded *train_ids, Encoded *dev_ids, const Task *task,
              const char *path, const Encoding *encoding, int max_train, int max_dev, Error *error)
{
    int folder;
    if (path_look(path, &folder, error)) {
        return error->code;
    }
    char *train_path = folder ? string_format("%s/train.txt", path) : string_copy(path),
         *dev_path = folder ? string_format("%s/validation.txt", path) : string_copy(path),
         train_sha[65], dev_sha[65];
    Windows first, second = {0};
    int code = read_windows(&first, train_path, train_sha, task, encoding, error);
    if (!code && folder) {
        code = read_windows(&second, dev_path, dev_sha, task, encoding, error);
        if (code) {
            windows_free(&first);
        }
    }
    if (!code) {
        int count = (int)arrlen(first.line), held = folder      ? (int)arrlen(second.line)
                                                    : count > 9 ? count / 10
                                                                : 1;
        const Windows *from = folder ? &second : &first;
        int trained = folder ? count : count - held;
        if (trained < 1 || held < 1) {
            code = REFUSE("%s: %d training and %d evaluation windows of at least two tokens; "
                          "give more text",
                          path, trained < 0 ? 0 : trained, held);
        } else {
            take(train, train_ids, &first, 0, at_most(trained, max_train), "train", train_path,
                 train_sha, task);
            take(dev, dev_ids, from, folder ? 0 : trained, at_most(held, max_dev), "validation",
                 dev_path, folder ? dev_sha : train_sha, task);
        }
        windows_free(&first);
        windows_free(&second);
    }
    free(train_path);
    free(dev_path);
    return code;
}
