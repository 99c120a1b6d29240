/* --profile: what each op took, as a table and as a JSON file (docs/FORMATS.md). */
#ifndef PROFILE_H
#define PROFILE_H

#include "backend.h"

typedef struct Profile {
    Backend *backend;
    Writer writer;
    double start;
} Profile;

/* Opens the file and begins to time the ops. Errors: 73, 74, 77. */
int profile_open(Profile *profile, Backend *backend, const char *path, Error *error);

/* Writes the file, unless code is not 0, and the table, if not NULL. Returns code, or the error of
 * writing: 74. */
int profile_close(Profile *profile, int code, FILE *table, Error *error);

#endif
