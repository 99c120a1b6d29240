#include "check.h"

#include "base.h"

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

static char *folder;

const char *scratch_folder(void)
{
    if (!folder) {
        Error error;
        folder = folder_temporary(&error);
        if (!folder) {
            fprintf(stderr, "%s\n", error.text);
            exit(error.code);
        }
    }
    return folder;
}

char *scratch_path(const char *name)
{
    return string_format("%s/%s", scratch_folder(), name);
}

static void remove_folder(void)
{
    if (folder) {
        char *command = string_format("rm -r '%s'", folder);
        CHECK(!system(command), "%s could not be removed", folder);
        free(command);
        free(folder);
        folder = NULL;
    }
}

int checks_close(const char *what)
{
    remove_folder();
    printf("%s: %d passed, %d failed\n", what, checks_passed, checks_failed);
    return checks_failed || !checks_passed;
}
