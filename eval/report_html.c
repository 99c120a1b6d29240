/* The report as one HTML file: its parts in order. */
#include "html.h"
#include "html_plots.h"
#include "html_tables.h"
#include "planning.h"
#include "reference.h"
#include "result.h"

#include <string.h>

void report_html(FILE *out, const json_t *report, const Arguments *o)
{
    const json_t *groups = json_object_get(report, "groups");
    PaperTable t = paper_table(report);
    json_t *g, *c;
    size_t i;
    html_open(out, "Consistency of runs");
    fprintf(out,
            "<h1>How much do the seeds matter?</h1>\n<p>%zu groups of runs that differ in their "
            "random seeds alone. ζ is the mean score, VAR its standard deviation over seeds, CON "
            "the share of examples on which two runs agree, CCON that on which they agree and are "
            "right. All in %%, small print: %g %% intervals.</p>\n",
            json_array_size(groups), 100 * o->level);
    if (t.blocks) {
        fputs("<h2>1. Results</h2>\n", out);
        html_paper(out, &t, o);
        fputs("<h3>All groups</h3>\n", out);
        html_numbers(out, groups, o);
        fputs("<h2>2. Scores of all seeds</h2>\n", out);
        for (int b = 0; b < t.blocks; b++) {
            fputs("<h3>", out);
            html_text(out, t.block[b]);
            fputs("</h3>\n", out);
            html_scores(out, &t, b);
        }
        fputs("<h2>3. to 5. Agreement of runs, of examples, and the data map</h2>\n", out);
    }
    json_array_foreach((json_t *)groups, i, g)
    {
        if (number_of(g, "S") > 1) {
            fputs("<h3>", out);
            html_name(out, g, 80);
            fprintf(out, " <span class=dim>recipe %.8s</span></h3><div class=cards>\n",
                    text_of(g, "recipe_sha256"));
            html_pairs(out, g);
            html_right(out, g);
            html_data_map(out, g);
            html_curves(out, g);
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
            html_text(out, model);
            fputs("</h3><div class=cards>\n", out);
            open = 1;
        }
        html_sizes(out, c, o);
    }
    fputs(open ? "</div>\n" : "", out);
    if (t.blocks) {
        fputs("<h2>7. More than independent errors?</h2>\n", out);
        html_independence(out, groups);
        fputs("<h2>8. What disagreement is made of</h2>\n", out);
        html_churn(out, groups);
        fputs("<h2>9. Least stable examples</h2>\n", out);
        json_array_foreach((json_t *)groups, i, g)
        {
            html_examples(out, g);
        }
    }
    html_sources(out, groups, o);
    html_comparisons(out, json_object_get(report, "comparisons"), o);
    reference_show(out, json_object_get(report, "reference"), o);
    plan_show(out, json_object_get(report, "plans"), o);
    html_audit(out, json_object_get(report, "audit"));
    if (t.blocks) {
        html_checklist(out, report, o);
    }
    fputs("</body></html>\n", out);
    paper_table_free(&t);
}
