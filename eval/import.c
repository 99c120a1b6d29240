#include "import.h"
#include "metrics.h"
#include "scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

typedef struct Columns {
    Roles role;
    ScoreColumn *others; /* [count] of a file with a header */
    int count;
} Columns;

int imports_open(Imports *imports, const ImportOptions *options, char *const *files, size_t count,
                 Error *error)
{
    char **paths = memory_alloc(count + 1, sizeof *paths);
    size_t n = 0;
    *imports = (Imports){.options = *options};
    imports->seed_of = memory_alloc(count + 1, sizeof *imports->seed_of);
    for (size_t i = 0; i < count; i++) {
        imports->seed_of[i] = import_is(files[i]) ? n : SIZE_MAX;
        if (import_is(files[i])) {
            paths[n++] = files[i];
        }
    }
    int code = options->gold ? gold_read(&imports->gold, options->gold, error) : 0;
    if (!code && options->labels) {
        code = class_list(&imports->labels, "labels", options->labels, error);
    }
    if (!code && options->scores) {
        code = class_list(&imports->scores, "scores", options->scores, error);
    }
    if (!code) {
        code = seeds_find(&imports->seeds, paths, n, options->seed_from, error);
    }
    free(paths);
    if (code) {
        imports_close(imports);
    }
    return code;
}

void imports_close(Imports *imports)
{
    gold_free(&imports->gold);
    seeds_free(&imports->seeds);
    json_decref(imports->labels);
    json_decref(imports->scores);
    free(imports->seed_of);
    *imports = (Imports){0};
}

static void set_text(json_t *o, const char *key, const char *value)
{
    json_object_set_new(o, key, json_text(value));
}

static void put_metadata(Preds *preds, const Imports *imports, size_t at)
{
    const char *model = imports->seeds.model[at];
    const char *slash = strrchr(model, '/'), *name = slash ? slash + 1 : model;
    char *task = !strncmp(name, "predict_results_", 16)
                     ? string_format("%.*s", (int)strcspn(name + 16, "."), name + 16)
                     : string_format("%.*s", (int)strcspn(name, "."), name);
    char sha[65];
    json_t *none = json_object();
    recipe_sha256(sha, none);
    json_decref(none);
    preds->metadata = json_object();
    for (int i = 0; strcmp(seed_keys[i], "seed_order"); i++) {
        set_text(preds->metadata, seed_keys[i], imports->seeds.seed[at]);
    }
    set_text(preds->metadata, "seeds_from", imports->seeds.source);
    set_text(preds->metadata, "benchmark", "imported");
    set_text(preds->metadata, "task", *task ? task : "imported");
    set_text(preds->metadata, "split", "validation");
    set_text(preds->metadata, "model", model);
    set_text(preds->metadata, "metric", imports->options.metric);
    set_text(preds->metadata, "label_names", "[\"score\"]");
    set_text(preds->metadata, "hparams", "{}");
    set_text(preds->metadata, "recipe_sha256", sha);
    set_text(preds->metadata, "dataset_sha256", "");
    set_text(preds->metadata, "status", "ok");
    if (preds->regression) {
        set_text(preds->metadata, "problem", "regression");
    }
    free(task);
}

typedef struct Rows {
    size_t N, room;
    char **id;
    uint64_t *hash;
    int *label, *pred; /* of the texts; -1 for an empty one */
    size_t *line;
    Texts labels, preds;
} Rows;

static void rows_free(Rows *rows)
{
    for (size_t i = 0; i < rows->N; i++) {
        free(rows->id[i]);
    }
    free(rows->id);
    free(rows->hash);
    free(rows->label);
    free(rows->pred);
    free(rows->line);
    texts_free(&rows->labels);
    texts_free(&rows->preds);
}

static void columns_free(Columns *columns)
{
    for (int c = 0; c < columns->count; c++) {
        free(columns->others[c].name);
        free(columns->others[c].values);
    }
    free(columns->others);
}

/* What the first line says. Two fields without such names are data: index, prediction; or, if both
 * are classes, a header of scores. */
static int read_header(Columns *columns, const LineFile *file, const Imports *imports, Error *error)
{
    if (roles_find(&columns->role, file, error)) {
        return error->code;
    }
    int numbers = 0, classes = 0;
    for (int c = 0; c < file->count; c++) {
        Texts texts = {0};
        if (texts_add(&texts, file->fields[c], 0) == 0) {
            const char *text = texts.text[0];
            int number = class_is_number(text), known = class_find(imports->labels, text) >= 0;
            for (size_t k = 0; k < imports->gold.texts.count && !known; k++) {
                known = !strcmp(imports->gold.texts.text[k], text);
            }
            numbers += number;
            classes += known && !number;
        }
        texts_free(&texts);
    }
    if (!columns->role.named && !imports->scores && file->count == 2 && classes < 2) {
        columns->role = (Roles){.id = 0, .label = -1, .pred = 1, .width = 2};
        return 0;
    }
    if (!columns->role.named && numbers == file->count) {
        return REFUSE("%s:%zu: a first line without names; write index TAB prediction, or a table "
                      "with the columns id, label, prediction",
                      file->path, file->line);
    }
    columns->role.named = 1;
    columns->others = memory_calloc((size_t)file->count + 1, sizeof *columns->others);
    for (int c = 0; c < file->count; c++) {
        if (c != columns->role.id && c != columns->role.label && c != columns->role.pred) {
            size_t size;
            const char *name = field_text(&size, file->fields[c]);
            columns->others[columns->count].name = string_format("%.*s", (int)size, name);
            columns->others[columns->count++].at = c;
        }
    }
    return 0;
}

static void grow(Rows *rows, Columns *columns)
{
    rows->room = rows->room ? 2 * rows->room : 256;
    rows->id = memory_realloc(rows->id, rows->room, sizeof *rows->id);
    rows->hash = memory_realloc(rows->hash, rows->room, sizeof *rows->hash);
    rows->label = memory_realloc(rows->label, rows->room, sizeof *rows->label);
    rows->pred = memory_realloc(rows->pred, rows->room, sizeof *rows->pred);
    rows->line = memory_realloc(rows->line, rows->room, sizeof *rows->line);
    for (int c = 0; c < columns->count; c++) {
        if (!columns->others[c].bad_line) {
            columns->others[c].values = memory_realloc(columns->others[c].values, rows->room,
                                                       sizeof *columns->others[c].values);
        }
    }
}

static int add_row(Rows *rows, Columns *columns, const LineFile *file, Error *error)
{
    if (lines_check(file, columns->role.width, error)) {
        return error->code;
    }
    if (rows->N == rows->room) {
        grow(rows, columns);
    }
    for (int c = 0; c < columns->count; c++) {
        ScoreColumn *column = &columns->others[c];
        size_t size;
        char *end;
        if (column->bad_line) {
            continue;
        }
        const char *text = field_text(&size, file->fields[column->at]);
        column->values[rows->N] = size ? strtod(text, &end) : NAN; /* empty is pandas' NaN */
        if (size && end != text + size) {
            column->bad_line = file->line;
        }
    }
    size_t i = rows->N;
    rows->id[i] = columns->role.id < 0 ? string_format("validation-%zu", i)
                                       : example_id(file, file->fields[columns->role.id], error);
    if (!rows->id[i]) {
        return error->code;
    }
    rows->N++;
    rows->hash[i] = XXH64(rows->id[i], strlen(rows->id[i]), 0);
    rows->label[i] = columns->role.label < 0
                         ? -1
                         : texts_add(&rows->labels, file->fields[columns->role.label], file->line);
    rows->pred[i] = columns->role.pred < 0
                        ? -1
                        : texts_add(&rows->preds, file->fields[columns->role.pred], file->line);
    rows->line[i] = file->line;
    return 0;
}

static int is_hidden(const char *label)
{
    return !*label || !strcmp(label, "-1") || class_is_none(label);
}

/* Whether two labels are two names, or two numbers, of which our own files have but floats. */
static int differ(const char *a, const char *b)
{
    int number = class_is_number(a);
    return number == class_is_number(b) &&
           (number ? (float)strtod(a, NULL) != (float)strtod(b, NULL) : strcmp(a, b) != 0);
}

/* The labels of --gold. A row's own label counts where there is none; both must not differ. */
static int take_gold(Rows *rows, const Columns *columns, const Imports *imports, const char *path,
                     Error *error)
{
    const Gold *gold = &imports->gold;
    int own = columns->role.label >= 0, in_order = gold->N == rows->N, code = 0;
    Texts labels = {0};
    if (!imports->options.gold) {
        return own ? 0
                   : error_set(error, EXIT_USAGE,
                               "%s: no column of labels ('label', 'gold', 'target' or 'y_true'); "
                               "name a file that has them with --gold",
                               path);
    }
    for (size_t i = 0; i < rows->N && in_order; i++) {
        in_order = gold->hash[i] == rows->hash[i];
    }
    if (!own && columns->role.id < 0 && !in_order) {
        return REFUSE("%s: no column of ids, and the %zu rows are not numbered as the %zu labels "
                      "of %s; add a column id",
                      path, rows->N, gold->N, imports->options.gold);
    }
    for (size_t i = 0; i < rows->N && !code; i++) {
        int64_t found = hash_index_find(&gold->index, rows->hash[i]);
        const char *label = rows->label[i] < 0 ? "" : rows->labels.text[rows->label[i]],
                   *text = found < 0 || gold->label[found] < 0
                               ? ""
                               : gold->texts.text[gold->label[found]];
        if (found < 0 && !own) {
            code = REFUSE("%s:%zu: example %s has no gold label", path, rows->line[i], rows->id[i]);
        } else if (!is_hidden(label) && !is_hidden(text) && differ(label, text)) {
            code = REFUSE("%s:%zu: the label '%s' of example %s is '%s' in %s; leave out one of "
                          "the two",
                          path, rows->line[i], label, rows->id[i], text, imports->options.gold);
        }
        int own_counts = !*text || (is_hidden(text) && !is_hidden(label));
        rows->label[i] = texts_add(&labels, own_counts ? label : text, rows->line[i]);
    }
    texts_free(&rows->labels);
    rows->labels = labels;
    return code;
}

static int check_twice(const Rows *rows, const char *path, Error *error)
{
    size_t twice;
    HashIndex index = hash_index_make(rows->hash, rows->N, &twice);
    hash_index_free(&index);
    return twice < rows->N
               ? REFUSE("%s:%zu: example %s stands twice", path, rows->line[twice], rows->id[twice])
               : 0;
}

/* The chosen scores as logits in the order of their columns, and the largest one as the prediction
 * of a row that has none. Rows that all are probabilities become their logarithms, so that a
 * softmax gives them back. */
static void fill_scores(Preds *preds, const Columns *columns, size_t K)
{
    const ScoreColumn **chosen = memory_calloc(K, sizeof *chosen);
    int probabilities = scores_are_probabilities(columns->others, columns->count, preds->N, 1);
    for (int c = 0; c < columns->count; c++) {
        if (columns->others[c].chosen) {
            chosen[columns->others[c].chosen - 1] = &columns->others[c];
        }
    }
    preds->logits = memory_alloc(preds->N * K, sizeof *preds->logits);
    for (size_t i = 0; i < preds->N; i++) {
        size_t best = 0;
        int odd = 0;
        for (size_t k = 0; k < K; k++) {
            double score = chosen[k]->values[i];
            odd = odd || isnan(score);
            best = score > chosen[best]->values[i] ? k : best;
            preds->logits[i * K + k] = probabilities ? logf(fmaxf((float)score, 1e-30f))
                                                     : (float)score;
        }
        if (columns->role.pred < 0) {
            preds->pred[i] = odd ? -1 : (int)best;
        }
    }
    char *from = string_copy("columns");
    for (size_t k = 0; k < K && k < 8; k++) {
        string_append(&from, "%s '%s'", k ? "," : "", chosen[k]->name);
    }
    if (K > 8) {
        string_append(&from, " and %zu more", K - 8);
    }
    string_append(&from, ", read as %s", probabilities ? "probabilities" : "logits");
    set_text(preds->metadata, "scores_from", from);
    free(from);
    free(chosen);
}

/* Hands the rows over; what pred and label number goes to preds->import. */
static int fill_classes(Preds *preds, Rows *rows, Columns *columns, const Imports *imports,
                        Error *error)
{
    const char *path = preds->path;
    ClassHints hints = imports_hints(imports, &path, 1);
    json_t *gold = texts_list(&rows->labels), *predicted = texts_list(&rows->preds), *scored = NULL;
    int code = columns->count || columns->role.pred < 0
                   ? scores_choose(&scored, columns->others, columns->count, rows->N, gold, &hints,
                                   imports->scores, columns->role.pred < 0, path, error)
                   : 0;
    free(hints.paths);
    preds->label = rows->label;
    preds->pred = rows->pred;
    rows->label = rows->pred = NULL;
    if (!code && scored) {
        fill_scores(preds, columns, json_array_size(scored));
        if (columns->role.pred < 0) {
            json_decref(predicted);
            predicted = json_incref(scored);
        }
    }
    preds->import = json_pack("{s:o, s:o}", "gold", gold, "predicted", predicted);
    if (scored) {
        json_object_set_new(preds->import, "scored", scored);
    }
    return code;
}

static int fill_values(Preds *preds, const Rows *rows, const Columns *columns, Error *error)
{
    preds->pred = memory_alloc(rows->N, sizeof *preds->pred);
    preds->label = memory_alloc(rows->N, sizeof *preds->label);
    preds->value = memory_alloc(rows->N, sizeof *preds->value);
    preds->target = memory_alloc(rows->N, sizeof *preds->target);
    preds->import = json_object();
    if (columns->role.pred < 0) {
        return REFUSE("%s: no column 'prediction'", preds->path);
    }
    for (size_t i = 0; i < rows->N; i++) {
        double value = NAN, target = NAN;
        preds->pred[i] = preds->label[i] = -1;
        if (rows->pred[i] < 0 || number_field(&value, rows->preds.text[rows->pred[i]]) ||
            rows->label[i] < 0 || number_field(&target, rows->labels.text[rows->label[i]]) ||
            !isfinite(target)) {
            return REFUSE("%s:%zu: not a predicted and a true number", preds->path, rows->line[i]);
        }
        preds->value[i] = (float)value;
        preds->target[i] = (float)target;
    }
    return 0;
}

static int read_rows(Rows *rows, Columns *columns, const Imports *imports, const char *path,
                     Error *error)
{
    LineFile file;
    int code = 0, first = 1;
    if (lines_open(&file, path, error)) {
        return error->code;
    }
    while (!code && lines_next(&file, &code, error)) {
        if (first) {
            first = 0;
            code = read_header(columns, &file, imports, error);
            if (code || columns->role.named) {
                continue;
            }
        }
        code = add_row(rows, columns, &file, error);
    }
    lines_close(&file);
    return !code && rows->N == 0 ? REFUSE("%s: no predictions", path) : code;
}

int import_read(Preds *preds, const Imports *imports, const char *path, size_t file, Error *error)
{
    const char *metric = imports->options.metric;
    Rows rows = {0};
    Columns columns = {0};
    *preds = (Preds){.path = string_copy(path)};
    preds->regression = !strcmp(metric, "pearson") || !strcmp(metric, "spearman") ||
                        !strcmp(metric, "mae");
    put_metadata(preds, imports, imports->seed_of[file]);
    int code = read_rows(&rows, &columns, imports, path, error);
    preds->N = rows.N;
    preds->K = 1;
    code = code ? code : take_gold(&rows, &columns, imports, path, error);
    if (!code && columns.role.label < 0 && imports->gold.regression && !preds->regression) {
        code = error_set(error, EXIT_USAGE,
                         "%s: a regression; choose --metric pearson, spearman or mae",
                         imports->options.gold);
    }
    code = code ? code : check_twice(&rows, path, error);
    if (!code) {
        code = preds->regression ? fill_values(preds, &rows, &columns, error)
                                 : fill_classes(preds, &rows, &columns, imports, error);
    }
    if (!code && metric_is_multirc(metric)) {
        int *question = memory_alloc(rows.N, sizeof *question);
        if (multirc_questions(question, rows.id, rows.N)) {
            code = REFUSE("%s: metric %s needs ids as MultiRC's, p0-q0-a0", path, metric);
        }
        free(question);
    }
    if (!code) {
        json_t *ignored = json_array();
        for (int c = 0; c < columns.count; c++) {
            if (!columns.others[c].chosen) {
                json_array_append_new(ignored, json_text(columns.others[c].name));
            }
        }
        json_object_set_new(preds->import, "ignored", ignored);
        preds->id = rows.id;
        preds->hash = rows.hash;
        rows.id = NULL;
        rows.hash = NULL;
        rows.N = 0;
    }
    rows_free(&rows);
    columns_free(&columns);
    if (code) {
        preds_free(preds);
    }
    return code;
}
