/* Texts, cells and pictures of an HTML report: inline SVG and CSS, no script, no network. Each
 * picture is drawn in pixels of its own viewBox and scaled by the page. */
#include "html.h"
#include "known.h"
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
    "svg .hi{fill:var(--bg)}.sc{stroke:var(--c);fill:none;stroke-width:1.5}\n"
    "@media print{body{max-width:none;font-size:10pt}figure,tr{break-inside:avoid}"
    ".wide{overflow:visible}.wide svg{min-width:0}}\n";

static int pictures; /* of this page: ids of titles */

void html_open(FILE *out, const char *title)
{
    pictures = 0;
    fprintf(out,
            "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport "
            "content=\"width=device-width,initial-scale=1\"><title>%s</title><style>\n%s</style>"
            "</head><body>\n",
            title, style);
}

void html_text(FILE *out, const char *text)
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

void html_cell(FILE *out, const char *text)
{
    fputs("<td class=l>", out);
    html_text(out, text);
    fputs("</td>", out);
}

void html_name(FILE *out, const json_t *group, size_t characters)
{
    const KnownTask *known = group_task(group);
    char *model = group_name(group);
    const char *task = known ? known->label : text_of(group, "task"),
               *task_end = text_end(task, 40), *end = text_end(model, characters);
    fputs(task_end > task ? "\u2026" : "", out);
    html_text(out, task_end);
    fputs(end > model ? ", \u2026" : ", ", out);
    html_text(out, end);
    free(model);
}

void figure_open(FILE *out, int width, int height, const char *title, const json_t *group,
                 const char *description)
{
    int id = ++pictures;
    fprintf(out,
            "<figure%s><svg viewBox=\"0 0 %d %d\" style=\"max-width:%dpx\" role=\"img\" "
            "aria-labelledby=\"t%d d%d\"><title id=\"t%d\">",
            width > 260 ? " class=wide" : "", width, height, width * 5 / 4, id, id, id);
    html_text(out, title);
    if (group) {
        fputs(": ", out);
        html_name(out, group, 80);
    }
    fprintf(out, "</title><desc id=\"d%d\">", id);
    html_text(out, description);
    fputs("</desc>\n", out);
}

double axis_step(double low, double high, int most)
{
    double raw = (high - low) / most, unit = pow(10, floor(log10(raw > 0 ? raw : 1)));
    double ratio = raw / unit;
    return unit * (ratio <= 1 ? 1 : ratio <= 2 ? 2 : ratio <= 5 ? 5 : 10);
}
