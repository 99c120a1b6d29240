/* Growth as text, and as a page with pictures on logarithmic axes. */
#include "html.h"
#include "result.h"
#include "trace_compare.h"
#include "trace_growth.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is drawn: a key of the points of steps or of evaluations. */
static const struct {
    const char *list, *key, *title, *what;
} curves[] = {
    {"steps", "weights", "Distance of the weights",
     "norm of the difference over the first one's norm, by sketches: ± 4 % (one SD)"},
    {"steps", "train_loss", "Difference of the training loss", "of the step's examples"},
    {"evaluations", "logits", "Distance of the logits",
     "of the dev data: norm of the difference over the first one's norm"},
    {"evaluations", "flipped", "Predictions that differ", "share of the dev examples"},
    {"evaluations", "loss", "Difference of the dev loss", "absolute"},
};
enum { CURVES = sizeof curves / sizeof *curves };

static const json_t *points_of(const json_t *pair, int c)
{
    return json_object_get(pair, curves[c].list);
}

/* The columns of evaluations; "-" where there is no number, as of a language model's logits. */
static const struct {
    const char *key, *title, *format;
    double scale;
} columns[] = {{"logits", "logits", "%.3g", 1},
               {"flipped", "flipped, %", "%.2f", 100},
               {"loss", "dev loss", "%.3g", 1},
               {"metric_a", "metric A", "%.4f", 1},
               {"metric_b", "metric B", "%.4f", 1}};
enum { COLUMNS = sizeof columns / sizeof *columns };

static const char *number_text(char text[32], double value, double scale, const char *format)
{
    if (isnan(value)) {
        return "-";
    }
    snprintf(text, 32, format, scale * value);
    return text;
}

void trace_growth_text(FILE *out, const json_t *growth)
{
    const json_t *pairs = json_object_get(growth, "pairs"), *pair, *point;
    char text[32];
    size_t p, i;
    json_array_foreach((json_t *)(uintptr_t)pairs, p, pair)
    {
        char *title = string_format("%s against %s", text_of(pair, "a"), text_of(pair, "b"));
        text_plain(title);
        fprintf(out, "%s%s\n", p ? "\n" : "", title);
        free(title);
        trace_receipts_text(out, "  ", json_object_get(pair, "receipts"));
        fprintf(out, "%10s %12s %12s\n", "step", "weights", "train loss");
        json_array_foreach(json_object_get(pair, "steps"), i, point)
        {
            fprintf(out, "%10.0f", number_of(point, "step"));
            fprintf(out, " %12s", number_text(text, number_of(point, "weights"), 1, "%.3g"));
            fprintf(out, " %12s\n", number_text(text, number_of(point, "train_loss"), 1, "%.3g"));
        }
        fprintf(out, "%10s", "evaluation");
        for (int c = 0; c < COLUMNS; c++) {
            fprintf(out, " %12s", columns[c].title);
        }
        fputc('\n', out);
        json_array_foreach(json_object_get(pair, "evaluations"), i, point)
        {
            fprintf(out, "%10.0f", number_of(point, "step"));
            for (int c = 0; c < COLUMNS; c++) {
                fprintf(out, " %12s",
                        number_text(text, number_of(point, columns[c].key), columns[c].scale,
                                    columns[c].format));
            }
            fputc('\n', out);
        }
    }
    fputs(
        "weights, logits: norm of the difference over A's norm; of weights estimated by sketches, "
        "within 9 % (two SD)\nflipped: share of dev examples with another prediction; losses: "
        "absolute differences\n",
        out);
}

/* --- the page --- */

/* Decades of an axis, one or more; a curve of zeros has the axis of 1. */
typedef struct Axis {
    double low, high; /* logarithms to base 10 */
} Axis;

static void widen(Axis *axis, double value)
{
    if (value > 0) {
        axis->low = fmin(axis->low, floor(log10(value)));
        axis->high = fmax(axis->high, ceil(log10(value)));
    }
}

static Axis axis_closed(Axis axis)
{
    if (axis.low > axis.high) {
        axis = (Axis){-1, 0};
    }
    axis.high = fmax(axis.high, axis.low + 1);
    return axis;
}

/* 260 in all: a card (html.c) */
enum { LEFT = 44, TOP = 12, WIDE = 200, HIGH = 190, RIGHT = 16 };

static double place_x(const Axis *x, double step)
{
    return LEFT + (log10(step) - x->low) / (x->high - x->low) * WIDE;
}

static double place_y(const Axis *y, double value)
{
    return TOP + HIGH - (log10(value) - y->low) / (y->high - y->low) * HIGH;
}

static void draw_axes(FILE *out, const Axis *x, const Axis *y)
{
    int step = (int)ceil((y->high - y->low) / 8);
    for (int e = (int)y->low; e <= (int)y->high; e += step) {
        double at = TOP + HIGH - (e - y->low) / (y->high - y->low) * HIGH;
        fprintf(out,
                "<path class=gr d=\"M%d %.1fh%d\"/><text class=d x=%d y=%.1f text-anchor=end>"
                "%s%d</text>\n",
                LEFT, at, WIDE, LEFT - 6, at + 4, "1e", e);
    }
    for (int e = (int)x->low; e <= (int)x->high; e++) {
        double at = LEFT + (e - x->low) / (x->high - x->low) * WIDE;
        fprintf(out,
                "<path class=gr d=\"M%.1f %dv%d\"/><text class=d x=%.1f y=%d text-anchor=middle>"
                "%.0f</text>\n",
                at, TOP, HIGH, at, TOP + HIGH + 16, pow(10, e));
    }
    fprintf(out,
            "<path class=ax d=\"M%d %dv%dh%d\"/><text class=d x=%d y=%d text-anchor=end>step"
            "</text>\n",
            LEFT, TOP, HIGH, WIDE, LEFT + WIDE, TOP + HIGH + 30);
}

/* A line through what is above 0; hollow circles on the axis where it is 0. */
static void draw_curve(FILE *out, const json_t *points, const char *key, int side, const Axis *x,
                       const Axis *y)
{
    const char *pen = "M";
    json_t *point;
    size_t i;
    fprintf(out, "<path class=%s d=\"", side ? "sb" : "sa");
    json_array_foreach((json_t *)(uintptr_t)points, i, point)
    {
        double value = number_of(point, key), step = number_of(point, "step");
        if (value > 0 && step >= 1) {
            fprintf(out, "%s%.1f %.1f", pen, place_x(x, step), place_y(y, value));
            pen = "L";
        } else if (value == 0) {
            pen = "M";
        }
    }
    fputs("\"/>\n", out);
    json_array_foreach((json_t *)(uintptr_t)points, i, point)
    {
        double value = number_of(point, key), step = number_of(point, "step");
        if (value >= 0 && step >= 1) {
            fprintf(out, "<circle %s cx=%.1f cy=%.1f r=2.5 />",
                    value > 0 ? (side ? "class=fb" : "class=fa")
                    : side    ? "class=\"sb\""
                              : "class=\"sa\"",
                    place_x(x, step), value > 0 ? place_y(y, value) : TOP + HIGH);
        }
    }
    fputc('\n', out);
}

static void draw_figure(FILE *out, const json_t *pairs, int c)
{
    Axis x = {0, 1}, y = {INFINITY, -INFINITY};
    size_t p, i, drawn = 0;
    json_t *pair, *point;
    json_array_foreach((json_t *)(uintptr_t)pairs, p, pair)
    {
        json_array_foreach((json_t *)(uintptr_t)points_of(pair, c), i, point)
        {
            double value = number_of(point, curves[c].key);
            widen(&y, value);
            widen(&x, number_of(point, "step"));
            drawn += !isnan(value);
        }
    }
    if (!drawn) {
        return;
    }
    y = axis_closed(y);
    char *description = string_format(
        "%s over steps, both axes logarithmic; %s.%s", curves[c].title, curves[c].what,
        json_array_size(pairs) > 1 ? " Blue: the first pair of runs, orange: the second." : "");
    figure_open(out, LEFT + WIDE + RIGHT, TOP + HIGH + 40, curves[c].title, NULL, description);
    free(description);
    draw_axes(out, &x, &y);
    json_array_foreach((json_t *)(uintptr_t)pairs, p, pair)
    {
        draw_curve(out, points_of(pair, c), curves[c].key, (int)p, &x, &y);
    }
    fprintf(out, "</svg><figcaption>%s: %s. Hollow on the axis: 0.</figcaption></figure>\n",
            curves[c].title, curves[c].what);
}

static const char *const side_names[] = {"A against B", "Beside it"};

static void html_pair(FILE *out, const json_t *pair, size_t p)
{
    const json_t *receipts = json_object_get(pair, "receipts"), *e;
    size_t i;
    fprintf(out,
            "<p><svg viewBox=\"0 0 12 12\" style=\"width:.8em;display:inline\" aria-hidden="
            "true><rect class=%s width=12 height=12 /></svg> <b>%s</b> ",
            p ? "fb" : "fa", side_names[p]);
    html_text(out, text_of(pair, "a"));
    fputs(" against ", out);
    html_text(out, text_of(pair, "b"));
    fputs(":", out);
    json_array_foreach((json_t *)(uintptr_t)receipts, i, e)
    {
        fputs(i ? "; " : " ", out);
        html_text(out, text_of(e, "key"));
        fputs(" ", out);
        html_text(out, text_of(e, "a"));
        fputs(" against ", out);
        html_text(out, text_of(e, "b"));
    }
    fputs(json_array_size(receipts) ? ".</p>\n" : " nothing differs in the receipts.</p>\n", out);
}

void trace_growth_html(FILE *out, const json_t *growth)
{
    const json_t *pairs = json_object_get(growth, "pairs"), *pair, *point;
    size_t p, i;
    html_open(out, "Growth of a difference");
    fputs("<h1>How did the difference grow?</h1>\n<p>Two runs of the same recipe and data, step "
          "by step, from their traces.</p>\n",
          out);
    json_array_foreach((json_t *)(uintptr_t)pairs, p, pair)
    {
        html_pair(out, pair, p);
    }
    fputs("<div class=cards>\n", out);
    for (int c = 0; c < CURVES; c++) {
        draw_figure(out, pairs, c);
    }
    fputs("</div>\n<h2>Evaluations</h2>\n", out);
    json_array_foreach((json_t *)(uintptr_t)pairs, p, pair)
    {
        fprintf(out, "<h3>%s</h3>\n<div class=wide><table><thead><tr><th>step</th>", side_names[p]);
        for (int c = 0; c < COLUMNS; c++) {
            fprintf(out, "<th>%s</th>", columns[c].title);
        }
        fputs("</tr></thead><tbody>\n", out);
        json_array_foreach(json_object_get(pair, "evaluations"), i, point)
        {
            char text[32];
            fprintf(out, "<tr><td>%.0f</td>", number_of(point, "step"));
            for (int c = 0; c < COLUMNS; c++) {
                fprintf(out, "<td>%s</td>",
                        number_text(text, number_of(point, columns[c].key), columns[c].scale,
                                    columns[c].format));
            }
            fputs("</tr>\n", out);
        }
        fputs("</tbody></table></div>\n", out);
    }
    fputs("</body></html>\n", out);
}
