#include "tool_options.h"
#include "process.h"
#include "version.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_OPTIONS = 64 };

static int unknown(const ToolOption *options, int count, const char *given, Error *error)
{
    const char *names[MOST_OPTIONS];
    char *plain = string_format("%.*s", (int)strcspn(given, "="), given + strspn(given, "-"));
    for (int i = 0; i < count; i++) {
        names[i] = options[i].name;
    }
    const char *near = nearest_word(plain, names, count);
    char *quoted = shell_quote(given);
    free(plain);
    (void)error_set(error, EXIT_USAGE, "%s: no such option%s%s; a file of that name is ./%s", given,
                    near ? "; did you mean --" : "", near ? near : "", quoted);
    free(quoted);
    return error->code;
}

int tool_options_parse(const ToolOption *options, int count, ToolOptionReader *read, void *into,
                       int argc, char **argv, int *first, Error *error)
{
    struct option list[MOST_OPTIONS + 1] = {0};
    int option, index = 0;
    for (int i = 0; i < count; i++) {
        list[i] = (struct option){options[i].name,
                                  options[i].value ? required_argument : no_argument, NULL, 1};
    }
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":ho:", list, &index)) >= 0) {
        if (option == ':') {
            return error_set(error, EXIT_USAGE, "%s: a value is missing", argv[optind - 1]);
        }
        if (option == '?') {
            /* of a cluster of short options, getopt stands at its word until the last letter */
            int inside = optopt && optind < argc && argv[optind][0] == '-' &&
                         strchr(argv[optind], optopt) != NULL;
            return unknown(options, count, argv[inside ? optind : optind - 1], error);
        }
        if (option != 1) { /* -o and -h: the name that begins so */
            for (index = 0; *options[index].name != option; index++) {
            }
        }
        const ToolOption *o = &options[index];
        char *member = (char *)into + o->at;
        if (optarg && !*optarg) {
            return error_set(error, EXIT_USAGE, "--%s '': an empty value; name one", o->name);
        }
        if (!o->at) {
            if (read(into, o->name, optarg, error)) {
                return error->code;
            }
        } else if (!o->value) {
            *(int *)(void *)member = 1;
        } else {
            ((const char **)(void *)member)[0] = optarg;
            if (strchr(o->value, ' ')) {
                if (optind >= argc || !*argv[optind]) {
                    return error_set(error, EXIT_USAGE, "--%s %s: two values are needed: --%s %s",
                                     o->name, optarg, o->name, o->value);
                }
                ((const char **)(void *)member)[1] = argv[optind++];
            }
        }
    }
    *first = optind;
    return 0;
}

void tool_options_help(FILE *out, const ToolOption *options, int count)
{
    for (int i = 0; i < count; i++) {
        char *name = string_format("--%s%s%s", options[i].name, options[i].value ? " " : "",
                                   options[i].value ? options[i].value : "");
        fprintf(out, "  %-20s", name);
        print_words(out, 22, 22, options[i].help);
        fputc('\n', out);
        free(name);
    }
}

int comparer_main(const Comparer *comparer, int argc, char **argv)
{
    enum { EXIT_DIFFERENT = 1 };
    const Comparer *c = comparer;
    Error error = {0};
    int different = 0;
    process_start(c->name);
    int code = tool_options_parse(c->options, c->count, NULL, c->arguments, argc, argv, c->first,
                                  &error);
    if (!code && *c->help) {
        c->show_help();
    } else if (!code && *c->version) {
        printf("%s of seedbed %s, commit %s\n", c->name, TOOL_VERSION, git_commit());
    } else if (!code) {
        code = c->compare(argv + *c->first, argc - *c->first, &different, &error);
    }
    code = code ? code : stdout_close(&error);
    if (code) {
        fprintf(stderr, "%s: %s\n", c->name, error.text);
        return code;
    }
    return different ? EXIT_DIFFERENT : 0;
}
