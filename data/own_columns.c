/* Which columns of a table of one's own are texts, label and id: by the options, else by the names
 * that run_glue.py and the Hub's data sets give them. */
#include "own_reader.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const label_names[] = {"label",  "labels",    "gold_label", "gold",
                                          "target", "class",     "category",   "answer",
                                          "score",  "answerkey", "y"};
static const char *const id_names[] = {"id", "idx", "index", "guid"};
static const char *const pairs[][2] = {
    {"sentence1", "sentence2"}, {"premise", "hypothesis"}, {"question1", "question2"},
    {"question", "sentence"},   {"question", "passage"},   {"question", "context"},
    {"text1", "text2"},         {"text_a", "text_b"},      {"query", "passage"}};
static const char *const singles[] = {"sentence", "text", "review", "content"};
static const char *const contexts[] = {"premise",  "startphrase", "context",  "ctx",    "sent1",
                                       "question", "goal",        "sentence", "prompt", "query"};
static const char *const choice_stems[] = {"choice", "ending", "option", "answer", "sol"};
static const char *const choice_lists[] = {"choices", "endings", "options", "answers"};
static const char *const unused[] = {"weight", "weights", "sample_weight",
                                     "fold",   "folds",   "split"};

#define COUNT(list) ((int)(sizeof(list) / sizeof *(list)))

char *own_list(char *const *names, ptrdiff_t count)
{
    enum { SHOWN = 8 };
    char *text = string_copy("");
    for (ptrdiff_t i = 0; i < count && i < SHOWN; i++) {
        string_append(&text, "%s%.40s", i ? ", " : "", names[i]);
    }
    if (count > SHOWN) {
        string_append(&text, " and %td more", count - SHOWN);
    }
    return text;
}

/* The column of this name in any case, or NULL. */
static const char *column_like(const json_t *row, const char *name)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)row, key, value)
    {
        if (!strcasecmp(key, name)) {
            return key;
        }
    }
    return NULL;
}

static const char *first_like(const json_t *row, const char *const *names, int count)
{
    const char *found = NULL;
    for (int i = 0; i < count && !found; i++) {
        found = column_like(row, names[i]);
    }
    return found;
}

static int is_among(char *const *names, const char *name)
{
    for (ptrdiff_t i = 0; i < arrlen(names); i++) {
        if (!strcmp(names[i], name)) {
            return 1;
        }
    }
    return 0;
}

static int is_chosen(const Own *own, const char *name)
{
    return is_among(own->texts, name) || is_among(own->choices, name) ||
           (own->label && !strcmp(own->label, name)) || (own->id && !strcmp(own->id, name));
}

int own_refuse_column(const json_t *row, const char *column, const Line *line, Error *error)
{
    const char *key;
    json_t *value;
    char **found = NULL;
    json_object_foreach((json_t *)(uintptr_t)row, key, value)
    {
        arrput(found, (char *)(uintptr_t)key);
    }
    char *list = own_list(found, arrlen(found));
    (void)REFUSE("%s:%d: there is no column '%.40s'; found: %s; rename it, or name the columns by "
                 "--text-columns, --label-column and --id-column",
                 line->path, line->number, column, list);
    free(list);
    arrfree(found);
    return error->code;
}

/* The columns of --text-columns. */
static int named_texts(Own *own, const json_t *row, const Line *line, Error *error)
{
    const char *problem = own->request.problem;
    char **names = NULL;
    for (const char *at = own->request.texts;; at++) {
        size_t size = strcspn(at, ",");
        arrput(names, string_format("%.*s", (int)size, at));
        at += size;
        if (!*at) {
            break;
        }
    }
    int count = (int)arrlen(names), code = 0;
    for (int i = 0; i < count && !code; i++) {
        const json_t *value = json_object_get(row, names[i]);
        own->list = own->list || (i == 1 && count == 2 && json_is_array(value));
        for (int j = 0; j < i && !code; j++) {
            code = strcmp(names[i], names[j])
                       ? 0
                       : error_set(error, EXIT_USAGE, "--text-columns %s: '%s' is named twice",
                                   own->request.texts, names[i]);
        }
        if (!code && !value) {
            code = own_refuse_column(row, names[i], line, error);
        }
    }
    int choice = problem ? *problem == 'c' : own->list;
    if (!code && !choice && count > 2) {
        code = error_set(error, EXIT_USAGE,
                         "--text-columns %s: one text, or two of a pair; a context and choices "
                         "need --problem choice",
                         own->request.texts);
    } else if (!code && choice && count < 3 && !own->list) {
        code = error_set(error, EXIT_USAGE,
                         "--text-columns %s: --problem choice needs a context and two choices or "
                         "more, or a list of them",
                         own->request.texts);
    } else if (!code && !choice && own->list) {
        code = error_set(error, EXIT_USAGE, "--text-columns %s: '%s' is a list: --problem choice",
                         own->request.texts, names[1]);
    }
    for (int i = 0; i < count; i++) {
        if (choice && i) {
            arrput(own->choices, names[i]);
        } else {
            arrput(own->texts, names[i]);
        }
    }
    arrfree(names);
    return code;
}

/* choice1, choice2, ... from 0 or 1 on, or a list: where there are any. */
static void find_choices(Own *own, const json_t *row)
{
    for (int i = 0; i < COUNT(choice_lists) && !own->choices; i++) {
        const char *list = column_like(row, choice_lists[i]);
        if (list && json_is_array(json_object_get(row, list))) {
            arrput(own->choices, string_copy(list));
            own->list = 1;
        }
    }
    for (int i = 0; i < COUNT(choice_stems) && !own->choices; i++) {
        for (int first = 0; first < 2 && arrlen(own->choices) < 2; first++) {
            const char *found = "";
            while (arrlen(own->choices)) {
                free(arrpop(own->choices));
            }
            for (int c = first; found; c++) {
                char name[32];
                snprintf(name, sizeof name, "%s%d", choice_stems[i], c);
                found = column_like(row, name);
                if (found) {
                    arrput(own->choices, string_copy(found));
                }
            }
        }
        if (arrlen(own->choices) < 2) {
            while (arrlen(own->choices)) {
                free(arrpop(own->choices));
            }
            arrfree(own->choices);
        }
    }
}

/* The columns that may be texts: those that are neither chosen nor known to be none. */
static char **candidates(const Own *own, const json_t *row)
{
    char **names = NULL;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)row, key, value)
    {
        int other = !*key || !strcmp(key, "Unnamed: 0") || is_chosen(own, key);
        for (int i = 0; i < COUNT(unused); i++) {
            other = other || !strcasecmp(key, unused[i]);
        }
        for (int i = 0; i < COUNT(id_names); i++) {
            other = other || !strcasecmp(key, id_names[i]);
        }
        if (!other) {
            arrput(names, (char *)(uintptr_t)key);
        }
    }
    return names;
}

static int guess_texts(Own *own, const json_t *row, const Line *line, Error *error)
{
    const char *problem = own->request.problem, *first = NULL, *second = NULL;
    if (!problem || *problem == 'c') {
        find_choices(own, row);
    }
    if (own->choices) {
        first = first_like(row, contexts, COUNT(contexts));
    }
    for (int i = 0; i < COUNT(pairs) && !first && !own->choices; i++) {
        first = column_like(row, pairs[i][0]);
        second = first ? column_like(row, pairs[i][1]) : NULL;
        first = second ? first : NULL;
    }
    for (int i = 0; i < COUNT(singles) && !first && !own->choices; i++) {
        first = column_like(row, singles[i]);
        first = first && !is_chosen(own, first) ? first : NULL;
    }
    char **others = candidates(own, row);
    int code = 0;
    if (problem && *problem == 'c' && !own->choices) {
        code = error_set(error, EXIT_USAGE,
                         "%s:%d: no columns choice1, choice2, ..., and no list of choices; name "
                         "context and choices by --text-columns",
                         line->path, line->number);
    } else if (!first && arrlen(others) && arrlen(others) <= (own->choices ? 1 : 2)) {
        first = others[0];
        second = arrlen(others) > 1 ? others[1] : NULL;
    } else if (!first) {
        char *list = own_list(others, arrlen(others));
        code = error_set(error, EXIT_USAGE, "%s:%d: which columns are texts? Of %s name one%s",
                         line->path, line->number, *list ? list : "none",
                         own->choices ? " as context, and the choices, by --text-columns"
                                      : ", or two of a pair, by --text-columns");
        free(list);
    }
    if (!code) {
        arrput(own->texts, string_copy(first));
        if (second) {
            arrput(own->texts, string_copy(second));
        }
    }
    arrfree(others);
    return code;
}

/* The text for a decoder with {0} and {1} for the columns' names. */
static int read_template(Own *own, Error *error)
{
    const char *text = own->request.template, *second = own->choices ? "choice" : NULL;
    int seen[2] = {0}, inputs = own->choices || arrlen(own->texts) == 2 ? 2 : 1, bars = 0;
    second = inputs == 2 && !second ? own->texts[1] : second;
    if (!text) {
        own->decoder = string_copy(inputs == 2 ? "{0}| {1}" : "{0}");
        return 0;
    }
    own->decoder = string_copy("");
    for (const char *at = text; *at;) {
        size_t plain = strcspn(at, "{|");
        string_append(&own->decoder, "%.*s", (int)plain, at);
        at += plain;
        if (*at == '|') {
            bars++;
            string_append(&own->decoder, "|");
            at++;
        } else if (*at == '{') {
            size_t size = strcspn(at + 1, "}");
            const char *names[2] = {own->texts[0], second};
            int input = -1;
            for (int i = 0; i < inputs; i++) {
                input = strlen(names[i]) == size && !memcmp(names[i], at + 1, size) ? i : input;
            }
            if (input < 0 || !at[size + 1]) {
                return error_set(
                    error, EXIT_USAGE,
                    "--template: '%.*s' is no text's name in braces; there %s {%s}%s%s%s",
                    (int)size + 2, at, inputs == 2 ? "are" : "is", own->texts[0],
                    inputs == 2 ? " and {" : "", inputs == 2 ? second : "", inputs == 2 ? "}" : "");
            }
            seen[input] = 1;
            string_append(&own->decoder, "{%d}", input);
            at += size + 2;
        }
    }
    size_t end = strlen(own->decoder);
    if (!seen[0] || (inputs == 2 && !seen[1])) {
        return error_set(error, EXIT_USAGE, "--template %s: {%s} is missing", text,
                         seen[0] ? second : own->texts[0]);
    }
    if (bars > 1 || *own->decoder == '|' || own->decoder[end - 1] == '|') {
        return error_set(error, EXIT_USAGE, "--template %s: a bar stands between two parts, once",
                         text);
    }
    return 0;
}

/* The choices of the row; a list has its number. */
static int count_choices(Own *own, const json_t *row, const Line *line, Error *error)
{
    size_t count = own->list ? json_array_size(json_object_get(row, own->choices[0]))
                             : arrlenu(own->choices);
    enum { MOST = 64 };
    if (count < 2 || count > MOST) {
        return REFUSE("%s:%d: %zu choices; from 2 to %d make a task", line->path, line->number,
                      count, MOST);
    }
    own->task.kind = KIND_CHOICE;
    own->task.K = (int)count;
    return 0;
}

int own_choose_columns(Own *own, const json_t *row, const Line *line, Error *error)
{
    const OwnRequest *r = &own->request;
    const char *label = r->label ? r->label : first_like(row, label_names, COUNT(label_names));
    const char *id = r->id ? r->id : first_like(row, id_names, COUNT(id_names));
    if (!label || !json_object_get(row, label)) {
        return own_refuse_column(row, label ? label : "label", line, error);
    }
    if (!r->id && !id) { /* pandas writes its index under no name, or reads it back so */
        const char *first = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)row));
        id = !*first || !strcmp(first, "Unnamed: 0") ? first : NULL;
    }
    id = id && !(r->id && !strcmp(id, "none")) ? id : NULL;
    if (id && !json_object_get(row, id)) {
        return own_refuse_column(row, id, line, error);
    }
    own->label = string_copy(label);
    own->id = id ? string_copy(id) : NULL;
    if (r->texts ? named_texts(own, row, line, error) : guess_texts(own, row, line, error)) {
        return error->code;
    }
    if (is_among(own->texts, label) || is_among(own->choices, label) ||
        (id && !strcmp(id, label))) {
        return error_set(error, EXIT_USAGE,
                         "the column '%s' cannot be the label and something else", label);
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)row, key, value)
    {
        if (!is_chosen(own, key)) {
            arrput(own->ignored, string_copy(key));
        }
    }
    own->task.encoder = own->choices || arrlen(own->texts) == 2 ? "{0}||{1}" : "{0}";
    if (read_template(own, error) || (own->choices && count_choices(own, row, line, error))) {
        return error->code;
    }
    own->task.decoder = own->decoder;
    return 0;
}
