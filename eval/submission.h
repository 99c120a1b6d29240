/* What the test servers of GLUE and SuperGLUE take: their files, from prediction files of test
 * splits. */
#ifndef SUBMISSION_H
#define SUBMISSION_H

#include "preds.h"

/* Writes folder/glue/CoLA.tsv, ... and folder/superglue/BoolQ.jsonl, ... of those of the runs that
 * predict a test split, says on out what it wrote and which files of a benchmark are still missing.
 * All are checked before the first is written. Errors: 64 two runs of one split, or none of any; 65
 * examples that are not all, or not those, of the official file, or have no prediction; those of
 * writing. */
int submission_write(const char *folder, const Preds *runs, size_t count, FILE *out, Error *error);

#endif
