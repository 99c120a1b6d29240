/* train_gpt study: what it does with its list of runs. */
#include "output.h"
#include "setup.h"
#include "study.h"
#include "study_claims.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- how many at a time --- */

/* Jobs and threads, of the machine or as the options say. Errors: 64 more threads than cores, 71
 * more memory than there is. */
static int share_machine(Study *study, Error *error)
{
    StudyOptions *o = &study->options;
    size_t largest = 1;
    for (int i = 0; i < study->cell_count; i++) {
        largest = size_max(largest, study->cells[i].bytes);
    }
    int fit = (int)size_min(study->room / largest, (size_t)study->cores), cores = study->cores;
    char needed[BYTES_TEXT], room[BYTES_TEXT];
    if (o->index) {
        o->jobs = 1;
    } else if (!o->jobs) {
        int threads = o->threads ? o->threads : 1;
        o->jobs = study->one_each ? 1 : int_max(1, int_min(fit, cores / threads));
    } else if ((double)o->jobs * (double)largest > (double)study->room) {
        return error_set(error, EXIT_NO_MEMORY,
                         "study: --jobs %d: a run needs up to %s of memory, there is room for %s; "
                         "say --jobs %d",
                         o->jobs, bytes_text(needed, largest), bytes_text(room, study->room),
                         int_max(1, fit));
    }
    if (o->jobs * int_max(1, o->threads) > cores) {
        return error_set(error, EXIT_USAGE,
                         "study: --jobs %d with --threads-per-run %d: that is more than the %d "
                         "core%s there %s",
                         o->jobs, int_max(1, o->threads), cores, cores > 1 ? "s" : "",
                         cores > 1 ? "are" : "is");
    }
    o->threads = o->threads ? o->threads : cores / o->jobs;
    return 0;
}

/* --- what the folder's study is --- */

static json_t *json_of_cell(const Cell *cell)
{
    json_t *object = json_object();
    json_object_set_new(object, "task", json_text(cell->task_name));
    json_object_set_new(object, "model", json_text(cell->model ? cell->model : cell->model_name));
    json_object_set_new(object, "recipe", json_text(cell->recipe_name));
    json_object_set(object, "receipts", cell->receipts);
    json_object_set(object, "hparams", cell->hparams);
    return object;
}

/* Whether the cells that the folder knows are the same now. */
static int check_known(json_t *known, const Study *study, const char *path, Error *error)
{
    for (int i = 0; i < study->cell_count; i++) {
        json_t *cell = json_of_cell(&study->cells[i]), *old;
        size_t at;
        int found = 0;
        json_array_foreach(known, at, old)
        {
            char *list = NULL;
            int same = !strcmp(text_of(old, "task"), text_of(cell, "task")) &&
                       !strcmp(text_of(old, "model"), text_of(cell, "model")) &&
                       !strcmp(text_of(old, "recipe"), text_of(cell, "recipe"));
            if (same) {
                found = 1;
                output_differences(&list, json_object_get(old, "receipts"),
                                   study->cells[i].receipts, json_object_get(old, "hparams"),
                                   study->cells[i].hparams);
            }
            if (list) {
                error_set(error, EXIT_CONFIG,
                          "study: %s: the study of this folder has other settings for %s, model "
                          "%s: %s; name another folder with --out",
                          path, text_of(cell, "task"), text_of(cell, "model"), list);
                free(list);
                json_decref(cell);
                return error->code;
            }
        }
        if (!found) {
            json_array_append(known, cell);
        }
        json_decref(cell);
    }
    return 0;
}

/* Reads study.json, if the folder has one, and adds this command's cells to it: more tasks, models
 * or seeds are the same study, other settings of a cell are not. *complete: it had all of them. */
static int check_folder(const Study *study, int keep, int *complete, Error *error)
{
    char *path = string_format("%s/study.json", study->out);
    json_t *file = NULL, *known = NULL;
    int code = path_exists(path) ? json_read_file(&file, path, error) : 0;
    if (!code && file &&
        (strcmp(text_of(file, "format"), "seedbed-study") ||
         strcmp(text_of(file, "format_version"), "1") ||
         !json_is_array(json_object_get(file, "cells")))) {
        code = error_set(error, EXIT_BAD_DATA,
                         "%s: not the list of a study of this version; name another folder with "
                         "--out",
                         path);
    }
    if (!code) {
        known = file ? json_deep_copy(json_object_get(file, "cells")) : json_array();
        code = check_known(known, study, path, error);
    }
    *complete = !code && file && json_equal(known, json_object_get(file, "cells"));
    if (!code && keep && !*complete) {
        json_t *object = json_object();
        json_object_set_new(object, "format", json_string("seedbed-study"));
        json_object_set_new(object, "format_version", json_string("1"));
        json_object_set(object, "cells", known);
        code = json_write_file(object, path, 0, error);
    }
    json_decref(known);
    json_decref(file);
    free(path);
    return code;
}

/* The same and writes it, alone: another study may add its cells at the same time. The tasks of an
 * array begin together with the same cells: who waits looks whether another one has added them. */
static int keep_folder(const Study *study, Error *error)
{
    Claim claim;
    char *claims = string_format("%s/claims", study->out);
    int code, complete = 0;
    unsigned wait = 50000; /* microseconds */
    double start = clock_seconds();
    claims_sweep(claims);
    while (!(code = check_folder(study, 0, &complete, error)) && !complete &&
           (code = claim_take(&claim, claims, "study.json", error)) == EXIT_BUSY &&
           clock_seconds() < start + 2 * CLAIM_STALE) {
        usleep(wait);
        wait = wait < 1000000 ? 2 * wait : wait;
    }
    free(claims);
    if (!code && !complete) {
        code = check_folder(study, 1, &complete, error);
        claim_release(&claim);
    }
    return code;
}

static int make_folders(const Study *study, Error *error)
{
    static const char *const names[] = {"preds", "logs", "claims"};
    for (int i = 0; i < 3; i++) {
        char *path = string_format("%s/%s", study->out, names[i]);
        int code = folder_make(path, error);
        free(path);
        if (code) {
            return code;
        }
    }
    return 0;
}

/* --- listing --- */

static void show_list(const Study *study, int done)
{
    double seconds[2] = {0, 0};
    int known = 1;
    const StudyOptions *o = &study->options;
    fprintf(stderr, "%-14s %-24s %-14s %5s %8s %10s\n", "task", "model", "recipe", "runs", "steps",
            "MiB");
    for (int i = 0; i < study->cell_count; i++) {
        const Cell *cell = &study->cells[i];
        int runs = 0, left = 0;
        for (int k = 0; k < study->run_count; k++) {
            runs += study->runs[k].cell == cell;
            left += study->runs[k].cell == cell && study->runs[k].state != RUN_DONE;
        }
        seconds[0] += left * cell->seconds[0];
        seconds[1] += left * cell->seconds[1];
        known = known && cell->seconds[1] > 0;
        fprintf(stderr, "%-14s %-24.24s %-14.14s %5d %8d %10.1f\n", cell->task_name,
                cell->model_name, cell->recipe_name, runs, cell->steps,
                (double)cell->bytes / (1 << 20));
    }
    char *time = known ? seconds_text(seconds[0], seconds[1]) : NULL;
    fprintf(stderr,
            "%d runs, %d of them finished; %d at a time with %d thread%s each; time left: %s\n",
            study->run_count, done, o->jobs, o->threads, o->threads > 1 ? "s" : "",
            done == study->run_count ? "none"
            : known                  ? time
                                     : "unknown");
    free(time);
}

/* A command a run, behind it the run that it is. */
static void print_commands(const Study *study, int argc, char **argv)
{
    char *command = NULL;
    for (int i = 0; i < argc; i++) {
        char *word = shell_quote(argv[i]);
        if (strcmp(argv[i], "--print") != 0) {
            string_append(&command, " %s", word);
        }
        free(word);
    }
    for (int i = 0; i < study->run_count; i++) {
        if (study->runs[i].state != RUN_DONE) {
            printf("./train_gpt%s --threads-per-run %d --index %d # %s\n", command,
                   study->options.threads, i, study->runs[i].name);
        }
    }
    free(command);
}

/* The number of --index: its own, or that of the scheduler's array. Returns -1 after setting error. */
static int read_index(const Study *study, Error *error)
{
    static const struct {
        const char *variable;
        int first;
    } arrays[] = {{"SLURM_ARRAY_TASK_ID", 0},  {"PBS_ARRAY_INDEX", 0},
                  {"PBS_ARRAYID", 0},          {"SGE_TASK_ID", 1}, /* which cannot be 0 */
                  {"JOB_COMPLETION_INDEX", 0}, {"AWS_BATCH_JOB_ARRAY_INDEX", 0}};
    const char *text = study->options.index, *where = "--index";
    int first = 0;
    for (size_t i = 0; !strcmp(text, "auto") && i < sizeof arrays / sizeof *arrays; i++) {
        const char *value = getenv(arrays[i].variable);
        if (value && *value && strcmp(value, "undefined") != 0) {
            text = value;
            where = arrays[i].variable;
            first = arrays[i].first;
        }
    }
    if (!strcmp(text, "auto")) {
        error_set(error, EXIT_USAGE,
                  "study: --index auto: none of SLURM_ARRAY_TASK_ID, PBS_ARRAY_INDEX, PBS_ARRAYID, "
                  "SGE_TASK_ID, JOB_COMPLETION_INDEX and AWS_BATCH_JOB_ARRAY_INDEX is set; run it "
                  "in an array job, or say --index K");
        return -1;
    }
    char *end;
    long number = strtol(text, &end, 10) - first;
    if (end == text || *end || number < 0 || number >= study->run_count) {
        error_set(error, EXIT_USAGE, "study: %s %s: the study has %d runs, %d to %d", where, text,
                  study->run_count, first, study->run_count - 1 + first);
        return -1;
    }
    return (int)number;
}

/* --- the end --- */

/* Runs consistency, which stands beside this program, over the finished runs; its output goes to a
 * file, or to standard output for NULL. */
static int run_consistency(const Study *study, const char *const *options, int count, Error *error)
{
    char program[4096] = "";
    ssize_t size = readlink("/proc/self/exe", program, sizeof program - sizeof "consistency");
    char *slash = size > 0 ? strrchr(program, '/') : NULL;
    if (!slash) {
        return error_set(error, EXIT_UNAVAILABLE, "study: cannot find consistency");
    }
    strcpy(slash + 1, "consistency");
    size_t most = (size_t)count + 2;
    for (int i = 0; i < study->run_count; i++) {
        most += (size_t)study->runs[i].path_count;
    }
    const char **argv = memory_calloc(most, sizeof *argv);
    int words = 0;
    argv[words++] = program;
    for (int i = 0; i < count; i++) {
        argv[words++] = options[i];
    }
    for (int i = 0; i < study->run_count && strcmp(options[0], "--audit-table") != 0; i++) {
        const StudyRun *run = &study->runs[i];
        for (int k = 0; k < run->path_count && run->state == RUN_DONE; k++) {
            argv[words++] = run->paths[k];
        }
    }
    pid_t pid = fork();
    if (pid == 0) {
        execv(program, (char *const *)(uintptr_t)argv);
        _exit(EXIT_UNAVAILABLE);
    }
    int status = -1;
    int ended = pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status);
    free(argv);
    return ended && !WEXITSTATUS(status)
               ? 0
               : error_set(error, ended ? WEXITSTATUS(status) : EXIT_BUG,
                           "study: the runs are finished, but %s made no table", program);
}

static void put_field(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        fprintf(out, *text == '"' ? "%c\"" : "%c", *text);
    }
    fputc('"', out);
}

/* Our numbers in the form of a published table, for its audit: *rows of them. */
static int write_table(const char *path, const char *json, int recipes, int *rows, Error *error)
{
    static const char *const keys[] = {"zeta", "VAR", "CON", "CCON"};
    json_t *report, *group;
    Writer writer;
    size_t at;
    if (json_read_file(&report, json, error) || writer_open(&writer, path, error)) {
        return error->code;
    }
    fputs("model,task,zeta,VAR,CON,CCON,K,N,S\n", writer.stream);
    json_array_foreach(json_object_get(report, "groups"), at, group)
    {
        if (strcmp(text_of(group, "split"), "validation") != 0 ||
            json_integer_value(json_object_get(group, "S")) < 2 ||
            !json_is_number(json_object_get(group, "CCON"))) {
            continue; /* one run, or a regression, has no such numbers; a task stands once */
        }
        /* of several recipes each is a model of its own: a table has one row for model and task */
        char *model = string_format(recipes > 1 ? "%s (%.8s)" : "%s", text_of(group, "model"),
                                    text_of(group, "recipe_sha256"));
        put_field(writer.stream, model);
        fputc(',', writer.stream);
        put_field(writer.stream, text_of(group, "task"));
        free(model);
        for (int i = 0; i < 4; i++) {
            fprintf(writer.stream, ",%.2f",
                    100.0 * json_number_value(json_object_get(group, keys[i])));
        }
        for (const char *const *key = (const char *const[]){"K", "N", "S", NULL}; *key; key++) {
            fprintf(writer.stream, ",%lld",
                    (long long)json_integer_value(json_object_get(group, *key)));
        }
        fputc('\n', writer.stream);
        ++*rows;
    }
    json_decref(report);
    return writer_commit(&writer, error);
}

/* Table 1, its audit and the report with figures. */
static int make_tables(const Study *study, Error *error)
{
    char *json = string_format("%s/report.json", study->out),
         *md = string_format("%s/table1.md", study->out),
         *csv = string_format("%s/table1.csv", study->out),
         *html = string_format("%s/report.html", study->out),
         *audit = string_format("%s/audit.md", study->out);
    const char *const files[] = {json, html, md};
    int code = 0;
    for (int i = 0; i < 3 && !code; i++) {
        code = run_consistency(study, (const char *const[]){"--output", files[i]}, 2, error);
    }
    int rows = 0;
    code = code || write_table(csv, json, study->options.recipe_count, &rows, error) ? error->code
                                                                                     : 0;
    if (!code && !rows) {
        unlink(audit); /* of an earlier table */
    } else if (!code) {
        code = run_consistency(
            study, (const char *const[]){"--audit-table", csv, "--output", audit}, 4, error);
    }
    if (!code) {
        code = run_consistency(study, (const char *const[]){"--format", "text"}, 2, error);
    }
    if (!code) {
        printf("wrote: %s, %s, %s%s%s, %s\n", md, csv, rows ? audit : "", rows ? ", " : "", html,
               json);
    }
    free(json);
    free(md);
    free(csv);
    free(html);
    free(audit);
    return code;
}

static int run_study(Study *study, int argc, char **argv, Error *error)
{
    const StudyOptions *o = &study->options;
    int done = 0, index = 0, complete;
    if (study_expand(study, error) || share_machine(study, error)) {
        return error->code;
    }
    for (int i = 0; i < study->run_count; i++) {
        study->runs[i].state = study_finished(&study->runs[i]) ? RUN_DONE : RUN_WAITS;
        done += study->runs[i].state == RUN_DONE;
    }
    if ((o->index && (index = read_index(study, error)) < 0) || check_folder(study, 0, &complete, error)) {
        return error->code;
    }
    if (!o->index) {
        tell_stand_ins(study->builtin, study->tiny);
    }
    if (!o->quiet && !o->index) {
        show_list(study, done);
    }
    if (o->print || o->dry_run) {
        if (o->print) {
            print_commands(study, argc, argv);
        }
        return stdout_close(error);
    }
    if (make_folders(study, error) || keep_folder(study, error)) {
        return error->code;
    }
    if (o->index) {
        if (!o->quiet && study->runs[index].state == RUN_DONE) {
            fprintf(stderr, "finished before: %s\n", study->runs[index].paths[0]);
        }
        return study_work(study, index, 1, error);
    }
    int code = study_work(study, 0, study->run_count, error);
    if (study->stopped) {
        return code;
    }
    Error tables = {0};
    int any = 0;
    for (int i = 0; i < study->run_count; i++) {
        any |= study->runs[i].state == RUN_DONE;
    }
    if (any && make_tables(study, &tables)) {
        if (code) { /* that of the runs is the one to end with */
            fprintf(stderr, "train_gpt: %s\n", tables.text);
        } else {
            *error = tables;
            code = tables.code;
        }
    }
    return code ? code : stdout_close(error);
}

int study_main(int argc, char **argv, Error *error)
{
    Study study = {0};
    int code = study_options(&study.options, argc, argv, error);
    if (!code && study.options.help) {
        study_help(stdout);
        code = stdout_close(error);
    } else if (!code) {
        study.out = study.options.out ? study.options.out : "study";
        study.preds = string_format("%s/preds", study.out);
        code = run_study(&study, argc, argv, error);
    }
    study_free(&study);
    return code;
}
