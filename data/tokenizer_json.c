/* tokenizer.json: every field that would change an id is implemented or refused by name. */
#include "json.h"
#include "unicode.h"
#include "vocabulary.h"

#include <string.h>

/* A field that must be absent, null, false, empty or 0. */
static int must_be_off(const json_t *object, const char *key, const char *where, Error *error)
{
    const json_t *field = json_object_get(object, key);
    if (!field || json_is_null(field) || json_is_false(field) ||
        (json_is_string(field) && !*json_string_value(field)) ||
        (json_is_number(field) && json_number_value(field) == 0.0)) {
        return 0;
    }
    return REFUSE("%s: %s is not implemented; convert the tokenizer without it", where, key);
}

static int read_bpe(Tokenizer *t, const json_t *model, const char *where, Error *error)
{
    size_t i;
    json_t *merge, *merges = json_object_get(model, "merges");
    if (must_be_off(model, "dropout", where, error) ||
        (!t->vocabulary.spaces && (must_be_off(model, "byte_fallback", where, error) ||
                                   must_be_off(model, "fuse_unk", where, error))) ||
        must_be_off(model, "continuing_subword_prefix", where, error) ||
        must_be_off(model, "end_of_word_suffix", where, error) ||
        vocabulary_read(&t->vocabulary, json_object_get(model, "vocab"), where, error)) {
        return error->code;
    }
    if (t->vocabulary.spaces && !json_is_true(json_object_get(model, "byte_fallback"))) {
        return REFUSE("%s: BPE over characters without byte_fallback is not implemented", where);
    }
    const char *unknown = text_of(model, "unk_token");
    t->vocabulary.unknown = *unknown ? vocabulary_find(&t->vocabulary, unknown) : -1;
    if (*unknown && t->vocabulary.unknown < 0 && t->vocabulary.digits) {
        return REFUSE("%s: unk_token '%s' is not in the vocabulary; get the file again", where,
                      unknown);
    }
    t->vocabulary.ignore_merges = json_is_true(json_object_get(model, "ignore_merges"));
    if (!json_is_array(merges)) {
        return REFUSE("%s: merges are missing; get the file again", where);
    }
    json_array_foreach(merges, i, merge)
    {
        int code;
        if (json_is_array(merge) && json_array_size(merge) == 2 &&
            json_is_string(json_array_get(merge, 0)) && json_is_string(json_array_get(merge, 1))) {
            code = bpe_add_merge(&t->vocabulary, json_string_value(json_array_get(merge, 0)),
                                 json_string_value(json_array_get(merge, 1)), (int)i, where, error);
        } else if (json_is_string(merge)) {
            code = bpe_add_merge_text(&t->vocabulary, json_string_value(merge), (int)i, where,
                                      error);
        } else {
            code = REFUSE("%s: merge %zu is neither \"a b\" nor [\"a\", \"b\"]; get the file again",
                          where, i);
        }
        if (code) {
            return code;
        }
    }
    return bpe_finish(&t->vocabulary, where, error);
}

static int read_wordpiece(Tokenizer *t, const json_t *model, const char *where, Error *error)
{
    const json_t *longest = json_object_get(model, "max_input_chars_per_word"),
                 *prefix = json_object_get(model, "continuing_subword_prefix");
    if (vocabulary_read(&t->vocabulary, json_object_get(model, "vocab"), where, error)) {
        return error->code;
    }
    if ((longest && (!json_is_integer(longest) || json_integer_value(longest) < 1 ||
                     json_integer_value(longest) > 10000)) ||
        (prefix && !json_is_string(prefix))) {
        return REFUSE("%s: max_input_chars_per_word or continuing_subword_prefix is not valid; get "
                      "the file again",
                      where);
    }
    t->vocabulary.longest_word = longest ? (int)json_integer_value(longest) : 100;
    t->vocabulary.prefix = string_copy(prefix ? json_string_value(prefix) : "##");
    const char *unknown = json_object_get(model, "unk_token") ? text_of(model, "unk_token")
                                                              : "[UNK]";
    t->vocabulary.unknown = vocabulary_find(&t->vocabulary, unknown);
    if (t->vocabulary.unknown < 0) {
        return REFUSE("%s: unk_token '%s' is not in the vocabulary; get the file again", where,
                      unknown);
    }
    return 0;
}

/* The id of a token of a post-processor. */
static int check_id(const json_t *id, const char *token, const char *where, Error *error)
{
    return json_is_integer(id) && json_integer_value(id) >= 0 && json_integer_value(id) < LARGEST_ID
               ? 0
               : REFUSE("%s: post_processor: the id of '%s' is not an integer from 0 to %d; get "
                        "the file again",
                        where, token, LARGEST_ID - 1);
}

static int read_template(TemplateItem **items, const json_t *list, const json_t *specials,
                         const char *where, Error *error)
{
    size_t i, j;
    json_t *item, *id;
    if (!json_is_array(list)) {
        return REFUSE("%s: post_processor lacks single or pair; get the file again", where);
    }
    json_array_foreach((json_t *)list, i, item)
    {
        const json_t *sequence = json_object_get(item, "Sequence"),
                     *special = json_object_get(item, "SpecialToken");
        const json_t *type_id = json_object_get(sequence ? sequence : special, "type_id");
        int type = (int)json_integer_value(type_id);
        if (type_id && (!json_is_integer(type_id) || json_integer_value(type_id) < 0 ||
                        json_integer_value(type_id) > 1)) {
            return REFUSE("%s: the template has a type_id that is neither 0 nor 1; get the file "
                          "again",
                          where);
        }
        if (sequence) {
            arrput(*items, ((TemplateItem){!strcmp(text_of(sequence, "id"), "B"), 0, type}));
            continue;
        }
        const json_t *ids = json_object_get(json_object_get(specials, text_of(special, "id")),
                                            "ids");
        if (!special || !json_is_array(ids)) {
            return REFUSE("%s: the template names '%s', which is not among its special_tokens; get "
                          "the file again",
                          where, text_of(special, "id"));
        }
        json_array_foreach(ids, j, id)
        {
            if (check_id(id, text_of(special, "id"), where, error)) {
                return error->code;
            }
            arrput(*items, ((TemplateItem){-1, (int)json_integer_value(id), type}));
        }
    }
    return 0;
}

/* RobertaProcessing and BertProcessing: "cls" and "sep" as [text, id]. */
static int read_cls_sep(Tokenizer *t, const json_t *processor, int roberta, const char *where,
                        Error *error)
{
    const json_t *cls = json_array_get(json_object_get(processor, "cls"), 1),
                 *sep = json_array_get(json_object_get(processor, "sep"), 1);
    if (!cls || !sep) {
        return REFUSE("%s: post_processor lacks cls or sep; get the file again", where);
    }
    if (check_id(cls, "cls", where, error) || check_id(sep, "sep", where, error)) {
        return error->code;
    }
    tokenizer_set_template(t, (int)json_integer_value(cls), (int)json_integer_value(sep), roberta);
    return 0;
}

static int read_processor(Tokenizer *t, const json_t *processor, const char *where, Error *error)
{
    const char *type = text_of(processor, "type");
    if (!strcmp(type, "TemplateProcessing")) {
        const json_t *specials = json_object_get(processor, "special_tokens");
        return read_template(&t->single, json_object_get(processor, "single"), specials, where,
                             error) ||
                       read_template(&t->pair, json_object_get(processor, "pair"), specials, where,
                                     error)
                   ? error->code
                   : 0;
    }
    if (!strcmp(type, "RobertaProcessing") || !strcmp(type, "BertProcessing")) {
        return read_cls_sep(t, processor, *type == 'R', where, error);
    }
    if (processor && !json_is_null(processor) && strcmp(type, "ByteLevel")) {
        return REFUSE("%s: post_processor '%s' is not implemented", where, type);
    }
    TemplateItem a = {0, 0, 0}, b = {1, 0, 1};
    arrput(t->single, a);
    arrput(t->pair, a);
    arrput(t->pair, b);
    return 0;
}

static const char llama3_pattern[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/* Llama 3: a Split by its pattern, then ByteLevel without a pattern of its own. SmolLM and others:
 * Digits, then ByteLevel with its pattern. */
static int check_split(Tokenizer *t, const json_t *splitter, const char *where, Error *error)
{
    const json_t *parts = json_object_get(splitter, "pretokenizers"),
                 *split = json_array_get(parts, 0), *bytes = json_array_get(parts, 1);
    const char *pattern = text_of(json_object_get(split, "pattern"), "Regex");
    if (json_array_size(parts) == 2 && !strcmp(text_of(split, "type"), "Digits") &&
        !strcmp(text_of(bytes, "type"), "ByteLevel") &&
        !json_is_true(json_object_get(bytes, "add_prefix_space")) &&
        !json_is_false(json_object_get(bytes, "use_regex"))) {
        t->vocabulary.digits = json_is_true(json_object_get(split, "individual_digits")) ? 1 : 2;
        return 0;
    }
    if (json_array_size(parts) != 2 || strcmp(text_of(split, "type"), "Split") ||
        strcmp(text_of(split, "behavior"), "Isolated") ||
        json_is_true(json_object_get(split, "invert")) ||
        strcmp(text_of(bytes, "type"), "ByteLevel") ||
        json_is_true(json_object_get(bytes, "add_prefix_space")) ||
        !json_is_false(json_object_get(bytes, "use_regex"))) {
        return REFUSE("%s: this sequence of pre-tokenizers is not implemented, only Llama 3's and "
                      "Digits with ByteLevel",
                      where);
    }
    if (strcmp(pattern, llama3_pattern)) {
        return REFUSE("%s: the split pattern '%.200s' is not implemented, only Llama 3's", where,
                      pattern);
    }
    t->vocabulary.llama3 = 1;
    return 0;
}

static int is_replace(const json_t *normalizer)
{
    return !strcmp(text_of(normalizer, "type"), "Replace") &&
           !strcmp(text_of(json_object_get(normalizer, "pattern"), "String"), " ") &&
           !strcmp(text_of(normalizer, "content"), SPACE_MARK);
}

/* Llama 2's way with spaces as normalizers: [Prepend,] Replace. */
static Spaces spaces_of_normalizer(const json_t *normalizer)
{
    const json_t *parts = json_object_get(normalizer, "normalizers"),
                 *first = json_array_get(parts, 0);
    if (is_replace(normalizer) || (json_array_size(parts) == 1 && is_replace(first))) {
        return SPACES_NEVER;
    }
    return json_array_size(parts) == 2 && !strcmp(text_of(first, "type"), "Prepend") &&
                   !strcmp(text_of(first, "prepend"), SPACE_MARK) &&
                   is_replace(json_array_get(parts, 1))
               ? SPACES_PREPEND
               : SPACES_NONE;
}

/* The same as a pre-tokenizer. */
static int read_metaspace(Tokenizer *t, const json_t *splitter, const char *where, Error *error)
{
    const json_t *scheme = json_object_get(splitter, "prepend_scheme");
    const char *name = scheme ? text_of(splitter, "prepend_scheme") : "always";
    t->vocabulary.spaces = !strcmp(name, "always")  ? SPACES_ALWAYS
                           : !strcmp(name, "first") ? SPACES_FIRST
                           : !strcmp(name, "never") ? SPACES_NEVER
                                                    : SPACES_NONE;
    if (!t->vocabulary.spaces || strcmp(text_of(splitter, "replacement"), SPACE_MARK) ||
        (json_is_false(json_object_get(splitter, "add_prefix_space")) &&
         t->vocabulary.spaces != SPACES_NEVER)) {
        return REFUSE("%s: Metaspace with this replacement or prepend_scheme is not implemented",
                      where);
    }
    t->vocabulary.split = !json_is_false(json_object_get(splitter, "split"));
    return 0;
}

/* strip_accents that is null or absent follows lowercase. */
static int read_bert_normalizer(Tokenizer *t, const json_t *normalizer, const char *where,
                                Error *error)
{
    static const char *const names[] = {"clean_text", "handle_chinese_chars", "lowercase",
                                        "strip_accents"};
    int on[4];
    for (int i = 0; i < 4; i++) {
        const json_t *field = json_object_get(normalizer, names[i]);
        on[i] = i < 3 || json_is_boolean(field) ? json_is_true(field) : on[2];
        if (!json_is_boolean(field) && (i < 3 || (field && !json_is_null(field)))) {
            return REFUSE("%s: BertNormalizer: %s must be true or false; get the file again", where,
                          names[i]);
        }
    }
    if (!on[0]) {
        return REFUSE("%s: BertNormalizer without clean_text is not implemented", where);
    }
    t->vocabulary.normal = (on[1] ? BERT_CJK : 0) | (on[2] ? BERT_LOWER : 0) |
                           (on[3] ? BERT_STRIP : 0);
    return 0;
}

/* Whether the file's normalizer and pre-tokenizer are the ones that the model's kind
 * implies here. */
static int check_pipeline(Tokenizer *t, const json_t *root, const char *where, Error *error)
{
    const json_t *normalizer = json_object_get(root, "normalizer"),
                 *splitter = json_object_get(root, "pre_tokenizer");
    const char *normal = text_of(normalizer, "type"), *split = text_of(splitter, "type");
    if (!t->wordpiece && !*split && spaces_of_normalizer(normalizer)) {
        t->vocabulary.spaces = spaces_of_normalizer(normalizer);
        t->vocabulary.normalizes = 1;
        return 0;
    }
    if (strcmp(normal, t->wordpiece ? "BertNormalizer" : "")) {
        return REFUSE("%s: normalizer '%s' is not implemented for %s", where, normal,
                      t->wordpiece ? "WordPiece" : "BPE");
    }
    if (!t->wordpiece && !strcmp(split, "Metaspace")) {
        return read_metaspace(t, splitter, where, error);
    }
    if (!t->wordpiece && !strcmp(split, "Sequence")) {
        return check_split(t, splitter, where, error);
    }
    if (strcmp(split, t->wordpiece ? "BertPreTokenizer" : "ByteLevel")) {
        return REFUSE("%s: pre_tokenizer '%s' is not implemented for %s", where, split,
                      t->wordpiece ? "WordPiece" : "BPE");
    }
    if (!t->wordpiece) {
        t->vocabulary.prefix_space = json_is_true(json_object_get(splitter, "add_prefix_space"));
        return json_is_false(json_object_get(splitter, "use_regex"))
                   ? REFUSE("%s: ByteLevel without use_regex is not implemented", where)
                   : 0;
    }
    return read_bert_normalizer(t, normalizer, where, error);
}

int tokenizer_read_json(Tokenizer *t, const json_t *root, const char *where, Error *error)
{
    const json_t *model = json_object_get(root, "model");
    const char *type = text_of(model, "type");
    if (!json_is_object(model)) {
        return REFUSE("%s: model is missing; get the file again", where);
    }
    if (!*type) { /* old files do not name it */
        type = json_object_get(model, "merges") ? "BPE" : "WordPiece";
    }
    if (strcmp(type, "BPE") && strcmp(type, "WordPiece")) {
        return REFUSE("%s: model type '%s' is not implemented, only BPE and WordPiece", where,
                      type);
    }
    t->wordpiece = *type == 'W';
    if (check_pipeline(t, root, where, error) ||
        (t->wordpiece ? read_wordpiece : read_bpe)(t, model, where, error)) {
        return error->code;
    }
    const json_t *processor = json_object_get(root, "post_processor"),
                 *parts = json_object_get(processor, "processors");
    if (!strcmp(text_of(processor, "type"), "Sequence") && json_array_size(parts) == 2 &&
        !strcmp(text_of(json_array_get(parts, 0), "type"), "ByteLevel")) {
        processor = json_array_get(parts, 1); /* ByteLevel moves offsets alone */
    }
    return read_processor(t, processor, where, error);
}
