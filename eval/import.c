#include "import.h"
#include "lines.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define REFUSE(...) error_set(error, EXIT_BAD_DATA, __VA_ARGS__)

int import_is(const char *path)
{
    static const char *const ends[] = {".txt", ".tsv", ".csv"};
    size_t n = strlen(path);
    for (int i = 0; i < 3; i++) {
        if (n > 4 && !strcmp(path + n - 4, ends[i])) {
            return 1;
        }
    }
    return 0;
}

/* The canonical id of an index is that of our own files: validation-17. */
static char *id_of(const char *text)
{
    size_t n = strlen(text);
    return n && n < 19 && strspn(text, "0123456789") == n ? string_format("validation-%s", text)
                                                          : string_copy(text);
}

/* The first of the names that is a column, or -1. */
static int find_column(const LineFile *file, const char *const *names)
{
    int column = -1;
    for (; *names && column < 0; names++) {
        column = lines_column(file, *names);
    }
    return column;
}

static const char *const id_names[] = {"id", "index", "idx", "guid", NULL};
static const char *const label_names[] = {"label", "gold", "target", "y_true", NULL};
static const char *const pred_names[] = {"prediction", "pred", "predicted", "y_pred", NULL};

void gold_free(Gold *gold)
{
    for (size_t i = 0; i < gold->N; i++) {
        free(gold->id[i]);
        free(gold->label[i]);
    }
    free(gold->id);
    free(gold->label);
    *gold = (Gold){0};
}

static void gold_add(Gold *gold, char *id, char *label)
{
    if ((gold->N & (gold->N - 1)) == 0) { /* room doubles */
        size_t room = gold->N ? 2 * gold->N : 1;
        gold->id = memory_realloc(gold->id, room, sizeof *gold->id);
        gold->label = memory_realloc(gold->label, room, sizeof *gold->label);
    }
    gold->id[gold->N] = id;
    gold->label[gold->N++] = label;
}

static int gold_from_preds(Gold *gold, const char *path, Error *error)
{
    Preds preds;
    json_t *names = NULL;
    if (preds_read(&preds, path, error)) {
        return error->code;
    }
    const char *text = preds_meta(&preds, "label_names");
    int code = json_read_bytes(&names, text, strlen(text), path, error);
    if (!code && !preds.id) {
        code = REFUSE("%s: no ids; gold labels need them", path);
    }
    for (size_t i = 0; i < preds.N && !code; i++) {
        const char *name = preds.label[i] >= 0
                               ? json_string_value(json_array_get(names, (size_t)preds.label[i]))
                               : "";
        gold_add(gold, string_copy(preds.id[i]),
                 preds.regression ? string_format("%.9g", (double)preds.target[i])
                                  : string_copy(name));
    }
    json_decref(names);
    preds_free(&preds);
    return code;
}

int gold_read(Gold *gold, const char *path, Error *error)
{
    LineFile file;
    int code = 0, id = 0, label = 1, first = 1;
    *gold = (Gold){0};
    if (!import_is(path)) {
        return gold_from_preds(gold, path, error);
    }
    if (lines_open(&file, path, error)) {
        return error->code;
    }
    while (lines_next(&file, &code, error)) {
        if (first && find_column(&file, label_names) >= 0) {
            id = find_column(&file, id_names);
            label = find_column(&file, label_names);
            first = 0;
            continue;
        }
        first = 0;
        if (file.count <= label || file.count <= id) {
            code = REFUSE("%s:%zu: %d fields; gold labels are index TAB label, or CSV with the "
                          "columns id and label",
                          path, file.line, file.count);
            break;
        }
        gold_add(gold, id < 0 ? string_format("validation-%zu", gold->N) : id_of(file.fields[id]),
                 string_copy(file.fields[label]));
    }
    lines_close(&file);
    if (!code && gold->N == 0) {
        code = REFUSE("%s: no labels", path);
    }
    if (code) {
        gold_free(gold);
    }
    return code;
}

static int by_name(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    double p, q;
    if (!number_field(&p, x) && !number_field(&q, y) && p != q) {
        return (p > q) - (p < q);
    }
    return strcmp(x, y);
}

/* Class names: those given, those of the score columns, or the different gold labels. */
static json_t *class_names(const char *given, char *const *labels, size_t n)
{
    json_t *names = json_array();
    if (given) {
        for (const char *at = given;; at++) {
            size_t size = strcspn(at, ",");
            json_array_append_new(names, json_stringn(at, size));
            at += size;
            if (!*at) {
                return names;
            }
        }
    }
    char **sorted = memory_alloc(n, sizeof *sorted);
    memcpy(sorted, labels, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_name);
    for (size_t i = 0; i < n; i++) {
        if (*sorted[i] && (i == 0 || strcmp(sorted[i], sorted[i - 1]))) {
            json_array_append_new(names, json_string(sorted[i]));
        }
    }
    free(sorted);
    return names;
}

/* The id of a class by name, or by number where that is no name; -1 for an empty text or "-1", -2
 * for none. */
static int class_of(const json_t *names, const char *text)
{
    double number;
    size_t K = json_array_size(names);
    for (size_t c = 0; c < K; c++) {
        if (!strcmp(json_string_value(json_array_get(names, c)), text)) {
            return (int)c;
        }
    }
    if (!*text || !strcmp(text, "-1")) {
        return -1;
    }
    return !number_field(&number, text) && number == floor(number) && number >= 0 &&
                   number < (double)K
               ? (int)number
               : -2;
}

/* Where the number of the seed stands in a path: behind the last "seed" or ".s", else the last
 * digits of the name. */
static int find_seed(size_t *first, size_t *length, const char *path)
{
    size_t n = strlen(path), last = n;
    *length = 0;
    for (size_t i = 0; i < n; i++) {
        size_t digits = strspn(path + i, "0123456789");
        if (!digits) {
            continue;
        }
        size_t word = i;
        while (word > 0 && strchr("-_=", path[word - 1])) {
            word--;
        }
        int named = word >= 4 && !strncasecmp(path + word - 4, "seed", 4);
        named = named || (i >= 2 && path[i - 1] == 's' && !isalnum((unsigned char)path[i - 2]));
        if (named || last == n) {
            if (named) {
                last = i;
            }
            *first = i;
            *length = digits;
        }
        i += digits - 1;
    }
    return *length ? 0 : -1;
}

static void set_text(json_t *o, const char *key, const char *value)
{
    json_object_set_new(o, key, json_text(value));
}

static int put_metadata(Preds *preds, const json_t *names, const char *metric, Error *error)
{
    static const char *const seeds[] = {"seed", "seed_init", "seed_data", "seed_dropout"};
    size_t first, length;
    if (find_seed(&first, &length, preds->path)) {
        return error_set(error, EXIT_USAGE,
                         "%s: no seed in its name; name the file or its folder so: "
                         "seed42/predictions.csv",
                         preds->path);
    }
    char *seed = string_format("%.*s", (int)length, preds->path + first);
    char *model = string_format("%.*s*%s", (int)first, preds->path, preds->path + first + length);
    const char *plain = seed + strspn(seed, "0");
    const char *slash = strrchr(model, '/'), *name = slash ? slash + 1 : model;
    char *task = !strncmp(name, "predict_results_", 16)
                     ? string_format("%.*s", (int)strcspn(name + 16, "."), name + 16)
                     : string_format("%.*s", (int)strcspn(name, "."), name);
    char *list = json_dumps(names, JSON_COMPACT);
    char sha[65];
    preds->metadata = json_object();
    for (int i = 0; i < 4; i++) {
        set_text(preds->metadata, seeds[i], *plain ? plain : "0");
    }
    json_t *none = json_object();
    recipe_sha256(sha, none);
    json_decref(none);
    set_text(preds->metadata, "benchmark", "imported");
    set_text(preds->metadata, "task", *task ? task : "imported");
    set_text(preds->metadata, "split", "validation");
    set_text(preds->metadata, "model", model);
    set_text(preds->metadata, "metric", metric);
    set_text(preds->metadata, "label_names", list);
    set_text(preds->metadata, "hparams", "{}");
    set_text(preds->metadata, "recipe_sha256", sha);
    set_text(preds->metadata, "dataset_sha256", "");
    set_text(preds->metadata, "status", "ok");
    if (preds->regression) {
        set_text(preds->metadata, "problem", "regression");
    }
    free(seed);
    free(model);
    free(task);
    free(list);
    return 0;
}

typedef struct Columns {
    int id, label, pred;
    int *score; /* [scores] columns of class scores */
    int scores;
} Columns;

/* What the header says; other columns are class scores if the file has no prediction column, or all
 * of them are named in the given labels. A first line without such names is data: index,
 * prediction. Returns whether it is a header. */
static int read_header(Columns *columns, json_t **names, const LineFile *file, const json_t *given)
{
    *columns = (Columns){.id = find_column(file, id_names),
                         .label = find_column(file, label_names),
                         .pred = find_column(file, pred_names)};
    if (columns->pred < 0 && columns->label < 0 && columns->id < 0 && !given) {
        columns->id = 0;
        columns->pred = 1;
        return 0;
    }
    columns->score = memory_alloc((size_t)file->count + 1, sizeof *columns->score);
    for (int c = 0; c < file->count; c++) {
        int other = c != columns->id && c != columns->label && c != columns->pred;
        if (other && (given ? class_of(given, file->fields[c]) >= 0 &&
                                  !isdigit((unsigned char)file->fields[c][0])
                            : columns->pred < 0)) {
            columns->score[columns->scores++] = c;
        }
    }
    if (columns->scores > 0) {
        *names = json_array();
        for (int k = 0; k < columns->scores; k++) {
            json_array_append_new(*names, json_string(file->fields[columns->score[k]]));
        }
    }
    return 1;
}

typedef struct Rows {
    size_t N, room;
    char **id, **label, **pred; /* label or pred is NULL where there is no such column */
    size_t *line;
    float *scores;
} Rows;

static void rows_free(Rows *rows)
{
    for (size_t i = 0; i < rows->N; i++) {
        free(rows->id[i]);
        free(rows->label[i]);
        free(rows->pred[i]);
    }
    free(rows->id);
    free(rows->label);
    free(rows->pred);
    free(rows->line);
    free(rows->scores);
}

static int add_row(Rows *rows, const Columns *columns, const LineFile *file, Error *error)
{
    int most = columns->id > columns->label ? columns->id : columns->label;
    most = columns->pred > most ? columns->pred : most;
    for (int k = 0; k < columns->scores; k++) {
        most = columns->score[k] > most ? columns->score[k] : most;
    }
    if (file->count <= most) {
        return REFUSE("%s:%zu: %d fields, at least %d are needed", file->path, file->line,
                      file->count, most + 1);
    }
    if (rows->N == rows->room) {
        rows->room = rows->room ? 2 * rows->room : 256;
        rows->id = memory_realloc(rows->id, rows->room, sizeof *rows->id);
        rows->label = memory_realloc(rows->label, rows->room, sizeof *rows->label);
        rows->pred = memory_realloc(rows->pred, rows->room, sizeof *rows->pred);
        rows->line = memory_realloc(rows->line, rows->room, sizeof *rows->line);
        rows->scores = memory_realloc(rows->scores, rows->room * (size_t)(columns->scores + 1),
                                      sizeof *rows->scores);
    }
    float *scores = rows->scores + rows->N * (size_t)columns->scores;
    for (int k = 0; k < columns->scores; k++) {
        double value;
        if (number_field(&value, file->fields[columns->score[k]])) {
            return REFUSE("%s:%zu: score '%s' is not a number", file->path, file->line,
                          file->fields[columns->score[k]]);
        }
        scores[k] = (float)value;
    }
    size_t i = rows->N++;
    rows->id[i] = columns->id < 0 ? string_format("validation-%zu", i)
                                  : id_of(file->fields[columns->id]);
    rows->label[i] = columns->label < 0 ? NULL : string_copy(file->fields[columns->label]);
    rows->pred[i] = columns->pred < 0 ? NULL : string_copy(file->fields[columns->pred]);
    rows->line[i] = file->line;
    return 0;
}

/* Rows that all are probabilities become their logarithms, so that a softmax gives them back. */
static void scores_to_logits(Preds *preds, const Rows *rows)
{
    size_t K = (size_t)preds->K;
    int probabilities = 1;
    for (size_t i = 0; i < rows->N && probabilities; i++) {
        double sum = 0;
        for (size_t c = 0; c < K; c++) {
            double p = (double)rows->scores[i * K + c];
            probabilities = probabilities && p >= 0 && p <= 1;
            sum += p;
        }
        probabilities = probabilities && fabs(sum - 1) < 1e-3;
    }
    for (size_t i = 0; i < rows->N * K; i++) {
        preds->logits[i] = probabilities ? logf(fmaxf(rows->scores[i], 1e-30f)) : rows->scores[i];
    }
}

typedef struct Key {
    uint64_t hash;
    size_t index;
} Key;

static int by_hash(const void *a, const void *b)
{
    uint64_t x = ((const Key *)a)->hash, y = ((const Key *)b)->hash;
    return (x > y) - (x < y);
}

static Key *hash_ids(char *const *id, size_t n)
{
    Key *keys = memory_alloc(n, sizeof *keys);
    for (size_t i = 0; i < n; i++) {
        keys[i] = (Key){XXH64(id[i], strlen(id[i]), 0), i};
    }
    qsort(keys, n, sizeof *keys, by_hash);
    return keys;
}

/* Gold labels of the rows that have none. */
static int take_gold(Rows *rows, const Gold *gold, const char *path, Error *error)
{
    if (!gold) {
        return error_set(error, EXIT_USAGE,
                         "%s: no column of labels; name a file that has them with --gold", path);
    }
    Key *keys = hash_ids(gold->id, gold->N);
    int code = 0;
    for (size_t i = 0; i < rows->N && !code; i++) {
        Key wanted = {XXH64(rows->id[i], strlen(rows->id[i]), 0), 0};
        const Key *found = bsearch(&wanted, keys, gold->N, sizeof *keys, by_hash);
        if (!found) {
            code = REFUSE("%s:%zu: example %s has no gold label", path, rows->line[i], rows->id[i]);
        } else {
            rows->label[i] = string_copy(gold->label[found->index]);
        }
    }
    free(keys);
    return code;
}

static int fill_classes(Preds *preds, const Rows *rows, const json_t *names, int scores,
                        Error *error)
{
    size_t K = (size_t)preds->K;
    preds->pred = memory_alloc(rows->N, sizeof *preds->pred);
    preds->label = memory_alloc(rows->N, sizeof *preds->label);
    if (scores) {
        preds->logits = memory_alloc(rows->N * K, sizeof *preds->logits);
        scores_to_logits(preds, rows);
    }
    for (size_t i = 0; i < rows->N; i++) {
        preds->label[i] = class_of(names, rows->label[i]);
        if (rows->pred[i]) {
            preds->pred[i] = class_of(names, rows->pred[i]);
        } else {
            size_t best = 0;
            for (size_t c = 1; c < K; c++) {
                best = preds->logits[i * K + c] > preds->logits[i * K + best] ? c : best;
            }
            preds->pred[i] = (int)best;
        }
        if (preds->label[i] == -2 || preds->pred[i] == -2) {
            return REFUSE("%s:%zu: '%s' is none of the %zu classes; name all of them with --labels",
                          preds->path, rows->line[i],
                          preds->label[i] == -2 ? rows->label[i] : rows->pred[i], K);
        }
    }
    return 0;
}

static int fill_values(Preds *preds, const Rows *rows, Error *error)
{
    preds->pred = memory_alloc(rows->N, sizeof *preds->pred);
    preds->label = memory_alloc(rows->N, sizeof *preds->label);
    preds->value = memory_alloc(rows->N, sizeof *preds->value);
    preds->target = memory_alloc(rows->N, sizeof *preds->target);
    for (size_t i = 0; i < rows->N; i++) {
        double value = NAN, target = NAN;
        preds->pred[i] = preds->label[i] = -1;
        if (!rows->pred[i] || number_field(&value, rows->pred[i]) ||
            number_field(&target, rows->label[i]) || !isfinite(target)) {
            return REFUSE("%s:%zu: not a predicted and a true number", preds->path, rows->line[i]);
        }
        preds->value[i] = (float)value;
        preds->target[i] = (float)target;
    }
    return 0;
}

/* Hands the ids over and hashes them. */
static int fill_ids(Preds *preds, Rows *rows, Error *error)
{
    Key *keys = hash_ids(rows->id, rows->N);
    int code = 0;
    preds->hash = memory_alloc(rows->N, sizeof *preds->hash);
    for (size_t i = 0; i < rows->N; i++) {
        preds->hash[keys[i].index] = keys[i].hash;
        if (i && keys[i].hash == keys[i - 1].hash && !code) {
            code = REFUSE("%s:%zu: example %s stands twice", preds->path, rows->line[keys[i].index],
                          rows->id[keys[i].index]);
        }
    }
    free(keys);
    preds->id = rows->id;
    rows->id = memory_calloc(rows->N, sizeof *rows->id);
    return code;
}

int import_read(Preds *preds, const char *path, const Gold *gold, const ImportOptions *options,
                Error *error)
{
    LineFile file;
    Rows rows = {0};
    Columns columns = {0};
    json_t *names = NULL, *given = options->labels ? class_names(options->labels, NULL, 0) : NULL;
    int code = 0, header = 0, first = 1;
    *preds = (Preds){0};
    if (lines_open(&file, path, error)) {
        json_decref(given);
        return error->code;
    }
    while (!code && lines_next(&file, &code, error)) {
        if (first) {
            first = 0;
            header = read_header(&columns, &names, &file, given);
            if (header && columns.pred < 0 && columns.scores < 2) {
                code = REFUSE("%s:%zu: no column 'prediction' and no columns of class scores", path,
                              file.line);
            }
            if (header) {
                continue;
            }
        }
        code = add_row(&rows, &columns, &file, error);
    }
    lines_close(&file);
    if (!code && rows.N == 0) {
        code = REFUSE("%s: no predictions", path);
    }
    if (!code && columns.label < 0) {
        code = take_gold(&rows, gold, path, error);
    }
    preds->path = string_copy(path);
    preds->N = rows.N;
    preds->regression = !strcmp(options->metric, "pearson") ||
                        !strcmp(options->metric, "spearman") || !strcmp(options->metric, "mae");
    if (!code) {
        if (preds->regression) {
            json_decref(names);
            names = json_pack("[s]", "score");
        } else if (!names && given) {
            names = json_incref(given);
        } else if (!names) {
            int own = columns.label >= 0;
            names = class_names(NULL, own ? rows.label : gold->label, own ? rows.N : gold->N);
        }
        preds->K = (int)json_array_size(names);
        code = preds->regression ? fill_values(preds, &rows, error)
                                 : fill_classes(preds, &rows, names, columns.scores, error);
    }
    if (!code) {
        code = fill_ids(preds, &rows, error);
    }
    if (!code) {
        code = put_metadata(preds, names, options->metric, error);
    }
    rows_free(&rows);
    free(columns.score);
    json_decref(names);
    json_decref(given);
    if (code) {
        preds_free(preds);
    }
    return code;
}
