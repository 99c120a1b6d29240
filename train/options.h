/* The command line of train_gpt. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "base.h"

enum { MAX_SEEDS = 1000, MAX_KERNELS = 32 };

enum {
    OPTION_COUNT = 0
#define OPTION(name, kind, value, preset, help) +1
#include "options.def"
#undef OPTION
};

/* Values as given, else as a recipe has them, else preset, else NULL. */
typedef struct Options {
#define OPTION(name, kind, value, preset, help) const char *name;
#include "options.def"
#undef OPTION
    char given[OPTION_COUNT];         /* whether it is on the command line */
    const char *kernels[MAX_KERNELS]; /* every --kernel */
    int kernel_count;
    int argc; /* of the command line */
    char **argv;
} Options;

/* Parses and checks the form of every value, and that none would be without effect beside the
 * others. Names may have _ for -. Strings point into argv. Errors: 64 with the nearest valid name,
 * or what to write for an option of run_glue.py. */
int options_parse(Options *options, int argc, char **argv, Error *error);

/* A recipe's value for an option, by its name with underscores. First its form is checked (64):
 * flag says whether it stands for one that takes no value. It counts where the command line has
 * none. text must outlive the options. */
int options_check_value(const char *name, const char *text, int flag, Error *error);
void options_fill(Options *options, const char *name, const char *text);

/* Whether an option is on the command line; its name as it is typed, with hyphens. */
int option_given(const Options *options, const char *name);
const char *option_typed(char typed[32], const char *name);

/* Whether what decides the training, from a recipe or the command line, goes together. Errors: 64.
 */
int options_check_training(const Options *options, Error *error);

/* Values by kind; the form was checked by options_parse. 0 if the option was not given. */
double option_real(const char *text);
int option_count(const char *text);
int option_in_steps(const char *text); /* whether an EVERY counts steps */
uint64_t option_seed(const char *text);

/* "4.17.3": how many numbers, at most 3, are in places; 0 for none or what is no such text. */
int option_places(uint64_t places[3], const char *text);

/* The seeds of a list, in its order: numbers and ranges, FIRST-LAST or FIRST:LAST:STEP with LAST
 * included, between commas or spaces. Returns how many, or -1 after setting error (64). */
int options_seeds(uint64_t seeds[MAX_SEEDS], const char *text, Error *error);

void options_help(FILE *out);

/* "--name value" lines of everything that is set. */
void options_print(const Options *options, FILE *out);

#endif
