#include "preds.h"
#include "hash_index.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const char *const required[] = {
    "format",       "format_version", "benchmark",   "task",        "split",
    "model",        "seed",           "seed_init",   "seed_data",   "seed_dropout",
    "num_examples", "num_classes",    "label_names", "metric",      "dataset_sha256",
    "hparams",      "recipe_sha256",  "status",      "data_sha256",
};

const char *preds_meta(const Preds *preds, const char *key)
{
    return text_of(preds->metadata, key);
}

int preds_logits_finite(const Preds *preds)
{
    uint32_t odd = 0;
    for (size_t i = 0; preds->logits && i < preds->N * (size_t)preds->K; i++) {
        uint32_t bits;
        memcpy(&bits, &preds->logits[i], sizeof bits);
        odd |= (bits & 0x7F800000u) == 0x7F800000u;
    }
    return !odd;
}

const char *const seed_keys[SEED_KEYS] = {"seed", "seed_init", "seed_data", "seed_dropout",
                                          "seed_order"};

int preds_same_seeds(const Preds *a, const Preds *b)
{
    int same = 1;
    for (int i = 0; i < SEED_KEYS; i++) {
        const char *x = preds_meta(a, seed_keys[i]), *y = preds_meta(b, seed_keys[i]);
        same = same && (!*x || !*y || !strcmp(x, y));
    }
    return same;
}

char *preds_seeds(const Preds *preds)
{
    const char *init = preds_meta(preds, "seed_init"), *data = preds_meta(preds, "seed_data"),
               *dropout = preds_meta(preds, "seed_dropout"),
               *order = preds_meta(preds, "seed_order");
    return !strcmp(init, data) && !strcmp(data, dropout) && (!*order || !strcmp(order, init))
               ? string_copy(init)
               : string_format("%s-%s-%s%s%s", init, data, dropout, *order ? "-" : "", order);
}

void recipe_sha256(char hex[65], const json_t *hparams)
{
    json_t *copy = json_copy((json_t *)hparams);
    for (int i = 0; i < SEED_KEYS; i++) {
        json_object_del(copy, seed_keys[i]);
    }
    char *text = json_canonical(copy);
    sha256_hex(hex, text, strlen(text));
    free(text);
    json_decref(copy);
}

/* Plain decimal digits up to limit. */
static int read_number(uint64_t *number, const char *text)
{
    *number = 0;
    if (!*text || strspn(text, "0123456789") != strlen(text) || (*text == '0' && text[1])) {
        return -1;
    }
    for (; *text; text++) {
        if (__builtin_mul_overflow(*number, 10u, number) ||
            __builtin_add_overflow(*number, (uint64_t)(*text - '0'), number)) {
            return -1;
        }
    }
    return 0;
}

static int by_pointed_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_label_names(const Preds *preds, Error *error)
{
    json_t *names;
    const char *text = preds_meta(preds, "label_names");
    if (json_read_bytes(&names, text, strlen(text), preds->path, error)) {
        return error->code;
    }
    size_t K = (size_t)preds->K;
    int good = json_is_array(names) && json_array_size(names) == K;
    const char **sorted = memory_alloc(K, sizeof *sorted);
    for (size_t i = 0; good && i < K; i++) {
        sorted[i] = json_string_value(json_array_get(names, i));
        good = sorted[i] != NULL;
    }
    if (good) {
        qsort(sorted, K, sizeof *sorted, by_pointed_text);
    }
    for (size_t i = 1; good && i < K; i++) {
        good = strcmp(sorted[i - 1], sorted[i]) != 0;
    }
    free(sorted);
    json_decref(names);
    return good
               ? 0
               : REFUSE("%s: label_names is not a list of %d different names; write the file again",
                        preds->path, preds->K);
}

static int check_metadata(Preds *preds, Error *error)
{
    uint64_t number;
    char hex[65];
    json_t *hparams;
    for (size_t i = 0; i < sizeof required / sizeof *required; i++) {
        if (!json_object_get(preds->metadata, required[i])) {
            return REFUSE(
                "%s: metadata '%s' is missing; not a prediction file, or an incomplete one",
                preds->path, required[i]);
        }
    }
    if (strcmp(preds_meta(preds, "format"), "consistency-preds") ||
        strcmp(preds_meta(preds, "format_version"), "1")) {
        return REFUSE("%s: format '%s' version '%s' is not consistency-preds version 1",
                      preds->path, preds_meta(preds, "format"),
                      preds_meta(preds, "format_version"));
    }
    for (int i = 0; i < SEED_KEYS; i++) {
        const char *seed = preds_meta(preds, seed_keys[i]);
        int absent = !*seed && !json_object_get(preds->metadata, seed_keys[i]); /* seed_order */
        if (!absent && read_number(&number, seed)) {
            return REFUSE("%s: %s '%s' is not a number from 0 to 2^64 - 1", preds->path,
                          seed_keys[i], preds_meta(preds, seed_keys[i]));
        }
    }
    if (read_number(&number, preds_meta(preds, "num_classes")) || number < 1 || number > 1 << 20) {
        return REFUSE("%s: num_classes '%s' is not a number from 1", preds->path,
                      preds_meta(preds, "num_classes"));
    }
    preds->K = (int)number;
    if (!strcmp(preds_meta(preds, "metric"), "f1") && preds->K != 2) {
        return REFUSE("%s: metric f1 with %d classes, not two; write the file with macro-f1",
                      preds->path, preds->K);
    }
    if (read_number(&number, preds_meta(preds, "num_examples")) || number < 1 ||
        number > INT32_MAX) {
        return REFUSE("%s: num_examples '%s' is not a number from 1", preds->path,
                      preds_meta(preds, "num_examples"));
    }
    preds->N = number;
    preds->regression = !strcmp(preds_meta(preds, "problem"), "regression");
    static const char *const statuses[] = {"ok", "nan", "diverged", "interrupted"};
    int known = 0;
    for (int i = 0; i < 4; i++) {
        known |= !strcmp(preds_meta(preds, "status"), statuses[i]);
    }
    if (!known) {
        return REFUSE("%s: status '%s' is none of ok, nan, diverged, interrupted", preds->path,
                      preds_meta(preds, "status"));
    }
    if (check_label_names(preds, error)) {
        return error->code;
    }
    const char *text = preds_meta(preds, "hparams");
    if (json_read_bytes(&hparams, text, strlen(text), preds->path, error)) {
        return error->code;
    }
    int object = json_is_object(hparams);
    if (object) {
        recipe_sha256(hex, hparams);
    }
    json_decref(hparams);
    if (!object || strcmp(hex, preds_meta(preds, "recipe_sha256"))) {
        return REFUSE(
            "%s: recipe_sha256 is not the digest of hparams without seeds; write the file again",
            preds->path);
    }
    return 0;
}

static int check_digest(const Preds *preds, const Safetensors *st, Error *error)
{
    char hex[65];
    sha256_hex(hex, st->file.bytes + st->data_offset, st->file.size - st->data_offset);
    return strcmp(hex, preds_meta(preds, "data_sha256"))
               ? REFUSE("%s: offset %zu: data_sha256 does not match the data; the file is damaged, "
                        "get it again",
                        preds->path, st->data_offset)
               : 0;
}

static void *copy_of(const Tensor *tensor)
{
    void *copy = memory_alloc(tensor->bytes, 1);
    memcpy(copy, tensor->data, tensor->bytes);
    return copy;
}

/* A tensor of this type and of shape [N] or [N, K] copied out; *out stays NULL if it is absent and
 * not needed. */
static int read_tensor(void **out, const Preds *preds, const Safetensors *st, const char *name,
                       DType dtype, size_t columns, int needed, Error *error)
{
    const Tensor *tensor = safetensors_find(st, name);
    if (!tensor) {
        return needed
                   ? REFUSE(
                         "%s: tensor '%s' is missing; not a prediction file, or an incomplete one",
                         preds->path, name)
                   : 0;
    }
    if (tensor->dtype != dtype || tensor->rank != (columns ? 2 : 1) ||
        tensor->shape[0] != preds->N || (columns && tensor->shape[1] != columns)) {
        return REFUSE("%s: tensor '%s' must be %s of %zu examples%s; write the file again",
                      preds->path, name, dtype_name(dtype), preds->N, columns ? " by classes" : "");
    }
    *out = copy_of(tensor);
    return 0;
}

static int check_classes(const Preds *preds, const int *values, const char *name, Error *error)
{
    for (size_t i = 0; i < preds->N; i++) {
        if (values[i] < -1 || values[i] >= preds->K || (preds->regression && values[i] != -1)) {
            return REFUSE("%s: %s[%zu] is %d, with %d classes; write the file again", preds->path,
                          name, i, values[i], preds->K);
        }
    }
    return 0;
}

static int check_hashes(const Preds *preds, Error *error)
{
    size_t twice;
    HashIndex index = hash_index_make(preds->hash, preds->N, &twice);
    hash_index_free(&index);
    return twice < preds->N
               ? REFUSE("%s: example_hash %llu stands twice; every example needs an id of its own",
                        preds->path, (unsigned long long)preds->hash[twice])
               : 0;
}

static int read_ids(Preds *preds, const Safetensors *st, Error *error)
{
    const Tensor *offsets = safetensors_find(st, "id_offsets"),
                 *bytes = safetensors_find(st, "id_bytes");
    if (!offsets && !bytes) {
        return 0;
    }
    if (!offsets || !bytes || offsets->dtype != DTYPE_U32 || offsets->rank != 1 ||
        offsets->shape[0] != preds->N + 1 || bytes->dtype != DTYPE_U8 || bytes->rank != 1) {
        return REFUSE("%s: id_offsets must be U32 [%zu] beside id_bytes U8; write the file again",
                      preds->path, preds->N + 1);
    }
    preds->id = memory_calloc(preds->N, sizeof *preds->id);
    uint32_t begin, end;
    memcpy(&begin, offsets->data, 4);
    if (begin != 0) {
        return REFUSE("%s: id_offsets[0] is %u, not 0; write the file again", preds->path, begin);
    }
    for (size_t i = 0; i < preds->N; i++, begin = end) {
        memcpy(&end, offsets->data + 4 * (i + 1), 4);
        if (end < begin || end > bytes->count) {
            return REFUSE(
                "%s: id_offsets[%zu] is %u, after %u and in %zu bytes; write the file again",
                preds->path, i + 1, end, begin, bytes->count);
        }
        const char *text = (const char *)bytes->data + begin;
        size_t size = end - begin;
        if (utf8_valid_prefix(text, size) != size || memchr(text, 0, size)) {
            return REFUSE("%s: the id of example %zu is not UTF-8 text; write the file again",
                          preds->path, i);
        }
        if (XXH64(text, size, 0) != preds->hash[i]) {
            return REFUSE(
                "%s: example_hash[%zu] is not the XXH64 of its id '%.*s'; write the file again",
                preds->path, i, (int)size, text);
        }
        preds->id[i] = memory_calloc(size + 1, 1);
        memcpy(preds->id[i], text, size);
    }
    return begin == bytes->count
               ? 0
               : REFUSE("%s: id_bytes has %zu bytes, id_offsets end at %u; write the file again",
                        preds->path, bytes->count, begin);
}

/* The evaluations: epoch_pred [E, N], epoch_logits [E, N, K], epoch_step [E]. */
static int read_epochs(Preds *preds, const Safetensors *st, Error *error)
{
    const Tensor *pred = safetensors_find(st, "epoch_pred"),
                 *logits = safetensors_find(st, "epoch_logits"),
                 *step = safetensors_find(st, "epoch_step");
    const Tensor *first = pred ? pred : logits;
    size_t E = first && first->rank ? first->shape[0] : 0;
    if ((pred && (pred->dtype != DTYPE_I32 || pred->rank != 2 || pred->shape[1] != preds->N)) ||
        (logits && (logits->dtype != DTYPE_F32 || logits->rank != 3 || logits->shape[0] != E ||
                    logits->shape[1] != preds->N || logits->shape[2] != (size_t)preds->K)) ||
        (step && (step->dtype != DTYPE_I32 || step->rank != 1 || step->shape[0] != E))) {
        return REFUSE("%s: epoch_pred, epoch_logits or epoch_step does not fit the others, %zu "
                      "examples and %d classes; write the file again",
                      preds->path, preds->N, preds->K);
    }
    if (!E || !pred || (preds->regression && !logits)) {
        return 0;
    }
    preds->E = E;
    preds->epoch_pred = copy_of(pred);
    preds->epoch_logits = preds->regression ? copy_of(logits) : NULL;
    preds->epoch_step = step ? copy_of(step) : NULL;
    for (size_t e = 0; e < E; e++) {
        if (check_classes(preds, preds->epoch_pred + e * preds->N, "epoch_pred", error)) {
            return error->code;
        }
        if (step && preds->epoch_step[e] <= (e ? preds->epoch_step[e - 1] : -1)) {
            return REFUSE("%s: epoch_step[%zu] is %d, after %d; write the file again", preds->path,
                          e, preds->epoch_step[e], e ? preds->epoch_step[e - 1] : -1);
        }
    }
    return 0;
}

/* Whether both files have this tensor with the same bytes, or neither has it. */
static int same_tensor(const Safetensors *a, const Safetensors *b, const char *name)
{
    const Tensor *x = safetensors_find(a, name), *y = safetensors_find(b, name);
    return x && y ? x->dtype == y->dtype && x->rank == y->rank && x->bytes == y->bytes &&
                        !memcmp(x->shape, y->shape, (size_t)x->rank * sizeof *x->shape) &&
                        !memcmp(x->data, y->data, x->bytes)
                  : x == y;
}

static int same_examples(const Preds *preds, const Safetensors *st, const Preds *first,
                         const Safetensors *opened)
{
    static const char *const names[] = {"example_hash", "label",  "id_offsets",
                                        "id_bytes",     "target", "cluster"};
    int same = first && preds->N == first->N && preds->K == first->K &&
               preds->regression == first->regression;
    for (size_t i = 0; i < sizeof names / sizeof *names && same; i++) {
        same = same_tensor(st, opened, names[i]);
    }
    return same;
}

static int read_examples(Preds *preds, const Safetensors *st, Error *error)
{
    return read_tensor((void **)&preds->label, preds, st, "label", DTYPE_I32, 0, 1, error) ||
           read_tensor((void **)&preds->hash, preds, st, "example_hash", DTYPE_U64, 0, 1, error) ||
           read_tensor((void **)&preds->target, preds, st, "target", DTYPE_F32, 0,
                       preds->regression, error) ||
           read_tensor((void **)&preds->cluster, preds, st, "cluster", DTYPE_I32, 0, 0, error) ||
           check_classes(preds, preds->label, "label", error) || check_hashes(preds, error) ||
           read_ids(preds, st, error);
}

static int read_predictions(Preds *preds, const Safetensors *st, Error *error)
{
    return read_tensor((void **)&preds->pred, preds, st, "pred", DTYPE_I32, 0, 1, error) ||
           read_tensor((void **)&preds->logits, preds, st, "logits", DTYPE_F32, (size_t)preds->K, 0,
                       error) ||
           read_tensor((void **)&preds->value, preds, st, "value", DTYPE_F32, 0, preds->regression,
                       error) ||
           check_classes(preds, preds->pred, "pred", error) || read_epochs(preds, st, error);
}

int preds_read_header(Preds *preds, const char *path, Error *error)
{
    Safetensors st;
    *preds = (Preds){0};
    if (safetensors_open(&st, path, error)) {
        return error->code;
    }
    preds->path = string_copy(path);
    preds->metadata = st.metadata ? json_deep_copy(st.metadata) : json_object();
    safetensors_close(&st);
    if (check_metadata(preds, error)) {
        preds_free(preds);
        return error->code;
    }
    return 0;
}

int preds_read_data(Preds *preds, Safetensors *file, const Preds *first, const Safetensors *opened,
                    Error *error)
{
    if (safetensors_open(file, preds->path, error)) {
        return error->code;
    }
    if (check_digest(preds, file, error) || read_predictions(preds, file, error) ||
        (!same_examples(preds, file, first, opened) && read_examples(preds, file, error))) {
        safetensors_close(file);
        return error->code;
    }
    return 0;
}

int preds_read(Preds *preds, const char *path, Error *error)
{
    Safetensors file;
    if (preds_read_header(preds, path, error)) {
        return error->code;
    }
    if (preds_read_data(preds, &file, NULL, NULL, error)) {
        preds_free(preds);
        return error->code;
    }
    safetensors_close(&file);
    return 0;
}

static void free_ids(Preds *preds)
{
    for (size_t i = 0; preds->id && i < preds->N; i++) {
        free(preds->id[i]);
    }
    free(preds->id);
    preds->id = NULL;
}

void preds_free_examples(Preds *preds)
{
    free_ids(preds);
    free(preds->label);
    free(preds->hash);
    free(preds->target);
    free(preds->cluster);
    preds->label = preds->cluster = NULL;
    preds->hash = NULL;
    preds->target = NULL;
}

void preds_free(Preds *preds)
{
    preds_free_examples(preds);
    free(preds->path);
    free(preds->pred);
    free(preds->logits);
    free(preds->value);
    free(preds->epoch_step);
    free(preds->epoch_pred);
    free(preds->epoch_logits);
    json_decref(preds->metadata);
    json_decref(preds->import);
    *preds = (Preds){0};
}

/* A matrix, or a vector where columns is 0. */
static TensorSource source(const char *name, DType dtype, size_t rows, size_t columns,
                           const void *data)
{
    return (TensorSource){.name = name,
                          .dtype = dtype,
                          .rank = columns ? 2 : 1,
                          .shape = {rows, columns},
                          .data = data};
}

int preds_write(Preds *preds, Error *error)
{
    size_t N = preds->N, K = (size_t)preds->K, bytes = 0, count = 0;
    uint32_t *offsets = memory_calloc(N + 1, sizeof *offsets);
    preds->hash = memory_realloc(preds->hash, N, sizeof *preds->hash);
    for (size_t i = 0; i < N; i++) {
        preds->hash[i] = XXH64(preds->id[i], strlen(preds->id[i]), 0);
        bytes += strlen(preds->id[i]);
        offsets[i + 1] = (uint32_t)bytes;
    }
    char *text = memory_alloc(bytes + 1, 1);
    for (size_t i = 0; i < N; i++) {
        memcpy(text + offsets[i], preds->id[i], offsets[i + 1] - offsets[i]);
    }
    TensorSource sources[12] = {source("pred", DTYPE_I32, N, 0, preds->pred),
                                source("label", DTYPE_I32, N, 0, preds->label),
                                source("example_hash", DTYPE_U64, N, 0, preds->hash),
                                source("id_offsets", DTYPE_U32, N + 1, 0, offsets),
                                source("id_bytes", DTYPE_U8, bytes, 0, text)};
    count = 5;
    if (preds->logits) {
        sources[count++] = source("logits", DTYPE_F32, N, K, preds->logits);
    }
    if (preds->cluster) {
        sources[count++] = source("cluster", DTYPE_I32, N, 0, preds->cluster);
    }
    if (preds->regression) {
        sources[count++] = source("value", DTYPE_F32, N, 0, preds->value);
        sources[count++] = source("target", DTYPE_F32, N, 0, preds->target);
    }
    if (preds->E) {
        sources[count++] = source("epoch_step", DTYPE_I32, preds->E, 0, preds->epoch_step);
        sources[count++] = source("epoch_pred", DTYPE_I32, preds->E, N, preds->epoch_pred);
        sources[count++] = (TensorSource){.name = "epoch_logits",
                                          .dtype = DTYPE_F32,
                                          .rank = 3,
                                          .shape = {preds->E, N, K},
                                          .data = preds->epoch_logits};
    }
    char number[32];
    json_t *metadata = json_copy(preds->metadata);
    json_object_set_new(metadata, "format", json_string("consistency-preds"));
    json_object_set_new(metadata, "format_version", json_string("1"));
    snprintf(number, sizeof number, "%zu", N);
    json_object_set_new(metadata, "num_examples", json_string(number));
    snprintf(number, sizeof number, "%zu", K);
    json_object_set_new(metadata, "num_classes", json_string(number));
    json_object_set_new(metadata, "data_sha256", json_string(""));
    int code = safetensors_write(preds->path, sources, count, metadata, error);
    json_decref(metadata);
    free(offsets);
    free(text);
    return code;
}
