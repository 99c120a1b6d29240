#include "options.h"
#include "backend.h"
#include "tasks.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum Kind { TEXT, CHOICE, COUNT, EVERY, SAVE, REAL, SEED, FLAG } Kind;

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
enum { OPTIONS = OPTION_COUNT };

/* Names that other trainers have for an option, and what to write here. */
static const struct {
    const char *name, *ours;
} hints[] = {
#define HINT(name, ours) {#name, ours},
#include "hints.def"
#undef HINT
};
enum { HINTS = sizeof hints / sizeof *hints };

const char *option_typed(char typed[32], const char *name)
{
    snprintf(typed, 32, "%s", name);
    for (char *c = typed; *c; c++) {
        *c = *c == '_' ? '-' : *c;
    }
    return typed;
}

static int option_index(const char *name)
{
    int i = 0;
    while (strcmp(table[i].name, name)) {
        i++;
    }
    return i;
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

int option_in_steps(const char *text)
{
    return text && strchr(text, 's') != NULL;
}

uint64_t option_seed(const char *text)
{
    return text ? strtoull(text, NULL, 10) : 0;
}

int option_places(uint64_t places[3], const char *text)
{
    for (int count = 0; text && count < 3;) {
        size_t digits = strspn(text, "0123456789");
        if (!digits || digits > 18) {
            return 0;
        }
        places[count++] = strtoull(text, NULL, 10);
        text += digits;
        if (!*text) {
            return count;
        }
        if (*text++ != '.') {
            return 0;
        }
    }
    return 0;
}

/* Places of outputs, which count from step 1 and record 0 on. */
static int check_places(const Options *o, Error *error)
{
    uint64_t until[3] = {1}, perturb[3] = {1};
    int places = option_places(until, o->trace_until), outputs = *o->trace_level == 'o';
    if (o->trace_until && (places < 1 || places > 2 || until[0] < 1 || until[0] > 1000000000)) {
        return error_set(error, EXIT_USAGE, "--trace-until %s: neither STEP nor STEP.RECORD",
                         o->trace_until);
    }
    if (o->perturb && (option_places(perturb, o->perturb) != 3 || !perturb[0])) {
        return error_set(error, EXIT_USAGE, "--perturb %s: not STEP.RECORD.I", o->perturb);
    }
    if ((o->trace_tensor != NULL) != (places == 2)) {
        return error_set(error, EXIT_USAGE,
                         "--trace-tensor FILE and --trace-until STEP.RECORD need each other");
    }
    if ((o->trace_tensor || o->perturb) && (!outputs || option_count(o->trace_every) != 1)) {
        return error_set(error, EXIT_USAGE,
                         "--%s: records are those of --trace FILE --trace-level outputs, every "
                         "step",
                         o->perturb ? "perturb" : "trace-tensor");
    }
    return 0;
}

/* Files that the run writes side by side. */
static int check_files(const Options *o, Error *error)
{
    const char *files[] = {o->trace, o->trace_tensor, o->profile};
    static const char *const written[] = {"trace", "trace-tensor", "profile"};
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < i; j++) {
            if (files[i] && files[j] &&
                (!strcmp(files[i], files[j]) || path_is_same(files[i], files[j]))) {
                return error_set(error, EXIT_USAGE,
                                 "--%s and --%s are one file, %s; choose another path", written[j],
                                 written[i], files[i]);
            }
        }
    }
    return 0;
}

/* "--select halb: choose last, best or half" */
static int check_choice(const char *name, const char *choices, const char *text, Error *error)
{
    enum { MOST = 8 };
    char *copy = string_copy(choices), *list = NULL, *rest = NULL;
    const char *words[MOST];
    int count = 0, known = 0;
    for (char *word = strtok_r(copy, "|", &rest); word && count < MOST;
         word = strtok_r(NULL, "|", &rest)) {
        known |= !strcmp(word, text);
        words[count++] = word;
    }
    for (int i = 0; i < count; i++) {
        string_append(&list, "%s%s", !i ? "" : i < count - 1 ? ", " : " or ", words[i]);
    }
    const char *near = nearest_word(text, words, count);
    int code = known ? 0
                     : error_set(error, EXIT_USAGE, "--%s %s: choose %s%s%s", name, text, list,
                                 near ? "; did you mean " : "", near ? near : "");
    free(list);
    free(copy);
    return code;
}

/* Whether the text has the form that option i asks for. */
static int check_value(int i, const char *text, Error *error)
{
    const Kind kind = table[i].kind;
    char *end = NULL, name[32];
    option_typed(name, table[i].name);
    errno = 0;
    if (!*text) {
        return error_set(error, EXIT_USAGE,
                         "--%s: the value is empty; name one, or leave the option out", name);
    }
    if (kind == CHOICE) {
        return check_choice(name, table[i].value, text, error);
    }
    if (kind == COUNT || kind == EVERY || kind == SAVE) {
        long number = strtol(text, &end, 10);
        int steps = kind != COUNT && end > text && !strcmp(end, "steps");
        if ((*end && !steps) || errno || number < 0 || number > 1000000000) {
            return error_set(error, EXIT_USAGE,
                             "--%s %s: not a whole number from 0 to 1000000000%s", name, text,
                             kind == EVERY  ? " of epochs, or Nsteps"
                             : kind == SAVE ? " of minutes, or Nsteps"
                                            : "");
        }
    } else if (kind == REAL) {
        double number = strtod(text, &end);
        if (*end || !isfinite(number) || number < 0) {
            return error_set(error, EXIT_USAGE, "--%s %s: not a number from 0", name, text);
        }
    } else if (kind == SEED) {
        (void)strtoull(text, &end, 10);
        if (strspn(text, "0123456789") != strlen(text) || errno) {
            uint64_t seeds[MAX_SEEDS];
            Error none;
            int list = !strcmp(name, "seed") && options_seeds(seeds, text, &none) > 0;
            char *word = shell_quote(text);
            error_set(error, EXIT_USAGE,
                      "--%s %s: not a whole number from 0 to 18446744073709551615%s%s", name, text,
                      list ? "; several seeds are --seeds " : "", list ? word : "");
            free(word);
            return error->code;
        }
    }
    return 0;
}

/* The hint for an option as typed, --NAME or --NAME=VALUE with hyphens or underscores, or -1. */
static int find_hint(const char *typed)
{
    char word[64];
    size_t length = strcspn(typed, "=");
    if (strncmp(typed, "--", 2) || length - 2 >= sizeof word) {
        return -1;
    }
    snprintf(word, sizeof word, "%.*s", (int)length - 2, typed + 2);
    for (char *c = word; *c; c++) {
        *c = *c == '-' ? '_' : *c;
    }
    int i = HINTS - 1;
    while (i >= 0 && strcmp(hints[i].name, word)) {
        i--;
    }
    return i;
}

/* Every option of this command line that has a hint, in one message: who brings a whole command
 * from run_glue.py shall not learn of one option at a time. */
static int foreign_options(int argc, char **argv, Error *error)
{
    char *list = string_copy("");
    for (int i = 1; i < argc; i++) {
        int hint = find_hint(argv[i]);
        if (hint >= 0) {
            char *longer = string_format("%s%s%.*s -> %s", list, *list ? "; " : "",
                                         (int)strcspn(argv[i], "="), argv[i], hints[hint].ours);
            free(list);
            list = longer;
        }
    }
    error_set(error, EXIT_USAGE, "no options here, but of run_glue.py: %s", list);
    free(list);
    return error->code;
}

static int unknown_option(const char *text, Error *error)
{
    char names[OPTIONS][32], word[64];
    const char *list[OPTIONS];
    for (int i = 0; i < OPTIONS; i++) {
        list[i] = option_typed(names[i], table[i].name);
    }
    snprintf(word, sizeof word, "%.*s", (int)strcspn(text, "="), text);
    const char *near = nearest_word(word + strspn(word, "-"), list, OPTIONS);
    return error_set(error, EXIT_USAGE, "%s: no such option%s%s; train_gpt --help lists them", word,
                     near ? "; did you mean --" : "", near ? near : "");
}

int option_given(const Options *options, const char *name)
{
    return options->given[option_index(name)];
}

int options_check_value(const char *name, const char *text, int flag, Error *error)
{
    char typed[32];
    int i = option_index(name);
    option_typed(typed, name);
    if ((table[i].kind == FLAG) != flag) {
        return error_set(error, EXIT_USAGE, "--%s: %s", typed,
                         flag ? "takes a value, not true or false" : "must be true or false");
    }
    return flag ? 0 : check_value(i, text, error);
}

void options_fill(Options *options, const char *name, const char *text)
{
    int i = option_index(name);
    if (!options->given[i]) {
        *slot(options, i) = text;
    }
}

int options_check_training(const Options *o, Error *error)
{
    static const char *const adapters[] = {"lora_r", "lora_alpha", "lora_dropout", "lora_targets",
                                           "rslora"};
    for (size_t i = 0; i < sizeof adapters / sizeof *adapters; i++) {
        if (option_given(o, adapters[i]) && (o->adapter || !o->lora)) {
            int dash = (int)strcspn(adapters[i], "_");
            const char *rest = adapters[i] + dash;
            return error_set(error, EXIT_USAGE, "--%.*s%s%s %s", dash, adapters[i],
                             *rest ? "-" : "", *rest ? rest + 1 : "",
                             o->adapter ? "with --adapter: the configuration in its folder counts; "
                                          "leave the option out"
                                        : "without --lora changes nothing; add --lora, or leave "
                                          "the option out");
        }
    }
    int last = !strcmp(o->select, "last");
    if (!last && !option_count(o->eval_every)) {
        return error_set(error, EXIT_USAGE,
                         "--select %s with --eval-every 0: there is one evaluation, the last; "
                         "set --eval-every to 1 or more",
                         o->select);
    }
    if (last && option_count(o->patience)) {
        return error_set(error, EXIT_USAGE,
                         "--patience %s with --select last: no evaluation is better than another; "
                         "add --select best or half",
                         o->patience);
    }
    if (o->epochs && option_real(o->epochs) == 0 && option_count(o->max_steps)) {
        return error_set(error, EXIT_USAGE,
                         "--max-steps %s with --epochs 0, which evaluates only; leave one of them "
                         "out",
                         o->max_steps);
    }
    return 0;
}

/* Files of one's own come together, and what is said of them needs them. */
static int check_own(const Options *o, Error *error)
{
    static const char *const names[] = {"train-file",   "dev-file",  "test-file", "text-columns",
                                        "label-column", "id-column", "problem",   "template"};
    const char *const values[] = {o->train_file,   o->dev_file,  o->test_file, o->text_columns,
                                  o->label_column, o->id_column, o->problem,   o->template};
    for (int i = 1; i < 8 && !o->train_file; i++) {
        if (values[i]) {
            return error_set(error, EXIT_USAGE,
                             "--%s without --train-file changes nothing; add --train-file FILE "
                             "(data of your own, docs/TASKS.md)",
                             names[i]);
        }
    }
    if (o->train_file && !o->dev_file) {
        return error_set(
            error, EXIT_USAGE,
            "--train-file without --dev-file: the dev split is missing; add --dev-file "
            "FILE, which is evaluated");
    }
    if (o->train_file && o->predict_test) {
        return error_set(error, EXIT_USAGE,
                         "--predict-test with --train-file: name the file with --test-file");
    }
    if (o->trace_until && (o->predict_test || o->test_file)) {
        return error_set(error, EXIT_USAGE,
                         "--trace-until with --%s: no predictions are written; leave one of them "
                         "out",
                         o->test_file ? "test-file" : "predict-test");
    }
    if (o->train_file && o->data) {
        return error_set(error, EXIT_USAGE,
                         "--data with --train-file: give the folder of a known task or files of "
                         "your own");
    }
    return 0;
}

/* Options that would do nothing beside, or without, another one: a run that is not what its command
 * says is worse than none. */
static int check_together(const Options *o, Error *error)
{
    if (o->seeds && option_given(o, "seed")) {
        return error_set(error, EXIT_USAGE, "--seed with --seeds: give one of the two");
    }
    int shuffled = 0;
    for (int i = 0; i < o->kernel_count; i++) {
        shuffled |= strstr(o->kernels[i], "=shuffled") != NULL;
    }
    if (o->seed_order && !shuffled) {
        return error_set(error, EXIT_USAGE,
                         "--seed-order without a kernel that has a drawn order changes nothing; "
                         "add --kernel all=shuffled, or leave the option out");
    }
    if (o->seed_init && o->seed_data && o->seed_dropout && (o->seed_order || !shuffled) &&
        (o->seeds || option_given(o, "seed"))) {
        return error_set(error, EXIT_USAGE,
                         "--%s: --seed-init, --seed-data%s --seed-dropout%s leave it nothing to "
                         "decide; leave one of the options out",
                         o->seeds ? "seeds" : "seed", shuffled ? "," : " and",
                         shuffled ? " and --seed-order" : "");
    }
    if (!o->trace && (option_given(o, "trace_level") || option_given(o, "trace_every") ||
                      o->trace_until || o->perturb)) {
        return error_set(error, EXIT_USAGE,
                         "--%s without --trace changes nothing; add --trace FILE",
                         o->perturb                       ? "perturb"
                         : o->trace_until                 ? "trace-until"
                         : option_given(o, "trace_every") ? "trace-every"
                                                          : "trace-level");
    }
    if (o->trace && o->seeds) {
        return error_set(error, EXIT_USAGE,
                         "--trace with --seeds: a trace is of one run; give --seed");
    }
    if (!option_count(o->trace_every)) {
        return error_set(error, EXIT_USAGE, "--trace-every 0: steps count from 1");
    }
    if (check_own(o, error) || check_places(o, error) || check_files(o, error)) {
        return error->code;
    }
    if (o->trace_until && o->save) {
        return error_set(error, EXIT_USAGE,
                         "--trace-until with --save: no model is written; leave one of them out");
    }
    int named = strcmp(o->resume, "auto") != 0 && strcmp(o->resume, "never") != 0;
    if (named && o->seeds) {
        return error_set(error, EXIT_USAGE,
                         "--resume %s with --seeds: a checkpoint is of one run; give --seed, or "
                         "leave --resume out, and each run goes on from its own",
                         o->resume);
    }
    if (o->trace_until && (option_given(o, "save_every") || o->keep_checkpoints)) {
        return error_set(error, EXIT_USAGE,
                         "--%s with --trace-until: no checkpoint is saved; leave one of them out",
                         o->keep_checkpoints ? "keep-checkpoints" : "save-every");
    }
    if (o->trace_until && o->epoch_preds) {
        return error_set(error, EXIT_USAGE,
                         "--trace-until with --epoch-preds: no predictions are written; leave one "
                         "of them out");
    }
    if (o->profile && o->dry_run) {
        return error_set(error, EXIT_USAGE,
                         "--profile with --dry-run, which runs nothing; leave one of them out");
    }
    return 0;
}

/* Each op has one variant. */
static int add_kernel(Options *options, const char *choice, Error *error)
{
    size_t op = strcspn(choice, "=");
    for (int i = 0; i < options->kernel_count; i++) {
        if (!strncmp(options->kernels[i], choice, op) && options->kernels[i][op] == '=') {
            return error_set(error, EXIT_USAGE, "--kernel %s: %s was chosen before; choose one",
                             choice, options->kernels[i]);
        }
    }
    if (options->kernel_count == MAX_KERNELS) {
        return error_set(error, EXIT_USAGE, "--kernel: more than %d", MAX_KERNELS);
    }
    options->kernels[options->kernel_count++] = choice;
    return 0;
}

int options_parse(Options *options, int argc, char **argv, Error *error)
{
    struct option long_options[2 * OPTIONS + 1] = {0}; /* seed_init is --seed-init or --seed_init */
    char names[OPTIONS][32];
    *options = (Options){.argc = argc, .argv = argv};
    for (int i = 0; i < OPTIONS; i++) {
        int argument = table[i].kind == FLAG ? no_argument : required_argument;
        long_options[2 * i] = (struct option){option_typed(names[i], table[i].name), argument, NULL,
                                              1000 + i};
        long_options[2 * i + 1] = (struct option){table[i].name, argument, NULL, 1000 + i};
        *slot(options, i) = *table[i].preset ? table[i].preset : NULL;
    }
    opterr = 0;
    optind = 1;
    for (;;) {
        int index = optind, option = getopt_long(argc, argv, "+:hqv", long_options, NULL);
        if (option < 0) {
            options->argc = index; /* without a -- */
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
        if (option < 1000 && optopt >= 1000) {
            return error_set(error, EXIT_USAGE, "--%s takes no value; write it alone",
                             names[optopt - 1000]);
        }
        if (option < 1000) {
            return find_hint(argv[index]) >= 0 ? foreign_options(argc, argv, error)
                                               : unknown_option(argv[index], error);
        }
        int i = option - 1000;
        if (table[i].kind != FLAG && check_value(i, optarg, error)) {
            return error->code;
        }
        *slot(options, i) = table[i].kind == FLAG ? "yes" : optarg;
        options->given[i] = 1;
        int fast = !strcmp(table[i].name, "fast");
        if ((fast || !strcmp(table[i].name, "kernel")) &&
            add_kernel(options, fast ? "matmul_forward=tf32" : optarg, error)) {
            return error->code;
        }
    }
    if (optind < argc) {
        char *word = shell_quote(argv[optind]);
        if (strspn(word, "0123456789") == strlen(word)) {
            error_set(error, EXIT_USAGE,
                      "%s: an argument without an option; a list of seeds is one argument, such as "
                      "--seeds 42,52,62",
                      word);
        } else {
            error_set(error, EXIT_USAGE,
                      "%s: an argument without an option; did you mean --task %s?", argv[optind],
                      word);
        }
        free(word);
        return error->code;
    }
    return options->help || options->version || options->list_recipes
               ? 0
               : check_together(options, error);
}

void options_help(FILE *out)
{
    int count;
    const Task *tasks = tasks_all(&count);
    fputs("usage: train_gpt --task NAME [--seed N | --seeds LIST] [options]\n"
          "Fine-tunes a pretrained transformer from a seed, exactly, and writes one\n"
          "prediction file a run. Many tasks and seeds at once: train_gpt study --help.\n\nOptions "
          "([its value where it is not given]):\n",
          out);
    for (int i = 0; i < OPTIONS; i++) {
        char name[32], left[48];
        snprintf(left, sizeof left, "--%s %s", option_typed(name, table[i].name), table[i].value);
        char *text = *table[i].preset ? string_format("%s [%s]", table[i].help, table[i].preset)
                                      : string_copy(table[i].help);
        int wide = strlen(left) > 24;
        fprintf(out, "  %-24s%s%*s", left, wide ? "\n" : "", wide ? 27 : 1, "");
        print_words(out, 27, 27, text);
        fputc('\n', out);
        free(text);
    }
    fputs("\nTasks:\n"
          "  name           benchmark  metric    length\n",
          out);
    for (int i = 0; i < count; i++) {
        fprintf(out, "  %-14s %-9s  %-8s %7d\n", tasks[i].name, tasks[i].benchmark,
                metric_name(tasks[i].metric), tasks[i].longest);
    }
    fputs("  ax, axb, axg   diagnostics: predicted by runs of mnli (ax) and rte_superglue\n"
          "  lm             text of your own, for a decoder (docs/TASKS.md)\n"
          "  own            data of your own: --train-file, --dev-file (docs/TASKS.md)\n",
          out);
    fputs("\nKernels:\n", out);
    backend_list_variants(out);
    fputs("\nExit codes: 0 done, 64 usage, 65 bad data or model, 66 missing input,\n"
          "71 no memory, 73 cannot create, 74 I/O, 75 stopped by a signal: the same command\n"
          "goes on, 77 permission, 78 other settings than the run was begun with,\n"
          "79 diverged.\n",
          out);
}

void options_print(const Options *options, FILE *out)
{
    for (int i = 0; i < OPTIONS; i++) {
        char name[32];
        if (*slot(options, i)) {
            fprintf(out, "  --%s %s\n", option_typed(name, table[i].name), *slot(options, i));
        }
    }
}
