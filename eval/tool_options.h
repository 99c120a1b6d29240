/* The command lines of tracediff and check: one table that is parsed and printed by --help. */
#ifndef TOOL_OPTIONS_H
#define TOOL_OPTIONS_H

#include "base.h"

typedef struct ToolOption {
    const char *name, *value, *help; /* value NULL: a flag, which becomes "yes" */
    const char **at;
} ToolOption;

/* What is no option moves to the end of argv; *first is its index. A "--" ends the options. Errors:
 * 64 with the nearest name. */
int tool_options_parse(const ToolOption *options, int count, int argc, char **argv, int *first,
                       Error *error);
void tool_options_help(FILE *out, const ToolOption *options, int count);

/* A whole number from least on. Errors: 64. */
int tool_number(uint32_t *number, const char *option, const char *text, uint32_t least,
                Error *error);

#endif
