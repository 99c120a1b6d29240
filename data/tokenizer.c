/* Texts to ids: special tokens in a text, templates and truncation. */
#include "tokenizer.h"
#include "unicode.h"
#include "vocabulary.h"

#include <string.h>

/* Replaces every maximal subpart of an ill-formed sequence by U+FFFD, as Python, Rust and browsers
 * do. NULL if the text is fine; else memory for the caller to free. */
static char *repair(const char *text, size_t *size)
{
    size_t valid = utf8_valid_prefix(text, *size);
    if (valid == *size) {
        return NULL;
    }
    char *fixed = memory_alloc(*size, 3);
    size_t at = 0, used = 0;
    while (at < *size) {
        valid = utf8_valid_prefix(text + at, *size - at);
        memcpy(fixed + used, text + at, valid);
        used += valid;
        at += valid;
        if (at == *size) {
            break;
        }
        /* The longest beginning of a well-formed sequence, at least one byte: complete it in turn
         * to see how far it is well-formed. */
        unsigned char lead = (unsigned char)text[at];
        size_t need = lead >= 0xC2 && lead <= 0xDF   ? 2
                      : (lead & 0xF0) == 0xE0        ? 3
                      : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                     : 1,
               length = 1;
        for (size_t n = 2; n < need && at + n <= *size; n++) {
            char trial[4];
            memcpy(trial, text + at, n);
            memset(trial + n, 0x80, 4 - n);
            if (utf8_valid_prefix(trial, need) != need) {
                break;
            }
            length = n;
        }
        used += utf8_put(fixed + used, 0xFFFD);
        at += length;
    }
    *size = used;
    return fixed;
}

/* The leftmost, then longest added token in [at, size); NULL if there is none. normalized: which
 * kind is looked for. */
static const AddedToken *find_added(const Tokenizer *t, const char *text, size_t size, size_t at,
                                    size_t *start, int normalized)
{
    for (size_t i = at; i < size; i++) {
        const AddedToken *best = NULL;
        if (!(t->begins[(unsigned char)text[i]] & 1 << normalized)) {
            continue;
        }
        for (ptrdiff_t j = 0; j < arrlen(t->added); j++) {
            const AddedToken *a = &t->added[j];
            if (a->normalized == normalized && a->size && a->size <= size - i &&
                !memcmp(a->pattern, text + i, a->size) && (!best || a->size > best->size)) {
                best = a;
            }
        }
        if (best) {
            *start = i;
            return best;
        }
    }
    return NULL;
}

static int is_word_at(const char *text, size_t at)
{
    return unicode_is_word(utf8_next(text, &at));
}

/* Whether what was found at [start, end) counts: not a special token where those are text, and
 * neither neighbour a part of a word where it must stand alone. */
static int added_counts(const AddedToken *token, const char *text, size_t size, size_t start,
                        size_t end, int literal)
{
    return !(literal && token->special) &&
           !(token->single_word && ((start > 0 && is_word_at(text, utf8_before(text, start, 0))) ||
                                    (end < size && is_word_at(text, end))));
}

/* Where the text of a pass comes from. */
typedef struct Origin {
    Place **places;       /* NULL: nobody asks */
    const char *text;     /* what is encoded */
    size_t first;         /* where in it the pass's text begins */
    const size_t *source; /* where behind that each of its bytes comes from; NULL: it is as it was */
} Origin;

static void add_place(const Origin *origin, size_t begin, size_t end)
{
    const size_t *source = origin->source;
    if (source && begin < end) {
        size_t last = origin->first + source[end - 1];
        begin = source[begin];
        utf8_next(origin->text, &last);
        end = last - origin->first;
    }
    arrput(*origin->places, ((Place){origin->first + begin, origin->first + end}));
}

/* Text without added tokens, normalized. start: it begins the text that is encoded. */
static void encode_plain(const Tokenizer *t, Ids *ids, const char *text, size_t size, int start,
                         int flags, const Origin *origin)
{
    Spaces spaces = t->vocabulary.spaces;
    int continues = start && flags & ENCODE_CONTINUES,
        prefix = continues                ? 0
                 : spaces == SPACES_FIRST ? start
                                          : spaces != SPACES_NEVER;
    size_t before = arrlenu(*ids);
    if (t->wordpiece) {
        wordpiece_encode(&t->vocabulary, ids, text, size);
    } else if (spaces) {
        metaspace_encode(&t->vocabulary, ids, text, size, prefix);
    } else {
        bpe_encode(&t->vocabulary, ids, text, size, prefix);
    }
    if (origin->places) {
        Place *places = NULL;
        places_find(t, &places, *ids + before, arrlenu(*ids) - before, text, size, prefix);
        for (size_t i = 0; i < arrlenu(places); i++) {
            add_place(origin, places[i].begin, places[i].end);
        }
        arrfree(places);
    }
}

/* Added tokens of the text as it is; what lies between is normalized, then those of the normal
 * text; what lies between is encoded. normalized: which of the two passes this is. */
static void encode_pass(const Tokenizer *t, Ids *ids, const char *text, size_t size, int begins,
                        int flags, int normalized, const Origin *origin)
{
    for (size_t at = 0, from = 0; at < size;) {
        size_t start = size, end = size;
        const AddedToken *found = find_added(t, text, size, from, &start, normalized);
        if (found) {
            end = start + found->size;
            if (!added_counts(found, text, size, start, end, flags & ENCODE_LITERAL)) {
                from = end;
                continue;
            }
            while (found->lstrip && start > at) { /* back over one character of white space */
                size_t before = utf8_before(text, start, at);
                if (!unicode_is_space_at(text, before)) {
                    break;
                }
                start = before;
            }
            while (found->rstrip && end < size && unicode_is_space_at(text, end)) {
                utf8_next(text, &end);
            }
        }
        if (start > at && normalized) {
            Origin part = *origin;
            if (part.source) {
                part.source += at;
            } else {
                part.first += at;
            }
            encode_plain(t, ids, text + at, start - at, begins && at == 0, flags, &part);
        } else if (start > at) {
            size_t length = start - at, *source = NULL, **wanted = origin->places ? &source : NULL;
            char *normal = t->wordpiece
                               ? wordpiece_normalize(&t->vocabulary, text + at, &length, wanted)
                               : NULL;
            Origin part = {origin->places, origin->text, at, source};
            encode_pass(t, ids, normal ? normal : text + at, length, begins && at == 0, flags, 1,
                        &part);
            free(normal);
            free(source);
        }
        if (found) {
            arrput(*ids, found->id);
        }
        if (found && origin->places) {
            add_place(origin, start, end);
        }
        at = from = end;
    }
}

void tokenizer_encode(const Tokenizer *t, Ids *ids, const char *text, size_t size, int flags)
{
    char *fixed = repair(text, &size);
    flags |= t->literal ? ENCODE_LITERAL : 0;
    encode_pass(t, ids, fixed ? fixed : text, size, 1, flags, 0, &(Origin){0});
    free(fixed);
}

void tokenizer_encode_placed(const Tokenizer *t, Ids *ids, Place **places, const char *text,
                             size_t size, int flags)
{
    flags |= t->literal ? ENCODE_LITERAL : 0;
    encode_pass(t, ids, text, size, 1, flags, 0, &(Origin){.places = places, .text = text});
}

static int count_specials(const TemplateItem *items)
{
    int count = 0;
    for (ptrdiff_t i = 0; i < arrlen(items); i++) {
        count += items[i].segment < 0;
    }
    return count;
}

int tokenizer_specials(const Tokenizer *t, int segments)
{
    int one = count_specials(t->single), two = count_specials(t->pair);
    return one + (segments - 1) * (two - one);
}

/* Cuts parts of n tokens each to room; -1 if that cannot be. */
static int truncate_parts(ptrdiff_t *n, int count, ptrdiff_t room, int truncation)
{
    ptrdiff_t all = 0;
    for (int i = 0; i < count; i++) {
        all += n[i];
    }
    if (room < 0) {
        return -1;
    }
    if (all <= room) {
        return 0;
    }
    if (truncation >= 0) {
        n[truncation] -= all - room;
        return n[truncation] < 1 ? -1 : 0;
    }
    if (truncation == TRUNCATE_NONE || count > 2) {
        return -1;
    }
    if (count == 1) {
        n[0] = room;
        return 0;
    }
    /* The rule of the Rust library: the shorter keeps all if it fits into half, the odd token goes
     * to the longer, of two equal ones to the second. */
    int swapped = n[0] > n[1];
    ptrdiff_t small = n[swapped], large = room - small;
    if (small > room || small > large) {
        large = small;
    }
    if (small + large > room) {
        small = room / 2;
        large = small + room % 2;
    }
    n[swapped] = small;
    n[!swapped] = large;
    return 0;
}

/* Appends an id with its type. */
static void append(Ids *ids, Ids *types, int id, int type)
{
    arrput(*ids, id);
    if (types) {
        arrput(*types, type);
    }
}

/* The template's items from one on, with the ids of each part that are kept; its segment B is the
 * segment called second. */
static void append_items(const Tokenizer *t, Ids *ids, Ids *types, const TemplateItem *items,
                         ptrdiff_t from, Part *parts, int count, int second)
{
    for (ptrdiff_t i = from; i < arrlen(items); i++) {
        int type = t->untyped ? 0 : items[i].type;
        if (items[i].segment < 0) {
            append(ids, types, items[i].id, type);
            continue;
        }
        int segment = items[i].segment ? second : 0;
        for (int p = 0; p < count; p++) {
            if (parts[p].segment == segment) {
                parts[p].first = arrlen(*ids);
            }
            for (ptrdiff_t j = 0; parts[p].segment == segment && j < parts[p].kept; j++) {
                append(ids, types, parts[p].ids[j], type);
            }
        }
    }
}

int tokenizer_build(const Tokenizer *t, Ids *ids, Ids *types, Part *parts, int count, int longest,
                    int truncation)
{
    ptrdiff_t n[MAX_PARTS];
    int segments = parts[count - 1].segment + 1;
    for (int p = 0; p < count; p++) {
        n[p] = arrlen(parts[p].ids);
    }
    if (truncate_parts(n, count, longest - tokenizer_specials(t, segments), truncation)) {
        return -1;
    }
    for (int p = 0; p < count; p++) {
        parts[p].kept = n[p];
    }
    append_items(t, ids, types, segments > 1 ? t->pair : t->single, 0, parts, count, 1);
    if (segments > 2) {
        append_items(t, ids, types, t->pair, arrlen(t->single), parts, count, 2);
    }
    return 0;
}

const char *tokenizer_sha256(const Tokenizer *t)
{
    return t->sha256;
}

const char *tokenizer_path(const Tokenizer *t)
{
    return t->path;
}

int tokenizer_longest(const Tokenizer *t)
{
    return t->longest;
}
