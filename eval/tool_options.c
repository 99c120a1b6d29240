#include "tool_options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_OPTIONS = 32 };

static int unknown(const ToolOption *options, int count, const char *given, Error *error)
{
    const char *names[MOST_OPTIONS];
    char *plain = string_format("%.*s", (int)strcspn(given, "="), given + strspn(given, "-"));
    for (int i = 0; i < count; i++) {
        names[i] = options[i].name;
    }
    const char *near = nearest_word(plain, names, count);
    free(plain);
    return error_set(error, EXIT_USAGE, "%s: no such option%s%s; --help lists them", given,
                     near ? "; did you mean --" : "", near ? near : "");
}

int tool_options_parse(const ToolOption *options, int count, int argc, char **argv, int *first,
                       Error *error)
{
    struct option list[MOST_OPTIONS + 1] = {0};
    for (int i = 0; i < count; i++) {
        list[i] = (struct option){options[i].name,
                                  options[i].value ? required_argument : no_argument, NULL,
                                  *options[i].name == 'h' || *options[i].name == 'o'
                                      ? *options[i].name
                                      : 1000 + i};
    }
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":ho:", list, NULL)) >= 0;) {
        int i = option - 1000;
        if (option == ':') {
            return error_set(error, EXIT_USAGE, "%s: a value is missing", argv[optind - 1]);
        }
        if (option == '?' && optopt >= 1000) {
            return error_set(error, EXIT_USAGE, "--%s takes no value; write it alone",
                             options[optopt - 1000].name);
        }
        if (option < 1000) { /* -h and -o: the option that begins so */
            for (i = 0; i < count && *options[i].name != option; i++) {
            }
        }
        if (option == '?' || i == count) {
            return unknown(options, count, argv[optind - 1], error);
        }
        if (optarg && !*optarg) {
            return error_set(error, EXIT_USAGE, "--%s '': an empty value; name one",
                             options[i].name);
        }
        *options[i].at = options[i].value ? optarg : "yes";
    }
    *first = optind;
    return 0;
}

void tool_options_help(FILE *out, const ToolOption *options, int count)
{
    for (int i = 0; i < count; i++) {
        char *name = string_format("--%s%s%s", options[i].name, options[i].value ? " " : "",
                                   options[i].value ? options[i].value : "");
        fprintf(out, "  %-20s ", name);
        print_words(out, 23, 23, options[i].help);
        fputc('\n', out);
        free(name);
    }
}

int tool_number(uint32_t *number, const char *option, const char *text, uint32_t least,
                Error *error)
{
    enum { MOST = 1000000000 };
    unsigned long value = strlen(text) < 12 ? strtoul(text, NULL, 10) : MOST + 1UL;
    if (strspn(text, "0123456789") != strlen(text) || value < least || value > MOST) {
        return error_set(error, EXIT_USAGE, "--%s %s: not a whole number from %u to %d", option,
                         text, least, MOST);
    }
    *number = (uint32_t)value;
    return 0;
}
