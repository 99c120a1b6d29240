/* Fuzz target: what consistency reads: prediction files, imports and gold labels, published tables
 * and sizes, expected values. */
#include "audit.h"
#include "fuzz.h"
#include "group_report.h"
#include "import.h"
#include "reference.h"
#include "report.h"
#include "statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const Arguments arguments = {
    .level = 0.95, .tolerance = 1e-9, .min_seeds = 3, .examples = 3};
static FILE *nowhere;

/* Gives the file the digest of its data, so that damage behind the header gets past that check. */
static void repair_digest(FuzzFile *file)
{
    static const char key[] = "\"data_sha256\":\"";
    uint8_t *bytes = file->bytes;
    uint64_t header;
    char hex[65];
    if (file->size < 8) {
        return;
    }
    memcpy(&header, bytes, 8);
    if (header > file->size - 8) {
        return;
    }
    for (size_t i = 8; i + sizeof key - 1 + 64 <= 8 + header; i++) {
        if (!memcmp(bytes + i, key, sizeof key - 1)) {
            sha256_hex(hex, bytes + 8 + header, file->size - 8 - header);
            memcpy(bytes + i + sizeof key - 1, hex, 64);
            return;
        }
    }
}

/* Every number of a report is finite: what is undefined is null. */
static void check_finite(const json_t *value)
{
    const char *key;
    json_t *item;
    size_t i;
    if (json_is_real(value)) {
        REQUIRE(isfinite(json_real_value(value)), "%g", json_real_value(value));
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, item)
    {
        check_finite(item);
    }
    json_array_foreach((json_t *)(uintptr_t)value, i, item)
    {
        check_finite(item);
    }
}

static void check_preds(const Preds *p)
{
    REQUIRE(p->N > 0 && p->K > 0 && json_is_object(p->metadata), "%zu, %d", p->N, p->K);
    for (size_t i = 0; i < p->N; i++) {
        REQUIRE(p->pred[i] >= -1 && p->pred[i] < p->K, "pred %d", p->pred[i]);
        REQUIRE(p->label[i] >= -1 && p->label[i] < p->K, "label %d", p->label[i]);
        REQUIRE(!p->id || XXH64(p->id[i], strlen(p->id[i]), 0) == p->hash[i], "example %zu", i);
    }
    REQUIRE(!p->regression || (p->value && p->target), "no values");
    for (size_t i = 0; i < p->E * p->N; i++) {
        REQUIRE(p->epoch_pred[i] >= -1 && p->epoch_pred[i] < p->K, "pred %d", p->epoch_pred[i]);
    }
}

/* Written again it is read as the same. */
static void check_round_trip(Preds *p)
{
    Preds again, copy = *p;
    Error error;
    if (!p->id || p->E) { /* not written without ids; logits of evaluations are not kept */
        return;
    }
    copy.path = fuzz_path("again.bin");
    REQUIRE(!preds_write(&copy, &error), "%s", error.text);
    p->hash = copy.hash;
    REQUIRE(!preds_read(&again, copy.path, &error), "%s", error.text);
    REQUIRE(again.N == p->N && again.K == p->K && again.regression == p->regression, "%zu", p->N);
    REQUIRE(!memcmp(again.pred, p->pred, p->N * sizeof *p->pred) &&
                !memcmp(again.label, p->label, p->N * sizeof *p->label),
            "pred or label");
    preds_free(&again);
    fuzz_remove("again.bin");
    free(copy.path);
}

/* Everything that is computed and shown of a run, beside a table and expected values. */
static void compute(Preds *run, const char *table, const char *expected)
{
    Preds *list[1] = {run};
    Group group;
    Error error;
    json_t *audit = NULL, *reference = NULL, *groups = json_array();
    check_preds(run);
    if (run->N <= 10000 && !group_join(&group, list, 1, 0, &error)) {
        StatisticsOptions options = {.level = 0.95, .pairs = 1, .examples = 3};
        json_t *statistics = statistics_compute(&group, &options);
        check_finite(statistics);
        json_decref(statistics);
        json_array_append_new(groups, group_report(&group, &arguments));
        check_finite(groups);
        if (expected) {
            (void)!expect_file(expected, &group, 0.95, 1e-9, &error);
        }
        if (table && !audit_table(&audit, table, 1, &error) &&
            !reference_compare(&reference, audit, groups, &arguments, &error)) {
            check_finite(reference);
            reference_show(nowhere, reference, &arguments);
        }
    }
    json_decref(audit);
    json_decref(reference);
    json_decref(groups);
}

/* Two runs as sides of a comparison, which share the examples that they have in common. */
static void join(const char *first, const char *second)
{
    Preds runs[2], *list[2] = {&runs[0], &runs[1]};
    Group group;
    Error error;
    for (int intersect = 0; intersect < 2; intersect++) {
        if (preds_read_header(&runs[0], first, &error)) {
            return;
        }
        if (preds_read_header(&runs[1], second, &error)) {
            preds_free(&runs[0]);
            return;
        }
        runs[1].side = 1;
        if (!group_join(&group, list, 2, intersect, &error)) {
            json_t *report = group_report(&group, &arguments);
            check_finite(report);
            json_decref(report);
        }
        preds_free(&runs[0]);
        preds_free(&runs[1]);
    }
}

static void read_preds(FuzzFile *file, int number, const char *table, const char *expected)
{
    static const char *const names[] = {"run.bin", "other.bin"};
    Preds run;
    Error error;
    char *path = fuzz_path(names[number]), *first = fuzz_path(names[0]);
    repair_digest(file);
    fuzz_write(names[number], file->bytes, file->size);
    if (!preds_read(&run, path, &error)) {
        compute(&run, table, expected);
        check_round_trip(&run);
        preds_free(&run);
    }
    if (number) {
        join(first, path);
    }
    free(path);
    free(first);
}

static void read_import(const char *name, const FuzzFile *file, const char *gold)
{
    static const ImportOptions options[] = {
        {.metric = "accuracy"}, {.metric = "f1", .labels = "a,b"}, {.metric = "pearson"}};
    char *path = fuzz_path(name);
    Error error;
    fuzz_write(name, file->bytes, file->size);
    for (int k = 0; k < 6; k++) {
        ImportOptions own = options[k / 2];
        Imports imports;
        Preds run = {0}, *runs[1] = {&run};
        own.gold = k % 2 ? gold ? gold : path : NULL;
        if (!imports_open(&imports, &own, &path, 1, &error)) {
            if (!import_read(&run, &imports, path, 0, &error) &&
                !imports_name_classes(&imports, runs, 1, &error)) {
                compute(&run, NULL, NULL);
            }
            preds_free(&run);
            imports_close(&imports);
        }
    }
    fuzz_remove(name);
    free(path);
}

/* A table, and its rows beside a file of sizes. */
static void read_table(const char *path, const char *sizes)
{
    for (int partial = 0; partial < 2; partial++) {
        json_t *audit = NULL, *list = NULL;
        Error error;
        if (!audit_table(&audit, path, partial, &error)) {
            check_finite(audit);
            REQUIRE(audit_impossible(audit) <= json_array_size(json_object_get(audit, "cells")),
                    "%zu", audit_impossible(audit));
            if (!correlate_sizes(&list, json_object_get(audit, "cells"), sizes, 0.95, &error)) {
                check_finite(list);
            }
        }
        json_decref(audit);
        json_decref(list);
    }
}

/* a: a prediction file, the second one beside the first; b, c: imports; d: gold labels for the imports behind it; e, f: tables; g:
 * expected values; h: sizes. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const names[] = {
        "", "", "", "gold.tsv", "table.csv", "table.json", "expected.json", "sizes.tsv"};
    FuzzFile files[FUZZ_FILES];
    char *paths[8] = {NULL};
    int count = fuzz_split(files, bytes, size), runs = 0;
    if (!nowhere) {
        nowhere = fopen("/dev/null", "w");
        REQUIRE(nowhere && freopen("/dev/null", "w", stdout), "/dev/null");
    }
    for (int i = 0; i < count; i++) {
        int kind = (unsigned char)(files[i].letter - 'a') % 8;
        if (kind > 2 && !paths[kind]) {
            fuzz_write(names[kind], files[i].bytes, files[i].size);
            paths[kind] = fuzz_path(names[kind]);
        }
    }
    for (int i = 0; i < count; i++) {
        int kind = (unsigned char)(files[i].letter - 'a') % 8;
        if (kind == 0) {
            read_preds(&files[i], runs, paths[4] ? paths[4] : paths[5], paths[6]);
            runs = 1;
        } else if (kind < 3) {
            read_import(kind == 1 ? "run.csv" : "run.tsv", &files[i], paths[3]);
        } else if (kind == 4 || kind == 5) {
            read_table(paths[kind], paths[7] ? paths[7] : "public");
        }
    }
    fuzz_remove("run.bin");
    fuzz_remove("other.bin");
    for (int i = 3; i < 8; i++) {
        if (paths[i]) {
            fuzz_remove(names[i]);
            free(paths[i]);
        }
    }
    fuzz_free(files, count);
    return 0;
}
