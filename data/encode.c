#include "encode.h"
#include "rng.h"

#include <stb/stb_ds.h>
#include <stdlib.h>
#include <string.h>

static Ids encode_text(const Tokenizer *tokenizer, const char *text)
{
    Ids ids = NULL;
    tokenizer_encode(tokenizer, &ids, text, strlen(text), 0);
    return ids;
}

/* One part of the decoder's text: the format with {0} and {1} filled in, up to "|" or the end. */
static char *fill_in(const char *format, const char *end, char *const segments[2])
{
    char *text = string_copy("");
    while (format < end) {
        size_t plain = strcspn(format, "{|");
        int number = format[plain] == '{' && format + plain < end ? format[plain + 1] - '0' : -1;
        plain = format + plain < end ? plain : (size_t)(end - format);
        char *longer = string_format("%s%.*s%s", text, (int)plain, format,
                                     number < 0 ? "" : segments[number]);
        free(text);
        text = longer;
        format += plain + (number < 0 ? 0 : 3);
    }
    return text;
}

static int encode_for_decoder(Encoded *encoded, const Example *example, int choice,
                              const Tokenizer *tokenizer, int longest)
{
    const Task *task = encoded->dataset->task;
    const char *format = task->decoder, *bar = strchr(format, '|'), *end = format + strlen(format);
    char *text = fill_in(format, bar ? bar : end, example->text[choice]),
         *rest = bar ? fill_in(bar + 1, end, example->text[choice]) : NULL;
    Ids first = encode_text(tokenizer, text), second = rest ? encode_text(tokenizer, rest) : NULL;
    /* the part that holds the segment which may be cut */
    Truncation cut = task->cut;
    if (cut != TRUNCATE_LONGEST_FIRST) {
        const char *segment = strstr(format, cut == TRUNCATE_ONLY_SECOND ? "{1}" : "{0}");
        cut = bar && segment > bar ? TRUNCATE_ONLY_SECOND : TRUNCATE_ONLY_FIRST;
    }
    encoded->cut += arrlen(first) + arrlen(second) + tokenizer_specials(tokenizer, 0) > longest;
    int code = tokenizer_build_joined(tokenizer, &encoded->ids, &encoded->types, first, second,
                                      longest, cut);
    free(text);
    free(rest);
    arrfree(first);
    arrfree(second);
    return code;
}

static int encode_sequence(Encoded *encoded, const Example *example, int choice,
                           const Tokenizer *tokenizer, int longest)
{
    Ids first = encode_text(tokenizer, example->text[choice][0]), second = NULL;
    int pair = example->text[choice][1] != NULL;
    if (pair) {
        second = encode_text(tokenizer, example->text[choice][1]);
    }
    encoded->cut += arrlen(first) + arrlen(second) + tokenizer_specials(tokenizer, pair) > longest;
    int code = tokenizer_build(tokenizer, &encoded->ids, &encoded->types, first,
                               pair ? &second : NULL, longest, encoded->dataset->task->cut);
    arrfree(first);
    arrfree(second);
    return code;
}

int encode(Encoded *encoded, const Dataset *dataset, const Tokenizer *tokenizer, int decoder,
           int longest, int V, Error *error)
{
    int choices = dataset->task->kind == KIND_CHOICE ? dataset->task->K : 1;
    *encoded = (Encoded){.dataset = dataset, .choices = choices};
    encoded->start = memory_calloc((size_t)dataset->count * (size_t)choices + 1,
                                   sizeof *encoded->start);
    for (int i = 0; i < dataset->count; i++) {
        for (int c = 0; c < choices; c++) {
            size_t s = (size_t)i * (size_t)choices + (size_t)c, begin = encoded->start[s];
            if ((decoder ? encode_for_decoder : encode_sequence)(encoded, &dataset->examples[i], c,
                                                                 tokenizer, longest)) {
                error_set(
                    error, EXIT_BAD_DATA,
                    "%s:%d: %d tokens leave no room for the part that may be cut; raise --max-len",
                    dataset->path, dataset->examples[i].line, longest);
                encoded_free(encoded);
                return error->code;
            }
            encoded->start[s + 1] = arrlenu(encoded->ids);
            int length = (int)(encoded->start[s + 1] - begin);
            if (length == 0) {
                error_set(error, EXIT_BAD_DATA, "%s:%d: the text has no token; correct the line",
                          dataset->path, dataset->examples[i].line);
                encoded_free(encoded);
                return error->code;
            }
            encoded->longest = length > encoded->longest ? length : encoded->longest;
            for (size_t t = begin; t < encoded->start[s + 1]; t++) {
                if (encoded->ids[t] >= V) {
                    error_set(error, EXIT_BAD_DATA,
                              "%s:%d: token id %d is outside of the model's vocabulary of %d; the "
                              "tokenizer belongs to another model",
                              dataset->path, dataset->examples[i].line, encoded->ids[t], V);
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

void packed_init(Packed *packed, int max_tokens, int max_sequences)
{
    size_t N = (size_t)max_tokens, B = (size_t)max_sequences;
    *packed = (Packed){0};
    packed->tokens = memory_calloc(2 * N, sizeof *packed->tokens);
    packed->types = packed->tokens + N;
    packed->cu_seqlens = memory_calloc(2 * B + 1, sizeof *packed->cu_seqlens);
    packed->slots = packed->cu_seqlens + B + 1;
    packed->labels = memory_calloc(N > B ? N : B, sizeof *packed->labels);
    packed->targets = memory_calloc(B, sizeof *packed->targets);
}

void packed_free(Packed *packed)
{
    free(packed->tokens);
    free(packed->cu_seqlens);
    free(packed->labels);
    free(packed->targets);
    *packed = (Packed){0};
}

void pack(Packed *packed, const Encoded *encoded, const int *order, int first, int count,
          int first_slot)
{
    packed->N = packed->B = 0;
    packed->examples = count;
    for (int i = 0; i < count; i++) {
        int index = order ? order[first + i] : first + i;
        const Example *example = &encoded->dataset->examples[index];
        packed->labels[i] = example->label;
        packed->targets[i] = example->target;
        for (int c = 0; c < encoded->choices; c++) {
            size_t s = (size_t)index * (size_t)encoded->choices + (size_t)c,
                   length = encoded->start[s + 1] - encoded->start[s];
            memcpy(packed->tokens + packed->N, encoded->ids + encoded->start[s],
                   length * sizeof(int));
            memcpy(packed->types + packed->N, encoded->types + encoded->start[s],
                   length * sizeof(int));
            packed->slots[packed->B] = (first_slot + i) * encoded->choices + c;
            packed->cu_seqlens[packed->B++] = packed->N;
            packed->N += (int)length;
        }
    }
    packed->cu_seqlens[packed->B] = packed->N;
    if (encoded->dataset->task->kind == KIND_LANGUAGE) {
        for (int b = 0; b < packed->B; b++) {
            int end = packed->cu_seqlens[b + 1];
            for (int n = packed->cu_seqlens[b]; n < end; n++) {
                packed->labels[n] = n + 1 < end ? packed->tokens[n + 1] : -1;
            }
        }
    }
}

int pack_tokens(const Encoded *encoded, const int *order, int first, int count)
{
    size_t tokens = 0, choices = (size_t)encoded->choices;
    for (int i = first; i < first + count; i++) {
        size_t index = (size_t)(order ? order[i] : i);
        tokens += encoded->start[(index + 1) * choices] - encoded->start[index * choices];
    }
    return (int)tokens;
}
