/* Delimited text: CSV (RFC 4180) for names ending in .csv, else TAB without quoting. */
#ifndef LINES_H
#define LINES_H

#include "base.h"

typedef struct LineFile {
    const char *path;
    File file;
    size_t at;          /* behind the record read last */
    size_t begin, line; /* of that record: its byte, its line from 1 on */
    size_t next;        /* the line behind it */
    char separator;
    int quoted;    /* fields may stand in quotes */
    char *text;    /* [room] the fields of the record, each ended by 0 */
    size_t room;
    char **fields; /* [count] */
    int count, capacity;
} LineFile;

/* Errors: those of file_map. */
int lines_open(LineFile *file, const char *path, Error *error);
void lines_close(LineFile *file);

/* The same file from here on, up to its byte `size`, for another thread; `line` is the number of the
 * first line. The whole one must stay open. */
void lines_part(LineFile *part, const LineFile *whole, size_t at, size_t size, size_t line);
void lines_part_close(LineFile *part);

/* Reads the next record that is not empty ("" alone is a field): 1, or 0 at the end of the file or
 * after an error (65 in *code: not UTF-8, a NUL, a quote that does not end, text
 * behind one that does). */
int lines_next(LineFile *file, int *code, Error *error);

/* The field of the current record with this text, or -1. */
int lines_column(const LineFile *file, const char *name);

/* Errors: 65, the record has more or fewer fields than the first line: then what stands under which
 * name is not known. */
int lines_check(const LineFile *file, int width, Error *error);

/* A whole field as a number; -1 if it is none. "nan" and "inf" are numbers. */
int number_field(double *value, const char *text);

#endif
