/* Small parts: recipes, orders, packing, texts, metrics and the built-in data. With arguments, golden
 * files: build/test_units [.../tasks/metrics.json] */
#include "check.h"
#include "encode.h"
#include "lines.h"
#include "metrics.h"
#include "options.h"
#include "preds.h"
#include "recipe.h"
#include "recipes.h"
#include "pack.h"
#include "rig.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

static void check_order(void)
{
    int a[1000], b[1000], seen[1000] = {0}, fixed = 0;
    epoch_order(a, 1000, 52, 3);
    epoch_order(b, 1000, 52, 3);
    CHECK(!memcmp(a, b, sizeof a), "the order is a function of seed and epoch");
    for (int i = 0; i < 1000; i++) {
        seen[a[i]]++;
        fixed += a[i] == i;
    }
    for (int i = 0; i < 1000; i++) {
        CHECK(seen[i] == 1, "example %d stands %d times", i, seen[i]);
    }
    CHECK(fixed < 10, "%d of 1000 in place",
          fixed); /* Poisson(1): more than 9 has probability 1e-7 */
    epoch_order(b, 1000, 52, 4);
    CHECK(memcmp(a, b, sizeof a), "epochs differ");
    epoch_order(b, 1000, 53, 3);
    CHECK(memcmp(a, b, sizeof a), "seeds differ");
}

static Tokenizer *builtin_tokenizer(int *words)
{
    const char *const *list = builtin_words(words);
    return tokenizer_from_words(list, *words);
}

/* Neither ids nor the first error depend on the threads. */
static void check_encode_threads(void)
{
    int words;
    Tokenizer *t = builtin_tokenizer(&words);
    Dataset dataset;
    Encoded one, many;
    Error first, other, error;
    const Task *task = task_find("rte", &error);
    dataset_builtin(&dataset, task, "train", 0);
    CHECK(!encode(&one, &dataset, &(Encoding){t, 0, 12, words, 1, 0}, &error), "%s", error.text);
    CHECK(!encode(&many, &dataset, &(Encoding){t, 0, 12, words, 5, 0}, &error), "%s", error.text);
    size_t sequences = (size_t)dataset.count + 1, tokens = one.start[dataset.count];
    CHECK(!memcmp(one.start, many.start, sequences * sizeof *one.start) &&
              !memcmp(one.ids, many.ids, tokens * sizeof *one.ids) &&
              !memcmp(one.types, many.types, tokens * sizeof *one.types) && one.cut == many.cut &&
              one.longest == many.longest && one.cut,
          "other ids from five threads");
    int largest = 0; /* an id that is none of the model's then */
    for (size_t i = 0; i < tokens; i++) {
        largest = int_max(largest, one.ids[i]);
    }
    int line = 0;
    for (size_t i = 0; i < tokens && one.ids[i] != largest; i++) {
        line += i + 1 == one.start[line + 1];
    }
    char *where = string_format("(builtin sample:%d)", line + 1);
    encoded_free(&one);
    encoded_free(&many);
    for (int i = 0; i < dataset.count; i++) {
        dataset.examples[i].line = i + 1;
    }
    int code = encode(&one, &dataset, &(Encoding){t, 0, 12, largest, 1, 0}, &first);
    CHECK(code == EXIT_BAD_DATA &&
              encode(&many, &dataset, &(Encoding){t, 0, 12, largest, 5, 0}, &other) == code &&
              strstr(first.text, where) && !strcmp(first.text, other.text),
          "%s: one thread: %s; five: %s", where, first.text, other.text);
    free(where);
    dataset_free(&dataset);
    tokenizer_close(t);
}

/* A part of a text that no 0 follows; the fields of one long line, in time that grows with it. */
static void check_text(void)
{
    enum { FIELDS = 1000000 };
    const char bytes[3] = {'a', 'b', 'c'};
    char *part = string_part(bytes, 3), *none = string_part(bytes, 0);
    char *all = memory_alloc(FIELDS, 1);
    char *path = scratch_path("fields");
    FILE *out = fopen(path, "wb");
    int code = 0;
    LineFile file;
    Error error = {0};
    CHECK(!strcmp(part, "abc") && !*none, "'%s' and '%s'", part, none);
    memset(all, '\t', FIELDS - 1);
    all[FIELDS - 1] = 'x';
    CHECK(out && fwrite(all, 1, FIELDS, out) == FIELDS && !fclose(out), "%s", path);
    double start = clock_seconds();
    CHECK(!lines_open(&file, path, &error) && lines_next(&file, &code, &error), "%s", error.text);
    double seconds = clock_seconds() - start;
    CHECK(file.count == FIELDS && !strcmp(file.fields[FIELDS - 1], "x"), "%d fields", file.count);
    CHECK(seconds < 5, "%d fields took %.1f s", FIELDS, seconds);
    lines_close(&file);
    free(path);
    free(part);
    free(none);
    free(all);
}

/* A link in a ring cannot be looked at: nobody can say that nothing is there. A name that is too long
 * is no file's. */
static void check_paths(void)
{
    Error error = {0};
    char *ring = scratch_path("ring"), *none = scratch_path("nothing"),
         *longer = string_format("%s/%0300d", scratch_folder(), 0),
         *inside = string_format("%s/x", ring);
    int is_folder;
    CHECK(!symlink("ring", ring), "%s", ring);
    CHECK(path_exists(ring) && path_exists(inside), "what cannot be looked at is absent");
    CHECK(!path_is_folder(ring) && path_look(ring, &is_folder, &error) == error.code, "%d",
          error.code);
    CHECK(path_look(inside, &is_folder, &error) && !strncmp(error.text, "cannot read ", 12), "%s",
          error.text);
    CHECK(!path_exists(none) && !path_look(none, &is_folder, &error), "%s", none);
    CHECK(!path_exists(longer) && !path_look(longer, &is_folder, &error),
          "a name that is too long");
    CHECK(path_exists(scratch_folder()) && !path_look(scratch_folder(), &is_folder, &error) &&
              is_folder,
          "a folder");
    free(ring);
    free(none);
    free(longer);
    free(inside);
}

static void check_builtin(void)
{
    int count, words;
    const Task *tasks = tasks_all(&count);
    Tokenizer *t = builtin_tokenizer(&words);
    for (int i = 0; i < count; i++) {
        Dataset train, dev;
        Encoded encoded;
        Error error;
        dataset_builtin(&train, &tasks[i], "train", 0);
        dataset_builtin(&dev, &tasks[i], "validation", 0);
        int labels[3] = {0}, unknown = 0;
        CHECK(!encode(&encoded, &train, &(Encoding){t, 0, tasks[i].longest, words, 2, 0}, &error),
              "%s", error.text);
        for (size_t j = 0; j < encoded.start[train.count * encoded.choices]; j++) {
            unknown += encoded.ids[j] == 1;
        }
        for (int j = 0; j < train.count; j++) {
            labels[train.examples[j].label < 0 ? 0 : train.examples[j].label]++;
        }
        CHECK(unknown == 0, "%s: %d unknown words", tasks[i].name, unknown);
        for (int k = 0; k < tasks[i].K; k++) {
            CHECK(labels[k] * 5 > train.count, "%s: label %d has %d of %d", tasks[i].name, k,
                  labels[k], train.count);
        }
        int same = 0;
        for (int j = 0; j < dev.count; j++) {
            same += !strcmp(train.examples[j].text[0][0], dev.examples[j].text[0][0]);
        }
        CHECK(same < dev.count / 2, "%s: %d of %d first examples stand in train and dev",
              tasks[i].name, same, dev.count);
        encoded_free(&encoded);
        dataset_free(&train);
        dataset_free(&dev);
    }
    tokenizer_close(t);
}

static void check_packing(void)
{
    int words;
    Error error;
    Dataset dataset;
    Encoded encoded;
    Tokenizer *t = builtin_tokenizer(&words);
    dataset_builtin(&dataset, task_find("copa", &error), "train", 9);
    CHECK(!encode(&encoded, &dataset, &(Encoding){t, 0, 128, words, 1, 0}, &error), "%s",
          error.text);
    static const int order[9] = {8, 3, 1, 0, 2, 7, 6, 5, 4};
    Rig rig;
    rig_open_small(&rig, words);
    batch_init(&rig.batch, &rig.model, 1000, 18);
    pack(&rig.batch, &encoded, order, 2, 3, 5);
    const Batch *b = &rig.batch;
    CHECK(b->B == 6 && b->examples == 3 && b->terms == 3, "sizes");
    CHECK((size_t)b->N == encoded_tokens(&encoded, order, 2, 3), "tokens");
    /* what was sent to the device is what the host's block has at the same place */
#define HOST(field) (b->host + (b->field - b->device))
    CHECK(HOST(cu_seqlens)[6] == b->N, "sequences");
    CHECK(HOST(sequence_slots)[0] == 10 && HOST(sequence_slots)[5] == 15 &&
              HOST(slots)[b->N - 1] == 15,
          "slots count from the global batch");
    CHECK(HOST(labels)[1] == dataset.examples[0].label, "labels in the order given");
    CHECK(!memcmp(HOST(tokens), encoded.ids + encoded.start[2], sizeof(int)), "first token");
#undef HOST
    rig_free(&rig);
    encoded_free(&encoded);
    dataset_free(&dataset);
    tokenizer_close(t);
}

/* Every half-precision number of a file: sign, 5 bits of exponent, 10 of fraction. */
static void check_halves(void)
{
    size_t bad = 0;
    for (unsigned half = 0; half < 0x10000; half++) {
        unsigned char bytes[2] = {(unsigned char)half, (unsigned char)(half >> 8)};
        Tensor tensor = {.name = "x", .dtype = DTYPE_F16, .count = 1, .bytes = 2, .data = bytes};
        int exponent = half >> 10 & 31, sign = half >> 15 ? -1 : 1;
        double fraction = (half & 1023) / 1024.0, value = exponent == 0 ? ldexp(fraction, -14)
                                                          : exponent == 31
                                                              ? (fraction > 0 ? NAN : INFINITY)
                                                              : ldexp(1 + fraction, exponent - 15);
        Error error;
        float got;
        bad += tensor_to_float(&got, &tensor, "halves", &error) != 0 ||
               (isnan(value) ? !isnan(got)
                             : (double)got != sign * value || !signbit(got) != (sign == 1));
    }
    CHECK(bad == 0, "%zu of 65536 halves", bad);
}

static void check_recipe(void)
{
    Options options;
    Recipe recipe;
    Error error;
    char *argv[] = {"train_gpt", "--task", "rte", "--lr=3e-5", NULL};
    CHECK(!options_parse(&options, 4, argv, &error), "%s", error.text);
    NamedRecipe named;
    const Task *rte = task_find("rte", &error);
    CHECK(!recipe_open(&named, &options, rte, 0, &error), "%s", error.text);
    CHECK(!recipe_make(&recipe, &options, rte, &error), "%s", error.text);
    recipe_close(&named);
    CHECK(recipe.lr == 3e-5 && recipe.batch == 16 && recipe.epochs == 20 && recipe.warmup == 0.1,
          "task's recipe with one change");
    Seeds seeds = {52, 52, 52, 52, 52}, other = {62, 1, 2, 3, 4};
    json_t *a = recipe_json(&recipe, &seeds), *b = recipe_json(&recipe, &other);
    char x[65], y[65], *text = json_canonical(a);
    recipe_sha256(x, a);
    recipe_sha256(y, b);
    CHECK(!strcmp(x, y), "the digest does not depend on seeds");
    CHECK(strstr(text, "\"lr\":\"3e-05\"") && strstr(text, "\"batch\":16,") && !strchr(text, ' '),
          "%s", text);
    json_decref(a);
    json_decref(b);
    free(text);
    json_t *accent = json_pack("{s:s}", "b", "\xC3\xA9");
    json_object_set_new(accent, "a", json_integer(1));
    text = json_canonical(accent);
    CHECK(!strcmp(text, "{\"a\":1,\"b\":\"\\u00e9\"}"), "%s", text);
    free(text);
    json_decref(accent);
    uint64_t list[MAX_SEEDS];
    CHECK(options_seeds(list, "42,52,18446744073709551615", &error) == 3 && list[2] == UINT64_MAX,
          "seeds");
    CHECK(options_seeds(list, "42,,1", &error) < 0 && options_seeds(list, "1,1", &error) < 0 &&
              options_seeds(list, "-1", &error) < 0,
          "bad seeds");
    CHECK(options_seeds(list, "7, 42:132:10 1-3", &error) == 14 && list[0] == 7 && list[1] == 42 &&
              list[10] == 132 && list[13] == 3,
          "ranges of seeds");
    CHECK(options_seeds(list, "18446744073709551605:18446744073709551615:10", &error) == 2 &&
              list[1] == UINT64_MAX,
          "a range that ends at the largest seed");
    CHECK(options_seeds(list, "0:18446744073709551615:18446744073709551615", &error) == 2, "span");
    static const struct {
        const char *text, *quoted;
    } words[] = {{"a/b.c-1", "a/b.c-1"}, {"", "''"},
                 {"a b", "'a b'"},       {"it's", "'it'\\''s'"},
                 {"~/x", "'~/x'"},       {"a\nb'\\", "$'a\\012b\\'\\\\'"},
                 {"$x*", "'$x*'"},       {"\xC3\xA9", "'\xC3\xA9'"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        text = shell_quote(words[i].text);
        CHECK(!strcmp(text, words[i].quoted), "%s", text);
        free(text);
    }
    static const struct {
        double low, high;
        const char *text;
    } ranges[] = {{0.2, 0.9, "less than 1 s"},   {0.6, 1.2, "0.6 to 1.2 s"},
                  {9.97, 20.4, "10 to 20 s"},    {60, 119, "1.0 to 2.0 min"},
                  {1800, 3600, "30 to 60 min"},  {5400, 9000, "1.5 to 2.5 h"},
                  {86400, 172000, "24 to 48 h"}, {90000, 259200, "1.0 to 3.0 d"}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        text = seconds_text(ranges[i].low, ranges[i].high);
        CHECK(!strcmp(text, ranges[i].text), "%s", text);
        free(text);
    }
}

static double expected(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static void check_number(const char *name, const char *key, double got, double truth,
                         double tolerance)
{
    CHECK((isnan(truth) && isnan(got)) || fabs(got - truth) <= tolerance,
          "%s %s: %.17g, expected %.17g", name, key, got, truth);
}

static int *int_list(const json_t *list)
{
    int *values = memory_alloc(json_array_size(list), sizeof *values);
    for (size_t i = 0; i < json_array_size(list); i++) {
        values[i] = (int)json_integer_value(json_array_get(list, i));
    }
    return values;
}

static double *number_list(const json_t *list)
{
    double *values = memory_alloc(json_array_size(list), sizeof *values);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        values[i] = json_is_number(item) ? json_number_value(item) : NAN;
    }
    return values;
}

static void check_metrics(const char *path)
{
    json_t *root, *item;
    Error error;
    size_t i, skipped = 0;
    if (json_read_file(&root, path, &error)) {
        CHECK(0, "%s", error.text);
        return;
    }
    json_array_foreach(json_object_get(root, "cases"), i, item)
    {
        const char *name = json_string_value(json_object_get(item, "name")),
                   *kind = json_string_value(json_object_get(item, "kind"));
        const json_t *expect = json_object_get(item, "expect");
        double tolerance = strstr(name, "large_offset") ? 1e-6 : 1e-12;
        if (!strcmp(kind, "classes")) {
            const json_t *labels = json_object_get(item, "labels");
            int *label = int_list(labels), *pred = int_list(json_object_get(item, "preds")),
                K = (int)json_integer_value(json_object_get(item, "K"));
            Confusion c;
            confusion_count(&c, label, pred, json_array_size(labels), K);
            check_number(name, "accuracy", metric_accuracy(&c), expected(expect, "accuracy"),
                         tolerance);
            CHECK((json_int_t)c.correct == json_integer_value(json_object_get(expect, "correct")),
                  "%s correct", name);
            check_number(name, "mcc", metric_mcc(&c), expected(expect, "mcc"), tolerance);
            check_number(name, "macro_f1", metric_macro_f1(&c), expected(expect, "macro_f1"),
                         tolerance);
            const json_t *each = json_object_get(expect, "f1_per_class");
            for (int k = 0; k < K && json_array_size(each) == (size_t)K; k++) {
                check_number(name, "f1", metric_f1(&c, k),
                             json_number_value(json_array_get(each, (size_t)k)), tolerance);
            }
            confusion_free(&c);
            free(label);
            free(pred);
        } else if (!strcmp(kind, "regression")) {
            const json_t *xs = json_object_get(item, "preds");
            double *x = number_list(xs), *y = number_list(json_object_get(item, "labels"));
            check_number(name, "pearson", metric_pearson(x, y, json_array_size(xs)),
                         expected(expect, "pearson"), tolerance);
            check_number(name, "spearman", metric_spearman(x, y, json_array_size(xs)),
                         expected(expect, "spearman"), tolerance);
            free(x);
            free(y);
        } else if (!strcmp(kind, "multirc")) {
            const json_t *labels = json_object_get(item, "labels");
            int *label = int_list(labels), *pred = int_list(json_object_get(item, "preds")),
                *question = int_list(json_object_get(item, "question"));
            Multirc m = metric_multirc(question, label, pred, json_array_size(labels));
            check_number(name, "f1a", m.f1a, expected(expect, "f1a"), tolerance);
            check_number(name, "em", m.em, expected(expect, "em"), tolerance);
            check_number(name, "f1m", m.f1m, expected(expect, "f1m"), tolerance);
            check_number(name, "f1m_paper", m.f1m_paper, expected(expect, "f1m_paper"), tolerance);
            free(label);
            free(pred);
            free(question);
        } else {
            skipped++;
        }
    }
    printf("%s: %zu cases, %zu of a kind that is not implemented\n", path,
           json_array_size(json_object_get(root, "cases")), skipped);
    json_decref(root);
}

/* As MultiRC's are: five answers a paragraph. */
static void make_paragraphs(Dataset *dataset)
{
    for (int i = 0; i < dataset->count; i++) {
        Example *example = &dataset->examples[i];
        free(example->id);
        example->id = string_format("p%d-q0-a%d", i / 5, i % 5);
        example->cluster = i / 5;
    }
}

static uint64_t half_key(const Example *example)
{
    size_t size = example->cluster < 0 ? strlen(example->id) : strcspn(example->id, "-");
    return XXH64(example->id, size, 0);
}

/* How many examples or paragraphs come before this one, by label and key. */
static int place_of(const Dataset *all, int i)
{
    const Example *a = &all->examples[i];
    int place = 0;
    for (int j = 0; j < all->count; j++) {
        const Example *b = &all->examples[j];
        int first = j == 0 || b->cluster < 0 || b->cluster != b[-1].cluster,
            less = b->cluster < 0 && b->label != a->label ? b->label < a->label
                                                          : half_key(b) < half_key(a);
        place += first && less;
    }
    return place;
}

/* Two halves of a dev set: nothing lost, in the order of the file, as documented. */
static void check_halved_dev(int paragraphs, int limit)
{
    Dataset all, dev, half;
    Error error;
    const char *name = paragraphs ? "multirc" : "rte";
    const Task *task = task_find(name, &error);
    dataset_builtin(&all, task, "validation", limit);
    dataset_builtin(&dev, task, "validation", limit);
    if (paragraphs) {
        make_paragraphs(&all);
        make_paragraphs(&dev);
    }
    if (dataset_halve(&dev, &half)) {
        CHECK(all.count == (paragraphs ? 5 : 1), "%s has no half of %d", name, all.count);
        dataset_free(&all);
        dataset_free(&dev);
        return;
    }
    int d = 0, h = 0;
    for (int i = 0; i < all.count; i++) {
        const char *id = all.examples[i].id;
        int in_half = h < half.count && !strcmp(half.examples[h].id, id),
            in_dev = d < dev.count && !strcmp(dev.examples[d].id, id);
        CHECK(in_half + in_dev == 1 && in_half == place_of(&all, i) % 2,
              "%s: %s is in the half %d, in the other %d, place %d", name, id, in_half, in_dev,
              place_of(&all, i));
        h += in_half;
        d += in_dev;
    }
    CHECK(h == half.count && d == dev.count && (paragraphs || half.count == all.count / 2),
          "%s: halves of %d and %d", name, half.count, dev.count);
    CHECK(!strcmp(half.sha256, all.sha256) && !strcmp(dev.sha256, all.sha256), "digests of halves");
    dataset_free(&all);
    dataset_free(&dev);
    dataset_free(&half);
}

int main(int argc, char **argv)
{
    check_order();
    check_encode_threads();
    check_text();
    check_paths();
    check_builtin();
    const int limits[] = {0, 77, 10, 5, 2, 1};
    for (int i = 0; i < 6; i++) {
        check_halved_dev(0, limits[i]);
        check_halved_dev(1, limits[i] == 2 ? 5 : limits[i] == 1 ? 6 : limits[i]);
    }
    check_packing();
    check_halves();
    check_recipe();
    for (int i = 1; i < argc; i++) {
        check_metrics(argv[i]);
    }
    return checks_close("test_units");
}
