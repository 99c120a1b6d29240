/* Runs of one group that were read by import_read get one list of classes: that of all their gold
 * labels and predictions, for a class that one run alone predicts is a class of all. */
#include "import.h"

#include <stdlib.h>
#include <string.h>

ClassHints imports_hints(const Imports *imports, const char *const *paths, size_t count)
{
    ClassHints hints = {.names = imports->labels ? imports->labels : imports->gold.names,
                        .source = imports->labels ? "--labels" : imports->options.gold};
    hints.paths = memory_alloc(count + 1, sizeof *hints.paths);
    for (size_t i = 0; i < count; i++) {
        hints.paths[hints.count++] = paths[i];
    }
    if (imports->options.gold) {
        hints.paths[hints.count++] = imports->options.gold;
    }
    return hints;
}

static const json_t *texts_of(const Preds *run, const char *key)
{
    return json_object_get(run->import, key);
}

static const char *text_at(const json_t *list, size_t i)
{
    return json_string_value(json_array_get(list, i));
}

/* All texts of this key, each once. */
static json_t *union_of(Preds *const *runs, size_t S, const char *key)
{
    Texts texts = {0};
    for (size_t s = 0; s < S; s++) {
        const json_t *own = texts_of(runs[s], key);
        for (size_t i = 0; i < json_array_size(own); i++) {
            (void)texts_add(&texts, text_at(own, i), 0);
        }
    }
    json_t *list = texts_list(&texts);
    texts_free(&texts);
    return list;
}

/* Numbers of texts become numbers of classes. */
static void renumber(int *values, size_t N, const json_t *texts, const Classes *classes)
{
    size_t n = json_array_size(texts);
    int *place = memory_alloc(n + 1, sizeof *place);
    for (size_t i = 0; i < n; i++) {
        place[i] = classes_place(classes, text_at(texts, i));
    }
    for (size_t i = 0; i < N; i++) {
        values[i] = values[i] < 0 ? -1 : place[values[i]];
    }
    free(place);
}

/* The logits in the order of the classes; without those of all classes there are none. Whether some
 * were lost. */
static int reorder_logits(Preds *run, const Classes *classes)
{
    const json_t *scored = texts_of(run, "scored");
    size_t K = json_array_size(classes->names), columns = json_array_size(scored), filled = 0;
    if (!run->logits) {
        return 0;
    }
    float *logits = memory_alloc(run->N * K, sizeof *logits);
    for (size_t k = 0; k < columns; k++) {
        int class = classes_place(classes, text_at(scored, k));
        for (size_t i = 0; i < run->N && class >= 0; i++) {
            logits[i * K + (size_t) class] = run->logits[i * columns + k];
        }
        filled += class >= 0;
    }
    free(run->logits);
    run->logits = logits;
    if (filled < K) {
        free(run->logits);
        run->logits = NULL;
    }
    return filled < K;
}

/* At most this many names of a list in a sentence. */
enum { SHOWN = 8 };

static char *sentence(const json_t *list, const char *quote)
{
    char *text = string_copy("");
    size_t n = json_array_size(list);
    for (size_t i = 0; i < n && i < SHOWN; i++) {
        char *longer = string_format("%s%s%s%s%s", text, i ? ", " : "", quote, text_at(list, i),
                                     quote);
        free(text);
        text = longer;
    }
    if (n > SHOWN) {
        char *longer = string_format("%s and %zu more", text, n - SHOWN);
        free(text);
        text = longer;
    }
    return text;
}

static void warn(json_t *warnings, char *text)
{
    json_array_append_new(warnings, json_text(text));
    free(text);
}

static void warn_of_columns(json_t *warnings, Preds *const *runs, size_t S)
{
    json_t *ignored = json_array();
    for (size_t s = 0; s < S; s++) {
        const json_t *own = texts_of(runs[s], "ignored");
        for (size_t i = 0; i < json_array_size(own); i++) {
            if (class_find(ignored, text_at(own, i)) < 0) {
                json_array_append(ignored, json_array_get(own, i));
            }
        }
    }
    if (json_array_size(ignored)) {
        char *names = sentence(ignored, "'");
        warn(warnings, string_format("ignored, being neither named as a class nor in --scores: "
                                     "column%s %s",
                                     json_array_size(ignored) == 1 ? "" : "s", names));
        free(names);
    }
    json_decref(ignored);
}

/* Predicted classes that the gold labels or the list of classes do not have; hidden gold labels. */
static void warn_of_classes(json_t *warnings, Preds *const *runs, size_t S, const Classes *classes)
{
    size_t K = json_array_size(classes->names), labelled = 0, predictions = 0, all = 0;
    size_t *gold = memory_calloc(K + 1, sizeof *gold),
           *predicted = memory_calloc(K + 1, sizeof *predicted);
    for (size_t s = 0; s < S; s++) {
        for (size_t i = 0; i < runs[s]->N; i++) {
            labelled += runs[s]->label[i] >= 0;
            gold[runs[s]->label[i] < 0 ? K : (size_t)runs[s]->label[i]]++;
            predicted[runs[s]->pred[i] < 0 ? K : (size_t)runs[s]->pred[i]]++;
            all++;
        }
    }
    json_t *outside = json_array();
    for (size_t k = 0; k < K; k++) {
        if (predicted[k] && labelled && (k >= classes->known || (!classes->declared && !gold[k]))) {
            json_array_append(outside, json_array_get(classes->names, k));
            predictions += predicted[k];
        }
    }
    if (json_array_size(outside)) {
        char *names = sentence(outside, "'");
        const char *by = classes->declared ? "the list of classes" : "the gold labels";
        warn(warnings,
             json_array_size(outside) == 1
                 ? string_format("%zu prediction%s of %s, a class outside of %s: one of its own, "
                                 "always wrong",
                                 predictions, predictions == 1 ? "" : "s", names, by)
                 : string_format("%zu predictions of %s, classes outside of %s: each one of its "
                                 "own, always wrong",
                                 predictions, names, by));
        free(names);
    }
    if (gold[K]) {
        warn(warnings, string_format("%.4g %% of the gold labels are hidden (empty or -1): no part "
                                     "of the metric, never right in CCON",
                                     100.0 * (double)gold[K] / (double)all));
    }
    json_decref(outside);
    free(gold);
    free(predicted);
}

static int name_runs(Preds **runs, size_t S, const Classes *classes, const char *metric,
                     json_t *warnings, Error *error)
{
    size_t K = json_array_size(classes->names), lost = 0;
    char *names = json_dumps(classes->names, JSON_COMPACT), *shown = sentence(classes->names, "");
    char *from = string_format("%s (%s)", shown, classes->source);
    int code = 0;
    if (!strcmp(metric, "f1") && classes->known != 2 && K != 2) {
        code = error_set(
            error, EXIT_USAGE,
            "%s: --metric f1 is of two classes, but there %s %zu: %s; choose macro-f1, "
            "or name two with --labels",
            runs[0]->path, classes->known == 1 ? "is" : "are", classes->known, shown);
    }
    for (size_t s = 0; s < S && !code; s++) {
        Preds *run = runs[s];
        run->K = (int)(K ? K : 1);
        renumber(run->label, run->N, texts_of(run, "gold"), classes);
        renumber(run->pred, run->N, texts_of(run, "predicted"), classes);
        lost += (size_t)reorder_logits(run, classes);
        json_object_set_new(run->metadata, "label_names", json_text(K ? names : "[\"\"]"));
        json_object_set_new(run->metadata, "classes_from", json_text(from));
    }
    if (!code) {
        warn_of_classes(warnings, runs, S, classes);
    }
    if (lost) {
        warn(warnings, string_format("%zu run%s no scores of some class: no statistics of logits",
                                     lost, lost == 1 ? " has" : "s have"));
    }
    free(from);
    free(shown);
    free(names);
    return code;
}

int imports_name_classes(const Imports *imports, Preds **runs, size_t S, Error *error)
{
    int code = 0;
    if (!runs[0]->import) {
        return 0;
    }
    json_t *warnings = json_array();
    warn_of_columns(warnings, runs, S);
    if (!runs[0]->regression) {
        const char **paths = memory_alloc(S + 1, sizeof *paths);
        for (size_t s = 0; s < S; s++) {
            paths[s] = runs[s]->path;
        }
        ClassHints hints = imports_hints(imports, paths, S);
        json_t *gold = union_of(runs, S, "gold"), *predicted = union_of(runs, S, "predicted");
        Classes classes;
        code = classes_make(&classes, gold, predicted, &hints, runs[0]->path, error);
        if (!code) {
            code = name_runs(runs, S, &classes, imports->options.metric, warnings, error);
            classes_free(&classes);
        }
        json_decref(gold);
        json_decref(predicted);
        free(hints.paths);
        free(paths);
    }
    for (size_t s = 0; s < S; s++) {
        json_object_set(runs[s]->import, "warnings", warnings);
    }
    json_decref(warnings);
    return code;
}
