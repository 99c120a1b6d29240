/* Pictures of one group. */
#include "html_plots.h"
#include "html.h"
#include "result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Order of S runs so that similar ones are neighbours: average linkage. */
static size_t *cluster_order(const double *con, size_t S)
{
    size_t *order = memory_alloc(S, sizeof *order), *moved = memory_alloc(S, sizeof *moved),
           *first = memory_alloc(S + 1, sizeof *first); /* places of the groups in order */
    for (size_t s = 0; s < S; s++) {
        order[s] = first[s] = s;
    }
    first[S] = S;
    for (size_t groups = S; groups > 1; groups--) {
        double best = -1;
        size_t x = 0, y = 1;
        for (size_t a = 0; a < groups; a++) {
            for (size_t b = a + 1; b < groups; b++) {
                double sum = 0, count = 0;
                for (size_t i = first[a]; i < first[a + 1]; i++) {
                    for (size_t j = first[b]; j < first[b + 1]; j++) {
                        sum += con[order[i] * S + order[j]];
                        count++;
                    }
                }
                if (sum / count > best) {
                    best = sum / count;
                    x = a;
                    y = b;
                }
            }
        }
        /* group y moves behind group x; the groups between them move back */
        size_t n = first[y + 1] - first[y], *behind = order + first[x + 1];
        memcpy(moved, order + first[y], n * sizeof *order);
        memmove(behind + n, behind, (first[y] - first[x + 1]) * sizeof *order);
        memcpy(behind, moved, n * sizeof *order);
        for (size_t a = x + 1; a < groups; a++) {
            first[a] = a < y ? first[a] + n : first[a + 1];
        }
    }
    free(moved);
    free(first);
    return order;
}

void html_pairs(FILE *out, const json_t *g)
{
    const json_t *pairs = json_object_get(g, "pairs"), *runs = json_object_get(g, "runs"),
                 *accuracy = json_object_get(g, "accuracy");
    size_t S = (size_t)number_of(g, "S"), i;
    json_t *pair;
    double n = number_of(g, "N"), least = 1, size = 200.0 / (double)S;
    if (!pairs || S > 40) {
        return;
    }
    double *con = memory_calloc(S * S, sizeof *con);
    json_array_foreach(pairs, i, pair)
    {
        size_t s = (size_t)json_integer_value(json_array_get(json_object_get(pair, "pair"), 0)),
               r = (size_t)json_integer_value(json_array_get(json_object_get(pair, "pair"), 1));
        con[s * S + r] = con[r * S + s] = number_of(pair, "agree") / n;
        least = fmin(least, con[s * S + r]);
    }
    size_t *order = cluster_order(con, S);
    figure_open(
        out, 260, 250, "Agreement of pairs of runs", g,
        "A square matrix with one row and column a seed, similar seeds side by side. Darker "
        "is more agreement in percent; the diagonal has the accuracy of each run.");
    for (int level = 0; level < 8; level++) {
        int any = 0;
        for (size_t y = 0; y < S; y++) {
            for (size_t x = 0; x < S; x++) {
                double value = con[order[y] * S + order[x]];
                int at = least < 1 ? (int)((value - least) / (1 - least) * 7.999) : 7;
                if (x != y && at == level) {
                    fprintf(out, "%sM%.2f %.2fh%.2fv%.2fh-%.2fz", any ? "" : "<path class=fa d=\"",
                            50 + (double)x * size, 10 + (double)y * size, size, size, size);
                    any = 1;
                }
            }
        }
        if (any) {
            fprintf(out, "\" opacity=%.2f />\n", 0.12 + 0.88 * level / 7);
        }
    }
    for (size_t y = 0; y < S; y++) {
        const char *seed = text_end(text_of(json_array_get(runs, order[y]), "name"), 9);
        if (S <= 20) {
            fprintf(out, "<text class=d x=46 y=%.1f text-anchor=end style=\"font-size:%.0fpx\">",
                    14 + ((double)y + 0.4) * size, S <= 12 ? 10.0 : 8.0);
            html_text(out, seed);
            fputs("</text>", out);
        }
        for (size_t x = 0; x < S && S <= 12; x++) {
            double value = x == y ? json_number_value(json_array_get(accuracy, order[y]))
                                  : con[order[y] * S + order[x]];
            int strong = x != y && least < 1 && (value - least) / (1 - least) > 0.5;
            fprintf(out,
                    "<text %sx=%.1f y=%.1f text-anchor=middle style=\"font-size:%.0fpx%s\">%.0f"
                    "</text>",
                    strong ? "class=hi " : "", 50 + ((double)x + 0.5) * size,
                    10 + ((double)y + 0.5) * size + 3, fmin(10, size * 0.48),
                    x == y ? ";font-style:italic" : "", 100 * value);
        }
        fputc('\n', out);
    }
    fprintf(out, "<text class=d x=50 y=228>pairs %.1f to %.1f; diagonal: score</text></svg>",
            100 * least, 100 * number_of(g, "CON_pair_max"));
    fputs("<figcaption>Agreement of each pair of runs, in %.</figcaption></figure>\n", out);
    free(con);
    free(order);
}

void html_right(FILE *out, const json_t *g)
{
    const json_t *counts = json_object_get(g, "correct_histogram"),
                 *values = json_object_get(g, "agreement_values");
    size_t S = (size_t)number_of(g, "S");
    double N = number_of(g, "N"), at = 0, size = 190.0 / (double)(S + 1);
    char description[256];
    if (!counts || S < 2) {
        return;
    }
    snprintf(description, sizeof description,
             "Bars: share of examples on which k of %zu runs are right; %.1f percent always, %.1f "
             "percent never. Line: share of examples whose agreement is at most x.",
             S, 100 * number_of(g, "always_correct"), 100 * number_of(g, "always_wrong"));
    figure_open(out, 260, 250, "Runs that are right, and agreement", g, description);
    for (int k = 0; k <= 4; k++) {
        fprintf(out,
                "<path class=gr d=\"M40 %.0fh200\"/><text class=d x=36 y=%.0f text-anchor=end>%.0f"
                "</text>",
                200 - 45.0 * k, 204 - 45.0 * k, 25.0 * k);
    }
    for (size_t k = 0; k <= S; k++) {
        double share = json_number_value(json_array_get(counts, k)) / N;
        fprintf(out, "<rect class=fa opacity=.75 x=%.1f y=%.1f width=%.1f height=%.1f />",
                45 + (double)k * size, 200 - 180 * share, size * 0.86, 180 * share);
        if (k % ((S + 10) / 10) == 0) {
            fprintf(out, "<text class=d x=%.1f y=215 text-anchor=middle>%zu</text>",
                    45 + ((double)k + 0.43) * size, k);
        }
    }
    fputs("<path class=sb d=\"M45 200", out);
    for (size_t i = 0; i < json_array_size(values); i++) {
        const json_t *entry = json_array_get(values, i);
        double x = 45 + 190 * json_number_value(json_array_get(entry, 0));
        fprintf(out, "H%.1f", x);
        at += json_number_value(json_array_get(entry, 1)) / N;
        fprintf(out, "V%.1f", 200 - 180 * at);
    }
    fprintf(out,
            "\"/><text class=d x=45 y=232>bars: k of %zu right; line: a, 0 to 1</text>"
            "<text class=d x=4 y=9>%% of examples</text></svg>",
            S);
    fputs("<figcaption>Bars: examples by the number of right runs. Line: distribution of the "
          "agreement a of examples.</figcaption></figure>\n",
          out);
}

void html_data_map(FILE *out, const json_t *g)
{
    const json_t *map = json_object_get(json_object_get(g, "logits"), "data_map");
    double most = 0;
    if (!map) {
        return;
    }
    for (size_t r = 0; r < 20; r++) {
        for (size_t c = 0; c < 20; c++) {
            most = fmax(most, json_number_value(json_array_get(json_array_get(map, r), c)));
        }
    }
    figure_open(
        out, 260, 250, "Data map", g,
        "Examples by the mean probability of their label over runs (confidence, upwards) and "
        "its standard deviation (variability, to the right). Darker: more examples.");
    fputs("<path class=ax d=\"M40 10V200H240\"/>\n", out);
    for (int level = 0; level < 5; level++) {
        int any = 0;
        for (size_t r = 0; r < 20; r++) {
            for (size_t c = 0; c < 20; c++) {
                double count = json_number_value(json_array_get(json_array_get(map, r), c));
                int at = count > 0 ? (int)(log1p(count) / log1p(most) * 4.999) : -1;
                if (at == level) {
                    fprintf(out, "%sM%zu %.1fh9v9h-9z", any ? "" : "<path class=fc d=\"",
                            41 + 10 * c, 191 - 9.5 * (double)r);
                    any = 1;
                }
            }
        }
        if (any) {
            fprintf(out, "\" opacity=%.2f />\n", 0.2 + 0.2 * level);
        }
    }
    fputs("<text class=d x=36 y=204 text-anchor=end>0</text><text class=d x=36 y=18 "
          "text-anchor=end>1</text><text class=d x=40 y=215>0</text><text class=d x=240 y=215 "
          "text-anchor=end>.5</text><text class=d x=140 y=232 text-anchor=middle>variability "
          "(SD)</text><text class=d x=12 y=105 text-anchor=middle transform=\"rotate(-90 12 "
          "105)\">confidence</text></svg><figcaption>Data map: hard examples are below, those that "
          "the seed decides to the right.</figcaption></figure>\n",
          out);
}

/* One picture of curves over the steps of training: lists of curve by name, each times scale. */
static void put_curves(FILE *out, const json_t *g, const char *title, const char *description,
                       const char *const *names, int count, double scale, const char *unit)
{
    static const char *const lines[] = {"sa", "sb", "sc"}, *const dots[] = {"fa", "fb", "fc"};
    const json_t *curve = json_object_get(g, "curve"), *steps = json_object_get(curve, "step");
    size_t n = json_array_size(steps);
    double last = json_number_value(json_array_get(steps, n - 1)), low = INFINITY, high = -INFINITY;
    for (int k = 0; k < count; k++) {
        for (size_t e = 0; e < n; e++) {
            const json_t *value = json_array_get(json_object_get(curve, names[k]), e);
            if (json_is_number(value)) {
                low = fmin(low, scale * json_number_value(value));
                high = fmax(high, scale * json_number_value(value));
            }
        }
    }
    if (!(low <= high)) {
        low = high = 0;
    }
    high += high > low ? 0 : 1;
    double step = axis_step(low, high, 4), from = floor(low / step) * step,
           to = ceil(high / step) * step, stride = axis_step(0, fmax(last, 1), 4),
           right = ceil(fmax(last, 1) / stride) * stride;
    figure_open(out, 260, 250, title, g, description);
    for (double y = from; y <= to + step / 2; y += step) {
        double py = 200 - (y - from) / (to - from) * 175;
        fprintf(out,
                "<path class=gr d=\"M40 %.1fh205\"/><text class=d x=36 y=%.1f text-anchor=end>%g"
                "</text>",
                py, py + 4, fabs(y) < step / 2 ? 0 : y);
    }
    for (double x = 0; x <= right + stride / 2; x += stride) {
        fprintf(out, "<text class=d x=%.1f y=215 text-anchor=middle>%g</text>",
                45 + x / right * 190, x);
    }
    double *x = memory_alloc(n, sizeof *x), *y = memory_alloc(n, sizeof *y);
    for (int k = 0; k < count; k++) {
        int on = 0;
        for (size_t e = 0; e < n; e++) {
            const json_t *value = json_array_get(json_object_get(curve, names[k]), e);
            x[e] = 45 + json_number_value(json_array_get(steps, e)) / right * 190;
            y[e] = json_is_number(value)
                       ? 200 - (scale * json_number_value(value) - from) / (to - from) * 175
                       : NAN;
        }
        fprintf(out, "\n<path class=%s d=\"", lines[k]);
        for (size_t e = 0; e < n; e++) {
            if (!isnan(y[e])) {
                fprintf(out, "%c%.1f %.1f", on ? 'L' : 'M', x[e], y[e]);
            }
            on = !isnan(y[e]);
        }
        fputs("\"/>", out);
        for (size_t e = 0; e < n && n <= 40; e++) {
            if (!isnan(y[e])) {
                fprintf(out, "<circle class=%s cx=%.1f cy=%.1f r=2 />", dots[k], x[e], y[e]);
            }
        }
        fprintf(out, "<rect class=%s x=%d y=2 width=8 height=8 /><text class=d x=%d y=10>%s</text>",
                dots[k], 70 + 60 * k, 82 + 60 * k, strcmp(names[k], "zeta") ? names[k] : "score");
    }
    free(x);
    free(y);
    fprintf(out,
            "<text class=d x=4 y=10>%s</text><text class=d x=140 y=232 "
            "text-anchor=middle>training step</text></svg>",
            unit);
}

void html_curves(FILE *out, const json_t *g)
{
    static const char *const shares[] = {"zeta", "CON", "CCON"}, *const spread[] = {"VAR"};
    double scale = percent_scale(g);
    if (!json_object_get(g, "curve")) {
        return;
    }
    int classes = scale == 100 && !isnan(number_of(g, "CON")); /* a regression has no CON */
    put_curves(out, g, classes ? "Score and agreement over training" : "Score over training",
               classes ? "Mean score of the runs, CON and CCON at every evaluation, by the step."
                       : "Mean score of the runs at every evaluation, by the step.",
               shares, classes ? 3 : 1, scale, scale == 100 ? "%" : text_of(g, "metric"));
    fprintf(out,
            "<figcaption>Mean score%s at every evaluation that all runs have."
            "</figcaption></figure>\n",
            classes ? ", CON and CCON" : "");
    put_curves(out, g, "VAR over training",
               "Standard deviation of the score over runs at every evaluation.", spread, 1, scale,
               scale == 100 ? "points" : text_of(g, "metric"));
    fputs("<figcaption>VAR of the score at the same evaluations.</figcaption></figure>\n", out);
}
