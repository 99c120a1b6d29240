/* Fuzz target: a file of a task, a user's own table, a text for lm, kept tokens. */
#include "fuzz.h"
#include "own.h"
#include "text.h"
#include "token_cache.h"

#include <dirent.h>
#include <math.h>
#include <stb/stb_ds.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const char *const endings[] = {".tsv", ".jsonl", ".csv", ".json"};
static const char *const problems[] = {NULL, "single", "choice", "regression"};
static Tokenizer *tokenizer;
static int V;

static void check_encoded(const Encoded *e, int longest)
{
    size_t sequences = (size_t)e->dataset->count * (size_t)e->choices;
    int most = 0;
    REQUIRE(e->start[0] == 0 && e->start[sequences] == arrlenu(e->ids), "%zu", e->start[sequences]);
    REQUIRE(arrlenu(e->types) == arrlenu(e->ids), "%zu types", arrlenu(e->types));
    for (size_t s = 0; s < sequences; s++) {
        REQUIRE(e->start[s] < e->start[s + 1], "sequence %zu", s);
        most = int_max(most, (int)(e->start[s + 1] - e->start[s]));
    }
    REQUIRE(most == e->longest && most <= longest, "%d tokens, at most %d", most, longest);
    for (int i = 0; e->spans && i < e->dataset->count; i++) {
        for (int k = 0; k < SPANS; k++) {
            const int *span = e->spans[i][k];
            REQUIRE(span[0] >= 0 && span[0] < span[1] &&
                        (size_t)span[1] <= e->start[i + 1] - e->start[i],
                    "span %d of example %d: %d to %d", k, i, span[0], span[1]);
        }
    }
    for (size_t t = 0; t < arrlenu(e->ids); t++) {
        REQUIRE(e->ids[t] >= 0 && e->ids[t] < V && e->types[t] >= 0 && e->types[t] < 2, "token %zu",
                t);
    }
}

static void check_dataset(const Dataset *d)
{
    const Task *task = d->task;
    int classes = task->kind == KIND_CLASSES || task->kind == KIND_CHOICE;
    REQUIRE(d->count > 0 && strlen(d->sha256) == 64, "%d examples", d->count);
    REQUIRE(task->K > 0 && (task->kind != KIND_REGRESSION || task->K == 1), "K = %d", task->K);
    for (int i = 0; i < d->count; i++) {
        const Example *e = &d->examples[i];
        REQUIRE(e->id && *e->id && e->line > 0 && e->cluster >= -1, "example %d", i);
        REQUIRE(utf8_valid_prefix(e->id, strlen(e->id)) == strlen(e->id), "example %d", i);
        if (d->hidden || !classes) {
            REQUIRE(e->label == -1 && (d->hidden || isfinite(e->target)), "example %d: %d, %g", i,
                    e->label, (double)e->target);
        } else {
            REQUIRE(e->label >= 0 && e->label < task->K, "example %d: class %d of %d", i, e->label,
                    task->K);
        }
    }
}

static void check_spans(const Dataset *d)
{
    for (int i = 0; i < d->count; i++) {
        for (int k = 0; k < SPANS && task_span(d->task, k) >= 0; k++) {
            const int *span = d->examples[i].span[k];
            const char *text = d->examples[i].text[0][task_span(d->task, k)];
            REQUIRE(span[0] >= 0 && span[0] <= span[1] && (size_t)span[1] <= strlen(text),
                    "span %d of example %d: %d to %d", k, i, span[0], span[1]);
        }
    }
}

/* As an encoder and as a decoder get it, and with spans. */
static void check_encoding(const Dataset *d)
{
    int spans = task_span(d->task, 0) >= 0;
    for (int form = 0; form <= spans + (d->task->decoder != NULL); form++) {
        Encoded encoded;
        Encoding encoding = {.tokenizer = tokenizer,
                             .decoder = form > spans,
                             .longest = 24,
                             .V = V,
                             .threads = 1,
                             .spans = form == 1 && spans};
        Error error;
        if (!encode(&encoded, d, &encoding, &error)) {
            check_encoded(&encoded, encoding.longest);
            encoded_free(&encoded);
        }
    }
}

static void check_halves(Dataset *d)
{
    Dataset half;
    int count = d->count;
    if (!dataset_halve(d, &half)) {
        REQUIRE(d->count > 0 && half.count > 0 && d->count + half.count == count, "%d of %d",
                half.count, count);
        check_dataset(d);
        check_dataset(&half);
        dataset_free(&half);
    }
}

static void read_task(const Task *task, int form, const FuzzFile *file)
{
    static const char *const splits[] = {"train", "validation", "test"};
    Dataset d;
    Error error;
    const char *split = splits[form / 4 % 3];
    const Split *official = split_find(task, split);
    if (!official) { /* a diagnostic has one split */
        official = split_find(task, split = task->trained ? "test" : "train");
    }
    if (!official) {
        return;
    }
    int length = (int)strcspn(official->files, task->trained ? "|" : ".");
    char *name = string_format("%.*s%s", length, official->files,
                               task->trained ? "" : endings[form % 4]);
    fuzz_write(name, file->bytes, file->size);
    if (!dataset_read(&d, task, fuzz_folder(), split, form / 12 % 2 ? 2 : 0, form / 24 % 2,
                      1 + form / 48 % 2, &error)) {
        check_dataset(&d);
        check_spans(&d);
        check_encoding(&d);
        check_halves(&d);
        dataset_free(&d);
    }
    fuzz_remove(name);
    free(name);
}

/* Both splits from one file: whatever is a training file is its own dev file. */
static void read_own(int form, const FuzzFile *file)
{
    OwnRequest request = {.name = "own", .problem = problems[form / 4 % 4]};
    char *name = string_format("own%s", endings[form % 4]), *path = fuzz_path(name);
    Own own;
    Dataset train, dev;
    Error error;
    int threads = 1 + form / 32 % 2;
    fuzz_write(name, file->bytes, file->size);
    REQUIRE(!own_init(&own, &request, &error), "%s", error.text);
    if (!own_read(&own, &train, path, "train", 0, form / 16 % 2, threads, &error)) {
        REQUIRE(!own_read(&own, &dev, path, "validation", 0, form / 16 % 2, threads, &error), "%s",
                error.text);
        REQUIRE(train.count == dev.count, "%d of %d", dev.count, train.count);
        for (int i = 0; i < dev.count; i++) {
            REQUIRE(train.examples[i].label == dev.examples[i].label, "example %d", i);
        }
        check_dataset(&train);
        check_dataset(&dev);
        check_encoding(&dev);
        free(own_describe(&own));
        free(own_columns(&own, 1));
        dataset_free(&train);
        dataset_free(&dev);
    }
    own_free(&own);
    fuzz_remove(name);
    free(path);
    free(name);
}

static void read_text(int form, const FuzzFile *file)
{
    Dataset train, dev;
    Encoded train_ids, dev_ids;
    Error error;
    const Task *task = task_find("lm", &error);
    char *path = fuzz_path("text.txt");
    int longest = 2 + form % 16;
    fuzz_write("text.txt", file->bytes, file->size);
    const Encoding encoding = {.tokenizer = tokenizer, .longest = longest, .V = V, .threads = 1};
    if (!text_read(&train, &dev, &train_ids, &dev_ids, task, path, &encoding, 0, 0, &error)) {
        check_encoded(&train_ids, longest);
        check_encoded(&dev_ids, longest);
        encoded_free(&train_ids);
        encoded_free(&dev_ids);
        dataset_free(&train);
        dataset_free(&dev);
    }
    fuzz_remove("text.txt");
    free(path);
}

/* The file of a folder whose name ends so, for the caller to free. */
static char *find_file(const char *folder, const char *ending)
{
    char *found = NULL;
    DIR *stream = opendir(folder);
    struct dirent *entry;
    while (stream && (entry = readdir(stream))) {
        if (strstr(entry->d_name, ending)) {
            free(found);
            found = string_copy(entry->d_name);
        }
    }
    if (stream) {
        closedir(stream);
    }
    return found;
}

/* Puts right what a damaged file is refused for at once: the beginning of the header is a whole
 * file's, the counts are those of the size, the digest fits (token_cache.c). */
static void put_right(uint8_t *bytes, size_t size, const uint8_t *begin, uint64_t sequences)
{
    enum { KEY_END = 24, DIGEST = 24, TOKENS = 40, SEQUENCES = 48, BODY = 64 };
    uint64_t lengths = sequences * sizeof(uint32_t);
    if (size < BODY + lengths) {
        return;
    }
    uint64_t tokens = (size - BODY - lengths) / 5;
    memcpy(bytes, begin, KEY_END);
    memset(bytes + DIGEST, 0, sizeof(XXH128_hash_t));
    memcpy(bytes + TOKENS, &tokens, sizeof tokens);
    memcpy(bytes + SEQUENCES, &sequences, sizeof sequences);
    XXH128_hash_t digest = XXH3_128bits(bytes, BODY + 5 * tokens + lengths);
    memcpy(bytes + DIGEST, &digest, sizeof digest);
}

/* Kept tokens. */
static void read_kept(int form, const FuzzFile *file)
{
    static char text[] = "a b", id[] = "train-0";
    char *texts[2][MAX_TEXTS] = {{text, text}, {text, text}};
    Example examples[] = {{.id = id, .line = 1, .text = texts},
                          {.id = id, .line = 2, .text = texts}};
    const Task *task = task_known(form % 2 ? "copa" : "rte");
    Dataset d = {.task = task, .split = "train", .path = id, .examples = examples, .count = 2};
    Encoding encoding = {.tokenizer = tokenizer, .longest = 8 + form / 2 % 4, .V = V, .threads = 1};
    Encoded encoded;
    Error error;
    File whole;
    char *folder = fuzz_path("seedbed/tokens"), *parent = fuzz_path("seedbed");
    REQUIRE(!encode_cached(&encoded, &d, &encoding, 1, &error), "%s", error.text);
    encoded_free(&encoded);
    char *kept = find_file(folder, ".tokens");
    REQUIRE(kept, "nothing is kept");
    char *name = string_format("seedbed/tokens/%s", kept), *path = fuzz_path(name);
    REQUIRE(!file_map(&whole, path, &error), "%s", error.text);
    if (form / 8 % 4) {
        put_right(file->bytes, file->size, whole.bytes, 2 * (size_t)task_sequences(task));
    }
    file_unmap(&whole);
    fuzz_write(name, file->bytes, file->size);
    REQUIRE(!encode_cached(&encoded, &d, &encoding, 1, &error), "%s", error.text);
    check_encoded(&encoded, encoding.longest);
    encoded_free(&encoded);
    REQUIRE(!folder_remove(folder, &error) && !folder_remove(parent, &error), "%s", error.text);
    free(name);
    free(path);
    free(kept);
    free(parent);
    free(folder);
}

/* The letter is the task's place, then the diagnostics', own tables', texts' and kept tokens'; the
 * next byte says ending, split and so on. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const diagnostics[] = {"ax", "axb", "axg"};
    if (!tokenizer) {
        const char *const *words = builtin_words(&V);
        tokenizer = tokenizer_from_words(words, V);
        setenv("XDG_CACHE_HOME", fuzz_folder(), 1);
    }
    if (size < 2) {
        return 0;
    }
    int tasks, form = (unsigned char)(bytes[1] - 'a');
    const Task *task = tasks_all(&tasks);
    int kind = (unsigned char)(bytes[0] - 'a') % (tasks + 6);
    FuzzFile file = {.size = size - 2, .bytes = memory_alloc(size - 2, 1)};
    memcpy(file.bytes, bytes + 2, file.size);
    if (kind < tasks + 3) {
        read_task(kind < tasks ? &task[kind] : task_known(diagnostics[kind - tasks]), form, &file);
    } else {
        (kind == tasks + 3 ? read_own : kind == tasks + 4 ? read_text : read_kept)(form, &file);
    }
    free(file.bytes);
    return 0;
}
