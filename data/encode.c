#include "encode.h"
#include "rng.h"

#include <stb/stb_ds.h>
#include <stdlib.h>
#include <string.h>

/* One part of an input, [format, end), with the texts filled in, as ids. */
static Ids encode_part(const Tokenizer *tokenizer, const char *format, const char *end,
                       char *const texts[MAX_TEXTS], int flags)
{
    Ids ids = NULL;
    char *text = string_copy("");
    while (format < end) {
        size_t plain = strcspn(format, "{|");
        int number = format[plain] == '{' ? format[plain + 1] - '0' : -1;
        string_append(&text, "%.*s%s", (int)plain, format, number < 0 ? "" : texts[number]);
        format += plain + (number < 0 ? 0 : 3);
    }
    tokenizer_encode(tokenizer, &ids, text, strlen(text), flags);
    free(text);
    return ids;
}

/* One sequence by the task's format for an encoder or a decoder. */
static int encode_sequence(Encoded *encoded, char *const texts[MAX_TEXTS], const char *format,
                           const Tokenizer *tokenizer, int longest)
{
    int cut = encoded->dataset->task->cut, count = 0, segment = 0, code;
    int truncation = cut == CUT_LONGEST ? TRUNCATE_LONGEST_FIRST : TRUNCATE_NONE;
    ptrdiff_t length = 0;
    Part parts[MAX_PARTS];
    for (const char *at = format, *end; *at; at = end) {
        segment += at[0] == '|' && at[1] == '|';
        at += strspn(at, "|");
        end = at + strcspn(at, "|");
        for (const char *brace = at; cut >= 0 && brace < end; brace++) {
            truncation = brace[0] == '{' && brace[1] == '0' + cut ? count : truncation;
        }
        int continues = count && parts[count - 1].segment == segment;
        parts[count] = (Part){
            encode_part(tokenizer, at, end, texts, continues ? ENCODE_CONTINUES : 0), segment};
        length += arrlen(parts[count].ids);
        count++;
    }
    encoded->cut += length + tokenizer_specials(tokenizer, segment + 1) > longest;
    code = tokenizer_build(tokenizer, &encoded->ids, &encoded->types, parts, count, longest,
                           truncation);
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

int encode(Encoded *encoded, const Dataset *dataset, const Tokenizer *tokenizer, int decoder,
           int longest, int V, Error *error)
{
    int choices = task_sequences(dataset->task);
    const char *format = decoder ? dataset->task->decoder : dataset->task->encoder;
    *encoded = (Encoded){.dataset = dataset, .choices = choices};
    encoded->start = memory_calloc((size_t)dataset->count * (size_t)choices + 1,
                                   sizeof *encoded->start);
    for (int i = 0; i < dataset->count; i++) {
        for (int c = 0; c < choices; c++) {
            size_t s = (size_t)i * (size_t)choices + (size_t)c, begin = encoded->start[s];
            if (encode_sequence(encoded, dataset->examples[i].text[c], format, tokenizer,
                                longest)) {
                REFUSE("%s:%d: %d tokens leave no room for %s; raise --max-len", dataset->path,
                       dataset->examples[i].line, longest,
                       dataset->task->cut == CUT_NONE ? "the text, which may not be cut"
                                                      : "the part that may be cut");
                encoded_free(encoded);
                return error->code;
            }
            encoded->start[s + 1] = arrlenu(encoded->ids);
            int length = (int)(encoded->start[s + 1] - begin);
            if (length == 0) {
                REFUSE("%s:%d: the text has no token; correct the line", dataset->path,
                       dataset->examples[i].line);
                encoded_free(encoded);
                return error->code;
            }
            encoded->longest = int_max(encoded->longest, length);
            for (size_t t = begin; t < encoded->start[s + 1]; t++) {
                if (token_check(tokenizer, encoded->ids[t], V, dataset->path,
                                dataset->examples[i].line, error)) {
                    encoded_free(encoded);
                    return error->code;
                }
            }
        }
    }
    return 0;
}

void encoded_free(Encoded *encoded)
{
    arrfree(encoded->ids);
    arrfree(encoded->types);
    free(encoded->start);
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
