/* What a comparison of equal seeds comes to, in plain words. */
#include "paired.h"
#include "result.h"

#include <math.h>
#include <stdlib.h>

/* Appends a share in percent, or a distance, to two digits; with its interval if it has one. */
static void append_moved(char **text, double value, const json_t *ci, int regression)
{
    double ends[3] = {value, json_number_value(json_array_get(ci, 0)),
                      json_number_value(json_array_get(ci, 1))};
    char shown[3][32];
    for (int k = 0; k < 3; k++) {
        double x = ends[k] * (regression ? 1 : 100);
        snprintf(shown[k], sizeof *shown, regression || x < 9.95 ? "%.2g" : "%.0f", x);
    }
    string_append(text, regression ? "%s" : "%s %%", shown[0]);
    if (json_array_size(ci) == 2) {
        string_append(text, " [%s, %s]", shown[1], shown[2]);
    }
}

static void append_part(char **text, const json_t *paired, const char *name, int regression,
                        double level)
{
    char key[32];
    const json_t *part = json_object_get(paired, name);
    append_moved(text, number_of(part, regression ? "distance" : "flips"),
                 json_object_get(part, leveled(key, "ci", level)), regression);
}

/* -1, 0 or 1: on which side of 0 the whole interval lies; 0 without one. */
static int side_of_zero(const json_t *difference, double level)
{
    char key[32];
    const json_t *ci = json_object_get(difference, leveled(key, "ci", level));
    return json_array_size(ci) != 2 ? 0
                                    : (json_number_value(json_array_get(ci, 0)) > 0) -
                                          (json_number_value(json_array_get(ci, 1)) < 0);
}

static char *without_pairs(const json_t *paired, int regression)
{
    static const char *const names[3] = {"across", "within_A", "within_B"},
                             *const runs[3] = {"a run of A and one of B", "two runs of A",
                                               "two runs of B"};
    char *text = string_format("A and B share no seed, so what the change %s cannot be told from "
                               "what seeds do:",
                               regression ? "moves" : "flips");
    for (int k = 0; k < 3; k++) {
        double value = number_of(paired, names[k]);
        if (!isnan(value)) {
            string_append(&text, "%s %s %s", k ? "," : "", runs[k],
                          regression ? k ? "by " : "are apart by "
                          : k        ? "in "
                                     : "differ in ");
            append_moved(&text, value, NULL, regression);
            string_append(&text, "%s", k ? "" : regression ? " on average" : " of predictions");
        }
    }
    string_append(&text, ".");
    return text;
}

/* The verdict of two runs a side or more: the change against the seed, then what the metric
 * does. */
static void append_verdict(char **text, const json_t *paired, int regression, double level)
{
    char key[32];
    const json_t *ratio = json_object_get(paired, "change_over_seed"),
                 *ci = json_object_get(ratio, leveled(key, "ci", level)),
                 *zeta = json_object_get(paired, "delta_zeta");
    const json_t *ends = json_object_get(zeta, key);
    int less = side_of_zero(json_object_get(paired, "seed_minus_change"), level);
    double change = number_of(json_object_get(paired, "change"), regression ? "distance" : "flips"),
           seed = number_of(json_object_get(paired, "seed"), regression ? "distance" : "flips");
    if (number_of(paired, "seeds") < 3) {
        string_append(text, "; two seeds are too few for intervals.");
        return;
    }
    if (change == 0 && seed == 0) {
        string_append(text, ": neither matters.");
    } else if (less) {
        string_append(text, ": the change matters %s than the seed", less > 0 ? "less" : "more");
    } else {
        string_append(text, ": which of them matters more cannot be told");
    }
    if (json_array_size(ci) == 2) {
        string_append(text, ", the ratio is %.2g [%.2g, %.2g].", number_of(ratio, "ratio"),
                      json_number_value(json_array_get(ci, 0)),
                      json_number_value(json_array_get(ci, 1)));
    } else if (change != 0 || seed != 0) {
        string_append(text, ".");
    }
    if (json_array_size(ends) == 2) {
        double low = 100 * json_number_value(json_array_get(ends, 0)),
               high = 100 * json_number_value(json_array_get(ends, 1));
        string_append(text, " zeta moves by %+.2f points (A - B) [%.2f, %.2f]: %s.",
                      rounded(100 * number_of(zeta, "delta"), 2), rounded(low, 2), rounded(high, 2),
                      low > 0 || high < 0     ? "more than chance explains"
                      : low == 0 && high == 0 ? "not at all"
                                              : "0 is not excluded");
    }
}

char *paired_sentence(const json_t *paired, int regression, double level)
{
    double n = number_of(paired, "seeds"), only_a = number_of(paired, "only_A"),
           only_b = number_of(paired, "only_B");
    if (n == 0) {
        return without_pairs(paired, regression);
    }
    char *text = string_format("Of %.0f seed%s that A and B share", n, n == 1 ? "" : "s");
    if (only_a || only_b) {
        string_append(&text, " (%.0f of A and %.0f of B have no partner and no part in it)", only_a,
                      only_b);
    }
    string_append(&text,
                  regression ? ", the change moves a prediction by " : ", the change flips ");
    append_part(&text, paired, "change", regression, level);
    string_append(&text, regression ? " on average" : " of predictions");
    if (n > 1) {
        string_append(&text, regression ? ", the seed by " : ", the seed flips ");
        append_part(&text, paired, "seed", regression, level);
        append_verdict(&text, paired, regression, level);
    } else {
        string_append(&text, "; what a seed does takes two of them.");
    }
    return text;
}
