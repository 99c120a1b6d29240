/* tokenizer_config.json, special_tokens_map.json and added_tokens.json beside a vocabulary, read as
 * transformers 5 does: the class that they name decides how much of a tokenizer.json counts.
 * Source: transformers 5.24, tokenization_auto.py, tokenization_utils_base.py (_from_pretrained),
 * tokenization_utils_tokenizers.py and the models' tokenization_*.py. */
#include "json.h"
#include "unicode.h"
#include "vocabulary.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

const char *const role_names[ROLES] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                       "pad_token", "cls_token", "mask_token"};

/* The tokens of the constructors' signatures. */
static const char *const role_presets[][ROLES] = {
    [CLASS_FILE] = {0},
    [CLASS_BERT] = {NULL, NULL, "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"},
    [CLASS_ROBERTA] = {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"},
    [CLASS_GPT2] = {"<|endoftext|>", "<|endoftext|>", "<|endoftext|>"},
    [CLASS_LLAMA] = {"<s>", "</s>", "<unk>"}};

/* An object of a file of the folder; NULL where there is no such file. */
static int read_object(json_t **object, char **path, const char *folder, const char *name,
                       Error *error)
{
    *path = string_format("%s/%s", folder, name);
    if (!path_exists(*path)) {
        return 0;
    }
    if (json_read_file_as_real(object, *path, error)) {
        return error->code;
    }
    return json_is_object(*object) ? 0 : REFUSE("%s: not a JSON object; get the file again", *path);
}

/* The class by its name, which the folder's config.json may give too, else by the model. */
static int read_class(SideFiles *side, const char *folder, Error *error)
{
    static const struct {
        const char *name;
        TokenizerClass class;
    } classes[] = {{"BertTokenizer", CLASS_BERT},       {"RobertaTokenizer", CLASS_ROBERTA},
                   {"GPT2Tokenizer", CLASS_GPT2},       {"LlamaTokenizer", CLASS_LLAMA},
                   {"PreTrainedTokenizer", CLASS_FILE}, {"TokenizersBackend", CLASS_FILE},
                   {"PythonBackend", CLASS_FILE}};
    char *path;
    json_t *model = NULL;
    int code = read_object(&model, &path, folder, "config.json", error);
    const char *in_config = string_of(side->config, "tokenizer_class"),
               *name = in_config ? in_config : string_of(model, "tokenizer_class"),
               *type = string_of(model, "model_type");
    side->class = !type                      ? CLASS_SHAPE
                  : !strcmp(type, "bert")    ? CLASS_BERT
                  : !strcmp(type, "roberta") ? CLASS_ROBERTA
                                             : CLASS_FILE;
    if (!code && name) {
        size_t length = strlen(name), i, count = sizeof classes / sizeof *classes;
        length -= length > 4 && !strcmp(name + length - 4, "Fast") ? 4 : 0;
        for (i = 0; i < count && (strlen(classes[i].name) != length ||
                                  strncmp(classes[i].name, name, length));) {
            i++;
        }
        if (i < count) {
            side->class = classes[i].class;
        } else {
            code = REFUSE("%s: tokenizer_class '%s' is not implemented, only BertTokenizer, "
                          "RobertaTokenizer, GPT2Tokenizer, LlamaTokenizer and TokenizersBackend",
                          in_config ? side->config_path : path, name);
        }
    }
    json_decref(model);
    free(path);
    return code;
}

/* Fields that would mean another tokenizer. */
static int check_fields(const SideFiles *side, Error *error)
{
    const char *cut = string_of(side->config, "truncation_side");
    const json_t *map = json_object_get(side->config, "auto_map"),
                 *files = json_object_get(side->config, "fast_tokenizer_files");
    size_t i;
    json_t *file;
    if (json_is_array(map) || json_object_get(map, "AutoTokenizer")) {
        return REFUSE("%s: auto_map names a tokenizer in Python, which is not implemented",
                      side->config_path);
    }
    if (cut && strcmp(cut, "right")) {
        return REFUSE("%s: truncation_side '%s' is not implemented, only right", side->config_path,
                      cut);
    }
    json_array_foreach(files, i, file)
    {
        if (!json_is_string(file) || strcmp(json_string_value(file), "tokenizer.json")) {
            return REFUSE("%s: fast_tokenizer_files other than tokenizer.json are not implemented",
                          side->config_path);
        }
    }
    return 0;
}

int side_files_read(SideFiles *side, const char *folder, Error *error)
{
    *side = (SideFiles){0};
    return read_object(&side->config, &side->config_path, folder, "tokenizer_config.json", error) ||
                   read_object(&side->map, &side->map_path, folder, "special_tokens_map.json",
                               error) ||
                   read_object(&side->added, &side->added_path, folder, "added_tokens.json",
                               error) ||
                   read_class(side, folder, error) || check_fields(side, error)
               ? error->code
               : 0;
}

void side_files_free(SideFiles *side)
{
    json_decref(side->config);
    json_decref(side->map);
    json_decref(side->added);
    free(side->config_path);
    free(side->map_path);
    free(side->added_path);
    *side = (SideFiles){0};
}

/* A true or false of tokenizer_config.json; *value stays where it is absent. null: what that means,
 * or -2 if it may not be there. */
static int read_flag(const SideFiles *side, int *value, const char *name, int null, Error *error)
{
    const json_t *field = json_object_get(side->config, name);
    if (field && !json_is_boolean(field) && !(json_is_null(field) && null >= -1)) {
        return REFUSE("%s: %s must be true or false", side->config_path, name);
    }
    *value = !field ? *value : json_is_null(field) ? null : json_is_true(field);
    return 0;
}

const json_t *side_decoder(const SideFiles *side)
{
    return json_object_get(side->config, "added_tokens_decoder");
}

int side_token(AddedToken *token, const json_t *field, int in_map, const char *name,
               const char *where, Error *error)
{
    const char *type = string_of(field, "__type");
    *token = (AddedToken){.id = -1, .text = (char *)(uintptr_t)json_string_value(field)};
    if (json_is_object(field) && (in_map || (type && !strcmp(type, "AddedToken")))) {
        if (added_token_read(token, field, in_map ? 0 : -1, where, error)) {
            return error->code;
        }
    } else if (!json_is_string(field)) {
        return REFUSE("%s: %s is no token; get the file again", where, name);
    }
    token->special = 1;
    return 0;
}

int side_role(AddedToken *token, int *explicit, const SideFiles *side, TokenizerClass class,
              int role, Error *error)
{
    const char *name = role_names[role];
    const json_t *mapped = side_decoder(side) ? NULL : json_object_get(side->map, name),
                 *field = mapped ? mapped : json_object_get(side->config, name);
    *explicit = field != NULL;
    *token = (AddedToken){.id = -1, .special = 1};
    if (!field) {
        token->text = (char *)(uintptr_t)role_presets[class][role];
    }
    return field && !json_is_null(field)
               ? side_token(token, field, mapped != NULL, name,
                            mapped ? side->map_path : side->config_path, error)
               : 0;
}

/* What the constructors set, whatever a tokenizer.json says. */
static int set_bert(Tokenizer *t, const SideFiles *side, Error *error)
{
    int lower = 1, strip = -1, cjk = 1, explicit;
    AddedToken unknown;
    if (read_flag(side, &lower, "do_lower_case", -2, error) ||
        read_flag(side, &strip, "strip_accents", -1, error) ||
        read_flag(side, &cjk, "tokenize_chinese_chars", -2, error) ||
        side_role(&unknown, &explicit, side, CLASS_BERT, UNK, error)) {
        return error->code;
    }
    Vocabulary *vocabulary = &t->vocabulary;
    vocabulary->normal = (lower ? BERT_LOWER : 0) | (cjk ? BERT_CJK : 0) |
                         ((strip < 0 ? lower : strip) ? BERT_STRIP : 0);
    vocabulary->longest_word = 100;
    free(vocabulary->prefix);
    vocabulary->prefix = string_copy("##");
    vocabulary->unknown = unknown.text ? vocabulary_find(vocabulary, unknown.text) : -1;
    return vocabulary->unknown < 0
               ? REFUSE("%s: unk_token '%s' is missing from the vocabulary; get the file again",
                        t->path, unknown.text ? unknown.text : "null")
               : 0;
}

static int set_bytes(Tokenizer *t, const SideFiles *side, Error *error)
{
    Vocabulary *vocabulary = &t->vocabulary;
    vocabulary->digits = vocabulary->llama3 = vocabulary->ignore_merges = 0;
    vocabulary->prefix_space = 0;
    vocabulary->unknown = -1;
    return read_flag(side, &vocabulary->prefix_space, "add_prefix_space", -2, error) ||
                   bpe_finish(vocabulary, t->path, error)
               ? error->code
               : 0;
}

static int set_llama(Tokenizer *t, const SideFiles *side, Error *error)
{
    int legacy = 0, prefix = 1;
    if (read_flag(side, &legacy, "legacy", 0, error) ||
        read_flag(side, &prefix, "add_prefix_space", 1, error)) {
        return error->code;
    }
    Vocabulary *vocabulary = &t->vocabulary;
    vocabulary->spaces = !prefix ? SPACES_NEVER : legacy ? SPACES_ALWAYS : SPACES_FIRST;
    vocabulary->split = vocabulary->normalizes = vocabulary->ignore_merges = 0;
    vocabulary->unknown = -1;
    return 0;
}

/* bos A eos bos B eos as the flags say, where no post-processor does. */
static int set_decoder_template(Tokenizer *t, const SideFiles *side, TokenizerClass class,
                                Error *error)
{
    int flags[2] = {0, 0}, explicit;
    TemplateItem items[6];
    AddedToken ends[2];
    for (int i = 0; i < 2; i++) {
        if (read_flag(side, &flags[i], i ? "add_eos_token" : "add_bos_token", 0, error) ||
            side_role(&ends[i], &explicit, side, class, i ? EOS : BOS, error)) {
            return error->code;
        }
    }
    for (int i = 0; i < 6; i++) {
        int special = i % 3 != 1, which = i % 3 / 2;
        int id = special && ends[which].text && flags[which] ? tokenizer_find(t, ends[which].text)
                                                             : -1;
        items[i] = (TemplateItem){special ? -1 : i / 3, special ? id : 0, i / 3};
        if (special && id < 0) {
            continue;
        }
        if (i < 3) {
            arrput(t->single, items[i]);
        }
        arrput(t->pair, items[i]);
    }
    return 0;
}

static int set_encoder_template(Tokenizer *t, const SideFiles *side, TokenizerClass class,
                                Error *error)
{
    int id[2], explicit;
    for (int i = 0; i < 2; i++) {
        AddedToken token;
        if (side_role(&token, &explicit, side, class, i ? SEP : CLS, error)) {
            return error->code;
        }
        if (!token.text) {
            return REFUSE("%s: %s is null; name a token", side->config_path,
                          role_names[i ? SEP : CLS]);
        }
        id[i] = tokenizer_find(t, token.text);
    }
    arrsetlen(t->single, 0);
    arrsetlen(t->pair, 0);
    tokenizer_set_template(t, id[0], id[1], class == CLASS_ROBERTA);
    return 0;
}

/* What concerns whole inputs. */
static int set_rest(Tokenizer *t, const SideFiles *side, TokenizerClass class, Error *error)
{
    const json_t *longest = json_object_get(side->config, "model_max_length"),
                 *inputs = json_object_get(side->config, "model_input_names");
    size_t i;
    json_t *input;
    longest = longest ? longest : json_object_get(side->config, "max_len");
    t->longest = INT_MAX;
    if (longest && !json_is_null(longest)) {
        double number = json_number_value(longest);
        if (!(number >= 1)) {
            return REFUSE("%s: model_max_length must be a number above 0", side->config_path);
        }
        t->longest = number < INT_MAX ? (int)number : INT_MAX;
    }
    t->untyped = side->class != CLASS_SHAPE && (inputs || class != CLASS_BERT);
    json_array_foreach(inputs, i, input)
    {
        t->untyped &= !json_is_string(input) ||
                      strcmp(json_string_value(input), "token_type_ids") != 0;
    }
    return read_flag(side, &t->literal, "split_special_tokens", 0, error);
}

int side_files_apply(Tokenizer *t, const SideFiles *side, const json_t *root, const char *where,
                     Error *error)
{
    TokenizerClass class = side->class;
    int bytes = !t->wordpiece && !t->vocabulary.spaces;
    if (class == CLASS_SHAPE || class == CLASS_FILE) {
        class = root                                           ? CLASS_FILE
                : t->wordpiece                                 ? CLASS_BERT
                : vocabulary_find(&t->vocabulary, "</s>") >= 0 ? CLASS_ROBERTA
                                                               : CLASS_GPT2;
    } else if (class == CLASS_LLAMA && root && bytes) {
        class = CLASS_FILE; /* Llama 3's files name Llama 2's class */
    }
    if ((class == CLASS_BERT && !t->wordpiece) || (class == CLASS_LLAMA && !t->vocabulary.spaces) ||
        ((class == CLASS_ROBERTA || class == CLASS_GPT2) && !bytes)) {
        return REFUSE("%s: this form of vocabulary does not fit the tokenizer_class of "
                      "tokenizer_config.json or of the model; get the folder again",
                      where);
    }
    int code = class == CLASS_BERT                             ? set_bert(t, side, error)
               : class == CLASS_LLAMA                          ? set_llama(t, side, error)
               : class == CLASS_ROBERTA || class == CLASS_GPT2 ? set_bytes(t, side, error)
                                                               : 0;
    if (code || side_files_add(t, side, class, root, error)) {
        return error->code;
    }
    if (class == CLASS_BERT || class == CLASS_ROBERTA) {
        code = set_encoder_template(t, side, class, error);
    } else if (!root) {
        code = set_decoder_template(t, side, class, error);
    }
    return code || set_rest(t, side, class, error) ? error->code : 0;
}
