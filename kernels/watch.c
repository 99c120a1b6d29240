/* The wrappers of watch.h and what they do; only the last part knows the ops. */
#include "watch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const op_names[OPS] = {
#define OP(name, ...) #name,
#include "ops.def"
#undef OP
};

typedef enum Kind { KIND_OTHER, KIND_FLOAT, KIND_DOUBLE } Kind;

/* An output of ops.def. Row r begins stride elements behind row r - 1, or is row list[r]. */
typedef struct Span {
    const char *name;
    const void *data;
    size_t size; /* of an element */
    Kind kind;
    size_t rows, columns, stride;
    const int *list;
} Span;

/* One call of an op. */
typedef struct Call {
    int op;
    const Span *span;
    size_t spans, scratch;
    double flops, reads, start;
} Call;

static size_t row_of(const Span *span, size_t r)
{
    return span->list ? (size_t)span->list[r] : r;
}

static const char *row_data(const Span *span, size_t r)
{
    return (const char *)span->data + row_of(span, r) * span->stride * span->size;
}

/* splitmix64's finalizer (Steele, Lea and Flood 2014) of a place and what stands there: another
 * word at the same place always gives another value. */
static uint64_t mix(uint64_t index, uint32_t bits)
{
    uint64_t x = (index + 1) * 0x9E3779B97F4A7C15u ^ bits;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static uint64_t span_hash(const Span *span)
{
    size_t words = span->columns * span->size / sizeof(uint32_t);
    uint64_t sum = 0;
    for (size_t r = 0; r < span->rows; r++) {
        const char *row = row_data(span, r);
        for (size_t w = 0; w < words; w++) {
            uint32_t bits;
            memcpy(&bits, row + w * sizeof bits, sizeof bits);
            sum += mix(row_of(span, r) * words + w, bits);
        }
    }
    return sum;
}

static void find_nonfinite(Context *ctx, const Call *call, const Span *span)
{
    Finding *found = &ctx->watch->found;
    for (size_t i = 0; !found->op && span->kind && i < span->rows * span->columns; i++) {
        const char *row = row_data(span, i / span->columns);
        size_t column = i % span->columns;
        double value = span->kind == KIND_FLOAT
                           ? (double)((const float *)(const void *)row)[column]
                           : ((const double *)(const void *)row)[column];
        if (!isfinite(value)) {
            *found = (Finding){op_names[call->op], span->name, ctx->layer,
                               row_of(span, i / span->columns), column, value};
        }
    }
}

static void tally(OpTally *t, const Call *call, double seconds)
{
    t->calls++;
    t->seconds += seconds;
    t->flops += call->flops;
    t->bytes += call->reads * sizeof(float);
    for (size_t i = 0; i < call->spans; i++) {
        const Span *span = &call->span[i];
        t->bytes += span->data ? (double)(span->rows * span->columns * span->size) : 0.0;
    }
}

/* Whether the op is to be called. */
static int call_begin(Context *ctx, Call *call, int has_kernel)
{
    Watch *watch = ctx->watch;
    const char *name = op_names[call->op];
    if (watch->error.code) {
        return 0;
    }
    if (!has_kernel) {
        error_set(&watch->error, EXIT_USAGE, "op %s: this backend has no kernel for it", name);
        return 0;
    }
    if (watch->what & WATCH_PLAN) {
        tally(&watch->planned[call->op], call, 0.0);
        watch->scratch = call->scratch > watch->scratch ? call->scratch : watch->scratch;
        return 0;
    }
    if (call->scratch > ctx->scratch_size) {
        error_set(&watch->error, EXIT_BUG,
                  "op %s needs %zu floats of scratch, %zu were planned; this is a bug", name,
                  call->scratch, ctx->scratch_size);
        return 0;
    }
    if (watch->what & WATCH_DEVICE) {
        watch->device->open();
    }
    call->start = clock_seconds();
    return 1;
}

static void call_end(Context *ctx, const Call *call)
{
    Watch *watch = ctx->watch;
    double seconds = clock_seconds() - call->start;
    if (watch->what & WATCH_TIME) {
        tally(&watch->timed[call->op], call, seconds);
    }
    for (size_t i = 0; i < call->spans; i++) {
        const Span *span = &call->span[i];
        if (span->data && watch->what & WATCH_HASH) {
            watch->hashed(watch->hashed_user, op_names[call->op], span->name, ctx->layer,
                          span_hash(span));
        }
        if (span->data && watch->what & WATCH_FINITE) {
            find_nonfinite(ctx, call, span);
        }
    }
    if (watch->what & WATCH_DEVICE) {
        const char *failure = watch->device->close();
        if (failure) {
            error_set(&watch->error, EXIT_BUG, "op %s: %s", op_names[call->op], failure);
        }
    }
}

#define SPAN(pointer, rows, columns, stride, list)                                                 \
    {#pointer,                                                                                     \
     pointer,                                                                                      \
     sizeof *(pointer),                                                                            \
     _Generic((pointer), float *: KIND_FLOAT, double *: KIND_DOUBLE, default: KIND_OTHER),         \
     (size_t)(rows),                                                                               \
     (size_t)(columns),                                                                            \
     (size_t)(stride),                                                                             \
     list},
#define OUT(pointer, rows, columns)             SPAN(pointer, rows, columns, columns, NULL)
#define STRIDED(pointer, rows, columns, stride) SPAN(pointer, rows, columns, stride, NULL)
#define LISTED(pointer, list, rows, columns)    SPAN(pointer, rows, columns, columns, list)
#define OP(name, parameters, arguments, outputs, scratch, flops, reads)                            \
    static void watched_##name parameters                                                          \
    {                                                                                              \
        const Span span[] = {outputs};                                                             \
        Call call = {OP_##name, span, sizeof span / sizeof *span, scratch, flops, reads, 0.0};     \
        if (call_begin(ctx, &call, ctx->inner.name != NULL)) {                                     \
            ctx->inner.name arguments;                                                             \
            call_end(ctx, &call);                                                                  \
        }                                                                                          \
    }
#include "ops.def"
#undef OP

static const Ops watched = {
#define OP(name, ...) .name = watched_##name,
#include "ops.def"
#undef OP
};

const Watch *watch_begin(Backend *backend, unsigned what)
{
    Watch *watch = backend->ctx.watch;
    if (!watch) {
        watch = backend->ctx.watch = memory_calloc(1, sizeof *watch);
    }
    if (!watch->what) {
        watch->error = (Error){0};
        backend->ctx.inner = backend->ops;
        backend->ops = watched;
        backend->ops.build = backend->ctx.inner.build;
    }
    watch->what |= what;
    if (what & WATCH_PLAN) {
        watch->scratch = 0;
        memset(watch->planned, 0, sizeof watch->planned);
    }
    if (what & WATCH_TIME) {
        memset(watch->timed, 0, sizeof watch->timed);
    }
    if (what & WATCH_FINITE) {
        watch->found = (Finding){0};
    }
    return watch;
}

void watch_end(Backend *backend, unsigned what)
{
    Watch *watch = backend->ctx.watch;
    watch->what &= ~what;
    if (!watch->what) {
        backend->ops = backend->ctx.inner;
    }
}

void watch_device(Backend *backend, const Device *device)
{
    watch_begin(backend, WATCH_DEVICE);
    backend->ctx.watch->device = device;
}

const char *watch_found(const Backend *backend, char text[160])
{
    const Watch *watch = backend->ctx.watch;
    const Finding *f = watch ? &watch->found : NULL;
    text[0] = 0;
    if (f && f->op) {
        char layer[24] = "";
        if (f->layer >= 0) {
            snprintf(layer, sizeof layer, " in layer %d", f->layer);
        }
        snprintf(text, 160, "%s[%zu, %zu] of %s%s (%s)", f->output, f->row, f->column, f->op, layer,
                 isnan(f->value) ? "nan" : "inf");
    }
    return text;
}
