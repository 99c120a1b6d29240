/* What the pre-tokenizers need to know of Unicode, as their reference implementations see it:
 * GPT-2's and RoBERTa's regular expression Unicode 16, BERT's rules a mix of Unicode 8 to 17
 * (docs/FORMATS.md). */
#ifndef UNICODE_H
#define UNICODE_H

#include <stddef.h>
#include <stdint.h>

/* Sorted, disjoint ranges with a value each; made by tools/unicode_tables.c and
 * tools/unicode_cased.py. */
typedef struct UnicodeRange {
    uint32_t first, last;
    int value;
} UnicodeRange;

extern const UnicodeRange unicode_classes[], unicode_bert_pieces[], unicode_combining[],
    unicode_normal[], unicode_clean[], unicode_lower[], unicode_cased[], unicode_words[];
extern const int unicode_classes_count, unicode_bert_pieces_count, unicode_combining_count,
    unicode_normal_count, unicode_clean_count, unicode_lower_count, unicode_cased_count,
    unicode_words_count;
extern const unsigned unicode_normal_codes[], unicode_cased_codes[];

/* 'L' letter, 'N' number, 'S' white space, 'O' all others. */
int unicode_class(uint32_t code);

/* Whether the character of UTF-8 text that starts at this place is white space. */
int unicode_is_space_at(const char *text, size_t at);

/* Whether it is a part of a word to an added token's single_word (\w). */
int unicode_is_word(uint32_t code);

/* BERT's pre-tokenizer: 'W' white space, 'P' punctuation, 0 part of a word. */
int unicode_bert_piece(uint32_t code);

/* Combining class of a mark that BERT's normalizer keeps, 0 for a dropped mark that stops
 * reordering, -1 for all others. */
int unicode_combining_class(uint32_t code);

/* What BERT's normalizer does beside clean_text: lower case, NFD without marks, spaces
 * around CJK. */
enum { BERT_LOWER = 1, BERT_STRIP = 2, BERT_CJK = 4 };

/* BERT's normalizer of one code point: writes 0 to 8 code points to out and returns how many. */
int unicode_bert_normal(uint32_t code, int options, uint32_t out[8]);

#endif
