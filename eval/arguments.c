#include "arguments.h"
#include "folders.h"
#include "tool_options.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_DRAWS = 10000000 };

#define AT(member) offsetof(Arguments, member)

/* One table: what is parsed and what --help prints. */
static const ToolOption known[] = {
    {"format", "FORMAT", 0, "text (default), json, jsonl, csv, md, latex or html"},
    {"output", "FILE", AT(output),
     "write there instead of standard output (also -o FILE), in the format "
     "that .html, .json, .jsonl, .csv, .md, .tex or .txt stands for"},
    {"compare", "A B", AT(side),
     "test two sets of runs on the same examples; A and B are a model, the "
     "first digits of a recipe, a folder, or KEY=VALUE of the files' metadata "
     "(of KEY_sha256 the first digits do)"},
    {"correlate", "SIZES", AT(correlate),
     "correlate VAR, CON and CCON with training sizes: public, or a file of "
     "lines task TAB size"},
    {"audit-table", "FILE", AT(audit),
     "check whether the numbers of a published table fit together; table1 is the study's"},
    {"reference", "FILE", AT(reference),
     "set the groups beside such a table, with intervals and whether its numbers fit together"},
    {"plan", NULL, AT(plan),
     "how many seeds and examples intervals and differences need: a table, from the runs at hand "
     "or from --given"},
    {"want", "LIST", AT(want),
     "of --plan: how narrow, or which difference, in points or with %: "
     "VAR=20%,zeta=0.5,CON=1,delta-zeta=1,delta-CON=2"},
    {"given", "LIST", AT(given),
     "of --plan: numbers in place of runs: zeta=85,VAR=1.5,CON=91,N=277,S=10"},
    {"expect", "FILE", AT(expect),
     "compare one group with expected values; exit with 4 if any differs"},
    {"tol", "X", 0, "relative tolerance of --expect (1e-9)"},
    {"intersect", NULL, AT(intersect), "compare the examples that all runs have"},
    {"drop-degenerate", NULL, AT(drop), "leave out collapsed runs (said in the report)"},
    {"min-seeds", "N", 0, "warn below N runs (3)"},
    {"strict", NULL, AT(strict),
     "exit with 3 if there is a warning, or a cell that no runs can have"},
    {"level", "P", 0, "of all intervals (0.95)"},
    {"ci", "KIND", 0, "interval shown for CON and CCON: two-way (default), boot or none"},
    {"cluster", NULL, AT(cluster),
     "two-way intervals by clusters of examples (MultiRC's paragraphs)"},
    {"boot", "B", 0, "bootstrap of distinct pairs with B draws (2000 with --ci boot)"},
    {"boot-seed", "N", 0, "its seed (0)"},
    {"ddof", "0|1", 0,
     "0: VAR, a population SD as in the study (default); 1: the sample SD in its "
     "place"},
    {"pairs", NULL, AT(pairs), "list all pairs of runs (json, jsonl)"},
    {"examples", "N", 0, "list the N least stable examples, or all; with csv, a table of examples"},
    {"data", "DIR", AT(data), "GLUE and SuperGLUE files: shows the text of listed examples"},
    {"gold", "FILE", AT(gold),
     "labels for imported predictions without any: one of our files, index TAB "
     "label, or CSV with the columns id and label"},
    {"labels", "A,B,...", AT(labels), "class names of imported files in the order of their ids"},
    {"metric", "NAME", 0,
     "of imported files: accuracy (default), mcc, f1 (the report says of which class), "
     "macro-f1, f1a and em (MultiRC's), pearson, spearman, mae"},
    {"scores", "A,B,...", AT(scores),
     "columns of class scores in imported files; else those named as classes"},
    {"seed-from", "REGEX", AT(seed_from),
     "where the seed stands in the paths of imported files: the first group of a "
     "POSIX extended expression"},
    {"submission", "DIR", AT(submission),
     "write the files that the test servers of GLUE and SuperGLUE take, from prediction files of "
     "test splits, one run each (train_gpt --predict-test); no report"},
    {"ascii", NULL, AT(ascii), "no Unicode bars"},
    {"help", NULL, AT(help), "this text"},
    {"version", NULL, AT(version), "which seedbed this is"},
};
enum { KNOWN = sizeof known / sizeof *known };

void arguments_help(FILE *out)
{
    fputs("usage: consistency [OPTION]... FILE|FOLDER...\n"
          "How much do runs agree that differ in their seed alone? Files are grouped by\n"
          "benchmark, task, split, model (name, weights, adapter, tokenizer), recipe and\n"
          "data. FILE is a prediction file of train_gpt, or an import: index TAB prediction\n"
          "(.txt, .tsv), or .csv with labels or class scores. Of a FOLDER the .bin files\n"
          "are taken.\n\n"
          "  S     runs          bad   collapsed runs\n"
          "  zeta  mean of the task's metric over runs\n"
          "  VAR   its population standard deviation over runs\n"
          "  CON   share of examples on which two runs predict the same, mean over pairs\n"
          "  CCON  the same, and both are right\n\n",
          out);
    tool_options_help(out, known, KNOWN);
    fputs("\nNO_COLOR is honoured. docs/STATISTICS.md defines every number.\n"
          "Exit codes: 0 done, 3 a warning with --strict, 4 expectation missed, 64 usage,\n"
          "65 damaged or unfitting file, 66 missing file, 73, 74, 77 output not writable.\n",
          out);
}

static int whole(uint64_t *number, const char *option, const char *text, uint64_t least,
                 uint64_t most, Error *error)
{
    char *end;
    if (*text && strlen(text) < 20 && strspn(text, "0123456789") == strlen(text)) {
        *number = strtoull(text, &end, 10);
        if (*number >= least && *number <= most) {
            return 0;
        }
    }
    return error_set(error, EXIT_USAGE, "--%s %s: not a whole number from %llu to %llu", option,
                     text, (unsigned long long)least, (unsigned long long)most);
}

/* The index of a word in a list. */
static int choice(int *chosen, const char *option, const char *text, const char *const *words,
                  int count, Error *error)
{
    char list[128] = "";
    for (int i = 0; i < count; i++) {
        if (!strcmp(text, words[i])) {
            *chosen = i;
            return 0;
        }
        strcat(strcat(list, i ? ", " : ""), words[i]);
    }
    return error_set(error, EXIT_USAGE, "--%s %s: choose one of %s", option, text, list);
}

/* The format that the end of the output's name stands for. */
static void format_from(Arguments *o)
{
    static const struct {
        const char *end;
        Format format;
    } ends[] = {{".txt", FORMAT_TEXT},  {".json", FORMAT_JSON}, {".jsonl", FORMAT_JSONL},
                {".csv", FORMAT_CSV},   {".md", FORMAT_MD},     {".tex", FORMAT_LATEX},
                {".html", FORMAT_HTML}, {".htm", FORMAT_HTML}};
    const char *end = strrchr(o->output, '.');
    for (size_t i = 0; i < sizeof ends / sizeof *ends && end; i++) {
        if (!strcasecmp(end, ends[i].end)) {
            o->format = ends[i].format;
        }
    }
}

static int set(void *into, const char *name, const char *value, Error *error)
{
    Arguments *o = into;
    static const char *const formats[] = {"text", "json", "jsonl", "csv", "md", "latex", "html"};
    static const char *const intervals[] = {"two-way", "boot", "none"};
    static const char *const ddofs[] = {"0", "1"};
    static const char *const metrics[] = {"accuracy", "mcc",     "f1",       "macro-f1", "f1a",
                                          "em",       "pearson", "spearman", "mae"};
    int chosen = 0;
    uint64_t number = 0;
    char *end;
    if (!strcmp(name, "format")) {
        if (choice(&chosen, name, value, formats, 7, error)) {
            return error->code;
        }
        o->format = (Format)chosen;
        o->format_named = 1;
    } else if (!strcmp(name, "ci")) {
        if (choice(&chosen, name, value, intervals, 3, error)) {
            return error->code;
        }
        o->ci = (Interval)chosen;
    } else if (!strcmp(name, "ddof")) {
        return choice(&o->ddof, name, value, ddofs, 2, error);
    } else if (!strcmp(name, "metric")) {
        if (choice(&chosen, name, value, metrics, 9, error)) {
            return error->code;
        }
        o->metric = value;
    } else if (!strcmp(name, "boot")) {
        if (whole(&number, name, value, 1, MAX_DRAWS, error)) {
            return error->code;
        }
        o->boot = number;
    } else if (!strcmp(name, "boot-seed")) {
        return whole(&o->boot_seed, name, value, 0, UINT64_MAX, error);
    } else if (!strcmp(name, "min-seeds")) {
        if (whole(&number, name, value, 1, 1000000, error)) {
            return error->code;
        }
        o->min_seeds = number;
    } else if (!strcmp(name, "examples")) {
        o->listed = 1;
        o->examples = SIZE_MAX;
        if (strcmp(value, "all")) {
            if (whole(&number, name, value, 1, INT32_MAX, error)) {
                return error->code;
            }
            o->examples = number;
        }
    } else if (!strcmp(name, "tol") || !strcmp(name, "level")) {
        double x = strtod(value, &end);
        int level = *name == 'l';
        if (!*value || *end || !(x >= 0) || !isfinite(x) || (level && (x < 0.5 || x > 0.9999))) {
            return error_set(error, EXIT_USAGE, "--%s %s: not a number %s", name, value,
                             level ? "from 0.5 to 0.9999" : "from 0");
        }
        *(level ? &o->level : &o->tolerance) = x;
    }
    return 0;
}

int arguments_parse(Arguments *o, int argc, char **argv, Error *error)
{
    int first;
    *o = (Arguments){.level = 0.95, .tolerance = 1e-9, .min_seeds = 3, .examples = 10};
    if (tool_options_parse(known, KNOWN, set, o, argc, argv, &first, error)) {
        return error->code;
    }
    if (o->output && !o->format_named) {
        format_from(o);
    }
    size_t named = (size_t)(argc - first);
    o->boot = o->ci == INTERVAL_BOOT && !o->boot ? 2000 : o->boot;
    for (size_t i = 0; i < named; i++) {
        if (!*argv[first + (int)i]) {
            return error_set(error, EXIT_USAGE, "'': an empty file name; name a file or a folder");
        }
    }
    if (o->submission && (o->output || o->format_named || o->side[0] || o->plan || o->expect)) {
        return error_set(error, EXIT_USAGE, "--submission makes no report; leave --%s out",
                         o->output         ? "output"
                         : o->format_named ? "format"
                         : o->side[0]      ? "compare"
                         : o->plan         ? "plan"
                                           : "expect");
    }
    if (named == 0 && !o->help && !o->version && !o->audit && !(o->plan && (o->given || o->reference))) {
        return error_set(error, EXIT_USAGE,
                         "no files; name prediction files: ./consistency preds/*.bin");
    }
    return folders_expand(&o->files, &o->count, argv + first, named, error);
}

void arguments_free(Arguments *o)
{
    folder_list_free(o->files, o->count);
    o->files = NULL;
    o->count = 0;
}
