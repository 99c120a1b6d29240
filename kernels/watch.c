/* The wrappers of watch.h and what they do; only the last part knows the ops. */
#include "rounding.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const op_names[OPS] = {
#define OP(name, ...) #name,
#include "ops.def"
#undef OP
};

#define OUT(pointer, ...)                             #pointer,
#define STRIDED                                       OUT
#define LISTED                                        OUT
#define OP(name, parameters, arguments, outputs, ...) {outputs},
const char *const op_outputs[OPS][MOST_OUTPUTS + 1] = {
#include "ops.def"
};
#undef OP
#undef OUT
#undef STRIDED
#undef LISTED

typedef enum Kind { KIND_OTHER, KIND_FLOAT, KIND_DOUBLE } Kind;

/* An output of ops.def. Row r begins stride elements behind row r - 1, or is row list[r]. */
typedef struct Span {
    const char *name;
    void *data;
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

/* A part of a row of an output, as the host has it. */
typedef struct Part {
    const char *data;
    size_t row, first, columns;
} Part;

static void find_nonfinite(Context *ctx, const Call *call, const Span *span, const Part *part)
{
    Finding *found = &ctx->watch->found;
    const void *data = part->data;
    for (size_t i = 0; !found->op && span->kind && i < part->columns; i++) {
        double value = span->kind == KIND_FLOAT ? (double)((const float *)data)[i]
                                                : ((const double *)data)[i];
        if (!isfinite(value)) {
            *found = (Finding){op_names[call->op], span->name,      ctx->layer,
                               part->row,          part->first + i, value};
        }
    }
}

/* Brings an array of the device to the host; zeros where the device failed. */
static void fetch(Watch *watch, void *host, const void *from, size_t bytes)
{
    Error error;
    watch->device->get(host, from, bytes);
    if (watch->device->wait(&error)) {
        watch->error = watch->error.code ? watch->error : error;
        memset(host, 0, bytes);
    }
}

/* Looks for values that are not finite: about 1 MiB at a time, as many rows as there are in it, or
 * a part of one. */
static void look_at(Context *ctx, const Call *call, const Span *span)
{
    enum { MOST = 1 << 20 };
    Watch *watch = ctx->watch;
    size_t pitch = span->stride * span->size, wide = MOST / span->size;
    size_t rows = pitch && pitch < MOST && !span->list ? MOST / pitch : 1;
    int *list = NULL;
    char *data = memory_alloc(MOST, 1);
    if (span->list) {
        list = memory_alloc(span->rows + 1, sizeof *list);
        fetch(watch, list, span->list, span->rows * sizeof *list);
    }
    for (size_t first = 0; first < span->rows; first += rows) {
        size_t n = size_min(rows, span->rows - first), at = list ? (size_t)list[first] : first;
        for (size_t column = 0; column < span->columns; column += wide) {
            size_t columns = size_min(wide, span->columns - column);
            fetch(watch, data, (const char *)span->data + at * pitch + column * span->size,
                  (n - 1) * pitch + columns * span->size);
            for (size_t r = 0; r < n; r++) {
                Part part = {data + r * pitch, at + r, column, columns};
                find_nonfinite(ctx, call, span, &part);
            }
        }
    }
    free(list);
    free(data);
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

/* The outputs of a call that are not NULL. */
static size_t call_outputs(const Context *ctx, const Call *call, WatchOutput outputs[MOST_OUTPUTS])
{
    size_t count = 0;
    for (size_t i = 0; i < call->spans; i++) {
        const Span *span = &call->span[i];
        if (span->data) {
            outputs[count++] = (WatchOutput){call->op,      (int)i,       ctx->layer,
                                             span->data,    span->size,   span->rows,
                                             span->columns, span->stride, span->list};
        }
    }
    return count;
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
    if (watch->what & WATCH_TIME && watch->device->wait(&watch->error)) {
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
    Error error = {0};
    if (watch->what & WATCH_DEVICE) {
        const char *failure = watch->device->close();
        if (failure) {
            error_set(&watch->error, EXIT_BUG, "op %s: %s", op_names[call->op], failure);
        }
    }
    if (watch->what & WATCH_TIME) {
        if (watch->device->wait(&error) && !watch->error.code) {
            watch->error = error;
        }
        tally(&watch->timed[call->op], call, clock_seconds() - call->start);
    }
    WatchOutput outputs[MOST_OUTPUTS];
    size_t count = watch->what & WATCH_OUTPUTS && !watch->inside ? call_outputs(ctx, call, outputs)
                                                                 : 0;
    for (size_t i = 0; i < count; i++) {
        watch->inside = 1;
        watch->output(watch->output_user, ctx, &outputs[i]);
        watch->inside = 0;
    }
    for (size_t i = 0; i < call->spans && !watch->inside; i++) {
        if (call->span[i].data && watch->what & WATCH_FINITE) {
            look_at(ctx, call, &call->span[i]);
        }
    }
}

/* Whether ops_rounding is to be called before the op. */
static int call_wants_rounding(Context *ctx, const Call *call)
{
    Watch *watch = ctx->watch;
    WatchOutput outputs[MOST_OUTPUTS];
    if (!(watch->what & WATCH_OUTPUTS) || !watch->before || watch->inside) {
        return 0;
    }
    size_t count = call_outputs(ctx, call, outputs);
    watch->rounding = watch->before(watch->output_user, outputs, count);
    return watch->rounding != NULL;
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
        if (call_wants_rounding(ctx, &call)) {                                                     \
            ops_rounding.name arguments;                                                           \
        }                                                                                          \
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

void watch_hash(Context *ctx, uint64_t *sum, const WatchOutput *output)
{
    size_t words = output->size / sizeof(uint32_t);
    watched.hash(ctx, sum, output->data, output->list, output->rows, output->columns * words,
                 output->stride * words, 0);
}

const Watch *watch_begin(Backend *backend, unsigned what)
{
    Watch *watch = backend->ctx.watch;
    if (!watch) {
        watch = backend->ctx.watch = memory_calloc(1, sizeof *watch);
    }
    watch->device = backend->device;
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
