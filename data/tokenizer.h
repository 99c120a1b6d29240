/* Text to token ids, equal to Hugging Face's tokenizers on every text: byte-level BPE (GPT-2,
 * RoBERTa, Llama 3, SmolLM), BPE over characters (Llama 2, TinyLlama) and WordPiece (BERT). */
#ifndef TOKENIZER_H
#define TOKENIZER_H

#include "base.h"

typedef struct Tokenizer Tokenizer;

/* Reads a folder's tokenizer.json, else vocab.json + merges.txt, else vocab.txt, with the files
 * beside it as transformers 5 does (docs/FORMATS.md); or one tokenizer.json by its path. Truncation
 * and padding in the file are ignored, as transformers does. What is not implemented is refused by
 * name, for ignoring it would give other ids. Errors: 66 nothing there, 65 with file and field. */
int tokenizer_open(Tokenizer **tokenizer, const char *path, Error *error);

/* A WordPiece tokenizer over these words ([PAD], [UNK], [CLS], [SEP], [MASK] first). */
Tokenizer *tokenizer_from_words(const char *const *words, int count);
void tokenizer_close(Tokenizer *tokenizer);

/* Token ids in an stb_ds array (arrlen, arrfree). */
typedef int *Ids;

/* LITERAL: texts of special tokens do not become their ids, as they do in Hugging Face. CONTINUES:
 * the text goes on behind another one, so that it gets no space in front of it (Llama 2's way). */
enum { ENCODE_LITERAL = 1, ENCODE_CONTINUES = 2 };

/* Appends the ids of size bytes of text, without the template's special tokens. flags: ENCODE_ of
 * the above. Ill-formed UTF-8 counts as U+FFFD. */
void tokenizer_encode(const Tokenizer *tokenizer, Ids *ids, const char *text, size_t size,
                      int flags);

/* Where in the text a token stands: bytes [begin, end). A space that was put in front has none, and
 * what a normalizer changed is where it was before. */
typedef struct Place {
    size_t begin, end;
} Place;

/* The same for valid UTF-8, and the place of each of these ids in an stb_ds array. */
void tokenizer_encode_placed(const Tokenizer *tokenizer, Ids *ids, Place **places,
                             const char *text, size_t size, int flags);

/* Special tokens that the template adds to so many segments. */
int tokenizer_specials(const Tokenizer *tokenizer, int segments);

/* Ids that stand in a template. Parts of the same segment follow each other with
 * nothing between. */
typedef struct Part {
    Ids ids;
    int segment;
    ptrdiff_t first, kept; /* set by tokenizer_build: its ids are those from first on of the result */
} Part;

enum { MAX_PARTS = 4 };

/* Which part may be cut: one's number, the longest of at most two, or none. */
enum { TRUNCATE_LONGEST_FIRST = -1, TRUNCATE_NONE = -2 };

/* Puts one to three segments, given in parts of ascending segments, into the template, cut at their
 * ends to at most longest ids: appends to ids, and the types to types if that is not NULL. A third
 * segment repeats what the template of a pair adds for the second. Returns 0, or -1 if there is no
 * room: the only part that may be cut would have no token left. */
int tokenizer_build(const Tokenizer *tokenizer, Ids *ids, Ids *types, Part *parts, int count,
                    int longest, int truncation);

/* SHA-256 of all that decides ids, for provenance. */
const char *tokenizer_sha256(const Tokenizer *tokenizer);

/* The file that the vocabulary was read from, for messages. */
const char *tokenizer_path(const Tokenizer *tokenizer);

/* model_max_length: how long an input may be, special tokens included; INT_MAX for no limit. */
int tokenizer_longest(const Tokenizer *tokenizer);

/* Names of the files of a folder that belong to its tokenizer, for copying them: the vocabulary in
 * any form and every file beside it. Returns how many there are. */
enum { TOKENIZER_FILES = 12 };
int tokenizer_files(const char *folder, const char *names[TOKENIZER_FILES]);

/* Writes vocab.txt of a tokenizer_from_words. */
int tokenizer_write_words(const Tokenizer *tokenizer, const char *path, Error *error);

#endif
