/* Random numbers against vectors of an independent source: build/test_random FILE...
 * A file (JSON) has any of: streams, a key of (seed, name) and its words at positions; orders, of
 * an epoch; dropout, one row's mask, 1 for kept. 64-bit numbers are strings. All compare exactly.
 * From the words of a stream, uniforms and integers are computed here in whole numbers and in
 * double, exactly, and normals by libm in double. */
#include "backend.h"
#include "check.h"
#include "encode.h"
#include "json.h"
#include "rng.h"

#include <stdlib.h>
#include <string.h>

/* What a file holds of one kind, and the largest difference. */
typedef struct Compared {
    size_t count;
    double worst;
} Compared;

static uint64_t whole(const json_t *value)
{
    return json_is_string(value) ? strtoull(json_string_value(value), NULL, 10)
                                 : (uint64_t)json_integer_value(value);
}

static uint64_t whole_of(const json_t *object, const char *key)
{
    return whole(json_object_get(object, key));
}

static void compare(Compared *compared, double got, double expected, double tolerance,
                    const char *where, const char *what, uint64_t at)
{
    double difference = fabs(got - expected);
    CHECK(difference <= tolerance, "%s: %s at %llu: %.17g, expected %.17g", where, what,
          (unsigned long long)at, got, expected);
    compared->count++;
    compared->worst = difference > compared->worst ? difference : compared->worst;
}

/* Box and Muller in double. An error of u relative to 1 is at most 2^-25 (float), of the angle
 * 2^-24 2 pi and of its product with u as much: below 6 x 2^-24 x radius; logarithm, square root
 * and product add less than 3 x 2^-24 of the value. radius is at most sqrt(66 log 2) = 6.77. */
static const double normal_error = 9 * 0x1p-24 * 6.77;

static void compare_stream(const json_t *stream, Compared kinds[], const char *where)
{
    static const double pi = 3.14159265358979323846;
    const char *name = json_string_value(json_object_get(stream, "name"));
    uint64_t expected = whole_of(stream, "key"),
             key = rng_key(whole_of(stream, "seed"), name ? name : "");
    const json_t *at = json_object_get(stream, "at"), *words = json_object_get(stream, "words");
    double last = 0;
    uint64_t last_at = 0;
    CHECK(key == expected, "%s: key %llu, expected %llu", where, (unsigned long long)key,
          (unsigned long long)expected);
    CHECK(json_array_size(at) == json_array_size(words), "%s: at and words differ in size", where);
    kinds[0].count++;
    for (size_t i = 0; i < json_array_size(words); i++) {
        uint64_t j = whole(json_array_get(at, i));
        uint32_t word = (uint32_t)whole(json_array_get(words, i));
        compare(&kinds[1], rng_word(key, j), word, 0, where, "word", j);
        /* 25 bits and a half: exact in double, rounded once */
        double uniform = (double)(float)word / 4294967296.0 + 0.5 / 4294967296.0;
        compare(&kinds[2], (double)rng_uniform(word), (double)(float)uniform, 0, where, "uniform",
                j);
        for (uint32_t n = 1; n <= 1000000000; n = n * 10 + 7) {
            compare(&kinds[3], rng_below(key, j, n), (double)((uint64_t)word * n / 4294967296u), 0,
                    where, "integer below n", j);
        }
        if (i && j % 2 && last_at == j - 1) {
            double radius = sqrt(-2 * log(last)), angle = 2 * pi * uniform;
            compare(&kinds[4], (double)rng_normal(key, j - 1), radius * sin(angle), normal_error,
                    where, "normal", j - 1);
            compare(&kinds[4], (double)rng_normal(key, j), radius * cos(angle), normal_error, where,
                    "normal", j);
        }
        last = (double)(float)uniform;
        last_at = j;
    }
}

static void compare_order(const json_t *object, Compared *compared, const char *where)
{
    const json_t *expected = json_object_get(object, "order");
    int count = (int)whole_of(object, "count"),
        *order = memory_calloc((size_t)count, sizeof *order);
    CHECK(json_array_size(expected) == (size_t)count, "%s: %zu places of %d", where,
          json_array_size(expected), count);
    epoch_order(order, count, whole_of(object, "seed"), (int)whole_of(object, "epoch"));
    for (int i = 0; i < count; i++) {
        compare(compared, order[i], (double)whole(json_array_get(expected, (size_t)i)), 0, where,
                "place", (uint64_t)i);
    }
    free(order);
}

/* The mask by the words; a row outside of attention (head 0) also by the op of every build. */
static void compare_dropout(const json_t *object, Compared *compared, const char *where)
{
    const char *kept = json_string_value(json_object_get(object, "kept"));
    const char *builds[3];
    size_t count = (size_t)whole_of(object, "count");
    int position = (int)whole_of(object, "position"), slot = (int)whole_of(object, "slot"),
        built = backend_builds(builds);
    uint32_t head = (uint32_t)whole_of(object, "head");
    DropoutSite site = {.seed = whole_of(object, "seed"),
                        .step = (uint32_t)whole_of(object, "step"),
                        .site = (uint32_t)whole_of(object, "site"),
                        .p = (float)json_number_value(json_object_get(object, "p"))};
    if (!kept || strlen(kept) != count) {
        CHECK(0, "%s: kept has not %zu places", where, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        Philox words = dropout_words(&site, (uint32_t)(i / 128 * 32 + i % 32), (uint32_t)position,
                                     head, (uint32_t)slot);
        compare(compared, words.word[i / 32 % 4] >= dropout_threshold(site.p), kept[i] - '0', 0,
                where, "mask", i);
    }
    for (int b = 0; b < built && !head; b++) {
        Backend backend;
        Error error;
        if (backend_init(&backend, "cpu", builds[b], 1, &error)) {
            CHECK(0, "%s", error.text);
            continue;
        }
        float *row = memory_alloc(count, sizeof *row);
        for (size_t i = 0; i < count; i++) {
            row[i] = 1.0f;
        }
        backend.ops.dropout(&backend.ctx, row, row, &position, &slot, 1, (int)count, &site);
        for (size_t i = 0; i < count; i++) {
            float value = kept[i] == '1' ? 1.0f / (1.0f - site.p) : 0.0f;
            compare(compared, (double)row[i], (double)value, 0, where, builds[b], i);
        }
        free(row);
        backend_free(&backend);
    }
}

static void compare_file(const char *path)
{
    static const char *const names[] = {"keys",    "words",  "uniforms", "integers below n",
                                        "normals", "places", "mask bits"};
    static const char *const lists[] = {"streams", "orders", "dropout"};
    Compared kinds[7] = {{0, 0}};
    json_t *root, *item;
    size_t i, items = 0;
    Error error;
    if (json_read_file(&root, path, &error)) {
        CHECK(0, "%s", error.text);
        return;
    }
    for (int list = 0; list < 3; list++) {
        json_array_foreach(json_object_get(root, lists[list]), i, item)
        {
            char *where = string_format("%s: %s %zu", path, lists[list], i);
            items++;
            if (list == 0) {
                compare_stream(item, kinds, where);
            } else if (list == 1) {
                compare_order(item, &kinds[5], where);
            } else {
                compare_dropout(item, &kinds[6], where);
            }
            free(where);
        }
    }
    CHECK(items, "%s: neither streams nor orders nor dropout", path);
    for (int k = 0; k < 7; k++) {
        printf("%s: %zu %s, worst difference %.3g\n", path, kinds[k].count, names[k],
               kinds[k].worst);
    }
    json_decref(root);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        compare_file(argv[i]);
    }
    return checks_close("test_random");
}
