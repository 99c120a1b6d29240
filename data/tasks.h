/* The tasks of GLUE and SuperGLUE: one row of tasks.def each, and their examples read from the
 * official files or from exports of the Hub's data sets (docs/TASKS.md). own.h makes others. */
#ifndef TASKS_H
#define TASKS_H

#include "base.h"
#include "tokenizer.h"

typedef enum TaskKind { KIND_CLASSES, KIND_CHOICE, KIND_REGRESSION, KIND_LANGUAGE } TaskKind;
typedef enum TaskMetric {
    METRIC_ACCURACY,
    METRIC_MCC,
    METRIC_PEARSON,
    METRIC_PERPLEXITY
} TaskMetric;
/* How a row makes examples: texts by the names of their fields, three tasks' own ways, and data of a
 * user's by the columns that own.h chooses. */
typedef enum TaskForm { FORM_FIELDS, FORM_COPA, FORM_MULTIRC, FORM_WSC, FORM_OWN } TaskForm;

enum { MAX_TEXTS = 3 };

/* Task.cut, where it is no text's number. */
enum { CUT_LONGEST = -1, CUT_NONE = -2 };

typedef struct Task {
    const char *name, *alias, *benchmark, *folder;
    const char *train_file, *dev_file;
    TaskKind kind;
    TaskMetric metric;
    TaskForm form;
    const char *fields[1 + MAX_TEXTS]; /* of label and texts: "official|Hub's"; NULL for none */
    const char *encoder;               /* {0} .. {2}: texts; "|" between parts, "||" segments */
    const char *decoder; /* the same for a decoder, one segment; NULL: none is defined */
    int cut;             /* the text whose part may be cut, or CUT_ */
    const char *const *labels; /* [K] names in the order of their ids */
    const char *const *values; /* [K] as written in the official files */
    int K;       /* classes, choices, 1 for regression, 0 for a language model */
    int longest; /* tokens, special ones included */
    double lr, epochs, warmup;
    int batch;
} Task;

typedef struct Example {
    char *id;                 /* "train-17", MultiRC's "p3-q1-a4": the stable name */
    int line;                 /* 1-based, of the file; 0 for a generated one */
    int label;                /* class id */
    int cluster;              /* MultiRC's paragraph; -1: the example stands alone */
    float target;             /* regression: stsb's score / 5, the user's as it is */
    char *(*text)[MAX_TEXTS]; /* [task_sequences]; NULL for no text */
} Example;

typedef struct Dataset {
    const Task *task;
    char *path;        /* file, or "builtin sample" */
    char sha256[65];   /* of the file's bytes: another form of the same examples has another */
    Example *examples; /* [count] */
    int count;
    int left_out;         /* rows with another number of columns */
    char *left_out_lines; /* where the first of them are: "3-4, 17"; NULL for none */
} Dataset;

/* All tasks but lm, and how many. */
const Task *tasks_all(int *count);

/* By name, case and hyphens ignored ("SST-2" is sst2); "lm" is the language model on text of one's
 * own. NULL after setting error (64, with the nearest name). */
const Task *task_find(const char *name, Error *error);
const char *metric_name(TaskMetric metric);

/* Sequences of an example: one a choice, else one. */
int task_sequences(const Task *task);

/* Reads one split, "train" or "validation"; limit > 0 keeps the first examples. data is a folder:
 * its files are looked for in data/<benchmark>/<folder>, data/<folder> and data itself, in the
 * usual spellings. Left out are
 *     of MultiRC's training file, answers without text;
 *     of a TSV, rows with another number of columns, if they are at most one in a thousand lines or
 *     one row that a line break parts; with allow_bad_rows those of any file, however many.
 * Errors: 66 missing, 65 with file and line. */
int dataset_read(Dataset *dataset, const Task *task, const char *data, const char *split, int limit,
                 int allow_bad_rows, Error *error);

/* Whether there is a file of the split, be it Parquet, which dataset_read refuses. */
int dataset_exists(const Task *task, const char *data, const char *split);

/* The built-in stand-in: sentences from small grammars of ours, the same for everyone. Never the
 * task itself. */
void dataset_builtin(Dataset *dataset, const Task *task, const char *split, int limit);
void dataset_free(Dataset *dataset);

/* Keeps the first examples, at most so many. */
void dataset_limit(Dataset *dataset, int limit);

/* Words of the built-in grammars behind the five special tokens, for the tiny model's tokenizer. */
const char *const *builtin_words(int *count);

#endif
