/* The report on a terminal: 80 columns. */
#include "report.h"
#include "planning.h"
#include "reference.h"
#include "result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bars of the values from low to high. */
static void print_bars(FILE *out, const double *values, size_t n, double low, double high,
                       int ascii)
{
    static const char *const blocks[] = {"\u2581", "\u2582", "\u2583", "\u2584",
                                         "\u2585", "\u2586", "\u2587", "\u2588"};
    static const char *const plain[] = {"_", ".", "-", "=", "+", "*", "%", "#"};
    for (size_t i = 0; i < n; i++) {
        int at = high > low ? (int)((values[i] - low) / (high - low) * 7.999) : 3;
        fputs(isfinite(values[i]) ? (ascii ? plain : blocks)[at < 0 ? 0 : at] : "?", out);
    }
}

static double *values_of(const json_t *list)
{
    size_t n = json_array_size(list);
    double *values = memory_alloc(n + 1, sizeof *values);
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_array_get(list, i);
        values[i] = json_is_number(value) ? json_number_value(value) : NAN;
    }
    return values;
}

/* Prints a text of so many bytes, which may be a name of a file. */
static void print_plain(FILE *out, const char *text, size_t size)
{
    char *plain = string_part(text, size);
    text_plain(plain);
    fputs(plain, out);
    free(plain);
}

/* Whether a character of UTF-8 begins here. */
static int begins(char byte)
{
    return (byte & 0xC0) != 0x80;
}

/* Prints at most this many characters, of a longer text what it begins with, or what it ends with
 * behind a mark. Returns how many. */
static size_t print_short(FILE *out, const char *text, size_t width, int end, int ascii)
{
    size_t n = 0, shown = 0;
    for (const char *c = text; *c; c++) {
        n += (size_t)begins(*c);
    }
    if (end && n > width) {
        fputs(ascii ? "~" : "\u2026", out);
        shown = 1;
        text = text_end(text, width - 1);
    }
    size_t size = 0;
    for (; text[size] && shown + (size_t)begins(text[size]) <= width; size++) {
        shown += (size_t)begins(text[size]);
    }
    print_plain(out, text, size);
    return shown;
}

/* The same as a cell of a table. */
static void print_cell(FILE *out, const char *text, size_t width, int end, int ascii)
{
    fprintf(out, "%*s", (int)(width - print_short(out, text, width, end, ascii)), "");
}

/* What keeps a group apart from others of its name, on lines of at most 80 characters. */
static void print_apart(FILE *out, const char *text)
{
    for (size_t column = 0; *text;) {
        size_t size = strcspn(text, ",");
        int next = column && column + size + 3 > 80;
        fputs(next ? ",\n  " : column ? ", " : "  ", out);
        print_plain(out, text, size);
        column = (next ? 0 : column) + 2 + size;
        text += size + strspn(text + size, ", ");
    }
    fputc('\n', out);
}

/* Why a coefficient is undefined. */
static const char *kappa_text(char out[32], const json_t *group, const char *key)
{
    double value = number_of(group, key);
    if (isnan(value)) {
        snprintf(out, 32, "n/a (%s)",
                 number_of(group, "missing") > 0 ? "missing predictions"
                 : number_of(group, "Pe") >= 1   ? "single class"
                 : number_of(group, "K") < 2     ? "one class"
                                                 : "no pairs");
        return out;
    }
    return decimal(out, value, 1, 3);
}

static void print_group(FILE *out, const json_t *g, const Arguments *o)
{
    char a[32], b[32], c[32], d[32], e[32], bad[24] = "-", ci[40] = "", shown[72];
    double ends[2], scale = percent_scale(g);
    size_t S = (size_t)number_of(g, "S"), count = json_array_size(collapsed_runs(g));
    if (count) {
        snprintf(bad, sizeof bad, "%zu!", count);
    }
    if (!shown_interval(ends, g, "CON", o)) {
        snprintf(ci, sizeof ci, "[%6.2f, %6.2f]", 100 * ends[0], 100 * ends[1]);
    }
    print_cell(out, text_of(g, "task"), 8, 0, o->ascii);
    fputc(' ', out);
    print_cell(out, text_of(g, "model"), 16, 1, o->ascii);
    fprintf(out, " %5zu %3s %6s %6s %6s %-16s %6s\n", S, bad,
            decimal(a, number_of(g, "zeta"), scale, 2),
            decimal(b, number_of(g, o->ddof ? "SD_sample" : "VAR"), scale, 2),
            decimal(c, number_of(g, "CON"), 100, 2), ci, decimal(d, number_of(g, "CCON"), 100, 2));
    if (*text_of(g, "apart")) {
        print_apart(out, text_of(g, "apart"));
    }
    if (S == 0) {
        return;
    }
    fprintf(out, "  %s%s%.0f examples%s, %s, recipe %.8s", text_of(g, "side"),
            *text_of(g, "side") ? ": " : "", number_of(g, "N"),
            strcmp(text_of(g, "part"), "half") ? "" : " (half of dev)", text_of(g, "metric"),
            text_of(g, "recipe_sha256"));
    if (!shown_interval(ends, g, "CCON", o)) {
        fprintf(out, "; CCON %s", interval_text(shown, ends, 100, 2));
    }
    fputc('\n', out);
    if (S > 1) {
        char key[32];
        fprintf(out, "  s %s", decimal(a, number_of(g, "SD_sample"), scale, 2));
        if (!ends_of(ends, json_object_get(g, leveled(key, "SD_ci", o->level)))) {
            fprintf(out, " %s", interval_text(shown, ends, scale, 2));
        }
    }
    if (S > 1 && json_object_get(g, "CON")) {
        fprintf(out, "  kappa %s  phi %s", kappa_text(a, g, "fleiss_kappa"),
                decimal(b, number_of(g, "phi"), 1, 2));
        if (json_object_get(g, "cochran_p") && !isnan(number_of(g, "cochran_p"))) {
            fprintf(out, " (p %.2g)", number_of(g, "cochran_p"));
        }
        fprintf(out, "  vote %s\n", decimal(e, number_of(g, "vote_accuracy"), 100, 2));
    } else if (S > 1) {
        fprintf(out, "  pair Pearson %s  ICC %s\n",
                decimal(a, number_of(g, "pair_pearson_mean"), 1, 4),
                decimal(b, number_of(g, "icc_2_1"), 1, 4));
    }
    const json_t *scores = json_object_get(g, "zeta_by_run"),
                 *right = json_object_get(g, "correct_histogram");
    if (S > 1 && S <= 24 && json_array_size(scores) == S && !isnan(number_of(g, "min"))) {
        double *z = values_of(scores), most = 0;
        fprintf(out, "  scores ");
        print_bars(out, z, S, number_of(g, "min"), number_of(g, "max"), o->ascii);
        fprintf(out, " %s to %s", decimal(a, number_of(g, "min"), scale, 2),
                decimal(b, number_of(g, "max"), scale, 2));
        free(z);
        if (right && S <= 16) {
            double *k = values_of(right);
            for (size_t i = 0; i <= S; i++) {
                most = fmax(most, k[i]);
            }
            fprintf(out, "  right in 0..%zu runs ", S);
            print_bars(out, k, S + 1, 0, most, o->ascii);
            free(k);
        }
        fputc('\n', out);
    }
    char *official = official_text(g);
    if (official) {
        fprintf(out, "  %s\n", official);
        free(official);
    }
    const json_t *healthy = json_object_get(g, "without_degenerate");
    if (healthy) {
        fprintf(out, "  without the collapsed: S %.0f, accuracy %s, VAR %s, CON %s, CCON %s\n",
                number_of(healthy, "S"), decimal(a, number_of(healthy, "zeta"), 100, 2),
                decimal(b, number_of(healthy, "VAR"), 100, 2),
                decimal(c, number_of(healthy, "CON"), 100, 2),
                decimal(d, number_of(healthy, "CCON"), 100, 2));
    }
    const json_t *sources = json_object_get(g, "sources");
    json_t *entry;
    size_t i;
    json_array_foreach(json_object_get(sources, "components"), i, entry)
    {
        char key[32];
        fprintf(out, "  %s %-22s SD %6s", i ? "             " : "seed variance",
                text_of(entry, "source"), decimal(a, number_of(entry, "SD"), scale, 2));
        if (!ends_of(ends, json_object_get(entry, leveled(key, "variance_ci", o->level)))) {
            fprintf(out, " [%.2f, %.2f]", scale * sqrt(ends[0]), scale * sqrt(ends[1]));
        }
        fprintf(out, "  %s %%\n", decimal(b, number_of(entry, "share"), 100, 0));
    }
    if (o->ci != INTERVAL_BOOT &&
        !ends_of(ends, json_object_get(json_object_get(g, "bootstrap"),
                                       leveled(a, "percentile", o->level)))) {
        fprintf(out, "  bootstrap of distinct pairs: CON %s\n", interval_text(shown, ends, 100, 2));
    }
}

/* Each statistic at the first and the last evaluation, and between them at 28 of them at most. */
static void print_curve(FILE *out, const json_t *g, const Arguments *o)
{
    enum { MOST = 30 };
    static const char *const names[] = {"zeta", "VAR", "CON", "CCON"};
    const json_t *curve = json_object_get(g, "curve"), *steps = json_object_get(curve, "step");
    size_t n = json_array_size(steps), shown = size_min(n, MOST);
    for (int k = 0; k < 4 && n > 1; k++) {
        double *all = values_of(json_object_get(curve, names[k])), some[MOST], low = INFINITY,
               high = -INFINITY, scale = k < 2 ? percent_scale(g) : 100;
        char a[32], b[32];
        for (size_t i = 0; i < shown; i++) {
            some[i] = all[i * (n - 1) / (shown - 1)];
            low = fmin(low, some[i]);
            high = fmax(high, some[i]);
        }
        if (low <= high) {
            fprintf(out, "  %-8s %-4s ", k ? "" : "training", names[k]);
            print_bars(out, some, shown, low, high, o->ascii);
            fprintf(out, " %s to %s", decimal(a, all[0], scale, 2),
                    decimal(b, all[n - 1], scale, 2));
            if (k == 0) {
                fprintf(out, ", step %.0f to %.0f", json_number_value(json_array_get(steps, 0)),
                        json_number_value(json_array_get(steps, n - 1)));
            }
            fputc('\n', out);
        }
        free(all);
    }
}

/* Words behind a title of 10 columns. */
static void print_titled(FILE *out, const char *title, const char *text)
{
    fprintf(out, "  %-8s", title);
    char *plain = string_copy(text);
    text_plain(plain);
    print_words(out, 10, 10, plain);
    free(plain);
    fputc('\n', out);
}

/* How an import was understood; of f1, which class it is of. */
static void print_understood(FILE *out, const json_t *g)
{
    for (int k = 0; k < UNDERSTOOD; k++) {
        if (*text_of(g, understood[k][0])) {
            print_titled(out, understood[k][1], text_of(g, understood[k][0]));
        }
    }
    if (!strcmp(text_of(g, "metric"), "f1")) {
        print_titled(out, "f1 of", text_of(g, "positive_class"));
    }
}

static void print_warnings(FILE *out, const json_t *g, int color)
{
    json_t *warning;
    size_t i;
    json_array_foreach(json_object_get(g, "warnings"), i, warning)
    {
        char *text = string_copy(json_string_value(warning));
        text_plain(text);
        const char *at = strstr(text, "compare: ./");
        char *command = at ? string_copy(at) : NULL;
        text[at ? (size_t)(at - text) : strlen(text)] = 0;
        fputs(color ? "  \033[33m! " : "  ! ", out);
        print_words(out, 4, 4, text);
        if (command) { /* on one line, to be copied */
            fprintf(out, "\n    %s", command);
        }
        fputs(color ? "\033[0m\n" : "\n", out);
        free(command);
        free(text);
    }
}

static void print_pairs(FILE *out, const json_t *g)
{
    const json_t *runs = json_object_get(g, "runs");
    json_t *pair;
    size_t i;
    double n = number_of(g, "N");
    if (json_array_size(json_object_get(g, "pairs"))) {
        fputs("    seeds                        CON   CCON   net  unnecessary  McNemar p\n", out);
    }
    json_array_foreach(json_object_get(g, "pairs"), i, pair)
    {
        const json_t *at = json_object_get(pair, "pair");
        size_t s = (size_t)json_integer_value(json_array_get(at, 0)),
               r = (size_t)json_integer_value(json_array_get(at, 1));
        double n10 = number_of(pair, "n10"), n01 = number_of(pair, "n01");
        fputs("    ", out);
        print_cell(out, text_of(json_array_get(runs, s), "name"), 12, 1, 1);
        fputc(' ', out);
        print_cell(out, text_of(json_array_get(runs, r), "name"), 12, 1, 1);
        fprintf(out, " %6.2f %6.2f %5.2f %12.2f %10.2g\n", 100 * number_of(pair, "agree") / n,
                100 * number_of(pair, "both_correct") / n, 100 * fabs(n10 - n01) / n,
                200 * fmin(n10, n01) / n, number_of(pair, "mcnemar_exact_p"));
    }
}

static void print_examples(FILE *out, const json_t *g)
{
    json_t *entry;
    size_t i;
    if (json_array_size(json_object_get(g, "examples"))) {
        fputs("    least stable examples: agreement, right, votes by class\n", out);
    }
    json_array_foreach(json_object_get(g, "examples"), i, entry)
    {
        char *votes = json_dumps(json_object_get(entry, "votes"), JSON_COMPACT), a[32];
        fputs("    ", out);
        print_cell(out, text_of(entry, "id"), 20, 1, 1);
        fprintf(out, " %6s %4.0f %.40s\n", decimal(a, number_of(entry, "a"), 100, 2),
                number_of(entry, "correct"), votes);
        free(votes);
        const char *text = text_of(entry, "text");
        if (*text) {
            size_t size = utf8_valid_prefix(text, size_min(strlen(text), 72));
            fputs("      ", out);
            print_plain(out, text, size);
            fputc('\n', out);
        }
    }
}

static void print_delta(FILE *out, const char *name, const json_t *d, const Arguments *o,
                        const char *p_key)
{
    char a[32], b[32], key[32], shown[72];
    double ends[2];
    double delta = number_of(d, "delta");
    fprintf(out, isnan(delta) ? "  %-5s     n/a" : "  %-5s %+7.2f", name, rounded(100 * delta, 2));
    if (!ends_of(ends, json_object_get(d, leveled(key, "ci", o->level)))) {
        fprintf(out, " %s", interval_text(shown, ends, 100, 2));
    }
    fprintf(out, "  p %s  Holm %s", p_text(a, number_of(d, p_key)),
            p_text(b, number_of(d, "p_holm")));
}

/* What equal seeds say: differences, the ratio of VAR, and a sentence. */
static void print_paired(FILE *out, const json_t *paired, const Arguments *o)
{
    static const char *const names[] = {"delta_zeta", "delta_CON", "delta_CCON", "VAR_ratio"},
                             *const titles[] = {"zeta", "CON", "CCON", "VAR A/B"};
    for (int k = 0; k < 4; k++) {
        const json_t *d = json_object_get(paired, names[k]);
        char a[32], b[32], key[32], shown[72];
        double ends[2], scale = k < 3 ? 100 : 1;
        if (d) {
            fprintf(out, "  %s%-7s %7s", k ? "              " : "equal seeds:  ", titles[k],
                    decimal(a, number_of(d, k < 3 ? "delta" : "ratio"), scale, 2));
            if (!ends_of(ends, json_object_get(d, leveled(key, "ci", o->level)))) {
                fprintf(out, " %s", interval_text(shown, ends, scale, 2));
            }
            fprintf(out, "  p %s\n", p_text(b, number_of(d, "p")));
        }
    }
    fputs("  ", out);
    print_words(out, 2, 2, text_of(paired, "sentence"));
    fputc('\n', out);
}

static void print_comparisons(FILE *out, const json_t *report, const Arguments *o)
{
    json_t *c;
    size_t i;
    char a[32];
    json_array_foreach(json_object_get(report, "comparisons"), i, c)
    {
        const json_t *A = json_object_get(c, "A"), *B = json_object_get(c, "B");
        fprintf(out, "\n%s, A - B in points\n", text_of(c, "task"));
        for (int side = 0; side < 2; side++) {
            char *name = side_name(side ? B : A);
            double runs = number_of(c, side ? "S_B" : "S_A");
            fprintf(out, "  %s  ", side ? "B" : "A");
            (void)print_short(out, name, 62, 1, o->ascii);
            fprintf(out, ", %.0f run%s\n", runs, runs == 1 ? "" : "s");
            free(name);
        }
        const json_t *zeta = json_object_get(c, "zeta");
        print_delta(out, "zeta", zeta, o, "permutation_p");
        fputs("  (permutation)\n", out);
        fprintf(out, "        Welch p %s", p_text(a, number_of(zeta, "welch_p")));
        fprintf(out, "; P(A > B) %s\n",
                decimal(a, number_of(zeta, "probability_of_improvement"), 1, 2));
        if (json_object_get(c, "CON")) {
            print_delta(out, "CON", json_object_get(c, "CON"), o, "p");
            fputs("  (t)\n", out);
            print_delta(out, "CCON", json_object_get(c, "CCON"), o, "p");
            fprintf(out, "\n  agreement across A and B %s",
                    decimal(a, number_of(c, "CON_across"), 100, 2));
            if (number_of(c, "equal_seeds") > 0) {
                fprintf(out, "; of %.0f equal seeds %s, %.0f identical",
                        number_of(c, "equal_seeds"),
                        decimal(a, number_of(c, "CON_equal_seeds"), 100, 2),
                        number_of(c, "equal_seeds_identical"));
            }
            fputc('\n', out);
        }
        print_paired(out, json_object_get(c, "paired"), o);
    }
    const json_t *across = json_object_get(report, "across_tasks");
    if (json_array_size(json_object_get(report, "comparisons")) > 1) {
        static const char *const names[] = {"zeta", "CON", "CCON"};
        fputs("\nacross tasks (Wilcoxon signed-rank, sign test)\n", out);
        for (int k = 0; k < 3; k++) {
            const json_t *d = json_object_get(across, names[k]);
            char b[32];
            fprintf(out, "  %-5s %.0f tasks  p %s, %s\n", names[k], number_of(d, "tasks"),
                    p_text(a, number_of(d, "wilcoxon_exact_p")),
                    p_text(b, number_of(d, "sign_test_p")));
        }
    }
}

static void print_correlations(FILE *out, const json_t *report, const Arguments *o)
{
    json_t *c;
    size_t i;
    if (json_object_get(report, "correlations")) {
        fputs("\ncorrelation with training size: Pearson r, interval, p, Spearman, one left out\n",
              out);
    }
    json_array_foreach(json_object_get(report, "correlations"), i, c)
    {
        char r[32], p[32], rho[32], key[32], ci[40] = "n/a", drop[40] = "n/a";
        double ends[2];
        if (!ends_of(ends, json_object_get(c, leveled(key, "fisher_ci", o->level)))) {
            snprintf(ci, sizeof ci, "[%5.2f, %5.2f]", rounded(ends[0], 2), rounded(ends[1], 2));
        }
        if (!ends_of(ends, json_object_get(c, "leave_one_out"))) {
            snprintf(drop, sizeof drop, "%5.2f to %5.2f", rounded(ends[0], 2), rounded(ends[1], 2));
        }
        fputs("  ", out);
        print_cell(out, text_of(c, "model"), 16, 1, o->ascii);
        fprintf(out, " %-5.5s %-4s n %-2.0f %7s %-14s %6s %6s %s\n",
                strncmp(text_of(c, "x"), "log", 3) ? "raw" : "log10", text_of(c, "y"),
                number_of(c, "n"), decimal(r, number_of(c, "pearson"), 1, 3), ci,
                decimal(p, number_of(c, "p"), 1, 3), decimal(rho, number_of(c, "spearman"), 1, 3),
                drop);
    }
}

/* One line a sentence. */
static void print_reasons(FILE *out, const char *reason)
{
    while (*reason) {
        size_t size = strcspn(reason, ";");
        fprintf(out, "    ! %.*s\n", (int)size, reason);
        reason += size + strspn(reason + size, "; ");
    }
}

static void print_audit(FILE *out, const json_t *audit, int ascii)
{
    static const char *const verdicts[] = {"inconsistent", "off the grid", "truncated",
                                           "beyond rounding"};
    size_t count[4] = {0}, i;
    json_t *cell;
    fprintf(out, "%-16s %-8s %6s %6s %6s %6s %9s %7s  %s\n", "model", "task", "zeta", "VAR", "CON",
            "CCON", "predicted", "off", "verdict");
    json_array_foreach(json_object_get(audit, "cells"), i, cell)
    {
        char a[32], b[32];
        const char *verdict = text_of(cell, "verdict");
        print_cell(out, text_of(cell, "model"), 16, 1, ascii);
        fputc(' ', out);
        print_cell(out, text_of(cell, "task"), 8, 0, ascii);
        fprintf(out, " %6.2f %6.2f %6.2f %6.2f %9s %7s  %s\n", number_of(cell, "zeta"),
                number_of(cell, "VAR"), number_of(cell, "CON"), number_of(cell, "CCON"),
                decimal(a, number_of(cell, "predicted_CCON"), 1, 3),
                decimal(b, number_of(cell, "difference"), 1, 3), verdict);
        for (int v = 0; v < 4; v++) {
            if (!strcmp(verdict, verdicts[v])) {
                count[v]++;
                print_reasons(out, text_of(cell, "reason"));
            }
        }
    }
    fprintf(out, "%s: %zu cells", text_of(audit, "file"),
            json_array_size(json_object_get(audit, "cells")));
    for (int v = 0; v < 4; v++) {
        fprintf(out, ", %zu %s", count[v], verdicts[v]);
    }
    fprintf(out,
            "\n%.0f numbers are no rounding of a mean over all runs and examples; %.0f of them "
            "are cut off\n",
            number_of(audit, "no_rounding"), number_of(audit, "truncated"));
}

void report_text(FILE *out, const json_t *report, const Arguments *o)
{
    const json_t *groups = json_object_get(report, "groups");
    json_t *group;
    size_t i;
    int color = !getenv("NO_COLOR") && out == stdout && isatty(STDOUT_FILENO);
    if (json_array_size(groups)) {
        char interval[24] = "";
        if (o->ci != INTERVAL_NONE) {
            snprintf(interval, sizeof interval, "[%g %%%s]", 100 * o->level,
                     o->ci == INTERVAL_BOOT ? ", boot" : "");
        }
        fprintf(out, "%-8s %-16s %5s %3s %6s %6s %6s %-16s %6s\n", "task", "model", "S", "bad",
                "zeta", o->ddof ? "SD" : "VAR", "CON", interval, "CCON");
    }
    json_array_foreach((json_t *)groups, i, group)
    {
        print_group(out, group, o);
        print_curve(out, group, o);
        print_understood(out, group);
        print_warnings(out, group, color);
        print_pairs(out, group);
        print_examples(out, group);
    }
    print_comparisons(out, report, o);
    reference_show(out, json_object_get(report, "reference"), o);
    plan_show(out, json_object_get(report, "plans"), o);
    if (json_object_get(report, "audit")) {
        print_audit(out, json_object_get(report, "audit"), o->ascii);
    }
    print_correlations(out, report, o);
    if (json_array_size(groups)) {
        fprintf(out, "zeta, VAR, CON, CCON in %%; %s\n",
                o->ddof ? "SD has the divisor S - 1" : "VAR is a population SD");
        fprintf(out, "CCON identity residual <= 1e-12: %s\n", identity_text(groups));
    }
}
