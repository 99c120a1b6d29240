/* Inside of data of one's own: own.c reads by the columns that own_columns.c chooses. */
#ifndef OWN_READER_H
#define OWN_READER_H

#include "own.h"
#include "task_reader.h"

/* Chooses the columns by the first row of the training file, and with them kind and input form of a
 * choice. Errors: 64 they are not clear, 65 one that was named is not there. */
int own_choose_columns(Own *own, const json_t *row, const Line *line, Error *error);

/* Refuses a row that lacks this column. */
int own_refuse_column(const json_t *row, const char *column, const Line *line, Error *error);

/* "a, b, c", the first ones of some names, to be freed. */
char *own_list(char *const *names, ptrdiff_t count);

#endif
