/* Inside of the tokenizers: the vocabulary, the models over it (BPE over bytes and over characters,
 * WordPiece), and the rest of a tokenizer. Only tokenizer*.c, side_files.c, added_tokens.c,
 * vocabulary.c, bpe.c, metaspace.c, wordpiece.c and places.c use it. */
#ifndef VOCABULARY_H
#define VOCABULARY_H

#include "json.h"
#include "tokenizer.h"

#include <stb/stb_ds.h>

/* Finds entries of an array by their hash: open addressing, at most half full. A look-up writes
 * nothing (stb_ds's does), so that any number of threads may encode at once. */
typedef struct HashSlot {
    uint32_t hash;
    int entry; /* number + 1; 0: free; -1: removed */
} HashSlot;

typedef struct HashTable {
    HashSlot *slots;    /* [size] */
    size_t size, taken; /* size: a power of two, or 0 */
} HashTable;

/* Two tokens that become one. */
typedef struct Merge {
    int left, right, rank, id;
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
    const char **texts; /* stb_ds array: id to text, NULL for a hole */
    HashTable words;    /* ids of the model's words by their texts, which it owns */
    int count;          /* of the words; added tokens are none */
    /* BPE */
    int llama3;        /* split as Llama 3 does, not as GPT-2 */
    int digits;        /* split before: 1 at every number character, 2 around runs of them */
    int ignore_merges; /* a piece that is a word of the vocabulary is not merged */
    int prefix_space;  /* a text of bytes that begins with no space gets one */
    Spaces spaces;     /* what becomes of spaces where symbols are characters, not bytes */
    int normalizes;    /* then: by a normalizer, in front of the pre-tokenizer */
    int split;         /* then: a piece begins at every space, else all is one */
    Merge *merges;     /* stb_ds array, in the order of their ranks */
    HashTable pairs;   /* merges by left and right */
    int byte_id[256];  /* id of each byte's symbol */
    uint32_t symbol[256];
    char *alone; /* [texts] what is known of a word's symbols: ALONE_ of bpe.c */
    int unknown; /* id of [UNK]; BPE: of unk_token, or -1 */
    /* WordPiece */
    char *prefix;     /* "##" */
    int longest_word; /* code points */
    int normal;       /* BERT_ options of the normalizer */
} Vocabulary;

/* A token that is found in a text before it is split: in the text as it is, or, normalized, in the
 * normalizer's result between those. */
typedef struct AddedToken {
    char *text, *pattern; /* pattern: what is looked for, the text or its normal form */
    size_t size;          /* bytes of pattern */
    int id, lstrip, rstrip, single_word, normalized, special;
} AddedToken;

/* A template is a list of these: a special token, or segment A or B. */
typedef struct TemplateItem {
    int segment; /* 0 A, 1 B, -1 a special token */
    int id, type;
} TemplateItem;

struct Tokenizer {
    Vocabulary vocabulary;
    int wordpiece;
    AddedToken *added;           /* stb_ds array */
    unsigned char begins[256];   /* 1 << normalized: a pattern of that kind begins with this byte */
    TemplateItem *single, *pair; /* stb_ds arrays */
    int literal;                 /* split_special_tokens: special tokens are text */
    int untyped;                 /* all token types are 0 */
    int longest;                 /* model_max_length */
    char *path;                  /* what the vocabulary was read from */
    char sha256[65];
};

enum { LARGEST_ID = 1 << 24 };

/* How BPE over characters writes a space: U+2581. */
#define SPACE_MARK "\xE2\x96\x81"

/* Adds a word; 0, or 65 if the id is out of range or another's, or the word has another id. */
int vocabulary_add(Vocabulary *vocabulary, const char *word, long long id, const char *where,
                   Error *error);

/* The same for a token that is no word of the model: an added one. The text must stay. */
int vocabulary_place(Vocabulary *vocabulary, const char *word, long long id, const char *where,
                     Error *error);

/* Takes a token out again, if it is there; its id becomes a hole. */
void vocabulary_remove(Vocabulary *vocabulary, const char *word);

/* Adds the tokens of an object of ids. Errors: 65. */
int vocabulary_read(Vocabulary *vocabulary, const json_t *vocab, const char *where, Error *error);

/* Id of a word or of an added token, or -1. */
int tokenizer_find(const Tokenizer *t, const char *text);

/* Reads content and flags of an added token as the files have them; normalized is what an absent
 * flag of that name means, -1: not special. The token's text stays the object's. Errors: 65. */
int added_token_read(AddedToken *token, const json_t *object, int normalized, const char *where,
                     Error *error);

/* [first] A [end], and a pair: BERT's, or RoBERTa's with two ends between. */
void tokenizer_set_template(Tokenizer *t, int first, int end, int roberta);

/* Everything that a tokenizer.json says but for added tokens. Errors: 65 with the field. */
int tokenizer_read_json(Tokenizer *t, const json_t *root, const char *where, Error *error);

/* The class of transformers 5 that would read a folder. All but CLASS_FILE take nothing but
 * vocabulary and merges from a tokenizer.json (LLAMA and GPT2 the template too). CLASS_SHAPE: no
 * file names one, so the form of the vocabulary decides. */
typedef enum TokenizerClass {
    CLASS_SHAPE,
    CLASS_FILE,
    CLASS_BERT,
    CLASS_ROBERTA,
    CLASS_GPT2,
    CLASS_LLAMA
} TokenizerClass;

/* What lies beside a vocabulary; NULL where there is no such file. */
typedef struct SideFiles {
    TokenizerClass class;
    json_t *config, *map, *added; /* tokenizer_config.json, special_tokens_map.json,
                                     added_tokens.json */
    char *config_path, *map_path, *added_path;
} SideFiles;

/* Reads the side files of a folder and checks that nothing in them is beyond what is implemented.
 * Errors: 65 with file and field. side_files_free releases it in any case. */
int side_files_read(SideFiles *side, const char *folder, Error *error);
void side_files_free(SideFiles *side);

/* added_tokens_decoder of tokenizer_config.json, or NULL. With it the two older files do not
 * count. */
const json_t *side_decoder(const SideFiles *side);

/* Special tokens that have a name, "bos_token" and so on. */
enum { BOS, EOS, UNK, SEP, PAD, CLS, MASK, ROLES };
extern const char *const role_names[ROLES];

/* A special token from its text or, in the map or with a type, its object. Errors: 65. */
int side_token(AddedToken *token, const json_t *field, int in_map, const char *name,
               const char *where, Error *error);

/* A named special token; its text is NULL if there is none. explicit: a file says so. Errors:
 * 65. */
int side_role(AddedToken *token, int *explicit, const SideFiles *side, TokenizerClass class,
              int role, Error *error);

/* Adds the tokens of the side files and, where they count, of a tokenizer.json. Errors: 65. */
int side_files_add(Tokenizer *t, const SideFiles *side, TokenizerClass class, const json_t *root,
                   Error *error);

/* Sets what the class decides, adds the tokens of the side files and makes the template. root: the
 * tokenizer.json, or NULL. Errors: 65. */
int side_files_apply(Tokenizer *t, const SideFiles *side, const json_t *root, const char *where,
                     Error *error);

/* Id of a word of the model, or -1. word: size bytes, or a text. */
int vocabulary_find_part(const Vocabulary *vocabulary, const char *word, size_t size);
int vocabulary_find(const Vocabulary *vocabulary, const char *word);

/* Id and rank of two neighbours' merge, or NULL. */
const Merge *vocabulary_merge(const Vocabulary *vocabulary, int left, int right);

/* Adds a merge; of the same pair the first one counts. */
void vocabulary_add_merge(Vocabulary *vocabulary, Merge merge);

void vocabulary_free(Vocabulary *vocabulary);

/* Finishes a BPE vocabulary. Every byte needs its symbol, "<0x0A>" where bytes stand for unknown
 * characters: GPT-2's and Llama 3's kind start from all 256, so a gap means a damaged file. Those
 * behind Digits (SmolLM, StarCoder) are made from the bytes of their training text alone; what they
 * lack is dropped. */
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
void bpe_encode(const Vocabulary *vocabulary, Ids *ids, const char *text, size_t size, int prefix);
void metaspace_encode(const Vocabulary *vocabulary, Ids *ids, const char *text, size_t size,
                      int prefix);
void wordpiece_encode(const Vocabulary *vocabulary, Ids *ids, const char *text, size_t size);

/* End of the word that starts at `at` of normal text, and what kind of characters it is of: 'W' is
 * white space, of which there are no tokens. */
size_t wordpiece_word_end(const char *text, size_t size, size_t at, int *piece);

/* BERT's normalizer: valid UTF-8 text to memory for the caller to free, of *size bytes.
 * wordpiece_encode expects such text. source, unless NULL: for the caller to free, where the
 * character of the text starts that became this byte; marks that change places keep each other's. */
char *wordpiece_normalize(const Vocabulary *vocabulary, const char *text, size_t *size,
                          size_t **source);

/* Appends where the tokens stand that *_encode made of the whole text; prefix as there. */
void places_find(const Tokenizer *t, Place **places, const int *ids, size_t count, const char *text,
                 size_t size, int prefix);

#endif
