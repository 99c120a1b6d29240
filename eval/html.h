/* What the parts of an HTML report share. */
#ifndef HTML_H
#define HTML_H

#include "report.h"

/* Begins a page: its style, and the count of its pictures. */
void html_open(FILE *out, const char *title);

/* A text; as a left-aligned cell of a table. */
void html_text(FILE *out, const char *text);
void html_cell(FILE *out, const char *text);

/* Task and model of a group; of a longer model so many characters of its end. */
void html_name(FILE *out, const json_t *group, size_t characters);

/* Opens a figure and its picture with a title (with the group's name if it is not NULL) and a text
 * for those who cannot see it. */
void figure_open(FILE *out, int width, int height, const char *title, const json_t *group,
                 const char *description);

/* A round step of an axis from low to high, at most so many. */
double axis_step(double low, double high, int most);

#endif
