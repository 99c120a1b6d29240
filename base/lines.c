#include "lines.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

int lines_open(LineFile *f, const char *path, Error *error)
{
    size_t n = strlen(path);
    *f = (LineFile){.path = path, .next = 1};
    f->quoted = n > 4 && !strcasecmp(path + n - 4, ".csv");
    f->separator = f->quoted ? ',' : '\t';
    if (file_map(&f->file, path, error)) {
        return error->code;
    }
    if (f->file.size >= 3 && !memcmp(f->file.bytes, "\xEF\xBB\xBF", 3)) {
        f->at = 3;
    }
    return 0;
}

void lines_close(LineFile *f)
{
    file_unmap(&f->file);
    lines_part_close(f);
}

void lines_part(LineFile *part, const LineFile *whole, size_t at, size_t size, size_t line)
{
    *part = (LineFile){.path = whole->path,
                       .file = {whole->file.bytes, size},
                       .at = at,
                       .next = line,
                       .separator = whole->separator,
                       .quoted = whole->quoted};
}

void lines_part_close(LineFile *part)
{
    free(part->text);
    free(part->fields);
}

/* Where the line at this place ends. */
static const char *line_end(const LineFile *f)
{
    const char *start = (const char *)f->file.bytes + f->at;
    const char *newline = memchr(start, '\n', f->file.size - f->at);
    return newline ? newline : (const char *)f->file.bytes + f->file.size;
}

/* Room for the fields of the next record, which ends with its line unless a quote goes on. */
static void make_room(LineFile *f, const char *end)
{
    const char *start = (const char *)f->file.bytes + f->at;
    size_t most = f->quoted ? f->file.size - f->at : (size_t)(end - start);
    if (f->room < most + 2) {
        free(f->text);
        f->room = size_max(most + 2, 2 * f->room);
        f->text = memory_alloc(f->room, 1);
    }
}

static void add_field(LineFile *f, char *text)
{
    if (f->count == f->capacity) {
        f->capacity = f->capacity ? 2 * f->capacity : 16;
        f->fields = memory_realloc(f->fields, (size_t)f->capacity, sizeof *f->fields);
    }
    f->fields[f->count++] = text;
}

static int read_record(LineFile *f, Error *error)
{
    const char *bytes = (const char *)f->file.bytes;
    size_t size = f->file.size;
    const char *end = line_end(f); /* looked for once, not for every field */
    int more = 1;
    make_room(f, end);
    char *out = f->text;
    f->count = 0;
    f->begin = f->at;
    f->line = f->next;
    while (more) {
        char *start = out;
        if (f->quoted && f->at < size && bytes[f->at] == '"') {
            for (f->at++;; f->at++) {
                if (f->at >= size) {
                    return REFUSE("%s:%zu: a quote that does not end; close it, or double "
                                  "one that belongs to a text",
                                  f->path, f->line);
                }
                if (bytes[f->at] == '"') {
                    if (f->at + 1 >= size || bytes[f->at + 1] != '"') {
                        f->at++;
                        break;
                    }
                    f->at++;
                }
                f->next += bytes[f->at] == '\n';
                *out++ = bytes[f->at];
            }
            size_t behind = f->at + (f->at < size && bytes[f->at] == '\r');
            if (behind < size && bytes[behind] != f->separator && bytes[behind] != '\n') {
                return REFUSE(
                    "%s:%zu: text behind the quote that ends a field, on line %zu; double "
                    "a quote that belongs to a text",
                    f->path, f->line, f->next);
            }
        }
        const char *bare = out; /* a CR before it is of a text in quotes */
        if (bytes + f->at > end) { /* a text in quotes goes on beyond the line */
            end = line_end(f);
        }
        const char *next = memchr(bytes + f->at, f->separator, (size_t)(end - bytes) - f->at);
        size_t bytes_bare = (size_t)((next ? next : end) - bytes) - f->at;
        memcpy(out, bytes + f->at, bytes_bare);
        out += bytes_bare;
        f->at += bytes_bare;
        more = f->at < size && bytes[f->at] == f->separator;
        f->at++;
        if (!more && out > bare && out[-1] == '\r') {
            out--;
        }
        size_t length = (size_t)(out - start), valid = utf8_valid_prefix(start, length);
        if (valid != length || memchr(start, 0, length)) {
            return REFUSE("%s:%zu: %s; convert the file to UTF-8 text", f->path, f->line,
                          valid != length ? "not UTF-8" : "a NUL byte in the text");
        }
        *out++ = 0;
        add_field(f, start);
    }
    f->next++;
    return 0;
}

int lines_next(LineFile *f, int *code, Error *error)
{
    while (f->at < f->file.size) {
        int quote = f->quoted && f->file.bytes[f->at] == '"'; /* "" is an empty field, no line */
        if (read_record(f, error)) {
            *code = error->code;
            return 0;
        }
        if (f->count > 1 || *f->fields[0] || quote) {
            return 1;
        }
    }
    return 0;
}

int lines_column(const LineFile *f, const char *name)
{
    for (int i = 0; i < f->count; i++) {
        if (!strcmp(f->fields[i], name)) {
            return i;
        }
    }
    return -1;
}

int lines_check(const LineFile *f, int width, Error *error)
{
    return f->count == width
               ? 0
               : REFUSE("%s:%zu: %d fields, but the first line has %d; write as many in each, "
                        "with quotes around a comma inside of one",
                        f->path, f->line, f->count, width);
}

int number_field(double *value, const char *text)
{
    char *end;
    *value = strtod(text, &end);
    return *text && !*end && *text != ' ' ? 0 : -1;
}
