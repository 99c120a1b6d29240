/* The classes of a trained head, as its folder names them. */
#ifndef LABELS_H
#define LABELS_H

#include "json.h"

/* NONE: no names, or LABEL_0, LABEL_1, ... by position; FIT: each is another class of the task;
 * OTHER: they are not. */
typedef enum LabelFit { LABELS_NONE, LABELS_FIT, LABELS_OTHER } LabelFit;

/* Which of the `count` classes each row of a head is: rows [count], a permutation if the names fit,
 * else 0, 1, ... Case, "_", "-" and spaces make no difference; known synonyms are those of
 * docs/MODELS.md. text gets the names, for messages. The names are id2label of a config.json, or
 * label2id where id2label says nothing; OTHER too if the two disagree. */
LabelFit labels_of_config(int *rows, char text[256], const json_t *config,
                          const char *const *classes, int count);

/* The same from a JSON list, one name a row; NULL for none. */
LabelFit labels_of_list(int *rows, char text[256], const json_t *list, const char *const *classes,
                        int count);

/* "entailment, not_entailment" */
void labels_text(char text[256], const char *const *classes, int count);

/* Puts rows of `width` values into the order of the classes, or (back) from it. */
void labels_permute(float *values, const int *rows, int count, size_t width, int back);

#endif
