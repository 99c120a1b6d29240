/* Where in a text its tokens stand: the tokens are known, and each model's way of writing a text as
 * them says how much of it each one is. */
#include "unicode.h"
#include "vocabulary.h"

#include <string.h>

static void put(Place **places, size_t begin, size_t end)
{
    arrput(*places, ((Place){begin, end}));
}

/* Byte-level BPE: a token has a symbol for each of its bytes. prefix: the first byte is a space that
 * the text has not. Bytes without a symbol are in no token. */
static void place_bytes(const Vocabulary *v, Place **places, const int *ids, size_t count,
                        const char *text, size_t size, int prefix)
{
    int added = prefix && v->prefix_space && size && text[0] != ' ';
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        const char *symbols = v->texts[ids[i]];
        size_t bytes = 0, begin = size;
        for (size_t s = 0; symbols[s] && ids[i] != v->unknown; utf8_next(symbols, &s)) {
            bytes++;
        }
        bytes = ids[i] == v->unknown ? 1 : bytes;
        for (; bytes && added; bytes--) {
            added = 0;
        }
        for (; bytes; bytes--) {
            while (at < size && v->byte_id[(unsigned char)text[at]] < 0) {
                at++;
            }
            begin = size_min(begin, at);
            at = size_min(at + 1, size);
        }
        put(places, size_min(begin, at), at);
    }
}

/* BPE over characters: a token has them as they are, spaces as U+2581, one of which may be none of
 * the text's; a byte's token is one byte, and one of a space where U+2581 has no token. */
static void place_characters(const Vocabulary *v, Place **places, const int *ids, size_t count,
                             const char *text, size_t size, int prefix)
{
    size_t mark = strlen(SPACE_MARK), at = 0, of_mark = 0; /* bytes of one */
    int added = prefix &&
                (v->spaces == SPACES_PREPEND ||
                 !(size && (text[0] == ' ' || (size >= mark && !memcmp(text, SPACE_MARK, mark)))));
    for (size_t i = 0; i < count; i++) {
        const char *token = v->texts[ids[i]];
        size_t begin = at, s = 0;
        if (ids[i] == v->byte_id[(unsigned char)SPACE_MARK[of_mark]] &&
            (added || (at < size && text[at] == ' '))) {
            put(places, at, at + !added);
            if (++of_mark == mark) {
                of_mark = 0;
                at += !added;
                added = 0;
            }
            continue;
        }
        if (!added && at < size && ids[i] == v->byte_id[(unsigned char)text[at]]) {
            at++;
            s = strlen(token);
        }
        while (token[s]) {
            int space = !strncmp(token + s, SPACE_MARK, mark);
            if (space && added) {
                added = 0;
            } else if (at < size && text[at] == ' ') {
                at++;
            } else if (at < size) {
                utf8_next(text, &at);
            }
            utf8_next(token, &s);
        }
        put(places, begin, at);
    }
}

/* WordPiece: the pieces of each word follow each other; an unknown word is one token. */
static void place_pieces(const Vocabulary *v, Place **places, const int *ids, size_t count,
                         const char *text, size_t size)
{
    size_t prefix = strlen(v->prefix), at = 0, end = 0, word = 0;
    for (size_t i = 0; i < count; i++) {
        int piece = 'W';
        while (at == end && at < size && piece == 'W') {
            word = at;
            end = wordpiece_word_end(text, size, at, &piece);
            at = piece == 'W' ? end : at;
        }
        size_t bytes = strlen(v->texts[ids[i]]) - (at > word ? prefix : 0),
               next = ids[i] == v->unknown ? end : size_min(at + bytes, end);
        put(places, at, next);
        at = next;
    }
}

void places_find(const Tokenizer *t, Place **places, const int *ids, size_t count, const char *text,
                 size_t size, int prefix)
{
    if (t->wordpiece) {
        place_pieces(&t->vocabulary, places, ids, count, text, size);
    } else if (t->vocabulary.spaces) {
        place_characters(&t->vocabulary, places, ids, count, text, size, prefix);
    } else {
        place_bytes(&t->vocabulary, places, ids, count, text, size, prefix);
    }
}
