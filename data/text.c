#include "text.h"

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

static int add_document(Windows *w, const char *path, int line, const char *text, size_t size,
                        const Tokenizer *tokenizer, int longest, int V, Error *error)
{
    Ids ids = NULL, built = NULL;
    while (size && (text[size - 1] == '\n' || text[size - 1] == '\r')) {
        size--;
    }
    tokenizer_encode(tokenizer, &ids, text, size, 0);
    tokenizer_build(tokenizer, &built, NULL, &(Part){.ids = ids}, 1, INT_MAX, TRUNCATE_NONE);
    arrfree(ids);
    int code = 0;
    for (ptrdiff_t i = 0; i < arrlen(built) && !code; i++) {
        code = token_check(tokenizer, built[i], V, path, line, error);
    }
    for (ptrdiff_t first = 0; first + 1 < arrlen(built) && !code; first += longest - 1) {
        ptrdiff_t end = first + longest < arrlen(built) ? first + longest : arrlen(built);
        for (ptrdiff_t i = first; i < end; i++) {
            arrput(w->ids, built[i]);
        }
        arrput(w->start, arrlenu(w->ids));
        arrput(w->line, line);
    }
    arrfree(built);
    return code;
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

static int read_windows(Windows *w, const char *path, char sha256[65], const Tokenizer *tokenizer,
                        int longest, int V, Error *error)
{
    File file;
    *w = (Windows){0};
    if (file_map(&file, path, error)) {
        return error->code;
    }
    const char *text = (const char *)file.bytes;
    size_t valid = utf8_valid_prefix(text, file.size), document = 0;
    int code = valid == file.size
                   ? 0
                   : REFUSE("%s: byte %zu is not UTF-8; convert the file to UTF-8 text", path,
                            valid),
        line = 1, first_line = 1;
    sha256_hex(sha256, file.bytes, file.size);
    arrput(w->start, 0);
    for (size_t at = 0; at < file.size && !code; line++) {
        const char *newline = memchr(text + at, '\n', file.size - at);
        size_t end = newline ? (size_t)(newline - text) : file.size, next = newline ? end + 1 : end;
        int blank = is_blank(text + at, end - at);
        if ((blank || next == file.size) && (blank ? at : next) > document) {
            code = add_document(w, path, first_line, text + document,
                                (blank ? at : next) - document, tokenizer, longest, V, error);
        }
        if (blank) {
            document = next;
            first_line = line + 1;
        }
        at = next;
    }
    file_unmap(&file);
    if (code) {
        windows_free(w);
    }
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
              const char *path, const Tokenizer *tokenizer, int longest, int V, int max_train,
              int max_dev, Error *error)
{
    int folder = path_is_folder(path);
    char *train_path = folder ? string_format("%s/train.txt", path) : string_copy(path),
         *dev_path = folder ? string_format("%s/validation.txt", path) : string_copy(path),
         train_sha[65], dev_sha[65];
    Windows first, second = {0};
    int code = read_windows(&first, train_path, train_sha, tokenizer, longest, V, error);
    if (!code && folder) {
        code = read_windows(&second, dev_path, dev_sha, tokenizer, longest, V, error);
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
