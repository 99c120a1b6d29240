/* Tables of the HTML report. */
#include "html_tables.h"
#include "audit.h"
#include "html.h"
#include "result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The text of this key, "?" if there is none. */
static const char *text_or_unknown(const json_t *object, const char *key)
{
    return *text_of(object, key) ? text_of(object, key) : "?";
}

void html_paper(FILE *out, const PaperTable *t, const Arguments *o)
{
    static const char *const shown[] = {"ζ", "VAR", "CON", "CCON"};
    fputs("<div class=wide><table><thead><tr><th></th>", out);
    for (int c = 0; c < t->columns; c++) {
        fputs("<th scope=col>", out);
        html_text(out, t->column[c]);
        fputs("</th>", out);
    }
    fputs("</tr></thead><tbody>\n", out);
    for (int b = 0; b < t->blocks; b++) {
        fprintf(out, "<tr class=block><th scope=rowgroup colspan=%d>", t->columns + 1);
        html_text(out, t->block[b]);
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
                fprintf(out, "<td>%s", paper_value(value, g, r, o));
                leveled(key, r == 0 ? "mean_ci" : "SD_ci", o->level);
                if (r == 0) {
                    strcat(key, "_t");
                }
                int none = r >= 2 ? shown_interval(ends, g, paper_rows[r], o)
                                  : ends_of(ends, json_object_get(g, key));
                if (!none) {
                    fprintf(out, "<small>%s%.1f–%.1f</small>", r == 1 ? "σ " : "",
                            rounded(scale * ends[0], 1), rounded(scale * ends[1], 1));
                }
                fputs("</td>", out);
            }
            fputs("</tr>\n", out);
        }
    }
    fputs("</tbody></table></div>\n", out);
}

void html_numbers(FILE *out, const json_t *groups, const Arguments *o)
{
    static const struct {
        const char *key, *head;
        double scale;
        int decimals;
    } columns[] = {{"phi", "φ", 1, 2},
                   {"cochran_p", "p", 1, 3},
                   {"fleiss_kappa", "κ", 1, 3},
                   {"gwet_ac1", "AC1", 1, 3},
                   {"krippendorff_alpha", "α", 1, 3},
                   {"error_consistency_mean", "κ of errors", 1, 3},
                   {"unanimous", "unanimous", 100, 2},
                   {"vote_accuracy", "vote", 100, 2}};
    json_t *g;
    size_t i;
    char a[32];
    fputs("<div class=wide><table><thead><tr><th>task, model</th><th "
          "class=l>recipe</th><th>S</th><th>N"
          "</th><th>collapsed</th><th>s</th>",
          out);
    for (int c = 0; c < 8; c++) {
        fprintf(out, "<th>%s</th>", columns[c].head);
    }
    fputs("</tr></thead><tbody>\n", out);
    json_array_foreach((json_t *)groups, i, g)
    {
        double ends[2];
        char key[32];
        const json_t *degenerate = json_object_get(g, "degenerate");
        fputs("<tr><td>", out);
        html_name(out, g, 80);
        fprintf(out, "</td><td class=l>%.8s</td><td>%.0f</td><td>%.0f</td><td>%zu",
                text_of(g, "recipe_sha256"), number_of(g, "S"), number_of(g, "N"),
                json_array_size(collapsed_runs(g)));
        if (!ends_of(ends,
                     json_object_get(degenerate, leveled(key, "clopper_pearson", o->level)))) {
            fprintf(out, "<small>%.0f–%.0f %%</small>", 100 * ends[0], 100 * ends[1]);
        }
        fprintf(out, "</td><td>%s</td>",
                decimal(a, number_of(g, "SD_sample"), percent_scale(g), 2));
        for (int c = 0; c < 8; c++) {
            double value = number_of(g, columns[c].key);
            fprintf(out, "<td>%s</td>",
                    c == 1 ? p_text(a, value)
                           : decimal(a, value, columns[c].scale, columns[c].decimals));
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
            html_name(out, g, 80);
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

void html_examples(FILE *out, const json_t *g)
{
    const json_t *list = json_object_get(g, "examples"), *names;
    json_t *e;
    size_t i;
    char a[32], b[32];
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
    html_name(out, g, 80);
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
        html_text(out, text_or_unknown(e, "id"));
        fprintf(out, "</td><td>%s</td><td>%.0f of %.0f</td>", decimal(a, number_of(e, "a"), 100, 1),
                number_of(e, "correct"), number_of(g, "S"));
        const json_t *label = json_array_get(names, (size_t)fmax(0, number_of(e, "label")));
        html_cell(out, json_string_value(label) ? json_string_value(label) : "?");
        fputs("<td class=l>", out);
        json_t *votes = json_object_get(e, "votes"), *vote;
        size_t c;
        int any = 0;
        json_array_foreach(votes, c, vote)
        {
            if (json_integer_value(vote)) {
                const char *class = json_string_value(json_array_get(names, c));
                fprintf(out, "%s%" JSON_INTEGER_FORMAT " ", any++ ? ", " : "",
                        json_integer_value(vote));
                html_text(out, class ? class : "?");
            }
        }
        fputs("</td>", out);
        if (json_object_get(g, "logits")) {
            fprintf(out, "<td>%s</td>", decimal(b, number_of(e, "confidence"), 1, 2));
        }
        if (texts) {
            const char *text = text_of(e, "text");
            size_t size = utf8_valid_prefix(text, size_min(strlen(text), 300));
            char *shown = string_format("%.*s%s", (int)size, text, text[size] ? " …" : "");
            html_cell(out, shown);
            free(shown);
        }
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div>\n", out);
}

void html_sources(FILE *out, const json_t *groups, const Arguments *o)
{
    json_t *g, *e;
    size_t i, k;
    int any = 0;
    json_array_foreach((json_t *)groups, i, g)
    {
        const json_t *sources = json_object_get(g, "sources");
        char a[32], b[32], key[32];
        if (!sources) {
            continue;
        }
        fputs(any++ ? "" : "<h2>Variance by source</h2>\n", out);
        fputs("<h3>", out);
        html_name(out, g, 80);
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

/* Estimates of runs of equal seeds, and what they come to in words. */
static void html_paired(FILE *out, const json_t *comparisons, const Arguments *o)
{
    static const char *const parts[][3] = {
        {"change", "flips", "distance"},   {"seed", "flips", "distance"},
        {"change_over_seed", "ratio", ""}, {"delta_zeta", "delta", ""},
        {"delta_CON", "delta", ""},        {"VAR_ratio", "ratio", ""}};
    json_t *c;
    size_t i;
    fputs("<h3>Does the change matter?</h3><div class=wide><table><thead><tr><th>task</th>"
          "<th>equal seeds</th><th>the change flips</th><th>the seed flips</th><th>ratio</th>"
          "<th>Δζ</th><th>ΔCON</th><th>VAR A/B</th></tr></thead><tbody>\n",
          out);
    json_array_foreach((json_t *)comparisons, i, c)
    {
        const json_t *paired = json_object_get(c, "paired");
        fputs("<tr><td>", out);
        html_text(out, text_of(c, "task"));
        fprintf(out, "</td><td>%.0f</td>", number_of(paired, "seeds"));
        for (int k = 0; k < 6; k++) {
            const json_t *d = json_object_get(paired, parts[k][0]);
            char a[32], key[32];
            double ends[2], value = number_of(d, parts[k][1]);
            int plain = isnan(value) && k < 2; /* of a regression, in units of the target */
            double scale = plain || *parts[k][1] == 'r' ? 1 : 100;
            int decimals = plain ? 4 : 2;
            fprintf(out, "<td>%s",
                    decimal(a, plain ? number_of(d, parts[k][2]) : value, scale, decimals));
            if (!ends_of(ends, json_object_get(d, leveled(key, "ci", o->level)))) {
                fprintf(out, "<small>%.*f to %.*f</small>", decimals,
                        rounded(scale * ends[0], decimals), decimals,
                        rounded(scale * ends[1], decimals));
            }
            fputs("</td>", out);
        }
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div>\n", out);
    json_array_foreach((json_t *)comparisons, i, c)
    {
        fputs("<p><b>", out);
        html_text(out, text_of(c, "task"));
        fputs("</b> ", out);
        html_text(out, text_of(json_object_get(c, "paired"), "sentence"));
        fputs("</p>\n", out);
    }
}

void html_comparisons(FILE *out, const json_t *comparisons, const Arguments *o)
{
    static const char *const names[] = {"zeta", "CON", "CCON"};
    json_t *c;
    size_t i;
    if (!json_array_size(comparisons)) {
        return;
    }
    fputs("<h2>Comparison</h2><div class=wide><table><thead><tr><th>task</th><th class=l>A</th><th "
          "class=l>B</th><th>Δζ</th><th>p, Holm</th><th>ΔCON</th><th>p, "
          "Holm</th><th>ΔCCON</th><th>p, "
          "Holm</th><th>agreement of A with B</th></tr></thead><tbody>\n",
          out);
    json_array_foreach((json_t *)comparisons, i, c)
    {
        char a[32], key[32];
        double ends[2];
        fputs("<tr><td>", out);
        html_text(out, text_of(c, "task"));
        fputs("</td>", out);
        for (int side = 0; side < 2; side++) {
            char *name = side_name(json_object_get(c, side ? "B" : "A"));
            html_cell(out, name);
            free(name);
        }
        for (int k = 0; k < 3; k++) {
            const json_t *d = json_object_get(c, names[k]);
            fprintf(out, "<td>%s", decimal(a, number_of(d, "delta"), 100, 2));
            if (!ends_of(ends, json_object_get(d, leveled(key, "ci", o->level)))) {
                fprintf(out, "<small>%.1f to %.1f</small>", rounded(100 * ends[0], 1),
                        rounded(100 * ends[1], 1));
            }
            fprintf(out, "</td><td>%s</td>", p_text(a, number_of(d, "p_holm")));
        }
        fprintf(out, "<td>%s</td></tr>\n", decimal(a, number_of(c, "CON_across"), 100, 2));
    }
    fputs("</tbody></table></div>\n", out);
    html_paired(out, comparisons, o);
}

void html_audit(FILE *out, const json_t *audit)
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
        html_text(out, text_of(c, "model"));
        fputs("</td>", out);
        html_cell(out, text_of(c, "task"));
        fprintf(out, "<td>%.2f</td><td>%.2f</td><td>%.2f</td><td>%.2f</td><td>%s</td><td>%s</td>",
                number_of(c, "zeta"), number_of(c, "VAR"), number_of(c, "CON"),
                number_of(c, "CCON"), decimal(a, number_of(c, "predicted_CCON"), 1, 3),
                decimal(b, number_of(c, "difference"), 1, 3));
        const char *verdict = text_of(c, "verdict");
        fprintf(out, "<td class=\"l%s\">%s</td>", cell_is_impossible(c) ? " wa" : "", verdict);
        html_cell(out, text_of(c, "reason"));
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div>\n", out);
}

/* One line of a list about a group. */
static void put_note(FILE *out, const json_t *g, const char *class, const char *title,
                     const char *text)
{
    fprintf(out, "<li%s>", class);
    html_name(out, g, 80);
    fprintf(out, *title ? ": %s " : ": ", title);
    html_text(out, text);
    fputs("</li>\n", out);
}

void html_checklist(FILE *out, const json_t *report, const Arguments *o)
{
    json_t *g, *groups = json_object_get(report, "groups");
    size_t i, k;
    char *methods = methods_text(report, o);
    fputs("<h2 id=methods>10. Methods</h2>\n<p>", out);
    html_text(out, methods);
    free(methods);
    fputs("</p>\n<h3>Reproducibility checklist</h3>\n<div class=wide><table><thead><tr><th>task, "
          "model</th><th class=l>seeds</th><th class=l>checkpoint</th><th class=l>weights, "
          "SHA-256</th><th class=l>training data</th><th class=l>dev data</th><th "
          "class=l>recipe</th><th class=l>device</th><th class=l>kernels</th><th "
          "class=l>commit</th></tr></thead><tbody>\n",
          out);
    json_array_foreach(groups, i, g)
    {
        json_t *run, *runs = json_object_get(g, "runs");
        fputs("<tr><td>", out);
        html_name(out, g, 80);
        fputs("</td><td class=l>", out);
        json_array_foreach(runs, k, run)
        {
            if (k == 30) {
                fprintf(out, " and %zu more", json_array_size(runs) - k);
                break;
            }
            fputs(k ? ", " : "", out);
            html_text(out, text_of(run, "name"));
        }
        fputs("</td>", out);
        html_cell(out, text_or_unknown(g, "checkpoint"));
        static const char *const digests[] = {"model_sha256", "train_sha256", "dataset_sha256",
                                              "recipe_sha256"};
        for (int d = 0; d < 4; d++) {
            char digest[16];
            const char *text = text_or_unknown(g, digests[d]);
            size_t size = utf8_valid_prefix(text, size_min(strlen(text), 12));
            snprintf(digest, sizeof digest, "%.*s", (int)size, text);
            html_cell(out, digest);
        }
        html_cell(out, text_or_unknown(g, "device"));
        html_cell(out, text_or_unknown(g, "kernels"));
        html_cell(out, text_of(json_array_get(runs, 0), "git_commit"));
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div>\n<ul>\n", out);
    json_array_foreach(groups, i, g)
    {
        json_t *warning;
        for (int u = 0; u < UNDERSTOOD; u++) {
            if (*text_of(g, understood[u][0])) {
                put_note(out, g, "", understood[u][1], text_of(g, understood[u][0]));
            }
        }
        char *official = official_text(g);
        if (official) {
            put_note(out, g, "", "mean over runs", official);
            free(official);
        }
        if (!strcmp(text_of(g, "metric"), "f1")) {
            put_note(out, g, "", "f1 of the class", text_of(g, "positive_class"));
        }
        json_array_foreach(json_object_get(g, "warnings"), k, warning)
        {
            put_note(out, g, " class=wa", "", json_string_value(warning));
        }
    }
    fprintf(out,
            "<li>CCON identity residual ≤ 1e-12: %s.</li>\n<li>All numbers can be computed "
            "again from the prediction files with <code>consistency</code>; the order of files "
            "and the machine do not matter.</li>\n</ul>\n",
            identity_text(groups));
}
