/* WordPiece (Schuster and Nakajima 2012) behind BERT's normalizer and pre-tokenizer. */
#include "unicode.h"
#include "vocabulary.h"

#include <stdlib.h>
#include <string.h>

/* NFD sorts neighbouring marks by their class, stably; most marks are dropped, so the table is exact
 * but for the few that are kept: a run of them is sorted as it is written. Moves size bytes, a mark
 * of this class at the end of a text, to their place in the run. */
static void sort_mark(char *text, size_t run, size_t at, size_t size, int class)
{
    char mark[4];
    size_t place = at;
    while (place > run) {
        size_t before = utf8_before(text, place, run), next = before;
        if (unicode_combining_class(utf8_next(text, &next)) <= class) {
            break;
        }
        place = before;
    }
    memcpy(mark, text + at, size);
    memmove(text + place + size, text + place, at - place);
    memcpy(text + place, mark, size);
}

char *wordpiece_normalize(const Vocabulary *vocabulary, const char *text, size_t *size,
                          size_t **source)
{
    enum { MOST = 8 * 4 };                             /* bytes that one character becomes */
    size_t capacity = *size + MOST, used = 0, run = 0; /* run: where the kept marks start */
    char *normal = memory_alloc(capacity, 1);
    size_t *from = source ? memory_alloc(capacity, sizeof *from) : NULL;
    for (size_t at = 0; at < *size;) {
        size_t start = at;
        uint32_t code = utf8_next(text, &at), out[8];
        int class = vocabulary->normal & BERT_STRIP ? unicode_combining_class(code) : -1,
            count = unicode_bert_normal(code, vocabulary->normal, out);
        size_t before = used;
        for (int i = 0; i < count; i++) {
            used += utf8_put(normal + used, out[i]);
        }
        for (size_t i = before; from && i < used; i++) {
            from[i] = start;
        }
        if (class > 0 && count == 1) {
            sort_mark(normal, run, before, used - before, class);
        } else if (count || class == 0) {
            run = used;
        }
        if (capacity - used < MOST) {
            capacity *= 2;
            normal = memory_realloc(normal, capacity, 1);
            from = source ? memory_realloc(from, capacity, sizeof *from) : NULL;
        }
    }
    if (source) {
        *source = from;
    }
    normal[used] = 0;
    *size = used;
    return normal;
}

/* Greedy longest prefix; a word that cannot be written whole is unknown. word: [n] characters in
 * size bytes. */
static void encode_word(const Vocabulary *vocabulary, Ids *ids, const char *word, size_t size,
                        size_t n)
{
    size_t prefix = strlen(vocabulary->prefix), before = arrlenu(*ids);
    int id = n > (size_t)vocabulary->longest_word ? vocabulary->unknown
                                                  : vocabulary_find_part(vocabulary, word, size);
    if (id >= 0) {
        arrput(*ids, id);
        return;
    }
    char small[256],
        *pieces = prefix + size <= sizeof small ? small : memory_alloc(prefix + size, 1);
    memcpy(pieces + prefix, word, size); /* behind room for the prefix of what is left of it */
    for (size_t start = 0, end; start < size; start = end) {
        const char *piece = pieces + prefix;
        size_t marked = 0;
        if (start) {
            memcpy(pieces + start, vocabulary->prefix, prefix);
            piece = pieces;
            marked = prefix;
        }
        for (end = size; end > start; end = utf8_before(word, end, start)) {
            id = vocabulary_find_part(vocabulary, piece + start, end - start + marked);
            if (id >= 0) {
                break;
            }
        }
        if (id < 0) {
            arrsetlen(*ids, before);
            arrput(*ids, vocabulary->unknown);
            break;
        }
        arrput(*ids, id);
    }
    if (pieces != small) {
        free(pieces);
    }
}

size_t wordpiece_word_end(const char *text, size_t size, size_t at, int *piece)
{
    size_t next = at;
    *piece = unicode_bert_piece(utf8_next(text, &next));
    size_t end = next;
    while (!*piece && end < size && !unicode_bert_piece(utf8_next(text, &next))) {
        end = next;
    }
    return end;
}

void wordpiece_encode(const Vocabulary *vocabulary, Ids *ids, const char *text, size_t size)
{
    for (size_t at = 0, end; at < size; at = end) {
        int piece;
        size_t n = 0;
        end = wordpiece_word_end(text, size, at, &piece);
        for (size_t i = at; i < end; i++) {
            n += (text[i] & 0xC0) != 0x80;
        }
        if (piece != 'W') {
            encode_word(vocabulary, ids, text + at, end - at, n);
        }
    }
}
