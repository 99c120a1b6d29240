/* CSV, Markdown and LaTeX. */
#include "report.h"
#include "result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const rows[] = {"zeta", "VAR", "CON", "CCON"};

static void csv_text(FILE *out, const char *text)
{
    if (!text[strcspn(text, ",\"\r\n")]) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"') {
            fputc('"', out);
        }
        fputc(*text, out);
    }
    fputc('"', out);
}

static void csv_number(FILE *out, double value)
{
    if (isfinite(value)) {
        fprintf(out, "%.17g", value);
    }
}

static void csv_group(FILE *out, const json_t *g)
{
    static const char *const keys[] = {"benchmark", "task", "split", "model", "recipe_sha256"};
    for (int k = 0; k < 5; k++) {
        char *text = k == 3 ? group_name(g) : string_copy(text_of(g, keys[k]));
        csv_text(out, text);
        fputc(',', out);
        free(text);
    }
}

/* Every number of the group, nested ones as outer.inner; intervals beside their values. */
static void csv_values(FILE *out, const json_t *g, const json_t *object, const char *prefix,
                       const Arguments *o)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        char name[128], interval[32];
        double ends[2] = {NAN, NAN};
        snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", key);
        if (json_is_object(value) && !*prefix) {
            csv_values(out, g, value, key, o);
        } else if (json_is_number(value) || json_is_null(value)) {
            if (!*prefix && (!strcmp(key, "CON") || !strcmp(key, "CCON"))) {
                (void)shown_interval(ends, g, key, o);
            } else if (!*prefix && !strcmp(key, "SD_sample")) {
                (void)ends_of(ends, json_object_get(g, leveled(interval, "SD_ci", o->level)));
            } else if (!*prefix && !strcmp(key, "zeta")) {
                strcat((char *)leveled(interval, "mean_ci", o->level), "_t");
                (void)ends_of(ends, json_object_get(g, interval));
            }
            csv_group(out, g);
            fprintf(out, "%s,", name);
            if (json_is_integer(value)) {
                fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
            } else {
                csv_number(out, json_is_number(value) ? json_number_value(value) : NAN);
            }
            fputc(',', out);
            csv_number(out, ends[0]);
            fputc(',', out);
            csv_number(out, ends[1]);
            fprintf(out, ",%s,%.0f,%.0f\n", json_is_integer(value) ? "count" : "number",
                    number_of(g, "S"), number_of(g, "N"));
        }
    }
}

static void csv_examples(FILE *out, const json_t *groups)
{
    json_t *g, *e;
    size_t i, k, most = 0;
    json_array_foreach((json_t *)groups, i, g)
    {
        size_t K = (size_t)json_integer_value(json_object_get(g, "K"));
        most = K > most ? K : most;
    }
    fputs("benchmark,task,split,model,recipe_sha256,id,row,label,correct,", out);
    for (size_t c = 0; c < most; c++) {
        fprintf(out, "n_%zu,", c);
    }
    fputs("vote,a,c,confidence,variability,text\n", out);
    json_array_foreach((json_t *)groups, i, g)
    {
        json_array_foreach(json_object_get(g, "examples"), k, e)
        {
            csv_group(out, g);
            csv_text(out, text_of(e, "id"));
            fprintf(out, ",%.0f,%.0f,%.0f,", number_of(e, "row"), number_of(e, "label"),
                    number_of(e, "correct"));
            for (size_t c = 0; c < most; c++) {
                const json_t *votes = json_array_get(json_object_get(e, "votes"), c);
                if (votes) {
                    fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(votes));
                }
                fputc(',', out);
            }
            fprintf(out, "%.0f,", number_of(e, "vote"));
            static const char *const values[] = {"a", "c", "confidence", "variability"};
            for (int v = 0; v < 4; v++) {
                csv_number(out, number_of(e, values[v]));
                fputc(',', out);
            }
            csv_text(out, text_of(e, "text"));
            fputc('\n', out);
        }
    }
}

/* Comparisons, correlations and audited cells as rows of the same shape. */
static void csv_rest(FILE *out, const json_t *report, const Arguments *o)
{
    static const char *const lists[] = {"comparisons", "correlations"};
    static const char *const parts[] = {"zeta", "CON", "CCON"};
    json_t *entry;
    size_t i;
    for (int l = 0; l < 2; l++) {
        json_array_foreach(json_object_get(report, lists[l]), i, entry)
        {
            if (l == 1) {
                char name[128];
                snprintf(name, sizeof name, "correlation of %s with %s", text_of(entry, "y"),
                         text_of(entry, "x"));
                csv_values(out, entry, entry, name, o);
            } else {
                csv_values(out, entry, entry, "comparison", o);
                for (int p = 0; p < 3; p++) {
                    char name[32];
                    snprintf(name, sizeof name, "comparison %s", parts[p]);
                    csv_values(out, entry, json_object_get(entry, parts[p]), name, o);
                }
            }
        }
    }
    json_array_foreach(json_object_get(json_object_get(report, "audit"), "cells"), i, entry)
    {
        char name[128];
        snprintf(name, sizeof name, "audit: %s", text_of(entry, "verdict"));
        csv_values(out, entry, entry, name, o);
        if (*text_of(entry, "reason")) {
            csv_group(out, entry);
            fprintf(out, "%s.reason,", name);
            csv_text(out, text_of(entry, "reason"));
            fprintf(out, ",,,text,%.0f,", number_of(entry, "S"));
            csv_number(out, number_of(entry, "N"));
            fputc('\n', out);
        }
    }
}

/* How an import was understood, and the class that f1 is of: rows whose value is a text. */
static void csv_understood(FILE *out, const json_t *g)
{
    for (int k = 0; k <= UNDERSTOOD; k++) {
        const char *key = k < UNDERSTOOD ? understood[k][0] : "positive_class";
        if (*text_of(g, key)) {
            csv_group(out, g);
            fprintf(out, "%s,", key);
            csv_text(out, text_of(g, key));
            fprintf(out, ",,,text,%.0f,%.0f\n", number_of(g, "S"), number_of(g, "N"));
        }
    }
}

void report_csv(FILE *out, const json_t *report, const Arguments *o)
{
    const json_t *groups = json_object_get(report, "groups");
    json_t *g;
    size_t i;
    if (o->listed) {
        csv_examples(out, groups);
        return;
    }
    fputs(
        "benchmark,task,split,model,recipe_sha256,statistic,value,lo,hi,unit,n_seeds,n_examples\n",
        out);
    json_array_foreach((json_t *)groups, i, g)
    {
        csv_values(out, g, g, "", o);
        csv_understood(out, g);
    }
    csv_rest(out, report, o);
}

/* The value of a row of Table 1. */
static const char *paper_value(char out[32], const json_t *g, int row, const Arguments *o)
{
    if (!g) {
        return "\u2013";
    }
    const char *key = row == 1 && o->ddof ? "SD_sample" : rows[row];
    return decimal(out, number_of(g, key), row < 2 ? percent_scale(g) : 100, 2);
}

/* Text with the characters escaped that mean something in Markdown or LaTeX, on one line. */
static void put_escaped(FILE *out, const char *text, int latex)
{
    static const char *const words[][2] = {
        {"\\", "\\textbackslash{}"}, {"~", "\\~{}"},        {"^", "\\^{}"},
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
static const char *with_interval(char out[96], const json_t *g, const char *name,
                                 const Arguments *o)
{
    char value[32];
    double ends[2];
    decimal(value, number_of(g, name), 100, 2);
    if (shown_interval(ends, g, name, o)) {
        snprintf(out, 96, "%s", value);
    } else {
        snprintf(out, 96, "%s [%.2f, %.2f]", value, 100 * ends[0], 100 * ends[1]);
    }
    return out;
}

typedef struct Row {
    char zeta[64], VAR[32], con[96], ccon[96], kappa[32], alpha[32], phi[32], p[32], vote[32];
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
    double p = number_of(g, "cochran_p");
    snprintf(r.p, sizeof r.p, isnan(p) ? "n/a" : "%.2g", p);
    decimal(r.vote, number_of(g, "vote_accuracy"), 100, 2);
    r.bad = json_array_size(json_object_get(json_object_get(g, "degenerate"), "any"));
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
            double p = number_of(d, "p_holm");
            fprintf(out, isnan(p) ? " | n/a" : " | %.2g", p);
        }
        fputs(" |\n", out);
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
        fputs("| ", out);
        put_escaped(out, text_of(c, "model"), 0);
        fprintf(out, " | %s | %s | %.0f | %s | ", text_of(c, "x"), text_of(c, "y"),
                number_of(c, "n"), decimal(a, number_of(c, "pearson"), 1, 3));
        if (!ends_of(ends, json_object_get(c, leveled(key, "fisher_ci", o->level)))) {
            fprintf(out, "[%.2f, %.2f]", ends[0], ends[1]);
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
                fprintf(out, " %s |", paper_value(value, t.cell[b * t.columns + c], r, o));
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
    md_comparisons(out, report);
    md_rest(out, report, o);
    json_array_foreach(json_object_get(report, "groups"), i, g)
    {
        json_array_foreach(json_object_get(g, "warnings"), k, warning)
        {
            fputs(k ? "- " : "\n- ", out);
            put_escaped(out, text_of(g, "task"), 0);
            fputc(' ', out);
            put_name(out, g, 0);
            fputs(": ", out);
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
    const json_t *cells = json_object_get(json_object_get(report, "audit"), "cells");
    if (cells) {
        fputs(
            "\n% audit\n\\begin{tabular}{llrrrrrll}\n\\toprule\nmodel & task & $\\zeta$ & VAR & CON "
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
