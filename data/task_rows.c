/* The rows of a task's file as objects: tables (TAB as the official files have them, CSV) and JSON
 * objects, one a line. Blocks of lines are parsed by all threads; examples are made of their rows in
 * the order of the file, so that no example and no refusal depends on the threads. */
#include "lines.h"
#include "task_reader.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_COLUMNS = 64, LEAST_BLOCK = 1 << 10, MOST_BLOCK = 1 << 16 };

/* A row that was parsed and is no example yet. */
typedef struct Row {
    json_t *object;    /* of the block's pool */
    size_t line, last; /* its first line and its last one */
    int columns;       /* of a broken one: how many its first line has */
    int broken;        /* not a whole row of a table */
    int joined;        /* but would be one, if its lines were put together */
} Row;

/* The rows that begin in some lines of the file. */
typedef struct Block {
    size_t begin, end; /* bytes of those lines */
    size_t at, next;   /* where the row behind the last one begins, and its line */
    Row *rows;         /* stb_ds array */
    JsonPool *pool;    /* of their objects */
    Error error;       /* of what stands behind the rows */
} Block;

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

/* Sees whether the record read last is a whole row. If not, the lines that belong to it are read too;
 * put together they make one where line breaks parted a text. */
static int find_pieces(Row *row, LineFile *file, const Table *table, Error *error)
{
    int columns = file->count, width = table->width, pieces = 1, code = 0;
    while (!file->quoted && columns <= width) {
        int next = columns_ahead(file, width - columns + 1); /* more do not belong to it */
        int goes_on = table->text_last && next == 1; /* a text may end in any number of lines */
        if (next == 0 || columns + next - 1 > width || (columns == width && !goes_on) ||
            (next == width && !table->text_first)) {
            break;
        }
        if (!lines_next(file, &code, error)) {
            return code;
        }
        if (!is_blank(file)) {
            columns += next - 1;
            pieces++;
        }
    }
    row->last = file->line;
    row->joined = columns == width;
    row->broken = pieces > 1 || columns != width;
    return 0;
}

/* Counts a broken row, and refuses it if it is one too many. So many lines stand before its block. */
static int leave_out(Reader *reader, Table *table, const Row *row, size_t before, Error *error)
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
    if (!reader->allow_bad_rows && (size_t)n > most && (strict || !row->joined || n > 1)) {
        return REFUSE("%s:%zu: %d columns, expected %d%s; correct the line, or leave such rows out "
                      "with --allow-bad-rows",
                      file->path, before + row->line, row->columns, table->width,
                      n > 1 ? ", and more than one row in a thousand is so" : "");
    }
    if (n <= SHOWN) {
        string_append(&dataset->left_out_lines, "%s%zu", n > 1 ? ", " : "", before + row->line);
        if (row->last > row->line) {
            string_append(&dataset->left_out_lines, "-%zu", before + row->last);
        }
    } else if (n == SHOWN + 1) {
        string_append(&dataset->left_out_lines, ", ...");
    }
    return 0;
}

/* The rows of a table that begin in a block, whose first line has this number. No byte from `size` on
 * is looked at, so a block that ends there may be wrong. */
static int parse_table(Block *block, const Table *table, size_t line, size_t size, Error *error)
{
    LineFile part, *file = &part;
    int code = 0;
    lines_part(file, &table->file, block->begin, size, line);
    while (!code && file->at < block->end && lines_next(file, &code, error)) {
        if (file->begin >= block->end) { /* empty lines were passed over */
            file->at = file->begin;
            file->next = file->line;
            break;
        }
        if (is_blank(file)) {
            continue;
        }
        Row row = {.object = json_object(), .line = file->line, .columns = file->count};
        for (int c = 0; c < file->count && c < table->width; c++) {
            if (table->wanted[c]) {
                json_object_set_new_nocheck(row.object, table->names[c],
                                            json_string_nocheck(file->fields[c]));
            }
        }
        code = find_pieces(&row, file, table, error);
        if (!code) {
            arrput(block->rows, row);
        }
    }
    block->at = file->at;
    block->next = file->next;
    lines_part_close(file);
    return code;
}

/* The same of JSON, one object a line. */
static int parse_json_lines(Block *block, const char *path, const char *text, size_t line,
                            Error *error)
{
    int code = 0;
    block->at = block->begin;
    block->next = line;
    while (!code && block->at < block->end) {
        const char *start = text + block->at;
        const char *newline = memchr(start, '\n', block->end - block->at);
        size_t size = newline ? (size_t)(newline - start) : block->end - block->at, blank = 0,
               valid = utf8_valid_prefix(start, size), number = block->next++;
        block->at += size + 1;
        if (valid != size || memchr(start, 0, size)) {
            return REFUSE("%s:%zu: %s; convert the file to UTF-8 text", path, number,
                          valid != size ? "not UTF-8" : "a NUL byte in the text");
        }
        while (blank < size && memchr(" \t\r", start[blank], 3)) {
            blank++;
        }
        if (blank == size) {
            continue;
        }
        json_error_t problem;
        json_t *object = json_loadb(start, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY,
                                    &problem);
        if (json_is_object(object)) {
            arrput(block->rows, ((Row){.object = object, .line = number}));
            continue;
        }
        code = REFUSE("%s:%zu: not a JSON object: %s; each line must be one (pandas: "
                      "to_json(..., orient=\"records\", lines=True))",
                      path, number,
                      json_is_array(object) || start[blank] == '[' ? "an array"
                      : object                                     ? "another value"
                                                                   : problem.text);
    }
    return code;
}

/* What all blocks share, and how far the rows have become examples. */
typedef struct Rows {
    Reader *reader;
    Table *table; /* NULL: JSON lines */
    File file;
    size_t at, line; /* where the next row begins */
    int done;        /* an error, or the limit is reached */
} Rows;

static void parse_block(Block *block, const Rows *rows, size_t line, size_t size)
{
    block->error = (Error){0};
    json_pool_clear(block->pool);
    json_pool_use(block->pool);
    arrsetlen(block->rows, 0);
    if (rows->table) {
        parse_table(block, rows->table, line, size, &block->error);
    } else {
        parse_json_lines(block, rows->reader->dataset->path, (const char *)rows->file.bytes, line,
                         &block->error);
    }
    json_pool_use(NULL);
    if (size < rows->file.size && block->at > size) {
        block->error.code = EXIT_BAD_DATA; /* the last row was cut */
    }
}

static int read_row(const Rows *rows, const Row *row, size_t line, Error *error)
{
    const char *path = rows->reader->dataset->path;
    if (line > INT_MAX) {
        return REFUSE("%s: more than %d lines", path, INT_MAX);
    }
    return row->broken ? leave_out(rows->reader, rows->table, row, line - row->line, error)
                       : read_object(rows->reader, row->object, &(Line){path, (int)line}, error);
}

/* Makes examples of a block's rows, behind those of the blocks before it. Its lines were counted from
 * 1 on. A block is parsed again where it holds an error, whose message has a line, and where it
 * turned out to begin inside of a row. */
static void take_block(Rows *rows, Block *block, Error *error)
{
    size_t before = rows->line - 1;
    if (rows->at >= block->end) {
        return;
    }
    if (block->begin != rows->at || block->error.code) {
        block->begin = rows->at;
        parse_block(block, rows, rows->line, rows->file.size);
        before = 0;
    }
    int code = 0;
    for (size_t i = 0; i < arrlenu(block->rows) && !code && !reader_full(rows->reader); i++) {
        code = read_row(rows, &block->rows[i], before + block->rows[i].line, error);
    }
    if (!code && !reader_full(rows->reader) && block->error.code) {
        *error = block->error;
        code = error->code;
    }
#pragma omp atomic write
    rows->at = block->at;
    rows->line = before + block->next;
#pragma omp atomic write
    rows->done = code || reader_full(rows->reader);
}

/* The first end of a line in these bytes, and the place behind it; 0: there is none. */
static size_t behind_line(const File *file, size_t at, size_t end)
{
    end = size_min(end, file->size);
    const char *newline = at < end ? memchr(file->bytes + at, '\n', end - at) : NULL;
    return newline ? (size_t)(newline - (const char *)file->bytes) + 1 : 0;
}

/* All rows from rows->at on, and the digest of the file beside. */
static int read_blocks(Rows *rows, Error *error)
{
    Reader *reader = rows->reader;
    const File *file = &rows->file;
    size_t start = rows->at, rest = start < file->size ? file->size - start : 0,
           part = rest / (8 * size_max(1, (size_t)reader->threads)),
           step = size_max(LEAST_BLOCK, size_min(MOST_BLOCK, part)),
           blocks = (rest + step - 1) / step;
    int threads = (int)size_max(1, size_min((size_t)reader->threads, blocks));
    *error = (Error){0};
    json_prepare();
#pragma omp parallel num_threads(threads)
    {
        JsonPool pool = {0};
        Block block = {.pool = &pool};
#pragma omp single nowait
        sha256_hex(reader->dataset->sha256, file->bytes, file->size);
#pragma omp for ordered schedule(dynamic, 1)
        for (size_t b = 0; b < blocks; b++) {
            size_t first = start + b * step, next = first + step, at;
            int done;
#pragma omp atomic read
            done = rows->done;
#pragma omp atomic read
            at = rows->at;
            /* the lines that begin in [first, next); who owns none does not look for where one ends, nor
             * who comes too late, for a row reaches beyond */
            int wanted = !done && at < next;
            block.begin = b && wanted ? behind_line(file, first - 1, next - 1) : start;
            block.end = 0;
            if (wanted && (!b || block.begin)) {
                block.end = behind_line(file, next - 1, file->size);
                block.end = block.end ? block.end : file->size;
                /* a quote that never ends must not cost every block the whole file */
                parse_block(&block, rows, 1,
                            rows->table && rows->table->file.quoted
                                ? size_min(file->size, block.end + step)
                                : file->size);
            }
#pragma omp ordered
            if (!rows->done) {
                take_block(rows, &block, error);
            }
        }
        json_pool_free(&pool);
        arrfree(block.rows);
    }
    return error->code;
}

static int read_table(Reader *reader, Error *error)
{
    Table table = {0};
    if (lines_open(&table.file, reader->dataset->path, error)) {
        return error->code;
    }
    int code = read_header(&table, reader, error);
    reader->exported = table.file.quoted;
    if (!code) {
        Rows rows = {.reader = reader,
                     .table = &table,
                     .file = table.file.file,
                     .at = table.file.at,
                     .line = table.file.next};
        code = read_blocks(&rows, error);
    }
    for (int c = 0; c < table.width; c++) {
        free(table.names[c]);
    }
    lines_close(&table.file);
    return code;
}

static int read_json_lines(Reader *reader, Error *error)
{
    Rows rows = {.reader = reader, .line = 1};
    if (file_map(&rows.file, reader->dataset->path, error)) {
        return error->code;
    }
    rows.at = rows.file.size >= 3 && !memcmp(rows.file.bytes, "\xEF\xBB\xBF", 3) ? 3 : 0;
    reader->exported = 1;
    int code = read_blocks(&rows, error);
    file_unmap(&rows.file);
    return code;
}

static int ends_with(const char *path, const char *ending)
{
    size_t n = strlen(path), m = strlen(ending);
    return n >= m && !strcasecmp(path + n - m, ending);
}

int read_rows(Reader *reader, Error *error)
{
    const char *path = reader->dataset->path;
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
    return read_json_lines(reader, error);
}
