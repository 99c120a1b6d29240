/* Fuzz target: the files of a tokenizer, and a text to encode with it. */
#include "fuzz.h"
#include "vocabulary.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "config.json",
};
enum { NAMES = sizeof names / sizeof *names }; /* the letter behind theirs is the text's */

static int is_token(const Tokenizer *t, int id)
{
    return id >= 0 && id < arrlen(t->vocabulary.texts) && t->vocabulary.texts[id];
}

static void check_words(const Tokenizer *t)
{
    const Vocabulary *v = &t->vocabulary;
    int words = 0;
    for (ptrdiff_t id = 0; id < arrlen(v->texts); id++) {
        if (v->texts[id]) {
            REQUIRE(tokenizer_find(t, v->texts[id]) == id, "'%s'", v->texts[id]);
            words += vocabulary_find(v, v->texts[id]) == id;
        }
    }
    REQUIRE(words == v->count, "%d of %d", words, v->count);
    for (ptrdiff_t i = 0; i < arrlen(t->added); i++) {
        const AddedToken *a = &t->added[i];
        REQUIRE(is_token(t, a->id) && !strcmp(v->texts[a->id], a->text), "'%s'", a->text);
        REQUIRE(a->size == strlen(a->pattern), "'%s'", a->text);
    }
    REQUIRE(v->unknown < 0 ? !t->wordpiece : is_token(t, v->unknown), "%d", v->unknown);
}

static void check_merges(const Tokenizer *t)
{
    const Vocabulary *v = &t->vocabulary;
    for (ptrdiff_t i = 0; i < arrlen(v->merges); i++) {
        const Merge *m = &v->merges[i];
        REQUIRE(is_token(t, m->left) && is_token(t, m->right) && is_token(t, m->id), "merge %td",
                i);
        size_t left = strlen(v->texts[m->left]);
        REQUIRE(!strncmp(v->texts[m->id], v->texts[m->left], left) &&
                    !strcmp(v->texts[m->id] + left, v->texts[m->right]),
                "merge %td", i);
        REQUIRE(vocabulary_merge(v, m->left, m->right) == m, "merge %td", i);
        REQUIRE(m->rank >= 0 && (i == 0 || m->rank > m[-1].rank), "merge %td", i);
    }
    for (int b = 0; b < 256 && !t->wordpiece; b++) {
        REQUIRE(is_token(t, v->byte_id[b]) || (v->byte_id[b] == -1 && v->digits), "byte %d", b);
    }
}

static Ids encode(const Tokenizer *t, const FuzzFile *text, int flags)
{
    Ids ids = NULL, again = NULL;
    tokenizer_encode(t, &ids, (const char *)text->bytes, text->size, flags);
    tokenizer_encode(t, &again, (const char *)text->bytes, text->size, flags);
    for (ptrdiff_t i = 0; i < arrlen(ids); i++) {
        REQUIRE(is_token(t, ids[i]), "%d", ids[i]);
    }
    REQUIRE(arrlen(ids) == arrlen(again) &&
                (!ids || !memcmp(ids, again, arrlenu(ids) * sizeof *ids)),
            "%td tokens", arrlen(ids));
    arrsetlen(again, 0);
    if (utf8_valid_prefix((const char *)text->bytes, text->size) == text->size) {
        Place *places = NULL;
        tokenizer_encode_placed(t, &again, &places, (const char *)text->bytes, text->size, flags);
        REQUIRE(arrlen(ids) == arrlen(again) && arrlen(places) == arrlen(ids) &&
                    (!ids || !memcmp(ids, again, arrlenu(ids) * sizeof *ids)),
                "%td places", arrlen(places));
        for (ptrdiff_t i = 0; i < arrlen(places); i++) {
            REQUIRE(places[i].begin <= places[i].end && places[i].end <= text->size,
                    "token %td: %zu to %zu", i, places[i].begin, places[i].end);
        }
        arrfree(places);
    }
    arrfree(again);
    return ids;
}

/* One to three segments of the same ids, whole or cut. */
static void check_build(const Tokenizer *t, Ids ids, int segments, int longest, int truncation)
{
    Part parts[] = {{.ids = ids}, {.ids = ids, .segment = 1}, {.ids = ids, .segment = 2}};
    Ids built = NULL, types = NULL;
    ptrdiff_t whole = segments * arrlen(ids) + tokenizer_specials(t, segments);
    int code = tokenizer_build(t, &built, &types, parts, segments, longest, truncation);
    REQUIRE(arrlen(built) == arrlen(types) && (!code || !built), "%td types", arrlen(types));
    REQUIRE(arrlen(built) == (code              ? 0
                              : whole < longest ? whole
                                                : longest),
            "%d segments: %td tokens of %td, at most %d", segments, arrlen(built), whole, longest);
    for (ptrdiff_t i = 0; i < arrlen(built); i++) {
        REQUIRE(is_token(t, built[i]) && (types[i] == 0 || types[i] == 1), "%d", built[i]);
    }
    arrfree(built);
    arrfree(types);
}

static void check(const Tokenizer *t, const FuzzFile *text)
{
    check_words(t);
    check_merges(t);
    REQUIRE(tokenizer_longest(t) >= 1, "%d", tokenizer_longest(t));
    for (int flags = 0; flags < 4; flags++) {
        Ids ids = encode(t, text, flags);
        for (int segments = 1; segments <= 3; segments++) {
            check_build(t, ids, segments, INT32_MAX, TRUNCATE_NONE);
            check_build(t, ids, segments, 8, segments < 3 ? TRUNCATE_LONGEST_FIRST : 0);
        }
        arrfree(ids);
    }
}

/* A tokenizer by this path, twice. */
static void open_twice(const char *path, const FuzzFile *text)
{
    Error error;
    Tokenizer *t, *again;
    if (tokenizer_open(&t, path, &error)) {
        REQUIRE(!t && *error.text, "code %d", error.code);
        return;
    }
    check(t, text);
    REQUIRE(!tokenizer_open(&again, path, &error), "%s", error.text);
    REQUIRE(!strcmp(tokenizer_sha256(t), tokenizer_sha256(again)), "%s", tokenizer_sha256(t));
    tokenizer_close(t);
    tokenizer_close(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char sample[] = "The  cat's 12 caf\xC3\xA9s, \xE4\xBD\xA0\xF0\x9F\x98\x80\xFF\n";
    FuzzFile files[FUZZ_FILES], text = {0, (uint8_t *)(uintptr_t)sample, sizeof sample - 1};
    int count = fuzz_split(files, bytes, size), there[NAMES] = {0};
    for (int i = 0; i < count; i++) {
        int name = (unsigned char)(files[i].letter - 'a') % (NAMES + 1);
        if (name == NAMES) {
            text = files[i];
        } else {
            fuzz_write(names[name], files[i].bytes, files[i].size);
            there[name] = 1;
        }
    }
    open_twice(fuzz_folder(), &text);
    if (there[0]) {
        char *path = fuzz_path(names[0]);
        open_twice(path, &text);
        free(path);
    }
    for (int i = 0; i < NAMES; i++) {
        if (there[i]) {
            fuzz_remove(names[i]);
        }
    }
    fuzz_free(files, count);
    return 0;
}
