/* Predictions made elsewhere: index TAB prediction text and CSV (docs/FORMATS.md, "Imports"). */
#ifndef IMPORT_H
#define IMPORT_H

#include "classes.h"
#include "gold.h"
#include "preds.h"
#include "seeds.h"

/* As on the command line; all but metric may be NULL. */
typedef struct ImportOptions {
    const char *labels;    /* class names in the order of their ids, comma separated */
    const char *metric;    /* accuracy, mcc, f1, macro-f1; pearson, spearman, mae: regression */
    const char *gold;      /* a file with the labels */
    const char *scores;    /* columns of class scores, comma separated */
    const char *seed_from; /* POSIX extended expression: its first group is the seed */
} ImportOptions;

/* What all imported files of a command line share. */
typedef struct Imports {
    ImportOptions options;
    Gold gold;
    json_t *labels, *scores; /* lists, or NULL */
    Seeds seeds;
    size_t *seed_of; /* [count] of each file; SIZE_MAX for one that is none of the imports */
} Imports;

/* Reads the gold labels and finds the seeds of those files that are imports. Errors: those of
 * file_map, of class_list and seeds_find, 65 with line. */
int imports_open(Imports *imports, const ImportOptions *options, char *const *files, size_t count,
                 Error *error);
void imports_close(Imports *imports);

/* Reads one of the files into memory as a prediction file. Its pred and label number texts of its
 * own until imports_name_classes. Errors: those of file_map, 64 without gold labels, 65
 * with line. */
int import_read(Preds *preds, const Imports *imports, const char *path, size_t file, Error *error);

/* Gives the runs of a group, read by import_read, one list of classes; others are left as they are.
 * Errors: those of classes_make, 64 for f1 of other than two classes. */
int imports_name_classes(const Imports *imports, Preds **runs, size_t S, Error *error);

/* What is known of the classes beside the files at these paths. The caller frees its list
 * of paths. */
ClassHints imports_hints(const Imports *imports, const char *const *paths, size_t count);

#endif
