/* Command lines of the programs of eval/: one table that is parsed and that --help prints. */
#ifndef TOOL_OPTIONS_H
#define TOOL_OPTIONS_H

#include "base.h"

typedef struct ToolOption {
    const char *name, *value; /* value NULL: a flag; of two words: two values follow */
    size_t
        at; /* of the int that becomes 1, or of the const char * (two of them) that take the text,
                * in the struct of the program; 0: the program's function reads the value */
    const char *help;
} ToolOption;

/* Reads the value of an option. Errors: 64. */
typedef int ToolOptionReader(void *into, const char *name, const char *value, Error *error);

/* Fills the struct `into` from the arguments. What is no option moves to the end of argv; *first is
 * its index. "--" ends the options; -h and -o are those that begin so. read NULL: there is no option
 * without a place. Errors: 64 with the nearest name; those of read. */
int tool_options_parse(const ToolOption *options, int count, ToolOptionReader *read, void *into,
                       int argc, char **argv, int *first, Error *error);
void tool_options_help(FILE *out, const ToolOption *options, int count);

/* A program that compares: exit code 0 where it finds no difference, 1 where it does, else that of
 * its error, which goes to standard error. */
typedef struct Comparer {
    const char *name;
    const ToolOption *options;
    int count;
    void *arguments;           /* that the options fill */
    int *first;                /* of them, as all of the next: the first that is no option */
    const int *help, *version; /* these were given */
    void (*show_help)(void);
    int (*compare)(char **files, int count, int *different, Error *error);
} Comparer;
int comparer_main(const Comparer *comparer, int argc, char **argv);

#endif
