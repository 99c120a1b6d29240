/* Submissions. GLUE: "index TAB prediction" with that header, rows counted from 0. SuperGLUE: one
 * JSON object an example, {"idx": 0, "label": ...}, of MultiRC one a paragraph with its questions
 * and their answers. Labels are as the official files write them; the forms are those that jiant,
 * the benchmarks' own toolkit, writes (2.2, tasks/core.py and tasks/lib). idx is not in prediction
 * files: in the official files it counts the examples, of MultiRC questions and answers each through
 * the whole file. */
#include "submission.h"
#include "tasks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A file to write. */
typedef struct Entry {
    const Preds *run;
    const Task *task;
    char *name;    /* "MNLI-mm.tsv" */
    int *class_of; /* [K] of the run's classes: the task's */
} Entry;

static int is_test(const char *split)
{
    return !strncmp(split, "test", 4);
}

static int is_glue(const Task *task)
{
    return !strcmp(task->benchmark, "glue");
}

static char *name_of(const Task *task, const char *split)
{
    return string_format("%s%s%s", task->folder,
                         !strcmp(split, "test_matched")      ? "-m"
                         : !strcmp(split, "test_mismatched") ? "-mm"
                                                             : "",
                         is_glue(task) ? ".tsv" : ".jsonl");
}

/* As the benchmark writes a class: as its files do, but of WSC with a capital. */
static const char *label_of(const Entry *entry, size_t i)
{
    int kind = entry->class_of[entry->run->pred[i]];
    return strcmp(entry->task->name, "wsc") ? entry->task->values[kind] : entry->task->labels[kind];
}

/* --- what fits --- */

/* The task's classes by their names. */
static int match_classes(Entry *entry, Error *error)
{
    const Preds *run = entry->run;
    const Task *task = entry->task;
    json_t *names = json_loads(preds_meta(run, "label_names"), 0, NULL); /* checked when read */
    entry->class_of = memory_calloc((size_t)run->K, sizeof(int));
    int found = run->K == task->K;
    for (int k = 0; k < run->K && found && !run->regression; k++) {
        const char *name = json_string_value(json_array_get(names, (size_t)k));
        int kind = 0;
        while (kind < task->K && strcmp(task->labels[kind], name)) {
            kind++;
        }
        found = kind < task->K;
        entry->class_of[k] = kind;
    }
    json_decref(names);
    return found && run->regression == (task->kind == KIND_REGRESSION)
               ? 0
               : REFUSE("%s: its classes %s are not those of %s; predict with a model of the task",
                        run->path, preds_meta(run, "label_names"), task->folder);
}

/* The numbers of an id, "test-17" with the name of the split, or of MultiRC "p3-q1-a4". Returns -1
 * for another one. */
static int id_numbers(int numbers[3], const char *id, const Entry *entry)
{
    const char *split = preds_meta(entry->run, "split");
    size_t size = strlen(split);
    int end = 0, found;
    if (entry->task->form == FORM_MULTIRC) {
        found = sscanf(id, "p%9d-q%9d-a%9d%n", &numbers[0], &numbers[1], &numbers[2], &end) == 3;
        return found && !id[end] ? 0 : -1;
    }
    found = !strncmp(id, split, size) && sscanf(id + size, "-%9d%n", &numbers[0], &end) == 1;
    return found && !id[size + (size_t)end] ? 0 : -1;
}

/* Whether the run predicted only the first examples of its file. */
static int was_cut(const Preds *run)
{
    json_t *hparams = json_loads(preds_meta(run, "hparams"), 0, NULL);
    json_int_t most = json_integer_value(json_object_get(hparams, "max_eval"));
    json_decref(hparams);
    return most > 0 && (size_t)most == run->N;
}

/* Whether the examples are those of the official file, in its order, and have a prediction. How many there
 * are is known from elsewhere: another number is said. */
static int check_examples(const Entry *entry, Error *error)
{
    const Preds *run = entry->run;
    const Split *split = split_find(entry->task, preds_meta(run, "split"));
    int multirc = entry->task->form == FORM_MULTIRC, last[3] = {-1, -1, -1};
    if (run->N != (size_t)split->examples) {
        if (was_cut(run)) {
            return REFUSE("%s: %zu examples, the official test set of %s has %d, and all are "
                          "needed; predict the official file, without --max-eval",
                          run->path, run->N, entry->task->folder, split->examples);
        }
        fprintf(stderr,
                "WARNING: %s: %zu examples, the official test set of %s is known to have %d; the "
                "server takes all of its own\n",
                run->path, run->N, entry->task->folder, split->examples);
    }
    for (size_t i = 0; i < run->N; i++) {
        int at[3] = {0, 0, 0}, known = run->id && !id_numbers(at, run->id[i], entry);
        /* the next answer, or the first of the next question, or of the next paragraph */
        int next = multirc ? (at[0] == last[0] && at[1] == last[1] && at[2] == last[2] + 1) ||
                                 (at[0] == last[0] && at[1] == last[1] + 1 && !at[2]) ||
                                 (at[0] > last[0] && !at[1] && !at[2])
                           : at[0] == last[0] + 1;
        if (!known || !next) {
            return REFUSE(
                "%s: example %zu is '%s', not the one of that place in the official file; "
                "predict that as it is",
                run->path, i, run->id ? run->id[i] : "?");
        }
        if (run->regression ? !isfinite(run->value[i]) : run->pred[i] < 0) {
            return REFUSE("%s: example %s has no prediction", run->path, run->id[i]);
        }
        memcpy(last, at, sizeof last);
    }
    return 0;
}

/* --- writing --- */

static void put_tsv(FILE *out, const Entry *entry)
{
    fputs("index\tprediction\n", out);
    for (size_t i = 0; i < entry->run->N; i++) {
        if (entry->run->regression) { /* targets are scores / 5, from 0 to 5 */
            fprintf(out, "%zu\t%.3f\n", i, fmin(5, fmax(0, 5 * (double)entry->run->value[i])));
        } else {
            fprintf(out, "%zu\t%s\n", i, label_of(entry, i));
        }
    }
}

/* Labels that are numbers in the official files are numbers. */
static void put_label(FILE *out, size_t index, const char *label)
{
    int number = strspn(label, "0123456789") == strlen(label);
    fprintf(out, number ? "{\"idx\": %zu, \"label\": %s}" : "{\"idx\": %zu, \"label\": \"%s\"}",
            index, label);
}

static void put_jsonl(FILE *out, const Entry *entry)
{
    for (size_t i = 0; i < entry->run->N; i++) {
        put_label(out, i, label_of(entry, i));
        fputc('\n', out);
    }
}

static void put_multirc(FILE *out, const Entry *entry)
{
    const Preds *run = entry->run;
    size_t questions = 0;
    for (size_t i = 0; i < run->N; i++) {
        int at[3], last[3] = {-1, -1, -1};
        (void)id_numbers(at, run->id[i], entry);
        if (i) {
            (void)id_numbers(last, run->id[i - 1], entry);
        }
        if (at[0] != last[0]) {
            fprintf(out, "%s{\"idx\": %d, \"passage\": {\"questions\": [", i ? "]}]}}\n" : "",
                    at[0]);
        }
        if (at[0] != last[0] || at[1] != last[1]) {
            fprintf(out, "%s{\"idx\": %zu, \"answers\": [", at[0] != last[0] ? "" : "]}, ",
                    questions++);
        } else {
            fputs(", ", out);
        }
        put_label(out, i, label_of(entry, i));
    }
    fputs("]}]}}\n", out);
}

static int write_entry(const Entry *entry, const char *folder, FILE *out, Error *error)
{
    char *place = string_format("%s/%s", folder, entry->task->benchmark),
         *path = string_format("%s/%s", place, entry->name);
    Writer writer;
    int code = folder_make(folder, error) || folder_make(place, error) ||
                       writer_open(&writer, path, error)
                   ? error->code
                   : 0;
    if (!code) {
        (is_glue(entry->task)                ? put_tsv
         : entry->task->form == FORM_MULTIRC ? put_multirc
                                             : put_jsonl)(writer.stream, entry);
        code = writer_commit(&writer, error);
    }
    if (!code) {
        fprintf(out, "wrote: %s (%zu examples, from %s)\n", path, entry->run->N, entry->run->path);
    }
    free(place);
    free(path);
    return code;
}

/* --- all of them --- */

/* The files of a benchmark that are not there yet. */
static void show_missing(FILE *out, const char *benchmark, const char *folder)
{
    int known, glue = !strcmp(benchmark, "glue");
    const Task *tasks = tasks_all(&known);
    const Split *split;
    char *list = string_copy("");
    for (int t = 0; t < known; t++) {
        for (int i = 0;
             !strcmp(tasks[t].benchmark, benchmark) && (split = task_further(&tasks[t], i)); i++) {
            const Task *task = task_known(split->task);
            char *name = name_of(task, split->name),
                 *path = string_format("%s/%s/%s", folder, benchmark, name);
            if (is_test(split->name) && !path_exists(path)) {
                string_append(&list, "%s%s", *list ? ", " : "", name);
            }
            free(name);
            free(path);
        }
    }
    if (!glue) {
        string_append(&list, "%sReCoRD.jsonl (no task here)", *list ? ", " : "");
    }
    if (*list) {
        fprintf(out, "missing for %s: %s\n", benchmark, list);
    }
    char *place = string_format("%s/%s", folder, benchmark), *quoted = shell_quote(place);
    fprintf(out, "next: zip -j %s.zip %s/*.%s\n", benchmark, quoted, glue ? "tsv" : "jsonl");
    free(place);
    free(quoted);
    free(list);
}

static int add_entry(Entry *entries, size_t *count, const Preds *run, Error *error)
{
    const char *name = preds_meta(run, "split");
    const Task *task = task_known(preds_meta(run, "task"));
    if (!task || strcmp(task->benchmark, preds_meta(run, "benchmark")) || !is_test(name) ||
        !split_find(task, name)) {
        return 0;
    }
    Entry *entry = &entries[*count];
    for (size_t i = 0; i < *count; i++) {
        if (entries[i].task == task && !strcmp(preds_meta(entries[i].run, "split"), name)) {
            return error_set(error, EXIT_USAGE,
                             "--submission: %s and %s are both of %s, %s; name one of them",
                             entries[i].run->path, run->path, task->folder, name);
        }
    }
    *entry = (Entry){.run = run, .task = task, .name = name_of(task, name)};
    ++*count;
    return match_classes(entry, error) || check_examples(entry, error) ? error->code : 0;
}

int submission_write(const char *folder, const Preds *runs, size_t count, FILE *out, Error *error)
{
    static const char *const benchmarks[] = {"glue", "superglue"};
    Entry *entries = memory_calloc(count + 1, sizeof *entries);
    size_t made = 0;
    int code = 0;
    for (size_t i = 0; i < count && !code; i++) {
        code = add_entry(entries, &made, &runs[i], error);
    }
    if (!code && !made) {
        code = error_set(error, EXIT_USAGE,
                         "--submission: none of the files is of a test split of GLUE or SuperGLUE; "
                         "train with --predict-test");
    }
    for (size_t i = 0; i < made && !code; i++) {
        code = write_entry(&entries[i], folder, out, error);
    }
    for (int b = 0; b < 2 && !code; b++) {
        int any = 0;
        for (size_t i = 0; i < made; i++) {
            any = any || !strcmp(entries[i].task->benchmark, benchmarks[b]);
        }
        if (any) {
            show_missing(out, benchmarks[b], folder);
        }
    }
    if (!code && made < count) {
        fprintf(out, "left out: %zu file%s of no test split\n", count - made,
                count - made == 1 ? "" : "s");
    }
    for (size_t i = 0; i < made; i++) {
        free(entries[i].name);
        free(entries[i].class_of);
    }
    free(entries);
    return code;
}
