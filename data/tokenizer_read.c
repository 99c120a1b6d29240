/* Opening tokenizers: from a folder's files, or from words. */
#include "json.h"
#include "tokenizer.h"
#include "vocabulary.h"

#include <string.h>

#define REFUSE(...) error_set(error, EXIT_BAD_DATA, __VA_ARGS__)

int tokenizer_add_special(Tokenizer *t, const char *text, int id, int lstrip, int rstrip,
                          int special, const char *where, Error *error)
{
    if (!*text) {
        return REFUSE("%s: an added token is empty; get the file again", where);
    }
    if (vocabulary_add(&t->vocabulary, text, id, where, error)) {
        return error->code;
    }
    arrput(t->added, ((AddedToken){string_copy(text), strlen(text), id, lstrip, rstrip, special}));
    return 0;
}
/* special tokens of a file pair without tokenizer.json, and their template [first] A [end] or pair
 */
static int add_defaults(Tokenizer *t, const char *where, Error *error)
{
    static const char *const bert[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", NULL};
    static const char *const roberta[] = {"<s>", "<pad>", "</s>", "<unk>", "<mask>", NULL};
    static const char *const gpt2[] = {"<|endoftext|>", NULL};
    const char *const *names = t->wordpiece                                   ? bert
                               : vocabulary_find(&t->vocabulary, "</s>") >= 0 ? roberta
                                                                              : gpt2;
    for (int i = 0; names[i]; i++) {
        int id = vocabulary_find(&t->vocabulary, names[i]);
        if (id < 0) {
            return REFUSE("%s: the special token '%s' is missing; get the file again", where,
                          names[i]);
        }
        if (tokenizer_add_special(t, names[i], id, names == roberta && i == 4, 0, 1, where,
                                  error)) {
            return error->code;
        }
    }
    TemplateItem a = {.segment = 0}, b = {.segment = 1, .type = names == bert};
    if (names == gpt2) {
        arrput(t->single, a);
        arrput(t->pair, a);
        b.type = 1;
        arrput(t->pair, b);
        return 0;
    }
    int first = vocabulary_find(&t->vocabulary, names == bert ? "[CLS]" : "<s>");
    int end = vocabulary_find(&t->vocabulary, names == bert ? "[SEP]" : "</s>");
    TemplateItem cls = {-1, first, 0}, sep = {-1, end, 0}, last = {-1, end, b.type};
    TemplateItem items[] = {cls, a, sep, sep, b, last};
    for (int i = 0; i < 6; i++) {
        if (i < 3) {
            arrput(t->single, items[i]);
        }
        if (i != 3 || names == roberta) {
            arrput(t->pair, items[i]);
        }
    }
    return 0;
}
/* Calls line for each line of a text file (without its LF or CR LF). */
static int each_line(const char *path, Tokenizer *t,
                     int (*line)(Tokenizer *, const char *, int, const char *, Error *),
                     Error *error)
{
    File file;
    int code = file_map(&file, path, error), number = 0;
    const char *text = (const char *)file.bytes;
    if (!code && (utf8_valid_prefix(text, file.size) != file.size ||
                  (file.size && memchr(text, 0, file.size)))) {
        code = REFUSE("%s: offset %zu: not UTF-8 text; get the file again", path,
                      utf8_valid_prefix(text, file.size));
    }
    for (size_t at = 0; !code && at < file.size; number++) {
        const char *end = memchr(text + at, '\n', file.size - at);
        size_t length = end ? (size_t)(end - text) - at : file.size - at;
        char *copy = string_format(
            "%.*s", (int)(length && text[at + length - 1] == '\r' ? length - 1 : length),
            text + at);
        code = line(t, copy, number, path, error);
        free(copy);
        at += length + 1;
    }
    file_unmap(&file);
    return code;
}

static int merges_line(Tokenizer *t, const char *text, int number, const char *path, Error *error)
{
    int comment = number == 0 && !strncmp(text, "#version", 8);
    return comment || !*text ? 0 : bpe_add_merge_text(&t->vocabulary, text, number, path, error);
}

static int words_line(Tokenizer *t, const char *text, int number, const char *path, Error *error)
{
    return vocabulary_add(&t->vocabulary, text, number, path, error);
}

/* A folder with vocab.txt alone says in tokenizer_config.json whether it is for cased text. */
static int cased(const char *folder)
{
    char *path = string_format("%s/tokenizer_config.json", folder);
    json_t *config = NULL;
    Error error;
    int is_cased = !json_read_file(&config, path, &error) &&
                   json_is_false(json_object_get(config, "do_lower_case"));
    json_decref(config);
    free(path);
    return is_cased;
}

static int read_folder(Tokenizer *t, const char *folder, Error *error)
{
    char *path[4] = {string_format("%s/tokenizer.json", folder),
                     string_format("%s/vocab.json", folder), string_format("%s/merges.txt", folder),
                     string_format("%s/vocab.txt", folder)};
    json_t *root = NULL;
    int code;
    if (path_exists(path[0])) {
        code = json_read_file(&root, path[0], error) ? error->code
                                                     : tokenizer_read_json(t, root, path[0], error);
    } else if (path_exists(path[1])) {
        code = json_read_file(&root, path[1], error) ||
                       vocabulary_read(&t->vocabulary, root, path[1], error) ||
                       each_line(path[2], t, merges_line, error) ||
                       bpe_finish(&t->vocabulary, path[1], error) || add_defaults(t, path[1], error)
                   ? error->code
                   : 0;
    } else if (path_exists(path[3]) && cased(folder)) {
        code = REFUSE(
            "%s/tokenizer_config.json: do_lower_case false is not implemented (cased models "
            "are not)",
            folder);
    } else if (path_exists(path[3])) {
        t->wordpiece = 1;
        t->vocabulary.prefix = string_copy("##");
        t->vocabulary.longest_word = 100;
        code = each_line(path[3], t, words_line, error) || add_defaults(t, path[3], error)
                   ? error->code
                   : 0;
        t->vocabulary.unknown = vocabulary_find(&t->vocabulary, "[UNK]");
    } else {
        code = error_set(error, EXIT_NO_INPUT,
                         "%s: no tokenizer.json, vocab.json + merges.txt or vocab.txt; get the "
                         "whole model folder",
                         folder);
    }
    json_decref(root);
    for (int i = 0; i < 4; i++) {
        free(path[i]);
    }
    return code;
}

static void digest(Tokenizer *t)
{
    /* What decides the ids: every token in the order of its id, and how many merges there are, by
     * their ranks' order. */
    size_t size = 0;
    for (ptrdiff_t i = 0; i < arrlen(t->vocabulary.texts); i++) {
        size += 1 + (t->vocabulary.texts[i] ? strlen(t->vocabulary.texts[i]) : 0);
    }
    size_t merges = hmlenu(t->vocabulary.merges);
    char *all = memory_alloc(size + merges * sizeof(uint64_t), 1), *at = all;
    for (ptrdiff_t i = 0; i < arrlen(t->vocabulary.texts); i++) {
        const char *text = t->vocabulary.texts[i] ? t->vocabulary.texts[i] : "";
        at = (char *)memcpy(at, text, strlen(text) + 1) + strlen(text) + 1;
    }
    for (size_t i = 0; i < merges; i++) {
        memcpy(at, &t->vocabulary.merges[i].key, sizeof(uint64_t));
        at += sizeof(uint64_t);
    }
    sha256_hex(t->sha256, all, (size_t)(at - all));
    free(all);
}

static Tokenizer *tokenizer_new(void)
{
    Tokenizer *t = memory_calloc(1, sizeof *t);
    sh_new_arena(t->vocabulary.words);
    return t;
}

static void tokenizer_ready(Tokenizer *t)
{
    t->size = (int)arrlen(t->vocabulary.texts);
    digest(t);
}

int tokenizer_open(Tokenizer **tokenizer, const char *path, Error *error)
{
    Tokenizer *t = tokenizer_new();
    int code;
    if (path_is_folder(path)) {
        code = read_folder(t, path, error);
    } else {
        json_t *root = NULL;
        code = json_read_file(&root, path, error) ? error->code
                                                  : tokenizer_read_json(t, root, path, error);
        json_decref(root);
    }
    if (!code) {
        tokenizer_ready(t);
        for (ptrdiff_t i = 0; i < arrlen(t->pair) && !code; i++) {
            if (t->pair[i].segment < 0 && t->pair[i].id >= t->size) {
                code = REFUSE(
                    "%s: the template's id %d is not in the vocabulary; get the file again", path,
                    t->pair[i].id);
            }
        }
    }
    if (code) {
        tokenizer_close(t);
        t = NULL;
    }
    *tokenizer = t;
    return code;
}

Tokenizer *tokenizer_from_words(const char *const *words, int count)
{
    Tokenizer *t = tokenizer_new();
    Error error = {0};
    t->wordpiece = 1;
    t->vocabulary.prefix = string_copy("##");
    t->vocabulary.longest_word = 100;
    for (int i = 0; i < count; i++) {
        if (vocabulary_add(&t->vocabulary, words[i], i, "built-in words", &error)) {
            break;
        }
    }
    if (error.code || add_defaults(t, "built-in words", &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(EXIT_BUG);
    }
    t->vocabulary.unknown = vocabulary_find(&t->vocabulary, "[UNK]");
    tokenizer_ready(t);
    return t;
}

void tokenizer_close(Tokenizer *t)
{
    if (!t) {
        return;
    }
    for (ptrdiff_t i = 0; i < arrlen(t->added); i++) {
        free(t->added[i].text);
    }
    shfree(t->vocabulary.words);
    hmfree(t->vocabulary.merges);
    arrfree(t->vocabulary.texts);
    free(t->vocabulary.prefix);
    arrfree(t->added);
    arrfree(t->single);
    arrfree(t->pair);
    free(t);
}

int tokenizer_write_words(const Tokenizer *t, const char *path, Error *error)
{
    Writer writer;
    if (writer_open(&writer, path, error)) {
        return error->code;
    }
    for (ptrdiff_t i = 0; i < arrlen(t->vocabulary.texts); i++) {
        fprintf(writer.stream, "%s\n", t->vocabulary.texts[i]);
    }
    return writer_commit(&writer, error);
}

int tokenizer_files(const char *folder, const char *names[TOKENIZER_FILES])
{
    static const char *const all[TOKENIZER_FILES] = {
        "tokenizer.json",      "tokenizer_config.json",   "special_tokens_map.json",
        "added_tokens.json",   "vocab.json",              "merges.txt",
        "vocab.txt",           "tokenizer.model",         "tiktoken.model",
        "chat_template.jinja", "chat_template.json",      "sentencepiece.bpe.model"};
    int count = 0;
    for (int i = 0; i < TOKENIZER_FILES; i++) {
        char *path = string_format("%s/%s", folder, all[i]);
        if (path_exists(path)) {
            names[count++] = all[i];
        }
        free(path);
    }
    return count;
}
