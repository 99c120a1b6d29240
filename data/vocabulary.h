/* Inside of the tokenizers: the vocabulary, the two models over it and the rest of a tokenizer.
 * Only tokenizer*.c, vocabulary.c, bpe.c, metaspace.c and wordpiece.c use it. */
#ifndef VOCABULARY_H
#define VOCABULARY_H

#include "json.h"
#include "tokenizer.h"

#include <stb/stb_ds.h>

typedef struct WordId {
    char *key;
    int value;
} WordId;

typedef struct Merge {
    uint64_t key; /* left id << 32 | right id */
    struct MergeResult {
        int rank, id;
    } value;
} Merge;

/* BPE over characters writes a space as U+2581. One may be put in front of a text: never; before
 * the first text (what an added token leaves in front of it counts) or every one, unless it begins
 * with one (Metaspace's prepend_scheme); before every one (the normalizer Prepend). */
typedef enum Spaces {
    SPACES_NONE, /* byte-level BPE */
    SPACES_NEVER,
    SPACES_FIRST,
    SPACES_ALWAYS,
    SPACES_PREPEND
} Spaces;

typedef struct Vocabulary {
    WordId *words;      /* stb_ds string map: token text to id */
    const char **texts; /* stb_ds array: id to text, NULL for a hole */
    /* BPE */
    int llama3;        /* split as Llama 3 does, not as GPT-2 */
    int digits;        /* split before: 1 at every number character, 2 around runs of them */
    int ignore_merges; /* a piece that is a word of the vocabulary is not merged */
    Spaces spaces;     /* what becomes of spaces where symbols are characters, not bytes */
    int split;         /* then: a piece begins at every space, else all is one */
    Merge *merges;     /* stb_ds map */
    int byte_id[256];  /* id of each byte's symbol */
    uint32_t symbol[256];
    int unknown; /* id of [UNK]; BPE: of unk_token, or -1 */
    /* WordPiece */
    char *prefix;     /* "##" */
    int longest_word; /* code points */
} Vocabulary;

typedef struct AddedToken {
    char *text;
    size_t size;
    int id, lstrip, rstrip, special;
} AddedToken;

/* A template is a list of these: a special token, or segment A or B. */
typedef struct TemplateItem {
    int segment; /* 0 A, 1 B, -1 a special token */
    int id, type;
} TemplateItem;

struct Tokenizer {
    Vocabulary vocabulary;
    int wordpiece;
    AddedToken *added; /* stb_ds arrays */
    TemplateItem *single, *pair;
    int size;
    char sha256[65];
};

enum { LARGEST_ID = 1 << 24 };

/* How BPE over characters writes a space: U+2581. */
#define SPACE_MARK "\xE2\x96\x81"

/* Adds a token; 0, or 65 if the id is out of range or taken. */
int vocabulary_add(Vocabulary *vocabulary, const char *word, long long id, const char *where,
                   Error *error);

/* Adds the tokens of an object of ids. Errors: 65. */
int vocabulary_read(Vocabulary *vocabulary, const json_t *vocab, const char *where, Error *error);

/* Adds a token that is found in a text before it is split. Errors: 65. */
int tokenizer_add_special(Tokenizer *t, const char *text, int id, int lstrip, int rstrip,
                          int special, const char *where, Error *error);

/* Everything that a tokenizer.json says. Errors: 65 with the field. */
int tokenizer_read_json(Tokenizer *t, const json_t *root, const char *where, Error *error);

/* Id of a token, or -1. */
int vocabulary_find(const Vocabulary *vocabulary, const char *word);

/* Finishes a BPE vocabulary. Every byte needs its symbol, "<0x0A>" where bytes stand for unknown
 * characters: GPT-2's and Llama 3's kind start from all 256, so a gap means a damaged file. Those
 * behind Digits (SmolLM, StarCoder) are made from the
 * bytes of their training text alone; what they lack is dropped. */
int bpe_finish(Vocabulary *vocabulary, const char *where, Error *error);

/* Adds a merge by its two texts; refuses unknown pieces and results. */
int bpe_add_merge(Vocabulary *vocabulary, const char *left, const char *right, int rank,
                  const char *where, Error *error);

/* The same from "a b". */
int bpe_add_merge_text(Vocabulary *vocabulary, const char *text, int rank, const char *where,
                       Error *error);

/* Appends what n symbols merge to; symbols are overwritten. */
void bpe_merge(const Vocabulary *vocabulary, Ids *ids, int *symbols, int n);

/* Appends the ids of valid UTF-8 text without special tokens. prefix: a space is put in front, by
 * the vocabulary's rule. */
void bpe_encode(const Vocabulary *vocabulary, Ids *ids, const char *text, size_t size);
void metaspace_encode(const Vocabulary *vocabulary, Ids *ids, const char *text, size_t size,
                      int prefix);
void wordpiece_encode(const Vocabulary *vocabulary, Ids *ids, const char *text, size_t size);

#endif
