/* Inside of the task readers: examples from one line of a file. Only tasks.c and task_objects.c use
 * it. */
#ifndef TASK_READER_H
#define TASK_READER_H

#include "tasks.h"

#include <stb/stb_ds.h>

/* One line of a data file, valid UTF-8 without NUL. */
typedef struct Line {
    const char *path;
    int number; /* 1-based */
    const char *text;
    size_t size;
} Line;

typedef struct Reader {
    Dataset *dataset;
    const char *split;
    int limit; /* examples; 0: all */
    size_t capacity;
    struct {
        int key;
        char value;
    } * clusters; /* stb_ds map: those that were met */
} Reader;

/* Whether the limit is reached. */
int reader_full(const Reader *reader);

/* Appends an example and takes over its id; NULL: "<split>-<index>". The pointer is valid until the
 * next call. */
Example *reader_add(Reader *reader, const Line *line, char *id);

/* The label, or the score, as written in the file. Errors: 65. */
int read_label(const Task *task, Example *example, const Line *line, const char *text,
               Error *error);

/* The examples of a JSON object, by the task's form. Errors: 65 with file and line. */
int read_json_line(Reader *reader, const Line *line, Error *error);

#endif
