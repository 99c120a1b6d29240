/* Whether the predictions of a run are there, so that it need not be trained. */
#ifndef FINISHED_H
#define FINISHED_H

#include "json.h"

/* Whether all these prediction files are whole and of the run with these receipts (output.h), which
 * are those of the first one, of the dev set. */
int predictions_finished(char *const *paths, int count, const json_t *receipts);

#endif
