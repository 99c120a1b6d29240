/* Single fields of a row by their names: texts, numbers, scores, and labels in all forms that they
 * are written in. */
#include "task_reader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int is_field_name(const char *names, const char *name)
{
    size_t size = strlen(name);
    for (const char *at = names;; at++) {
        size_t length = strcspn(at, "|");
        if (length == size && !memcmp(at, name, size)) {
            return 1;
        }
        at += length;
        if (!*at) {
            return 0;
        }
    }
}

char *field_names(const char *names)
{
    const char *bar = strchr(names, '|');
    return bar ? string_format("'%.*s' or '%s'", (int)(bar - names), names, bar + 1)
               : string_format("'%s'", names);
}

/* The field with one of the names, or NULL. */
static const json_t *get_field(const json_t *object, const char *names)
{
    for (const char *at = names;; at++) {
        size_t length = strcspn(at, "|");
        const json_t *value = json_object_getn(object, at, length);
        at += length;
        if (value || !*at) {
            return value;
        }
    }
}

/* A field is missing: names those that there are. */
static int refuse_field(const json_t *object, const char *names, const Line *line, Error *error)
{
    enum { SHOWN = 12 };
    char *wanted = field_names(names), *found = string_copy("");
    const char *key;
    json_t *value;
    int count = 0;
    json_object_foreach((json_t *)object, key, value)
    {
        if (count++ < SHOWN) {
            string_append(&found, "%s'%.40s'", count > 1 ? ", " : "", key);
        }
    }
    (void)REFUSE("%s:%d: the field %s is missing; found: %s%s; correct the line", line->path,
                 line->number, wanted, count ? found : "nothing", count > SHOWN ? ", ..." : "");
    free(wanted);
    free(found);
    return error->code;
}

int read_text(char **text, const json_t *object, const char *field, const Line *line, Error *error)
{
    const json_t *value = get_field(object, field);
    if (!value) {
        return refuse_field(object, field, line, error);
    }
    if (!json_is_string(value)) {
        char *names = field_names(field);
        (void)REFUSE("%s:%d: the field %s is not a text; correct the line", line->path,
                     line->number, names);
        free(names);
        return error->code;
    }
    *text = string_copy(json_string_value(value));
    return 0;
}

int whole_number(long *number, const char *text)
{
    const char *digits = text + (*text == '-');
    size_t size = strspn(digits, "0123456789");
    const char *end = digits + size;
    end += *end == '.' && end[1] == '0' ? 1 + strspn(end + 1, "0") : 0;
    *number = size && size <= 9 ? strtol(text, NULL, 10) : 0;
    return size && size <= 9 && !*end ? 0 : -1;
}

const char *scalar_text(const json_t *value, char room[40])
{
    if (json_is_integer(value)) {
        snprintf(room, 40, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_real(value)) {
        snprintf(room, 40, "%.17g", json_real_value(value));
    } else {
        return json_is_string(value)  ? json_string_value(value)
               : json_is_true(value)  ? "true"
               : json_is_false(value) ? "false"
                                      : NULL;
    }
    return room;
}

int read_index(int *index, const json_t *object, const char *field, const Line *line, Error *error)
{
    char room[40];
    long number;
    const json_t *value = get_field(object, field);
    const char *text = scalar_text(value, room);
    if (!value) {
        return refuse_field(object, field, line, error);
    }
    if (!text || whole_number(&number, text) || number < 0) {
        return REFUSE("%s:%d: the field '%s' is no number from 0; correct the line", line->path,
                      line->number, field);
    }
    *index = (int)number;
    return 0;
}

int check_label_form(Reader *reader, LabelForm form, const char *text, const Line *line,
                     Error *error)
{
    static const char *const forms[] = {"", "names", "numbers", "truth values", "hidden"};
    if (reader->labels && reader->labels != form) {
        return REFUSE("%s:%d: the label '%.40s' is of another form than those above, which are %s; "
                      "write all of them in one form",
                      line->path, line->number, text, forms[reader->labels]);
    }
    reader->labels = form;
    return 0;
}

/* A score as the task's target. Exports have it as float32, of which the target would be off by a
 * bit: scores are means of a few judgements, so the fraction of the smallest denominator with the
 * same float32 is the score that was stored. */
static int read_score(Example *example, int exported, const Line *line, const char *text,
                      Error *error)
{
    char *end;
    double score = strtod(text, &end);
    if (strspn(text, "0123456789.+-eE") != strlen(text) || end == text || *end ||
        !(score >= 0.0 && score <= 5.0)) {
        return REFUSE("%s:%d: the score '%.40s' is not a number from 0 to 5%s", line->path,
                      line->number, text,
                      score == -1.0 ? ": scores of a test split are hidden; name another file"
                                    : "; correct the line");
    }
    for (int n = 1; exported && n <= 1000; n++) {
        double fraction = nearbyint(score * n) / n;
        if ((float)fraction == (float)score) {
            score = fraction;
            break;
        }
    }
    example->target = (float)(score / 5.0);
    example->label = -1;
    return 0;
}

/* The class of a label by its name or its number in the task's order, or by its truth where the
 * official file has 0 and 1, or false and true; -1 for none. */
static int class_of(const Task *task, const char *text, LabelForm *form)
{
    long number;
    int truth = same_name(text, "true") ? 1 : same_name(text, "false") ? 0 : -1;
    if (!whole_number(&number, text)) {
        *form = LABELS_NUMBERS;
        return number >= 0 && number < task->K ? (int)number : -1;
    }
    if (truth >= 0) {
        *form = LABELS_TRUTH;
        return same_name(task->values[0], "0") || same_name(task->values[0], "false") ? truth : -1;
    }
    *form = LABELS_NAMES;
    for (int k = 0; k < task->K; k++) {
        if (same_name(text, task->labels[k])) {
            return k;
        }
    }
    return -1;
}

int read_label(Reader *reader, Example *example, const json_t *object, const Line *line,
               Error *error)
{
    const Task *task = reader->dataset->task;
    char room[40];
    long number;
    const json_t *value = get_field(object, task->fields[0]);
    const char *text = scalar_text(value, room);
    if (reader_may_hide(reader) &&
        (!value || (text && !whole_number(&number, text) && number == -1))) {
        example->label = -1;
        example->target = NAN;
        return check_label_form(reader, LABELS_HIDDEN, value ? text : "", line, error);
    }
    if (!value) {
        return refuse_field(object, task->fields[0], line, error);
    }
    if (!text) {
        return REFUSE("%s:%d: the label is no name and no number; each line must be one example "
                      "with its label",
                      line->path, line->number);
    }
    if (task->kind == KIND_REGRESSION) {
        return read_score(example, reader->exported, line, text, error) ||
                       check_label_form(reader, LABELS_NUMBERS, text, line, error)
                   ? error->code
                   : 0;
    }
    LabelForm form;
    example->label = class_of(task, text, &form);
    if (example->label < 0 && !whole_number(&number, text) && number == -1) {
        return REFUSE("%s:%d: the label -1 stands for a hidden one: this is a test split; name a "
                      "file with labels",
                      line->path, line->number);
    }
    if (example->label < 0) {
        return REFUSE("%s:%d: the label '%.40s' is none of %s, %s%s%s, nor a number from 0 to %d; "
                      "correct the line",
                      line->path, line->number, text, task->labels[0], task->labels[1],
                      task->K > 2 ? ", " : "", task->K > 2 ? task->labels[2] : "", task->K - 1);
    }
    return check_label_form(reader, form, text, line, error);
}
