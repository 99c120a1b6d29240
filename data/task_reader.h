/* Inside of the task readers: where a split's file is, and examples from its rows. Only tasks.c and
 * task_*.c use it. */
#ifndef TASK_READER_H
#define TASK_READER_H

#include "json.h"
#include "tasks.h"

#include <stb/stb_ds.h>

/* Where a row begins. */
typedef struct Line {
    const char *path;
    int number; /* 1-based */
} Line;

typedef enum LabelForm {
    LABELS_UNSEEN,
    LABELS_NAMES,
    LABELS_NUMBERS,
    LABELS_TRUTH,
    LABELS_HIDDEN
} LabelForm;

typedef struct Reader {
    Dataset *dataset;
    struct Own *own; /* of FORM_OWN */
    const char *split;
    int limit; /* examples; 0: all */
    int allow_bad_rows;
    int threads; /* that parse */
    size_t capacity;
    LabelForm labels; /* how the labels of the file are written */
    int exported;     /* not the official form: scores went through float32 */
    struct {
        int key;
        char value;
    } * clusters; /* stb_ds map: those that were met */
    /* MultiRC's export: numbers of the row before, and the places of its question and answer */
    int paragraph, question, answer, question_place, answer_place;
} Reader;

/* Whether the names are equal but for case, '-', '_' and '.'. */
int same_name(const char *a, const char *b);

/* The path of the split's file, or NULL after setting error (66 with the places where it was looked
 * for and what lies there). The caller frees it. */
char *task_file_find(const Task *task, const char *data, const char *split, Error *error);

/* Reads the rows of dataset->path and its digest. Errors: those of file_map, 65 with file and
 * line. */
int read_rows(Reader *reader, Error *error);

/* The same; a file without examples is refused. On failure the data set is empty. */
int read_examples(Reader *reader, Error *error);

/* Whether the limit is reached; whether labels may be hidden: of a test split. */
int reader_full(const Reader *reader);
int reader_may_hide(const Reader *reader);

/* Appends an example and takes over its id; NULL: "<split>-<index>". The pointer is valid until the
 * next call. */
Example *reader_add(Reader *reader, const Line *line, char *id);

/* Whether a field may have this name; names are parted by "|". */
int is_field_name(const char *names, const char *name);

/* The same names for a message, to be freed: "'gold_label' or 'label'". */
char *field_names(const char *names);

/* A text, to be freed; a whole number from 0 on, which may be written as text. Errors: 65 with the
 * fields that there are. */
int read_text(char **text, const json_t *object, const char *field, const Line *line, Error *error);
int read_index(int *index, const json_t *object, const char *field, const Line *line, Error *error);

/* The text of a text, a number or a truth value, in memory of the value or in room; NULL: another
 * kind of value. */
const char *scalar_text(const json_t *value, char room[40]);

/* A whole number, "17", "17.0" or "-1". Returns 0 or -1. */
int whole_number(long *number, const char *text);

/* All labels of a file have one form. Errors: 65. */
int check_label_form(Reader *reader, LabelForm form, const char *text, const Line *line,
                     Error *error);

/* The label of an object, or the target of a regression. Errors: 65 unknown, hidden where it may not
 * be, or in another form than the labels before it. */
int read_label(Reader *reader, Example *example, const json_t *object, const Line *line,
               Error *error);

/* The example of an object by the columns of data of one's own, which the first one decides. Errors:
 * 64 the columns are not clear, 65 with file and line. */
int read_own(Reader *reader, const json_t *object, const Line *line, Error *error);

/* The examples of an object, by the task's form. Errors: 65 with file and line. */
int read_object(Reader *reader, const json_t *object, const Line *line, Error *error);

#endif
