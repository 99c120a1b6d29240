/* Prediction files, profile "consistency-preds/1" (docs/FORMATS.md): what one run said of every
 * example. */
#ifndef PREDS_H
#define PREDS_H

#include "json.h"
#include "safetensors.h"

typedef struct Preds {
    char *path;
    size_t N;
    int K;
    int regression;
    int side;              /* of a comparison: 0 or 1 */
    int *pred, *label;     /* [N], -1 none or hidden */
    uint64_t *hash;        /* [N] XXH64 of the id: the join key */
    float *logits;         /* [N, K] or NULL */
    float *value, *target; /* [N], regression; else NULL */
    int *cluster;          /* [N] or NULL */
    size_t E;              /* evaluations while it was trained; 0: they are not in the file */
    int *epoch_step;       /* [E] behind which step, ascending; NULL: not known */
    int *epoch_pred;       /* [E, N] */
    float *epoch_logits;   /* [E, N, K] or NULL; read of a regression alone */
    char **id;             /* [N] or NULL */
    json_t *metadata;      /* object of strings */
    json_t *import;        /* of an import: lists of texts (import.h); else NULL */
} Preds;

/* Reads and checks a file: all of it; or first the metadata alone (path, metadata, N, K,
 * regression), and the tensors of that file later. Any thread may. Errors: those of safetensors_open,
 * 65 with path and what is wrong. */
int preds_read(Preds *preds, const char *path, Error *error);
int preds_read_header(Preds *preds, const char *path, Error *error);

/* The tensors, of a file that stays open, for the caller to close. first and opened, or NULL: a run
 * that was read so and its file; where both files have the same examples byte for byte these are
 * good and not read, so that label, hash, target, cluster and id stay NULL. */
int preds_read_data(Preds *preds, Safetensors *file, const Preds *first, const Safetensors *opened,
                    Error *error);
void preds_free(Preds *preds);

/* Frees what belongs to the examples and not to the run: labels, hashes, targets, clusters, ids. */
void preds_free_examples(Preds *preds);

/* Whether all logits of a run are finite; it may have none. */
int preds_logits_finite(const Preds *preds);

/* A metadata value, "" if absent. */
const char *preds_meta(const Preds *preds, const char *key);

/* Keys of the metadata: the seed and those of its sources. The last, seed_order, is that of runs with
 * kernels of drawn order alone. */
enum { SEED_KEYS = 5 };
extern const char *const seed_keys[SEED_KEYS];

/* Whether all seeds are equal that both have. */
int preds_same_seeds(const Preds *a, const Preds *b);

/* The seed of a run as text, or "init-data-dropout", with "-order" behind it where there is one,
 * where they differ, as in the file's name. The caller frees it. */
char *preds_seeds(const Preds *preds);

/* Writes preds->path from pred, label, id, logits, cluster, value, target, what begins with epoch and
 * metadata; fills hash, num_examples, num_classes, format, format_version and data_sha256. Errors: 73, 74, 77. */
int preds_write(Preds *preds, Error *error);

/* SHA-256 of the canonical hparams without the seeds: the key by which runs are grouped. */
void recipe_sha256(char hex[65], const json_t *hparams);

#endif
