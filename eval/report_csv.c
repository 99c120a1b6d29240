/* CSV: every number of a report in a row of its own, or a table of examples. */
#include "report.h"
#include "result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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
/* Whether "ci" beside this number is its interval. */
static int is_estimate(const char *key)
{
    static const char *const keys[] = {"delta", "flips", "distance", "ratio", "ours"};
    int found = 0;
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        found = found || !strcmp(key, keys[k]);
    }
    return found;
}

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
            } else if (*prefix && is_estimate(key)) {
                (void)ends_of(ends, json_object_get(object, leveled(interval, "ci", o->level)));
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
            fprintf(out, ",%s,", json_is_integer(value) ? "count" : "number");
            csv_number(out, number_of(g, "S")); /* a comparison has two */
            fputc(',', out);
            csv_number(out, number_of(g, "N"));
            fputc('\n', out);
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
        most = size_max(most, K);
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

/* What a comparison says of equal seeds; an estimate stands with its interval. */
static void csv_paired(FILE *out, const json_t *comparison, const Arguments *o)
{
    const json_t *paired = json_object_get(comparison, "paired");
    const char *key;
    json_t *value;
    csv_values(out, comparison, paired, "comparison paired", o);
    json_object_foreach((json_t *)paired, key, value)
    {
        char name[64];
        snprintf(name, sizeof name, "comparison paired %s", key);
        if (json_is_object(value)) {
            csv_values(out, comparison, value, name, o);
        } else if (json_is_string(value)) {
            csv_group(out, comparison);
            fprintf(out, "%s,", name);
            csv_text(out, json_string_value(value));
            fprintf(out, ",,,text,,%.0f\n", number_of(comparison, "N"));
        }
    }
}

static void csv_plan(FILE *out, const json_t *plan, const Arguments *o)
{
    json_t *entry;
    size_t i;
    char name[128];
    json_array_foreach(json_object_get(plan, "rows"), i, entry)
    {
        snprintf(name, sizeof name, "plan %.0f seeds", number_of(entry, "S"));
        csv_values(out, plan, entry, name, o);
    }
    json_array_foreach(json_object_get(plan, "wanted"), i, entry)
    {
        snprintf(name, sizeof name, "plan %s %g %s", text_of(entry, "goal"),
                 number_of(entry, "want"), text_of(entry, "unit"));
        csv_values(out, plan, entry, name, o);
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
                csv_paired(out, entry, o);
            }
        }
    }
    json_array_foreach(json_object_get(json_object_get(report, "reference"), "rows"), i, entry)
    {
        const json_t *cell = json_object_get(entry, "cell");
        for (int p = 0; p < PAPER_ROWS; p++) {
            char name[128];
            snprintf(name, sizeof name, "reference %.90s %s", text_of(cell, "model"),
                     paper_rows[p]);
            csv_values(out, entry, json_object_get(entry, paper_rows[p]), name, o);
        }
        csv_group(out, entry);
        char *name = string_format("reference %s verdict", text_of(cell, "model"));
        csv_text(out, name);
        free(name);
        fprintf(out, ",%s,,,text,%.0f,%.0f\n", text_of(cell, "verdict"), number_of(entry, "S"),
                number_of(entry, "N"));
    }
    json_array_foreach(json_object_get(report, "plans"), i, entry)
    {
        csv_plan(out, entry, o);
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

/* The statistics at each evaluation, by its step. */
static void csv_curve(FILE *out, const json_t *g, const Arguments *o)
{
    const json_t *curve = json_object_get(g, "curve");
    json_t *step, *list;
    size_t e;
    json_array_foreach(json_object_get(curve, "step"), e, step)
    {
        char name[48];
        const char *key;
        json_t *then = json_object();
        json_object_foreach((json_t *)curve, key, list)
        {
            json_object_set(then, key, json_array_get(list, e));
        }
        json_object_del(then, "step");
        snprintf(name, sizeof name, "curve step %" JSON_INTEGER_FORMAT, json_integer_value(step));
        csv_values(out, g, then, name, o);
        json_decref(then);
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
        csv_curve(out, g, o);
        csv_understood(out, g);
    }
    csv_rest(out, report, o);
}
