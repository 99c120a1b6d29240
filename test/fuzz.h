/* What the fuzz targets share (make fuzz): each of test/fuzz_*.c gives bytes of chance to the
 * readers of one kind of files, which may refuse them, and requires of what they take what the rest
 * of the program relies on.
 *
 * Readers take paths, so files lie in a folder in memory. An input is some of them: a letter, which
 * says what the file is, its bytes, "\n%%" before the letter of the next one. */
#ifndef FUZZ_H
#define FUZZ_H

#include "base.h"

/* Ends the process, which the fuzzer notes with the input. */
#define REQUIRE(condition, ...)                                                                    \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fuzz_fail(__FILE__, __LINE__, #condition, __VA_ARGS__);                                \
        }                                                                                          \
    } while (0)
void fuzz_fail(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((noreturn, format(printf, 4, 5)));

typedef struct FuzzFile {
    char letter;
    uint8_t *bytes; /* of its own, so that the sanitizer sees both ends */
    size_t size;
} FuzzFile;

enum { FUZZ_FILES = 8 };

/* The files of an input, at most FUZZ_FILES; returns how many. fuzz_free releases them. */
int fuzz_split(FuzzFile files[FUZZ_FILES], const uint8_t *bytes, size_t size);
void fuzz_free(FuzzFile *files, int count);

/* The folder, empty where the process begins; a path in it, for the caller to free. */
const char *fuzz_folder(void);
char *fuzz_path(const char *name);

/* Makes, or removes, a file of the folder. */
void fuzz_write(const char *name, const void *bytes, size_t size);
void fuzz_remove(const char *name);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#endif
