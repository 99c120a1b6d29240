/* The rows of a task's file as objects: tables (TAB as the official files have them, CSV) and JSON
 * objects, one a line. */
#include "lines.h"
#include "task_reader.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_COLUMNS = 64 };

typedef struct Table {
    LineFile file;
    char *names[MAX_COLUMNS]; /* [width], owned */
    char wanted[MAX_COLUMNS]; /* whether a column is a field of the task */
    int width;
    size_t lines;              /* of the file, counted at the first bad row */
    int text_first, text_last; /* whether the first and the last column are texts */
} Table;

/* The fields that say where a table of WiC has its spans, if it has any. */
static const char span_fields[] = "start1|end1|start2|end2";

static int has_column(const LineFile *file, const char *names)
{
    for (int c = 0; c < file->count; c++) {
        if (is_field_name(names, file->fields[c])) {
            return 1;
        }
    }
    return 0;
}

/* The names of the columns that there are, for a message. */
static char *found_names(const Table *table)
{
    char *text = string_copy("");
    for (int c = 0; c < table->width; c++) {
        string_append(&text, "%s'%.40s'", c ? ", " : "", table->names[c]);
    }
    return text;
}

/* Which columns are fields of the task; labels need not be there where they may be hidden. */
static int choose_columns(Table *table, const Reader *reader, Error *error)
{
    const LineFile *file = &table->file;
    const Task *task = reader->dataset->task;
    for (int i = 0; i <= MAX_TEXTS && task->fields[i]; i++) {
        int found = 0;
        for (int c = 0; c < table->width; c++) {
            if (is_field_name(task->fields[i], table->names[c])) {
                found = 1;
                table->wanted[c] = 1;
                table->text_first = table->text_first || (i && c == 0);
                table->text_last = table->text_last || (i && c == table->width - 1);
            }
        }
        if (!found && (i || !reader_may_hide(reader))) {
            char *wanted = field_names(task->fields[i]), *names = found_names(table);
            int code = REFUSE("%s:%zu: there is no column %s; found: %s; is this a file of %s?",
                              file->path, file->line, wanted, names, task->folder);
            free(wanted);
            free(names);
            return code;
        }
    }
    for (int c = 0; c < table->width; c++) {
        table->wanted[c] = table->wanted[c] ||
                           (task->form != FORM_FIELDS && task->form != FORM_TWINS &&
                            (task->form != FORM_WIC || is_field_name(span_fields, table->names[c])));
        for (int d = 0; d < c; d++) {
            if (table->wanted[c] && !strcmp(table->names[c], table->names[d])) {
                return REFUSE("%s:%zu: the column '%.40s' is there twice; correct the file",
                              file->path, file->line, table->names[c]);
            }
        }
    }
    return 0;
}

/* Reads the names of the columns. A TSV is taken byte for byte, but one of the Hub's columns was
 * written by a CSV writer, with quotes. CoLA's has no header. */
static int read_header(Table *table, const Reader *reader, Error *error)
{
    const Task *task = reader->dataset->task;
    LineFile *file = &table->file;
    size_t start = file->at;
    int code = 0;
    if (!lines_next(file, &code, error)) {
        return code;
    }
    if (!file->quoted && (has_column(file, "idx|\"idx\"") || *file->fields[0] == '"')) {
        file->quoted = 1;
        file->at = start;
        file->next = 1;
        if (!lines_next(file, &code, error)) {
            return code;
        }
    }
    int numbered = !file->quoted && task->fields[0] &&
                   isdigit((unsigned char)task->fields[0][0]) &&
                   file->count > atoi(task->fields[1]) && !has_column(file, "label|sentence");
    if (file->count > MAX_COLUMNS) {
        return REFUSE("%s:%zu: more than %d columns; is this the right file?", file->path,
                      file->line, MAX_COLUMNS);
    }
    table->width = file->count;
    for (int c = 0; c < table->width; c++) {
        table->names[c] = numbered ? string_format("%d", c) : string_copy(file->fields[c]);
    }
    if (numbered) {
        file->at = start;
        file->next = 1;
    }
    return choose_columns(table, reader, error);
}

/* Whether the record read last has no text but white space, which is no row. */
static int is_blank(const LineFile *file)
{
    return file->count == 1 && !file->fields[0][strspn(file->fields[0], " \t\r\n")];
}

/* The columns of the next line of a TSV that is not empty, or more than most; 0 at the end. */
static int columns_ahead(const LineFile *file, int most)
{
    const char *bytes = (const char *)file->file.bytes;
    size_t at = file->at, size = file->file.size;
    while (at < size && memchr(" \r\n", bytes[at], 3)) {
        at++;
    }
    int count = at < size;
    for (; at < size && bytes[at] != '\n' && count <= most; at++) {
        count += bytes[at] == '\t';
    }
    return count;
}

/* Whether the record read last is not a whole row. Then *last becomes the last line of the lines
 * that belong to it, which are read, and *joined says whether put together they make one: a text
 * was parted by line breaks. */
static int is_broken(Table *table, size_t *last, int *joined, Error *error)
{
    LineFile *file = &table->file;
    int columns = file->count, width = table->width, pieces = 1, code = 0;
    while (!file->quoted && columns <= width) {
        int next = columns_ahead(file, width - columns + 1); /* more do not belong to it */
        int goes_on = table->text_last && next == 1; /* a text may end in any number of lines */
        if (next == 0 || columns + next - 1 > width || (columns == width && !goes_on) ||
            (next == width && !table->text_first)) {
            break;
        }
        if (!lines_next(file, &code, error)) {
            return code ? -1 : 0;
        }
        if (!is_blank(file)) {
            columns += next - 1;
            pieces++;
        }
    }
    *last = file->line;
    *joined = columns == width;
    return pieces > 1 || columns != width;
}

/* Counts a row of so many columns, and refuses it if it is one too many. */
static int leave_out(Reader *reader, Table *table, size_t first, size_t last, int joined,
                     int columns, Error *error)
{
    enum { SHOWN = 5 };
    Dataset *dataset = reader->dataset;
    const LineFile *file = &table->file;
    for (size_t at = 0; at < file->file.size && dataset->left_out == 0; at++) {
        table->lines += file->file.bytes[at] == '\n';
    }
    int strict = file->quoted || dataset->task->form == FORM_OWN;
    size_t most = strict ? 0 : table->lines / 1000;
    int n = ++dataset->left_out;
    if (!reader->allow_bad_rows && (size_t)n > most && (strict || !joined || n > 1)) {
        return REFUSE("%s:%zu: %d columns, expected %d%s; correct the line, or leave such rows out "
                      "with --allow-bad-rows",
                      file->path, first, columns, table->width,
                      n > 1 ? ", and more than one row in a thousand is so" : "");
    }
    if (n <= SHOWN) {
        string_append(&dataset->left_out_lines, "%s%zu", n > 1 ? ", " : "", first);
        if (last > first) {
            string_append(&dataset->left_out_lines, "-%zu", last);
        }
    } else if (n == SHOWN + 1) {
        string_append(&dataset->left_out_lines, ", ...");
    }
    return 0;
}

static int read_table_row(Reader *reader, Table *table, Error *error)
{
    LineFile *file = &table->file;
    size_t first = file->line, last = 0;
    int columns = file->count, joined = 0;
    if (first > INT_MAX) {
        return REFUSE("%s: more than %d lines", file->path, INT_MAX);
    }
    if (is_blank(file)) {
        return 0;
    }
    json_t *object = json_object();
    for (int c = 0; c < columns && c < table->width; c++) {
        if (table->wanted[c]) {
            json_object_set_new_nocheck(object, table->names[c],
                                        json_string_nocheck(file->fields[c]));
        }
    }
    int broken = is_broken(table, &last, &joined, error);
    int code = broken < 0 ? error->code
               : broken   ? leave_out(reader, table, first, last, joined, columns, error)
                          : read_object(reader, object, &(Line){file->path, (int)first}, error);
    json_decref(object);
    return code;
}

static int read_table(Reader *reader, Error *error)
{
    Dataset *dataset = reader->dataset;
    Table table = {0};
    int code = 0;
    if (lines_open(&table.file, dataset->path, error)) {
        return error->code;
    }
    sha256_hex(dataset->sha256, table.file.file.bytes, table.file.file.size);
    code = read_header(&table, reader, error);
    reader->exported = table.file.quoted;
    while (!code && !reader_full(reader) && lines_next(&table.file, &code, error)) {
        code = read_table_row(reader, &table, error);
    }
    for (int c = 0; c < table.width; c++) {
        free(table.names[c]);
    }
    lines_close(&table.file);
    return code;
}

/* One JSON object a line. */
static int read_json_lines(Reader *reader, const File *file, Error *error)
{
    const char *path = reader->dataset->path, *text = (const char *)file->bytes;
    size_t at = file->size >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3) ? 3 : 0;
    int code = 0;
    for (int number = 1; at < file->size && !code && !reader_full(reader); number++) {
        const char *end = memchr(text + at, '\n', file->size - at), *line = text + at;
        size_t size = (end ? (size_t)(end - text) : file->size) - at, blank = 0,
               valid = utf8_valid_prefix(line, size);
        at += size + 1;
        if (valid != size || memchr(line, 0, size)) {
            return REFUSE("%s:%d: %s; convert the file to UTF-8 text", path, number,
                          valid != size ? "not UTF-8" : "a NUL byte in the text");
        }
        while (blank < size && memchr(" \t\r", line[blank], 3)) {
            blank++;
        }
        if (blank == size) {
            continue;
        }
        if (number == INT_MAX) {
            return REFUSE("%s: more than %d lines", path, INT_MAX);
        }
        json_error_t problem;
        json_t *object = json_loadb(line, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);
        if (!json_is_object(object)) {
            code = REFUSE("%s:%d: not a JSON object: %s; each line must be one (pandas: "
                          "to_json(..., orient=\"records\", lines=True))",
                          path, number,
                          json_is_array(object) || line[blank] == '[' ? "an array"
                          : object                                    ? "another value"
                                                                      : problem.text);
        } else {
            code = read_object(reader, object, &(Line){path, number}, error);
        }
        json_decref(object);
    }
    return code;
}

static int ends_with(const char *path, const char *ending)
{
    size_t n = strlen(path), m = strlen(ending);
    return n >= m && !strcasecmp(path + n - m, ending);
}

int read_rows(Reader *reader, Error *error)
{
    Dataset *dataset = reader->dataset;
    const char *path = dataset->path;
    File file;
    if (ends_with(path, ".parquet")) {
        char *to = string_format("%.*s.jsonl", (int)(strlen(path) - strlen(".parquet")), path),
             *from_word = shell_quote(path), *to_word = shell_quote(to);
        (void)REFUSE("%s: Parquet is not read; convert it with: python3 -c 'import pandas, sys; "
                     "pandas.read_parquet(sys.argv[1]).to_json(sys.argv[2], orient=\"records\", "
                     "lines=True)' %s %s",
                     path, from_word, to_word);
        free(to);
        free(from_word);
        free(to_word);
        return error->code;
    }
    if (ends_with(path, ".tsv") || ends_with(path, ".csv")) {
        return read_table(reader, error);
    }
    if (file_map(&file, path, error)) {
        return error->code;
    }
    sha256_hex(dataset->sha256, file.bytes, file.size);
    reader->exported = 1;
    int code = read_json_lines(reader, &file, error);
    file_unmap(&file);
    return code;
}
