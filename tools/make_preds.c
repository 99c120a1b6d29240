/* Writes prediction files to measure consistency with: make_preds FOLDER RUNS EXAMPLES CLASSES [logits]. Drawn at
 * random: an example has a difficulty, a run some skill. The same arguments give the same bytes. */
#include "preds.h"
#include "rng.h"

#include <stdlib.h>
#include <string.h>

/* In [0, 1). */
static double uniform(uint64_t key, uint64_t j)
{
    return (double)rng_word(key, j) * 0x1p-32;
}

static json_t *metadata_of(size_t run, int K)
{
    char seed[24], sha256[65];
    snprintf(seed, sizeof seed, "%zu", run + 1);
    json_t *hparams = json_pack("{s:s}", "lr", "1e-05"), *names = json_array();
    for (int c = 0; c < K; c++) {
        char *name = string_format("class %d", c);
        json_array_append_new(names, json_string(name));
        free(name);
    }
    recipe_sha256(sha256, hparams);
    char *recipe = json_canonical(hparams), *list = json_dumps(names, JSON_COMPACT);
    json_t *metadata = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "benchmark",
        "made", "task", "made", "split", "validation", "model", "made", "seed", seed, "seed_init",
        seed, "seed_data", seed, "seed_dropout", seed, "label_names", list, "metric", "accuracy",
        "dataset_sha256", "", "hparams", recipe, "recipe_sha256", sha256, "status", "ok");
    json_decref(hparams);
    json_decref(names);
    free(recipe);
    free(list);
    return metadata;
}

static int write_run(const char *folder, size_t run, size_t N, int K, int logits, Error *error)
{
    uint64_t examples = rng_key(1, "examples"), own = rng_key(2 + run, "run");
    Preds preds = {.path = string_format("%s/run-%05zu.bin", folder, run + 1), .N = N, .K = K};
    preds.pred = memory_alloc(N, sizeof *preds.pred);
    preds.label = memory_alloc(N, sizeof *preds.label);
    preds.id = memory_alloc(N, sizeof *preds.id);
    preds.logits = logits ? memory_alloc(N * (size_t)K, sizeof *preds.logits) : NULL;
    preds.metadata = metadata_of(run, K);
    double skill = 0.1 * uniform(own, 0);
    for (size_t i = 0; i < N; i++) {
        int best = preds.label[i] = (int)rng_below(examples, 2 * i, (uint32_t)K);
        if (uniform(own, 2 * i + 1) < 0.6 * uniform(examples, 2 * i + 1) - skill) {
            best = (int)rng_below(own, 2 * i + 2, (uint32_t)K);
        }
        preds.pred[i] = best;
        preds.id[i] = string_format("validation-%zu", i);
        for (int c = 0; c < K && logits; c++) {
            double part = uniform(own ^ 1, i * (size_t)K + (size_t)c);
            preds.logits[i * (size_t)K + (size_t)c] = (float)(c == best ? 1 + part : part);
        }
    }
    int code = preds_write(&preds, error);
    preds_free(&preds);
    return code;
}

int main(int argc, char **argv)
{
    Error error = {0};
    if (argc < 5) {
        fputs("usage: make_preds FOLDER RUNS EXAMPLES CLASSES [logits]\n", stderr);
        return EXIT_USAGE;
    }
    size_t runs = strtoul(argv[2], NULL, 10), N = strtoul(argv[3], NULL, 10);
    int K = atoi(argv[4]), code = folder_make(argv[1], &error);
    for (size_t run = 0; run < runs && !code; run++) {
        code = write_run(argv[1], run, N, K, argc > 5, &error);
    }
    if (code) {
        fprintf(stderr, "make_preds: %s\n", error.text);
    }
    return code;
}
