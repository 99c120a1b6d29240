#include "text_table.h"
#include "html.h"
#include "report.h"

#include <stdlib.h>
#include <string.h>

enum { WIDEST = 24, MOST_COLUMNS = 16 };

void text_table_add(TextTable *t, char *text)
{
    t->cell = memory_realloc(t->cell, t->count + 1, sizeof *t->cell);
    t->cell[t->count++] = text;
}

void text_table_free(TextTable *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free(t->cell[i]);
    }
    free(t->cell);
}

/* Characters of UTF-8. */
static size_t length(const char *text)
{
    size_t n = 0;
    for (; *text; text++) {
        n += (*text & 0xC0) != 0x80;
    }
    return n;
}

static void text_row(FILE *out, const TextTable *t, const char *const *cells, const size_t *width,
                     int ascii)
{
    size_t gap = 0; /* spaces that are due: none stand at the end of a line */
    for (int c = 0; c < t->columns; c++) {
        char *plain = string_copy(cells[c]);
        text_plain(plain);
        size_t n = length(plain);
        int cut = n > WIDEST, left = (int)(t->left >> c & 1);
        size_t pad = width[c] - size_min(n, WIDEST);
        if (n) {
            fprintf(out, "%*s%s%s", (int)(gap + (left ? 0 : pad)), "",
                    cut ? (ascii ? "~" : "\u2026") : "", cut ? text_end(plain, WIDEST - 1) : plain);
            gap = 0;
        }
        gap += 2 + (left || !n ? pad : 0);
        free(plain);
    }
    fputc('\n', out);
}

static void show_text(FILE *out, const TextTable *t, int ascii)
{
    size_t width[MOST_COLUMNS], columns = (size_t)t->columns;
    for (size_t c = 0; c < columns; c++) {
        width[c] = length(t->title[c]);
        for (size_t i = c; i < t->count; i += columns) {
            width[c] = size_max(width[c], size_min(WIDEST, length(t->cell[i])));
        }
    }
    text_row(out, t, t->title, width, ascii);
    for (size_t i = 0; i < t->count; i += columns) {
        text_row(out, t, (const char *const *)&t->cell[i], width, ascii);
    }
}

static void show_md(FILE *out, const TextTable *t)
{
    for (int c = 0; c < t->columns; c++) {
        fputs(c ? " | " : "| ", out);
        put_escaped(out, t->title[c], 0);
    }
    fputs(" |\n|", out);
    for (int c = 0; c < t->columns; c++) {
        fputs(t->left >> c & 1 ? "---|" : "---:|", out);
    }
    for (size_t i = 0; i < t->count; i++) {
        fputs(i % (size_t)t->columns ? " | " : i ? " |\n| " : "\n| ", out);
        put_escaped(out, t->cell[i], 0);
    }
    fputs(t->count ? " |\n" : "\n", out);
}

static void show_latex(FILE *out, const TextTable *t)
{
    fputs("\\begin{tabular}{", out);
    for (int c = 0; c < t->columns; c++) {
        fputc(t->left >> c & 1 ? 'l' : 'r', out);
    }
    fputs("}\n\\toprule\n", out);
    for (int c = 0; c < t->columns; c++) {
        fputs(c ? " & " : "", out);
        put_escaped(out, t->title[c], 1);
    }
    fputs(" \\\\\n\\midrule\n", out);
    for (size_t i = 0; i < t->count; i++) {
        put_escaped(out, t->cell[i], 1);
        fputs((i + 1) % (size_t)t->columns ? " & " : " \\\\\n", out);
    }
    fputs("\\bottomrule\n\\end{tabular}\n", out);
}

static void show_html(FILE *out, const TextTable *t)
{
    fputs("<div class=wide><table><thead><tr>", out);
    for (int c = 0; c < t->columns; c++) {
        fputs(t->left >> c & 1 ? "<th class=l>" : "<th>", out);
        html_text(out, t->title[c]);
        fputs("</th>", out);
    }
    fputs("</tr></thead><tbody>\n", out);
    for (size_t i = 0; i < t->count; i++) {
        size_t c = i % (size_t)t->columns;
        fputs(c ? "" : "<tr>", out);
        fputs(t->left >> c & 1 ? "<td class=l>" : "<td>", out);
        html_text(out, t->cell[i]);
        fputs("</td>", out);
        fputs(c + 1 == (size_t)t->columns ? "</tr>\n" : "", out);
    }
    fputs("</tbody></table></div>\n", out);
}

void text_table_show(FILE *out, const TextTable *t, const Arguments *o)
{
    if (o->format == FORMAT_MD) {
        show_md(out, t);
    } else if (o->format == FORMAT_LATEX) {
        show_latex(out, t);
    } else if (o->format == FORMAT_HTML) {
        show_html(out, t);
    } else {
        show_text(out, t, o->ascii);
    }
}

/* A text between what opens and closes it in the format. */
static void show_line(FILE *out, const char *text, const Arguments *o, const char *const open[3],
                      const char *const close[3])
{
    int kind = o->format == FORMAT_MD ? 0 : o->format == FORMAT_LATEX ? 1 : 2;
    fputs(open[kind], out);
    if (kind == 2) {
        html_text(out, text);
    } else {
        put_escaped(out, text, kind == 1);
    }
    fputs(close[kind], out);
}

/* In the text format: as lines of words, plain. */
static void show_words(FILE *out, const char *before, const char *text, size_t column)
{
    char *plain = string_copy(text);
    text_plain(plain);
    fputs(before, out);
    print_words(out, column, 2, plain);
    fputc('\n', out);
    free(plain);
}

void text_heading(FILE *out, const char *text, const Arguments *o)
{
    static const char *const open[] = {"\n**", "\n% ", "<h2>"}, *const close[] = {"**\n\n", "\n",
                                                                                  "</h2>\n"};
    if (o->format == FORMAT_TEXT) {
        show_words(out, "\n", text, 0);
    } else {
        show_line(out, text, o, open, close);
    }
}

void text_note(FILE *out, const char *text, const Arguments *o)
{
    static const char *const open[] = {"\n", "% ", "<p>"}, *const close[] = {"\n", "\n", "</p>\n"};
    if (o->format == FORMAT_TEXT) {
        show_words(out, "  ", text, 2);
    } else {
        show_line(out, text, o, open, close);
    }
}
