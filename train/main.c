/* train_gpt: fine-tunes a pretrained transformer from a seed, exactly, and writes one prediction
 * file a run. */
#include "output.h"
#include "preds.h"
#include "process.h"
#include "profile.h"
#include "result.h"
#include "setup.h"
#include "study.h"
#include "version.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The command that goes on with a run which a signal has stopped. */
static char *command_of(const Options *o)
{
    char *command = NULL;
    for (int i = 0; i < o->argc; i++) {
        char *word = shell_quote(o->argv[i]);
        string_append(&command, "%s%s", i ? " " : "", word);
        free(word);
    }
    if (option_given(o, "resume")) { /* the last one counts */
        string_append(&command, " --resume auto");
    }
    return command;
}

static int fail(const Error *error)
{
    fprintf(stderr, "train_gpt: %s\n", error->text);
    return error->code;
}

static void show_estimate(Setup *s, int runs)
{
    double seconds[2];
    if (!setup_estimate(s, seconds)) {
        fputs("time unknown on a busy machine\n", stderr);
        return;
    }
    char *one = seconds_text(seconds[0], seconds[1]),
         *all = seconds_text(runs * seconds[0], runs * seconds[1]);
    fprintf(stderr, "about %s a run%s%s%s\n", one, runs > 1 ? ", " : "", runs > 1 ? all : "",
            runs > 1 ? " in all" : "");
    free(one);
    free(all);
}

static void show_notes(const Dataset *dataset)
{
    if (dataset->unlike) {
        fprintf(stderr, "NOTE: %s: %s.\n", dataset->path, dataset->unlike);
    }
    if (dataset->left_out) {
        fprintf(stderr,
                "NOTE: %s: %d row%s left out, broken by a line break or with another number of "
                "columns: line%s %s\n",
                dataset->path, dataset->left_out, dataset->left_out > 1 ? "s are" : " is",
                strpbrk(dataset->left_out_lines, "-,") ? "s" : "", dataset->left_out_lines);
    }
}

/* What the runs take, of the recipe and of the command line. */
static void show_recipe(const Setup *s)
{
    const Recipe *r = &s->recipe;
    const OptimConfig *a = &r->optim;
    const Config *c = &s->model.config;
    int decoder = c->architecture == ARCH_LLAMA; /* it drops weights of attention alone */
    fprintf(stderr,
            "recipe    %s: lr %g, batch %d%s, %g epoch%s, warm-up %d step%s, dropout %g, length "
            "%d\n",
            s->named.name, r->lr, r->batch, s->micro < r->batch ? " in micro-batches" : "",
            r->epochs, r->epochs == 1 ? "" : "s", s->warmup, s->warmup == 1 ? "" : "s",
            (double)(decoder ? c->attention_dropout : c->dropout), r->max_len);
    fprintf(stderr, "          AdamW %g and %g, eps %g, decay %g, clip %g; %s; the %s evaluation%s",
            a->beta1, a->beta2, a->eps, a->weight_decay, a->clip, s->options->schedule,
            r->select ? "best" : "last", r->select == SELECT_HALF ? " on half of dev" : "");
    if (r->patience) {
        fprintf(stderr, "; ends after %d not better", r->patience);
    }
    fputc('\n', stderr);
    if (a->uncorrected) {
        fputs("          no bias correction\n", stderr);
    }
    if (!decoder && (c->attention_dropout != c->dropout || c->head_dropout != c->dropout)) {
        fprintf(stderr, "          dropout of attention %g, of the head %g\n",
                (double)c->attention_dropout, (double)c->head_dropout);
    }
}

/* As prediction files have it. */
static void show_digest(const Setup *s)
{
    static const Seeds none;
    char digest[65];
    json_t *hparams = recipe_json(&s->recipe, &none);
    recipe_sha256(digest, hparams);
    json_decref(hparams);
    fprintf(stderr, "  recipe_sha256 %s\n", digest);
}

static void show_plan(Setup *s, int runs)
{
    const Model *m = &s->model;
    ModelCounts counts = model_counts(m);
    double mib = 1.0 / (1 << 20), trained = 4.0 * (double)counts.trained,
           weights = trained + (double)s->frozen_bytes, moments = (double)s->state_bytes - trained,
           copy = (double)s->copy_bytes;
    fprintf(stderr, "task      %s (%s): %d training and %d dev %s%s", s->task->name,
            s->task->benchmark, s->train.count, s->dev.count,
            s->task->kind == KIND_LANGUAGE ? "windows" : "examples",
            s->builtin ? ", built-in sample" : "");
    if (s->half.count) {
        fprintf(stderr, "; the other half of dev, %d, selects", s->half.count);
    }
    fputc('\n', stderr);
    for (int i = 0; i < s->further_count; i++) {
        const Dataset *d = &s->further[i];
        fprintf(stderr, "%s %s %s, %d examples%s", i ? ";" : "further  ", d->task->name, d->split,
                d->count, d->hidden ? " without labels" : "");
    }
    fputs(s->further_count ? "\n" : "", stderr);
    if (s->task->form == FORM_OWN) {
        char *columns = own_describe(&s->own);
        fprintf(stderr, "columns   %s\n", columns);
        free(columns);
    }
    fprintf(stderr, "model     %s: %.2f M parameters, %d layers, width %d\n", s->model_name,
            (double)counts.all * 1e-6, m->config.L, m->config.C);
    if (m->config.spans) {
        fprintf(stderr, "head      reads the pooled token and %d spans\n", m->config.spans);
    }
    if (m->lora.targets) {
        fprintf(stderr,
                "adapters  %d pairs of rank %d: %zu parameters, and %zu of the head; scale %g, "
                "dropout %g\n",
                counts.pairs, m->lora.r, counts.adapters, counts.head, lora_scale(&m->lora),
                (double)m->lora.dropout);
    }
    show_recipe(s);
    fprintf(stderr, "work      %d run%s of %d step%s, %.3f M tokens each; ", runs,
            runs > 1 ? "s" : "", s->steps, s->steps == 1 ? "" : "s", (double)s->tokens * 1e-6);
    show_estimate(s, runs);
    fprintf(
        stderr,
        "memory    %.1f MiB: weights %.1f, gradients and moments %.1f, activations %.1f, scratch "
        "%.1f, copy for checkpoints %.1f%s\n",
        (weights + moments + copy + (double)s->work.acts_bytes + (double)s->work.scratch_bytes) *
            mib,
        weights * mib, moments * mib, (double)s->work.acts_bytes * mib,
        (double)s->work.scratch_bytes * mib, copy * mib,
        m->lora.targets && !s->backend.device->start ? "; and the mapped model" : "");
    if (s->steps && !s->copy_bytes) {
        fputs("          too little for a copy: the run waits while a checkpoint is written\n",
              stderr);
    }
    int plain = !strcmp(s->backend.dtype, "float32");
    fprintf(stderr, "machine   %s, %s kernels%s%s%s%s%s%s\n", s->backend.machine,
            s->backend.ops.build, plain ? "" : ", products ", plain ? "" : s->backend.dtype,
            *s->backend.variants ? ", variants " : "", s->backend.variants,
            s->backend.library ? " by " : "", s->backend.library ? s->backend.library : "");
    int cut = 0; /* of the further sets */
    for (int i = 0; i < s->further_count; i++) {
        cut += s->further_ids[i].cut;
    }
    if (s->train_ids.cut + s->dev_ids.cut + cut) {
        char further[32] = "";
        if (cut) {
            snprintf(further, sizeof further, " and %d further", cut);
        }
        fprintf(stderr, "cut       %d training and %d dev%s sequences are longer than %d tokens\n",
                s->train_ids.cut, s->dev_ids.cut, further, s->recipe.max_len);
    }
}

static void show_time(double seconds)
{
    size_t peak = memory_peak();
    printf("time: %.1f s, peak memory ", seconds);
    if (peak) {
        printf("%.0f MiB\n", (double)peak / (1 << 20));
    } else {
        printf("unknown\n");
    }
}

/* Options that change nothing in this run, though they might in others. */
static void show_idle_options(const Setup *s)
{
    const Options *o = s->options;
    const Config *c = &s->model.config;
    int dropout = c->dropout > 0 || c->attention_dropout > 0 || c->head_dropout > 0 ||
                  (s->model.lora.targets && s->model.lora.dropout > 0);
    if (o->seed_dropout && (!s->steps || !dropout)) {
        fprintf(stderr, "NOTE: --seed-dropout changes nothing: %s.\n",
                s->steps ? "every dropout probability is 0" : "nothing is trained");
    }
    if (o->seed_data && !s->steps) {
        fputs("NOTE: --seed-data changes nothing: nothing is trained.\n", stderr);
    }
    if (option_given(o, "epochs") && s->recipe.max_steps) {
        fprintf(stderr, "NOTE: --epochs %s changes nothing: --max-steps decides.\n", o->epochs);
    }
    if (s->recipe.select && setup_evaluations(s) == 1) {
        fprintf(stderr, "NOTE: --select %s %s: there is one evaluation, the last.\n", o->select,
                s->half.count ? "selects nothing" : "changes nothing");
    }
    if (s->recipe.patience && s->recipe.patience + 1 >= setup_evaluations(s)) {
        fprintf(stderr, "NOTE: --patience %d changes nothing: the run has %d evaluation%s.\n",
                s->recipe.patience, setup_evaluations(s), setup_evaluations(s) == 1 ? "" : "s");
    }
    if (option_given(o, "head_dropout") && c->architecture == ARCH_LLAMA) {
        fputs("NOTE: --head-dropout changes nothing: the head of a decoder has none.\n", stderr);
    }
    if (o->template && c->architecture != ARCH_LLAMA) {
        fputs("NOTE: --template changes nothing: the model is an encoder.\n", stderr);
    }
    if (option_given(o, "max_len") && option_count(o->max_len) > s->recipe.max_len) {
        fprintf(stderr, "NOTE: --max-len %s: the model has positions for %d tokens.\n", o->max_len,
                s->recipe.max_len);
    }
}

/* A further set's metric. */
static void show_further(const Setup *s, const Dataset *dataset, const Written *file)
{
    printf("%s %s: ", dataset->task->name, dataset->split);
    if (dataset->hidden) {
        printf("the labels are hidden");
    } else {
        printf("%s %.4f (loss %.4f)", setup_metric(s, dataset), rounded(file->metric, 4),
               file->loss);
    }
    if (!isnan(file->parity)) {
        printf("; gender parity %.4f", file->parity);
    }
    putchar('\n');
}

/* Metric, majority, time, files, next command. */
static void show_outcome(const Setup *s, const Seeds *seeds, const Outcome *o)
{
    if (o->stopped) {
        printf("seed %llu: stopped behind step %d; no predictions were written\n",
               (unsigned long long)seeds->seed, o->stopped);
        show_time(o->seconds);
        fflush(stdout);
        return;
    }
    printf("seed %llu: dev %s %.4f (loss %.4f)\n", (unsigned long long)seeds->seed,
           setup_metric(s, &s->dev), rounded(o->metric, 4), o->dev_loss);
    if (s->task->kind == KIND_REGRESSION) {
        printf("majority: does not apply%s\n",
               o->collapsed ? "; WARNING: the run collapsed to a constant" : "");
    } else if (s->task->kind != KIND_LANGUAGE) {
        printf("majority rate: %.4f%s\n", o->majority,
               o->collapsed ? "; WARNING: the run collapsed to a single class" : "");
    }
    if (s->task->form == FORM_MULTIRC && !isnan(o->files[0].f1a)) {
        printf("answers: f1a %.4f; questions: exact match %.4f\n", o->files[0].f1a, o->files[0].em);
    }
    if (s->half.count && s->steps) {
        char *place = output_place(s, o->step, o->epoch);
        printf("half: the other half of dev chose %s, with %s %.4f\n", place,
               setup_metric(s, &s->dev), rounded(o->selection, 4));
        free(place);
    }
    if (o->early) {
        int n = s->recipe.patience;
        printf("ended early: behind step %d of %d, the last %d evaluation%s not better "
               "(--patience)\n",
               o->early, s->steps, n, n == 1 ? " was" : "s were");
    }
    for (int i = 0; i < s->further_count; i++) {
        show_further(s, &s->further[i], &o->files[1 + i]);
    }
    show_time(o->seconds);
    for (int i = 0; i <= s->further_count; i++) {
        const Written *file = &o->files[i];
        if (file->kept) {
            printf("kept: the earlier file, of other bytes, is now %s\n", file->kept);
        }
        if (file->path) {
            printf("wrote: %s%s\n", file->path, file->same ? " (same as before)" : "");
        }
    }
    if (o->files[0].path) {
        char *folder = shell_quote(s->options->preds);
        printf("next: ./consistency %s%s/*.bin\n", *folder == '-' ? "./" : "", folder);
        free(folder);
    }
    fflush(stdout);
}

/* Where a run saves its model, or NULL; free it. */
static char *save_folder(const Options *o, uint64_t seed, int runs)
{
    return !o->save    ? NULL
           : runs == 1 ? string_copy(o->save)
                       : string_format("%s/s%llu", o->save, (unsigned long long)seed);
}

static int run_all(Setup *setup, const Options *o, const uint64_t *list, int count, Error *error)
{
    uint64_t *data_seeds = memory_alloc((size_t)count, sizeof *data_seeds);
    for (int i = 0; i < count; i++) {
        data_seeds[i] = seeds_from(o, list[i]).data;
    }
    int planned = setup_plan(setup, data_seeds, count, error);
    free(data_seeds);
    if (planned) {
        return planned;
    }
    tell_stand_ins(setup->builtin, !setup->model_folder);
    show_notes(&setup->train);
    show_notes(&setup->dev);
    for (int i = 0; i < setup->further_count; i++) {
        show_notes(&setup->further[i]);
    }
    if (!o->quiet) {
        show_plan(setup, count);
        show_idle_options(setup);
    }
    if (o->verbose) {
        options_print(o, stderr);
        show_digest(setup);
    }
    if (o->dry_run) {
        State state;
        state_init(&state, &setup->model, 0, 0);
        int code = setup_read_weights(setup, &state, seeds_from(o, *list).init, error);
        state_free(&state, &setup->model);
        if (code) {
            return code;
        }
    }
    for (int i = 0; i < count; i++) { /* of all runs, before the first one takes its time */
        Seeds seeds = seeds_from(o, list[i]);
        char *save = save_folder(o, list[i], count);
        int code = setup_check_output(setup, &seeds, save, error);
        free(save);
        if (code) {
            return code;
        }
    }
    if (o->dry_run) {
        if (!o->quiet) {
            fputs("dry run: data, model and folders are in order; nothing was written\n", stderr);
        }
        return 0;
    }
    Seeds *all = memory_alloc((size_t)count, sizeof *all);
    for (int i = 0; i < count; i++) {
        all[i] = seeds_from(o, list[i]);
    }
    Profile profile;
    if (o->profile && profile_open(&profile, &setup->backend, o->profile, error)) {
        free(all);
        return error->code;
    }
    int *finished = memory_calloc((size_t)count, sizeof *finished),
        code = setup_look_ahead(setup, all, count, finished, error);
    for (int i = 0; i < count && !code; i++) {
        Seeds seeds = all[i];
        Outcome outcome;
        if (finished[i]) {
            char *name = output_name(setup, &setup->dev, &seeds);
            printf("seed %llu: finished before: %s.bin\n", (unsigned long long)seeds.seed, name);
            free(name);
            continue;
        }
        char *save = save_folder(o, list[i], count);
        code = setup_run(setup, &seeds, save, &outcome, error);
        free(save);
        if (!code) {
            show_outcome(setup, &seeds, &outcome);
            outcome_free(&outcome);
        }
        if (!code && process_stopping() && i + 1 < count) {
            code = error_set(error, EXIT_STOPPED, "stopped by a signal behind run %d of %d", i + 1,
                             count);
        }
    }
    free(finished);
    free(all);
    return o->profile ? profile_close(&profile, code, o->quiet ? NULL : stderr, error) : code;
}

int main(int argc, char **argv)
{
    Options options;
    Error error = {0};
    process_start("train_gpt");
    process_computes();
    if (argc > 1 && !strcmp(argv[1], "study")) {
        return study_main(argc - 1, argv + 1, &error) ? fail(&error) : 0;
    }
    if (options_parse(&options, argc, argv, &error)) {
        return fail(&error);
    }
    if (options.help) {
        options_help(stdout);
        return stdout_close(&error) ? fail(&error) : 0;
    }
    if (options.list_recipes) {
        recipes_list(stdout);
        return stdout_close(&error) ? fail(&error) : 0;
    }
    if (options.version) {
        printf("train_gpt of seedbed %s, commit %s\n", TOOL_VERSION, git_commit());
        return stdout_close(&error) ? fail(&error) : 0;
    }
    uint64_t seeds[MAX_SEEDS] = {option_seed(options.seed)};
    int count = options.seeds ? options_seeds(seeds, options.seeds, &error) : 1;
    Setup setup;
    if (count < 0 || setup_open(&setup, &options, &error)) {
        return fail(&error);
    }
    int code = run_all(&setup, &options, seeds, count, &error);
    setup_close(&setup);
    if (code == EXIT_STOPPED) {
        char *command = command_of(&options);
        fprintf(stderr, "train_gpt: %s; go on with: %s\n", error.text, command);
        free(command);
        return code;
    }
    code = code ? code : stdout_close(&error);
    return code ? fail(&error) : 0;
}
