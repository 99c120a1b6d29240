/* BPE over characters, as SentencePiece makes it and Llama 2 and TinyLlama have it: spaces are
 * written as U+2581, and a character that is not in the vocabulary becomes its UTF-8 bytes. Source:
 * huggingface/tokenizers, Metaspace, Prepend, Replace and BPE's byte_fallback. */
#include "vocabulary.h"

#include <stdlib.h>
#include <string.h>

static const char mark[] = SPACE_MARK;
enum { MARK = sizeof mark - 1 };

/* Whether a space stands in front already: then only the normalizer Prepend adds another. */
static int begins_with_mark(const char *text, size_t size)
{
    return size && (text[0] == ' ' || (size >= MARK && !memcmp(text, mark, MARK)));
}

/* The text with its spaces rewritten; memory for the caller to free. */
static char *mark_spaces(const Vocabulary *vocabulary, const char *text, size_t *size, int prefix)
{
    char *marked = memory_alloc(*size + 1, MARK);
    size_t used = 0;
    if (prefix && (vocabulary->spaces == SPACES_PREPEND || !begins_with_mark(text, *size))) {
        memcpy(marked, mark, MARK);
        used = MARK;
    }
    for (size_t i = 0; i < *size; i++) {
        if (text[i] == ' ') {
            memcpy(marked + used, mark, MARK);
            used += MARK;
        } else {
            marked[used++] = text[i];
        }
    }
    *size = used;
    return marked;
}

static void encode_piece(const Vocabulary *vocabulary, Ids *ids, const char *text, size_t size)
{
    int *symbols = memory_alloc(size, sizeof *symbols), n = 0;
    for (size_t at = 0; at < size;) {
        size_t next = at;
        utf8_next(text, &next);
        int id = vocabulary_find_part(vocabulary, text + at, next - at);
        if (id >= 0) {
            symbols[n++] = id;
        }
        for (size_t i = at; i < next && id < 0; i++) {
            symbols[n++] = vocabulary->byte_id[(unsigned char)text[i]];
        }
        at = next;
    }
    bpe_merge(vocabulary, ids, symbols, n);
    free(symbols);
}

void metaspace_encode(const Vocabulary *vocabulary, Ids *ids, const char *text, size_t size,
                      int prefix)
{
    char *marked = mark_spaces(vocabulary, text, &size, prefix);
    for (size_t at = 0, end; at < size; at = end) {
        end = at + 1;
        while (end < size &&
               !(vocabulary->split && size - end >= MARK && !memcmp(marked + end, mark, MARK))) {
            end++;
        }
        int whole = vocabulary->ignore_merges
                        ? vocabulary_find_part(vocabulary, marked + at, end - at)
                        : -1;
        if (whole >= 0) {
            arrput(*ids, whole);
        } else {
            encode_piece(vocabulary, ids, marked + at, end - at);
        }
    }
    free(marked);
}
