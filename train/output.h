/* The prediction files of a run, beside those of an earlier run of the same names. */
#ifndef OUTPUT_H
#define OUTPUT_H

#include "run.h"

/* The path of a run's prediction file for a set, without .bin; of the dev set also of its log,
 * without .jsonl. The caller frees it. */
char *output_name(const Setup *setup, const Dataset *dataset, const Seeds *seeds);

/* What is known of a run before it begins, as the metadata of its prediction file for a set say it:
 * task, model, data, recipe, seeds, kernels and their digests; model_sha256 is "" until the model
 * was read. The caller owns it. */
json_t *output_receipts(const Setup *setup, const Dataset *dataset, const Seeds *seeds);

/* Where an evaluation was made, in the terms of --eval-every: "epoch:3" or "step:40". The caller frees
 * it. */
char *output_place(const Setup *setup, int step, int epoch);

/* Appends "key a, now b" for what differs in the hparams, and then in what else two of such objects
 * say. */
void output_differences(char **list, const json_t *before, const json_t *now,
                        const json_t *hparams_before, const json_t *hparams_now);

/* Gives a file that is in the way the name NAME.1.bin, or the first number that is free: *kept, for
 * the caller to free. Errors: those of rename. */
int output_keep(char **kept, const char *path, Error *error);

/* Writes the evaluation of a set of the run, under its name. A file of other bytes that has the name
 * goes on as NAME.1.bin, or the first number that is free. Errors: those of preds_write and
 * file_map. */
int output_write(const Run *run, const Dataset *dataset, const Evaluation *evaluation,
                 Written *written, Error *error);

#endif
