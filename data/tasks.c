/* The table of the tasks, and data sets as a whole. */
#include "task_reader.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define FIELDS(...)                                                                                \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define LABELS(...)                                                                                \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define VALUES(...) LABELS(__VA_ARGS__)
#define TASK(name_, alias_, trained_, benchmark_, folder_, kind_, metric_, form_, fields_,         \
             encoder_, decoder_, cut_, labels_, values_, longest_)                                 \
    {.name = #name_,                                                                               \
     .alias = alias_,                                                                              \
     .trained = trained_,                                                                          \
     .benchmark = benchmark_,                                                                      \
     .folder = folder_,                                                                            \
     .kind = KIND_##kind_,                                                                         \
     .metric = METRIC_##metric_,                                                                   \
     .form = FORM_##form_,                                                                         \
     .fields = fields_,                                                                            \
     .encoder = encoder_,                                                                          \
     .decoder = decoder_,                                                                          \
     .cut = cut_,                                                                                  \
     .labels = labels_,                                                                            \
     .values = values_,                                                                            \
     .K = (int)(sizeof(labels_) / sizeof(const char *)),                                           \
     .longest = longest_},
static const Task tasks[] = {
#include "tasks.def"
};
#undef TASK
#define COUNTS(...) FIELDS(__VA_ARGS__)
#define SPLIT(task_, name_, files_, examples_, counts_)                                            \
    {.task = #task_, .name = name_, .files = files_, .examples = examples_, .labels = counts_},
static const Split splits[] = {
#include "splits.def"
};
#undef SPLIT
enum { TASKS = sizeof tasks / sizeof *tasks, SPLITS = sizeof splits / sizeof *splits };

static const Task language = {.name = "lm",
                              .alias = "",
                              .benchmark = "text",
                              .folder = "text",
                              .kind = KIND_LANGUAGE,
                              .metric = METRIC_PERPLEXITY,
                              .encoder = "{0}",
                              .cut = CUT_NONE,
                              .longest = 512};

const Task *tasks_all(int *count)
{
    for (*count = 0; *count < TASKS && !tasks[*count].trained; ++*count) {
    }
    return tasks;
}

int same_name(const char *a, const char *b)
{
    for (;; a++, b++) {
        a += strspn(a, "-_.");
        b += strspn(b, "-_.");
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) {
            return 0;
        }
        if (!*a) {
            return 1;
        }
    }
}

const Task *task_known(const char *name)
{
    if (same_name(name, language.name)) {
        return &language;
    }
    for (int i = 0; i < TASKS; i++) {
        const Task *task = &tasks[i];
        if (same_name(name, task->name) || (*task->alias && same_name(name, task->alias))) {
            return task;
        }
    }
    return NULL;
}

const Split *split_find(const Task *task, const char *name)
{
    for (int i = 0; i < SPLITS; i++) {
        if (!strcmp(splits[i].task, task->name) && !strcmp(splits[i].name, name)) {
            return &splits[i];
        }
    }
    return NULL;
}

const Split *task_further(const Task *task, int i)
{
    for (int s = 0; s < SPLITS; s++) {
        const Task *of = task_known(splits[s].task);
        int own = of == task && strcmp(splits[s].name, "train") &&
                  strcmp(splits[s].name, "validation");
        if ((own || (of->trained && !strcmp(of->trained, task->name))) && i-- == 0) {
            return &splits[s];
        }
    }
    return NULL;
}

const Task *task_find(const char *name, Error *error)
{
    const Task *task = task_known(name);
    const char *names[TASKS + 1];
    int count;
    if (task && task->trained) {
        error_set(error, EXIT_USAGE,
                  "--task %s: %s has no training examples; --task %s predicts it too, where its "
                  "file is in the data folder, and --epochs 0 does so with a model that is trained",
                  name, task->folder, task->trained);
        return NULL;
    }
    if (task) {
        return task;
    }
    tasks_all(&count);
    for (int i = 0; i < count; i++) {
        names[i] = tasks[i].name;
    }
    names[count] = language.name;
    const char *near = nearest_word(name, names, count + 1);
    error_set(error, EXIT_USAGE, "--task %s: no such task%s%s; train_gpt --help lists them%s", name,
              near ? "; did you mean " : "", near ? near : "",
              near ? "" : "; data of your own need --train-file and --dev-file");
    return NULL;
}

const char *metric_name(TaskMetric metric)
{
    static const char *const names[] = {"accuracy", "mcc", "pearson", "perplexity"};
    return names[metric];
}

int task_span(const Task *task, int s)
{
    return task->form == FORM_WIC ? 1 + s : task->form == FORM_WSC ? 0 : -1;
}

int task_sequences(const Task *task)
{
    return task->kind == KIND_CHOICE ? task->K : 1;
}

int reader_full(const Reader *reader)
{
    return reader->limit > 0 && reader->dataset->count >= reader->limit;
}

int reader_may_hide(const Reader *reader)
{
    return !strncmp(reader->dataset->split, "test", 4);
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
    *example = (Example){
        .id = id ? id : string_format("%s-%d", reader->split, dataset->count),
        .line = line->number,
        .cluster = -1,
        .text = memory_calloc((size_t)task_sequences(dataset->task), sizeof *example->text)};
    dataset->count++;
    return example;
}

/* What a data set that was read whole has other than the official file. Rows that were left out are
 * counted or not in what is known of them. */
static char *unlike_official(const Dataset *dataset, const Split *official)
{
    const Task *task = dataset->task;
    int labels[MAX_COUNTED] = {0}, known = official->labels[0] > 0 && !dataset->hidden,
        same = dataset->count == official->examples ||
               dataset->count + dataset->left_out == official->examples;
    for (int i = 0; known && i < dataset->count; i++) {
        labels[dataset->examples[i].label]++;
    }
    for (int k = 0; known && k < task->K && dataset->count == official->examples; k++) {
        same = same && labels[k] == official->labels[k];
    }
    if (same) {
        return NULL;
    }
    char *text = string_format("%d examples", dataset->count);
    for (int k = 0; known && k < task->K; k++) {
        string_append(&text, "%s%d %s", k ? ", " : " (", labels[k], task->labels[k]);
    }
    string_append(&text, "%s; the official file has %d", known ? ")" : "", official->examples);
    for (int k = 0; known && k < task->K; k++) {
        string_append(&text, "%s%d", k ? ", " : " (", official->labels[k]);
    }
    string_append(&text, "%s", known ? ")" : "");
    return text;
}

int dataset_read(Dataset *dataset, const Task *task, const char *data, const char *split, int limit,
                 int allow_bad_rows, int threads, Error *error)
{
    char *path = task_file_find(task, data, split, error);
    *dataset = (Dataset){.task = task, .split = split, .path = path};
    if (!path) {
        return error->code;
    }
    Reader reader = {.dataset = dataset,
                     .split = split,
                     .limit = limit,
                     .allow_bad_rows = allow_bad_rows,
                     .threads = threads,
                     .paragraph = -1,
                     .question = -1,
                     .answer = -1};
    int code = read_examples(&reader, error);
    hmfree(reader.clusters);
    if (!code && !reader_full(&reader)) {
        dataset->unlike = unlike_official(dataset, split_find(task, split));
    }
    return code;
}

int read_examples(Reader *reader, Error *error)
{
    Dataset *dataset = reader->dataset;
    int code = read_rows(reader, error);
    if (!code && !dataset->count) {
        code = REFUSE("%s: no examples; %s", dataset->path,
                      dataset->task->form == FORM_OWN ? "is it the right file? Lines end with LF"
                                                      : "get the file again");
    }
    dataset->hidden = reader->labels == LABELS_HIDDEN;
    if (code) {
        dataset_free(dataset);
    }
    return code;
}

/* What is in one half as a whole: an example, or a cluster with its label -1. */
typedef struct Unit {
    int label, index;
    uint64_t key;
} Unit;

static Unit unit_of(const Dataset *dataset, int i)
{
    const Example *example = &dataset->examples[i];
    char cluster[16];
    snprintf(cluster, sizeof cluster, "p%d", example->cluster);
    const char *text = example->cluster < 0 ? example->id : cluster;
    return (Unit){.label = example->cluster < 0 ? example->label : -1,
                  .index = i,
                  .key = XXH64(text, strlen(text), 0)};
}

static int by_label_and_key(const void *a, const void *b)
{
    const Unit *x = a, *y = b;
    return x->label != y->label ? x->label - y->label : (x->key > y->key) - (x->key < y->key);
}

int dataset_halve(Dataset *dataset, Dataset *half)
{
    int count = dataset->count, place = 0, kept = 0;
    Unit *units = memory_alloc((size_t)count, sizeof *units);
    char *selects = memory_calloc((size_t)count, 1);
    for (int i = 0; i < count; i++) {
        units[i] = unit_of(dataset, i);
    }
    qsort(units, (size_t)count, sizeof *units, by_label_and_key);
    for (int i = 0; i < count; i++) {
        place += i && by_label_and_key(&units[i - 1], &units[i]) != 0;
        selects[units[i].index] = place % 2 == 1;
    }
    free(units);
    if (!place) {
        free(selects);
        return -1;
    }
    *half = (Dataset){.task = dataset->task,
                      .split = dataset->split,
                      .path = string_copy(dataset->path),
                      .hidden = dataset->hidden};
    memcpy(half->sha256, dataset->sha256, sizeof half->sha256);
    half->examples = memory_calloc((size_t)count, sizeof *half->examples);
    for (int i = 0; i < count; i++) {
        if (selects[i]) {
            half->examples[half->count++] = dataset->examples[i];
        } else {
            dataset->examples[kept++] = dataset->examples[i];
        }
    }
    dataset->count = kept;
    free(selects);
    return 0;
}

void dataset_limit(Dataset *dataset, int limit)
{
    while (dataset->count > limit) {
        Example *example = &dataset->examples[--dataset->count];
        free(example->id);
        for (int j = 0; example->text && j < task_sequences(dataset->task); j++) {
            for (int t = 0; t < MAX_TEXTS; t++) {
                free(example->text[j][t]);
            }
        }
        free(example->text);
    }
}

void dataset_free(Dataset *dataset)
{
    dataset_limit(dataset, 0);
    free(dataset->examples);
    free(dataset->path);
    free(dataset->left_out_lines);
    free(dataset->unlike);
    *dataset = (Dataset){0};
}
