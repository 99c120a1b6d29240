/* Compares examples with golden cases: build/test_tasks DATA_DIR CASES.jsonl...|counts.json
 * The tokenizer is RoBERTa's, in $SEEDBED_TOKENIZER or DATA_DIR/../tokenizers/roberta-base; the
 * decoder's is Llama 3's, in DATA_DIR/../tokenizers/llama3. The task is named by the case file,
 * split and example by the case. Compared: place, line, label, segments, ids, ids cut to 64 tokens,
 * the same of a decoder, example_hash. */
#include "check.h"
#include "encode.h"
#include "json.h"

#include <stb/stb_ds.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static Tokenizer *tokenizer, *decoder_tokenizer;

static void compare_ids(const Encoded *encoded, size_t sequence, const json_t *expected,
                        const char *where, const char *what)
{
    size_t length = encoded->start[sequence + 1] - encoded->start[sequence],
           same = json_array_size(expected) == length;
    for (size_t i = 0; same && i < length; i++) {
        same = json_integer_value(json_array_get(expected, i)) ==
               encoded->ids[encoded->start[sequence] + i];
    }
    CHECK(same, "%s: %s differ (%zu ids, expected %zu)", where, what, length,
          json_array_size(expected));
}

/* The segments of a task whose segments are its texts; MultiRC's first is "{0} {1}". */
static void compare_segments(const Task *task, const Example *example, int choice,
                             const json_t *object, const char *where)
{
    const json_t *segments = json_object_get(object, "segments");
    char *const *text = example->text[choice];
    int joined = task->form == FORM_MULTIRC;
    for (size_t i = 0; i < json_array_size(segments); i++) {
        char *segment = joined && !i ? string_format("%s %s", text[0], text[1])
                                     : string_copy(text[i + (size_t)joined]);
        CHECK(!strcmp(segment, json_string_value(json_array_get(segments, i))),
              "%s: segment %zu differs", where, i);
        free(segment);
    }
}

/* WiC's tokens of both words; of WSC the text of both spans, which the case has without marks. */
static void compare_spans(const Dataset *one, const json_t *object, const char *where)
{
    Encoded encoded;
    Error error;
    const Task *task = one->task;
    const json_t *tokens = json_object_get(object, "span_tokens"),
                 *spans = json_object_get(object, "spans");
    Encoding encoding = {tokenizer, 0, task->longest, 1 << 20, 1, 1};
    if (task_span(task, 0) < 0 || encode(&encoded, one, &encoding, &error)) {
        CHECK(task_span(task, 0) < 0, "%s: %s", where, error.text);
        return;
    }
    CHECK(json_array_size(tokens ? tokens : spans) == SPANS, "%s: no spans", where);
    for (size_t s = 0; s < SPANS; s++) {
        const json_t *bounds = json_array_get(tokens ? tokens : spans, s);
        int first = (int)json_integer_value(json_array_get(bounds, 0)),
            end = (int)json_integer_value(json_array_get(bounds, 1));
        const int *found = encoded.spans[0][s], *bytes = one->examples[0].span[s];
        if (tokens) {
            CHECK(found[0] == first && found[1] == end, "%s: span %zu is %d to %d", where, s,
                  found[0], found[1]);
            continue;
        }
        const char *text = json_string_value(json_object_get(object, "text")),
                   *ours = one->examples[0].text[0][0];
        for (int marks = 0, c = 0; *text; c++) {
            while (*ours != *text) {
                marks++;
                ours++;
                CHECK(marks <= 4, "%s: another text", where);
            }
            CHECK((c >= first && c < end) == (ours - one->examples[0].text[0][0] >= bytes[0] &&
                                              ours - one->examples[0].text[0][0] < bytes[1]),
                  "%s: character %d and span %zu", where, c, s);
            do {
                text++;
                ours++;
            } while ((*text & 0xC0) == 0x80);
        }
        CHECK(found[0] > 0 && found[1] > found[0], "%s: no token of span %zu", where, s);
    }
    encoded_free(&encoded);
}

static void compare_case(const Dataset *dataset, const json_t *object, const char *where)
{
    int place = 0, index = (int)json_integer_value(json_object_get(object, "index"));
    const char *id = json_string_value(json_object_get(object, "id"));
    while (id && place < dataset->count && strcmp(dataset->examples[place].id, id) != 0) {
        place++;
    }
    if (!id || place == dataset->count) {
        CHECK(0, "%s: %s has no example %s", where, dataset->path, id ? id : "without id");
        return;
    }
    const Example *example = &dataset->examples[place];
    Dataset one = *dataset;
    one.examples = &dataset->examples[place];
    one.count = 1;
    /* numbers count MultiRC's answers without text, which are not read for training */
    CHECK(dataset->task->form == FORM_MULTIRC ? place <= index : place == index,
          "%s: %s is example %d", where, id, place);
    CHECK(example->line == json_integer_value(json_object_get(object, "line")), "%s: line %d",
          where, example->line);
    CHECK(XXH64(example->id, strlen(example->id), 0) ==
              strtoull(json_string_value(json_object_get(object, "example_hash")), NULL, 10),
          "%s: example_hash", where);
    if (dataset->task->kind == KIND_REGRESSION) {
        CHECK(example->target == strtof(json_string_value(json_object_get(object, "target")), NULL),
              "%s: target %a", where, (double)example->target);
    } else {
        CHECK(example->label == json_integer_value(json_object_get(object, "label")),
              "%s: label %d", where, example->label);
        CHECK(!strcmp(dataset->task->labels[example->label],
                      json_string_value(json_object_get(object, "label_name"))),
              "%s: label name", where);
    }
    const json_t *cluster = json_object_get(object, "cluster");
    CHECK(example->cluster == (cluster ? json_integer_value(cluster) : -1), "%s: cluster %d", where,
          example->cluster);
    compare_spans(&one, object, where);
    const json_t *choices = json_object_get(object, "choices");
    static const char *const keys[2][2] = {{"ids", "ids_64"}, {"decoder_ids", "decoder_ids_64"}};
    for (int way = 0; way < 4; way++) {
        Encoded encoded;
        Error error;
        int decoder = way / 2, cut = way % 2;
        if (decoder && !dataset->task->decoder) {
            CHECK(!json_object_get(object, "decoder"), "%s: a decoder's text", where);
            break;
        }
        const char *key = keys[decoder][cut];
        const json_t *first = choices ? json_array_get(choices, 0) : object;
        int fails = cut && json_is_null(json_object_get(first, key));
        Encoding encoding = {decoder ? decoder_tokenizer : tokenizer, decoder,
                             cut ? 64 : dataset->task->longest, 1 << 20, 1, 0};
        int code = encode(&encoded, &one, &encoding, &error);
        CHECK(fails ? code == EXIT_BAD_DATA : !code, "%s: encoding to %s gives %d", where, key,
              code);
        for (int c = 0; !code && c < encoded.choices; c++) {
            const json_t *part = choices ? json_array_get(choices, (size_t)c) : object;
            if (!way) {
                compare_segments(dataset->task, example, c, part, where);
            }
            const json_t *expected = json_object_get(part, key);
            compare_ids(&encoded, (size_t)c,
                        expected ? expected : json_object_get(part, keys[decoder][0]), where, key);
        }
        if (!code) {
            encoded_free(&encoded);
        }
    }
}

static void compare_counts(const char *data, const char *path)
{
    json_t *counts, *entry, *split;
    const char *name, *split_name;
    Error error;
    if (json_read_file(&counts, path, &error)) {
        CHECK(0, "%s", error.text);
        return;
    }
    json_object_foreach(counts, name, entry)
    {
        const Task *task = task_find(name, &error);
        if (!task) {
            printf("%s: task not implemented, not compared\n", name);
            continue;
        }
        json_object_foreach(entry, split_name, split)
        {
            Dataset dataset;
            if (dataset_read(&dataset, task, data, split_name, 0, 0, 2, &error)) {
                CHECK(0, "%s", error.text);
                continue;
            }
            /* MultiRC's answers without text are counted there, and not read for training */
            int dropped = *split_name == 't'
                              ? (int)json_array_size(json_object_get(split, "empty_answers"))
                              : 0,
                counted = 0, expected = 0;
            CHECK(dataset.count + dropped == json_integer_value(json_object_get(split, "examples")),
                  "%s %s: %d examples", name, split_name, dataset.count);
            CHECK((dataset.unlike == NULL) ==
                      (split_find(task, split_name)->examples == dataset.count),
                  "%s %s: %s", name, split_name,
                  dataset.unlike ? dataset.unlike : "no word of missing examples");
            CHECK(!strcmp(dataset.sha256, json_string_value(json_object_get(split, "sha256"))),
                  "%s %s: sha256", name, split_name);
            for (int k = 0; k < task->K && task->kind != KIND_REGRESSION; k++) {
                int count = 0;
                for (int i = 0; i < dataset.count; i++) {
                    count += dataset.examples[i].label == k;
                }
                int wanted = (int)json_integer_value(
                    json_object_get(json_object_get(split, "labels"), task->labels[k]));
                CHECK(dropped ? count <= wanted : count == wanted, "%s %s: %d of label %s", name,
                      split_name, count, task->labels[k]);
                counted += count;
                expected += wanted;
            }
            CHECK(counted + dropped == expected, "%s %s: %d labels", name, split_name, counted);
            dataset_free(&dataset);
        }
    }
    json_decref(counts);
}

static void compare_file(const char *data, const char *path)
{
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    char *name = string_format("%.*s", (int)strcspn(base, "."), base);
    Error error;
    const Task *task = task_find(name, &error);
    static const char *const names[2] = {"train", "validation"};
    File file;
    Dataset splits[2] = {{0}};
    int before = checks_passed + checks_failed, lines = 0;
    free(name);
    if (!task || file_map(&file, path, &error)) {
        CHECK(0, "%s", error.text);
        return;
    }
    for (size_t at = 0; at < file.size; lines++) {
        const unsigned char *end = memchr(file.bytes + at, '\n', file.size - at);
        size_t length = end ? (size_t)(end - file.bytes) - at : file.size - at;
        json_t *object = NULL;
        char *where = string_format("%s:%d", path, lines + 1);
        if (json_read_bytes(&object, file.bytes + at, length, where, &error)) {
            CHECK(0, "%s", error.text);
        } else {
            const char *split = json_string_value(json_object_get(object, "split"));
            int s = split && !strcmp(split, names[1]);
            if (!split || strcmp(split, names[s]) != 0) {
                CHECK(0, "%s: split %s", where, split ? split : "is missing");
            } else if (!splits[s].task &&
                       dataset_read(&splits[s], task, data, split, 0, 0, 2, &error)) {
                CHECK(0, "%s: %s", where, error.text);
            } else {
                compare_case(&splits[s], object, where);
            }
        }
        json_decref(object);
        free(where);
        at += length + 1;
    }
    printf("%s: %d cases, %d comparisons\n", path, lines, checks_passed + checks_failed - before);
    for (int s = 0; s < 2; s++) {
        dataset_free(&splits[s]);
    }
    file_unmap(&file);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fputs("usage: test_tasks DATA_DIR CASES.jsonl...|counts.json\n", stderr);
        return EXIT_USAGE;
    }
    Error error;
    const char *chosen = getenv("SEEDBED_TOKENIZER");
    char *folder = chosen ? string_copy(chosen)
                          : string_format("%s/../tokenizers/roberta-base", argv[1]);
    char *decoder_folder = string_format("%s/../tokenizers/llama3", argv[1]);
    if (tokenizer_open(&tokenizer, folder, &error) ||
        tokenizer_open(&decoder_tokenizer, decoder_folder, &error)) {
        fprintf(stderr, "%s\n", error.text);
        return error.code;
    }
    for (int i = 2; i < argc; i++) {
        if (strstr(argv[i], "counts.json")) {
            compare_counts(argv[1], argv[i]);
        } else {
            compare_file(argv[1], argv[i]);
        }
    }
    free(folder);
    free(decoder_folder);
    tokenizer_close(tokenizer);
    tokenizer_close(decoder_tokenizer);
    return checks_close("test_tasks");
}
