/* The classes of imported predictions (docs/FORMATS.md, "How classes, seeds, models and data are
 * identified"): which texts are one class, which are ids, and in which order the names stand. */
#ifndef CLASSES_H
#define CLASSES_H

#include "texts.h"

/* The place of a text in a list of names, or -1; and in any case, if one name alone fits. */
int class_find(const json_t *names, const char *text);
int class_find_folded(const json_t *names, const char *text);

/* "a,b" as a list of different texts. Errors: 64 with the option for an empty or repeated name. */
int class_list(json_t **names, const char *option, const char *text, Error *error);

/* What is known of the classes of some files. */
typedef struct ClassHints {
    const json_t *names; /* in the order of their ids, or NULL */
    const char *source;  /* of names: "--labels" or the file given as --gold */
    const char **paths;  /* [count] that may name a task */
    size_t count;
} ClassHints;

/* The classes of one group of files. */
typedef struct Classes {
    json_t *names; /* in the order of their ids; those outside of the known ones last */
    size_t known;
    int ids;      /* numbers are places in names */
    int hides;    /* -1 is no class: a hidden label, no answer */
    int declared; /* by a list or a task, not by the gold labels alone */
    char *source; /* how they were found, for the reader of a report */
} Classes;

/* The classes of gold labels and predictions, lists of texts. Errors: 65, of the file where: ids
 * and names whose order nobody says, a gold label outside of hints->names, what looks like a
 * regression. */
int classes_make(Classes *classes, const json_t *gold, const json_t *predicted,
                 const ClassHints *hints, const char *where, Error *error);
void classes_free(Classes *classes);

/* The class of a text; -1 for none: no answer, or a hidden label. */
int classes_place(const Classes *classes, const char *text);

/* The names of the known tasks that have all of these names, spelled as in them, in the order of
 * their ids, if the tasks agree on it; NULL else. Where the paths name such a task, only it counts;
 * else whole asks for the tasks all of whose names are there. *task is its name. */
json_t *task_names(const char **task, const json_t *names, int whole, const ClassHints *hints);

/* Whether a known task has all of these names. */
int task_has_all(const json_t *names);

#endif
