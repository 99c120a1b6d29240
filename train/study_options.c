/* The command line of train_gpt study. */
#include "study.h"
#include "tasks.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *value, *help;
} table[] = {
    {"tasks", "LIST",
     "tasks by name, or all of paper (the twelve of the study's Table 1), glue or superglue"},
    {"model", "DIR|tiny", "may be repeated: each trains every task"},
    {"recipe", "NAME|FILE.json", "may be repeated"},
    {"seeds", "LIST", "as without study; else 42:132:10, the study's ten"},
    {"grid", "LIST",
     "of init, data, dropout and order: every combination of the seeds of these sources, the "
     "others "
     "stay at the first seed"},
    {"out", "DIR", "folder of predictions, logs and tables; else study"},
    {"jobs", "N", "runs at a time (also -j N); else as cores and memory allow, one on a GPU"},
    {"threads-per-run", "N", "else the cores over the jobs"},
    {"run", "",
     "run all that is not finished, then make the tables: what happens without this too"},
    {"print", "", "print a command for each run that is not finished, for any scheduler"},
    {"index", "K|auto",
     "only run K, counted from 0; auto: by the array variable of Slurm, PBS, SGE, Kubernetes or "
     "AWS Batch"},
    {"dry-run", "", "read and check all that the runs need, list them and stop"},
    {"quiet", "", "errors and the tables only"},
    {"help", "", "this text"},
};
enum { OWN = sizeof table / sizeof *table };

void study_help(FILE *out)
{
    fputs("usage: train_gpt study --tasks LIST [options] [options of train_gpt]\n"
          "Trains every task with every model, recipe and seed: a list of independent\n"
          "runs, the longest first, that goes on where it was stopped, and ends in Table 1,\n"
          "its audit and a report with figures (docs/STUDY.md). Options that are not listed\n"
          "here are those of every run.\n\n",
          out);
    for (int i = 0; i < OWN; i++) {
        char left[48];
        snprintf(left, sizeof left, "--%s %s", table[i].name, table[i].value);
        fprintf(out, "  %-24s ", left);
        print_words(out, 27, 27, table[i].help);
        fputc('\n', out);
    }
    fputs("\nSeveral machines may work on one folder with the same command. Exit codes: those\n"
          "of train_gpt; of the first run that failed, if one did; 78 if the folder's study\n"
          "has other settings.\n",
          out);
}

/* The option of the table that word is, up to a '='; hyphens may be underscores. -1: none. */
static int find(const char *word)
{
    if (!strncmp(word, "-j", 2) && strspn(word + 2, "0123456789") == strlen(word + 2)) {
        word = "--jobs";
    }
    size_t length = strcspn(word, "=");
    for (int i = 0; i < OWN; i++) {
        const char *name = table[i].name;
        size_t k = 0;
        while (k + 2 < length && name[k] && (word[k + 2] == '_' ? '-' : word[k + 2]) == name[k]) {
            k++;
        }
        if (!strncmp(word, "--", 2) && k + 2 == length && !name[k]) {
            return i;
        }
    }
    return -1;
}

static int read_count(int *count, const char *name, const char *text, Error *error)
{
    char *end;
    long number = strtol(text, &end, 10);
    if (end == text || *end || number < 1 || number > 1024) {
        return error_set(error, EXIT_USAGE, "--%s %s: not a whole number from 1 to 1024", name,
                         text);
    }
    *count = (int)number;
    return 0;
}

static int take(StudyOptions *o, const char *name, const char *value, Error *error)
{
    const struct {
        const char *name;
        const char **value;
    } texts[] = {{"tasks", &o->tasks},
                 {"seeds", &o->seeds},
                 {"grid", &o->grid},
                 {"out", &o->out},
                 {"index", &o->index}};
    const struct {
        const char *name;
        int *flag;
    } flags[] = {{"print", &o->print},
                 {"run", &o->run},
                 {"dry-run", &o->dry_run},
                 {"quiet", &o->quiet},
                 {"help", &o->help}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!strcmp(name, texts[i].name)) {
            *texts[i].value = value;
            return 0;
        }
    }
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (!strcmp(name, flags[i].name)) {
            *flags[i].flag = 1;
            return 0;
        }
    }
    if (!strcmp(name, "model")) {
        o->models[o->model_count++] = value;
        return 0;
    }
    if (!strcmp(name, "recipe")) {
        o->recipes[o->recipe_count++] = value;
        return 0;
    }
    return read_count(*name == 'j' ? &o->jobs : &o->threads, name, value, error);
}

/* Whether a word of the command line is this option of a run. */
static int is_option(const char *word, const char *name)
{
    size_t length = strlen(name);
    return !strncmp(word, "--", 2) && !strncmp(word + 2, name, length) &&
           (!word[2 + length] || word[2 + length] == '=');
}

static int check_rest(const StudyOptions *o, Error *error)
{
    static const struct {
        const char *name, *why; /* what a study decides itself */
    } refused[] = {
        {"preds", "a study has one folder; name it with --out"},
        {"save", "a study keeps predictions alone; run the command in a run's log with --save"},
        {"threads", "say --threads-per-run"},
        {"trace", "a trace is of one run; run the command in a run's log with it"},
        {"profile", "a profile is of one run; run the command in a run's log with it"},
        {"seed", "say --seeds"},
    };
    int task = 0;
    for (int i = 0; i < o->rest_count; i++) {
        task |= is_option(o->rest[i], "task");
        for (size_t k = 0; k < sizeof refused / sizeof *refused; k++) {
            if (is_option(o->rest[i], refused[k].name)) {
                return error_set(error, EXIT_USAGE, "study: --%s: %s", refused[k].name,
                                 refused[k].why);
            }
        }
    }
    if (task && o->tasks) {
        return error_set(error, EXIT_USAGE, "study: --task with --tasks: give one of the two");
    }
    if (!task && !o->tasks && !o->help) {
        return error_set(error, EXIT_USAGE,
                         "study: --tasks is missing; for example: train_gpt study --tasks paper "
                         "--seeds 42:132:10");
    }
    if (o->print + o->run + o->dry_run + (o->index != NULL) > 1) {
        return error_set(error, EXIT_USAGE,
                         "study: --run, --print, --index and --dry-run: choose one");
    }
    return 0;
}

int study_options(StudyOptions *o, int argc, char **argv, Error *error)
{
    size_t words = (size_t)argc + 1;
    *o = (StudyOptions){.models = memory_calloc(words, sizeof *o->models),
                        .recipes = memory_calloc(words, sizeof *o->recipes),
                        .rest = memory_calloc(words, sizeof *o->rest)};
    for (int i = 1; i < argc; i++) {
        int own = !strcmp(argv[i], "-q")   ? find("--quiet")
                  : !strcmp(argv[i], "-h") ? find("--help")
                                           : find(argv[i]);
        if (own < 0) {
            o->rest[o->rest_count++] = argv[i];
            continue;
        }
        const char *name = table[own].name, *value = strchr(argv[i], '=');
        if (value) {
            value++;
        } else if (!strncmp(argv[i], "-j", 2) && argv[i][2]) {
            value = argv[i] + 2;
        } else if (*table[own].value && i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0) {
            value = argv[++i];
        }
        if (!*table[own].value != !value || (value && !*value)) {
            return error_set(error, EXIT_USAGE, "study: --%s %s", name,
                             *table[own].value ? "needs a value" : "takes no value");
        }
        if (take(o, name, value, error)) {
            return error->code;
        }
    }
    o->model_count += !o->model_count; /* the one NULL: train_gpt's own default */
    o->recipe_count += !o->recipe_count;
    return check_rest(o, error);
}
