/* The tasks of GLUE and SuperGLUE: one row of tasks.def each, and their examples read from the
 * official files of splits.def or from exports of the Hub's data sets (docs/TASKS.md). own.h makes
 * others. */
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
/* How a row makes examples: texts by the names of their fields, where two rows each may be twins;
 * four tasks' own ways, and data of a user's by the columns that own.h chooses. */
typedef enum TaskForm {
    FORM_FIELDS,
    FORM_TWINS,
    FORM_COPA,
    FORM_MULTIRC,
    FORM_WIC,
    FORM_WSC,
    FORM_OWN
} TaskForm;

enum { MAX_TEXTS = 3, MAX_COUNTED = 3, SPANS = 2 };

/* Task.cut, where it is no text's number. */
enum { CUT_LONGEST = -1, CUT_NONE = -2 };

typedef struct Task {
    const char *name, *alias, *benchmark, *folder;
    const char *trained; /* of a diagnostic: the task whose runs predict it; else NULL */
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
} Task;

/* An official file. */
typedef struct Split {
    const char *task, *name; /* name: "validation" */
    const char *files;       /* its names, parted by "|" */
    int examples, labels[MAX_COUNTED];
} Split;

typedef struct Example {
    char *id;                 /* "train-17", MultiRC's "p3-q1-a4": the stable name */
    int line;                 /* 1-based, of the file; 0 for a generated one */
    int label;                /* class id; -1: hidden, or a regression */
    int cluster;              /* MultiRC's paragraph, a pair of twins; -1: it stands alone */
    float target;             /* regression: stsb's score / 5, the user's as it is; NaN: hidden */
    char *(*text)[MAX_TEXTS]; /* [task_sequences]; NULL for no text */
    int span[SPANS][2];       /* bytes [begin, end) of its text that task_span names; 0, 0: none */
} Example;

typedef struct Dataset {
    const Task *task;
    const char *split; /* "validation"; the text is not the data set's */
    char *path;        /* file, or "builtin sample" */
    char sha256[65];   /* of the file's bytes: another form of the same examples has another */
    Example *examples; /* [count] */
    int count;
    int hidden;           /* no example has a label */
    int left_out;         /* rows with another number of columns */
    char *left_out_lines; /* where the first of them are: "3-4, 17"; NULL for none */
    char *unlike; /* how many examples, of which labels, where the official file has others */
} Dataset;

/* All tasks but lm and the diagnostics, and how many. */
const Task *tasks_all(int *count);

/* By name, case and hyphens ignored ("SST-2" is sst2); "lm" is the language model on text of one's
 * own. NULL after setting error (64, with the nearest name), for a diagnostic too: it has nothing to
 * train on. */
const Task *task_find(const char *name, Error *error);

/* The same, and diagnostics; NULL for another name. */
const Task *task_known(const char *name);

/* What a run of the task predicts beside its dev set: the splits behind its second one, then its
 * diagnostics. NULL for i behind the last. */
const Split *task_further(const Task *task, int i);

/* The official file of a split, NULL for none. */
const Split *split_find(const Task *task, const char *name);

const char *metric_name(TaskMetric metric);

/* The text that has span s of an example (WiC's word in both sentences, what WSC asks about); -1 in a
 * task without spans. */
int task_span(const Task *task, int s);

/* Sequences of an example: one a choice, else one. */
int task_sequences(const Task *task);

/* Reads one split of splits.def; limit > 0 keeps the first examples. Labels of a split "test" may be
 * hidden, all of them: -1, or no such field. data is a folder:
 * its files are looked for in data/<benchmark>/<folder>, data/<folder> and data itself (there a
 * diagnostic by its official name alone), in the usual spellings. Left out are
 *     of MultiRC's training file, answers without text;
 *     of a TSV, rows with another number of columns, if they are at most one in a thousand lines or
 *     one row that a line break parts; with allow_bad_rows those of any file, however many.
 * So many threads read; what is read and what is refused do not depend on them.
 * Errors: 66 missing, 65 with file and line, 71, 74, 77 a folder that cannot be listed, a file that
 * cannot be read. */
int dataset_read(Dataset *dataset, const Task *task, const char *data, const char *split, int limit,
                 int allow_bad_rows, int threads, Error *error);

/* Whether there is a file of the split, be it Parquet or in a folder that cannot be listed, which
 * dataset_read refuses. */
int dataset_exists(const Task *task, const char *data, const char *split);

/* The built-in stand-in: sentences from small grammars of ours, the same for everyone. Never the
 * task itself. */
void dataset_builtin(Dataset *dataset, const Task *task, const char *split, int limit);
void dataset_free(Dataset *dataset);

/* Moves half of the examples, rounded down, into another data set: every second one in the order of
 * their labels, then of the XXH64 (seed 0) of their ids, so that the halves are alike. A cluster
 * stays whole: every second one in the order of the XXH64 of "p<cluster>". Both halves keep the
 * order of the file. Returns -1 if there is nothing to halve. */
int dataset_halve(Dataset *dataset, Dataset *half);

/* Keeps the first examples, at most so many. */
void dataset_limit(Dataset *dataset, int limit);

/* Words of the built-in grammars behind the five special tokens, for the tiny model's tokenizer. */
const char *const *builtin_words(int *count);

#endif
