/* Recipes by name or file: values for the options that make a training what it is, with their
 * source. What the command line has counts more. */
#ifndef RECIPES_H
#define RECIPES_H

#include "json.h"
#include "options.h"
#include "tasks.h"

typedef struct NamedRecipe {
    char *name;       /* as --recipe has it, or the one that was chosen */
    json_t *settings; /* option: its value as text; the options point into it */
    int model;        /* the kind that it is for: 0 any, 'e' encoder, 'd' decoder */
} NamedRecipe;

/* Reads --recipe (without it: tiny for the tiny model, lora with adapters, else task), gives the
 * options that are not on the command line its values for this task, and checks them together.
 * Release it, also after an error, when the options are no longer read. Errors: 64 no such recipe,
 * nothing for this task; 65 a file with an unknown field or value, with its name; 66. */
int recipe_open(NamedRecipe *recipe, Options *options, const Task *task, int tiny, Error *error);
void recipe_close(NamedRecipe *recipe);

/* Whether it is for such a model. Errors: 64. */
int recipe_check_model(const NamedRecipe *recipe, int decoder, Error *error);

/* Names and sources. */
void recipes_list(FILE *out);

#endif
