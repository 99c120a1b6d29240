/* The list of a study's runs. */
#include "model_folder.h"
#include "output.h"
#include "preds.h"
#include "setup.h"
#include "study.h"
#include "threads.h"

#include <stdlib.h>
#include <string.h>

/* Where runs get their randomness from, and the option of each source. */
static const char *const sources[] = {"init", "data", "dropout", "order"};
enum { SOURCES = 4 };

static const char paper[] = "mrpc,qnli,qqp,sst2,rte,cola,boolq,cb,rte_superglue,multirc,wic,copa";

/* --- tasks and seeds --- */

/* The names of --tasks, or the one NULL for --task among the other options; the caller frees them
 * with the memory that they point into. */
static int task_names(const char ***names, char **memory, const char *list, Error *error)
{
    int count = 0, known;
    const Task *tasks = tasks_all(&known);
    *memory = NULL;
    for (const char *at = list; at && *at; at += *at == ',') {
        int length = (int)strcspn(at, ",");
        char *name = string_format("%.*s", length, at);
        const char *before = *memory ? "," : "";
        if (!strcmp(name, "paper")) {
            string_append(memory, "%s%s", before, paper);
        } else if (!strcmp(name, "glue") || !strcmp(name, "superglue")) {
            for (int i = 0; i < known; i++) {
                if (!strcmp(tasks[i].benchmark, name)) {
                    string_append(memory, "%s%s", *memory ? "," : "", tasks[i].name);
                }
            }
        } else {
            string_append(memory, "%s%s", before, name);
        }
        free(name);
        at += length;
    }
    if (list && (!*memory || !**memory)) {
        error_set(error, EXIT_USAGE, "study: --tasks '%s': a task is missing", list);
        return -1;
    }
    *names = memory_calloc(1 + (*memory ? strlen(*memory) : 0), sizeof **names);
    for (char *at = *memory, *word; at && (word = strsep(&at, ","));) {
        (*names)[count++] = word;
    }
    return list ? count : 1;
}

/* Which sources --grid names, as bits; -1 after setting error. */
static int grid_sources(const char *list, Error *error)
{
    int bits = 0;
    for (const char *at = list; at && *at; at += *at == ',') {
        size_t length = strcspn(at, ",");
        int i = SOURCES - 1;
        while (i >= 0 && (strlen(sources[i]) != length || strncmp(sources[i], at, length))) {
            i--;
        }
        if (i < 0 || bits >> i & 1) {
            error_set(error, EXIT_USAGE,
                      "study: --grid %s: '%.*s' %s; name some of init, data, dropout and order, "
                      "with commas between",
                      list, (int)length, at, i < 0 ? "is no source" : "stands twice");
            return -1;
        }
        bits |= 1 << i;
        at += length;
    }
    return bits;
}

/* --- commands --- */

static void add_word(StudyRun *run, const char *word)
{
    run->argv = memory_realloc(run->argv, (size_t)run->argc + 2, sizeof *run->argv);
    run->argv[run->argc++] = string_copy(word);
    run->argv[run->argc] = NULL;
}

static void add_option(StudyRun *run, const char *name, const char *value)
{
    if (value) {
        add_word(run, name);
        add_word(run, value);
    }
}

static void add_seed(StudyRun *run, const char *name, uint64_t seed)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)seed);
    add_option(run, name, text);
}

/* The command of run number k of a cell: a place in the grid, or in the list of seeds. */
static StudyRun make_run(const Study *study, const Cell *cell, const uint64_t *seeds, int count,
                         int grid, int k)
{
    const StudyOptions *o = &study->options;
    StudyRun run = {.cell = cell};
    add_word(&run, "train_gpt");
    for (int i = 0; i < o->rest_count; i++) {
        add_word(&run, o->rest[i]);
    }
    add_option(&run, "--task", cell->task);
    add_option(&run, "--model", cell->model);
    add_option(&run, "--recipe", cell->recipe);
    if ((grid & 7) != 7) { /* sources that the grid leaves alone */
        add_seed(&run, "--seed", seeds[grid ? 0 : k]);
    }
    for (int i = SOURCES - 1; i >= 0; i--) {
        if (grid >> i & 1) {
            char *name = string_format("--seed-%s", sources[i]);
            add_seed(&run, name, seeds[k % count]);
            free(name);
            k /= count;
        }
    }
    add_option(&run, "--preds", study->preds);
    add_word(&run, "--quiet");
    return run;
}

static void free_run(StudyRun *run)
{
    for (int i = 0; i < run->argc; i++) {
        free(run->argv[i]);
    }
    free(run->argv);
    free(run->name);
    for (int i = 0; i < run->path_count; i++) {
        free(run->paths[i]);
    }
    free(run->paths);
    json_decref(run->receipts);
}

/* --- cells --- */

/* Takes out what runs of other machines and builds may say otherwise. */
static void drop_machine(json_t *receipts)
{
    static const char *const free_to_differ[] = {"device", "library", "tool_version", "git_commit"};
    for (size_t i = 0; i < sizeof free_to_differ / sizeof *free_to_differ; i++) {
        json_object_del(receipts, free_to_differ[i]);
    }
}

/* The digest of a model's weights, which are read for it, once for all cells. */
static int read_weights(Setup *setup, char sha256[65], Error *error)
{
    if (*sha256) {
        memcpy(setup->model_sha256, sha256, sizeof setup->model_sha256);
        return 0;
    }
    State state;
    state_init(&state, &setup->model, 0, 0);
    int code = setup_read_weights(setup, &state, 0, error);
    state_free(&state, &setup->model);
    memcpy(sha256, setup->model_sha256, sizeof setup->model_sha256);
    return code;
}

/* What its runs need and have in common, from the plan of the first. */
static void fill_cell(Cell *cell, Setup *setup, const StudyRun *run, int estimate)
{
    const Model *m = &setup->model;
    cell->model_name = string_copy(setup->model_name);
    cell->recipe_name = string_copy(setup->named.name);
    cell->task_name = string_copy(setup->task->name);
    cell->steps = setup->steps;
    cell->bytes = setup_memory(setup);
    cell->cost = (double)setup->tokens * (double)model_counts(m).all * (m->lora.targets ? 2 : 3);
    if (!estimate || !setup_estimate(setup, cell->seconds)) {
        cell->seconds[0] = cell->seconds[1] = 0;
    }
    cell->receipts = json_deep_copy(run->receipts);
    cell->hparams = json_loads(text_of(cell->receipts, "hparams"), 0, NULL);
    json_object_del(cell->receipts, "hparams");
    for (int i = 0; i < SEED_KEYS; i++) {
        json_object_del(cell->hparams, seed_keys[i]);
        json_object_del(cell->receipts, seed_keys[i]);
    }
}

static void name_files(StudyRun *run, const Setup *setup, const Seeds *seeds)
{
    run->path_count = 1 + setup->further_count;
    run->paths = memory_alloc((size_t)run->path_count, sizeof *run->paths);
    for (int i = 0; i < run->path_count; i++) {
        char *name = output_name(setup, i ? &setup->further[i - 1] : &setup->dev, seeds);
        run->paths[i] = string_format("%s.bin", name);
        free(name);
    }
}

/* Opens and plans a cell, and names its runs. */
static int open_cell(Study *study, Cell *cell, StudyRun *runs, int count, char model_sha256[65],
                     Error *error)
{
    Options options;
    Setup setup;
    if (options_parse(&options, runs->argc, runs->argv, error) ||
        setup_open(&setup, &options, error)) {
        return error->code;
    }
    Seeds first = seeds_from(&options, option_seed(options.seed));
    int code = setup.task->kind == KIND_LANGUAGE
                   ? error_set(error, EXIT_USAGE, "it writes no predictions to compare")
               : setup_plan(&setup, &first.data, 1, error) ||
                       read_weights(&setup, model_sha256, error)
                   ? error->code
                   : 0;
    for (int i = 0; i < count && !code; i++) {
        Options one;
        code = options_parse(&one, runs[i].argc, runs[i].argv, error);
        if (!code) {
            Seeds seeds = seeds_from(&one, option_seed(one.seed));
            name_files(&runs[i], &setup, &seeds);
            const char *name = runs[i].paths[0] + strlen(study->preds) + 1;
            runs[i].name = string_format("%.*s", (int)(strlen(name) - strlen(".bin")), name);
            runs[i].receipts = output_receipts(&setup, &setup.dev, &seeds);
            drop_machine(runs[i].receipts);
        }
    }
    if (!code) {
        const Device *device = setup.backend.device;
        fill_cell(cell, &setup, runs, !study->options.quiet && !study->options.index);
        study->builtin |= setup.builtin;
        study->tiny |= !setup.model_folder;
        study->one_each |= device->start != NULL;
        study->room = device->memory();
    }
    setup_close(&setup);
    return code;
}

/* --- the list --- */

static int by_cost(const void *a, const void *b)
{
    const StudyRun *x = a, *y = b;
    double difference = y->cell->cost - x->cell->cost;
    return difference > 0 ? 1 : difference < 0 ? -1 : x->number - y->number;
}

static int check_names(const Study *study, Error *error)
{
    for (int i = 0; i < study->run_count; i++) {
        for (int k = 0; k < i; k++) {
            if (!strcmp(study->runs[i].name, study->runs[k].name)) {
                return error_set(error, EXIT_USAGE,
                                 "study: two runs would write %s.bin: a task or recipe stands "
                                 "twice, or two models have folders of one name",
                                 study->runs[i].name);
            }
        }
    }
    return 0;
}

static int expand(Study *study, const char *const *tasks, int task_count, const uint64_t *seeds,
                  int seed_count, int grid, Error *error)
{
    const StudyOptions *o = &study->options;
    int each = grid ? 1 : seed_count;
    for (int i = 0; i < SOURCES && each <= MAX_RUNS; i++) {
        each *= grid >> i & 1 ? seed_count : 1;
    }
    int cells = task_count * o->model_count * o->recipe_count;
    if (each > MAX_RUNS / cells) {
        return error_set(error, EXIT_USAGE, "study: more than %d runs", MAX_RUNS);
    }
    study->cells = memory_calloc((size_t)cells, sizeof *study->cells);
    study->runs = memory_calloc((size_t)cells * (size_t)each, sizeof *study->runs);
    for (int m = 0; m < o->model_count; m++) {
        char model_sha256[65] = "";
        for (int i = 0; i < o->recipe_count * task_count; i++) {
            Cell *cell = &study->cells[study->cell_count++];
            StudyRun *runs = &study->runs[study->run_count];
            *cell = (Cell){.task = tasks[i % task_count],
                           .model = o->models[m],
                           .recipe = o->recipes[i / task_count]};
            for (int k = 0; k < each; k++) {
                runs[k] = make_run(study, cell, seeds, seed_count, grid, k);
                runs[k].number = study->run_count++;
            }
            if (open_cell(study, cell, runs, each, model_sha256, error)) {
                char *text = string_copy(error->text);
                error_set(error, error->code, "study: %s%s%s%s%s%s: %s",
                          cell->task ? "task " : "its task", cell->task ? cell->task : "",
                          cell->model ? ", model " : "", cell->model ? cell->model : "",
                          cell->recipe ? ", recipe " : "", cell->recipe ? cell->recipe : "", text);
                free(text);
                return error->code;
            }
        }
    }
    qsort(study->runs, (size_t)study->run_count, sizeof *study->runs, by_cost);
    return check_names(study, error);
}

int study_expand(Study *study, Error *error)
{
    const StudyOptions *o = &study->options;
    const char **tasks = NULL;
    char *memory = NULL;
    uint64_t seeds[MAX_SEEDS];
    int seed_count = options_seeds(seeds, o->seeds ? o->seeds : "42:132:10", error),
        grid = seed_count < 0 ? -1 : grid_sources(o->grid, error),
        task_count = grid < 0 ? -1 : task_names(&tasks, &memory, o->tasks, error);
    study->cores = threads_available();
    int code = task_count < 0 ? error->code
                              : expand(study, tasks, task_count, seeds, seed_count, grid, error);
    study->task_memory = memory;
    free(tasks);
    return code;
}

void study_free(Study *study)
{
    for (int i = 0; i < study->run_count; i++) {
        free_run(&study->runs[i]);
    }
    for (int i = 0; i < study->cell_count; i++) {
        Cell *cell = &study->cells[i];
        free(cell->model_name);
        free(cell->recipe_name);
        free(cell->task_name);
        json_decref(cell->receipts);
        json_decref(cell->hparams);
    }
    free(study->runs);
    free(study->cells);
    free(study->task_memory);
    free(study->preds);
    free(study->options.models);
    free(study->options.recipes);
    free(study->options.rest);
}
