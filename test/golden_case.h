/* A golden case: its files, its batches, and a model loaded from it. */
#ifndef GOLDEN_CASE_H
#define GOLDEN_CASE_H

#include "adapter.h"
#include "json.h"
#include "rig.h"
#include "safetensors.h"

typedef struct Case {
    const char *folder;
    Safetensors golden;
    json_t *json;
    Rig rig;
    int recompute;
    const char *adapter, *start; /* folders of the adapter to compare and to train; NULL: none */
    const LoraConfig *made;      /* adapters made from the seed instead; targets 0: all */
    Architecture architecture;   /* of the last model that was loaded */
    double worst;                /* largest share of a tolerance that was used */
    char worst_name[160];
} Case;

/* A number of a JSON object by its path, "once/loss"; NAN if there is none. */
double golden_number(const json_t *object, const char *path);

/* Element i of a tensor of F32 or F64. */
double golden_element(const Tensor *t, size_t i);

/* x[i] against truth[i], or truth[at[i]], for count values: absolute tolerance, plus half an ulp of
 * float32 truth. A truth that is not there is a failure. */
void golden_compare(Case *c, const char *name, const float *x, const Tensor *truth,
                    const size_t *at, size_t count, double tolerance);

/* What the host knows of a batch. */
typedef struct GoldenBatch {
    int *cu; /* [B + 1] */
    int terms; /* of the mean loss */
} GoldenBatch;

/* Fills the rig's batch with that under "" or "train.3.". 0, or -1 if it is not there. Free with
 * golden_batch_free. */
int golden_batch_load(GoldenBatch *g, Case *c, const char *prefix);
void golden_batch_free(GoldenBatch *g);

/* The case's model with an adapter of its folder, or NULL: opens c->rig, which the caller
 * frees; not 0 after a failed check. */
int golden_load(Case *c, const char *build, int threads, const char *adapter);

/* Logits of the case's adapters, merged weights and logits, and each merged layer. */
void golden_check_adapters(Case *c, const char *build);

/* The same bits from every build and thread count, with and without recomputing, from mapped and
 * widened weights. */
void golden_check_exactness(Case *c);

/* With adapters on one kind of layer alone the backward pass ends early; their gradients must be
 * those of a model with adapters everywhere, of which all others add nothing. */
void golden_check_targets(Case *c, const char *build);

#endif
