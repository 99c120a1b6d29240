/* WordPiece (Schuster and Nakajima 2012) behind BERT's normalizer and pre-tokenizer. */
#include "unicode.h"
#include "vocabulary.h"

#include <string.h>

/* Normalized code points of a text. NFD sorts neighbouring marks by their class, stably; most marks
 * are dropped, so the table is exact but for the few that are kept: a run of them is sorted as it
 * is written. */
static uint32_t *normalize(const char *text, size_t size, int options)
{
    uint32_t *codes = NULL;
    size_t run = 0; /* where the current run of kept marks starts */
    for (size_t at = 0; at < size;) {
        uint32_t code = utf8_next(text, &at), out[8];
        int class = options & BERT_STRIP ? unicode_combining_class(code) : -1,
            count = unicode_bert_normal(code, options, out);
        if (class > 0 && count == 1) {
            size_t place = arrlenu(codes);
            while (place > run && unicode_combining_class(codes[place - 1]) > class) {
                place--;
            }
            arrins(codes, place, out[0]);
            continue;
        }
        for (int i = 0; i < count; i++) {
            arrput(codes, out[i]);
        }
        if (count || class == 0) {
            run = arrlenu(codes);
        }
    }
    return codes;
}

char *wordpiece_normalize(const Vocabulary *vocabulary, const char *text, size_t *size)
{
    uint32_t *codes = normalize(text, *size, vocabulary->normal);
    char *normal = memory_alloc(arrlenu(codes) + 1, 4);
    *size = 0;
    for (size_t i = 0; i < arrlenu(codes); i++) {
        *size += utf8_put(normal + *size, codes[i]);
    }
    normal[*size] = 0;
    arrfree(codes);
    return normal;
}

/* Greedy longest prefix; a word that cannot be written whole is unknown. word: [n] code points. */
static void encode_word(const Vocabulary *vocabulary, Ids *ids, const uint32_t *word, size_t n)
{
    size_t prefix = strlen(vocabulary->prefix), before = arrlenu(*ids);
    if (n > (size_t)vocabulary->longest_word) {
        arrput(*ids, vocabulary->unknown);
        return;
    }
    char *piece = memory_alloc(prefix + 4 * n + 1, 1);
    size_t *ends = memory_alloc(n + 1,
                                sizeof *ends); /* bytes of the first i code points of the rest */
    for (size_t start = 0; start < n;) {
        size_t length = start ? prefix : 0, end;
        memcpy(piece, vocabulary->prefix, length);
        for (end = start; end < n; end++) {
            ends[end] = length;
            length += utf8_put(piece + length, word[end]);
        }
        ends[n] = length;
        int found = -1;
        for (; end > start; end--) {
            piece[ends[end]] = 0;
            found = vocabulary_find(vocabulary, piece);
            if (found >= 0) {
                arrput(*ids, found);
                break;
            }
        }
        if (found < 0) {
            arrsetlen(*ids, before);
            arrput(*ids, vocabulary->unknown);
            break;
        }
        start = end;
    }
    free(piece);
    free(ends);
}

void wordpiece_encode(const Vocabulary *vocabulary, Ids *ids, const char *text, size_t size)
{
    uint32_t *codes = NULL;
    for (size_t at = 0; at < size;) {
        arrput(codes, utf8_next(text, &at));
    }
    size_t count = arrlenu(codes);
    for (size_t at = 0; at < count;) {
        int piece = unicode_bert_piece(codes[at]);
        size_t end = at + 1;
        while (!piece && end < count && !unicode_bert_piece(codes[end])) {
            end++;
        }
        if (piece != 'W') {
            encode_word(vocabulary, ids, codes + at, end - at);
        }
        at = end;
    }
    arrfree(codes);
}
