/* The prediction file of a run, beside one of an earlier run of the same name. */
#ifndef OUTPUT_H
#define OUTPUT_H

#include "run.h"

/* The path of a run's prediction file and log, without .bin and .jsonl. The caller frees it. */
char *output_name(const Setup *setup, const Seeds *seeds);

/* What is known of a run before it begins, as the prediction file's metadata say it: task, model,
 * data, recipe, seeds, kernels and their digests; model_sha256 is "" until the model was read. The
 * caller owns it. */
json_t *output_receipts(const Setup *setup, const Seeds *seeds);

/* Gives a file that is in the way the name NAME.1.bin, or the first number that is free: *kept, for
 * the caller to free. Errors: those of rename. */
int output_keep(char **kept, const char *path, Error *error);

/* Writes the kept evaluation to outcome->path, which ends in ".bin". A file of other bytes that has
 * the name goes on as NAME.1.bin, or the first number that is free: outcome->kept is its path;
 * outcome->same: the file was there, with the same bytes. Errors: those of preds_write and
 * file_map. */
int output_write(const Run *run, Outcome *outcome, Error *error);

#endif
