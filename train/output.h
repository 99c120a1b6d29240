/* The prediction file of a run, beside one of an earlier run of the same name. */
#ifndef OUTPUT_H
#define OUTPUT_H

#include "preds.h"

/* Writes preds->path, which ends in ".bin". A file of other bytes that has the name goes on as
 * NAME.1.bin, or the first number that is free: *kept is its path (free it), else NULL. *same: the
 * file was there, with the same bytes. Errors: those of preds_write and file_map. */
int output_write(Preds *preds, char **kept, int *same, Error *error);

#endif
