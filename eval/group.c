#include "group.h"
#include "hash_index.h"
#include "sides.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const group_keys[GROUP_KEYS] = {"benchmark",      "task",          "split",
                                            "model",          "recipe_sha256", "model_sha256",
                                            "adapter_sha256", "train_sha256",  "tokenizer_sha256",
                                            "dataset_sha256"};

/* Seeds as numbers: decimal strings without leading zeros compare by length first. */
static int compare_seed_text(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    return n != m ? (n < m ? -1 : 1) : strcmp(a, b);
}

static int compare_runs(const Preds *a, const Preds *b)
{
    int order = a->side - b->side;
    for (int i = 0; i < SEED_KEYS && !order; i++) {
        order = compare_seed_text(preds_meta(a, seed_keys[i]), preds_meta(b, seed_keys[i]));
    }
    return order;
}

static int by_side_and_seed(const void *a, const void *b)
{
    return compare_runs(*(Preds *const *)a, *(Preds *const *)b);
}

/* New arrays of n elements, one behind the other as the old ones of N are: element i of each is
 * old[from[i]]. */
static void *gather_all(void *old, size_t arrays, size_t N, const size_t *from, size_t n,
                        size_t size)
{
    if (!old) {
        return NULL;
    }
    unsigned char *new = memory_alloc(arrays * n, size);
    for (size_t a = 0; a < arrays; a++) {
        for (size_t i = 0; i < n; i++) {
            memcpy(new + (a * n + i) * size, (unsigned char *)old + (a * N + from[i]) * size, size);
        }
    }
    free(old);
    return new;
}

/* Whether two targets are not the same; a hidden one is NaN. */
static int differ(float a, float b)
{
    return a != b && !(isnan(a) && isnan(b));
}

static void *gather(void *old, const size_t *from, size_t n, size_t size)
{
    return gather_all(old, 1, 0, from, n, size);
}

/* The run's own values of the examples from[0 .. n); its N stays. */
static void gather_run(Preds *run, const size_t *from, size_t n)
{
    size_t K = (size_t)run->K;
    run->pred = gather(run->pred, from, n, sizeof *run->pred);
    run->logits = gather(run->logits, from, n, K * sizeof *run->logits);
    run->value = gather(run->value, from, n, sizeof *run->value);
    run->epoch_pred = gather_all(run->epoch_pred, run->E, run->N, from, n, sizeof *run->epoch_pred);
    run->epoch_logits = gather_all(run->epoch_logits, run->E, run->N, from, n,
                                   K * sizeof *run->epoch_logits);
}

/* What all runs of a group are joined to. */
typedef struct Joint {
    const Preds *first;
    Safetensors file; /* of the first run, open; none of an import */
    HashIndex index;  /* of its examples */
    char *keep;       /* [first->N] whether every run has the example */
    int intersect;
} Joint;

/* Puts the run's own values in the order of the first run; rows that it lacks get any value and
 * are not kept. */
static int align(Joint *joint, Preds *run, Error *error)
{
    const Preds *first = joint->first;
    size_t N = first->N, found = 0, none = SIZE_MAX;
    size_t *from = memory_alloc(N, sizeof *from);
    memset(from, 0xff, N * sizeof *from);
    for (size_t i = 0; i < run->N; i++) {
        int64_t at = hash_index_find(&joint->index, run->hash[i]);
        if (at >= 0) {
            from[at] = i;
            found++;
        }
    }
    if (!joint->intersect && (found != N || run->N != N)) {
        free(from);
        return REFUSE("%s: its examples are not those of %s (%zu of %zu and %zu are common); "
                      "compare runs of one data set, or use --intersect",
                      run->path, first->path, found, run->N, N);
    }
    for (size_t i = 0; i < N; i++) {
        if (from[i] == none) {
#pragma omp atomic write
            joint->keep[i] = 0;
            from[i] = 0;
        } else if (run->label[from[i]] != first->label[i] ||
                   (run->target && first->target &&
                    differ(run->target[from[i]], first->target[i]))) {
            int code = REFUSE("%s: the label of example %s differs from that in %s; compare runs "
                              "of one data set",
                              run->path, run->id ? run->id[from[i]] : "?", first->path);
            free(from);
            return code;
        }
    }
    gather_run(run, from, N);
    free(from);
    return 0;
}

static int join_run(Joint *joint, Preds *run, Error *error)
{
    const Preds *first = joint->first;
    Safetensors file;
    if (!run->pred) {
        int opened = joint->file.path != NULL;
        if (preds_read_data(run, &file, opened ? first : NULL, &joint->file, error)) {
            return error->code;
        }
        safetensors_close(&file);
    }
    if (run->K != first->K || run->regression != first->regression ||
        strcmp(preds_meta(run, "label_names"), preds_meta(first, "label_names"))) {
        return REFUSE("%s: %d classes %s, but %s has %d: %s; compare runs of one data set",
                      run->path, run->K, preds_meta(run, "label_names"), first->path, first->K,
                      preds_meta(first, "label_names"));
    }
    const char *metric = preds_meta(run, "metric"), *other = preds_meta(first, "metric");
    if (strcmp(metric, other)) {
        return REFUSE(
            "%s: its metric is %s, but that of %s is %s; compare runs of one metric (that "
            "of imported files is named with --metric)",
            run->path, metric, first->path, other);
    }
    int same = !run->hash ||
               (run->N == first->N && !memcmp(first->hash, run->hash, run->N * sizeof *run->hash) &&
                !memcmp(first->label, run->label, run->N * sizeof *run->label) && !run->target);
    if (!same && align(joint, run, error)) {
        return error->code;
    }
    preds_free_examples(run);
    run->N = first->N;
    return 0;
}

/* Joins the other runs, side by side; an error is that of the first run that has one. */
static int join_runs(Joint *joint, Preds **runs, size_t S, Error *error)
{
    size_t failed = S;
#pragma omp parallel for schedule(dynamic) if (is_worth_threads(S * joint->first->N))
    for (size_t s = 1; s < S; s++) {
        Error own;
        size_t before;
#pragma omp atomic read
        before = failed;
        if (s < before && join_run(joint, runs[s], &own)) {
#pragma omp critical(join)
            if (s < failed) {
#pragma omp atomic write
                failed = s;
                *error = own;
            }
        }
    }
    return failed < S ? error->code : 0;
}

/* Leaves the examples that every run has. */
static void compress(Preds **runs, size_t S, const char *keep)
{
    Preds *first = runs[0];
    size_t N = first->N, n = 0;
    size_t *from = memory_alloc(N, sizeof *from);
    for (size_t i = 0; i < N; i++) {
        if (keep[i]) {
            from[n++] = i;
        } else if (first->id) {
            free(first->id[i]);
        }
    }
    for (size_t s = 0; s < S; s++) {
        gather_run(runs[s], from, n);
        runs[s]->N = n;
    }
    first->label = gather(first->label, from, n, sizeof *first->label);
    first->hash = gather(first->hash, from, n, sizeof *first->hash);
    first->target = gather(first->target, from, n, sizeof *first->target);
    first->cluster = gather(first->cluster, from, n, sizeof *first->cluster);
    first->id = gather(first->id, from, n, sizeof *first->id);
    free(from);
}

int group_join(Group *group, Preds **runs, size_t S, int intersect, Error *error)
{
    qsort(runs, S, sizeof *runs, by_side_and_seed);
    for (size_t s = 1; s < S; s++) {
        if (!compare_runs(runs[s - 1], runs[s])) {
            return refuse_twins(runs, S, s - 1, s, error);
        }
    }
    Preds *first = runs[0];
    Joint joint = {.first = first, .intersect = intersect};
    if (!first->pred && preds_read_data(first, &joint.file, NULL, NULL, error)) {
        return error->code;
    }
    size_t twice, kept = 0, all = first->N, most = first->N;
    joint.index = hash_index_make(first->hash, all, &twice);
    joint.keep = memory_alloc(all, 1);
    memset(joint.keep, 1, all);
    for (size_t s = 1; s < S; s++) {
        most = size_max(most, runs[s]->N);
    }
    int code = join_runs(&joint, runs, S, error);
    safetensors_close(&joint.file);
    hash_index_free(&joint.index);
    for (size_t i = 0; i < all; i++) {
        kept += joint.keep[i] != 0;
    }
    if (!code && kept == 0) {
        code = REFUSE("%s: no example is common to all runs of its group", first->path);
    }
    if (!code && kept < all) {
        compress(runs, S, joint.keep);
    }
    free(joint.keep);
    *group = (Group){.runs = runs,
                     .S = S,
                     .N = first->N,
                     .K = first->K,
                     .regression = first->regression,
                     .label = first->label,
                     .cluster = first->cluster,
                     .target = first->target,
                     .id = first->id,
                     .lost = most - kept};
    return code;
}

int group_is_hidden(const Group *group)
{
    for (size_t i = 0; i < group->N; i++) {
        if (group->label[i] >= 0) {
            return 0;
        }
    }
    return 1;
}

Group group_side(const Group *group, int side)
{
    Group part = *group;
    size_t first = 0;
    while (first < group->S && group->runs[first]->side != side) {
        first++;
    }
    part.runs = group->runs + first;
    for (part.S = 0; first + part.S < group->S && part.runs[part.S]->side == side; part.S++) {
    }
    return part;
}

Group group_part(const Group *group, const char *use, Preds **runs)
{
    Group part = *group;
    part.runs = runs;
    part.S = 0;
    for (size_t s = 0; s < group->S; s++) {
        if (use[s]) {
            runs[part.S++] = group->runs[s];
        }
    }
    return part;
}
