/* Tables and notes that look alike as text, Markdown, LaTeX and HTML. */
#ifndef TEXT_TABLE_H
#define TEXT_TABLE_H

#include "arguments.h"

typedef struct TextTable {
    const char *const *title; /* [columns] */
    int columns;
    unsigned left; /* bit c: column c is words, on the left */
    char **cell;   /* [count] row by row; owned, as their texts */
    size_t count;
} TextTable;

/* The next cell; takes over the text, of memory_alloc. */
void text_table_add(TextTable *table, char *text);
void text_table_free(TextTable *table);

/* In the format of the options; a cell of text has 24 characters at most, of a longer one the end
 * behind a mark. */
void text_table_show(FILE *out, const TextTable *table, const Arguments *options);

/* A heading, and a list of notes. In LaTeX both are comments. */
void text_heading(FILE *out, const char *text, const Arguments *options);
void text_note(FILE *out, const char *text, const Arguments *options);

#endif
