/* Public facts of the GLUE and SuperGLUE tasks, for tables of results made anywhere. */
#ifndef KNOWN_H
#define KNOWN_H

typedef struct KnownTask {
    const char *label;     /* column of a table: RTEG */
    const char *benchmark; /* glue or superglue */
    const char *names[4];  /* as files and papers write it, lower case without - and _ */
    int K;                 /* 1 for regression */
    const char *metric;
    unsigned train, dev; /* examples of the public splits */
} KnownTask;

/* In the order of the study's Table 1; the other tasks follow those of their benchmark. */
const KnownTask *known_tasks(int *count);

/* Letters and digits of a name (of the first 63), lower case: papers and folders write one name in
 * several ways. Returns out. */
const char *plain_name(char out[64], const char *name);

/* By name; benchmark may be NULL, "" or unknown and decides between equal names. NULL for another
 * task. */
const KnownTask *known_task(const char *name, const char *benchmark);

#endif
