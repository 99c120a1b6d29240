/* A report is one JSON object (docs/FORMATS.md, "Reports"); each format is a view of it. */
#ifndef REPORT_H
#define REPORT_H

#include "json.h"
#include "arguments.h"
#include "known.h"

void report_text(FILE *out, const json_t *report, const Arguments *options);
void report_csv(FILE *out, const json_t *report, const Arguments *options);
void report_md(FILE *out, const json_t *report, const Arguments *options);
void report_latex(FILE *out, const json_t *report, const Arguments *options);
void report_html(FILE *out, const json_t *report, const Arguments *options);

/* What several views share. */

/* The known task of a group, NULL if it is of another benchmark. */
const KnownTask *group_task(const json_t *group);

/* Whether its examples are the dev set's, the only ones that published scores are of. */
int is_dev_set(const json_t *group);

/* "MODEL (weights 1234abcd)": the model, and what keeps the group apart from others of that name.
 * The caller frees it. */
char *group_name(const json_t *group);

/* The same of a side of a comparison, with its recipe and, where that is another text, the name by
 * which it was asked for. */
char *side_name(const json_t *side);

/* Text with the characters escaped that mean something in Markdown or LaTeX, on one line. */
void put_escaped(FILE *out, const char *text, int latex);

/* Where the last characters of a text begin, so many at most. */
const char *text_end(const char *text, size_t characters);

/* Keys of a group that say how an import was understood, with a title for each. */
enum { UNDERSTOOD = 3 };
extern const char *const understood[UNDERSTOOD][2];

/* Whether zeta and VAR of this group are shares (shown in percent). */
double percent_scale(const json_t *group);

/* value * scale with this many decimals, or n/a. Returns out. */
const char *decimal(char out[32], double value, double scale, int decimals);

/* "[1.00, 2.00]": both ends * scale. Returns out. */
const char *interval_text(char out[72], const double ends[2], double scale, int decimals);

/* A p value, or n/a. Returns out. */
const char *p_text(char out[32], double p);

/* The places of the collapsed runs of a group. */
json_t *collapsed_runs(const json_t *group);

/* What MultiRC and AX-g are officially scored by beside zeta, means over the runs: "answers: f1a
 * 61.20; questions: exact match 12.00", "gender parity 91.00". For the caller to free; NULL for another
 * task. */
char *official_text(const json_t *group);

/* Whether CCON is what CON and the accuracy make it, to 1e-12, in all groups: ok or VIOLATED. */
const char *identity_text(const json_t *groups);

/* The interval [2] of CON or CCON that the options ask for. 0, or -1 if there is none. */
int shown_interval(double ends[2], const json_t *group, const char *name, const Arguments *options);

/* The ends of an interval value; 0, or -1 if it is none. */
int ends_of(double ends[2], const json_t *value);

/* The study's Table 1: columns are tasks (GLUE, SuperGLUE, others), blocks are models. */
typedef struct PaperTable {
    int columns, blocks;
    const char **column;    /* [columns] labels */
    const char **benchmark; /* [columns] glue, superglue or other */
    char **block;           /* [blocks] */
    const json_t **cell;    /* [blocks, columns] groups or NULL */
} PaperTable;
PaperTable paper_table(const json_t *report);

/* Row 0 to 3 of a group: zeta, VAR (with --ddof 1 SD_sample), CON or CCON, in percent. */
enum { PAPER_ROWS = 4 };
extern const char *const paper_rows[PAPER_ROWS];
const char *paper_value(char out[32], const json_t *group, int row, const Arguments *options);
void paper_table_free(PaperTable *table);

/* The methods paragraph that says what was done; the caller frees it. */
char *methods_text(const json_t *report, const Arguments *options);

#endif
