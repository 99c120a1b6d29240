#include "scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int scores_are_probabilities(const ScoreColumn *columns, int count, size_t rows, int least)
{
    for (size_t i = 0; i < rows; i++) {
        double sum = 0;
        for (int c = 0; c < count; c++) {
            if (columns[c].chosen >= least && !columns[c].bad_line) {
                double p = columns[c].values[i];
                if (!(p >= 0 && p <= 1)) {
                    return 0;
                }
                sum += p;
            }
        }
        if (!(fabs(sum - 1) < 1e-3)) {
            return 0;
        }
    }
    return 1;
}

/* Whether a known task has this name beside all gold labels. */
static int is_of_task(const json_t *gold, const char *name)
{
    json_t *names = json_copy((json_t *)gold);
    json_array_append_new(names, json_string(name));
    int of_task = task_has_all(names);
    json_decref(names);
    return of_task;
}

/* The class of a column by its name, a new text, or NULL: a name of the list or of a task, or, if
 * numbers may be ids or classes, a whole number. */
static char *class_of_column(const char *name, const json_t *known, const ClassHints *hints)
{
    Texts texts = {0};
    char *class = NULL;
    if (texts_add(&texts, name, 0) == 0) {
        int place = class_find_folded(known, texts.text[0]);
        if (place >= 0) {
            class = string_copy(json_string_value(json_array_get(known, (size_t)place)));
        } else if (class_is_whole(texts.text[0]) ||
                   (!hints->names && json_array_size(known) && is_of_task(known, texts.text[0]))) {
            class = string_copy(texts.text[0]);
        }
    }
    texts_free(&texts);
    return class;
}

/* Whether whole numbers follow each other, in any order. */
static int are_consecutive(const json_t *numbers)
{
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < json_array_size(numbers); i++) {
        double number = strtod(json_string_value(json_array_get(numbers, i)), NULL);
        low = fmin(low, number);
        high = fmax(high, number);
    }
    return high - low + 1 == (double)json_array_size(numbers);
}

/* The classes by position where the columns of --scores are named after none. */
static int by_position(json_t **classes, size_t n, const json_t *gold, const ClassHints *hints,
                       const char *path, Error *error)
{
    const char *task;
    int ids = 1; /* gold labels are 0 to n - 1 */
    for (size_t i = 0; i < json_array_size(gold); i++) {
        const char *text = json_string_value(json_array_get(gold, i));
        ids = ids && class_is_whole(text) && strtod(text, NULL) >= 0 &&
              strtod(text, NULL) < (double)n;
    }
    if (hints->names) {
        *classes = json_copy((json_t *)hints->names);
    } else if (ids) {
        *classes = json_array();
        for (size_t k = 0; k < n; k++) {
            char number[24];
            snprintf(number, sizeof number, "%zu", k);
            json_array_append_new(*classes, json_string(number));
        }
    } else {
        *classes = task_names(&task, gold, 1, hints);
    }
    if (json_array_size(*classes) != n) {
        int known = *classes != NULL;
        size_t K = json_array_size(*classes);
        json_decref(*classes);
        *classes = NULL;
        return known ? REFUSE("%s: --scores names %zu columns for %zu classes", path, n, K)
                     : REFUSE("%s: no column of --scores is named as a class; say of which class "
                              "each is with --labels A,B,..., in the same order",
                              path);
    }
    return 0;
}

/* --scores: all of its columns, by name if one is named as a class, or all by position. */
static int choose_wanted(json_t **classes, ScoreColumn *columns, int count, const json_t *known,
                         const json_t *gold, const ClassHints *hints, const json_t *wanted,
                         const char *path, Error *error)
{
    size_t n = json_array_size(wanted), named = 0;
    *classes = json_array();
    for (size_t k = 0; k < n; k++) {
        const char *name = json_string_value(json_array_get(wanted, k));
        ScoreColumn *column = NULL;
        for (int c = 0; c < count && !column; c++) {
            Texts texts = {0}; /* a name as --scores has it */
            column = texts_add(&texts, columns[c].name, 0) == 0 && !columns[c].chosen &&
                             !strcasecmp(texts.text[0], name)
                         ? &columns[c]
                         : NULL;
            texts_free(&texts);
        }
        if (!column) {
            return REFUSE("%s: no column '%s' of --scores", path, name);
        }
        column->chosen = (int)k + 1;
        char *class = class_of_column(name, known, hints);
        named += class != NULL;
        json_array_append_new(*classes, json_string(class ? class : name));
        free(class);
    }
    if (named && named < n && hints->names) {
        return REFUSE("%s: some columns of --scores are named as classes of %s and some are not; "
                      "name all or none",
                      path, hints->source);
    }
    if (!named) {
        json_decref(*classes);
        *classes = NULL;
        return by_position(classes, n, gold, hints, path, error);
    }
    return 0;
}

/* Whether the chosen scores are probabilities without those of classes that no label has: then a
 * number that is none of them is named as the next class. */
static int is_one_too_many(const json_t *classes, const ScoreColumn *columns, int count,
                           size_t rows, const json_t *known)
{
    ScoreColumn *fewer = memory_alloc((size_t)count + 1, sizeof *fewer);
    int left = 0;
    memcpy(fewer, columns, (size_t)count * sizeof *fewer);
    for (int c = 0; c < count; c++) {
        size_t place = (size_t)columns[c].chosen - 1;
        if (columns[c].chosen &&
            class_find(known, json_string_value(json_array_get(classes, place))) < 0) {
            fewer[c].chosen = 0;
        }
        left += fewer[c].chosen != 0;
    }
    int many = left > 1 && (size_t)left < json_array_size(classes) &&
               scores_are_probabilities(fewer, count, rows, 1) &&
               !scores_are_probabilities(columns, count, rows, 1);
    free(fewer);
    return many;
}

/* Without --scores: columns named as classes, else those numbered so. */
static int choose_named(json_t **classes, ScoreColumn *columns, int count, size_t rows,
                        const json_t *known, const ClassHints *hints, const char *path,
                        Error *error)
{
    json_t *named = json_array(), *numbered = json_array();
    const char *extra = NULL; /* a number that no gold label has */
    int numbers = 1, code = 0;
    for (size_t i = 0; i < json_array_size(known); i++) {
        numbers = numbers && class_is_number(json_string_value(json_array_get(known, i)));
    }
    for (int c = 0; c < count; c++) {
        char *class = class_of_column(columns[c].name, known, hints);
        if (class) {
            int number = class_is_number(class), is_known = class_find(known, class) >= 0;
            if (!code && class_find(number ? numbered : named, class) >= 0) {
                code = REFUSE("%s: two columns are named as the class '%s'; name the columns of "
                              "class scores with --scores A,B,...",
                              path, class);
            }
            json_array_append_new(number ? numbered : named, json_string(class));
            columns[c].chosen = number ? 2 : 1;
            extra = number && !is_known ? columns[c].name : extra;
        }
        free(class);
    }
    int take = numbers || !json_array_size(named) ? 2 : 1, place = 0;
    if (!code && take == 2 && extra && !are_consecutive(numbered)) {
        code = REFUSE("%s: column '%s' is a number, but no class of the labels; name the columns "
                      "of class scores with --scores A,B,...",
                      path, extra);
    }
    for (int c = 0; c < count; c++) {
        columns[c].chosen = columns[c].chosen == take ? ++place : 0;
    }
    *classes = take == 2 ? numbered : named;
    json_decref(take == 2 ? named : numbered);
    if (!code && extra && is_one_too_many(*classes, columns, count, rows, known)) {
        code = REFUSE("%s: the scores are probabilities only without column '%s'; name the columns "
                      "of class scores with --scores A,B,...",
                      path, extra);
    }
    return code;
}

static int check(const json_t *classes, const ScoreColumn *columns, int count, size_t rows,
                 const json_t *gold, const char *path, Error *error)
{
    int names = 0, rest = 0;
    for (size_t k = 0; k < json_array_size(classes); k++) {
        names = names || !class_is_number(json_string_value(json_array_get(classes, k)));
    }
    for (int c = 0; c < count; c++) {
        if (columns[c].chosen && columns[c].bad_line) {
            return REFUSE("%s:%zu: the score in column '%s' is not a number", path,
                          columns[c].bad_line, columns[c].name);
        }
        rest += !columns[c].chosen && !columns[c].bad_line;
    }
    for (size_t i = 0; i < json_array_size(gold); i++) {
        const char *text = json_string_value(json_array_get(gold, i));
        if (class_is_number(text) != names && class_find(classes, text) < 0) {
            return REFUSE("%s: class '%s' has no column of scores; name the columns with --scores "
                          "A,B,...",
                          path, text);
        }
    }
    if (rest && !scores_are_probabilities(columns, count, rows, 1) &&
        scores_are_probabilities(columns, count, rows, 0)) {
        return REFUSE("%s: the scores are probabilities only together with other columns; name all "
                      "columns of class scores with --scores A,B,...",
                      path);
    }
    return 0;
}

int scores_choose(json_t **classes, ScoreColumn *columns, int count, size_t rows,
                  const json_t *gold, const ClassHints *hints, const json_t *wanted, int needed,
                  const char *path, Error *error)
{
    json_t *labels = json_array(); /* gold labels but hidden ones */
    int code;
    *classes = NULL;
    for (size_t i = 0; i < json_array_size(gold); i++) {
        const char *text = json_string_value(json_array_get(gold, i));
        if (strcmp(text, "-1") && !class_is_none(text)) {
            json_array_append(labels, json_array_get(gold, i));
        }
    }
    const json_t *known = hints->names ? hints->names : labels;
    code = wanted
               ? choose_wanted(classes, columns, count, known, labels, hints, wanted, path, error)
               : choose_named(classes, columns, count, rows, known, hints, path, error);
    if (!code && json_array_size(*classes) < 2) {
        char *names = string_copy("");
        for (int c = 0; c < count; c++) {
            string_append(&names, "%s'%s'", c ? ", " : "", columns[c].name);
        }
        code = REFUSE("%s: no column 'prediction', and no two columns named as classes%s%s; name "
                      "the columns of class scores with --scores A,B,...",
                      path, *names ? ": the others are " : "", names);
        free(names);
    }
    code = code ? code : check(*classes, columns, count, rows, labels, path, error);
    json_decref(labels);
    if (code) {
        json_decref(*classes);
        *classes = NULL;
        if (!needed && !wanted) { /* the column of predictions says it all */
            for (int c = 0; c < count; c++) {
                columns[c].chosen = 0;
            }
            return 0;
        }
    }
    return code;
}
