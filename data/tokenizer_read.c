/* Opening tokenizers: from a folder's files, or from words. */
#include "json.h"
#include "tokenizer.h"
#include "unicode.h"
#include "vocabulary.h"

#include <string.h>

void tokenizer_set_template(Tokenizer *t, int first, int end, int roberta)
{
    int type = !roberta;
    TemplateItem items[] = {{-1, first, 0}, {0, 0, 0},    {-1, end, 0},
                            {-1, end, 0},   {1, 0, type}, {-1, end, type}};
    for (int i = 0; i < 6; i++) {
        if (i < 3) {
            arrput(t->single, items[i]);
        }
        if (i != 3 || roberta) {
            arrput(t->pair, items[i]);
        }
    }
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
        char *copy = string_part(text + at, length && text[at + length - 1] == '\r' ? length - 1
                                                                                    : length);
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

/* The reference trims white space at the end of a line; of repeated lines the last counts. */
static int words_line(Tokenizer *t, const char *text, int number, const char *path, Error *error)
{
    size_t size = strlen(text);
    while (size) {
        size_t before = utf8_before(text, size, 0);
        if (!unicode_is_space_at(text, before)) {
            break;
        }
        size = before;
    }
    char *word = string_part(text, size);
    vocabulary_remove(&t->vocabulary, word);
    int code = vocabulary_add(&t->vocabulary, word, number, path, error);
    free(word);
    return code;
}

/* What a folder has for a vocabulary, in the order of preference. */
static int read_vocabulary(Tokenizer *t, json_t **root, const char *folder, Error *error)
{
    static const char *const names[] = {"tokenizer.json", "vocab.json", "vocab.txt",
                                        "tokenizer.model", "sentencepiece.bpe.model"};
    int found = 0, code, count = sizeof names / sizeof *names;
    for (; found < count; found++) {
        free(t->path);
        t->path = string_format("%s/%s", folder, names[found]);
        if (path_exists(t->path)) {
            break;
        }
    }
    if (found == count) {
        return error_set(error, EXIT_NO_INPUT,
                         "%s: no tokenizer.json, vocab.json + merges.txt or vocab.txt; get the "
                         "whole model folder",
                         folder);
    }
    if (found > 2) {
        return REFUSE("%s: SentencePiece files are not implemented; save the tokenizer as "
                      "tokenizer.json",
                      t->path);
    }
    if (found == 2) {
        t->wordpiece = 1;
        return each_line(t->path, t, words_line, error);
    }
    code = json_read_file(root, t->path, error);
    if (!code && found == 0) {
        code = tokenizer_read_json(t, *root, t->path, error);
    } else if (!code) {
        char *merges = string_format("%s/merges.txt", folder);
        code = vocabulary_read(&t->vocabulary, *root, t->path, error) ||
                       each_line(merges, t, merges_line, error) ||
                       bpe_finish(&t->vocabulary, t->path, error)
                   ? error->code
                   : 0;
        free(merges);
        json_decref(*root);
        *root = NULL;
    }
    return code;
}

static int read_folder(Tokenizer *t, const char *folder, Error *error)
{
    SideFiles side;
    json_t *root = NULL;
    int code = side_files_read(&side, folder, error) || read_vocabulary(t, &root, folder, error);
    code = code || side_files_apply(t, &side, root, t->path, error) ? error->code : 0;
    json_decref(root);
    side_files_free(&side);
    return code;
}

/* One tokenizer.json by its path. */
static int read_file(Tokenizer *t, const char *path, Error *error)
{
    json_t *root = NULL;
    SideFiles none = {0};
    t->path = string_copy(path);
    int code = json_read_file(&root, path, error) || tokenizer_read_json(t, root, path, error);
    code = code || side_files_apply(t, &none, root, path, error) ? error->code : 0;
    json_decref(root);
    return code;
}

static void put(unsigned char **bytes, const void *from, size_t size)
{
    memcpy(arraddnptr(*bytes, size), from, size);
}

static void put_template(unsigned char **bytes, const TemplateItem *items)
{
    int count = (int)arrlen(items);
    put(bytes, &count, sizeof count);
    for (int i = 0; i < count; i++) {
        int item[] = {items[i].segment, items[i].id, items[i].type};
        put(bytes, item, sizeof item);
    }
}

/* What decides the ids: every token in the order of its id, merges in the order of their ranks, the
 * settings, added tokens in the order of their ids, and the template. */
static void digest(Tokenizer *t)
{
    const Vocabulary *v = &t->vocabulary;
    unsigned char *bytes = NULL;
    for (ptrdiff_t i = 0; i < arrlen(v->texts); i++) {
        const char *text = v->texts[i] ? v->texts[i] : "";
        put(&bytes, text, strlen(text) + 1);
    }
    for (size_t i = 0; i < arrlenu(v->merges); i++) {
        uint64_t pair = (uint64_t)v->merges[i].left << 32 | (uint32_t)v->merges[i].right;
        put(&bytes, &pair, sizeof pair);
    }
    int settings[] = {t->wordpiece,    v->llama3,       v->digits,  v->ignore_merges,
                      v->prefix_space, v->spaces,       v->split,   v->unknown,
                      v->normal,       v->longest_word, t->literal, t->untyped};
    put(&bytes, settings, sizeof settings);
    put(&bytes, v->prefix ? v->prefix : "", v->prefix ? strlen(v->prefix) + 1 : 1);
    const AddedToken **places = memory_calloc((size_t)arrlen(v->texts) + 1, sizeof *places);
    for (ptrdiff_t i = 0; i < arrlen(t->added); i++) {
        places[t->added[i].id] = &t->added[i];
    }
    for (ptrdiff_t id = 0; id < arrlen(v->texts); id++) {
        const AddedToken *a = places[id];
        if (a) {
            int token[] = {a->id,          a->lstrip,     a->rstrip,
                           a->single_word, a->normalized, a->special && t->literal};
            put(&bytes, token, sizeof token);
        }
    }
    free(places);
    put_template(&bytes, t->single);
    put_template(&bytes, t->pair);
    sha256_hex(t->sha256, bytes, arrlenu(bytes));
    arrfree(bytes);
}

/* How often a template names a segment in its items from `from` on, before `end`. */
static int count_segment(const TemplateItem *items, ptrdiff_t from, ptrdiff_t end, int segment)
{
    int count = 0;
    for (ptrdiff_t i = from; i < end; i++) {
        count += items[i].segment == segment;
    }
    return count;
}

/* Every id of the templates is a token. A text stands once in them, or what is cut to a length would
 * be longer; and the template of a pair goes on where that of one text ends, for a third one is put
 * behind it like the second (tokenizer_build). */
static int check_template(const Tokenizer *t, Error *error)
{
    ptrdiff_t one = arrlen(t->single), two = arrlen(t->pair), both = one < two ? one : two;
    for (ptrdiff_t i = 0; i < one + two; i++) {
        const TemplateItem *item = i < two ? &t->pair[i] : &t->single[i - two];
        if (item->segment < 0 && (item->id < 0 || item->id >= arrlen(t->vocabulary.texts) ||
                                  !t->vocabulary.texts[item->id])) {
            return REFUSE("%s: the template's id %d is not in the vocabulary; get the file again",
                          t->path, item->id);
        }
    }
    int same = one <= two;
    for (ptrdiff_t i = 0; i < both && same; i++) {
        same = t->single[i].segment == t->pair[i].segment && t->single[i].id == t->pair[i].id;
    }
    if (!same || count_segment(t->pair, 0, one, 0) != 1 || count_segment(t->pair, 0, one, 1) ||
        count_segment(t->pair, one, two, 0) || count_segment(t->pair, one, two, 1) != 1) {
        return REFUSE("%s: a template that does not have A once and, behind what is around it, B "
                      "once, is not implemented",
                      t->path);
    }
    return 0;
}

int tokenizer_open(Tokenizer **tokenizer, const char *path, Error *error)
{
    Tokenizer *t = memory_calloc(1, sizeof *t);
    int is_folder, code = path_look(path, &is_folder, error);
    code = code ? code : is_folder ? read_folder(t, path, error) : read_file(t, path, error);
    if (!code) {
        digest(t);
        code = check_template(t, error);
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
    Tokenizer *t = memory_calloc(1, sizeof *t);
    Error error = {0};
    SideFiles none = {0};
    t->wordpiece = 1;
    t->path = string_copy("built-in words");
    for (int i = 0; i < count && !error.code; i++) {
        vocabulary_add(&t->vocabulary, words[i], i, t->path, &error);
    }
    if (error.code || side_files_apply(t, &none, NULL, t->path, &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(EXIT_BUG);
    }
    digest(t);
    return t;
}

void tokenizer_close(Tokenizer *t)
{
    if (!t) {
        return;
    }
    for (ptrdiff_t i = 0; i < arrlen(t->added); i++) {
        free(t->added[i].text);
        free(t->added[i].pattern);
    }
    vocabulary_free(&t->vocabulary);
    free(t->path);
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
    static const char *const all[TOKENIZER_FILES] = {"tokenizer.json",
                                                     "tokenizer_config.json",
                                                     "special_tokens_map.json",
                                                     "added_tokens.json",
                                                     "vocab.json",
                                                     "merges.txt",
                                                     "vocab.txt",
                                                     "tokenizer.model",
                                                     "tiktoken.model",
                                                     "chat_template.jinja",
                                                     "chat_template.json",
                                                     "sentencepiece.bpe.model"};
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
