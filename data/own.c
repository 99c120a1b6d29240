/* Rows of a table of one's own as examples, and the label names that they have together. */
#include "own_reader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST_CLASSES = 1000 };

int own_init(Own *own, const OwnRequest *request, Error *error)
{
    static const char *const problems[] = {"single", "choice", "regression"};
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    int known = !request->problem, count;
    const Task *tasks = tasks_all(&count);
    *own = (Own){.request = *request,
                 .task = {.name = request->name,
                          .alias = "",
                          .benchmark = "own",
                          .folder = request->name,
                          .kind = KIND_CLASSES,
                          .metric = METRIC_ACCURACY,
                          .form = FORM_OWN,
                          .cut = CUT_LONGEST,
                          .longest = 128}};
    sh_new_strdup(own->labels);
    for (int i = 0; i < 3 && !known; i++) {
        known = !strcmp(request->problem, problems[i]);
    }
    if (!known) {
        return error_set(error, EXIT_USAGE, "--problem %s: choose single, choice or regression",
                         request->problem);
    }
    for (int i = 0; i <= count; i++) {
        if (same_name(request->name, i < count ? tasks[i].name : "lm") ||
            (i < count && *tasks[i].alias && same_name(request->name, tasks[i].alias))) {
            return error_set(error, EXIT_USAGE,
                             "--train-file with --task %s, whose files --data names; choose a free "
                             "name, such as own",
                             request->name);
        }
    }
    size_t size = strlen(request->name);
    if (size > 64 || strspn(request->name, plain) != size || *request->name == '-') {
        return error_set(error, EXIT_USAGE,
                         "--task %s: a name has up to 64 letters, digits, - and _", request->name);
    }
    return 0;
}

static void names_free(char **names)
{
    for (ptrdiff_t i = 0; i < arrlen(names); i++) {
        free(names[i]);
    }
    arrfree(names);
}

void own_free(Own *own)
{
    names_free(own->texts);
    names_free(own->choices);
    names_free(own->ignored);
    names_free(own->names);
    arrfree(own->absent);
    free(own->label);
    free(own->id);
    free(own->decoder);
    shfree(own->labels);
    *own = (Own){0};
}

/* --- rows --- */

/* That of an index is as in our other files: validation-17, also of 17.0 and 017. */
static char *id_of(const char *text, const char *split)
{
    size_t digits = strspn(text, "0123456789"), zeros;
    const char *rest = text + digits;
    int whole = !*rest || (rest[0] == '.' && rest[1] && strspn(rest + 1, "0") == strlen(rest + 1));
    if (!digits || digits > 18 || !whole) {
        return string_copy(text);
    }
    zeros = strspn(text, "0");
    zeros = zeros == digits ? digits - 1 : zeros;
    return string_format("%s-%.*s", split, (int)(digits - zeros), text + zeros);
}

/* The row's id, to be freed, or NULL after setting error. */
static char *read_id(const Reader *reader, const json_t *row, const Line *line, Error *error)
{
    Own *own = reader->own;
    char room[40];
    const json_t *value = json_object_get(row, own->id);
    const char *text = scalar_text(value, room);
    if (!value) {
        (void)own_refuse_column(row, own->id, line, error);
        return NULL;
    }
    if (!text || !*text) {
        (void)REFUSE("%s:%d: the id ('%.40s') is empty; give the row one, or number the rows by "
                     "--id-column none",
                     line->path, line->number, own->id);
        return NULL;
    }
    char *id = id_of(text, reader->split);
    ptrdiff_t met = shgeti(own->ids, id);
    if (met >= 0) {
        (void)REFUSE("%s:%d: the id '%.40s' is that of line %d too; give each row its own, or "
                     "number the rows by --id-column none",
                     line->path, line->number, text, own->ids[met].value);
        free(id);
        return NULL;
    }
    return id;
}

static int read_own_text(char **text, const json_t *value, const char *column, const Line *line,
                         Error *error)
{
    const char *read = json_string_value(value);
    if (!read) {
        return REFUSE("%s:%d: '%.40s' is not a text; correct the line", line->path, line->number,
                      column);
    }
    if (!read[strspn(read, " \t\r\n")]) {
        return REFUSE("%s:%d: the text '%.40s' is empty; correct the line, or take it out",
                      line->path, line->number, column);
    }
    *text = string_copy(read);
    return 0;
}

static int read_texts(const Own *own, Example *example, const json_t *row, const Line *line,
                      Error *error)
{
    const json_t *list = own->list ? json_object_get(row, own->choices[0]) : NULL;
    for (ptrdiff_t i = 0; i < arrlen(own->texts) + (own->list ? 1 : arrlen(own->choices)); i++) {
        const char *column = i < arrlen(own->texts) ? own->texts[i]
                                                    : own->choices[i - arrlen(own->texts)];
        if (!json_object_get(row, column)) {
            return own_refuse_column(row, column, line, error);
        }
    }
    if (own->list && json_array_size(list) != (size_t)own->task.K) {
        return REFUSE("%s:%d: %zu choices, but %d in the first row of the training file; all rows "
                      "have equally many",
                      line->path, line->number, json_array_size(list), own->task.K);
    }
    for (int c = 0; c < task_sequences(&own->task); c++) {
        const char *choice = own->choices ? own->choices[own->list ? 0 : c] : NULL;
        const json_t *value = own->list ? json_array_get(list, (size_t)c)
                              : choice  ? json_object_get(row, choice)
                                        : NULL;
        for (ptrdiff_t i = 0; i < arrlen(own->texts); i++) {
            if (read_own_text(&example->text[c][i], json_object_get(row, own->texts[i]),
                              own->texts[i], line, error)) {
                return error->code;
            }
        }
        if (choice && read_own_text(&example->text[c][1], value, choice, line, error)) {
            return error->code;
        }
    }
    return 0;
}

/* As a score is written, in decimals and finite in float32. */
static int is_number(const char *text, float *number)
{
    char *end;
    *number = strtof(text, &end);
    return *text && strspn(text, "0123456789.+-eE") == strlen(text) && !*end && isfinite(*number);
}

/* A test file may have no labels: no such column, nothing in it, or -1 where that is no label. */
static int is_hidden(const Reader *reader, const char *text)
{
    const Own *own = reader->own;
    return reader_may_hide(reader) && (!text || !text[strspn(text, " \t\r\n")] ||
                                       (!strcmp(text, "-1") && own->task.kind != KIND_REGRESSION &&
                                        shgeti(reader->own->labels, text) < 0));
}

/* The label as the training file has it, a new class if it is met there first. */
static int read_own_label(Reader *reader, Example *example, const json_t *row, const Line *line,
                          Error *error)
{
    Own *own = reader->own;
    char room[40];
    int train = !strcmp(reader->split, "train");
    const json_t *value = json_object_get(row, own->label);
    const char *text = json_is_boolean(value) ? (json_is_true(value) ? "True" : "False")
                                              : scalar_text(value, room);
    const char *problem = own->request.problem;
    int hides = is_hidden(reader, text);
    if (reader_may_hide(reader) && check_label_form(reader, hides ? LABELS_HIDDEN : LABELS_NAMES,
                                                    text ? text : "", line, error)) {
        return error->code;
    }
    if (hides) {
        example->label = -1;
        example->target = NAN;
        return 0;
    }
    int regression = train ? problem && *problem == 'r' : own->task.kind == KIND_REGRESSION;
    if (!value) {
        return own_refuse_column(row, own->label, line, error);
    }
    if (!text || !text[strspn(text, " \t\r\n")]) {
        return REFUSE("%s:%d: the label '%.40s' is %s; correct the line, or take it out",
                      line->path, line->number, own->label,
                      text ? "empty" : "no text and no number");
    }
    float target;
    long whole;
    int number = is_number(text, &target);
    if (regression && !number) {
        return REFUSE("%s:%d: the label '%.40s' is no number of float32, which a regression needs; "
                      "correct the line",
                      line->path, line->number, text);
    }
    if (!whole_number(&whole, text) && strchr(text, '.')) {
        snprintf(room, sizeof room, "%ld", whole); /* pandas' 1.0 is the class 1 */
        text = room;
    }
    example->target = number ? target : 0;
    example->label = -1;
    if (regression) {
        return 0;
    }
    ptrdiff_t met = shgeti(own->labels, text);
    if (met >= 0) {
        example->label = own->labels[met].value;
    } else if (train) {
        example->label = (int)shlen(own->labels);
        shput(own->labels, text, example->label);
    } else {
        char *names = own_list(own->names, arrlen(own->names));
        (void)REFUSE("%s:%d: the label '%.40s' is none of the training file's: %s%s", line->path,
                     line->number, text, names,
                     strcmp(text, "-1") ? "; correct the line, or put such rows into both files"
                                        : "; -1 hides those of a test split");
        free(names);
        return error->code;
    }
    own->numbers += train && number;
    own->fractions += train && number && whole_number(&whole, text);
    example->target = train ? example->target : 0;
    return 0;
}

int read_own(Reader *reader, const json_t *row, const Line *line, Error *error)
{
    Own *own = reader->own;
    char *id = NULL;
    if (!own->label && own_choose_columns(own, row, line, error)) {
        return error->code;
    }
    if (own->id) {
        id = read_id(reader, row, line, error);
        if (!id) {
            return error->code;
        }
        shput(own->ids, id, line->number); /* the key is the example's */
    }
    Example *example = reader_add(reader, line, id);
    return read_texts(own, example, row, line, error) ||
                   read_own_label(reader, example, row, line, error)
               ? error->code
               : 0;
}

/* --- labels of the training file --- */

static int by_number(const void *a, const void *b)
{
    double x = strtod(*(char *const *)a, NULL), y = strtod(*(char *const *)b, NULL);
    return x < y ? -1 : x > y ? 1 : strcmp(*(char *const *)a, *(char *const *)b);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int name_classes(Own *own, const Dataset *dataset, Error *error)
{
    ptrdiff_t count = shlen(own->labels);
    if (count < 2) {
        return REFUSE("%s: all %d rows have the label '%.40s'; is '%.40s' the label's column?",
                      dataset->path, dataset->count, own->labels[0].key, own->label);
    }
    if (count > MOST_CLASSES) {
        return REFUSE("%s: the column '%.40s' has %td labels, at most %d are classes; is it the "
                      "label's? Numbers are --problem regression",
                      dataset->path, own->label, count, MOST_CLASSES);
    }
    for (ptrdiff_t i = 0; i < count; i++) {
        arrput(own->names, string_copy(own->labels[i].key));
    }
    int whole = own->numbers == dataset->count && !own->fractions;
    qsort(own->names, (size_t)count, sizeof *own->names, whole ? by_number : by_text);
    return 0;
}

static ptrdiff_t place_of(char *const *names, const char *name)
{
    ptrdiff_t i = arrlen(names) - 1;
    while (i >= 0 && strcmp(names[i], name)) {
        i--;
    }
    return i;
}

/* A choice is named by its number from 0, or from 1, by its letter, or by its column: the first of
 * these that fits all labels. */
static int name_choices(Own *own, const Dataset *dataset, Error *error)
{
    ptrdiff_t count = shlen(own->labels), most = 0;
    int line = dataset->examples[0].line;
    for (int form = 0; form < 4; form++) {
        ptrdiff_t fitting = 0;
        while (arrlen(own->names)) {
            free(arrpop(own->names));
        }
        for (int c = 0; c < own->task.K; c++) {
            arrput(own->names, form < 2    ? string_format("%d", c + form)
                               : form == 2 ? string_format("%c", 'A' + c)
                                           : string_copy(own->choices[own->list ? 0 : c]));
        }
        while (fitting < count && place_of(own->names, own->labels[fitting].key) >= 0) {
            fitting++;
        }
        if (fitting == count) {
            return 0;
        }
        for (int i = 0; fitting > most && i < dataset->count; i++) {
            if (dataset->examples[i].label == fitting) {
                line = dataset->examples[i].line;
                most = fitting;
            }
        }
    }
    return REFUSE("%s:%d: the label '%.40s' is none of %d choices, which have numbers from 0 or "
                  "from 1 on, letters, or the names of their columns; correct the line",
                  dataset->path, line, own->labels[most].key, own->task.K);
}

/* Kind and label names of the task, and the classes of the training file by them. */
static int settle_labels(Own *own, Dataset *dataset, Error *error)
{
    Task *task = &own->task;
    const char *problem = own->request.problem;
    int numbers = own->numbers == dataset->count && own->fractions,
        regression = problem ? *problem == 'r' : numbers && !own->choices;
    if (regression) {
        task->kind = KIND_REGRESSION;
        task->metric = METRIC_PEARSON;
        arrput(own->names, string_copy(own->label));
    } else if (own->choices ? name_choices(own, dataset, error)
                            : name_classes(own, dataset, error)) {
        return error->code;
    }
    task->K = (int)arrlen(own->names);
    task->labels = (const char *const *)own->names;
    for (ptrdiff_t i = 0; i < shlen(own->labels) && !regression; i++) {
        own->labels[i].value = (int)place_of(own->names, own->labels[i].key);
    }
    for (int i = 0; i < dataset->count; i++) {
        Example *example = &dataset->examples[i];
        if (regression) {
            example->label = -1;
        } else {
            example->label = own->labels[example->label].value;
            example->target = 0;
        }
    }
    for (ptrdiff_t k = 0; k < task->K && !regression;
         k++) { /* a choice may be right in dev alone */
        shput(own->labels, own->names[k], (int)k);
    }
    return 0;
}

/* Classes of which the file has no example. */
static void find_absent(Own *own, const Dataset *dataset)
{
    char *met = memory_calloc((size_t)own->task.K, 1);
    for (int i = 0; i < dataset->count; i++) {
        met[dataset->examples[i].label] = 1;
    }
    for (int k = 0; k < own->task.K; k++) {
        if (!met[k]) {
            arrput(own->absent, own->names[k]);
        }
    }
    free(met);
}

int own_read(Own *own, Dataset *dataset, const char *path, const char *split, int limit,
             int allow_bad_rows, int threads, Error *error)
{
    static const char *const endings[] = {".csv", ".tsv", ".jsonl", ".json", ".parquet"};
    int train = !strcmp(split, "train"), known = 0, code;
    *dataset = (Dataset){.task = &own->task, .split = split, .path = string_copy(path)};
    Reader reader = {.dataset = dataset,
                     .own = own,
                     .split = split,
                     .limit = train ? 0 : limit,
                     .allow_bad_rows = allow_bad_rows,
                     .threads = threads};
    for (int i = 0; i < 5; i++) {
        size_t size = strlen(path), end = strlen(endings[i]);
        known = known || (size > end && !strcasecmp(path + size - end, endings[i]));
    }
    if (!known) {
        code = error_set(error, EXIT_USAGE,
                         "%s: a file of one's own is .csv, .tsv or .jsonl, by its name", path);
    } else {
        code = read_examples(&reader, error);
    }
    if (!code && train) {
        code = settle_labels(own, dataset, error);
    }
    shfree(own->ids);
    if (code) {
        dataset_free(dataset);
        return code;
    }
    if (train && limit > 0) {
        dataset_limit(dataset, limit);
    }
    if (!strcmp(split, "validation") && !limit && own->task.kind == KIND_CLASSES) {
        find_absent(own, dataset);
    }
    return 0;
}

char *own_describe(const Own *own)
{
    static const char *const problems[] = {"single", "choice", "regression"};
    char *texts = own_list(own->texts, arrlen(own->texts)),
         *choices = own_list(own->choices, arrlen(own->choices)),
         *labels = own_list(own->names, arrlen(own->names)),
         *ignored = own_list(own->ignored, arrlen(own->ignored)),
         *absent = own_list(own->absent, arrlen(own->absent));
    int regression = own->task.kind == KIND_REGRESSION;
    char *text = string_format(
        "%s%s%s%s; label %s (%s%s%s%s%s); ids %s%s%s", arrlen(own->texts) > 1 ? "pair " : "text ",
        texts, *choices ? ", choices " : "", choices, own->label, problems[own->task.kind],
        regression ? "" : ": ", regression ? "" : labels, *absent ? "; in no dev row: " : "",
        absent, own->id ? own->id : "by row", *ignored ? "; ignored " : "", ignored);
    free(texts);
    free(choices);
    free(labels);
    free(ignored);
    free(absent);
    return text;
}

static json_t *list_json(char *const *names)
{
    json_t *list = json_array();
    for (ptrdiff_t i = 0; i < arrlen(names); i++) {
        json_array_append_new(list, json_text(names[i]));
    }
    return list;
}

char *own_columns(const Own *own, int decoder)
{
    static const char *const problems[] = {"single", "choice", "regression"};
    json_t *object = json_object();
    json_object_set_new(object, "texts", list_json(own->texts));
    json_object_set_new(object, "label", json_text(own->label));
    json_object_set_new(object, "problem", json_string(problems[own->task.kind]));
    if (own->choices) {
        json_object_set_new(object, "choices", list_json(own->choices));
    }
    if (decoder) {
        json_object_set_new(object, "template", json_text(own->decoder));
    }
    char *text = json_canonical(object);
    json_decref(object);
    return text;
}
