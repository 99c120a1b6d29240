/* What decides a run besides data, model and seeds; its digest groups runs in consistency. */
#ifndef RECIPE_H
#define RECIPE_H

#include "json.h"
#include "lora.h"
#include "optim.h"
#include "options.h"
#include "schedule.h"
#include "tasks.h"

/* The evaluation whose predictions are written: the last, or the one with the best metric on the dev
 * set, or on one half of it, the other half being reported. */
typedef enum Selection { SELECT_LAST, SELECT_BEST, SELECT_HALF } Selection;

typedef struct Recipe {
    OptimConfig optim;
    Schedule schedule;
    double lr, warmup, epochs;
    int batch, max_steps, max_len, max_train, max_eval;
    Selection select;
    const char *metric;     /* --metric, where it is not the task's; else NULL */
    const char *eval_every; /* as --eval-every has it: where the best is looked for */
    int patience;           /* evaluations without a better one that end the run; 0: none do */
    /* -1: dropout as the model's config says, the others as dropout */
    double dropout, attention_dropout, head_dropout;
    int spans;              /* --head spans: how many the head reads; else 0 */
    const char *dtype;      /* of products */
    int micro;              /* examples of a micro-batch where the dtype's sums need it, else 0 */
    const char *kernels;    /* variants in force */
    const char *columns;    /* of data of one's own: how rows become examples; else NULL */
    LoraConfig lora;        /* targets 0: full fine-tuning */
    char start[65];         /* SHA-256 of the adapter that the runs start from, or "" */
} Recipe;

typedef struct Seeds {
    uint64_t seed, init, data, dropout, order;
} Seeds;

/* Of a run with this seed, where options name none of their own. */
Seeds seeds_from(const Options *options, uint64_t seed);

/* From the options, which a named recipe has filled (recipes.h); what adapters go to is left open,
 * as it depends on the model. Errors: 64, 65 a value of a recipe's. */
int recipe_make(Recipe *recipe, const Options *options, const Task *task, Error *error);

/* Chooses the metric, when the task's classes are known. Errors: 64, 65 one that is not for the
 * task. */
int recipe_choose_metric(Recipe *recipe, const Options *options, const Task *task, Error *error);

/* An error about an option's value is the named recipe's where the command line has none: says so.
 * Returns the error's code. */
int recipe_blame(const Options *options, const char *name, Error *error);

/* The shortest text that reads back as the same double. */
const char *real_text(char text[32], double value);

/* hparams of the prediction file: recipe and seeds. Numbers that are no integers are texts,
 * "1e-05", so that no number formatter can change the digest. The caller owns it. */
json_t *recipe_json(const Recipe *recipe, const Seeds *seeds);

#endif
