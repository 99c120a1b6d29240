/* Comparing results with expected values: what --expect does. */
#include "statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Zero is met to this: sums of products of size 1 have an absolute error too. */
static const double tiny = 1e-12;

/* One value and all below it. */
static int compare_values(const char *path, const json_t *expected, const json_t *got,
                          double tolerance, double absolute, FILE *out, int *compared)
{
    if (json_is_object(expected)) {
        int bad = 0;
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)expected, key, value)
        {
            char *below = string_format("%s%s%s", path, *path ? "." : "", key);
            bad += compare_values(below, value, json_object_get(got, key), tolerance, absolute, out,
                                  compared);
            free(below);
        }
        return bad;
    }
    if (json_is_array(expected)) {
        int bad = json_array_size(expected) != json_array_size(got);
        if (bad) {
            fprintf(out, "%s: %zu values, expected %zu\n", path, json_array_size(got),
                    json_array_size(expected));
        }
        for (size_t i = 0; i < json_array_size(expected) && !bad; i++) {
            char *below = string_format("%s[%zu]", path, i);
            bad += compare_values(below, json_array_get(expected, i), json_array_get(got, i),
                                  tolerance, absolute, out, compared);
            free(below);
        }
        return bad;
    }
    ++*compared;
    int same;
    if (json_is_number(expected)) {
        double e = json_number_value(expected),
               x = json_is_number(got) ? json_number_value(got) : NAN;
        same = json_is_integer(expected) && json_is_integer(got)
                   ? json_integer_value(expected) == json_integer_value(got)
                   : fabs(x - e) <= tolerance * fabs(e) + absolute;
    } else {
        same = json_equal(expected, got);
    }
    if (!same) {
        char *e = json_dumps(expected, JSON_ENCODE_ANY), *x = json_dumps(got, JSON_ENCODE_ANY);
        fprintf(out, "%s: %s, expected %s\n", path, x ? x : "not computed", e ? e : "?");
        free(e);
        free(x);
    }
    return !same;
}

static int *multiplicities(const json_t *list, size_t n)
{
    int *values = memory_calloc(n, sizeof *values);
    for (size_t i = 0; i < n; i++) {
        values[i] = (int)json_integer_value(json_array_get(list, i));
    }
    return values;
}

/* Each a line on standard output where it differs or was not computed; how many differ. */
static int compare_all(const json_t *expected, const json_t *computed, const Group *group,
                       double tolerance, FILE *out, int *compared)
{
    const char *key;
    json_t *value;
    int bad = 0;
    json_object_foreach((json_t *)expected, key, value)
    {
        if (!strcmp(key, "bootstrap_draws")) {
            size_t i;
            json_t *draw;
            json_array_foreach(value, i, draw)
            {
                const json_t *m = json_object_get(draw, "m"), *w = json_object_get(draw, "w");
                if (json_array_size(m) != group->S || json_array_size(w) != group->N) {
                    fprintf(out, "bootstrap_draws[%zu]: not for %zu runs and %zu examples\n", i,
                            group->S, group->N);
                    bad++;
                    continue;
                }
                double con, ccon;
                int *runs = multiplicities(m, group->S), *examples = multiplicities(w, group->N);
                statistics_resampled(group, runs, examples, &con, &ccon);
                json_t *got = json_pack("{s:f, s:f}", "CON", con, "CCON", ccon),
                       *want = json_copy(draw);
                json_object_del(want, "m");
                json_object_del(want, "w");
                bad += compare_values("bootstrap_draws", want, got, tolerance, tiny, out, compared);
                json_decref(got);
                json_decref(want);
                free(runs);
                free(examples);
            }
        } else if (!strcmp(key, "bootstrap_reference")) {
            /* another generator's draws: to .01, from as many draws */
            static const char *const keys[] = {"mean", "sd", "percentile95"};
            json_t *got = statistics_bootstrap(group, 200000, 1, 0.95), *want = json_object();
            for (int i = 0; i < 3; i++) {
                json_object_set(want, keys[i], json_object_get(value, keys[i]));
            }
            bad += compare_values(key, want, got, 0, 0.01, out, compared);
            json_decref(got);
            json_decref(want);
        } else if (json_object_get(computed, key) && strcmp(key, "identity_residual_max")) {
            bad += compare_values(key, value, json_object_get(computed, key), tolerance, tiny, out,
                                  compared);
        } else if (!strcmp(key, "identity_residual_max")) {
            ++*compared; /* a bound */
            double residual = json_number_value(json_object_get(computed, key));
            if (!(residual <= json_number_value(value))) {
                fprintf(out, "%s: %g is above %g\n", key, residual, json_number_value(value));
                bad++;
            }
        } else if (strcmp(key, "set") && strcmp(key, "files") && strcmp(key, "note")) {
            fprintf(out, "%s: not computed, not compared\n", key);
        }
    }
    return bad;
}

int expect_file(const char *path, const Group *group, double level, double tolerance, Error *error)
{
    json_t *file;
    if (json_read_file(&file, path, error)) {
        return error->code;
    }
    const json_t *groups = json_object_get(file, "groups"), *expected = file;
    int code = 0, compared = 0;
    if (json_is_array(groups)) { /* a report of --format json */
        expected = json_array_get(groups, 0);
        if (json_array_size(groups) != 1) {
            code = REFUSE("%s: a report of %zu groups; one group is compared, such as a line of "
                          "--format jsonl",
                          path, json_array_size(groups));
        }
    }
    if (!code && !json_is_object(expected)) {
        code = REFUSE("%s: not a JSON object of expected values", path);
    }
    if (!code) {
        StatisticsOptions all = {.level = level, .pairs = 1};
        json_t *statistics = statistics_compute(group, &all);
        int bad = compare_all(expected, statistics, group, tolerance, stdout, &compared);
        json_decref(statistics);
        printf("%s: %d values compared, %d differ\n", path, compared, bad);
        code = bad ? 1 : 0;
    }
    if (!code && !compared) {
        code = REFUSE("%s: no value under a name that is computed; it is a group of --format json "
                      "or jsonl, or an object of such names: {\"CON\": 0.91}",
                      path);
    }
    json_decref(file);
    return code;
}
