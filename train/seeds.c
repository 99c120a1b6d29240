/* --seeds: a list of seeds and of ranges of them. */
#include "options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int read_seed(uint64_t *seed, const char **at)
{
    char *end;
    errno = 0;
    if (**at < '0' || **at > '9') {
        return 0; /* strtoull would take spaces and signs */
    }
    *seed = strtoull(*at, &end, 10);
    *at = end;
    return !errno;
}

/* N, FIRST-LAST, FIRST:LAST or FIRST:LAST:STEP, LAST included. Returns whether it is one of these.
 */
static int read_range(uint64_t range[3], const char *part)
{
    range[2] = 1;
    if (!read_seed(&range[0], &part)) {
        return 0;
    }
    range[1] = range[0];
    if (!*part) {
        return 1;
    }
    char separator = *part++;
    if ((separator != '-' && separator != ':') || !read_seed(&range[1], &part)) {
        return 0;
    }
    if (separator == ':' && *part == ':') {
        part++;
        return read_seed(&range[2], &part) && !*part;
    }
    return !*part;
}

/* Appends the seeds of one part; returns how many there are then, or -1. */
static int add_part(uint64_t seeds[MAX_SEEDS], int count, const char *part, Error *error)
{
    uint64_t range[3];
    if (!read_range(range, part)) {
        error_set(error, EXIT_USAGE,
                  "--seeds: '%s' is neither a whole number from 0 to 18446744073709551615 nor a "
                  "range such as 42-46 or 42:132:10 (first:last:step)",
                  part);
        return -1;
    }
    if (!range[2] || range[1] < range[0]) {
        error_set(error, EXIT_USAGE, "--seeds: the range %s %s", part,
                  range[2] ? "ends before it begins" : "has step 0");
        return -1;
    }
    if ((range[1] - range[0]) / range[2] >= (uint64_t)(MAX_SEEDS - count)) {
        error_set(error, EXIT_USAGE, "--seeds: more than %d seeds", MAX_SEEDS);
        return -1;
    }
    for (uint64_t left = (range[1] - range[0]) / range[2] + 1, seed = range[0]; left > 0;
         left--, seed += range[2]) {
        for (int i = 0; i < count; i++) {
            if (seeds[i] == seed) {
                error_set(error, EXIT_USAGE, "--seeds: the seed %" PRIu64 " stands twice", seed);
                return -1;
            }
        }
        seeds[count++] = seed;
    }
    return count;
}

int options_seeds(uint64_t seeds[MAX_SEEDS], const char *text, Error *error)
{
    static const char spaces[] = " \t\r\n";
    int count = 0;
    const char *at = text;
    for (;;) {
        at += strspn(at, spaces);
        size_t length = strcspn(at, ", \t\r\n");
        if (!length) {
            error_set(error, EXIT_USAGE, "--seeds '%s': a seed is missing", text);
            return -1;
        }
        char *part = string_format("%.*s", (int)length, at);
        count = add_part(seeds, count, part, error);
        free(part);
        at += length;
        at += strspn(at, spaces);
        if (count < 0 || !*at) {
            return count;
        }
        at += *at == ','; /* spaces alone separate too */
    }
}
