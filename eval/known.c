#include "known.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

/* Sizes: GLUE (Wang et al. 2019), SuperGLUE (Wang et al. 2019), counted in the public files. */
static const KnownTask tasks[] = {
    {"MRPC", "glue", {"mrpc"}, 2, "accuracy", 3668, 408},
    {"QNLI", "glue", {"qnli"}, 2, "accuracy", 104743, 5463},
    {"QQP", "glue", {"qqp"}, 2, "accuracy", 363846, 40430},
    {"SST2", "glue", {"sst2"}, 2, "accuracy", 67349, 872},
    {"RTEG", "glue", {"rteg", "rte", "rteglue"}, 2, "accuracy", 2490, 277},
    {"CoLA", "glue", {"cola"}, 2, "mcc", 8551, 1043},
    {"MNLI", "glue", {"mnli"}, 3, "accuracy", 392702, 9815},
    {"WNLI", "glue", {"wnli"}, 2, "accuracy", 635, 71},
    {"STSB", "glue", {"stsb"}, 1, "pearson", 5749, 1500},
    {"BoolQ", "superglue", {"boolq"}, 2, "accuracy", 9427, 3270},
    {"CB", "superglue", {"cb"}, 3, "accuracy", 250, 56},
    {"RTES", "superglue", {"rtes", "rte", "rtesuperglue"}, 2, "accuracy", 2490, 277},
    {"MultiRC", "superglue", {"multirc"}, 2, "accuracy", 27243, 4848},
    {"WiC", "superglue", {"wic"}, 2, "accuracy", 5428, 638},
    {"COPA", "superglue", {"copa"}, 2, "accuracy", 400, 100},
    {"WSC", "superglue", {"wsc"}, 2, "accuracy", 554, 104},
};
enum { TASKS = sizeof tasks / sizeof *tasks };

const KnownTask *known_tasks(int *count)
{
    *count = TASKS;
    return tasks;
}

const char *plain_name(char out[64], const char *name)
{
    size_t n = 0;
    for (; *name && n + 1 < 64; name++) {
        if (isalnum((unsigned char)*name)) {
            out[n++] = (char)tolower((unsigned char)*name);
        }
    }
    out[n] = 0;
    return out;
}

const KnownTask *known_task(const char *name, const char *benchmark)
{
    char plain[64];
    (void)plain_name(plain, name);
    const KnownTask *found = NULL;
    for (int i = 0; i < TASKS; i++) {
        for (int k = 0; k < 4 && tasks[i].names[k]; k++) {
            if (!strcmp(tasks[i].names[k], plain) &&
                (!found || (benchmark && !strcmp(benchmark, tasks[i].benchmark)))) {
                found = &tasks[i];
            }
        }
    }
    return found;
}
