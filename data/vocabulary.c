/* Vocabularies: texts to ids. */
#include "json.h"
#include "vocabulary.h"

#include <string.h>

int vocabulary_find(const Vocabulary *vocabulary, const char *word)
{
    WordId *words = vocabulary->words;
    ptrdiff_t at = shgeti(words, word);
    return at < 0 ? -1 : words[at].value;
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
    if (vocabulary_place(vocabulary, word, id, where, error)) {
        return error->code;
    }
    if (old < 0) {
        shput(vocabulary->words, word, (int)id);
    }
    vocabulary->texts[id] = shgets(vocabulary->words, word).key;
    return 0;
}

void vocabulary_remove(Vocabulary *vocabulary, const char *word)
{
    int id = vocabulary_find(vocabulary, word);
    if (id >= 0) {
        vocabulary->texts[id] = NULL;
        shdel(vocabulary->words, word);
    }
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
