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

/* The outputs of each op by number, NULL behind the last. */
enum { MOST_OUTPUTS = 4 };
extern const char *const op_outputs[OPS][MOST_OUTPUTS + 1];

/* What may be asked for. */
enum {
    WATCH_PLAN = 1, /* nothing is called: planned, scratch, error 64 for an op without a kernel */
    WATCH_TIME = 2, /* timed */
    WATCH_OUTPUTS = 4, /* output is called with every output, behind the op */
    WATCH_FINITE = 8,  /* found: the first value that is not finite */
    WATCH_DEVICE = 16  /* the device is opened before an op and closed behind it */
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

/* An output of a call, as ops.def has it. Row r begins stride elements behind row r - 1, or is row
 * list[r] of a table. */
typedef struct WatchOutput {
    int op, output; /* by number */
    int layer;      /* ctx->layer */
    void *data;     /* the device's */
    size_t size;    /* of an element: 4 a float, 8 a double, else a struct or a sum */
    size_t rows, columns, stride;
    const int *list;
} WatchOutput;

typedef struct Watch {
    unsigned what;
    size_t scratch; /* floats: the most that a planned op needs */
    OpTally planned[OPS], timed[OPS];
    Finding found;
    Error error; /* the first */
    /* May call ops; of these it sees nothing. */
    void (*output)(void *user, Context *ctx, const WatchOutput *output);
    /* May be NULL. Called before an op with the count outputs that it will have; what it returns, if
     * it does, ops_rounding fills (rounding.h). */
    struct Rounding *(*before)(void *user, const WatchOutput *outputs, size_t count);
    void *output_user;
    struct Rounding *rounding; /* what before returned last */
    int inside;                /* the call of it */
    const Device *device;      /* of the backend */
} Watch;

/* Begins to watch for this too, or ends it: the plain table returns when nothing is left. What was
 * gathered stays in backend->ctx.watch, until it begins anew or the backend is freed. */
const Watch *watch_begin(Backend *backend, unsigned what);
void watch_end(Backend *backend, unsigned what);

/* *sum += the op hash of the output; the scratch must have room for it. */
void watch_hash(Context *ctx, uint64_t *sum, const WatchOutput *output);

/* "dx[17, 5] of layernorm_backward in layer 3 (inf)", or "" where nothing was found. Returns text.
 */
const char *watch_found(const Backend *backend, char text[160]);

#endif
