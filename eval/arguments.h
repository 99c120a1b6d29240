/* The command line of consistency. */
#ifndef ARGUMENTS_H
#define ARGUMENTS_H

#include "base.h"

typedef enum Format {
    FORMAT_TEXT,
    FORMAT_JSON,
    FORMAT_JSONL,
    FORMAT_CSV,
    FORMAT_MD,
    FORMAT_LATEX,
    FORMAT_HTML
} Format;

typedef enum Interval { INTERVAL_TWO_WAY, INTERVAL_BOOT, INTERVAL_NONE } Interval;

typedef struct Arguments {
    Format format;
    int format_named; /* else it follows the end of output */
    Interval ci;
    int pairs, cluster, ascii, strict, intersect, drop, ddof, plan, help, version;
    int listed;      /* --examples was given */
    size_t examples; /* SIZE_MAX for all */
    size_t boot;     /* draws; 0 for none */
    uint64_t boot_seed;
    double level, tolerance;
    size_t min_seeds;
    const char *side[2]; /* --compare A B, or NULL */
    const char *output, *correlate, *audit, *reference, *expect, *gold, *labels, *metric, *data;
    const char *scores, *seed_from, *want, *given, *submission;
    char **files; /* [count] owned; folders are replaced by what is in them */
    size_t count;
} Arguments;

/* Errors: 64 with the option, its value and what it may be; those of folders_expand. Freed by
 * arguments_free, after an error too. */
int arguments_parse(Arguments *options, int argc, char **argv, Error *error);
void arguments_free(Arguments *options);
void arguments_help(FILE *out);

#endif
