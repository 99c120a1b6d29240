#include "unicode.h"
#include "base.h"

#include <string.h>

static int range_value(const UnicodeRange *ranges, int count, uint32_t code, int otherwise)
{
    int low = 0, high = count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (code < ranges[middle].first) {
            high = middle;
        } else if (code > ranges[middle].last) {
            low = middle + 1;
        } else {
            return ranges[middle].value;
        }
    }
    return otherwise;
}

static const char ascii_class[0x80] = {['\t' ... '\r'] = 'S',
                                       [' '] = 'S',
                                       ['0' ... '9'] = 'N',
                                       ['A' ... 'Z'] = 'L',
                                       ['a' ... 'z'] = 'L'};

int unicode_class(uint32_t code)
{
    if (code < 0x80) { /* most of most texts */
        return ascii_class[code] ? ascii_class[code] : 'O';
    }
    return range_value(unicode_classes, unicode_classes_count, code, 'O');
}

int unicode_is_space_at(const char *text, size_t at)
{
    return unicode_class(utf8_next(text, &at)) == 'S';
}

static const char ascii_piece[0x80] = {['\t' ... '\r'] = 'W', [' '] = 'W',
                                       ['!' ... '/'] = 'P',   [':' ... '@'] = 'P',
                                       ['[' ... '`'] = 'P',   ['{' ... '~'] = 'P'};

int unicode_bert_piece(uint32_t code)
{
    if (code < 0x80) {
        return ascii_piece[code];
    }
    return range_value(unicode_bert_pieces, unicode_bert_pieces_count, code, 0);
}

int unicode_combining_class(uint32_t code)
{
    return code < unicode_combining[0].first
               ? -1
               : range_value(unicode_combining, unicode_combining_count, code, -1);
}

int unicode_is_word(uint32_t code)
{
    return range_value(unicode_words, unicode_words_count, code, 0);
}

/* Without NFD: cleaned, and in lower case if asked for. */
static int normal_unstripped(uint32_t code, int lower, uint32_t out[8])
{
    int clean = range_value(unicode_clean, unicode_clean_count, code, 0);
    int shift = lower ? range_value(unicode_lower, unicode_lower_count, code, 0) : 0;
    out[0] = clean == 'S' ? ' ' : code + (uint32_t)shift;
    if (lower && code == 0x130) { /* the one letter that becomes two */
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    return clean != 'D';
}

/* clean_text, spaces around CJK, NFD without marks, lower case. */
static int normal_uncased(uint32_t code, uint32_t out[8])
{
    enum { DROP, SPACE, PAD, HANGUL, MAP };
    int value = range_value(unicode_normal, unicode_normal_count, code, -1);
    if (value < 0) {
        out[0] = code;
        return 1;
    }
    switch (value & 7) {
    case DROP:
        return 0;
    case SPACE:
        out[0] = ' ';
        return 1;
    case PAD:
        out[0] = out[2] = ' ';
        out[1] = code;
        return 3;
    case HANGUL: { /* Unicode standard, section 3.12 */
        uint32_t syllable = code - 0xAC00, tail = syllable % 28;
        out[0] = 0x1100 + syllable / 588;
        out[1] = 0x1161 + syllable % 588 / 28;
        out[2] = 0x11A7 + tail;
        return tail ? 3 : 2;
    }
    default: {
        int count = value >> 3 & 31;
        for (int i = 0; i < count && i < 8; i++) {
            out[i] = unicode_normal_codes[(value >> 8) + i];
        }
        return count;
    }
    }
}

int unicode_bert_normal(uint32_t code, int options, uint32_t out[8])
{
    if (code >= ' ' && code <= '~') {
        out[0] = options & BERT_LOWER && code >= 'A' && code <= 'Z' ? code + ('a' - 'A') : code;
        return 1;
    }
    int cjk = range_value(unicode_clean, unicode_clean_count, code, 0) == 'C', count;
    int kept = options & BERT_LOWER ? -1
                                    : range_value(unicode_cased, unicode_cased_count, code, -1);
    if (!(options & BERT_STRIP)) {
        count = normal_unstripped(code, options & BERT_LOWER, out);
        if (cjk && options & BERT_CJK) {
            out[1] = out[0];
            out[0] = out[2] = ' ';
            count = 3;
        }
    } else if (kept >= 0) { /* lower case would change it */
        count = kept ? kept & 255 : 1;
        out[0] = code;
        for (int i = 0; kept && i < count && i < 8; i++) {
            out[i] = unicode_cased_codes[(kept >> 8) + i];
        }
    } else {
        count = normal_uncased(code, out);
        if (cjk && !(options & BERT_CJK)) { /* between two spaces */
            count -= 2;
            memmove(out, out + 1, (size_t)count * sizeof *out);
        }
    }
    return count;
}
