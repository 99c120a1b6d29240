/* Fields of a table as texts that can be compared: what of them counts, and which are
 * one number. */
#ifndef TEXTS_H
#define TEXTS_H

#include "json.h"

/* Different texts in the order of their first use, each in the form that equal classes share. */
typedef struct Texts {
    char **text;  /* [count] */
    size_t *line; /* [count] 1-based, of the first use */
    size_t count, room;
    uint64_t *hash;  /* [count] */
    uint32_t *slots; /* [size] 1 + number, 0 for empty */
    size_t size;
} Texts;

/* The number of a text, added if it is new; -1 for an empty one. Spaces and a pair of quotes around
 * it are none of it; 1, 1.0, 01, +1 and 1e0 are "1", and LABEL_1 is too, as transformers
 * writes it. */
int texts_add(Texts *texts, const char *text, size_t line);
void texts_free(Texts *texts);

/* The part of a field that counts: without spaces and a pair of quotes around it. */
const char *field_text(size_t *size, const char *field);

/* Whether a text of Texts is a number, whether it is a whole one, and whether it is "nan", as which
 * others write an empty field. */
int class_is_number(const char *text);
int class_is_whole(const char *text);
int class_is_none(const char *text);

/* A new list of the texts. */
json_t *texts_list(const Texts *texts);

#endif
