/* The report as one HTML file: inline SVG and CSS, no script, no network. Each picture is drawn in
 * pixels of its own viewBox and scaled by the page. */
#include "known.h"
#include "report.h"
#include "result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char style[] =
    ":root{--bg:#fff;--fg:#1b1f24;--dim:#59636e;--line:#d0d7de;--soft:#f4f6f8;--a:#0b62a8;"
    "--b:#b35900;--c:#6e5a9e;--bad:#b3261e}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#14181d;--fg:#e6e9ed;--dim:#9aa5b1;"
    "--line:#39424c;--soft:#1d232a;--a:#6cb6ff;--b:#f0a04b;--c:#b8a1ee;--bad:#ff8a80}}\n"
    "body{background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif;"
    "max-width:62rem;margin:0 auto;padding:1rem}\n"
    "h1{font-size:1.6rem;margin:.5rem 0}h2{font-size:1.2rem;margin:2.2rem 0 .5rem}"
    "h3{font-size:1rem;margin:1.4rem 0 .3rem}\n"
    "p,figcaption,li{max-width:44rem}.dim,figcaption{color:var(--dim);font-size:.875rem}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;font-size:.875rem;"
    "font-variant-numeric:tabular-nums}\n"
    "th,td{padding:.2rem .4rem;text-align:right;vertical-align:top;border-bottom:1px solid "
    "var(--line)}th:first-child,td:first-child,.l{text-align:left}tbody "
    "td:first-child{white-space:nowrap}@media(max-width:40rem){tbody "
    "td:first-child{white-space:normal}}thead th{border-bottom:2px "
    "solid var(--fg)}\n"
    "td small{display:block;color:var(--dim);white-space:nowrap}.block th{background:var(--soft)}\n"
    ".cards{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:.5rem 0}.cards figure{flex:1 1 "
    "15rem;max-width:20rem}\n"
    ".wide svg{min-width:36rem}svg{width:100%;height:auto;display:block}svg text{fill:var(--fg);"
    "font:11px system-ui,sans-serif}svg .d{fill:var(--dim)}\n"
    ".ax{stroke:var(--dim);fill:none}.gr{stroke:var(--line);fill:none}.fa{fill:var(--a)}"
    ".fb{fill:var(--b)}.fc{fill:var(--c)}.sa{stroke:var(--a);fill:none;stroke-width:2}"
    ".sb{stroke:var(--b);fill:none;stroke-width:1.5}.ho{fill:var(--bg);stroke:var(--bad);"
    "stroke-width:1.5}.wa{color:var(--bad)}\n"
    "svg .hi{fill:var(--bg)}\n"
    "@media print{body{max-width:none;font-size:10pt}figure,tr{break-inside:avoid}"
    ".wide{overflow:visible}.wide svg{min-width:0}}\n";

static void esc(FILE *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        case '\'':
            fputs("&#39;", out);
            break;
        default:
            fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
        }
    }
}

static int pictures; /* of this report: ids of titles */

/* Opens a picture with its title and a text for those who cannot see it. */
static void svg_open(FILE *out, int width, int height, const char *title, const char *description)
{
    int id = ++pictures;
    fprintf(out,
            "<svg viewBox=\"0 0 %d %d\" style=\"max-width:%dpx\" role=\"img\" "
            "aria-labelledby=\"t%d d%d\"><title id=\"t%d\">",
            width, height, width * 5 / 4, id, id, id);
    esc(out, title);
    fprintf(out, "</title><desc id=\"d%d\">", id);
    esc(out, description);
    fputs("</desc>\n", out);
}

enum { NAME = 512, TITLE = NAME + 64 };

/* Task and model of a group, for titles: of a longer name so many characters of its end. */
static const char *name_of(char out[NAME], const json_t *g, size_t characters)
{
    const KnownTask *known = known_task(text_of(g, "task"), text_of(g, "benchmark"));
    int same = known && !strcmp(known->benchmark, text_of(g, "benchmark"));
    char *model = group_name(g);
    const char *task = same ? known->label : text_of(g, "task"), *task_end = text_end(task, 40),
               *end = text_end(model, characters);
    snprintf(out, NAME, "%s%s, %s%s", task_end > task ? "\u2026" : "", task_end,
             end > model ? "\u2026" : "", end);
    free(model);
    return out;
}

/* Round steps of an axis from low to high. */
static double step_of(double low, double high, int most)
{
    double raw = (high - low) / most, unit = pow(10, floor(log10(raw > 0 ? raw : 1)));
    double ratio = raw / unit;
    return unit * (ratio <= 1 ? 1 : ratio <= 2 ? 2 : ratio <= 5 ? 5 : 10);
}

static int is_bad(const json_t *g, size_t s)
{
    json_t *index;
    size_t i;
    json_array_foreach(json_object_get(json_object_get(g, "degenerate"), "any"), i, index)
    {
        if ((size_t)json_integer_value(index) == s) {
            return 1;
        }
    }
    return 0;
}

/* (1) Table 1 with intervals. */
static void paper_html(FILE *out, const PaperTable *t, const Arguments *o)
{
    static const char *const names[] = {"zeta", "VAR", "CON", "CCON"}, *const shown[] = {"ζ", "VAR",
                                                                                         "CON",
                                                                                         "CCON"};
    fputs("<div class=wide><table><thead><tr><th></th>", out);
    for (int c = 0; c < t->columns; c++) {
        fputs("<th scope=col>", out);
        esc(out, t->column[c]);
        fputs("</th>", out);
    }
    fputs("</tr></thead><tbody>\n", out);
    for (int b = 0; b < t->blocks; b++) {
        fprintf(out, "<tr class=block><th scope=rowgroup colspan=%d>", t->columns + 1);
        esc(out, t->block[b]);
        fputs("</th></tr>\n", out);
        for (int r = 0; r < 4; r++) {
            fprintf(out, "<tr><th scope=row>%s</th>", r == 1 && o->ddof ? "SD" : shown[r]);
            for (int c = 0; c < t->columns; c++) {
                const json_t *g = t->cell[b * t->columns + c];
                char value[32], key[32];
                double ends[2], scale = g && r < 2 ? percent_scale(g) : 100;
                if (!g) {
                    fputs("<td>–</td>", out);
                    continue;
                }
                fprintf(out, "<td>%s",
                        decimal(value, number_of(g, r == 1 && o->ddof ? "SD_sample" : names[r]),
                                scale, 2));
                leveled(key, r == 0 ? "mean_ci" : "SD_ci", o->level);
                if (r == 0) {
                    strcat(key, "_t");
                }
                int none = r >= 2 ? shown_interval(ends, g, names[r], o)
                                  : ends_of(ends, json_object_get(g, key));
                if (!none) {
                    fprintf(out, "<small>%s%.1f–%.1f</small>", r == 1 ? "σ " : "", scale * ends[0],
                            scale * ends[1]);
                }
                fputs("</td>", out);
            }
            fputs("</tr>\n", out);
        }
    }
    fputs("</tbody></table></div>\n", out);
}

/* (2) Seeds of every task of one block. */
static void strip_plot(FILE *out, const PaperTable *t, int b)
{
    int width = 70 + 56 * int_max(t->columns, 5), bottom = 230;
    double low = 1, high = 0;
    char title[TITLE];
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
    double step = step_of(100 * low, 100 * high, 6), from = floor(100 * low / step) * step,
           to = ceil(100 * high / step) * step;
    snprintf(title, sizeof title, "Scores of all seeds, %s", text_end(t->block[b], 100));
    fputs("<figure class=wide>", out);
    svg_open(out, width, 270, title,
             "One column a task, one dot a run: its score in percent. Hollow red: collapsed run. "
             "Long line: mean; box: mean plus and minus VAR; dashed: majority rate.");
    for (double y = from; y <= to + step / 2; y += step) {
        double py = bottom - (y - from) / (to - from) * 200;
        fprintf(out,
                "<path class=gr d=\"M50 %.1fH%d\"/><text class=d x=44 y=%.1f text-anchor=end>"
                "%g</text>\n",
                py, width - 5, py + 4, y);
    }
    fputs("<text class=d x=4 y=16>score, %</text>\n", out);
    for (int c = 0; c < t->columns; c++) {
        const json_t *g = t->cell[b * t->columns + c], *scores;
        double x = 80 + 56 * c;
        fprintf(out, "<text x=%.0f y=250 text-anchor=middle>", x);
        esc(out, t->column[c]);
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

/* Order of S runs so that similar ones are neighbours: average linkage, the nearer ends joined. */
static size_t *cluster_order(const double *con, size_t S)
{
    size_t *order = memory_alloc(S, sizeof *order), *chain = memory_alloc(S, sizeof *chain);
    size_t *group = memory_alloc(S, sizeof *group), groups = S;
    for (size_t s = 0; s < S; s++) {
        order[s] = s; /* runs by group, each group together */
        group[s] = s; /* group of the run at this place */
    }
    while (groups > 1) {
        double best = -1;
        size_t x = 0, y = 1;
        for (size_t a = 0; a < groups; a++) {
            for (size_t b = a + 1; b < groups; b++) {
                double sum = 0, count = 0;
                for (size_t i = 0; i < S; i++) {
                    for (size_t j = 0; j < S; j++) {
                        int both = group[i] == a && group[j] == b;
                        sum += both ? con[order[i] * S + order[j]] : 0;
                        count += both;
                    }
                }
                if (sum / count > best) {
                    best = sum / count;
                    x = a;
                    y = b;
                }
            }
        }
        /* group y moves behind group x; the later groups move up */
        size_t n = 0;
        for (size_t a = 0; a < groups; a++) {
            for (int part = 0; part < 2 && a != y; part++) {
                size_t wanted = part ? y : a;
                for (size_t i = 0; i < S && (part == 0 || a == x); i++) {
                    if (group[i] == wanted) {
                        chain[n++] = order[i];
                    }
                }
            }
        }
        size_t *size = memory_calloc(groups, sizeof *size);
        for (size_t i = 0; i < S; i++) {
            size[group[i] == y ? x : group[i]]++;
        }
        n = 0;
        for (size_t a = 0, new = 0; a < groups; a++) {
            if (a != y) {
                for (size_t k = 0; k < size[a]; k++) {
                    group[n++] = new;
                }
                new ++;
            }
        }
        free(size);
        memcpy(order, chain, S * sizeof *order);
        groups--;
    }
    free(chain);
    free(group);
    return order;
}

/* (3) Agreement of all pairs of runs. */
static void heat_map(FILE *out, const json_t *g)
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
    char title[TITLE], name[NAME];
    snprintf(title, sizeof title, "Agreement of pairs of runs: %s", name_of(name, g, 80));
    fputs("<figure>", out);
    svg_open(out, 260, 250, title,
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
            esc(out, seed);
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

/* (4) How many runs are right, and the distribution of agreement. */
static void histogram(FILE *out, const json_t *g)
{
    const json_t *counts = json_object_get(g, "correct_histogram"),
                 *values = json_object_get(g, "agreement_values");
    size_t S = (size_t)number_of(g, "S");
    double N = number_of(g, "N"), most = 0, at = 0, size = 190.0 / (double)(S + 1);
    char title[TITLE], name[NAME], description[256];
    if (!counts || S < 2) {
        return;
    }
    for (size_t k = 0; k <= S; k++) {
        most = fmax(most, json_number_value(json_array_get(counts, k)) / N);
    }
    snprintf(title, sizeof title, "Runs that are right, and agreement: %s", name_of(name, g, 80));
    snprintf(description, sizeof description,
             "Bars: share of examples on which k of %zu runs are right; %.1f percent always, %.1f "
             "percent never. Line: share of examples whose agreement is at most x.",
             S, 100 * number_of(g, "always_correct"), 100 * number_of(g, "always_wrong"));
    fputs("<figure>", out);
    svg_open(out, 260, 250, title, description);
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

/* (5) Confidence and variability of examples. */
static void data_map(FILE *out, const json_t *g)
{
    const json_t *map = json_object_get(json_object_get(g, "logits"), "data_map");
    double most = 0;
    char title[TITLE], name[NAME];
    if (!map) {
        return;
    }
    for (size_t r = 0; r < 20; r++) {
        for (size_t c = 0; c < 20; c++) {
            most = fmax(most, json_number_value(json_array_get(json_array_get(map, r), c)));
        }
    }
    snprintf(title, sizeof title, "Data map: %s", name_of(name, g, 80));
    fputs("<figure>", out);
    svg_open(out, 260, 250, title,
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

/* (6) VAR, CON, CCON against training size. */
static void size_plot(FILE *out, const json_t *c, const Arguments *o)
{
    const json_t *xs = json_object_get(c, "x_values"), *ys = json_object_get(c, "y_values"),
                 *tasks = json_object_get(c, "tasks");
    size_t n = json_array_size(xs);
    double low = INFINITY, high = -INFINITY, first = INFINITY, last = -INFINITY, ends[2];
    char title[TITLE], description[300], numbers[200], interval[40] = "n/a", left_out[40] = "n/a",
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
        snprintf(interval, sizeof interval, "[%.2f, %.2f]", ends[0], ends[1]);
    }
    if (!ends_of(ends, json_object_get(c, "leave_one_out"))) {
        snprintf(left_out, sizeof left_out, "%.2f to %.2f", ends[0], ends[1]);
    }
    snprintf(numbers, sizeof numbers, "r = %s, interval %s, p = %s, Spearman %s",
             decimal(a, number_of(c, "pearson"), 1, 3), interval,
             decimal(b, number_of(c, "p"), 1, 3), decimal(d, number_of(c, "spearman"), 1, 3));
    snprintf(description, sizeof description, "One point a task. %s.", numbers);
    high += high > low ? 0 : 1;
    double step = step_of(low, high, 4), from = floor(low / step) * step,
           to = ceil(high / step) * step, left = floor(first), right = fmax(ceil(last), left + 1);
    fputs("<figure>", out);
    svg_open(out, 260, 250, title, description);
    for (double y = from; y <= to + step / 2; y += step) {
        double py = 200 - (y - from) / (to - from) * 180;
        fprintf(out,
                "<path class=gr d=\"M40 %.1fh205\"/><text class=d x=36 y=%.1f text-anchor=end>%g"
                "</text>",
                py, py + 4, y);
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
        esc(out, json_string_value(json_array_get(tasks, i)));
        fputs("</text>", out);
    }
    fprintf(
        out,
        "<text class=d x=140 y=235 text-anchor=middle>training examples</text><text class=d x=4 "
        "y=12>%s, %%</text></svg><figcaption>%s: %s; one task left out: r %s. Sizes: ",
        text_of(c, "y"), text_of(c, "y"), numbers, left_out);
    esc(out, text_of(c, "sizes"));
    fputs(".</figcaption></figure>\n", out);
}

/* (7) VAR beside what independent errors would give. */
static void independence_plot(FILE *out, const json_t *groups)
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
    fputs("<figure class=wide>", out);
    svg_open(out, 560, 330, "VAR against the spread of independent errors",
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
            char name[NAME];
            fprintf(out, "<circle class=fa cx=%.1f cy=%.1f r=3.5><title>", 50 + 480 * AT(x),
                    280 - 260 * AT(y));
            esc(out, name_of(name, g, 80));
            fprintf(out, "</title></circle><text x=%.1f y=%.1f style=\"font-size:9px\">",
                    57 + 480 * AT(x), 283 - 260 * AT(y));
            esc(out, text_of(g, "task"));
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

/* (8) What disagreement is made of. */
static void churn_bars(FILE *out, const json_t *groups)
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
    double step = step_of(0, 100 * fmax(most, 1e-3), 5);
    most = ceil(100 * fmax(most, 1e-3) / step) * step;
    fputs("<figure class=wide>", out);
    svg_open(out, 640, (int)(60 + 22 * shown), "Disagreement of two runs, by kind",
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
        char name[NAME];
        double x = 220;
        if (!churn) {
            continue;
        }
        fprintf(out, "\n<text x=214 y=%zu text-anchor=end style=\"font-size:10px\">",
                40 + 22 * row);
        esc(out, name_of(name, g, 24));
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

/* (9) The examples that seeds decide. */
static void least_stable(FILE *out, const json_t *g)
{
    const json_t *list = json_object_get(g, "examples"), *names;
    json_t *e;
    size_t i;
    char name[NAME], a[32], b[32];
    int texts = 0, stable = 1;
    json_array_foreach((json_t *)list, i, e)
    {
        texts = texts || *text_of(e, "text");
        stable = stable && number_of(e, "a") >= 1;
    }
    if (!json_array_size(list) || stable || number_of(g, "S") < 2) {
        return;
    }
    names = json_object_get(g, "label_names");
    fputs("<h3>", out);
    esc(out, name_of(name, g, 80));
    fprintf(out,
            "</h3><div class=wide><table><thead><tr><th>example</th><th>agreement, "
            "%%</th><th>right</th><th class=l>label</th><th "
            "class=l>votes</th>%s%s</tr></thead><tbody>\n",
            json_object_get(g, "logits") ? "<th>confidence</th>" : "",
            texts ? "<th class=l>text</th>" : "");
    json_array_foreach((json_t *)list, i, e)
    {
        if (number_of(e, "a") >= 1) {
            break;
        }
        fputs("<tr><td>", out);
        esc(out, *text_of(e, "id") ? text_of(e, "id") : "?");
        fprintf(out, "</td><td>%s</td><td>%.0f of %.0f</td><td class=l>",
                decimal(a, number_of(e, "a"), 100, 1), number_of(e, "correct"), number_of(g, "S"));
        const json_t *label = json_array_get(names, (size_t)fmax(0, number_of(e, "label")));
        esc(out, json_string_value(label) ? json_string_value(label) : "?");
        fputs("</td><td class=l>", out);
        json_t *votes = json_object_get(e, "votes"), *vote;
        size_t c;
        int any = 0;
        json_array_foreach(votes, c, vote)
        {
            if (json_integer_value(vote)) {
                const char *class = json_string_value(json_array_get(names, c));
                fprintf(out, "%s%" JSON_INTEGER_FORMAT " ", any++ ? ", " : "",
                        json_integer_value(vote));
                esc(out, class ? class : "?");
            }
        }
        fputs("</td>", out);
        if (json_object_get(g, "logits")) {
            fprintf(out, "<td>%s</td>", decimal(b, number_of(e, "confidence"), 1, 2));
        }
        if (texts) {
            char *text = string_copy(text_of(e, "text"));
            size_t size = utf8_valid_prefix(text, size_min(strlen(text), 300));
            int cut = text[size] != 0;
            text[size] = 0;
            fputs("<td class=l>", out);
            esc(out, text);
            fputs(cut ? " …</td>" : "</td>", out);
            free(text);
        }
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div>\n", out);
}

static void all_numbers(FILE *out, const json_t *groups, const Arguments *o)
{
    static const char
        *const columns[] = {"phi",       "cochran_p",          "fleiss_kappa",
                            "gwet_ac1",  "krippendorff_alpha", "error_consistency_mean",
                            "unanimous", "vote_accuracy"},
               *const heads[] = {"φ", "p", "κ", "AC1", "α", "κ of errors", "unanimous", "vote"};
    json_t *g;
    size_t i;
    char a[32], name[NAME];
    fputs("<div class=wide><table><thead><tr><th>task, model</th><th "
          "class=l>recipe</th><th>S</th><th>N"
          "</th><th>collapsed</th><th>s</th>",
          out);
    for (int c = 0; c < 8; c++) {
        fprintf(out, "<th>%s</th>", heads[c]);
    }
    fputs("</tr></thead><tbody>\n", out);
    json_array_foreach((json_t *)groups, i, g)
    {
        double ends[2];
        char key[32];
        const json_t *degenerate = json_object_get(g, "degenerate");
        fputs("<tr><td>", out);
        esc(out, name_of(name, g, 80));
        fprintf(out, "</td><td class=l>%.8s</td><td>%.0f</td><td>%.0f</td><td>%zu",
                text_of(g, "recipe_sha256"), number_of(g, "S"), number_of(g, "N"),
                json_array_size(json_object_get(degenerate, "any")));
        if (!ends_of(ends,
                     json_object_get(degenerate, leveled(key, "clopper_pearson", o->level)))) {
            fprintf(out, "<small>%.0f–%.0f %%</small>", 100 * ends[0], 100 * ends[1]);
        }
        fprintf(out, "</td><td>%s</td>",
                decimal(a, number_of(g, "SD_sample"), percent_scale(g), 2));
        for (int c = 0; c < 8; c++) {
            double value = number_of(g, columns[c]);
            if (c == 1 && !isnan(value)) {
                fprintf(out, "<td>%.2g</td>", value);
            } else {
                fprintf(out, "<td>%s</td>",
                        decimal(a, value, c >= 6 ? 100 : 1,
                                c >= 6 ? 2
                                : c    ? 3
                                       : 2));
            }
        }
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div>\n", out);
    json_array_foreach((json_t *)groups, i, g)
    {
        const json_t *healthy = json_object_get(g, "without_degenerate");
        if (healthy) {
            char b[32], c[32], d[32];
            fputs("<p>", out);
            esc(out, name_of(name, g, 80));
            fprintf(out,
                    ", without the collapsed runs: S = %.0f, accuracy %s, VAR %s, CON %s, CCON "
                    "%s.</p>\n",
                    number_of(healthy, "S"), decimal(a, number_of(healthy, "zeta"), 100, 2),
                    decimal(b, number_of(healthy, "VAR"), 100, 2),
                    decimal(c, number_of(healthy, "CON"), 100, 2),
                    decimal(d, number_of(healthy, "CCON"), 100, 2));
        }
    }
}

static void comparisons_html(FILE *out, const json_t *report, const Arguments *o)
{
    static const char *const names[] = {"zeta", "CON", "CCON"};
    json_t *c;
    size_t i;
    if (!json_array_size(json_object_get(report, "comparisons"))) {
        return;
    }
    fputs("<h2>Comparison</h2><div class=wide><table><thead><tr><th>task</th><th class=l>A</th><th "
          "class=l>B</th><th>Δζ</th><th>p, Holm</th><th>ΔCON</th><th>p, "
          "Holm</th><th>ΔCCON</th><th>p, "
          "Holm</th><th>agreement of A with B</th></tr></thead><tbody>\n",
          out);
    json_array_foreach(json_object_get(report, "comparisons"), i, c)
    {
        char a[32], key[32];
        double ends[2];
        fputs("<tr><td>", out);
        esc(out, text_of(c, "task"));
        for (int side = 0; side < 2; side++) {
            char *side_text = side_name(json_object_get(c, side ? "B" : "A"));
            fputs("</td><td class=l>", out);
            esc(out, side_text);
            free(side_text);
        }
        fputs("</td>", out);
        for (int k = 0; k < 3; k++) {
            const json_t *d = json_object_get(c, names[k]);
            fprintf(out, "<td>%s", decimal(a, number_of(d, "delta"), 100, 2));
            if (!ends_of(ends, json_object_get(d, leveled(key, "ci", o->level)))) {
                fprintf(out, "<small>%.1f to %.1f</small>", 100 * ends[0], 100 * ends[1]);
            }
            double p = number_of(d, "p_holm");
            fprintf(out, isnan(p) ? "</td><td>n/a</td>" : "</td><td>%.2g</td>", p);
        }
        fprintf(out, "<td>%s</td></tr>\n", decimal(a, number_of(c, "CON_across"), 100, 2));
    }
    fputs("</tbody></table></div>\n", out);
}

static void sources_html(FILE *out, const json_t *groups, const Arguments *o)
{
    json_t *g, *e;
    size_t i, k;
    int any = 0;
    json_array_foreach((json_t *)groups, i, g)
    {
        const json_t *sources = json_object_get(g, "sources");
        char name[NAME], a[32], b[32], key[32];
        if (!sources) {
            continue;
        }
        fputs(any++ ? "" : "<h2>Variance by source</h2>\n", out);
        fputs("<h3>", out);
        esc(out, name_of(name, g, 80));
        fputs("</h3><div class=wide><table><thead><tr><th>source</th><th>df</th><th>SD, "
              "points</th><th>share, %</th></tr></thead><tbody>\n",
              out);
        json_array_foreach(json_object_get(sources, "components"), k, e)
        {
            double ends[2];
            fprintf(out, "<tr><td>%s</td><td>%.0f</td><td>%s", text_of(e, "source"),
                    number_of(e, "df"), decimal(a, number_of(e, "SD"), percent_scale(g), 2));
            if (!ends_of(ends, json_object_get(e, leveled(key, "variance_ci", o->level)))) {
                fprintf(out, "<small>%.2f–%.2f</small>", percent_scale(g) * sqrt(ends[0]),
                        percent_scale(g) * sqrt(ends[1]));
            }
            fprintf(out, "</td><td>%s</td></tr>\n", decimal(b, number_of(e, "share"), 100, 0));
        }
        fputs("</tbody></table></div>\n", out);
    }
}

static void audit_html(FILE *out, const json_t *audit)
{
    json_t *c;
    size_t i;
    char a[32], b[32];
    if (!audit) {
        return;
    }
    fputs(
        "<h2>Audit of a published table</h2><div class=wide><table><thead><tr><th>model</th><th "
        "class=l>task</th><th>ζ</th><th>VAR</th><th>CON</th><th>CCON</th><th>predicted</th><th>off"
        "</th><th "
        "class=l>verdict</th><th class=l>reason</th></tr></thead><tbody>\n",
        out);
    json_array_foreach(json_object_get(audit, "cells"), i, c)
    {
        fputs("<tr><td>", out);
        esc(out, text_of(c, "model"));
        fputs("</td><td class=l>", out);
        esc(out, text_of(c, "task"));
        fprintf(out,
                "</td><td>%.2f</td><td>%.2f</td><td>%.2f</td><td>%.2f</td><td>%s</td><td>%s</td>",
                number_of(c, "zeta"), number_of(c, "VAR"), number_of(c, "CON"),
                number_of(c, "CCON"), decimal(a, number_of(c, "predicted_CCON"), 1, 3),
                decimal(b, number_of(c, "difference"), 1, 3));
        const char *verdict = text_of(c, "verdict");
        int impossible = !strcmp(verdict, "inconsistent") || !strcmp(verdict, "off the grid");
        fprintf(out, "<td class=\"l%s\">%s</td><td class=l>", impossible ? " wa" : "", verdict);
        esc(out, text_of(c, "reason"));
        fputs("</td></tr>\n", out);
    }
    fputs("</tbody></table></div>\n", out);
}

/* (10) What was done, and what others need to do it again. */
static void checklist(FILE *out, const json_t *report, const Arguments *o)
{
    json_t *g;
    size_t i, k;
    char *methods = methods_text(report, o), name[NAME];
    double residual = 0;
    fputs("<h2 id=methods>10. Methods</h2>\n<p>", out);
    esc(out, methods);
    free(methods);
    fputs("</p>\n<h3>Reproducibility checklist</h3>\n<div class=wide><table><thead><tr><th>task, "
          "model</th><th class=l>seeds</th><th class=l>checkpoint</th><th class=l>weights, "
          "SHA-256</th><th class=l>training data</th><th class=l>dev data</th><th "
          "class=l>recipe</th><th class=l>device</th><th class=l>kernels</th><th "
          "class=l>commit</th></tr></thead><tbody>\n",
          out);
    json_array_foreach(json_object_get(report, "groups"), i, g)
    {
        json_t *run, *runs = json_object_get(g, "runs");
        fputs("<tr><td>", out);
        esc(out, name_of(name, g, 80));
        fputs("</td><td class=l>", out);
        json_array_foreach(runs, k, run)
        {
            if (k == 30) {
                fprintf(out, " and %zu more", json_array_size(runs) - k);
                break;
            }
            fputs(k ? ", " : "", out);
            esc(out, text_of(run, "name"));
        }
        fputs("</td><td class=l>", out);
        esc(out, *text_of(g, "checkpoint") ? text_of(g, "checkpoint") : "?");
        static const char *const digests[] = {"model_sha256", "train_sha256", "dataset_sha256",
                                              "recipe_sha256"};
        for (int d = 0; d < 4; d++) {
            char digest[16];
            const char *text = *text_of(g, digests[d]) ? text_of(g, digests[d]) : "?";
            size_t size = size_min(strlen(text), 12);
            snprintf(digest, sizeof digest, "%.*s", (int)utf8_valid_prefix(text, size), text);
            fputs("</td><td class=l>", out);
            esc(out, digest);
        }
        fputs("</td><td class=l>", out);
        esc(out, *text_of(g, "device") ? text_of(g, "device") : "?");
        fputs("</td><td class=l>", out);
        esc(out, *text_of(g, "kernels") ? text_of(g, "kernels") : "?");
        fputs("</td><td class=l>", out);
        esc(out, text_of(json_array_get(runs, 0), "git_commit"));
        fputs("</td></tr>\n", out);
        residual = fmax(residual, json_object_get(g, "identity_residual")
                                      ? number_of(g, "identity_residual")
                                      : 0);
    }
    fputs("</tbody></table></div>\n<ul>\n", out);
    json_array_foreach(json_object_get(report, "groups"), i, g)
    {
        json_t *warning;
        for (int u = 0; u < UNDERSTOOD; u++) {
            if (*text_of(g, understood[u][0])) {
                fputs("<li>", out);
                esc(out, name_of(name, g, 80));
                fprintf(out, ": %s ", understood[u][1]);
                esc(out, text_of(g, understood[u][0]));
                fputs("</li>\n", out);
            }
        }
        if (!strcmp(text_of(g, "metric"), "f1")) {
            fputs("<li>", out);
            esc(out, name_of(name, g, 80));
            fputs(": f1 of the class ", out);
            esc(out, text_of(g, "positive_class"));
            fputs("</li>\n", out);
        }
        json_array_foreach(json_object_get(g, "warnings"), k, warning)
        {
            fputs("<li class=wa>", out);
            esc(out, name_of(name, g, 80));
            fputs(": ", out);
            esc(out, json_string_value(warning));
            fputs("</li>\n", out);
        }
    }
    fprintf(out,
            "<li>CCON identity residual ≤ 1e-12: %s.</li>\n<li>All numbers can be computed "
            "again from the prediction files with <code>consistency</code>; the order of files "
            "and the machine do not matter.</li>\n</ul>\n",
            residual <= 1e-12 ? "ok" : "VIOLATED");
}

void report_html(FILE *out, const json_t *report, const Arguments *o)
{
    const json_t *groups = json_object_get(report, "groups");
    PaperTable t = paper_table(report);
    json_t *g, *c;
    size_t i;
    char name[NAME];
    pictures = 0;
    fprintf(
        out,
        "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport "
        "content=\"width=device-width,initial-scale=1\"><title>Consistency of runs</title>"
        "<style>\n%s</style></head><body>\n<h1>How much do the seeds matter?</h1>\n<p>%zu groups "
        "of runs that differ in their random seeds alone. ζ is the mean score, VAR its standard "
        "deviation over seeds, CON the share of examples on which two runs agree, CCON that on "
        "which they agree and are right. All in %%, small print: %g %% intervals.</p>\n",
        style, json_array_size(groups), 100 * o->level);
    if (t.blocks) {
        fputs("<h2>1. Results</h2>\n", out);
        paper_html(out, &t, o);
        fputs("<h3>All groups</h3>\n", out);
        all_numbers(out, groups, o);
        fputs("<h2>2. Scores of all seeds</h2>\n", out);
        for (int b = 0; b < t.blocks; b++) {
            fputs("<h3>", out);
            esc(out, t.block[b]);
            fputs("</h3>\n", out);
            strip_plot(out, &t, b);
        }
        fputs("<h2>3. to 5. Agreement of runs, of examples, and the data map</h2>\n", out);
    }
    json_array_foreach((json_t *)groups, i, g)
    {
        if (number_of(g, "S") > 1) {
            fputs("<h3>", out);
            esc(out, name_of(name, g, 80));
            fprintf(out, " <span class=dim>recipe %.8s</span></h3><div class=cards>\n",
                    text_of(g, "recipe_sha256"));
            heat_map(out, g);
            histogram(out, g);
            data_map(out, g);
            fputs("</div>\n", out);
        }
    }
    const json_t *correlations = json_object_get(report, "correlations");
    if (t.blocks || correlations) {
        fputs("<h2>6. Size of the training set</h2>\n", out);
    }
    if (!correlations && t.blocks) {
        fputs("<p class=dim>Needs three tasks of known size (--correlate).</p>\n", out);
    }
    const char *model = "";
    int open = 0;
    json_array_foreach((json_t *)correlations, i, c)
    {
        if (strncmp(text_of(c, "x"), "log", 3)) {
            continue;
        }
        if (strcmp(model, text_of(c, "model"))) {
            fputs(open ? "</div>\n<h3>" : "<h3>", out);
            model = text_of(c, "model");
            esc(out, model);
            fputs("</h3><div class=cards>\n", out);
            open = 1;
        }
        size_plot(out, c, o);
    }
    fputs(open ? "</div>\n" : "", out);
    if (t.blocks) {
        fputs("<h2>7. More than independent errors?</h2>\n", out);
        independence_plot(out, groups);
        fputs("<h2>8. What disagreement is made of</h2>\n", out);
        churn_bars(out, groups);
        fputs("<h2>9. Least stable examples</h2>\n", out);
        json_array_foreach((json_t *)groups, i, g)
        {
            least_stable(out, g);
        }
    }
    sources_html(out, groups, o);
    comparisons_html(out, report, o);
    audit_html(out, json_object_get(report, "audit"));
    if (t.blocks) {
        checklist(out, report, o);
    }
    fputs("</body></html>\n", out);
    paper_table_free(&t);
}
