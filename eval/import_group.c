/* Runs of one group that were read by import_read get one list of classes: that of all their gold
 * labels and predictions, for a class that one run alone predicts is a class of all. */
#include "import.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
static Texts union_of(Preds *const *runs, size_t S, const char *key)
{
    Texts texts = {0};
    for (size_t s = 0; s < S; s++) {
        const json_t *own = texts_of(runs[s], key);
        for (size_t i = 0; i < json_array_size(own); i++) {
            (void)texts_add(&texts, text_at(own, i), 0);
        }
    }
    return texts;
}

static int *places_of(const Texts *texts, const Classes *classes)
{
    int *place = memory_alloc(texts->count + 1, sizeof *place);
    for (size_t i = 0; i < texts->count; i++) {
        place[i] = classes_place(classes, texts->text[i]);
    }
    return place;
}

/* Numbers of a run's own texts become numbers of classes; place [all->count]. */
static void renumber(int *values, size_t N, const json_t *own, Texts *all, const int *place)
{
    size_t n = json_array_size(own);
    int *own_place = memory_alloc(n + 1, sizeof *own_place);
    for (size_t i = 0; i < n; i++) {
        own_place[i] = place[texts_add(all, text_at(own, i), 0)];
    }
    for (size_t i = 0; i < N; i++) {
        values[i] = values[i] < 0 ? -1 : own_place[values[i]];
    }
    free(own_place);
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
        string_append(&text, "%s%s%s%s", i ? ", " : "", quote, text_at(list, i), quote);
    }
    if (n > SHOWN) {
        string_append(&text, " and %zu more", n - SHOWN);
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
    const char *other = NULL, *cased = NULL; /* a class, and one that differs in case only */
    for (size_t k = 0; k < K; k++) {
        if (predicted[k] && labelled && (k >= classes->known || (!classes->declared && !gold[k]))) {
            json_array_append(outside, json_array_get(classes->names, k));
            predictions += predicted[k];
            for (size_t c = 0; c < classes->known && !cased; c++) {
                other = text_at(classes->names, k);
                cased = c != k && !strcasecmp(text_at(classes->names, c), other)
                            ? text_at(classes->names, c)
                            : NULL;
            }
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
    if (cased) {
        warn(warnings, string_format("'%s' and '%s' are two classes: names are matched as text",
                                     cased, other));
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

static int check_metric(const Classes *classes, const char *metric, const char *shown,
                        const char *path, Error *error)
{
    size_t K = json_array_size(classes->names);
    return strcmp(metric, "f1") || classes->known == 2 || K == 2
               ? 0
               : error_set(error, EXIT_USAGE,
                           "%s: --metric f1 is of two classes, but there %s %zu: %s; choose "
                           "macro-f1, or name two with --labels",
                           path, classes->known == 1 ? "is" : "are", classes->known, shown);
}

/* Gives the runs the classes of all their texts. */
static int name_runs(Preds **runs, size_t S, const Imports *imports, json_t *warnings, Error *error)
{
    const char **paths = memory_alloc(S + 1, sizeof *paths);
    for (size_t s = 0; s < S; s++) {
        paths[s] = runs[s]->path;
    }
    ClassHints hints = imports_hints(imports, paths, S);
    Texts gold = union_of(runs, S, "gold"), predicted = union_of(runs, S, "predicted");
    json_t *gold_list = texts_list(&gold), *predicted_list = texts_list(&predicted);
    Classes classes = {0};
    int code = classes_make(&classes, gold_list, predicted_list, &hints, paths[0], error);
    size_t K = json_array_size(classes.names), lost = 0;
    char *names = code ? NULL : json_dumps(classes.names, JSON_COMPACT);
    char *shown = sentence(classes.names, "");
    char *from = string_format("%s (%s)", shown, code ? "" : classes.source);
    code = code ? code : check_metric(&classes, imports->options.metric, shown, paths[0], error);
    int *gold_place = places_of(&gold, &classes), *place = places_of(&predicted, &classes);
    for (size_t s = 0; s < S && !code; s++) {
        Preds *run = runs[s];
        run->K = (int)(K ? K : 1);
        renumber(run->label, run->N, texts_of(run, "gold"), &gold, gold_place);
        renumber(run->pred, run->N, texts_of(run, "predicted"), &predicted, place);
        lost += (size_t)reorder_logits(run, &classes);
        json_object_set_new(run->metadata, "label_names", json_text(K ? names : "[\"\"]"));
        json_object_set_new(run->metadata, "classes_from", json_text(from));
    }
    if (!code) {
        warn_of_classes(warnings, runs, S, &classes);
    }
    if (lost) {
        warn(warnings, string_format("%zu run%s no scores of some class: no statistics of logits",
                                     lost, lost == 1 ? " has" : "s have"));
    }
    free(gold_place);
    free(place);
    free(from);
    free(shown);
    free(names);
    json_decref(gold_list);
    json_decref(predicted_list);
    texts_free(&gold);
    texts_free(&predicted);
    free(hints.paths);
    free(paths);
    classes_free(&classes);
    return code;
}

int imports_name_classes(const Imports *imports, Preds **runs, size_t S, Error *error)
{
    Preds **own = memory_alloc(S + 1, sizeof *own);
    size_t count = 0;
    for (size_t s = 0; s < S; s++) {
        if (runs[s]->import) {
            own[count++] = runs[s];
        }
    }
    json_t *warnings = json_array();
    warn_of_columns(warnings, own, count);
    int code = count && !own[0]->regression ? name_runs(own, count, imports, warnings, error) : 0;
    for (size_t s = 0; s < count; s++) {
        json_object_set(own[s]->import, "warnings", warnings);
    }
    json_decref(warnings);
    free(own);
    return code;
}
