#include "seeds.h"

#include <ctype.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The higher kind of place wins: who writes "seed" means it. */
typedef enum Kind { KIND_FOLDER, KIND_RUN, KIND_S, KIND_SEED } Kind;
static const char *const words[] = {"", "run", "s", "seed"};

enum { MAX_PLACES = 64 };

/* A number in a path that may be the seed. Places of two paths are the same if kind, part (from the
 * end: 0 is the file's name) and nth (of that kind in the part) are. */
typedef struct Place {
    Kind kind;
    int part, nth;
    size_t first, length; /* of the digits */
} Place;

static int is_word(const char *path, size_t end, const char *word)
{
    size_t n = strlen(word);
    return end >= n && !strncasecmp(path + end - n, word, n) &&
           (end == n || !isalnum((unsigned char)path[end - n - 1]));
}

/* All places of one path, in its order. */
static int find_places(Place places[MAX_PLACES], const char *path)
{
    int count = 0, part = 0;
    for (const char *at = path; *at; at++) {
        part += *at == '/';
    }
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    int nth[4] = {0};
    for (size_t i = 0; path[i] && count < MAX_PLACES; i++) {
        size_t digits = strspn(path + i, "0123456789");
        if (path[i] == '/') {
            part--;
            memset(nth, 0, sizeof nth);
        }
        if (!digits) {
            continue;
        }
        char behind = path[i + digits];
        int begins = i == 0 || path[i - 1] == '/';
        /* a name that is a number may have an ending */
        int whole = begins &&
                    (behind == '/' || !behind ||
                     (path + i == name && behind == '.' &&
                      strcspn(path + i + digits + 1, ".") == strlen(path + i + digits + 1)));
        size_t word = i > 0 && strchr("-_=", path[i - 1]) ? i - 1 : i;
        Kind kind = KIND_SEED;
        while (kind > KIND_FOLDER && !is_word(path, word, words[kind])) {
            kind--;
        }
        if (!isalnum((unsigned char)behind) && (kind > KIND_FOLDER || whole)) {
            places[count++] = (Place){kind, part, nth[kind]++, i, digits};
        }
        i += digits - 1;
    }
    return count;
}

static int is_same(const Place *a, const Place *b)
{
    return a->kind == b->kind && a->part == b->part && a->nth == b->nth;
}

static char *number_at(const char *path, size_t first, size_t length)
{
    while (length > 1 && path[first] == '0') {
        first++;
        length--;
    }
    return string_format("%.*s", (int)length, path + first);
}

static int same_number(const char *seed, const char *path, const Place *place)
{
    char *number = number_at(path, place->first, place->length);
    int same = !strcmp(seed, number);
    free(number);
    return same;
}

static int put_seed(Seeds *seeds, size_t i, const char *path, size_t first, size_t length,
                    Error *error)
{
    static const char most[] = "18446744073709551615";
    seeds->seed[i] = number_at(path, first, length);
    size_t n = strlen(seeds->seed[i]);
    return n > sizeof most - 1 || (n == sizeof most - 1 && strcmp(seeds->seed[i], most) > 0)
               ? error_set(
                     error, EXIT_USAGE,
                     "%s: the seed %s is above 2^64 - 1; say where it stands with --seed-from "
                     "REGEX",
                     path, seeds->seed[i])
               : 0;
}

static int by_expression(Seeds *seeds, char *const *paths, const char *expression, Error *error)
{
    regex_t regex;
    regmatch_t match[10];
    int bad = regcomp(&regex, expression, REG_EXTENDED), code = 0;
    if (bad) {
        char reason[128];
        (void)regerror(bad, &regex, reason, sizeof reason);
        return error_set(error, EXIT_USAGE, "--seed-from %s: %s", expression, reason);
    }
    if (!regex.re_nsub) {
        code = error_set(error, EXIT_USAGE,
                         "--seed-from %s: no group; write the seed's digits as ([0-9]+)",
                         expression);
    }
    for (size_t i = 0; i < seeds->count && !code; i++) {
        int group = 1;
        if (regexec(&regex, paths[i], 10, match, 0)) {
            code = error_set(error, EXIT_USAGE, "%s: --seed-from %s does not match", paths[i],
                             expression);
            break;
        }
        while (group < 9 && match[group].rm_so < 0) { /* of a|b the group that took part */
            group++;
        }
        size_t first = match[group].rm_so < 0 ? 0 : (size_t)match[group].rm_so,
               length = match[group].rm_so < 0 ? 0 : (size_t)match[group].rm_eo - first;
        if (!length || strspn(paths[i] + first, "0123456789") < length) {
            code = error_set(error, EXIT_USAGE,
                             "%s: --seed-from %s gives '%.*s', which is no number", paths[i],
                             expression, (int)length, paths[i] + first);
            break;
        }
        code = put_seed(seeds, i, paths[i], first, length, error);
        seeds->model[i] = string_format("%.*s*%s", (int)first, paths[i], paths[i] + first + length);
    }
    regfree(&regex);
    seeds->source = string_format("--seed-from %s", expression);
    return code;
}

/* What find_places found in each path. */
typedef struct Found {
    Place (*places)[MAX_PLACES];
    int *count;
} Found;

/* The same place in path i, or NULL. */
static const Place *place_in(const Found *found, size_t i, const Place *wanted)
{
    for (int k = 0; k < found->count[i]; k++) {
        if (is_same(&found->places[i][k], wanted)) {
            return &found->places[i][k];
        }
    }
    return NULL;
}

/* Whether every path has the place; *varies: whether its numbers are not all the same. */
static int is_common(const Found *found, char *const *paths, size_t count, const Place *place,
                     int *varies)
{
    char *first = number_at(paths[0], place->first, place->length);
    int common = 1;
    *varies = 0;
    for (size_t i = 0; i < count && common; i++) {
        const Place *other = place_in(found, i, place);
        common = other != NULL;
        *varies = *varies || (common && !same_number(first, paths[i], other));
    }
    free(first);
    return common;
}

/* Whether two places have the same numbers in every path. */
static int are_equal(const Found *found, char *const *paths, size_t count, const Place *a,
                     const Place *b)
{
    int equal = 1;
    for (size_t i = 0; i < count && equal; i++) {
        const Place *x = place_in(found, i, a), *y = place_in(found, i, b);
        char *number = number_at(paths[i], x->first, x->length);
        equal = same_number(number, paths[i], y);
        free(number);
    }
    return equal;
}

/* The path with a * for every place that has the same number in all paths as the chosen one. */
static char *mask(const Found *found, size_t i, const char *path, const Place *const *same,
                  int same_count)
{
    char *model = string_copy("");
    size_t at = 0;
    for (int k = 0; k < found->count[i]; k++) {
        const Place *place = &found->places[i][k];
        for (int j = 0; j < same_count; j++) {
            if (is_same(place, same[j])) {
                string_append(&model, "%.*s*", (int)(place->first - at), path + at);
                at = place->first + place->length;
                break;
            }
        }
    }
    string_append(&model, "%s", path + at);
    return model;
}

static int by_pointed_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Whether no two runs would be of one model. */
static int all_alone(const Seeds *seeds)
{
    char **sorted = memory_alloc(seeds->count, sizeof *sorted);
    int alone = 1;
    memcpy(sorted, seeds->model, seeds->count * sizeof *sorted);
    qsort(sorted, seeds->count, sizeof *sorted, by_pointed_text);
    for (size_t i = 1; i < seeds->count; i++) {
        alone = alone && strcmp(sorted[i], sorted[i - 1]) != 0;
    }
    free(sorted);
    return alone;
}

/* The highest kind of place in the paths. Errors: a path without it. */
static int highest_kind(Kind *kind, const Found *found, char *const *paths, size_t count,
                        Error *error)
{
    size_t highest = 0;
    *kind = KIND_FOLDER;
    for (size_t i = 0; i < count; i++) {
        if (!found->count[i]) {
            return error_set(
                error, EXIT_USAGE,
                "%s: no seed in its path; name the folder or the file so: "
                "seed42/predictions.csv, or say where it stands with --seed-from REGEX",
                paths[i]);
        }
        for (int k = 0; k < found->count[i]; k++) {
            if (found->places[i][k].kind > *kind) {
                *kind = found->places[i][k].kind;
                highest = i;
            }
        }
    }
    for (size_t i = 0; i < count; i++) {
        int has = 0;
        for (int k = 0; k < found->count[i]; k++) {
            has = has || found->places[i][k].kind == *kind;
        }
        if (!has) {
            return error_set(error, EXIT_USAGE,
                             "%s and %s have their seeds in different places; say where with "
                             "--seed-from REGEX",
                             paths[highest], paths[i]);
        }
    }
    return 0;
}

/* Where a word leads to one number in every path, these are one place, whatever the depth. */
static void join_places(const Found *found, char *const *paths, size_t count, Kind kind)
{
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < count; i++) {
            char *number = NULL;
            for (int k = 0; k < found->count[i]; k++) {
                Place *place = &found->places[i][k];
                if (place->kind != kind) {
                    continue;
                }
                if (pass) {
                    place->part = place->nth = 0;
                } else if (!number) {
                    number = number_at(paths[i], place->first, place->length);
                } else if (!same_number(number, paths[i], place)) {
                    free(number);
                    return;
                }
            }
            free(number);
        }
    }
}

/* The place of the highest kind, and all that go with it. */
static int by_places(Seeds *seeds, char *const *paths, const Found *found, Error *error)
{
    const Place *common[MAX_PLACES], *same[MAX_PLACES], *chosen = NULL;
    int vary[MAX_PLACES], n = 0, same_count = 0, several = 0, other_varies = 0;
    Kind top;
    if (highest_kind(&top, found, paths, seeds->count, error)) {
        return error->code;
    }
    if (top > KIND_FOLDER) {
        join_places(found, paths, seeds->count, top);
    }
    for (int k = 0; k < found->count[0]; k++) {
        if (is_common(found, paths, seeds->count, &found->places[0][k], &vary[n])) {
            common[n++] = &found->places[0][k];
        }
    }
    for (int pass = 1; pass >= 0 && !chosen; pass--) { /* the place that varies, if one does */
        for (int k = 0; k < n; k++) {
            if (common[k]->kind != top || vary[k] != pass) {
                continue;
            }
            several = several ||
                      (chosen && !are_equal(found, paths, seeds->count, chosen, common[k]));
            chosen = common[k];
        }
    }
    if (!chosen || several) {
        return error_set(
            error, EXIT_USAGE, "%s%s%s: %s; say which one is the seed with --seed-from REGEX",
            paths[0], seeds->count > 1 ? " to " : "",
            seeds->count > 1 ? paths[seeds->count - 1] : "",
            chosen ? "several numbers may be the seed" : "the seeds are not at one place");
    }
    for (int k = 0; k < n; k++) {
        if (are_equal(found, paths, seeds->count, chosen, common[k])) {
            same[same_count++] = common[k];
        } else {
            other_varies = other_varies || vary[k];
        }
    }
    for (size_t i = 0; i < seeds->count; i++) {
        const Place *place = place_in(found, i, chosen);
        if (put_seed(seeds, i, paths[i], place->first, place->length, error)) {
            return error->code;
        }
        seeds->model[i] = mask(found, i, paths[i], same, same_count);
    }
    if (other_varies && all_alone(seeds)) {
        return error_set(
            error, EXIT_USAGE,
            "%s to %s: no two runs are of one model if %s is the seed of the first; say "
            "which number is the seed with --seed-from REGEX",
            paths[0], paths[seeds->count - 1], seeds->seed[0]);
    }
    seeds->source = chosen->kind != KIND_FOLDER
                        ? string_format("the number behind '%s' in the path", words[chosen->kind])
                    : chosen->part ? string_format("the folder that is a number, %d above the file",
                                                   chosen->part)
                                   : string_copy("the name that is a number");
    return 0;
}

int seeds_find(Seeds *seeds, char *const *paths, size_t count, const char *expression, Error *error)
{
    *seeds = (Seeds){.count = count};
    if (!count) {
        return 0;
    }
    seeds->seed = memory_calloc(count, sizeof *seeds->seed);
    seeds->model = memory_calloc(count, sizeof *seeds->model);
    if (expression) {
        return by_expression(seeds, paths, expression, error);
    }
    Found found = {memory_alloc(count, sizeof *found.places),
                   memory_alloc(count, sizeof *found.count)};
    for (size_t i = 0; i < count; i++) {
        found.count[i] = find_places(found.places[i], paths[i]);
    }
    int code = by_places(seeds, paths, &found, error);
    free(found.places);
    free(found.count);
    return code;
}

void seeds_free(Seeds *seeds)
{
    for (size_t i = 0; i < seeds->count; i++) {
        free(seeds->seed[i]);
        free(seeds->model[i]);
    }
    free(seeds->seed);
    free(seeds->model);
    free(seeds->source);
    *seeds = (Seeds){0};
}
