#include "encode.h"
#include "rng.h"

#include <stb/stb_ds.h>
#include <stdlib.h>
#include <string.h>

static void append(char **text, const char *from, size_t size)
{
    if (size) {
        memcpy(arraddnptr(*text, size), from, size);
    }
}

/* The tokens of a span: [first, end) of a part's. */
typedef struct TokenSpan {
    int part, first, end;
} TokenSpan;

/* One part of an input, [format, end), with the texts filled in, as ids; where each text is in it. */
static Ids encode_part(const Tokenizer *tokenizer, const char *format, const char *end,
                       char *const texts[MAX_TEXTS], int flags, Place filled[MAX_TEXTS],
                       Place **places)
{
    Ids ids = NULL;
    char *text = NULL; /* stb_ds array */
    while (format < end) {
        size_t plain = strcspn(format, "{|");
        append(&text, format, plain);
        format += plain;
        if (*format == '{') {
            int t = format[1] - '0';
            filled[t].begin = arrlenu(text);
            append(&text, texts[t], strlen(texts[t]));
            filled[t].end = arrlenu(text);
            format += 3;
        }
    }
    if (places) {
        tokenizer_encode_placed(tokenizer, &ids, places, text, arrlenu(text), flags);
    } else {
        tokenizer_encode(tokenizer, &ids, text, arrlenu(text), flags);
    }
    arrfree(text);
    return ids;
}

/* The tokens that have part of the bytes [begin, end). */
static TokenSpan tokens_of(const Place *places, int part, size_t begin, size_t end)
{
    TokenSpan span = {.part = part};
    for (int i = 0; i < (int)arrlen(places); i++) {
        if (places[i].begin < end && places[i].end > begin) {
            span.first = span.end ? span.first : i;
            span.end = i + 1;
        }
    }
    return span;
}

/* Examples [first, end) that one thread encodes, and what became of them. */
typedef struct Block {
    int first, end;
    Ids ids, types; /* stb_ds arrays */
    size_t *length; /* stb_ds array: tokens of each sequence */
    int *spans;     /* stb_ds array: SPANS pairs an example, where they are wanted */
    int cut;        /* sequences */
    Error error;    /* of the first example that has one */
} Block;

/* Puts the spans of a sequence that begins at `begin`; the number of the first one that is not whole
 * in it, from 1 on, or that has no token, from SPANS + 1 on; or 0. */
static int put_spans(Block *block, const TokenSpan spans[SPANS], const Part *parts, size_t begin)
{
    for (int s = 0; s < SPANS; s++) {
        const Part *part = &parts[spans[s].part];
        int first = (int)(part->first - (ptrdiff_t)begin);
        if (spans[s].end == 0 || spans[s].end > part->kept) {
            return 1 + s + (spans[s].end == 0 ? SPANS : 0);
        }
        arrput(block->spans, first + spans[s].first);
        arrput(block->spans, first + spans[s].end);
    }
    return 0;
}

/* One sequence of an example by the task's format for an encoder or a decoder. Returns -1 if it cannot
 * be cut, or what put_spans does. */
static int encode_sequence(Block *block, const Task *task, const Example *example, int choice,
                           const Encoding *encoding)
{
    const char *format = encoding->decoder ? task->decoder : task->encoder;
    char *const *texts = example->text[choice];
    int cut = task->cut, count = 0, segment = 0, code;
    int truncation = cut == CUT_LONGEST ? TRUNCATE_LONGEST_FIRST : TRUNCATE_NONE;
    size_t begin = arrlenu(block->ids);
    ptrdiff_t length = 0;
    Part parts[MAX_PARTS];
    TokenSpan spans[SPANS] = {0};
    for (const char *at = format, *end; *at; at = end) {
        segment += at[0] == '|' && at[1] == '|';
        at += strspn(at, "|");
        end = at + strcspn(at, "|");
        for (const char *brace = at; cut >= 0 && brace < end; brace++) {
            truncation = brace[0] == '{' && brace[1] == '0' + cut ? count : truncation;
        }
        int continues = count && parts[count - 1].segment == segment;
        Place filled[MAX_TEXTS] = {0}, *places = NULL;
        parts[count] = (Part){.ids = encode_part(encoding->tokenizer, at, end, texts,
                                                 continues ? ENCODE_CONTINUES : 0, filled,
                                                 encoding->spans ? &places : NULL),
                              .segment = segment};
        for (int s = 0; s < SPANS && encoding->spans; s++) {
            const Place *text = &filled[task_span(task, s)];
            if (text->end) {
                spans[s] = tokens_of(places, count, text->begin + (size_t)example->span[s][0],
                                     text->begin + (size_t)example->span[s][1]);
            }
        }
        arrfree(places);
        length += arrlen(parts[count].ids);
        count++;
    }
    block->cut += length + tokenizer_specials(encoding->tokenizer, segment + 1) > encoding->longest;
    code = tokenizer_build(encoding->tokenizer, &block->ids, &block->types, parts, count,
                           encoding->longest, truncation);
    if (!code && encoding->spans) {
        code = put_spans(block, spans, parts, begin);
    }
    for (int i = 0; i < count; i++) {
        arrfree(parts[i].ids);
    }
    return code;
}

int token_check(const Tokenizer *tokenizer, int id, int V, const char *path, int line, Error *error)
{
    return id < V ? 0
                  : REFUSE("%s: token id %d (%s:%d) is outside of the model's vocabulary: "
                           "config.json has vocab_size %d; they belong to different models",
                           tokenizer_path(tokenizer), id, path, line, V);
}

static int encode_example(Block *block, const Dataset *dataset, const Example *example,
                          const Encoding *encoding, Error *error)
{
    for (int s = 0; s < SPANS && encoding->spans; s++) {
        if (!example->span[s][1]) {
            return REFUSE("%s:%d: the fields start%d and end%d are missing; --head spans needs them",
                          dataset->path, example->line, 1 + s, 1 + s);
        }
    }
    for (int c = 0; c < task_sequences(dataset->task); c++) {
        size_t begin = arrlenu(block->ids);
        int code = encode_sequence(block, dataset->task, example, c, encoding);
        if (code > SPANS) {
            return REFUSE("%s:%d: span %d has no token; correct the line", dataset->path,
                          example->line, code - SPANS);
        }
        if (code > 0) {
            return REFUSE("%s:%d: span %d is not whole within %d tokens; raise --max-len",
                          dataset->path, example->line, code, encoding->longest);
        }
        if (code) {
            return REFUSE("%s:%d: %d tokens leave no room for %s; raise --max-len", dataset->path,
                          example->line, encoding->longest,
                          dataset->task->cut == CUT_NONE ? "the text, which may not be cut"
                                                         : "the part that may be cut");
        }
        size_t length = arrlenu(block->ids) - begin;
        if (length == 0 && dataset->task->kind != KIND_LANGUAGE) {
            return REFUSE("%s:%d: the text has no token; correct the line", dataset->path,
                          example->line);
        }
        for (size_t t = begin; t < begin + length; t++) {
            if (token_check(encoding->tokenizer, block->ids[t], encoding->V, dataset->path,
                            example->line, error)) {
                return error->code;
            }
        }
        arrput(block->length, length);
    }
    return 0;
}

/* Puts a block's sequences behind those of the blocks before it. */
static void append_block(Encoded *encoded, const Block *block)
{
    size_t at = arrlenu(encoded->ids), tokens = arrlenu(block->ids),
           s = (size_t)block->first * (size_t)encoded->choices;
    memcpy(arraddnptr(encoded->ids, tokens), block->ids, tokens * sizeof *block->ids);
    memcpy(arraddnptr(encoded->types, tokens), block->types, tokens * sizeof *block->types);
    for (size_t i = 0; i < arrlenu(block->length); i++) {
        encoded->longest = int_max(encoded->longest, (int)block->length[i]);
        encoded->start[s + i] = at;
        at += block->length[i];
    }
    encoded->start[s + arrlenu(block->length)] = at;
    if (encoded->spans) {
        memcpy(encoded->spans[block->first], block->spans, arrlenu(block->spans) * sizeof(int));
    }
    encoded->cut += block->cut;
}

/* Blocks are encoded by all threads, a few at a time so that little memory is needed twice, and
 * appended in their order. */
int encode(Encoded *encoded, const Dataset *dataset, const Encoding *encoding, Error *error)
{
    enum { EXAMPLES = 64, BLOCKS = 64 };
    int choices = task_sequences(dataset->task), count = dataset->count;
    *encoded = (Encoded){.dataset = dataset, .choices = choices};
    encoded->start = memory_calloc((size_t)count * (size_t)choices + 1, sizeof *encoded->start);
    encoded->spans = encoding->spans ? memory_calloc((size_t)count, sizeof *encoded->spans) : NULL;
    *error = (Error){0};
    for (int first = 0; first < count && !error->code; first += EXAMPLES * BLOCKS) {
        Block blocks[BLOCKS] = {0};
#pragma omp parallel for schedule(dynamic) num_threads(encoding->threads)
        for (int b = 0; b < BLOCKS; b++) {
            Block *block = &blocks[b];
            block->first = int_min(first + b * EXAMPLES, count);
            block->end = int_min(block->first + EXAMPLES, count);
            for (int i = block->first; i < block->end && !block->error.code; i++) {
                encode_example(block, dataset, &dataset->examples[i], encoding, &block->error);
            }
        }
        for (int b = 0; b < BLOCKS; b++) {
            *error = error->code ? *error : blocks[b].error;
            if (blocks[b].length && !error->code) {
                append_block(encoded, &blocks[b]);
            }
            arrfree(blocks[b].ids);
            arrfree(blocks[b].types);
            arrfree(blocks[b].length);
            arrfree(blocks[b].spans);
        }
    }
    if (error->code) {
        encoded_free(encoded);
    }
    return error->code;
}

void encoded_free(Encoded *encoded)
{
    arrfree(encoded->ids);
    arrfree(encoded->types);
    free(encoded->start);
    free(encoded->spans);
    *encoded = (Encoded){0};
}

void epoch_order(int *order, int count, uint64_t seed, int epoch)
{
    char stream[32];
    snprintf(stream, sizeof stream, "order/%d", epoch);
    uint64_t key = rng_key(seed, stream);
    for (int i = 0; i < count; i++) {
        order[i] = i;
    }
    for (int i = count - 1; i > 0; i--) {
        int j = (int)rng_below(key, (uint64_t)i, (uint32_t)i + 1), other = order[j];
        order[j] = order[i];
        order[i] = other;
    }
}

size_t encoded_tokens(const Encoded *encoded, const int *order, int first, int count)
{
    size_t tokens = 0, choices = (size_t)encoded->choices;
    for (int i = first; i < first + count; i++) {
        size_t index = (size_t)(order ? order[i] : i);
        tokens += encoded->start[(index + 1) * choices] - encoded->start[index * choices];
    }
    return tokens;
}
