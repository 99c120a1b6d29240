/* Files that several threads parse in blocks of lines: the examples and the refusal are those of a
 * reader who goes from line to line, wherever the blocks begin. */
#include "check.h"
#include "tasks.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS = 450, FAULTS = 2 };

typedef enum Form { TABS, COMMAS, OBJECTS, FORMS } Form;
static const char *const names[FORMS] = {"train.tsv", "train.csv", "train.jsonl"};

typedef enum Kind { LABEL, BYTES, SYNTAX, KINDS } Kind;

/* A row that is wrong. */
typedef struct Fault {
    int row;
    Kind kind;
} Fault;

/* The second text of row i. Some are longer than blocks are: one line, or in CSV lines that look like
 * rows. */
static char *second_text(Form form, int i)
{
    char *text = string_format("second text of %d", i);
    for (int n = 0; form == COMMAS && i % 5 == 0 && n < (i % 50 ? 3 : 120); n++) {
        string_append(&text, "\nfirst,\"second\",entailment\n\nline %d", n);
    }
    for (int n = 0; form != COMMAS && i % 150 == 100 && n < 2000; n++) {
        string_append(&text, " and on");
    }
    return text;
}

static const Fault *fault_of(const Fault faults[FAULTS], int row)
{
    for (int f = 0; f < FAULTS; f++) {
        if (faults[f].row == row) {
            return &faults[f];
        }
    }
    return NULL;
}

/* A text that is written like a file; fclose ends it. */
static FILE *begin_text(char **text, size_t *size)
{
    FILE *out = open_memstream(text, size);
    if (!out) {
        perror("open_memstream");
        exit(EXIT_NO_MEMORY);
    }
    return out;
}

/* The file's text, and the line that each row begins in. */
static char *make_rows(int lines[ROWS], Form form, const Fault faults[FAULTS])
{
    char *text;
    size_t size;
    FILE *out = begin_text(&text, &size);
    int line = form == OBJECTS ? 1 : 2;
    fputs(form == TABS     ? "index\tsentence1\tsentence2\tlabel\n"
          : form == COMMAS ? "sentence1,sentence2,label\n"
                           : "",
          out);
    for (int i = 0; i < ROWS; i++) {
        const Fault *fault = fault_of(faults, i);
        char *second = second_text(form, i);
        const char *label = fault && fault->kind == LABEL   ? "wrong"
                            : fault && fault->kind == BYTES ? "\xFF"
                            : i % 2                         ? "not_entailment"
                                                            : "entailment";
        int broken = fault && fault->kind == SYNTAX;
        lines[i] = line;
        if (form == TABS) {
            fprintf(out, "%d\tfirst text of %d\t%s%s%s\n", i, i, second, broken ? "\t\t" : "\t",
                    label);
        } else if (form == OBJECTS) {
            fprintf(out,
                    "{\"sentence1\": \"first text of %d\", \"sentence2\": \"%s\"%s "
                    "\"label\": \"%s\"}\n",
                    i, second, broken ? "" : ",", label);
        } else {
            fprintf(out, "first text of %d,\"", i);
            for (const char *c = second; *c; c++) {
                fprintf(out, *c == '"' ? "\"\"" : "%c", *c);
                line += *c == '\n';
            }
            fprintf(out, "\"%s,%s\n", broken ? "x" : "", label);
        }
        line++;
        for (int n = 0; n < i % 3; n++, line++) {
            fputs(form == OBJECTS ? " \n" : "\n", out);
        }
        free(second);
    }
    fclose(out);
    return text;
}

static void write_text(const char *path, const char *text)
{
    FILE *out = fopen(path, "wb");
    if (!out || fputs(text, out) < 0 || fclose(out)) {
        perror(path);
        exit(EXIT_IO);
    }
}

/* Examples of RTE's split in the scratch folder. */
static int read_split(Dataset *dataset, const char *split, int limit, int allow_bad_rows,
                      int threads, Error *error)
{
    return dataset_read(dataset, task_known("rte"), scratch_folder(), split, limit, allow_bad_rows,
                        threads, error);
}

static void check_whole(Form form, int threads)
{
    static const Fault none[FAULTS] = {{-1, LABEL}, {-1, LABEL}};
    int lines[ROWS], wrong = 0;
    char *text = make_rows(lines, form, none), *path = scratch_path(names[form]), sha256[65];
    Dataset dataset;
    Error error;
    write_text(path, text);
    sha256_hex(sha256, text, strlen(text));
    int code = read_split(&dataset, "train", 0, 0, threads, &error);
    CHECK(!code && dataset.count == ROWS, "%s, %d threads: %s", names[form], threads,
          code ? error.text : "rows are missing");
    for (int i = 0; !code && i < dataset.count; i++) {
        const Example *example = &dataset.examples[i];
        char *first = string_format("first text of %d", i), *second = second_text(form, i),
             *id = string_format("train-%d", i);
        wrong += example->line != lines[i] || example->label != i % 2 ||
                 strcmp(example->text[0][0], first) || strcmp(example->text[0][1], second) ||
                 strcmp(example->id, id);
        free(first);
        free(second);
        free(id);
    }
    CHECK(!wrong, "%s, %d threads: %d examples are wrong", names[form], threads, wrong);
    if (!code) {
        CHECK(!strcmp(dataset.sha256, sha256), "%s, %d threads: the digest", names[form], threads);
        dataset_free(&dataset);
    }
    remove(path);
    free(path);
    free(text);
}

/* Of two faults the first one is refused with its line; rows before it can be read. */
static void check_refusal(Form form, int threads, const Fault faults[FAULTS])
{
    static const char *const said[FORMS][KINDS] = {
        {"the label 'wrong' is none", "not UTF-8", "5 columns, expected 4"},
        {"the label 'wrong' is none", "not UTF-8", "text behind the quote"},
        {"the label 'wrong' is none", "not UTF-8", "not a JSON object"}};
    int lines[ROWS];
    char *text = make_rows(lines, form, faults), *path = scratch_path(names[form]),
         *where = string_format("%s:%d: ", path, lines[faults[0].row]);
    Dataset dataset;
    Error error = {0};
    write_text(path, text);
    int code = read_split(&dataset, "train", 0, 0, threads, &error);
    CHECK(code == EXIT_BAD_DATA && !strncmp(error.text, where, strlen(where)) &&
              strstr(error.text, said[form][faults[0].kind]),
          "%s, %d threads, rows %d and %d: %d, %s", names[form], threads, faults[0].row,
          faults[1].row, code, error.text);
    code = read_split(&dataset, "train", faults[0].row, 0, threads, &error);
    CHECK(!code && dataset.count == faults[0].row, "%s, %d threads, %d rows: %s", names[form],
          threads, faults[0].row, error.text);
    if (!code) {
        dataset_free(&dataset);
    }
    remove(path);
    free(path);
    free(where);
    free(text);
}

/* Rows whose last text goes on in other lines, some of them beyond a block: their lines, and all
 * other rows. */
static void check_pieces(int threads)
{
    char *text, *path = scratch_path("test.tsv"), *where = string_copy("");
    size_t size;
    FILE *out = begin_text(&text, &size);
    int line = 2, lines[ROWS], whole = 0, left = 0, wrong = 0;
    Dataset dataset;
    Error error;
    fputs("index\tsentence1\tsentence2\n", out);
    for (int i = 0; i < ROWS; i++) {
        int pieces = i % 7 ? 0 : 1 + i % 60;
        fprintf(out, "%d\tfirst text of %d\tsecond text of %d\n", i, i, i);
        for (int p = 0; p < pieces; p++) {
            fprintf(out, "that goes on %d\n", p);
        }
        if (pieces) {
            left++;
            if (left <= 5) {
                string_append(&where, "%s%d-%d", left > 1 ? ", " : "", line, line + pieces);
            }
        } else {
            lines[whole++] = line;
        }
        line += 1 + pieces;
    }
    string_append(&where, ", ...");
    fclose(out);
    write_text(path, text);
    int code = read_split(&dataset, "test", 0, 1, threads, &error);
    CHECK(!code && dataset.count == whole && dataset.left_out == left &&
              !strcmp(dataset.left_out_lines, where),
          "rows in pieces, %d threads: %s", threads,
          code                     ? error.text
          : dataset.left_out_lines ? dataset.left_out_lines
                                   : "none");
    for (int i = 0; !code && i < int_min(dataset.count, whole); i++) {
        wrong += dataset.examples[i].line != lines[i];
    }
    CHECK(!wrong, "rows in pieces, %d threads: %d lines are wrong", threads, wrong);
    if (!code) {
        dataset_free(&dataset);
    }
    remove(path);
    free(path);
    free(where);
    free(text);
}

int main(void)
{
    for (int threads = 1; threads <= 5; threads++) {
        for (Form form = 0; form < FORMS; form++) {
            check_whole(form, threads);
            for (Kind kind = 0; kind < KINDS; kind++) {
                int row = 1 + (97 * threads + 211 * (int)form + 37 * (int)kind) % (ROWS - 20);
                check_refusal(form, threads, (Fault[]){{row, kind}, {row + 1, (kind + 1) % KINDS}});
                check_refusal(form, threads,
                              (Fault[]){{row, kind}, {ROWS - 1, (kind + 2) % KINDS}});
            }
        }
        check_pieces(threads);
    }
    return checks_close("test_rows");
}
