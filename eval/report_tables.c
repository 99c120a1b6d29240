/* Markdown and LaTeX. */
#include "report.h"
#include "planning.h"
#include "reference.h"
#include "result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void put_escaped(FILE *out, const char *text, int latex)
{
    static const char *const words[][2] = {
        {"\\", "\\textbackslash{}"}, {"~", "\\~{}"},           {"^", "\\^{}"},
        {"<", "\\textless{}"},       {">", "\\textgreater{}"}, {"|", "\\textbar{}"}};
    for (; *text; text++) {
        const char *word = NULL;
        for (size_t i = 0; i < sizeof words / sizeof *words && latex; i++) {
            word = *text == *words[i][0] ? words[i][1] : word;
        }
        if (word) {
            fputs(word, out);
            continue;
        }
        if (strchr(latex ? "#$%&_{}" : "\\`*_{}[]<>|", *text)) {
            fputc('\\', out);
        }
        fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
    }
}

/* A warning in Markdown: a command in it can be copied. */
static void put_warning(FILE *out, const char *text)
{
    const char *command = strstr(text, "./consistency ");
    char *before = string_format("%.*s", command ? (int)(command - text) : (int)strlen(text), text);
    put_escaped(out, before, 0);
    free(before);
    if (command) {
        int ticks = strchr(command, '`') != NULL;
        fprintf(out, ticks ? "``` %s ```" : "`%s`", command);
    }
}

static void put_name(FILE *out, const json_t *g, int latex)
{
    char *name = group_name(g);
    put_escaped(out, name, latex);
    free(name);
}

/* "73.41 [64.10, 82.70]" */
static const char *with_interval(char out[128], const json_t *g, const char *name,
                                 const Arguments *o)
{
    char value[32], interval[72];
    double ends[2];
    decimal(value, number_of(g, name), 100, 2);
    if (shown_interval(ends, g, name, o)) {
        snprintf(out, 128, "%s", value);
    } else {
        snprintf(out, 128, "%s %s", value, interval_text(interval, ends, 100, 2));
    }
    return out;
}

typedef struct Row {
    char zeta[64], VAR[32], con[128], ccon[128], kappa[32], alpha[32], phi[32], p[32], vote[32];
    size_t bad;
} Row;

/* A row of the full table. */
static Row full_row(const json_t *g, const Arguments *o, const char *plus_minus)
{
    Row r;
    char a[32], b[32];
    double scale = percent_scale(g);
    snprintf(r.zeta, sizeof r.zeta, "%s%s%s", decimal(a, number_of(g, "zeta"), scale, 2),
             plus_minus, decimal(b, number_of(g, "SD_sample"), scale, 2));
    decimal(r.VAR, number_of(g, o->ddof ? "SD_sample" : "VAR"), scale, 2);
    with_interval(r.con, g, "CON", o);
    with_interval(r.ccon, g, "CCON", o);
    decimal(r.kappa, number_of(g, "fleiss_kappa"), 1, 3);
    decimal(r.alpha, number_of(g, "krippendorff_alpha"), 1, 3);
    decimal(r.phi, number_of(g, "phi"), 1, 2);
    p_text(r.p, number_of(g, "cochran_p"));
    decimal(r.vote, number_of(g, "vote_accuracy"), 100, 2);
    r.bad = json_array_size(collapsed_runs(g));
    return r;
}

static void md_comparisons(FILE *out, const json_t *report)
{
    json_t *c;
    size_t i;
    if (!json_array_size(json_object_get(report, "comparisons"))) {
        return;
    }
    fputs("\n| task | A | B | Δζ | p (Holm) | ΔCON | p (Holm) | ΔCCON | p (Holm) |\n"
          "|---|---|---|---:|---:|---:|---:|---:|---:|\n",
          out);
    json_array_foreach(json_object_get(report, "comparisons"), i, c)
    {
        static const char *const names[] = {"zeta", "CON", "CCON"};
        fputs("| ", out);
        put_escaped(out, text_of(c, "task"), 0);
        for (int side = 0; side < 2; side++) {
            char *name = side_name(json_object_get(c, side ? "B" : "A"));
            fputs(" | ", out);
            put_escaped(out, name, 0);
            free(name);
        }
        for (int k = 0; k < 3; k++) {
            char a[32];
            const json_t *d = json_object_get(c, names[k]);
            fprintf(out, " | %s", decimal(a, number_of(d, "delta"), 100, 2));
            fprintf(out, " | %s", p_text(a, number_of(d, "p_holm")));
        }
        fputs(" |\n", out);
    }
    fputc('\n', out);
    json_array_foreach(json_object_get(report, "comparisons"), i, c)
    {
        fputs("- ", out);
        put_escaped(out, text_of(c, "task"), 0);
        fputs(": ", out);
        put_escaped(out, text_of(json_object_get(c, "paired"), "sentence"), 0);
        fputc('\n', out);
    }
}

static void md_rest(FILE *out, const json_t *report, const Arguments *o)
{
    json_t *c;
    size_t i;
    char a[32], b[32], d[32], key[32];
    if (json_array_size(json_object_get(report, "correlations"))) {
        fprintf(out,
                "\n| model | x | y | n | r | %g %% interval | p | Spearman |\n"
                "|---|---|---|---:|---:|---|---:|---:|\n",
                100 * o->level);
    }
    json_array_foreach(json_object_get(report, "correlations"), i, c)
    {
        double ends[2];
        char interval[72];
        fputs("| ", out);
        put_escaped(out, text_of(c, "model"), 0);
        fprintf(out, " | %s | %s | %.0f | %s | ", text_of(c, "x"), text_of(c, "y"),
                number_of(c, "n"), decimal(a, number_of(c, "pearson"), 1, 3));
        if (!ends_of(ends, json_object_get(c, leveled(key, "fisher_ci", o->level)))) {
            fputs(interval_text(interval, ends, 1, 2), out);
        }
        fprintf(out, " | %s | %s |\n", decimal(b, number_of(c, "p"), 1, 3),
                decimal(d, number_of(c, "spearman"), 1, 3));
    }
    const json_t *cells = json_object_get(json_object_get(report, "audit"), "cells");
    if (cells) {
        fputs("\n| model | task | ζ | VAR | CON | CCON | predicted | verdict | reason |\n"
              "|---|---|---:|---:|---:|---:|---:|---|---|\n",
              out);
    }
    json_array_foreach((json_t *)cells, i, c)
    {
        fputs("| ", out);
        put_escaped(out, text_of(c, "model"), 0);
        fputs(" | ", out);
        put_escaped(out, text_of(c, "task"), 0);
        fprintf(out, " | %.2f | %.2f | %.2f | %.2f | %s | %s | ", number_of(c, "zeta"),
                number_of(c, "VAR"), number_of(c, "CON"), number_of(c, "CCON"),
                decimal(a, number_of(c, "predicted_CCON"), 1, 3), text_of(c, "verdict"));
        put_escaped(out, text_of(c, "reason"), 0);
        fputs(" |\n", out);
    }
}

void report_md(FILE *out, const json_t *report, const Arguments *o)
{
    static const char *const names[] = {"ζ", "VAR", "CON", "CCON"};
    PaperTable t = paper_table(report);
    char value[32];
    json_t *g, *warning;
    size_t i, k;
    if (t.columns) {
        fputs("| |", out);
        for (int c = 0; c < t.columns; c++) {
            fputc(' ', out);
            put_escaped(out, t.column[c], 0);
            fputs(" |", out);
        }
        fputs("\n|---|", out);
        for (int c = 0; c < t.columns; c++) {
            fputs("---:|", out);
        }
        fputc('\n', out);
    }
    for (int b = 0; b < t.blocks; b++) {
        fputs("| **", out);
        put_escaped(out, t.block[b], 0);
        fputs("** |", out);
        for (int c = 0; c < t.columns; c++) {
            fputs(" |", out);
        }
        fputc('\n', out);
        for (int r = 0; r < 4; r++) {
            fprintf(out, "| %s |", r == 1 && o->ddof ? "SD" : names[r]);
            for (int c = 0; c < t.columns; c++) {
                const json_t *cell = t.cell[b * t.columns + c];
                fprintf(out, " %s |", cell ? paper_value(value, cell, r, o) : "\u2013");
            }
            fputc('\n', out);
        }
    }
    if (t.columns) {
        fprintf(
            out,
            "\n| task | model | recipe | S | collapsed | ζ ± s | %s | CON [%g %%] | CCON [%g %%] "
            "| κ | α | φ | p | vote |\n|---|---|---|---:|---:|---:|---:|---|---|---:|---:|---:|"
            "---:|---:|\n",
            o->ddof ? "SD" : "VAR", 100 * o->level, 100 * o->level);
    }
    json_array_foreach(json_object_get(report, "groups"), i, g)
    {
        Row r = full_row(g, o, " ± ");
        fputs("| ", out);
        put_escaped(out, text_of(g, "task"), 0);
        fputs(" | ", out);
        put_name(out, g, 0);
        fprintf(out, " | %.8s | %.0f | %zu | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n",
                text_of(g, "recipe_sha256"), number_of(g, "S"), r.bad, r.zeta, r.VAR, r.con, r.ccon,
                r.kappa, r.alpha, r.phi, r.p, r.vote);
    }
    json_array_foreach(json_object_get(report, "groups"), i, g)
    {
        char *official = official_text(g);
        if (official) {
            fputs("\n- ", out);
            put_escaped(out, text_of(g, "task"), 0);
            fputc(' ', out);
            put_name(out, g, 0);
            fprintf(out, ", recipe %.8s: %s\n", text_of(g, "recipe_sha256"), official);
            free(official);
        }
    }
    md_comparisons(out, report);
    reference_show(out, json_object_get(report, "reference"), o);
    plan_show(out, json_object_get(report, "plans"), o);
    md_rest(out, report, o);
    json_array_foreach(json_object_get(report, "groups"), i, g)
    {
        json_array_foreach(json_object_get(g, "warnings"), k, warning)
        {
            fputs(k ? "- " : "\n- ", out);
            put_escaped(out, text_of(g, "task"), 0);
            fputc(' ', out);
            put_name(out, g, 0);
            fprintf(out, ", recipe %.8s: ", text_of(g, "recipe_sha256"));
            put_warning(out, json_string_value(warning));
            fputc('\n', out);
        }
    }
    if (t.blocks) {
        char *methods = methods_text(report, o);
        fprintf(out, "\n%s\n", methods);
        free(methods);
    }
    paper_table_free(&t);
}

void report_latex(FILE *out, const json_t *report, const Arguments *o)
{
    static const char *const names[] = {"$\\zeta$", "VAR", "CON", "CCON"};
    static const char *const benchmarks[][2] = {
        {"glue", "GLUE"}, {"superglue", "SuperGLUE"}, {"other", "other"}};
    PaperTable t = paper_table(report);
    char value[32];
    json_t *g;
    size_t i;
    if (t.blocks) {
        fputs("% needs \\usepackage{booktabs}\n\\begin{tabular}{l", out);
        for (int c = 0; c < t.columns; c++) {
            fputc('r', out);
        }
        fputs("}\n\\toprule\n", out);
        for (int b = 0, c = 0; b < 3; b++) {
            int first = c;
            while (c < t.columns && !strcmp(t.benchmark[c], benchmarks[b][0])) {
                c++;
            }
            if (c > first) {
                fprintf(out, " & \\multicolumn{%d}{c}{%s}", c - first, benchmarks[b][1]);
            }
        }
        fputs(" \\\\\n", out);
        for (int c = 0; c < t.columns; c++) {
            fputs(" & ", out);
            put_escaped(out, t.column[c], 1);
        }
        fputs(" \\\\\n", out);
    }
    for (int b = 0; b < t.blocks; b++) {
        fprintf(out, "\\midrule\n\\multicolumn{%d}{l}{\\textit{", t.columns + 1);
        put_escaped(out, t.block[b], 1);
        fputs("}} \\\\\n", out);
        for (int r = 0; r < 4; r++) {
            fputs(r == 1 && o->ddof ? "SD" : names[r], out);
            for (int c = 0; c < t.columns; c++) {
                const json_t *cell = t.cell[b * t.columns + c];
                fprintf(out, " & %s", cell ? paper_value(value, cell, r, o) : "--");
            }
            fputs(" \\\\\n", out);
        }
    }
    if (t.blocks) {
        fputs("\\bottomrule\n\\end{tabular}\n\n% all statistics\n"
              "\\begin{tabular}{lllrrrrllrrrr}\n\\toprule\n"
              "task & model & recipe & $S$ & collapsed & $\\zeta \\pm s$ & ",
              out);
        fprintf(out,
                "%s & CON [%g\\,\\%%] & CCON [%g\\,\\%%] & $\\kappa$ & $\\varphi$ & $p$ & vote "
                "\\\\\n\\midrule\n",
                o->ddof ? "SD" : "VAR", 100 * o->level, 100 * o->level);
    }
    json_array_foreach(json_object_get(report, "groups"), i, g)
    {
        Row r = full_row(g, o, " $\\pm$ ");
        put_escaped(out, text_of(g, "task"), 1);
        fputs(" & ", out);
        put_name(out, g, 1);
        fprintf(out, " & %.8s & %.0f & %zu & %s & %s & %s & %s & %s & %s & %s & %s \\\\\n",
                text_of(g, "recipe_sha256"), number_of(g, "S"), r.bad, r.zeta, r.VAR, r.con, r.ccon,
                r.kappa, r.phi, r.p, r.vote);
    }
    if (t.blocks) {
        fputs("\\bottomrule\n\\end{tabular}\n", out);
    }
    reference_show(out, json_object_get(report, "reference"), o);
    plan_show(out, json_object_get(report, "plans"), o);
    const json_t *cells = json_object_get(json_object_get(report, "audit"), "cells");
    if (cells) {
        fputs("\n% audit\n\\begin{tabular}{llrrrrrll}\n\\toprule\nmodel & task & $\\zeta$ & VAR & "
              "CON "
              "& CCON & predicted & verdict & reason \\\\\n\\midrule\n",
              out);
    }
    json_array_foreach((json_t *)cells, i, g)
    {
        put_escaped(out, text_of(g, "model"), 1);
        fputs(" & ", out);
        put_escaped(out, text_of(g, "task"), 1);
        fprintf(out, " & %.2f & %.2f & %.2f & %.2f & %s & %s & ", number_of(g, "zeta"),
                number_of(g, "VAR"), number_of(g, "CON"), number_of(g, "CCON"),
                decimal(value, number_of(g, "predicted_CCON"), 1, 3), text_of(g, "verdict"));
        put_escaped(out, text_of(g, "reason"), 1);
        fputs(" \\\\\n", out);
    }
    if (cells) {
        fputs("\\bottomrule\n\\end{tabular}\n", out);
    }
    paper_table_free(&t);
}
