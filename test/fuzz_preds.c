/* libFuzzer target: any bytes as a prediction file, an import, a gold file, a table, a user's
 * training and dev file. make fuzz. */
#include "audit.h"
#include "group.h"
#include "import.h"
#include "own.h"
#include "statistics.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Both readers take a path: the bytes go through a file in memory. */
static char *write_file(const uint8_t *bytes, size_t size, const char *end)
{
    char *path = string_format("/dev/shm/fuzz-seed%ld%s", (long)getpid(), end);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file)) {
        abort();
    }
    return path;
}

/* Gives the file the digest of its data, so that damage behind the header gets past that check. */
static void repair_digest(uint8_t *bytes, size_t size)
{
    static const char key[] = "\"data_sha256\":\"";
    uint64_t header;
    char hex[65];
    if (size < 8) {
        return;
    }
    memcpy(&header, bytes, 8);
    if (header > size - 8) {
        return;
    }
    for (size_t i = 8; i + sizeof key - 1 + 64 <= 8 + header; i++) {
        if (!memcmp(bytes + i, key, sizeof key - 1)) {
            sha256_hex(hex, bytes + 8 + header, size - 8 - header);
            memcpy(bytes + i + sizeof key - 1, hex, 64);
            return;
        }
    }
}

static void compute(Preds *run)
{
    Preds *list[1] = {run};
    Group group;
    Error error;
    StatisticsOptions options = {.level = 0.95, .pairs = 1, .examples = 3};
    if (run->N <= 10000 && !group_join(&group, list, 1, 0, &error)) {
        json_decref(statistics_compute(&group, &options));
    }
}

/* Both splits from one file: whatever is a training file is its own dev file. */
static void read_own_data(const char *path)
{
    static const char *const problems[] = {NULL, "single", "choice", "regression"};
    for (int i = 0; i < 4; i++) {
        OwnRequest request = {.name = "own", .problem = problems[i]};
        Own own;
        Dataset train, dev;
        Error error;
        if (own_init(&own, &request, &error)) {
            abort();
        }
        if (!own_read(&own, &train, path, "train", 0, i & 1, &error)) {
            if (own_read(&own, &dev, path, "validation", 0, i & 1, &error)) {
                abort();
            }
            free(own_describe(&own));
            free(own_columns(&own, 1));
            dataset_free(&train);
            dataset_free(&dev);
        }
        own_free(&own);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const ends[] = {".bin", ".csv", ".tsv", ".json", ".csv", ".tsv", ".jsonl"};
    if (size == 0) {
        return 0;
    }
    /* the first byte chooses the reader */
    int kind = bytes[0] % 7;
    uint8_t *copy = memory_alloc(size, 1);
    memcpy(copy, bytes + 1, size - 1);
    if (kind == 0) {
        repair_digest(copy, size - 1);
    }
    char *path = write_file(copy, size - 1, ends[kind]);
    free(copy);
    Error error;
    Preds run = {0};
    json_t *audit = NULL;
    if (kind == 0 && !preds_read(&run, path, &error)) {
        compute(&run);
    } else if (kind == 1 || kind == 2) {
        static const ImportOptions options[] = {
            {.metric = "accuracy"}, {.metric = "f1", .labels = "a,b"}, {.metric = "pearson"}};
        for (int k = 0; k < 6; k++) {
            ImportOptions own = options[k / 2];
            own.gold = k % 2 ? path : NULL;
            Imports imports;
            if (imports_open(&imports, &own, &path, 1, &error)) {
                continue;
            }
            Preds *runs[1] = {&run};
            if (!import_read(&run, &imports, path, 0, &error) &&
                !imports_name_classes(&imports, runs, 1, &error)) {
                compute(&run);
            }
            preds_free(&run);
            imports_close(&imports);
        }
        if (kind == 1) {
            (void)!audit_table(&audit, path, (int)(size % 2), &error);
        }
    } else if (kind == 3) {
        (void)!audit_table(&audit, path, (int)(size % 2), &error);
    }
    if (kind > 3) {
        read_own_data(path);
    }
    preds_free(&run);
    json_decref(audit);
    remove(path);
    free(path);
    return 0;
}
