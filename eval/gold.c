#include "gold.h"
#include "preds.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <xxhash.h>

int import_is(const char *path)
{
    static const char *const ends[] = {".txt", ".tsv", ".csv"};
    size_t n = strlen(path);
    for (int i = 0; i < 3; i++) {
        if (n > 4 && !strcasecmp(path + n - 4, ends[i])) {
            return 1;
        }
    }
    return 0;
}

char *example_id(const LineFile *file, const char *field, Error *error)
{
    static const char prefix[] = "validation-";
    size_t size, n = sizeof prefix - 1;
    field = field_text(&size, field);
    if (!size) {
        (void)REFUSE("%s:%zu: an empty id; take the line out, or give it one", file->path,
                     file->line);
        return NULL;
    }
    size_t digits = strspn(field, "0123456789");
    int whole = digits < size && field[digits] == '.' && size > digits + 1 &&
                strspn(field + digits + 1, "0") >= size - digits - 1;
    int index = digits && digits < 19 && (digits >= size || whole);
    if (index) {
        size = digits;
        for (; size > 1 && *field == '0'; size--) {
            field++;
        }
    }
    char *id = memory_alloc(n + size + 1, 1);
    memcpy(id, prefix, n);
    memcpy(id + (index ? n : 0), field, size);
    id[(index ? n : 0) + size] = 0;
    return id;
}

/* Columns with a part of their own, each by any of these names. */
static const char *const id_names[] = {"id", "index", "idx", "guid", NULL};
static const char *const label_names[] = {"label", "gold", "target", "y_true", NULL};
static const char *const pred_names[] = {"prediction", "pred", "predicted", "y_pred", NULL};

static int column_is(const LineFile *file, int c, const char *name)
{
    size_t size;
    const char *text = field_text(&size, file->fields[c]);
    return size == strlen(name) && !strncasecmp(text, name, size);
}

/* The first of the names that is a column, in any case, or -1. Errors: it stands twice; so does
 * another one if only one is allowed. */
static int find_column(int *column, const LineFile *file, const char *const *names, int only,
                       Error *error)
{
    const char *found = NULL;
    *column = -1;
    for (; *names && (only || !found); names++) {
        for (int c = 0; c < file->count; c++) {
            if (!column_is(file, c, *names)) {
                continue;
            }
            if (found && found != *names) {
                return REFUSE("%s:%zu: the columns '%s' and '%s' may be the same; leave one, or "
                              "rename the other",
                              file->path, file->line, found, *names);
            }
            if (found) {
                return REFUSE("%s:%zu: two columns '%s'; leave one", file->path, file->line,
                              *names);
            }
            found = *names;
            *column = c;
        }
    }
    return 0;
}

int roles_find(Roles *roles, const LineFile *file, Error *error)
{
    double index;
    if (file->count == 2 && !number_field(&index, file->fields[0])) {
        *roles = (Roles){-1, -1, -1, 0, 2}; /* index and class, even one of the name "label" */
        return 0;
    }
    if (find_column(&roles->id, file, id_names, 0, error) ||
        find_column(&roles->label, file, label_names, 1, error) ||
        find_column(&roles->pred, file, pred_names, 1, error)) {
        return error->code;
    }
    roles->width = file->count;
    roles->named = roles->id >= 0 || roles->label >= 0 || roles->pred >= 0;
    if (file->count == 1 && !roles->named && strpbrk(file->fields[0], ",;\t")) {
        return REFUSE("%s:%zu: one column '%s'; fields are parted by commas in .csv, by TABs in "
                      ".txt and .tsv",
                      file->path, file->line, file->fields[0]);
    }
    /* pandas writes its index under no name, or reads it back as "Unnamed: 0" */
    if (roles->id < 0 && file->count > 1 &&
        (column_is(file, 0, "") || column_is(file, 0, "Unnamed: 0"))) {
        roles->id = 0;
        roles->named = 1;
    }
    return 0;
}

void gold_free(Gold *gold)
{
    free(gold->hash);
    free(gold->label);
    texts_free(&gold->texts);
    json_decref(gold->names);
    hash_index_free(&gold->index);
    *gold = (Gold){0};
}

static void gold_add(Gold *gold, const char *id, const char *label, size_t line)
{
    if ((gold->N & (gold->N - 1)) == 0) { /* room doubles */
        size_t room = gold->N ? 2 * gold->N : 1;
        gold->hash = memory_realloc(gold->hash, room, sizeof *gold->hash);
        gold->label = memory_realloc(gold->label, room, sizeof *gold->label);
    }
    gold->hash[gold->N] = XXH64(id, strlen(id), 0);
    gold->label[gold->N++] = texts_add(&gold->texts, label, line);
}

static int gold_from_preds(Gold *gold, const char *path, Error *error)
{
    Preds preds;
    json_t *names = NULL;
    if (preds_read(&preds, path, error)) {
        return error->code;
    }
    const char *text = preds_meta(&preds, "label_names");
    int code = json_read_bytes(&names, text, strlen(text), path, error);
    if (!code && !preds.id) {
        code = REFUSE("%s: no ids; gold labels need them", path);
    }
    gold->regression = preds.regression;
    gold->names = code || preds.regression ? NULL : json_array();
    for (size_t k = 0; gold->names && k < json_array_size(names) && !code; k++) {
        size_t before = gold->texts.count;
        if (texts_add(&gold->texts, json_string_value(json_array_get(names, k)), 0) !=
            (int)before) {
            code = REFUSE("%s: the class '%s' of label_names is empty or that of another name",
                          path, json_string_value(json_array_get(names, k)));
        } else {
            json_array_append_new(gold->names, json_string(gold->texts.text[before]));
        }
    }
    for (size_t i = 0; i < preds.N && !code; i++) {
        if (preds.regression) {
            char number[32];
            snprintf(number, sizeof number, "%.9g", (double)preds.target[i]);
            gold_add(gold, preds.id[i], number, 0);
        } else {
            gold_add(gold, preds.id[i], preds.label[i] < 0 ? "" : gold->texts.text[preds.label[i]],
                     0);
        }
    }
    json_decref(names);
    preds_free(&preds);
    return code;
}

static int gold_from_text(Gold *gold, const char *path, Error *error)
{
    LineFile file;
    Roles roles;
    int code = 0, first = 1;
    if (lines_open(&file, path, error)) {
        return error->code;
    }
    while (!code && lines_next(&file, &code, error)) {
        if (first) {
            first = 0;
            code = roles_find(&roles, &file, error);
            if (!code && roles.label < 0 && (roles.named || file.count != 2)) {
                code = REFUSE("%s:%zu: no column 'label'; gold labels are index TAB label, or a "
                              "table with the columns id and label",
                              path, file.line);
            }
            if (code || roles.named) {
                continue;
            }
            roles = (Roles){.id = 0, .label = 1, .pred = -1, .width = 2};
        }
        code = lines_check(&file, roles.width, error);
        if (code) {
            break;
        }
        char *id = roles.id < 0 ? string_format("validation-%zu", gold->N)
                                : example_id(&file, file.fields[roles.id], error);
        if (!id) {
            code = error->code;
            break;
        }
        gold_add(gold, id, file.fields[roles.label], file.line);
        free(id);
    }
    lines_close(&file);
    return !code && gold->N == 0 ? REFUSE("%s: no labels", path) : code;
}

int gold_read(Gold *gold, const char *path, Error *error)
{
    size_t twice;
    *gold = (Gold){0};
    int code = import_is(path) ? gold_from_text(gold, path, error)
                               : gold_from_preds(gold, path, error);
    if (!code) {
        gold->index = hash_index_make(gold->hash, gold->N, &twice);
        if (twice < gold->N) {
            code = REFUSE("%s: the id of label %zu stands twice; leave one", path, twice + 1);
        }
    }
    return code;
}
