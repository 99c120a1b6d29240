/* Predictions made elsewhere: index TAB prediction text and CSV (docs/FORMATS.md, "Imports"). */
#ifndef IMPORT_H
#define IMPORT_H

#include "preds.h"

typedef struct ImportOptions {
    const char *labels; /* class names in the order of their ids, comma separated; or NULL */
    const char *metric; /* accuracy, mcc, f1, macro-f1; pearson, spearman, mae: regression */
} ImportOptions;

/* Examples with their labels: what --gold names. */
typedef struct Gold {
    size_t N;
    char **id, **label; /* [N] */
} Gold;

/* Reads gold labels: a prediction file of ours, index TAB label text, or CSV with the columns id
 * and label. Errors: those of file_map, 65 with line. */
int gold_read(Gold *gold, const char *path, Error *error);
void gold_free(Gold *gold);

/* Whether this file is read by its name as an import: .txt, .tsv or .csv. */
int import_is(const char *path);

/* Reads a file into memory as a prediction file; the seed comes from its path. gold may be NULL if
 * the file has labels itself. Errors: those of file_map, 64 without gold or seed, 65 with line. */
int import_read(Preds *preds, const char *path, const Gold *gold, const ImportOptions *options,
                Error *error);

#endif
