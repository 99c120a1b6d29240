/* Counting checks: every test program prints what it compared and closes with "N passed, N failed".
 * A comparison is written !(error <= tolerance), so that NaN fails. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>

static int checks_passed, checks_failed;

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

/* The exit status: a program that compared nothing has failed. */
static inline int checks_close(const char *what)
{
    printf("%s: %d passed, %d failed\n", what, checks_passed, checks_failed);
    return checks_failed || !checks_passed;
}

#endif
