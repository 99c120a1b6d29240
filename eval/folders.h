/* Folders among the files of a command line. */
#ifndef FOLDERS_H
#define FOLDERS_H

#include "base.h"

/* The paths [*count], with each folder replaced by the prediction files (.bin) in it, by name; logs
 * and folders below are passed over. The caller frees them with folder_list_free. Errors: 65 for a
 * folder without such files, those of opening it, 66 for a path that is not there. */
int folders_expand(char ***files, size_t *count, char *const *paths, size_t n, Error *error);

#endif
