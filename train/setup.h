/* Everything that the runs of one command share: data, model, recipe, backend; and one run of it.
 */
#ifndef SETUP_H
#define SETUP_H

#include "batch.h"
#include "encode.h"
#include "options.h"
#include "own.h"
#include "recipe.h"
#include "recipes.h"
#include "state.h"
#include "workspace.h"

enum { MAX_SETS = 8 };

typedef struct Setup {
    const Options *options;
    const Task *task; /* own.task where the files are the user's */
    Own own;
    NamedRecipe named; /* what the options were filled from */
    Recipe recipe;
    Dataset train, dev;
    Tokenizer *tokenizer;
    Encoded train_ids, dev_ids;
    Dataset half; /* of --select half: what selects; dev is the other half then. Else count 0 */
    Encoded half_ids;
    /* What a run predicts once, at its end, beside the dev set that selects: [further_count]. */
    Dataset further[MAX_SETS];
    Encoded further_ids[MAX_SETS];
    int further_count;
    Backend backend;
    Model model;
    Workspace work;
    Batch batch;
    const char *model_folder; /* NULL for the tiny model */
    const char *data_folder;  /* NULL for the built-in sample, texts and files of one's own */
    char *columns;            /* of recipe.columns */
    char *model_name;
    char model_sha256[65]; /* of the first run's model_read; of the tiny model's shape */
    int builtin;           /* the data are the built-in sample */
    int micro;             /* examples of a micro-batch */
    int steps_per_epoch, steps, warmup;
    int stop;    /* the last step that is made: steps, or that of --trace-until */
    long tokens; /* of all training steps */
    size_t state_bytes, frozen_bytes; /* of a run's State; of what is frozen, on the device */
    size_t copy_bytes; /* of the host, for the state of a checkpoint; 0: none, or no room */
    char made[512];                   /* parameters that were made from the seed; "" for none */
    int told;                         /* how the labels of the head were understood was said */
} Setup;

/* Reads and checks everything; the recipe fills the options, which must outlive the setup. On
 * failure what was opened is closed. */
int setup_open(Setup *setup, Options *options, Error *error);
void setup_close(Setup *setup);

/* Says on stderr that the data, or the model, are a stand-in. */
void tell_stand_ins(int data, int model);

/* Finds the largest micro-batch of all epochs of all these seeds, allocates for it, and counts
 * steps and tokens. Errors: 64 more steps, or tokens of a step, than are counted; 71 more memory
 * than there is: with what it could be done. */
int setup_plan(Setup *setup, const uint64_t *data_seeds, int count, Error *error);

/* Bytes of memory that a planned run needs, besides data and a mapped model. */
size_t setup_memory(const Setup *setup);

/* What a run evaluates: 0 the dev set, then the further ones; NULL behind the last. */
const Encoded *setup_set(const Setup *setup, int i);

/* The name of the metric of a set: that of the recipe, but of a diagnostic its own. */
const char *setup_metric(const Setup *setup, const Dataset *dataset);

/* The examples of the largest of them. */
int setup_most_evaluated(const Setup *setup);

/* Whether a run keeps the weights of its best evaluation: to save them, or to predict more. */
int setup_keeps_best(const Setup *setup, const char *save);

/* How often a planned run evaluates the dev set, how often before the evaluation behind this step, if
 * there is one, and whether there is one, steps from 1 on. */
int setup_evaluations(const Setup *setup);
int setup_evaluations_before(const Setup *setup, int step);
int setup_evaluates(const Setup *setup, int step);

/* How many seconds a planned run will take, at least and at most, from a measurement of 0.1 s of
 * this machine. Returns 0 if it is too busy to say. */
int setup_estimate(Setup *setup, double seconds[2]);

/* A range of seconds in s, min, h or d: "1.5 to 2.5 h". The caller frees it. */
char *seconds_text(double low, double high);

/* Values of all weights as a run with this seed begins: the model's folder and the adapter are read
 * and checked, what they lack is made (and said, once). Errors: 65, 66, 74, 77. */
int setup_read_weights(Setup *setup, State *state, uint64_t seed_init, Error *error);

/* Writes the model, or the adapters and the head, as a folder with the tokenizer's files: all of
 * its files or none; then removes what an older model left there. Errors: those of writing. */
int setup_save_weights(const Setup *setup, const State *state, const char *folder, Error *error);

/* Whether a run could create its folders and files (save may be NULL), as far as can be seen
 * without creating any. Errors: 64 save is the folder of the model, or of the adapter
 * of all seeds; 73, 74, 77. */
int setup_check_output(const Setup *setup, const Seeds *seeds, const char *save, Error *error);

/* A prediction file. */
typedef struct Written {
    char *path;
    char *kept; /* where an earlier one of other bytes is now, or NULL */
    int same;   /* an earlier one had the same bytes */
    double metric, loss;
    double f1a, em; /* MultiRC's, of answers and of questions; NaN elsewhere */
    double parity;  /* AX-g's, of pairs; NaN elsewhere */
} Written;

/* What one run ended with. */
typedef struct Outcome {
    double metric, majority, train_loss, dev_loss, seconds;
    int collapsed; /* a single class was predicted */
    int stopped;   /* behind this step, by --trace-until; or 0 */
    int early;     /* the same, by --patience */
    int step, epoch;  /* of the evaluation that was kept */
    double selection; /* its metric on the half that selects */
    Written files[1 + MAX_SETS]; /* as setup_set counts them; path NULL: not written */
} Outcome;
void outcome_free(Outcome *outcome);

/* Trains from the seeds, or goes on from the last checkpoint of a run that did not come to its end,
 * and writes the prediction files (that of the dev set last, so that it says that all are there),
 * the log and the model folder (save, or NULL). Errors: 65 model or adapter changed meanwhile, 73
 * another run is writing the same files, 75 a signal, 78 the checkpoint is of other settings, 79 not
 * finite, and those of reading and writing. */
int setup_run(Setup *setup, const Seeds *seeds, const char *save, Outcome *outcome, Error *error);

/* Before the first of several runs takes its time: whether what the others would go on from is
 * theirs, and which of them need not be trained. That are those whose predictions are there, where
 * others' are not: a command that was stopped goes on. One whose runs are all finished makes them
 * again; so does one with a model to save, which does not say of which run it is. finished [count].
 * Errors: those of setup_read_weights; 78 as of setup_run. */
int setup_look_ahead(Setup *setup, const Seeds *list, int count, int *finished, Error *error);

#endif
