/* BPE: merges by rank (Sennrich et al. 2016); and the byte-level kind of text (Radford et al. 2019)
 * with the pre-tokenizers of GPT-2 (RoBERTa) and Llama 3 as scanners. */
#include "unicode.h"
#include "vocabulary.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* The printable symbol of each byte: the 188 printable Latin-1 characters stand for themselves, the
 * other bytes in order for U+0100 and up (GPT-2's bytes_to_unicode). */
static uint32_t byte_symbol(int byte)
{
    uint32_t next = 0x100;
    for (int b = 0; b < 256; b++) {
        int printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        if (b == byte) {
            return printable ? (uint32_t)b : next;
        }
        next += !printable;
    }
    return 0;
}

int bpe_finish(Vocabulary *vocabulary, const char *where, Error *error)
{
    for (int b = 0; b < 256; b++) {
        char symbol[8] = {0};
        vocabulary->symbol[b] = byte_symbol(b);
        if (vocabulary->spaces) {
            snprintf(symbol, sizeof symbol, "<0x%02X>", (unsigned)b);
        } else {
            utf8_put(symbol, vocabulary->symbol[b]);
        }
        vocabulary->byte_id[b] = vocabulary_find(vocabulary, symbol);
        if (vocabulary->byte_id[b] < 0 && !vocabulary->digits) {
            return error_set(
                error, EXIT_BAD_DATA,
                "%s: the vocabulary lacks the symbol '%s' of byte %d; get the file again", where,
                symbol, b);
        }
        if (vocabulary->byte_id[b] < 0) {
            vocabulary->byte_id[b] = vocabulary->unknown;
        }
    }
    free(vocabulary->alone);
    vocabulary->alone = memory_calloc(arrlenu(vocabulary->texts), 1);
    return 0;
}

int bpe_add_merge(Vocabulary *vocabulary, const char *left, const char *right, int rank,
                  const char *where, Error *error)
{
    char *whole = string_format("%s%s", left, right);
    int a = vocabulary_find(vocabulary, left), b = vocabulary_find(vocabulary, right),
        c = vocabulary_find(vocabulary, whole);
    free(whole);
    if (a < 0 || b < 0 || c < 0) {
        return error_set(
            error, EXIT_BAD_DATA,
            "%s: merge %d ('%s' '%s'): %s is not in the vocabulary; get the file again", where,
            rank, left, right,
            a < 0   ? "its first part"
            : b < 0 ? "its second part"
                    : "its result");
    }
    vocabulary_add_merge(vocabulary, (Merge){a, b, rank, c});
    return 0;
}

int bpe_add_merge_text(Vocabulary *vocabulary, const char *text, int rank, const char *where,
                       Error *error)
{
    const char *space = strchr(text, ' ');
    if (!space || space == text || !space[1] || strchr(space + 1, ' ')) {
        return REFUSE("%s: merge %d '%s' is not two parts; get the file again", where, rank, text);
    }
    char *left = string_part(text, (size_t)(space - text));
    int code = bpe_add_merge(vocabulary, left, space + 1, rank, where, error);
    free(left);
    return code;
}

/* A pair that could merge: at position, valid while both halves are still what they were. */
typedef struct Candidate {
    int rank, position, left, right;
} Candidate;

static int earlier(const Candidate *a, const Candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->position < b->position;
}

static void heap_push(Candidate *heap, int *count, Candidate candidate)
{
    int at = (*count)++;
    while (at > 0 && earlier(&candidate, &heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = candidate;
}

static Candidate heap_pop(Candidate *heap, int *count)
{
    Candidate top = heap[0], last = heap[--*count];
    int at = 0;
    for (int child = 1; child < *count; child = 2 * at + 1) {
        child += child + 1 < *count && earlier(&heap[child + 1], &heap[child]);
        if (!earlier(&heap[child], &last)) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return top;
}

/* Symbols of a piece as a doubly linked list in arrays; id < 0 marks one that was merged into its
 * left neighbour. */
typedef struct Symbols {
    int *id, *previous, *next;
} Symbols;

static void push_pair(const Vocabulary *vocabulary, const Symbols *s, int left, Candidate *heap,
                      int *count)
{
    int right = left < 0 ? -1 : s->next[left];
    if (right < 0) {
        return;
    }
    const Merge *merge = vocabulary_merge(vocabulary, s->id[left], s->id[right]);
    if (merge) {
        heap_push(heap, count, (Candidate){merge->rank, left, s->id[left], s->id[right]});
    }
}

/* Always the pair of lowest rank, the leftmost first: a heap makes a word of n symbols cost
 * n log n. */
void bpe_merge(const Vocabulary *vocabulary, Ids *ids, int *symbols, int n)
{
    enum { SHORT = 64 };
    int small[2 * SHORT];
    Candidate small_heap[3 * SHORT];
    int *memory = n <= SHORT ? small : memory_alloc((size_t)n * 2, sizeof *memory);
    Candidate *heap = n <= SHORT ? small_heap : memory_alloc((size_t)n * 3, sizeof *heap);
    Symbols s = {symbols, memory, memory + n};
    int count = 0;
    for (int i = 0; i < n; i++) {
        s.previous[i] = i - 1;
        s.next[i] = i + 1 < n ? i + 1 : -1;
    }
    for (int i = 0; i < n; i++) {
        push_pair(vocabulary, &s, i, heap, &count);
    }
    while (count) {
        Candidate best = heap_pop(heap, &count);
        int left = best.position, right = s.id[left] < 0 ? -1 : s.next[left];
        if (right < 0 || s.id[left] != best.left || s.id[right] != best.right) {
            continue; /* one half has changed since */
        }
        s.id[left] = vocabulary_merge(vocabulary, best.left, best.right)->id;
        s.id[right] = -1;
        s.next[left] = s.next[right];
        if (s.next[left] >= 0) {
            s.previous[s.next[left]] = left;
        }
        push_pair(vocabulary, &s, s.previous[left], heap, &count);
        push_pair(vocabulary, &s, left, heap, &count);
    }
    for (int i = n ? 0 : -1; i >= 0; i = s.next[i]) {
        arrput(*ids, s.id[i]);
    }
    if (n > SHORT) {
        free(memory);
        free(heap);
    }
}

/* A whole piece in symbols, as a word of the vocabulary; -1 if it is none. */
static int find_piece(const Vocabulary *vocabulary, const char *bytes, size_t n)
{
    char small[512], *word = n <= sizeof small / 2 ? small : memory_alloc(n, 2);
    size_t size = 0;
    for (size_t i = 0; i < n; i++) { /* symbols are of one or two bytes */
        uint32_t symbol = vocabulary->symbol[(unsigned char)bytes[i]];
        if (symbol < 0x80) {
            word[size++] = (char)symbol;
        } else {
            size += utf8_put(word + size, symbol);
        }
    }
    int id = vocabulary_find_part(vocabulary, word, size);
    if (word != small) {
        free(word);
    }
    return id;
}

/* Whether the symbols of a word merge to the word. Found out when it is first met: most pieces of a
 * text are such words. Threads that find out at once find the same. */
enum { ALONE_UNKNOWN, ALONE_YES, ALONE_NO };

/* A byte without a symbol is dropped, as tokenizers does where there is no unk_token. */
static void encode_piece(const Vocabulary *vocabulary, Ids *ids, const char *bytes, size_t size)
{
    int word = find_piece(vocabulary, bytes, size), small[64], n = 0;
    char *alone = &vocabulary->alone[int_max(word, 0)];
    int known = word < 0                    ? ALONE_NO
                : vocabulary->ignore_merges ? ALONE_YES
                                            : __atomic_load_n(alone, __ATOMIC_RELAXED);
    if (known == ALONE_YES) {
        arrput(*ids, word);
        return;
    }
    int *symbols = size <= 64 ? small : memory_alloc(size, sizeof *symbols);
    size_t before = arrlenu(*ids);
    for (size_t i = 0; i < size; i++) {
        symbols[n] = vocabulary->byte_id[(unsigned char)bytes[i]];
        n += symbols[n] >= 0;
    }
    bpe_merge(vocabulary, ids, symbols, n);
    if (known == ALONE_UNKNOWN) {
        int same = arrlenu(*ids) == before + 1 && (*ids)[before] == word;
        __atomic_store_n(alone, same ? ALONE_YES : ALONE_NO, __ATOMIC_RELAXED);
    }
    if (symbols != small) {
        free(symbols);
    }
}

/* Length of 's 't 're 've 'm 'll 'd at text, or 0. */
static size_t contraction(const char *text, size_t size)
{
    static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (int i = 0; i < 7; i++) {
        size_t length = strlen(endings[i]);
        if (size >= length && !memcmp(text, endings[i], length)) {
            return length;
        }
    }
    return 0;
}

/* End of the piece that starts at `at`: the alternatives of GPT-2's pattern in their order,
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t piece_end(const char *text, size_t size, size_t at)
{
    size_t length = contraction(text + at, size - at);
    if (length) {
        return at + length;
    }
    size_t end = at;
    int class = unicode_class(utf8_next(text, &end));
    if (text[at] == ' ' && end < size) { /* an optional single space in front of a run */
        size_t second = end;
        int next_class = unicode_class(utf8_next(text, &second));
        if (next_class != 'S') {
            class = next_class;
            end = second;
        }
    }
    size_t last = at; /* start of the run's last character */
    while (end < size) {
        size_t next = end;
        if (unicode_class(utf8_next(text, &next)) != class) {
            break;
        }
        last = end;
        end = next;
    }
    /* Of white space before a word the last character is left for the word. */
    return class == 'S' && end < size && last > at ? last : end;
}

/* 's 't 're 've 'm 'll 'd in any case; Unicode folds U+017F to s. */
static size_t contraction_any_case(const char *text, size_t size)
{
    char plain[4] = {0};
    size_t n = size_min(size, 3);
    if (size >= 3 && !memcmp(text, "'\xC5\xBF", 3)) {
        return 3;
    }
    for (size_t i = 0; i < n; i++) {
        plain[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 'a' - 'A' : text[i]);
    }
    return contraction(plain, n);
}

/* Behind the run of this class from at; at most `most` characters. */
static size_t run_end(const char *text, size_t size, size_t at, int class, int most)
{
    while (at < size && most-- > 0) {
        size_t next = at;
        if (unicode_class(utf8_next(text, &next)) != class) {
            break;
        }
        at = next;
    }
    return at;
}

static int is_newline(char c)
{
    return c == '\r' || c == '\n';
}

/* The same for Llama 3's pattern, which is one line:
 *     (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}
 *     | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t llama_piece_end(const char *text, size_t size, size_t at)
{
    size_t length = contraction_any_case(text + at, size - at), end = at, second;
    if (length) {
        return at + length;
    }
    int class = unicode_class(utf8_next(text, &end));
    second = end;
    int next_class = end < size ? unicode_class(utf8_next(text, &second)) : 0;
    if (class == 'L') {
        return run_end(text, size, at, 'L', INT_MAX);
    }
    if (class == 'N') {
        return run_end(text, size, at, 'N', 3);
    }
    if (!is_newline(text[at]) && next_class == 'L') {
        return run_end(text, size, end, 'L', INT_MAX);
    }
    if (class == 'O' || (text[at] == ' ' && next_class == 'O')) {
        end = run_end(text, size, class == 'O' ? at : end, 'O', INT_MAX);
        while (end < size && is_newline(text[end])) {
            end++;
        }
        return end;
    }
    end = run_end(text, size, at, 'S', INT_MAX);
    for (size_t i = end; i > at; i--) { /* up to the last line end of the white space */
        if (is_newline(text[i - 1])) {
            return i;
        }
    }
    size_t last = utf8_before(text, end, at); /* else, before a word, without its last character */
    return end < size && last > at ? last : end;
}

static void encode_split(const Vocabulary *vocabulary, Ids *ids, const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t end = vocabulary->llama3 ? llama_piece_end(text, size, at)
                                        : piece_end(text, size, at);
        encode_piece(vocabulary, ids, text + at, end - at);
        at = end;
    }
}

/* The Digits pre-tokenizer comes first: every number character, or every run of them, is a text of
 * its own to what follows. */
void bpe_encode(const Vocabulary *vocabulary, Ids *ids, const char *text, size_t size, int prefix)
{
    if (prefix && vocabulary->prefix_space && size && text[0] != ' ') {
        char *longer = memory_alloc(size + 1, 1);
        longer[0] = ' ';
        memcpy(longer + 1, text, size);
        bpe_encode(vocabulary, ids, longer, size + 1, 0);
        free(longer);
        return;
    }
    size_t begin = 0;
    int previous = 0;
    for (size_t at = 0; at < size && vocabulary->digits;) {
        size_t next = at;
        int number = unicode_class(utf8_next(text, &next)) == 'N';
        if (at > begin && (number != previous || (number && vocabulary->digits == 1))) {
            encode_split(vocabulary, ids, text + begin, at - begin);
            begin = at;
        }
        previous = number;
        at = next;
    }
    encode_split(vocabulary, ids, text + begin, size - begin);
}
