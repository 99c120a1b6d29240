/* Counting checks: every test program prints what it compared and closes with "N passed, N failed".
 * A comparison is written !(error <= tolerance), so that NaN fails. */
#ifndef CHECK_H
#define CHECK_H

#include "weight.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

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

/* One row of logits of a language model, which never holds them itself: for each of V words the
 * chain over C of x and the word's weights. */
static inline void logits_row(float *logits, const float *x, Weight word, size_t V, size_t C)
{
    float *row = malloc(C * sizeof *row);
    for (size_t v = 0; v < V && row; v++) {
        weight_row(row, word, v * C, C);
        logits[v] = 0.0f;
        for (size_t c = 0; c < C; c++) {
            logits[v] = fmaf(x[c], row[c], logits[v]);
        }
    }
    free(row);
}

/* The exit status: a program that compared nothing has failed. */
static inline int checks_close(const char *what)
{
    printf("%s: %d passed, %d failed\n", what, checks_passed, checks_failed);
    return checks_failed || !checks_passed;
}

#endif
