#include "bounds.h"
#include "result.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* From the least to the most severe. */
typedef enum Verdict {
    NOT_CHECKED,
    CONSISTENT,
    BEYOND_ROUNDING,
    TRUNCATED,
    OFF_THE_GRID,
    INCONSISTENT
} Verdict;

static const char *const words[] = {"not checked", "consistent",   "beyond rounding",
                                    "truncated",   "off the grid", "inconsistent"};

typedef struct Finding {
    Verdict verdict;
    char *reason; /* sentences joined by "; " */
} Finding;

static void raise_to(Finding *finding, Verdict verdict)
{
    finding->verdict = verdict > finding->verdict ? verdict : finding->verdict;
}

__attribute__((format(printf, 3, 4))) static void find(Finding *finding, Verdict verdict,
                                                       const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    string_append(&finding->reason, "%s%s", *finding->reason ? "; " : "", text);
    raise_to(finding, verdict);
}

/* Of the last printed decimal: a number was between half of it less, if rounded, and all of it
 * more, if cut off. */
static double unit_of(const Cell *c, int number)
{
    return pow(10, -c->decimals[number]) + 1e-9; /* decimals are no exact doubles */
}

/* How much a number may be printed above another that it is below. */
static double excess_of(const Cell *c, int number, int other)
{
    return fmax(unit_of(c, other), (unit_of(c, number) + unit_of(c, other)) / 2);
}

/* The largest VAR, in percent, of scores between low and high with this mean: the variance is at
 * most (high - mean) (mean - low) (Bhatia and Davis 2000), most where the mean is in the middle. */
static double most_of_range(const Cell *c, double low, double high)
{
    double middle = (low + high) / 2, from = c->zeta - unit_of(c, ZETA) / 2,
           to = c->zeta + unit_of(c, ZETA);
    double mean = fmin(fmax(middle, from), to);
    return sqrt(fmax(0, (high - mean) * (mean - low)));
}

/* VAR of accuracies. The score of a run is the mean of x_i in {0, 1} over the examples, and a
 * standard deviation is subadditive: VAR <= mean_i SD_i, so VAR^2 <= mean_i SD_i^2. Example i is
 * right in k_i of S runs: SD_i^2 = k_i (S - k_i) / S^2, whose mean is (S - 1)/S (zeta - CCON), for
 * zeta is the mean of k_i / S and CCON that of k_i (k_i - 1) / (S (S - 1)). */
static double most_of_agreement(const Cell *c)
{
    double S = c->S, gap = c->zeta + unit_of(c, ZETA) - (c->CCON - unit_of(c, CCON) / 2);
    return 100 * sqrt(fmax(0, (S - 1) / S * gap / 100));
}

/* VAR of accuracies whose differences are at most 1 - CON. Where one of two runs is right and the
 * other is not they disagree, so the mean of |a_s - a_t| over pairs is at most 1 - CON. Sorted
 * scores are sums of steps (m runs below, S - m above), for which that mean is 2 m (S - m) /
 * (S (S - 1)) times the step and the SD is sqrt(m (S - m)) / S times it; their ratio is largest for
 * m = 1, and the SD of a sum is at most the sum of SDs: VAR <= sqrt(S - 1) / 2 (1 - CON). All runs
 * the same (CON = 100) leaves VAR = 0. */
static double most_of_difference(const Cell *c)
{
    return sqrt(c->S - 1) / 2 * fmax(0, 100 - (c->CON - unit_of(c, CON) / 2));
}

/* The smallest CCON of this accuracy: k (k - 1) is convex, so its mean over examples is least where
 * all k_i are the two whole numbers about S zeta. */
static double least_ccon(const Cell *c)
{
    double S = c->S, k = S * fmax(0, c->zeta - unit_of(c, ZETA) / 2) / 100, m = floor(k);
    return 100 * (m * (m - 1) + 2 * m * (k - m)) / (S * (S - 1));
}

static void check_spread(Finding *finding, const Cell *c, int accuracy)
{
    double VAR = c->VAR - unit_of(c, VAR_OF_ZETA) / 2, pairs = c->S * (c->S - 1) / 2;
    /* CON is a multiple of 1 / (N pairs): above the last one below 100 it is 100 */
    int same = c->N > 0 && 100 - (c->CON - unit_of(c, CON) / 2) < 100 / (c->N * pairs);
    double range = most_of_range(c, accuracy ? 0 : -100, 100);
    if (VAR > range) {
        find(finding, INCONSISTENT, "VAR^2 is at most %s: VAR at most %.2f",
             accuracy ? "zeta (1 - zeta)" : "1 - zeta^2", range);
    }
    if (accuracy && VAR > most_of_agreement(c)) {
        find(finding, INCONSISTENT, "VAR^2 is at most (S - 1)/S (zeta - CCON): VAR at most %.2f",
             most_of_agreement(c));
    }
    if (VAR > 0 && (same || (accuracy && VAR > most_of_difference(c)))) {
        if (same || c->CON >= 100) {
            find(finding, INCONSISTENT, "CON = 100 needs VAR = 0: all runs are the same");
        } else {
            find(finding, INCONSISTENT,
                 "the scores of two runs differ by at most 1 - CON, on average: VAR at most %.2f",
                 most_of_difference(c));
        }
    }
    if (accuracy && c->CCON + unit_of(c, CCON) < least_ccon(c)) {
        find(finding, INCONSISTENT, "CCON is at least %.2f with this zeta", least_ccon(c));
    }
}

/* CCON = accuracy - (1 - CON)/2 + DBW/2, where DBW is the share of pairs that are both wrong and
 * differ: 0 with two classes. zeta, CON / 2 and CCON are off by half a unit each from rounding. */
static void check_identity(json_t *o, Finding *finding, const Cell *c, int accuracy)
{
    double rounding = unit_of(c, ZETA) / 2 + unit_of(c, CON) / 4 + unit_of(c, CCON) / 2 + 1e-9;
    double gross = fmax(0.1, 2 * rounding); /* no rounding of intermediate values does that */
    double predicted = c->zeta - (100 - c->CON) / 2, off = c->CCON - predicted;
    if (!accuracy) { /* the identity holds for the accuracy that is not printed */
        double implied = c->CCON + (100 - c->CON) / 2;
        put(o, "implied_accuracy", implied);
        if (implied > 100 + rounding) {
            find(finding, INCONSISTENT, "the accuracy would be %.2f", implied);
        } else {
            find(finding, NOT_CHECKED, "zeta is not an accuracy; mean accuracy is %.2f if K = 2",
                 rounded(implied, 2));
        }
        return;
    }
    put(o, "predicted_CCON", predicted);
    put(o, "difference", off);
    raise_to(finding, CONSISTENT);
    if (c->CCON > c->zeta + excess_of(c, CCON, ZETA)) {
        find(finding, INCONSISTENT, "CCON is at most zeta");
    } else if (c->K == 2) {
        if (fabs(off) > rounding) {
            find(finding, fabs(off) > gross ? INCONSISTENT : BEYOND_ROUNDING,
                 "two classes: CCON = zeta - (1 - CON) / 2 = %.2f, printed %.2f",
                 rounded(predicted, 2), c->CCON);
        }
    } else {
        /* DBW: from 0 to both wrong, and at most 1 - CON */
        double both_wrong = 2 * off, limit = fmin(100 - 2 * c->zeta + c->CCON, 100 - c->CON);
        put(o, "both_wrong_differ", both_wrong);
        if (off < -rounding) {
            find(finding, off < -gross ? INCONSISTENT : BEYOND_ROUNDING,
                 "CCON is at least zeta - (1 - CON) / 2 = %.2f, printed %.2f",
                 rounded(predicted, 2), c->CCON);
        } else if (both_wrong > limit + 4 * rounding) {
            find(finding, INCONSISTENT, "both wrong and different would be %.2f, at most %.2f fits",
                 both_wrong, fmax(0, limit));
        }
    }
}

/* Whether a printed mean is a multiple of 1 / steps, as it must be: rounded; or else cut off, or an
 * average of numbers that were rounded before (off by a unit at most), or nothing of that. */
static void check_grid(json_t *list, Finding *finding, const Cell *c, const char *name, int number,
                       double printed, double steps)
{
    double unit = unit_of(c, number);
    if (!(100 / steps > unit)) { /* finer than what is printed */
        return;
    }
    int decimals = c->decimals[number], rounded = 0, cut = 0;
    double slack = 1e-9, off = INFINITY, point[2];
    for (int i = 0; i < 2; i++) { /* the multiples below and above */
        point[i] = 100 * (floor(printed * steps / 100) + i) / steps;
        double difference = point[i] - printed;
        off = fmin(off, fabs(difference));
        rounded = rounded || fabs(difference) <= unit / 2 + slack;
        cut = cut || (difference >= -slack && difference < unit - slack);
    }
    if (rounded) {
        return;
    }
    Verdict verdict = cut ? TRUNCATED : off <= unit + slack ? BEYOND_ROUNDING : OFF_THE_GRID;
    json_t *entry = json_object();
    json_object_set_new(entry, "number", json_string(name));
    put(entry, "printed", printed);
    put(entry, "steps", steps);
    put(entry, "below", point[0]);
    put(entry, "above", point[1]);
    json_object_set_new(entry, "explained_by",
                        verdict == TRUNCATED         ? json_string("truncation")
                        : verdict == BEYOND_ROUNDING ? json_string("averages of rounded numbers")
                                                     : json_null());
    json_array_append_new(list, entry);
    find(finding, verdict, "%s %.*f is no rounding of a multiple of 1/%.0f (%.*f, %.*f)%s", name,
         decimals, printed, steps, decimals + 2, point[0], decimals + 2, point[1],
         verdict == TRUNCATED         ? " but cut off from one"
         : verdict == BEYOND_ROUNDING ? " but perhaps an average of rounded numbers"
                                      : " nor cut off from one");
}

static void check_grids(json_t *o, Finding *finding, const Cell *c, int accuracy)
{
    double N = c->N, S = c->S, pairs = N * S * (S - 1) / 2;
    json_t *list = json_array();
    if (accuracy) {
        check_grid(list, finding, c, "zeta", ZETA, c->zeta, N * S);
    }
    check_grid(list, finding, c, "CON", CON, c->CON, pairs);
    check_grid(list, finding, c, "CCON", CCON, c->CCON, pairs);
    json_object_set_new(o, "grid", list);
}

void put_verdict(json_t *o, const Cell *c, const KnownTask *known)
{
    int accuracy = !known || !strcmp(known->metric, "accuracy");
    double least = accuracy ? 0 : -100;
    Finding finding = {NOT_CHECKED, string_copy("")};
    if (!(c->CCON <= c->CON + excess_of(c, CCON, CON) && c->CON <= 100 && c->CCON >= 0)) {
        find(&finding, INCONSISTENT, "CCON is at most CON, and both are between 0 and 100");
    } else if (!(c->zeta >= least && c->zeta <= 100 && c->VAR >= 0)) {
        find(&finding, INCONSISTENT, "zeta is between %.0f and 100, and VAR not below 0", least);
    } else {
        check_identity(o, &finding, c, accuracy);
        check_spread(&finding, c, accuracy);
        if (c->N > 0) {
            check_grids(o, &finding, c, accuracy);
        }
    }
    double both_wrong = number_of(o, "both_wrong_differ");
    if (finding.verdict == CONSISTENT && !isnan(both_wrong)) {
        find(&finding, CONSISTENT, "both wrong and different: %.2f", fmax(0, both_wrong));
    }
    json_object_set_new(o, "verdict", json_string(words[finding.verdict]));
    json_object_set_new(o, "reason", json_text(finding.reason));
    free(finding.reason);
}
