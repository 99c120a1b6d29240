/* Watching: a table of wrappers, made from ops.def, that stands in a backend for the plain one.
 * Around the op itself a wrapper does what was asked for; a backend that nobody watches has the
 * plain table, and nothing costs anything.
 *
 * Planning calls no op. Else an op whose scratch does not fit, or that the device reports, leaves
 * `error` with the op's name, and no op is called any more: whoever waits for the device looks
 * there. */
#ifndef WATCH_H
#define WATCH_H

#include "backend.h"

/* The ops by number, and their names. */
enum {
#define OP(name, ...) OP_##name,
#include "ops.def"
#undef OP
    OPS
};
extern const char *const op_names[OPS];

/* What may be asked for. */
enum {
    WATCH_PLAN = 1,   /* nothing is called: planned, scratch, error 64 for an op without a kernel */
    WATCH_TIME = 2,   /* timed */
    WATCH_HASH = 4,   /* hashed is called with every output */
    WATCH_FINITE = 8, /* found: the first value that is not finite */
    WATCH_DEVICE = 16 /* the device is opened before an op and closed behind it */
};

/* Calls of one op, with FLOPs and bytes (inputs and outputs, each once) as ops.def has them. */
typedef struct OpTally {
    size_t calls;
    double seconds, flops, bytes;
} OpTally;

/* A value that is not finite; op NULL: none. Row and column are of the output in ops.def, of the
 * table where it lists rows. */
typedef struct Finding {
    const char *op, *output;
    int layer; /* ctx->layer */
    size_t row, column;
    double value;
} Finding;

typedef struct Watch {
    unsigned what;
    size_t scratch; /* floats: the most that a planned op needs */
    OpTally planned[OPS], timed[OPS];
    Finding found;
    Error error; /* the first */
    /* The hash of an output: the sum, wrapping, over its elements of a mixture of place and bits.
     * It depends on no order, so any grid of threads gives the same, and on every bit. */
    void (*hashed)(void *user, const char *op, const char *output, int layer, uint64_t hash);
    void *hashed_user;
    const Device *device; /* of the backend */
} Watch;

/* Begins to watch for this too, or ends it: the plain table returns when nothing is left. What was
 * gathered stays in backend->ctx.watch, until it begins anew or the backend is freed. */
const Watch *watch_begin(Backend *backend, unsigned what);
void watch_end(Backend *backend, unsigned what);

/* "dx[17, 5] of layernorm_backward in layer 3 (inf)", or "" where nothing was found. Returns text.
 */
const char *watch_found(const Backend *backend, char text[160]);

#endif
