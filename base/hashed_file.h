/* A file that is hashed while it is written, in large pieces that begin their way to the disk at
 * once, so that little is left to wait for at its end. It has its name from the beginning on: it is
 * for a folder that gets its own name last. Any thread may write one. */
#ifndef HASHED_FILE_H
#define HASHED_FILE_H

#include "base.h"

typedef struct HashedFile {
    const char *path; /* not owned */
    int descriptor;
    size_t size, begun; /* bytes that were written, and of which the disk was told */
    void *hash;         /* XXH3 of them so far */
} HashedFile;

/* Creates the file. Errors: 73, 74, 77. */
int hashed_open(HashedFile *file, const char *path, Error *error);

/* Appends bytes; the user is a HashedFile: a SafetensorsSink. Errors: 74. */
int hashed_put(void *user, const void *bytes, size_t size, Error *error);

/* Ends the file, also after an error, whose code it returns. Where there was none it is on the disk
 * then, and hex has its XXH3, 64 bits. Errors: 74. */
int hashed_close(HashedFile *file, char hex[17], int code, Error *error);

/* The same of bytes that are there. */
void hashed_text(char hex[17], const void *bytes, size_t size);

#endif
