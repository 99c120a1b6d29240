/* Added tokens: those that a tokenizer.json and the files beside it list, and special tokens by
 * their names. They are found in a text before the model sees it, and are no words of the model.
 * Source: huggingface/tokenizers, added_vocabulary.rs, and the files that side_files.c names. */
#include "json.h"
#include "vocabulary.h"

#include <stdlib.h>
#include <string.h>

/* The id of a new word: the next free one. A vocabulary with holes may have given it away. */
static int next_id(const Tokenizer *t)
{
    int next = t->vocabulary.count;
    for (ptrdiff_t i = 0; i < arrlen(t->added); i++) {
        next = t->added[i].id >= next ? t->added[i].id + 1 : next;
    }
    return next;
}

int tokenizer_find(const Tokenizer *t, const char *text)
{
    int id = vocabulary_find(&t->vocabulary, text);
    for (ptrdiff_t i = 0; i < arrlen(t->added) && id < 0; i++) {
        id = strcmp(t->added[i].text, text) ? -1 : t->added[i].id;
    }
    return id;
}

/* Adds a token that is found in a text before it is split, or changes the flags of one that is
 * there already. id, lstrip to special are token's; the id is the vocabulary's, for a new word the
 * next free one, and id must be it or -1. Errors: 65. */
static int add_token(Tokenizer *t, const char *text, AddedToken token, const char *where,
                     Error *error)
{
    int id = tokenizer_find(t, text), wanted = token.id;
    if (!*text) {
        return REFUSE("%s: an added token is empty; get the file again", where);
    }
    if (token.normalized && t->vocabulary.normalizes) {
        return REFUSE("%s: added token '%s' with normalized true is not implemented behind the "
                      "normalizer Replace",
                      where, text);
    }
    token.id = id < 0 ? next_id(t) : id;
    if (wanted >= 0 && wanted != token.id) {
        return REFUSE("%s: added token '%s' has the id %d, but its place in the vocabulary is %d; "
                      "the files belong to different models",
                      where, text, wanted, token.id);
    }
    token.size = strlen(text);
    token.pattern = token.normalized && t->wordpiece
                        ? wordpiece_normalize(&t->vocabulary, text, &token.size, NULL)
                        : string_copy(text);
    t->begins[(unsigned char)token.pattern[0]] |= (unsigned char)(1 << token.normalized);
    for (ptrdiff_t i = 0; i < arrlen(t->added); i++) {
        AddedToken *old = &t->added[i];
        if (old->id == token.id) { /* once special, always special */
            token.special |= old->special;
            token.text = old->text;
            free(old->pattern);
            *old = token;
            return 0;
        }
    }
    token.text = string_copy(text);
    arrput(t->added, token);
    return id < 0 ? vocabulary_place(&t->vocabulary, token.text, token.id, where, error) : 0;
}

static int read_flag(int *flag, const json_t *object, const char *name, const char *where,
                     Error *error)
{
    const json_t *field = json_object_get(object, name);
    if (field && !json_is_boolean(field)) {
        return REFUSE("%s: added token '%s': %s must be true or false", where,
                      string_of(object, "content"), name);
    }
    *flag = field ? json_is_true(field) : *flag;
    return 0;
}

int added_token_read(AddedToken *token, const json_t *object, int normalized, const char *where,
                     Error *error)
{
    *token = (AddedToken){.id = -1};
    if (!json_is_string(json_object_get(object, "content"))) {
        return REFUSE("%s: an added token lacks content; get the file again", where);
    }
    token->text = (char *)(uintptr_t)string_of(object, "content");
    if (read_flag(&token->special, object, "special", where, error)) {
        return error->code;
    }
    token->normalized = normalized < 0 ? !token->special : normalized;
    return read_flag(&token->normalized, object, "normalized", where, error) ||
                   read_flag(&token->single_word, object, "single_word", where, error) ||
                   read_flag(&token->lstrip, object, "lstrip", where, error) ||
                   read_flag(&token->rstrip, object, "rstrip", where, error)
               ? error->code
               : 0;
}

static int add_filed(Tokenizer *t, const json_t *root, const char *where, Error *error)
{
    size_t i;
    json_t *object, *list = json_object_get(root, "added_tokens");
    if (list && !json_is_null(list) && !json_is_array(list)) {
        return REFUSE("%s: added_tokens is no list; get the file again", where);
    }
    json_array_foreach(list, i, object)
    {
        AddedToken token;
        const json_t *id = json_object_get(object, "id");
        if (added_token_read(&token, object, 0, where, error)) {
            return error->code;
        }
        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) >= LARGEST_ID) {
            return REFUSE("%s: added token '%s' has no id from 0 to %d; get the file again", where,
                          token.text, LARGEST_ID - 1);
        }
        token.id = (int)json_integer_value(id);
        if (add_token(t, token.text, token, where, error)) {
            return error->code;
        }
    }
    return 0;
}

static AddedToken *find_added(const Tokenizer *t, const char *text)
{
    for (ptrdiff_t i = 0; i < arrlen(t->added); i++) {
        if (!strcmp(t->added[i].text, text)) {
            return &t->added[i];
        }
    }
    return NULL;
}

/* Adds a special token that the files mention, unless it is one of the first listed added tokens.
 * Of several mentions the last one counts. */
static int add_mentioned(Tokenizer *t, ptrdiff_t listed, const AddedToken *token, const char *where,
                         Error *error)
{
    const AddedToken *added = find_added(t, token->text);
    return added && added - t->added < listed ? 0 : add_token(t, token->text, *token, where, error);
}

/* Special tokens without a name. */
static int add_extra(Tokenizer *t, ptrdiff_t listed, const json_t *list, const char *where,
                     Error *error)
{
    size_t i;
    json_t *item;
    AddedToken token;
    if (list && !json_is_null(list) && !json_is_array(list)) {
        return REFUSE("%s: extra_special_tokens must be a list", where);
    }
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        if (side_token(&token, item, 0, "extra_special_tokens", where, error)) {
            return error->code;
        }
        token.special = json_is_string(item) || json_is_true(json_object_get(item, "special"));
        if (add_mentioned(t, listed, &token, where, error)) {
            return error->code;
        }
    }
    return 0;
}

/* Collects the special tokens that have a name of this model alone, as image_token: those that are
 * texts, or those that are objects, in the map or with a type. */
static void collect_own_roles(json_t *named, const json_t *object, int texts, int in_map)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        size_t length = strlen(key);
        int own = length > 6 && !strcmp(key + length - 6, "_token") &&
                  (texts    ? json_is_string(value)
                   : in_map ? json_is_object(value)
                            : json_object_get(value, "__type") != NULL);
        for (int r = 0; r < ROLES; r++) {
            own &= strcmp(key, role_names[r]) != 0;
        }
        if (own) {
            json_object_set(named, key, value);
        }
    }
}

/* The special tokens of this model alone, then those without a name. Of one name the source that is
 * collected last counts. additional_special_tokens is the older name of extra_special_tokens, and
 * counts where there is no such list. */
static int add_own(Tokenizer *t, ptrdiff_t listed, const SideFiles *side, Error *error)
{
    const json_t *map = side_decoder(side) ? NULL : side->map,
                 *extra = json_object_get(side->config, "extra_special_tokens"),
                 *older = json_object_get(side->config, "additional_special_tokens"),
                 *mapped = json_object_get(map, "extra_special_tokens"),
                 *older_mapped = json_object_get(map, "additional_special_tokens");
    const char *key, *where = side->config_path;
    json_t *named = json_object(), *own = json_object(), *value;
    AddedToken token;
    int code = 0;
    if (older && !json_array_size(extra) && !json_object_size(extra)) {
        extra = older;
        older = NULL;
    }
    collect_own_roles(named, side->config, 0, 0);
    collect_own_roles(named, map, 0, 1);
    collect_own_roles(named, map, 1, 1);
    collect_own_roles(own, side->config, 1, 0);
    json_object_update(own, (json_t *)(uintptr_t)extra); /* nothing if it is a list */
    json_object_update(named, json_object_size(own)
                                  ? own
                                  : json_object_get(side->config, "model_specific_special_tokens"));
    json_object_update(named, (json_t *)(uintptr_t)mapped);
    json_object_foreach(named, key, value)
    {
        int in_map = value == json_object_get(map, key);
        const char *source = in_map ? side->map_path : where;
        code = code || side_token(&token, value, in_map, key, source, error) ||
                       add_mentioned(t, listed, &token, source, error)
                   ? error->code
                   : 0;
    }
    json_decref(named);
    json_decref(own);
    extra = json_is_object(extra) || (mapped && !json_is_array(mapped)) ? NULL : extra;
    mapped = json_is_object(mapped) ? NULL : mapped;
    if (!extra && !mapped) {
        extra = older_mapped ? NULL : older;
        mapped = older_mapped;
    }
    return code || add_extra(t, listed, extra, where, error) ||
                   add_extra(t, listed, mapped, side->map_path, error)
               ? error->code
               : 0;
}

/* Whether added_tokens_decoder has the text and leaves open if it is special: the flags that the
 * reference gives such a token depend on other entries. */
static int lacks_special(const SideFiles *side, const char *text)
{
    const char *key;
    json_t *object;
    json_object_foreach((json_t *)(uintptr_t)side_decoder(side), key, object)
    {
        const char *content = string_of(object, "content");
        if (content && !strcmp(content, text) && !json_object_get(object, "special")) {
            return 1;
        }
    }
    return 0;
}

/* The named tokens, those of the model alone, then the rest, as far as they are no added tokens
 * yet. */
static int add_special(Tokenizer *t, const SideFiles *side, TokenizerClass class, Error *error)
{
    const char *where = side->config ? side->config_path : t->path;
    const ptrdiff_t listed = arrlen(t->added);
    for (int role = 0; role < ROLES; role++) {
        AddedToken token;
        int explicit;
        if (side_role(&token, &explicit, side, class, role, error)) {
            return error->code;
        }
        if (!token.text) {
            continue;
        }
        if (lacks_special(side, token.text)) {
            return REFUSE("%s: added_tokens_decoder: '%s' is the %s, but its entry does not say "
                          "\"special\": true; add it",
                          side->config_path, token.text, role_names[role]);
        }
        int needed = class == CLASS_GPT2 ? role == BOS : role == SEP || role == CLS;
        if (!explicit && needed && tokenizer_find(t, token.text) < 0) {
            return REFUSE("%s: the special token '%s' is missing; get the file again", t->path,
                          token.text);
        }
        /* without a file that says otherwise, as RoBERTa was made */
        token.lstrip |= side->class == CLASS_SHAPE && class == CLASS_ROBERTA && role == MASK;
        if (add_mentioned(t, listed, &token, where, error)) {
            return error->code;
        }
    }
    return add_own(t, listed, side, error);
}

/* Whether a field is this text; an object counts where it became a token before added_tokens.json
 * is read, which is so in special_tokens_map.json. */
static int is_text(const json_t *field, int in_map, const char *text)
{
    const char *name = in_map && json_is_object(field) ? string_of(field, "content")
                                                       : json_string_value(field);
    return name && !strcmp(name, text);
}

/* Whether the files name a special token so, as far as the reference looks: not by the
 * additional_special_tokens of the map. */
static int is_named_special(const SideFiles *side, const char *text)
{
    const json_t *extra = json_object_get(side->config, "extra_special_tokens");
    json_t *item;
    size_t i;
    for (int role = 0; role < ROLES; role++) {
        const json_t *mapped = json_object_get(side->map, role_names[role]),
                     *field = mapped ? mapped : json_object_get(side->config, role_names[role]);
        if (is_text(field, mapped != NULL, text)) {
            return 1;
        }
    }
    extra = json_array_size(extra) || json_object_size(extra)
                ? extra
                : json_object_get(side->config, "additional_special_tokens");
    json_array_foreach((json_t *)(uintptr_t)extra, i, item)
    {
        if (is_text(item, 0, text)) {
            return 1;
        }
    }
    json_array_foreach(json_object_get(side->map, "extra_special_tokens"), i, item)
    {
        if (is_text(item, 1, text)) {
            return 1;
        }
    }
    return 0;
}

static int by_id(const void *a, const void *b)
{
    int x = ((const AddedToken *)a)->id, y = ((const AddedToken *)b)->id;
    return (x > y) - (x < y);
}

/* The tokens of added_tokens_decoder, an object of ids. */
static int read_decoder(AddedToken **tokens, const SideFiles *side, Error *error)
{
    const json_t *decoder = side_decoder(side);
    const char *key;
    json_t *object;
    if (!json_is_object(decoder)) {
        return REFUSE("%s: added_tokens_decoder is no object; get the file again",
                      side->config_path);
    }
    json_object_foreach((json_t *)(uintptr_t)decoder, key, object)
    {
        AddedToken token;
        size_t digits = strspn(key, "0123456789");
        if (!digits || key[digits] || digits > 9 || atol(key) >= LARGEST_ID) {
            return REFUSE("%s: added_tokens_decoder: '%s' is no id from 0 to %d; get the file "
                          "again",
                          side->config_path, key, LARGEST_ID - 1);
        }
        if (added_token_read(&token, object, -1, side->config_path, error)) {
            return error->code;
        }
        token.id = atoi(key);
        arrput(*tokens, token);
    }
    return 0;
}

/* The tokens of added_tokens.json, an object of texts. */
static int read_older(AddedToken **tokens, const SideFiles *side, Error *error)
{
    const char *text;
    json_t *id;
    json_object_foreach(side->added, text, id)
    {
        double number = json_number_value(id);
        if (!json_is_number(id) || !(number >= 0 && number < LARGEST_ID) ||
            number != (double)(int)number) {
            return REFUSE("%s: the id of '%s' is not an integer from 0 to %d; get the file again",
                          side->added_path, text, LARGEST_ID - 1);
        }
        int special = is_named_special(side, text);
        arrput(*tokens, ((AddedToken){.text = (char *)(uintptr_t)text,
                                      .id = (int)number,
                                      .special = special,
                                      .normalized = !special}));
    }
    return 0;
}

/* Added tokens with their ids, in the order of these. root: its added tokens count where
 * tokenizer_config.json lists none; one that is itself the tokenizer has them in any case. */
static int add_listed(Tokenizer *t, const SideFiles *side, TokenizerClass class, const json_t *root,
                      Error *error)
{
    AddedToken *tokens = NULL;
    const char *where = side_decoder(side) ? side->config_path : side->added_path;
    if (root && (class == CLASS_FILE || !side_decoder(side)) &&
        add_filed(t, root, t->path, error)) {
        return error->code;
    }
    int code = side_decoder(side) ? read_decoder(&tokens, side, error)
               : side->added      ? read_older(&tokens, side, error)
                                  : 0;
    if (!code && tokens) {
        qsort(tokens, arrlenu(tokens), sizeof *tokens, by_id);
    }
    for (ptrdiff_t i = 0; i < arrlen(tokens) && !code; i++) {
        AddedToken *filed = side_decoder(side) ? NULL : find_added(t, tokens[i].text);
        /* of the same id in both, tokenizer.json has the flags */
        code = filed && filed->id == tokens[i].id
                   ? 0
                   : add_token(t, tokens[i].text, tokens[i], where, error);
    }
    arrfree(tokens);
    return code;
}

int side_files_add(Tokenizer *t, const SideFiles *side, TokenizerClass class, const json_t *root,
                   Error *error)
{
    return add_listed(t, side, class, root, error) || add_special(t, side, class, error)
               ? error->code
               : 0;
}
