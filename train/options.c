#include "options.h"
#include "backend.h"
#include "tasks.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum Kind { TEXT, COUNT, REAL, SEED, FLAG } Kind;

static const struct {
    const char *name; /* with hyphens, as typed */
    Kind kind;
    const char *value, *preset, *help;
    size_t offset;
} table[] = {
#define OPTION(name, kind, value, preset, help)                                                    \
    {#name, kind, value, preset, help, offsetof(Options, name)},
#include "options.def"
#undef OPTION
};
enum { OPTIONS = sizeof table / sizeof *table };

/* seed_init is typed --seed-init. */
static const char *typed_name(char out[32], int i)
{
    snprintf(out, 32, "%s", table[i].name);
    for (char *c = out; *c; c++) {
        *c = *c == '_' ? '-' : *c;
    }
    return out;
}

static const char **slot(const Options *options, int i)
{
    return (const char **)(void *)((char *)(uintptr_t)options + table[i].offset);
}

double option_real(const char *text)
{
    return text ? strtod(text, NULL) : 0.0;
}

int option_count(const char *text)
{
    return text ? atoi(text) : 0;
}

uint64_t option_seed(const char *text)
{
    return text ? strtoull(text, NULL, 10) : 0;
}

static int check_value(const char *name, Kind kind, const char *text, Error *error)
{
    char *end = NULL;
    errno = 0;
    if (kind == COUNT) {
        long number = strtol(text, &end, 10);
        if (!*text || *end || errno || number < 0 || number > 1000000000) {
            return error_set(error, EXIT_USAGE, "--%s %s: not a whole number from 0 to 1000000000",
                             name, text);
        }
    } else if (kind == REAL) {
        double number = strtod(text, &end);
        if (!*text || *end || !isfinite(number) || number < 0) {
            return error_set(error, EXIT_USAGE, "--%s %s: not a number from 0", name, text);
        }
    } else if (kind == SEED) {
        (void)strtoull(text, &end, 10);
        if (!*text || strspn(text, "0123456789") != strlen(text) || errno) {
            return error_set(error, EXIT_USAGE,
                             "--%s %s: not a whole number from 0 to 18446744073709551615", name,
                             text);
        }
    }
    return 0;
}

int options_seeds(uint64_t seeds[MAX_SEEDS], const char *text, Error *error)
{
    int count = 0;
    char *copy = string_copy(text), *rest = copy, *part;
    while ((part = strsep(&rest, ",")) && count >= 0) {
        if (check_value("seeds", SEED, part, error)) {
            count = -1;
        } else if (count == MAX_SEEDS) {
            error_set(error, EXIT_USAGE, "--seeds: more than %d seeds", MAX_SEEDS);
            count = -1;
        } else {
            seeds[count++] = option_seed(part);
            for (int i = 0; i < count - 1; i++) {
                if (seeds[i] == seeds[count - 1]) {
                    error_set(error, EXIT_USAGE, "--seeds %s: the seed %s stands twice", text,
                              part);
                    count = -1;
                    break;
                }
            }
        }
    }
    free(copy);
    return count;
}

static int unknown_option(const char *text, Error *error)
{
    char names[OPTIONS][32], word[64];
    const char *list[OPTIONS];
    for (int i = 0; i < OPTIONS; i++) {
        list[i] = typed_name(names[i], i);
    }
    snprintf(word, sizeof word, "%.*s", (int)strcspn(text, "="), text);
    const char *near = nearest_word(word + strspn(word, "-"), list, OPTIONS);
    return error_set(error, EXIT_USAGE, "%s: no such option%s%s; train_gpt --help lists them", word,
                     near ? "; did you mean --" : "", near ? near : "");
}

int options_parse(Options *options, int argc, char **argv, Error *error)
{
    struct option long_options[OPTIONS + 1] = {0};
    char names[OPTIONS][32];
    *options = (Options){0};
    for (int i = 0; i < OPTIONS; i++) {
        long_options[i] = (struct option){typed_name(names[i], i),
                                          table[i].kind == FLAG ? no_argument : required_argument,
                                          NULL, 1000 + i};
        *slot(options, i) = *table[i].preset ? table[i].preset : NULL;
    }
    opterr = 0;
    optind = 1;
    for (;;) {
        int index = optind, option = getopt_long(argc, argv, ":hqv", long_options, NULL);
        if (option < 0) {
            break;
        }
        if (option == 'h' || option == 'q' || option == 'v') {
            *(option == 'h'   ? &options->help
              : option == 'q' ? &options->quiet
                              : &options->verbose) = "yes";
            continue;
        }
        if (option == ':') {
            return error_set(error, EXIT_USAGE,
                             "%s: a value is missing; train_gpt --help says which", argv[index]);
        }
        if (option < 1000) {
            return unknown_option(argv[index], error);
        }
        int i = option - 1000;
        if (table[i].kind != FLAG && check_value(names[i], table[i].kind, optarg, error)) {
            return error->code;
        }
        *slot(options, i) = table[i].kind == FLAG ? "yes" : optarg;
        if (!strcmp(table[i].name, "kernel")) {
            if (options->kernel_count == MAX_KERNELS) {
                return error_set(error, EXIT_USAGE, "--kernel: more than %d", MAX_KERNELS);
            }
            options->kernels[options->kernel_count++] = optarg;
        }
    }
    if (optind < argc) {
        return error_set(error, EXIT_USAGE,
                         "%s: an argument without an option; did you mean --task %s?", argv[optind],
                         argv[optind]);
    }
    return 0;
}

void options_help(FILE *out)
{
    int count;
    const Task *tasks = tasks_all(&count);
    fputs(
        "usage: train_gpt --task NAME [--seed N | --seeds N,N,...] [options]\n"
        "Fine-tunes a pretrained transformer from a seed, exactly, and writes one prediction file "
        "a run.\n\nOptions:\n",
        out);
    for (int i = 0; i < OPTIONS; i++) {
        char name[32], left[48];
        snprintf(left, sizeof left, "--%s %s", typed_name(name, i), table[i].value);
        fprintf(out, "  %-24s %s", left, table[i].help);
        fprintf(out, *table[i].preset ? " [%s]\n" : "\n", table[i].preset);
    }
    fputs("\nTasks:\n", out);
    for (int i = 0; i < count; i++) {
        fprintf(out, "  %-14s %s, %s; recipe task: lr %g, batch %d, %g epochs, length %d\n",
                tasks[i].name, tasks[i].benchmark, metric_name(tasks[i].metric), tasks[i].lr,
                tasks[i].batch, tasks[i].epochs, tasks[i].longest);
    }
    fputs("\nKernels:\n", out);
    backend_list_variants(out);
    fputs("\nExit codes: 0 done, 64 usage, 65 bad data or model, 66 missing input, 71 no memory, "
          "73 cannot create, 74 I/O,\n"
          "75 stopped by a signal, 77 permission, 79 diverged.\n",
          out);
}

void options_print(const Options *options, FILE *out)
{
    for (int i = 0; i < OPTIONS; i++) {
        char name[32];
        if (*slot(options, i)) {
            fprintf(out, "  --%s %s\n", typed_name(name, i), *slot(options, i));
        }
    }
}
