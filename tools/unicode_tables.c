/* Makes data/unicode_tables.c from the probed tables of the reference tokenizers: unicode_tables
 * FOLDER > FILE. FOLDER holds classes.txt, bert_pretok.txt, bert_normalizer.txt and
 * bert_reorder.txt: lines "FIRST[..LAST] WHAT ...". */
#include "base.h"

#include <stdlib.h>
#include <string.h>

/* One line of a table. */
typedef struct Row {
    unsigned first, last;
    char what[16];
    char rest[256];
} Row;

static FILE *table_open(const char *folder, const char *name)
{
    char *path = string_format("%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    if (!file) {
        perror(path);
        exit(EXIT_NO_INPUT);
    }
    free(path);
    return file;
}

static int row_read(FILE *file, Row *row)
{
    char line[512];
    while (fgets(line, sizeof line, file)) {
        char *at = line;
        if (*at == '#' || *at == '\n') {
            continue;
        }
        row->first = row->last = (unsigned)strtoul(at, &at, 16);
        if (!strncmp(at, "..", 2)) {
            row->last = (unsigned)strtoul(at + 2, &at, 16);
        }
        row->rest[0] = 0;
        if (sscanf(at, "%15s %255[^\n]", row->what, row->rest) < 1) {
            fprintf(stderr, "unicode_tables: cannot read: %s", line);
            exit(EXIT_BAD_DATA);
        }
        return 1;
    }
    return 0;
}

static int by_code(const void *a, const void *b)
{
    unsigned x = ((const Row *)a)->first, y = ((const Row *)b)->first;
    return (x > y) - (x < y);
}

/* Ranges with one value each, sorted, neighbours of the same value joined. */
static void write_ranges(const char *folder, const char *file_name, const char *name,
                         int (*value)(const Row *))
{
    FILE *file = table_open(folder, file_name);
    Row *rows = memory_alloc(1, sizeof *rows);
    size_t n = 0;
    unsigned count = 0;
    while (row_read(file, &rows[n])) {
        rows = memory_realloc(rows, ++n + 1, sizeof *rows);
    }
    fclose(file);
    qsort(rows, n, sizeof *rows, by_code);
    printf("const UnicodeRange %s[] = {\n", name);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && rows[end].first == rows[end - 1].last + 1 &&
                          value(&rows[end]) == value(&rows[i]);) {
            end++;
        }
        printf("{0x%04X, 0x%04X, %d},%c", rows[i].first, rows[end - 1].last, value(&rows[i]),
               ++count % 4 && end < n ? ' ' : '\n');
    }
    printf("};\nconst int %s_count = %u;\n\n", name, count);
    free(rows);
}

static int letter(const Row *row)
{
    return row->what[0];
}

static int combining_class(const Row *row)
{
    return strcmp(row->what, "stop") ? atoi(row->what) : 0;
}

static void write_normalizer(const char *folder)
{
    static const char *const kinds[] = {"drop", "space", "pad", "hangul", "map"};
    FILE *file = table_open(folder, "bert_normalizer.txt");
    Row row;
    unsigned codes[16384], used = 0, count = 0;
    printf("const UnicodeRange unicode_normal[] = {\n");
    while (row_read(file, &row)) {
        int kind = 0;
        while (kind < 5 && strcmp(row.what, kinds[kind])) {
            kind++;
        }
        int value = kind;
        if (kind ==
            4) { /* 4 + 8 * place of the first code point + number of them in the low bits */
            unsigned start = used, n = 0;
            for (char *at = row.rest; *at && used < 16384; n++) {
                codes[used++] = (unsigned)strtoul(at, &at, 16);
            }
            value = (int)(4 + (start << 8) + (n << 3));
        } else if (kind > 4) {
            fprintf(stderr, "unicode_tables: unknown rule %s\n", row.what);
            exit(EXIT_BAD_DATA);
        }
        printf("{0x%04X, 0x%04X, %d},%c", row.first, row.last, value, ++count % 4 ? ' ' : '\n');
    }
    printf("};\nconst int unicode_normal_count = %u;\n\nconst unsigned unicode_normal_codes[] = {",
           count);
    for (unsigned i = 0; i < used; i++) {
        printf("%s0x%04X,", i % 12 ? " " : "\n    ", codes[i]);
    }
    printf("\n};\n");
    fclose(file);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: unicode_tables FOLDER > data/unicode_tables.c\n", stderr);
        return EXIT_USAGE;
    }
    printf("/* Made by tools/unicode_tables.c (make unicode); do not edit. Ranges of code points "
           "and their values: see\n"
           " * unicode.h. */\n#include \"unicode.h\"\n\n");
    write_ranges(argv[1], "classes.txt", "unicode_classes", letter);
    write_ranges(argv[1], "bert_pretok.txt", "unicode_bert_pieces", letter);
    write_ranges(argv[1], "bert_reorder.txt", "unicode_combining", combining_class);
    write_normalizer(argv[1]);
    return 0;
}
