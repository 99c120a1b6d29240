/* Counting checks: every test program prints what it compared and closes with "N passed, N failed".
 * A comparison is written !(error <= tolerance), so that NaN fails. */
#ifndef CHECK_H
#define CHECK_H

#include "weight.h"

#include <math.h>
#include <stdio.h>

extern int checks_passed, checks_failed;

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (condition) {                                                                           \
            checks_passed++;                                                                       \
        } else {                                                                                   \
            checks_failed++;                                                                       \
            printf("FAILED %s:%d: ", __FILE__, __LINE__);                                          \
            printf(__VA_ARGS__);                                                                   \
            putchar('\n');                                                                         \
        }                                                                                          \
    } while (0)

/* One row of logits of a language model, which never holds them itself: for each of V words the
 * chain over C of x and the word's weights. */
void logits_row(float *logits, const float *x, Weight word, size_t V, size_t C);

/* A folder of the program's own in $TMPDIR (/tmp if that is not set), made by the first call and
 * removed with all that is in it by checks_close. */
const char *scratch_folder(void);

/* The path of name in it, for the caller to free. */
char *scratch_path(const char *name);

/* Prints the counts. The exit status: a program that compared nothing has failed. */
int checks_close(const char *what);

#endif
