#include "task_reader.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS(...)                                                                                \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define LABELS(...)                                                                                \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define VALUES(...)                                                                                \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define COUNT(...) (int)(sizeof((const char *[])__VA_ARGS__) / sizeof(const char *))
#define TASK(name_, alias_, benchmark_, folder_, train_, dev_, kind_, metric_, form_, fields_,     \
             encoder_, decoder_, cut_, labels_, values_, longest_, lr_, batch_, epochs_, warmup_)  \
    {.name = #name_,                                                                               \
     .alias = alias_,                                                                              \
     .benchmark = benchmark_,                                                                      \
     .folder = folder_,                                                                            \
     .train_file = train_,                                                                         \
     .dev_file = dev_,                                                                             \
     .kind = KIND_##kind_,                                                                         \
     .metric = METRIC_##metric_,                                                                   \
     .form = FORM_##form_,                                                                         \
     .fields = fields_,                                                                            \
     .encoder = encoder_,                                                                          \
     .decoder = decoder_,                                                                          \
     .cut = cut_,                                                                                  \
     .labels = labels_,                                                                            \
     .values = values_,                                                                            \
     .K = COUNT(labels_),                                                                          \
     .longest = longest_,                                                                          \
     .lr = lr_,                                                                                    \
     .batch = batch_,                                                                              \
     .epochs = epochs_,                                                                            \
     .warmup = warmup_},
static const Task tasks[] = {
#include "tasks.def"
};
#undef TASK
enum { TASKS = sizeof tasks / sizeof *tasks };

/* Start settings are those of transformers' run_clm: TrainingArguments' own. */
static const Task language = {.name = "lm",
                              .alias = "",
                              .benchmark = "text",
                              .folder = "text",
                              .train_file = "train.txt",
                              .dev_file = "validation.txt",
                              .kind = KIND_LANGUAGE,
                              .metric = METRIC_PERPLEXITY,
                              .longest = 512,
                              .lr = 5e-5,
                              .epochs = 3,
                              .batch = 8};

const Task *tasks_all(int *count)
{
    *count = TASKS;
    return tasks;
}

static int same_name(const char *a, const char *b)
{
    for (;; a++, b++) {
        a += strspn(a, "-_");
        b += strspn(b, "-_");
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) {
            return 0;
        }
        if (!*a) {
            return 1;
        }
    }
}

const Task *task_find(const char *name, Error *error)
{
    const char *names[TASKS + 1] = {[TASKS] = language.name};
    if (same_name(name, language.name)) {
        return &language;
    }
    for (int i = 0; i < TASKS; i++) {
        names[i] = tasks[i].name;
        if (same_name(name, tasks[i].name) ||
            (*tasks[i].alias && same_name(name, tasks[i].alias))) {
            return &tasks[i];
        }
    }
    const char *near = nearest_word(name, names, TASKS + 1);
    error_set(error, EXIT_USAGE, "--task %s: no such task%s%s; train_gpt --help lists them", name,
              near ? "; did you mean " : "", near ? near : "");
    return NULL;
}

const char *metric_name(TaskMetric metric)
{
    static const char *const names[] = {"accuracy", "mcc", "pearson", "perplexity"};
    return names[metric];
}

#define REFUSE(...) error_set(error, EXIT_BAD_DATA, __VA_ARGS__)

static char *text_copy(const char *text, size_t size)
{
    char *copy = memory_alloc(size + 1, 1);
    memcpy(copy, text, size);
    copy[size] = 0;
    return copy;
}

int reader_full(const Reader *reader)
{
    return reader->limit > 0 && reader->dataset->count >= reader->limit;
}

Example *reader_add(Reader *reader, const Line *line, char *id)
{
    Dataset *dataset = reader->dataset;
    if ((size_t)dataset->count == reader->capacity) {
        reader->capacity = reader->capacity ? 2 * reader->capacity : 1024;
        dataset->examples = memory_realloc(dataset->examples, reader->capacity,
                                           sizeof *dataset->examples);
    }
    Example *example = &dataset->examples[dataset->count];
    *example = (Example){.id = id ? id : string_format("%s-%d", reader->split, dataset->count),
                         .line = line->number,
                         .cluster = -1};
    dataset->count++;
    return example;
}

int read_label(const Task *task, Example *example, const Line *line, const char *text, Error *error)
{
    if (task->kind == KIND_REGRESSION) {
        char *end;
        double score = strtod(text, &end);
        if (end == text || *end || !(score >= 0.0 && score <= 5.0)) {
            return REFUSE("%s:%d: the score '%.40s' is not a number from 0 to 5; correct the line",
                          line->path, line->number, text);
        }
        example->target = (float)(score / 5.0);
        example->label = -1;
        return 0;
    }
    for (int k = 0; k < task->K; k++) {
        if (!strcmp(text, task->values[k])) {
            example->label = k;
            return 0;
        }
    }
    return REFUSE("%s:%d: the label '%.40s' is none of %s, %s%s%s; correct the line", line->path,
                  line->number, text, task->values[0], task->values[1], task->K > 2 ? ", " : "",
                  task->K > 2 ? task->values[2] : "");
}

enum { MAX_COLUMNS = 64 };

/* Splits at TAB, nothing else: no quoting, no trimming. Returns the number of columns. */
static int split_tsv(const Line *line, const char *columns[MAX_COLUMNS], size_t sizes[MAX_COLUMNS])
{
    int count = 0;
    const char *at = line->text, *end = line->text + line->size;
    for (; count < MAX_COLUMNS; count++) {
        const char *tab = memchr(at, '\t', (size_t)(end - at));
        columns[count] = at;
        sizes[count] = (size_t)((tab ? tab : end) - at);
        if (!tab) {
            return count + 1;
        }
        at = tab + 1;
    }
    return count + 1;
}

/* Columns of the label and the texts, -1 for none; width is what every line must have. */
typedef struct TsvHeader {
    int column[1 + MAX_TEXTS], width, lines;
} TsvHeader;

static int read_tsv_header(TsvHeader *header, const Task *task, const Line *line, Error *error)
{
    const char *columns[MAX_COLUMNS];
    size_t sizes[MAX_COLUMNS];
    int numbered = isdigit((unsigned char)task->fields[0][0]);
    header->width = split_tsv(line, columns, sizes);
    header->lines = !numbered;
    if (header->width > MAX_COLUMNS) {
        return REFUSE("%s:1: more than %d columns; is this the right file?", line->path,
                      MAX_COLUMNS);
    }
    for (int i = 0; i <= MAX_TEXTS; i++) {
        const char *field = task->fields[i];
        header->column[i] = field && numbered ? atoi(field) : -1;
        for (int c = 0; field && !numbered && c < header->width; c++) {
            if (sizes[c] == strlen(field) && !memcmp(columns[c], field, sizes[c])) {
                header->column[i] = c;
            }
        }
        if (field && (header->column[i] < 0 || header->column[i] >= header->width)) {
            return REFUSE("%s:1: there is no column '%s'; is this the %s file of %s?", line->path,
                          field, task->folder, task->benchmark);
        }
    }
    return 0;
}

static int read_tsv(Reader *reader, const TsvHeader *header, const Line *line, Error *error)
{
    const char *columns[MAX_COLUMNS];
    size_t sizes[MAX_COLUMNS];
    int width = split_tsv(line, columns, sizes);
    if (width != header->width) {
        return REFUSE("%s:%d: %d columns, expected %d; correct the line", line->path, line->number,
                      width, header->width);
    }
    Example *example = reader_add(reader, line, NULL);
    char *label = text_copy(columns[header->column[0]], sizes[header->column[0]]);
    int code = read_label(reader->dataset->task, example, line, label, error);
    free(label);
    for (int i = 0; i < MAX_TEXTS && header->column[i + 1] >= 0; i++) {
        int c = header->column[i + 1];
        example->text[0][i] = text_copy(columns[c], sizes[c]);
    }
    return code;
}

/* The first of data/<benchmark>/<folder>/<file>, data/<folder>/<file>, data/<file> that exists; the
 * first if none does. */
static char *find_file(const Task *task, const char *data, const char *split)
{
    const char *file = strcmp(split, "train") ? task->dev_file : task->train_file;
    char *paths[3] = {string_format("%s/%s/%s/%s", data, task->benchmark, task->folder, file),
                      string_format("%s/%s/%s", data, task->folder, file),
                      string_format("%s/%s", data, file)};
    int found = 0;
    for (int i = 2; i >= 0; i--) {
        found = path_exists(paths[i]) ? i : found;
    }
    char *path = paths[found];
    for (int i = 0; i < 3; i++) {
        if (i != found) {
            free(paths[i]);
        }
    }
    return path;
}

int dataset_exists(const Task *task, const char *data, const char *split)
{
    char *path = find_file(task, data, split);
    int exists = path_exists(path);
    free(path);
    return exists;
}

static int read_lines(Reader *reader, const File *file, Error *error)
{
    Dataset *dataset = reader->dataset;
    const Task *task = dataset->task;
    const char *text = (const char *)file->bytes;
    TsvHeader header = {0};
    size_t at = file->size >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3) ? 3 : 0;
    for (int number = 1; at < file->size; number++) {
        const char *end = memchr(text + at, '\n', file->size - at);
        Line line = {dataset->path, number, text + at,
                     end ? (size_t)(end - text) - at : file->size - at};
        at += line.size + 1;
        line.size -= line.size && line.text[line.size - 1] == '\r';
        size_t valid = utf8_valid_prefix(line.text, line.size);
        if (valid != line.size || memchr(line.text, 0, line.size)) {
            return REFUSE("%s:%d: %s; convert the file to UTF-8 text", dataset->path, number,
                          valid != line.size ? "not UTF-8" : "a NUL byte in the text");
        }
        if (number == 1 && task->form == FORM_TSV && read_tsv_header(&header, task, &line, error)) {
            return error->code;
        }
        if (number <= header.lines) {
            continue;
        }
        if (reader_full(reader)) {
            break;
        }
        if (task->form == FORM_TSV ? read_tsv(reader, &header, &line, error)
                                   : read_json_line(reader, &line, error)) {
            return error->code;
        }
    }
    return dataset->count ? 0 : REFUSE("%s: no examples; get the file again", dataset->path);
}

int dataset_read(Dataset *dataset, const Task *task, const char *data, const char *split, int limit,
                 Error *error)
{
    File file;
    *dataset = (Dataset){.task = task, .path = find_file(task, data, split)};
    int code = file_map(&file, dataset->path, error);
    if (code == EXIT_NO_INPUT) {
        error_set(error, code,
                  "%s: the %s split of %s is missing; put the official files of %s there "
                  "(docs/TASKS.md says where to get them)",
                  dataset->path, split, task->name, task->folder);
    }
    if (!code) {
        sha256_hex(dataset->sha256, file.bytes, file.size);
        Reader reader = {.dataset = dataset, .split = split, .limit = limit};
        code = read_lines(&reader, &file, error);
        hmfree(reader.clusters);
        file_unmap(&file);
    }
    if (code) {
        dataset_free(dataset);
    }
    return code;
}

void dataset_free(Dataset *dataset)
{
    for (int i = 0; i < dataset->count; i++) {
        free(dataset->examples[i].id);
        for (int j = 0; j < MAX_CHOICES; j++) {
            for (int t = 0; t < MAX_TEXTS; t++) {
                free(dataset->examples[i].text[j][t]);
            }
        }
    }
    free(dataset->examples);
    free(dataset->path);
    *dataset = (Dataset){0};
}
