/* Published tables: do their numbers fit together? And correlations with the size of the task. */
#ifndef AUDIT_H
#define AUDIT_H

#include "json.h"

/* Reads a table: one of published.h by its name; JSON {model: {task: [zeta, VAR, CON, CCON]}} in
 * percent, perhaps with "seeds": the number of runs (other keys are ignored); or CSV with a header
 * line model,task,zeta,VAR,CON,CCON and perhaps K, N and S. With partial a cell may lack the numbers
 * behind zeta (null, an empty field, no column) and is "not checked". Returns {"file", "source" of
 * a known one, "decimals", "no_rounding", "truncated", "cells": [...]}: how many numbers are no
 * rounding of a mean, and how many of these are cut off from one; per cell what put_verdict says,
 * and the Cochran Q that the numbers imply. The caller owns it. Errors: those of file_map, 65 with
 * file and line or task. */
int audit_table(json_t **audit, const char *path, int partial, Error *error);

/* Whether no runs can have a cell: inconsistent or off the grid; and how many of a table. */
int cell_is_impossible(const json_t *cell);
size_t audit_impossible(const json_t *audit);

/* Whether a row before this one has its model, benchmark and task too. */
int task_twice(const json_t *rows, size_t at);

/* Correlates, for each model, the rows {"model", "task", "benchmark", "zeta", "VAR", "CON", "CCON"}
 * with training sizes: "public" or a file of lines task TAB size. Returns a list; the caller owns
 * it. Errors: those of file_map, 65 with line, a task without a size, or one that is there
 * twice under one model. */
int correlate_sizes(json_t **list, const json_t *rows, const char *sizes, double level,
                    Error *error);

#endif
