/* Gold labels of examples, and what imported tables share: ids and the columns with a part of their
 * own (docs/FORMATS.md, "Imports"). */
#ifndef GOLD_H
#define GOLD_H

#include "hash_index.h"
#include "lines.h"
#include "texts.h"

/* Whether this file is read by its name as an import: .txt, .tsv or .csv, in any case. */
int import_is(const char *path);

/* A new text, or NULL for an empty field, which is an error (65): the id of a field. That of an
 * index is that of our own files: validation-17, also of 17.0 and 017. */
char *example_id(const LineFile *file, const char *field, Error *error);

/* Columns of a table by the names of its first line; -1: none. */
typedef struct Roles {
    int id, label, pred;
    int named; /* whether the line has any of them */
    int width; /* fields of the line; every other has as many */
} Roles;

/* Errors: 65, two columns may be the labels or the predictions, or two ids have the same name; the
 * separators are others. */
int roles_find(Roles *roles, const LineFile *file, Error *error);

/* Examples with their labels: what --gold names. */
typedef struct Gold {
    size_t N;
    uint64_t *hash;  /* [N] XXH64 of the id */
    HashIndex index; /* of hash */
    int *label;      /* [N] of texts, -1 for an empty one */
    Texts texts;
    json_t *names;  /* label_names, if it is a file of ours with classes; else NULL */
    int regression; /* whether it is one of ours with values */
} Gold;

/* Reads gold labels: a prediction file of ours, index TAB label text, or a table with the columns
 * id and label. Errors: those of file_map, 65 with line. gold_free in any case. */
int gold_read(Gold *gold, const char *path, Error *error);
void gold_free(Gold *gold);

#endif
