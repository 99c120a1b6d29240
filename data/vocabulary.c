/* Vocabularies: texts to ids, and pairs of ids to their merges. */
#include "json.h"
#include "vocabulary.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static void table_place(HashTable *table, HashSlot slot)
{
    size_t at = slot.hash & (table->size - 1);
    while (table->slots[at].entry) {
        at = (at + 1) & (table->size - 1);
    }
    table->slots[at] = slot;
    table->taken++;
}

/* Adds an entry that is not in the table. */
static void table_add(HashTable *table, uint32_t hash, int entry)
{
    if (2 * table->taken >= table->size) {
        HashTable larger = {.size = table->size ? 2 * table->size : 1024};
        larger.slots = memory_calloc(larger.size, sizeof *larger.slots);
        for (size_t i = 0; i < table->size; i++) {
            if (table->slots[i].entry > 0) {
                table_place(&larger, table->slots[i]);
            }
        }
        free(table->slots);
        *table = larger;
    }
    table_place(table, (HashSlot){hash, entry + 1});
}

/* The first slot with this hash from *at on, in the order of probing; NULL behind the last. Begin
 * with *at = hash. */
static HashSlot *table_next(const HashTable *table, uint32_t hash, size_t *at)
{
    for (; table->size; ++*at) {
        HashSlot *slot = &table->slots[*at & (table->size - 1)];
        if (!slot->entry) {
            return NULL;
        }
        if (slot->hash == hash && slot->entry > 0) {
            ++*at;
            return slot;
        }
    }
    return NULL;
}

static uint32_t hash_of_text(const char *text, size_t size)
{
    return (uint32_t)XXH3_64bits(text, size);
}

static HashSlot *find_slot(const Vocabulary *vocabulary, const char *word, size_t size)
{
    uint32_t hash = hash_of_text(word, size);
    size_t at = hash;
    HashSlot *slot;
    while ((slot = table_next(&vocabulary->words, hash, &at))) {
        const char *text = vocabulary->texts[slot->entry - 1];
        if (strnlen(text, size + 1) == size && !memcmp(text, word, size)) {
            return slot;
        }
    }
    return NULL;
}

int vocabulary_find_part(const Vocabulary *vocabulary, const char *word, size_t size)
{
    const HashSlot *slot = find_slot(vocabulary, word, size);
    return slot ? slot->entry - 1 : -1;
}

int vocabulary_find(const Vocabulary *vocabulary, const char *word)
{
    return vocabulary_find_part(vocabulary, word, strlen(word));
}

static uint32_t hash_of_pair(int left, int right)
{
    uint64_t key = (uint64_t)left << 32 | (uint32_t)right;
    return (uint32_t)(key * 0x9E3779B97F4A7C15 >> 32); /* 2^64 / golden ratio */
}

const Merge *vocabulary_merge(const Vocabulary *vocabulary, int left, int right)
{
    uint32_t hash = hash_of_pair(left, right);
    size_t at = hash;
    const HashSlot *slot;
    while ((slot = table_next(&vocabulary->pairs, hash, &at))) {
        const Merge *merge = &vocabulary->merges[slot->entry - 1];
        if (merge->left == left && merge->right == right) {
            return merge;
        }
    }
    return NULL;
}

void vocabulary_add_merge(Vocabulary *vocabulary, Merge merge)
{
    if (!vocabulary_merge(vocabulary, merge.left, merge.right)) {
        table_add(&vocabulary->pairs, hash_of_pair(merge.left, merge.right),
                  (int)arrlen(vocabulary->merges));
        arrput(vocabulary->merges, merge);
    }
}

int vocabulary_place(Vocabulary *vocabulary, const char *word, long long id, const char *where,
                     Error *error)
{
    if (id < 0 || id >= LARGEST_ID) {
        return REFUSE("%s: token '%s' has the id %lld, outside 0 to %d; get the file again", where,
                      word, id, LARGEST_ID - 1);
    }
    while (arrlen(vocabulary->texts) <= id) {
        arrput(vocabulary->texts, NULL);
    }
    if (vocabulary->texts[id] && strcmp(vocabulary->texts[id], word)) {
        return REFUSE("%s: tokens '%s' and '%s' share the id %lld; get the file again", where,
                      vocabulary->texts[id], word, id);
    }
    vocabulary->texts[id] = word;
    return 0;
}

int vocabulary_add(Vocabulary *vocabulary, const char *word, long long id, const char *where,
                   Error *error)
{
    int old = vocabulary_find(vocabulary, word);
    if (old >= 0 && old != id) {
        return REFUSE("%s: token '%s' has the ids %d and %lld; get the file again", where, word,
                      old, id);
    }
    if (old >= 0) {
        return 0;
    }
    if (vocabulary_place(vocabulary, word, id, where, error)) {
        return error->code;
    }
    vocabulary->texts[id] = string_copy(word);
    table_add(&vocabulary->words, hash_of_text(word, strlen(word)), (int)id);
    vocabulary->count++;
    return 0;
}

void vocabulary_remove(Vocabulary *vocabulary, const char *word)
{
    HashSlot *slot = find_slot(vocabulary, word, strlen(word));
    if (slot) {
        free((char *)(uintptr_t)vocabulary->texts[slot->entry - 1]);
        vocabulary->texts[slot->entry - 1] = NULL;
        slot->entry = -1;
        vocabulary->count--;
    }
}

void vocabulary_free(Vocabulary *vocabulary)
{
    for (size_t i = 0; i < vocabulary->words.size; i++) {
        int entry = vocabulary->words.slots[i].entry;
        if (entry > 0) {
            free((char *)(uintptr_t)vocabulary->texts[entry - 1]);
        }
    }
    free(vocabulary->words.slots);
    free(vocabulary->pairs.slots);
    free(vocabulary->alone);
    free(vocabulary->prefix);
    arrfree(vocabulary->merges);
    arrfree(vocabulary->texts);
}

int vocabulary_read(Vocabulary *vocabulary, const json_t *vocab, const char *where, Error *error)
{
    const char *word;
    json_t *id;
    if (!json_is_object(vocab) || !json_object_size(vocab)) {
        return REFUSE("%s: vocab is missing or empty; get the file again", where);
    }
    json_object_foreach((json_t *)vocab, word, id)
    {
        if (!json_is_integer(id)) {
            return REFUSE("%s: token '%s' has an id that is not an integer; get the file again",
                          where, word);
        }
        if (vocabulary_add(vocabulary, word, json_integer_value(id), where, error)) {
            return error->code;
        }
    }
    return 0;
}
