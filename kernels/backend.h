/* A backend: the op table of this machine with the variants that were asked for, and its
 * context. */
#ifndef BACKEND_H
#define BACKEND_H

#include "device.h"
#include "ops.h"

typedef struct Backend {
    const Device *device;
    Ops ops;
    Context ctx;
    char machine[DEVICE_TEXT]; /* what computes: "2 threads", or a device's name and memory */
    char variants[1024];       /* in force, "op=variant,..." sorted as in variants.def, or empty */
    const char *dtype;         /* of products: "float32", or as backend_choose_dtype had it */
    const char *library;       /* "cuBLAS 13.1.0": that a variant calls, or NULL */
} Backend;

/* device: "cpu", "cuda", "sim", "fence" or "auto": $SEEDBED_DEVICE, or else cuda if it can be
 * started, else cpu. simd: "auto" or the name of a build of the CPU. threads: 0 for all that the
 * process may use. Errors: 64 for an unknown device or build, or one that this machine cannot run;
 * 69 for a device that it does not have. */
int backend_init(Backend *backend, const char *device, const char *simd, int threads, Error *error);

/* Makes the scratch that the ops need; call once the largest batch is known. */
void backend_reserve(Backend *backend, size_t floats);
void backend_free(Backend *backend);

/* Until all ops and copies are done: what device->get brought counts from here on. Errors: 70 the
 * first op that failed, by its name. */
int backend_wait(const Backend *backend, Error *error);

/* Chooses a studied alternative, "OP=VARIANT" of variants.def, in every op that has its sum.
 * Errors: 64 with the nearest valid name, or a variant in force that is of the same op; 69 if a
 * library that the variant needs is not installed. */
int backend_choose(Backend *backend, const char *choice, Error *error);

/* Chooses what products are made of: "float32", or "bf16-block16" and the like of variants.def. Says
 * on stderr where the kernel of the system keeps the CPU's matrix unit from bf16-tile, and where the
 * device's tensor cores sum in other blocks. Errors: 64 for an unknown one, with the list; one that
 * the device does not have; a variant in force that is of the same op. */
int backend_choose_dtype(Backend *backend, const char *dtype, Error *error);

/* Whether no variant and no other dtype is in force: then a micro-batch changes no bit. */
int backend_plain(const Backend *backend);

/* After a plan (watch.h): its error, or 64 for a variant in force that has no part in it. */
int backend_check_plan(const Backend *backend, Error *error);

/* The builds of the CPU that this machine can run, narrowest first: fills names and returns how
 * many, at most 3. */
int backend_builds(const char *names[3]);

/* Whether all variants that were chosen are of class exact: the same bits on every machine. */
int backend_exact(const Backend *backend);

/* "OP=VARIANT (class): what it is" lines, for --help. */
void backend_list_variants(FILE *out);

/* The op table of one build, that of a device too; NULL if this machine cannot run it. */
const Ops *backend_ops(const char *build);

#endif
