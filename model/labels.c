#include "labels.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Words that mean a class: those before ":" are the tasks' own, those behind it synonyms, all in
 * small letters and digits alone. */
static const char *const meanings[] = {
    "acceptable : grammatical correct true yes",
    "unacceptable : ungrammatical incorrect notacceptable notgrammatical false no",
    "positive : pos",
    "negative : neg",
    "equivalent duplicate : paraphrase isparaphrase isduplicate semanticallyequivalent true yes",
    ("notequivalent notduplicate : notparaphrase nonparaphrase noparaphrase nonduplicate "
     "noduplicate nonequivalent noequivalent inequivalent different false no"),
    "entailment : entail entails entailed true yes",
    "notentailment : nonentailment noentailment notentail notentails notentailed false no",
    "neutral : neither",
    "contradiction : contradict contradicts contradicted contradictory",
    "true : yes",
    "false : no",
};

static void normalize(char word[64], const char *name)
{
    size_t length = 0;
    for (; *name && length < 63; name++) {
        if (!strchr("_- ", *name)) {
            word[length++] = (char)tolower((unsigned char)*name);
        }
    }
    word[length] = 0;
}

/* Whether text has the word between spaces in its first size bytes. */
static int has_word(const char *text, size_t size, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = text; length && (at = strstr(at, word)); at++) {
        if ((at == text || at[-1] == ' ') && (!at[length] || at[length] == ' ')) {
            return (size_t)(at - text) < size;
        }
    }
    return 0;
}

static int means(const char *name, const char *class_name, int class_id)
{
    char word[64], own[64], number[16];
    normalize(word, name);
    normalize(own, class_name);
    snprintf(number, sizeof number, "%d", class_id);
    if (!strcmp(word, own) || !strcmp(word, number)) {
        return 1;
    }
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
        if (has_word(meanings[i], (size_t)(strchr(meanings[i], ':') - meanings[i]), own) &&
            has_word(meanings[i], strlen(meanings[i]), word)) {
            return 1;
        }
    }
    return 0;
}

/* The class that a name means, of those that are not taken, or count; one that has this very name
 * comes first. */
static int class_meant(const char *name, const char *const *classes, const char *taken, int count)
{
    for (int k = 0; k < count; k++) {
        if (!taken[k] && !strcmp(name, classes[k])) {
            return k;
        }
    }
    int k = 0;
    while (k < count && (taken[k] || !means(name, classes[k], k))) {
        k++;
    }
    return k;
}

/* LABEL_2 or class 2 in row 2. */
static int is_placeholder(const char *name, size_t row)
{
    char word[64], label[32], class_name[32];
    normalize(word, name);
    snprintf(label, sizeof label, "label%zu", row);
    snprintf(class_name, sizeof class_name, "class%zu", row);
    return !strcmp(word, label) || !strcmp(word, class_name);
}

static void append(char text[256], const char *name)
{
    size_t used = strlen(text);
    snprintf(text + used, 256 - used, "%s%s", used ? ", " : "", name);
    text[utf8_valid_prefix(text, strlen(text))] = 0;
}

LabelFit labels_of_list(int *rows, char text[256], const json_t *list, const char *const *classes,
                        int count)
{
    size_t named = 0, fitting = 0;
    *text = 0;
    for (int r = 0; r < count; r++) {
        rows[r] = r;
    }
    for (size_t r = 0; r < json_array_size(list); r++) {
        const char *name = json_string_value(json_array_get(list, r));
        append(text, name ? name : "?");
        named += !name || !is_placeholder(name, r);
    }
    if (!named) {
        return LABELS_NONE;
    }
    int *found = memory_alloc((size_t)count, sizeof *found);
    char *taken = memory_calloc((size_t)count, 1);
    for (int r = 0; r < count && json_array_size(list) == (size_t)count; r++) {
        const char *name = json_string_value(json_array_get(list, (size_t)r));
        int k = name ? class_meant(name, classes, taken, count) : count;
        if (k < count) {
            taken[k] = 1;
            found[r] = k;
            fitting++;
        }
    }
    if (fitting == (size_t)count) {
        memcpy(rows, found, (size_t)count * sizeof *rows);
    }
    free(found);
    free(taken);
    return fitting == (size_t)count ? LABELS_FIT : LABELS_OTHER;
}

/* id2label as a list, which it may be itself; a row that is not named is null. */
static json_t *list_of_names(const json_t *id2label)
{
    json_t *list = json_is_array(id2label) ? json_copy((json_t *)(uintptr_t)id2label)
                                           : json_array();
    if (id2label && !json_is_null(id2label) && !json_is_array(id2label) &&
        !json_is_object(id2label)) {
        json_array_append_new(list, json_null());
    }
    for (size_t r = 0; r < json_object_size(id2label); r++) {
        char number[24];
        snprintf(number, sizeof number, "%zu", r);
        json_t *name = json_object_get(id2label, number);
        json_array_append(list, name ? name : json_null());
    }
    return list;
}

/* The same from label2id. */
static json_t *list_of_ids(const json_t *label2id)
{
    json_t *list = json_array(), *id;
    const char *name;
    size_t size = json_object_size(label2id);
    for (size_t r = 0; r < size; r++) {
        json_array_append_new(list, json_null());
    }
    json_object_foreach((json_t *)(uintptr_t)label2id, name, id)
    {
        json_int_t row = json_integer_value(id);
        if (json_is_integer(id) && row >= 0 && (size_t)row < size) {
            json_array_set_new(list, (size_t)row, json_text(name));
        }
    }
    return list;
}

/* Whether label2id gives a name of the list another row. */
static int is_contradicted(const json_t *list, const json_t *label2id)
{
    size_t r;
    json_t *name;
    json_array_foreach((json_t *)(uintptr_t)list, r, name)
    {
        const json_t *id = json_object_get(label2id, json_string_value(name));
        if (json_is_integer(id) && json_integer_value(id) != (json_int_t)r) {
            return 1;
        }
    }
    return 0;
}

LabelFit labels_of_config(int *rows, char text[256], const json_t *config,
                          const char *const *classes, int count)
{
    json_t *names = list_of_names(json_object_get(config, "id2label")),
           *ids = list_of_ids(json_object_get(config, "label2id"));
    int *other = memory_alloc((size_t)count, sizeof *other);
    char second[256];
    LabelFit fit = labels_of_list(rows, text, names, classes, count),
             by_ids = labels_of_list(other, second, ids, classes, count);
    if (fit == LABELS_NONE && by_ids != LABELS_NONE) {
        fit = by_ids;
        memcpy(text, second, sizeof second);
        memcpy(rows, other, (size_t)count * sizeof *rows);
    } else if (fit == LABELS_FIT &&
               (is_contradicted(names, json_object_get(config, "label2id")) ||
                (by_ids == LABELS_FIT && memcmp(rows, other, (size_t)count * sizeof *rows) != 0))) {
        fit = LABELS_OTHER;
        append(text, "but in label2id");
        append(text, second);
    }
    free(other);
    json_decref(names);
    json_decref(ids);
    return fit;
}

void labels_text(char text[256], const char *const *classes, int count)
{
    *text = 0;
    for (int k = 0; k < count; k++) {
        append(text, classes[k]);
    }
}

void labels_permute(float *values, const int *rows, int count, size_t width, int back)
{
    size_t bytes = width * sizeof *values;
    float *copy = memory_alloc((size_t)count, bytes);
    memcpy(copy, values, (size_t)count * bytes);
    for (int r = 0; r < count; r++) {
        int from = back ? rows[r] : r, to = back ? r : rows[r];
        memcpy(values + (size_t)to * width, copy + (size_t)from * width, bytes);
    }
    free(copy);
}
