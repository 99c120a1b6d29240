#include "check.h"

#include <stdlib.h>

int checks_passed, checks_failed;

void logits_row(float *logits, const float *x, Weight word, size_t V, size_t C)
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

int checks_close(const char *what)
{
    printf("%s: %d passed, %d failed\n", what, checks_passed, checks_failed);
    return checks_failed || !checks_passed;
}
