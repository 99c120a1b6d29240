/* Pictures of several groups or tasks. */
#include "html_plots.h"
#include "html.h"
#include "result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Whether run s collapsed. */
static int is_bad(const json_t *g, size_t s)
{
    json_t *index;
    size_t i;
    json_array_foreach(collapsed_runs(g), i, index)
    {
        if ((size_t)json_integer_value(index) == s) {
            return 1;
        }
    }
    return 0;
}

void html_scores(FILE *out, const PaperTable *t, int b)
{
    int width = 70 + 56 * int_max(t->columns, 5), bottom = 230;
    double low = 1, high = 0;
    char title[512];
    for (int c = 0; c < t->columns; c++) {
        const json_t *g = t->cell[b * t->columns + c];
        double value = g ? number_of(g, "min") : NAN,
               majority = g ? number_of(g, "majority_rate") : NAN;
        if (g && percent_scale(g) == 100 && !isnan(value)) {
            low = fmin(low, isnan(majority) ? value : fmin(value, majority));
            high = fmax(high, fmax(number_of(g, "max"), isnan(majority) ? 0 : majority));
        }
    }
    if (!(high > low)) {
        low = fmin(low, 0);
        high = 1;
    }
    double step = axis_step(100 * low, 100 * high, 6), from = floor(100 * low / step) * step,
           to = ceil(100 * high / step) * step;
    snprintf(title, sizeof title, "Scores of all seeds, %s", text_end(t->block[b], 100));
    figure_open(
        out, width, 270, title, NULL,
        "One column a task, one dot a run: its score in percent. Hollow red: collapsed run. "
        "Long line: mean; box: mean plus and minus VAR; dashed: majority rate.");
    for (double y = from; y <= to + step / 2; y += step) {
        double py = bottom - (y - from) / (to - from) * 200;
        fprintf(out,
                "<path class=gr d=\"M50 %.1fH%d\"/><text class=d x=44 y=%.1f text-anchor=end>"
                "%g</text>\n",
                py, width - 5, py + 4, fabs(y) < step / 2 ? 0 : y);
    }
    fputs("<text class=d x=4 y=16>score, %</text>\n", out);
    for (int c = 0; c < t->columns; c++) {
        const json_t *g = t->cell[b * t->columns + c], *scores;
        double x = 80 + 56 * c;
        fprintf(out, "<text x=%.0f y=250 text-anchor=middle>", x);
        html_text(out, t->column[c]);
        fputs("</text>\n", out);
        if (!g || percent_scale(g) != 100 ||
            !json_array_size(scores = json_object_get(g, "zeta_by_run"))) {
            continue;
        }
#define AT(share) (bottom - (100 * (share)-from) / (to - from) * 200)
        double zeta = number_of(g, "zeta"), var = number_of(g, "VAR"),
               majority = number_of(g, "majority_rate");
        if (!isnan(majority) && !strcmp(text_of(g, "metric"), "accuracy")) {
            fprintf(out, "<path class=ax stroke-dasharray=\"3 3\" d=\"M%.0f %.1fh44\"/>\n", x - 22,
                    AT(majority));
        }
        if (!isnan(zeta)) {
            fprintf(
                out,
                "<rect class=fa opacity=.18 x=%.0f y=%.1f width=36 height=%.1f /><path class=sa "
                "d=\"M%.0f %.1fh36\"/>\n",
                x - 18, AT(zeta + var), AT(zeta - var) - AT(zeta + var), x - 18, AT(zeta));
        }
        for (size_t s = 0, n = json_array_size(scores); s < n; s++) {
            const json_t *value = json_array_get(scores, s);
            if (json_is_number(value)) {
                fprintf(out, "<circle class=%s cx=%.1f cy=%.1f r=3 />", is_bad(g, s) ? "ho" : "fb",
                        x + (n > 1 ? 24 * ((double)s / (double)(n - 1) - 0.5) : 0),
                        AT(json_number_value(value)));
            }
        }
#undef AT
        fputc('\n', out);
    }
    fputs("</svg><figcaption>Each dot is one run; hollow red ones collapsed. Line: mean, box: ± "
          "VAR, dashed: majority rate.</figcaption></figure>\n",
          out);
}

void html_sizes(FILE *out, const json_t *c, const Arguments *o)
{
    const json_t *xs = json_object_get(c, "x_values"), *ys = json_object_get(c, "y_values"),
                 *tasks = json_object_get(c, "tasks");
    size_t n = json_array_size(xs);
    double low = INFINITY, high = -INFINITY, first = INFINITY, last = -INFINITY, ends[2];
    char title[512], description[300], numbers[200], interval[72] = "n/a", left_out[40] = "n/a",
                                                     key[32], a[32], b[32], d[32];
    for (size_t i = 0; i < n; i++) {
        double x = json_number_value(json_array_get(xs, i)),
               y = json_number_value(json_array_get(ys, i));
        low = fmin(low, y);
        high = fmax(high, y);
        first = fmin(first, x);
        last = fmax(last, x);
    }
    if (n < 3) {
        fprintf(out, "<p class=dim>%s: needs three tasks, not %zu.</p>\n", text_of(c, "y"), n);
        return;
    }
    snprintf(title, sizeof title, "%s against training size, %s", text_of(c, "y"),
             text_end(text_of(c, "model"), 80));
    if (!ends_of(ends, json_object_get(c, leveled(key, "fisher_ci", o->level)))) {
        interval_text(interval, ends, 1, 2);
    }
    if (!ends_of(ends, json_object_get(c, "leave_one_out"))) {
        snprintf(left_out, sizeof left_out, "%.2f to %.2f", rounded(ends[0], 2),
                 rounded(ends[1], 2));
    }
    snprintf(numbers, sizeof numbers, "r = %s, interval %s, p = %s, Spearman %s",
             decimal(a, number_of(c, "pearson"), 1, 3), interval,
             decimal(b, number_of(c, "p"), 1, 3), decimal(d, number_of(c, "spearman"), 1, 3));
    snprintf(description, sizeof description, "One point a task. %s.", numbers);
    high += high > low ? 0 : 1;
    double step = axis_step(low, high, 4), from = floor(low / step) * step,
           to = ceil(high / step) * step, left = floor(first), right = fmax(ceil(last), left + 1);
    figure_open(out, 260, 250, title, NULL, description);
    for (double y = from; y <= to + step / 2; y += step) {
        double py = 200 - (y - from) / (to - from) * 180;
        fprintf(out,
                "<path class=gr d=\"M40 %.1fh205\"/><text class=d x=36 y=%.1f text-anchor=end>%g"
                "</text>",
                py, py + 4, fabs(y) < step / 2 ? 0 : y);
    }
    for (double x = left; x <= right; x++) {
        fprintf(out,
                "<text class=d x=%.1f y=215 text-anchor=middle>10<tspan dy=-4 "
                "style=\"font-size:8px\">%g</tspan></text>",
                45 + (x - left) / (right - left) * 190, x);
    }
    for (size_t i = 0; i < n; i++) {
        double x = 45 + (json_number_value(json_array_get(xs, i)) - left) / (right - left) * 190,
               y = 200 - (json_number_value(json_array_get(ys, i)) - from) / (to - from) * 180;
        fprintf(out,
                "<circle class=fa cx=%.1f cy=%.1f r=3 /><text class=d x=%.1f y=%.1f "
                "style=\"font-size:8px\" text-anchor=%s>",
                x, y, x > 190 ? x - 5 : x + 5, y + 3, x > 190 ? "end" : "start");
        html_text(out, json_string_value(json_array_get(tasks, i)));
        fputs("</text>", out);
    }
    fprintf(
        out,
        "<text class=d x=140 y=235 text-anchor=middle>training examples</text><text class=d x=4 "
        "y=12>%s, %%</text></svg><figcaption>%s: %s; one task left out: r %s. Sizes: ",
        text_of(c, "y"), text_of(c, "y"), numbers, left_out);
    html_text(out, text_of(c, "sizes"));
    fputs(".</figcaption></figure>\n", out);
}

void html_independence(FILE *out, const json_t *groups)
{
    json_t *g;
    size_t i, points = 0;
    double low = INFINITY, high = 0;
    json_array_foreach((json_t *)groups, i, g)
    {
        double x = number_of(g, "SD_indep"), y = number_of(g, "VAR");
        if (x > 0 && y > 0 && !strcmp(text_of(g, "metric"), "accuracy")) {
            low = fmin(low, fmin(x, y));
            high = fmax(high, fmax(x, y));
            points++;
        }
    }
    if (!points) {
        fputs("<p class=dim>No group with accuracy as its metric and variation between runs.</p>\n",
              out);
        return;
    }
    low = floor(log10(100 * low));
    high = ceil(log10(100 * high) + 1e-9);
#define AT(share) ((log10(100 * (share)) - low) / (high - low))
    figure_open(
        out, 560, 330, "VAR against the spread of independent errors", NULL,
        "Both axes logarithmic, in points. On the line (phi = 1) the scores of runs differ as "
        "much as independent errors make them; above it, runs differ as a whole.");
    for (double k = low; k <= high; k++) {
        double at = (k - low) / (high - low);
        fprintf(
            out,
            "<path class=gr d=\"M50 %.1fh480M%.1f 20v260\"/><text class=d x=44 y=%.1f "
            "text-anchor=end>%g</text><text class=d x=%.1f y=296 text-anchor=middle>%g</text>\n",
            280 - 260 * at, 50 + 480 * at, 284 - 260 * at, pow(10, k), 50 + 480 * at, pow(10, k));
    }
    fputs("<path class=sb d=\"M50 280L530 20\"/><text class=d x=470 y=40>φ = 1</text>\n", out);
    json_array_foreach((json_t *)groups, i, g)
    {
        double x = number_of(g, "SD_indep"), y = number_of(g, "VAR");
        if (x > 0 && y > 0 && !strcmp(text_of(g, "metric"), "accuracy")) {
            fprintf(out, "<circle class=fa cx=%.1f cy=%.1f r=3.5><title>", 50 + 480 * AT(x),
                    280 - 260 * AT(y));
            html_name(out, g, 80);
            fprintf(out, "</title></circle><text x=%.1f y=%.1f style=\"font-size:9px\">",
                    57 + 480 * AT(x), 283 - 260 * AT(y));
            html_text(out, text_of(g, "task"));
            fputs("</text>\n", out);
        }
    }
#undef AT
    fputs(
        "<text class=d x=290 y=318 text-anchor=middle>SD of independent errors, points</text><text "
        "class=d x=4 y=12>VAR, points</text></svg><figcaption>Above the line the scores of runs "
        "spread more than independent errors on single examples would make them (Cochran's Q)."
        "</figcaption></figure>\n",
        out);
}

void html_churn(FILE *out, const json_t *groups)
{
    static const char *const parts[] = {"net", "unnecessary", "both_wrong_differ"},
                             *const classes[] = {"fa", "fb", "fc"},
                             *const names[] = {"net change", "unnecessary churn",
                                               "both wrong, different"};
    json_t *g;
    size_t i, shown = 0;
    double most = 0;
    json_array_foreach((json_t *)groups, i, g)
    {
        const json_t *churn = json_object_get(g, "churn");
        shown += churn != NULL;
        most = fmax(most, churn ? number_of(churn, "total") : 0);
    }
    if (!shown) {
        fputs("<p class=dim>Needs at least two runs.</p>\n", out);
        return;
    }
    double step = axis_step(0, 100 * fmax(most, 1e-3), 5);
    most = ceil(100 * fmax(most, 1e-3) / step) * step;
    figure_open(out, 640, (int)(60 + 22 * shown), "Disagreement of two runs, by kind", NULL,
                "One bar a group, in percent of examples: net change of accuracy, wins and losses "
                "beyond it, and both wrong with different answers.");
    for (double x = 0; x <= most + step / 2; x += step) {
        fprintf(out,
                "<path class=gr d=\"M%.1f 24v%zu\"/><text class=d x=%.1f y=%zu "
                "text-anchor=middle>%g</text>",
                220 + x / most * 400, 22 * shown, 220 + x / most * 400, 40 + 22 * shown, x);
    }
    for (int p = 0; p < 3; p++) {
        fprintf(out, "<rect class=%s x=%d y=6 width=10 height=10 /><text x=%d y=15>%s</text>",
                classes[p], 220 + 130 * p, 234 + 130 * p, names[p]);
    }
    size_t row = 0;
    json_array_foreach((json_t *)groups, i, g)
    {
        const json_t *churn = json_object_get(g, "churn");
        double x = 220;
        if (!churn) {
            continue;
        }
        fprintf(out, "\n<text x=214 y=%zu text-anchor=end style=\"font-size:10px\">",
                40 + 22 * row);
        html_name(out, g, 24);
        fputs("</text>", out);
        for (int p = 0; p < 3; p++) {
            double size = 100 * number_of(churn, parts[p]) / most * 400;
            fprintf(out, "<rect class=%s x=%.1f y=%zu width=%.1f height=14 />", classes[p], x,
                    29 + 22 * row, size);
            x += size;
        }
        row++;
    }
    fprintf(out,
            "<text class=d x=420 y=%zu text-anchor=middle>%% of examples, mean over pairs of "
            "runs</text></svg></figure>\n",
            56 + 22 * shown);
}
