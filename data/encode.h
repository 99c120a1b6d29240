/* A data set as token ids. */
#ifndef ENCODE_H
#define ENCODE_H

#include "tasks.h"

/* Sequence s has the ids [start[s], start[s + 1]); example i has the sequences i * choices ... */
typedef struct Encoded {
    const Dataset *dataset;
    int choices;    /* sequences of an example */
    Ids ids, types; /* stb_ds arrays over all sequences */
    size_t *start;  /* [count * choices + 1] */
    int (*spans)[SPANS][2]; /* [count] tokens [first, end) of the example's only sequence; or NULL */
    int cut;        /* sequences that were longer and have been cut */
    int longest;    /* tokens of the longest sequence */
} Encoded;

/* Whether a token of line `line` of path is in the model's vocabulary of V. Errors: 65, naming the
 * tokenizer's file and config.json. */
int token_check(const Tokenizer *tokenizer, int id, int V, const char *path, int line,
                Error *error);

/* How examples become ids. */
typedef struct Encoding {
    const Tokenizer *tokenizer;
    int decoder; /* the task's text for a decoder, not for an encoder */
    int longest; /* tokens, special ones included */
    int V;       /* of the model's vocabulary */
    int threads; /* no id depends on them */
    int spans;   /* those of the examples are wanted too */
} Encoding;

/* Tokenizes every example by the task's rule: for an encoder its segments and special tokens, for a
 * decoder the task's text behind what the tokenizer puts in front, so that a beginning of text is
 * never doubled. The task must have a text for a decoder. Errors: 65 with the line of the first
 * example that cannot be cut, has an id outside of the model's vocabulary, or, where spans are
 * wanted, lacks one or has one without a token or not whole: a span's tokens are those that have part
 * of its text. */
int encode(Encoded *encoded, const Dataset *dataset, const Encoding *encoding, Error *error);
void encoded_free(Encoded *encoded);

/* Order of an epoch: a permutation of [count] that depends on the seed and the epoch alone (Fisher
 * and Yates). */
void epoch_order(int *order, int count, uint64_t seed, int epoch);

/* Tokens of the examples order[first .. first + count), or first + i where order is NULL. */
size_t encoded_tokens(const Encoded *encoded, const int *order, int first, int count);

#endif
