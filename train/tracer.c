#include "tracer.h"
#include "output.h"
#include "rounding.h"
#include "safetensors.h"
#include "trace_header.h"
#include "watch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 4096 }; /* hashes of op records that are allocated at a time */

struct Tracer {
    TraceWriter writer;
    Setup *setup;
    const State *state;
    int outputs; /* level */
    int every;
    int on;    /* this step is traced */
    int quiet; /* what is called now is the tracer's own */
    int part;  /* the trace begins behind a checkpoint */
    TracePass pass;
    int micro;
    TraceOp *ops;
    uint64_t **chunks; /* [.][CHUNK] on the device: the hash of op record i is [i / CHUNK] */
    size_t count, room, chunk_count;
    size_t parameters;           /* those that are trained */
    uint64_t *sums, *host_sums;  /* [parameters * TRACE_HASHES + TRACE_SKETCH] device, host */
    OptimHashes hashes;          /* in sums */
    float *values, *host_values; /* losses [batch], logits [batch, K]: device, host */
    size_t losses, most_losses, classes;
    uint64_t wanted[3], perturbed[3]; /* step, record and element; step 0: none */
    void *tensor;                     /* the output of the record that is wanted */
    size_t element;                   /* bytes of its elements */
    Rounding rounding;                /* of that record */
    Error error;                      /* of what was asked for */
};

static size_t sums_size(const Tracer *t)
{
    return t->parameters * TRACE_HASHES + TRACE_SKETCH;
}

static size_t values_size(const Tracer *t)
{
    return t->most_losses * (1 + t->classes);
}

/* Of the traced steps the 1st, 2nd, 3rd, 4th, 6th, 8th, 12th, 16th ... and the last one. */
static int has_sketch(const Tracer *t, int step)
{
    int n = step / t->every;
    while (n > 4 && n % 2 == 0) {
        n /= 2;
    }
    return n <= 4 || step == t->setup->steps;
}

/* An output whose elements are numbers. */
static int is_numbers(Tracer *t, const WatchOutput *output)
{
    int numbers = output->size == sizeof(float) || output->size == sizeof(double);
    if (!numbers) {
        error_set(&t->error, EXIT_USAGE, "record %zu of step %d, %s of %s, is no array of numbers",
                  t->count, t->state->step + 1, op_outputs[output->op][output->output],
                  op_names[output->op]);
    }
    return numbers;
}

/* Where row r of an output is. */
static char *row_of(Tracer *t, const WatchOutput *output, size_t r)
{
    int row = 0;
    if (output->list) {
        t->setup->backend.device->get(&row, output->list + r, sizeof row);
        (void)t->setup->backend.device->wait(&t->error);
    }
    return (char *)output->data + (output->list ? (size_t)row : r) * output->stride * output->size;
}

/* One more in the last place, away from zero. */
static void perturb(Tracer *t, const WatchOutput *output)
{
    const Device *device = t->setup->backend.device;
    size_t element = (size_t)t->perturbed[2];
    uint64_t bits = 0; /* the lower half is a float's */
    if (!is_numbers(t, output)) {
        return;
    }
    if (element >= output->rows * output->columns) {
        error_set(&t->error, EXIT_USAGE, "--perturb %s: that output has %zu elements",
                  t->setup->options->perturb, output->rows * output->columns);
        return;
    }
    char *at = row_of(t, output, element / output->columns) +
               element % output->columns * output->size;
    device->get(&bits, at, output->size);
    (void)device->wait(&t->error);
    if (output->size == sizeof(float)) {
        uint32_t half = (uint32_t)bits + 1;
        device->put(at, &half, sizeof half);
    } else {
        bits++;
        device->put(at, &bits, sizeof bits);
    }
    t->perturbed[0] = 0;
}

/* Brings an output to the host, row by row as the op lists them. */
static void keep_tensor(Tracer *t, const WatchOutput *output)
{
    const Device *device = t->setup->backend.device;
    size_t bytes = output->columns * output->size;
    if (!is_numbers(t, output)) {
        return;
    }
    t->tensor = memory_alloc(output->rows, bytes);
    t->element = output->size;
    for (size_t r = 0; r < output->rows; r++) {
        device->get((char *)t->tensor + r * bytes, row_of(t, output, r), bytes);
    }
    (void)device->wait(&t->error);
}

static int write_tensor(const Tracer *t, Error *error)
{
    const TraceOp *op = &t->ops[t->wanted[1]];
    char step[24], record[24], layer[24], micro[24];
    snprintf(step, sizeof step, "%llu", (unsigned long long)t->wanted[0]);
    snprintf(record, sizeof record, "%llu", (unsigned long long)t->wanted[1]);
    snprintf(layer, sizeof layer, "%d", op->layer);
    snprintf(micro, sizeof micro, "%d", op->micro);
    json_t *metadata = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "step", step, "record", record,
                                 "layer", layer, "micro_batch", micro, "op", op_names[op->op],
                                 "pass", trace_passes[op->pass]);
    size_t n = op->rows * op->columns;
    const Rounded *rounded = t->rounding.output[op->output];
    double *values = memory_alloc(2 * n + 1, sizeof *values), *bounds = values + n;
    for (size_t i = 0; i < n; i++) {
        values[i] = rounded[i].value;
        bounds[i] = rounded[i].error;
    }
    TensorSource sources[] = {{.name = op_outputs[op->op][op->output],
                               .dtype = t->element == sizeof(float) ? DTYPE_F32 : DTYPE_F64,
                               .data = t->tensor},
                              {.name = "float64", .dtype = DTYPE_F64, .data = values},
                              {.name = "bound", .dtype = DTYPE_F64, .data = bounds}};
    for (int i = 0; i < 3; i++) {
        sources[i].rank = 2;
        sources[i].shape[0] = op->rows;
        sources[i].shape[1] = op->columns;
    }
    int code = safetensors_write(t->setup->options->trace_tensor, sources, 3, metadata, error);
    json_decref(metadata);
    free(values);
    return code;
}

/* Whether a place of this step was reached by none of its records. */
static int check_reached(Tracer *t, int step, const uint64_t place[3], const char *option,
                         Error *error)
{
    if (!t->error.code && place[0] == (uint64_t)step && place[1] >= t->count) {
        error_set(&t->error, EXIT_USAGE, "--%s: step %d has %zu records, from 0 on", option, step,
                  t->count);
    }
    *error = t->error.code ? t->error : *error;
    return t->error.code;
}

/* Called before an op: whether its rounding errors are wanted. */
static Rounding *before(void *user, const WatchOutput *outputs, size_t count)
{
    Tracer *t = user;
    if (t->quiet || !count || outputs->op == OP_adamw || t->tensor ||
        t->wanted[0] != (uint64_t)t->state->step + 1 || t->wanted[1] < t->count ||
        t->wanted[1] >= t->count + count) {
        return NULL;
    }
    rounding_want(&t->rounding, &outputs[t->wanted[1] - t->count]);
    return &t->rounding;
}

/* Called with every output of an op. Those of adamw are the hashes of the parameters. */
static void record(void *user, Context *ctx, const WatchOutput *output)
{
    Tracer *t = user;
    if (t->quiet || output->op == OP_adamw) {
        return;
    }
    if (t->pass == TRACE_EMBED && ctx->layer >= 0) {
        t->pass = TRACE_FORWARD;
    } else if (t->pass == TRACE_FORWARD && ctx->layer < 0) {
        t->pass = TRACE_HEAD;
    } else if (t->pass == TRACE_LOSS && ctx->layer >= 0) {
        t->pass = TRACE_BACKWARD;
    }
    if (t->count == t->room) {
        t->room += CHUNK;
        t->ops = memory_realloc(t->ops, t->room, sizeof *t->ops);
        t->chunks = memory_realloc(t->chunks, t->chunk_count + 1, sizeof *t->chunks);
        t->chunks[t->chunk_count++] = t->setup->backend.device->alloc(CHUNK * sizeof(uint64_t));
    }
    t->ops[t->count] = (TraceOp){.rows = output->rows,
                                 .columns = output->columns,
                                 .micro = (uint16_t)t->micro,
                                 .layer = (int16_t)output->layer,
                                 .op = (uint16_t)output->op,
                                 .output = (uint8_t)output->output,
                                 .pass = (uint8_t)t->pass};
    uint64_t step = (uint64_t)t->state->step + 1;
    if (t->perturbed[0] == step && t->perturbed[1] == t->count) {
        perturb(t, output);
    }
    if (t->wanted[0] == step && t->wanted[1] == t->count && !t->tensor) {
        keep_tensor(t, output);
    }
    watch_hash(ctx, t->chunks[t->count / CHUNK] + t->count % CHUNK, output);
    t->count++;
}

void tracer_begin(Tracer *tracer)
{
    Tracer *t = tracer;
    int step = t ? t->state->step + 1 : 0;
    if (!t || (step % t->every && step != t->setup->stop)) {
        return;
    }
    Backend *backend = &t->setup->backend;
    for (size_t i = 0; i < t->chunk_count; i++) {
        backend->ops.fill_zero(&backend->ctx, (float *)(void *)t->chunks[i], 2 * CHUNK);
    }
    backend->ops.fill_zero(&backend->ctx, (float *)(void *)t->sums, 2 * sums_size(t));
    t->on = 1;
    t->micro = 0;
    t->count = t->losses = 0;
    if (t->outputs) {
        watch_begin(backend, WATCH_OUTPUTS);
        backend->ctx.watch->output = record;
        backend->ctx.watch->before = before;
        backend->ctx.watch->output_user = t;
    }
}

void tracer_part(Tracer *tracer, TracePass pass)
{
    if (tracer) {
        tracer->pass = pass;
    }
}

void tracer_micro_batch(Tracer *tracer)
{
    Tracer *t = tracer;
    if (!t || !t->on || !t->outputs) {
        return;
    }
    Backend *backend = &t->setup->backend;
    size_t examples = (size_t)t->setup->batch.examples;
    t->quiet = 1;
    if (t->most_losses) {
        backend->ops.copy(&backend->ctx, t->values + t->losses, t->setup->work.losses, examples);
        backend->ops.copy(&backend->ctx, t->values + t->most_losses + t->losses * t->classes,
                          t->setup->work.logits, examples * t->classes);
        t->losses += examples;
    }
    t->quiet = 0;
    t->micro++;
}

void tracer_pause(Tracer *tracer)
{
    if (tracer && tracer->on && tracer->outputs) {
        watch_end(&tracer->setup->backend, WATCH_OUTPUTS);
    }
}

const OptimHashes *tracer_hashes(const Tracer *tracer)
{
    return tracer && tracer->on ? &tracer->hashes : NULL;
}

/* The bits of a NaN depend on the machine. */
static double one_nan(double x)
{
    return isnan(x) ? NAN : x;
}

int tracer_step(Tracer *tracer, const StepSums *sums, double terms, double lr, Error *error)
{
    Tracer *t = tracer;
    if (!t || !t->on) {
        return 0;
    }
    Backend *backend = &t->setup->backend;
    const Device *device = backend->device;
    const State *state = t->state;
    size_t kinds = (size_t)t->hashes.kinds, hashes = t->parameters * kinds;
    int step = state->step + !sums->finite; /* one that diverges is not made */
    int sketch = has_sketch(t, step);
    t->on = 0;
    if (sketch) {
        backend->ops.sketch(&backend->ctx, t->sums + hashes, state->weights,
                            t->setup->model.params.trained);
    }
    uint64_t *of_ops = memory_alloc(t->chunk_count * CHUNK + 1, sizeof *of_ops);
    for (size_t i = 0; i < t->chunk_count; i++) {
        device->get(of_ops + i * CHUNK, t->chunks[i], CHUNK * sizeof *of_ops);
    }
    device->get(t->host_sums, t->sums, sums_size(t) * sizeof *t->sums);
    device->get(t->host_values, t->values, values_size(t) * sizeof *t->values);
    int code = backend_wait(backend, error);
    for (size_t i = 0; i < t->count; i++) {
        t->ops[i].hash = of_ops[i];
    }
    free(of_ops);
    if (code || check_reached(t, step, t->perturbed, "perturb", error) ||
        check_reached(t, step, t->wanted, "trace-until", error)) {
        return error->code;
    }
    TraceBlock block = {.tag = TRACE_STEP,
                        .number = (uint32_t)step,
                        .ops = t->ops,
                        .hashes = t->host_sums,
                        .sketch = t->host_sums + hashes,
                        .losses = t->host_values,
                        .logits = t->host_values ? t->host_values + t->most_losses : NULL};
    block.step = (TraceStep){.loss = one_nan(sums->loss),
                             .terms = terms,
                             .norm = one_nan(sums->norm),
                             .lr = lr,
                             .epoch = (uint32_t)state->epoch,
                             .micro_batches = (uint32_t)t->micro,
                             .ops = (uint32_t)t->count,
                             .parameters = (uint32_t)t->parameters,
                             .hashes = (uint32_t)kinds,
                             .sketch = sketch ? TRACE_SKETCH : 0,
                             .losses = (uint32_t)t->losses,
                             .logits = (uint32_t)(t->losses * t->classes)};
    return trace_write(&t->writer, &block, error) || (t->tensor && write_tensor(t, error))
               ? error->code
               : 0;
}

int tracer_evaluation(Tracer *tracer, const Evaluation *evaluation, Error *error)
{
    Tracer *t = tracer;
    if (!t) {
        return 0;
    }
    int language = t->setup->task->kind == KIND_LANGUAGE;
    TraceBlock block = {
        .tag = TRACE_EVALUATION, .number = (uint32_t)t->state->step, .logits = evaluation->logits};
    block.evaluation = (TraceEvaluation){.metric = evaluation->metric,
                                         .loss = evaluation->loss,
                                         .epoch = (uint32_t)t->state->epoch,
                                         .rows = language ? 0 : (uint32_t)t->setup->dev.count,
                                         .columns = language ? 0 : (uint32_t)t->setup->task->K};
    return trace_write(&t->writer, &block, error);
}

/* The block before step 1: the weights that the run starts from, read or drawn. */
static int write_start(Tracer *t, Error *error)
{
    Backend *backend = &t->setup->backend;
    const Params *params = &t->setup->model.params;
    backend->ops.fill_zero(&backend->ctx, (float *)(void *)t->sums, 2 * sums_size(t));
    uint64_t *sum = t->sums;
    for (int p = 0; p < params->count; p++) {
        const Param *param = &params->list[p];
        if (param->trainable) {
            backend->ops.hash(&backend->ctx, sum++, t->state->weights + param->offset, NULL, 1,
                              param->count, param->count, 0);
        }
    }
    backend->ops.sketch(&backend->ctx, t->sums + t->parameters, t->state->weights,
                        t->setup->model.params.trained);
    backend->device->get(t->host_sums, t->sums, sums_size(t) * sizeof *t->sums);
    if (backend_wait(backend, error)) {
        return error->code;
    }
    TraceBlock block = {
        .tag = TRACE_STEP,
        .hashes = t->host_sums,
        .sketch = t->host_sums + t->parameters,
        .step = {.parameters = (uint32_t)t->parameters, .hashes = 1, .sketch = TRACE_SKETCH}};
    return trace_write(&t->writer, &block, error);
}

int tracer_open(Tracer **tracer, Setup *setup, const State *state, const Seeds *seeds, Error *error)
{
    const Options *o = setup->options;
    const Device *device = setup->backend.device;
    struct stat status;
    *tracer = NULL;
    if (!o->trace) {
        return 0;
    }
    json_t *header = trace_header(setup, seeds, !strcmp(o->trace_level, "outputs"));
    TraceWriter writer;
    int resumed = state->step && !strcmp(o->resume, "auto");
    if (resumed && trace_resume(&writer, o->trace, header, (uint32_t)state->step, 1, error)) {
        json_decref(header);
        return error->code;
    }
    if (state->step && !resumed) { /* from a checkpoint that --resume names */
        json_object_set_new(header, "behind", json_integer(state->step));
    }
    int is_folder;
    if (!resumed && path_look(o->trace, &is_folder, error)) {
        json_decref(header);
        return error->code;
    }
    if (!resumed && !stat(o->trace, &status) && S_ISREG(status.st_mode)) {
        char *kept, *path = realpath(o->trace, NULL); /* of a link the file at its end */
        if (!path || output_keep(&kept, path, error)) {
            int code = path ? error->code : error_set_create(error, o->trace);
            free(path);
            json_decref(header);
            return code;
        }
        unlink(path); /* it has its other name */
        free(path);
        fprintf(stderr, "NOTE: an earlier file was in the way of the trace; it is now %s.\n", kept);
        free(kept);
    }
    Tracer *t = memory_calloc(1, sizeof *t);
    t->setup = setup;
    t->state = state;
    t->outputs = !strcmp(o->trace_level, "outputs");
    t->every = option_count(o->trace_every);
    (void)option_places(t->perturbed, o->perturb);
    if (o->trace_tensor) {
        (void)option_places(t->wanted, o->trace_until);
    }
    for (int p = 0; p < setup->model.params.count; p++) {
        t->parameters += setup->model.params.list[p].trainable != 0;
    }
    if (setup->task->kind != KIND_LANGUAGE && t->outputs) {
        t->most_losses = (size_t)setup->recipe.batch;
        t->classes = (size_t)setup->task->K;
    }
    if (resumed) {
        t->writer = writer;
        json_decref(header);
    } else if (trace_create(&t->writer, o->trace, header, error)) {
        free(t);
        return error->code;
    }
    t->part = resumed ? writer.behind != 0 : state->step != 0;
    backend_reserve(&setup->backend, 2 * SKETCH_SUMS * SKETCH_PARTS);
    t->sums = device->alloc(sums_size(t) * sizeof *t->sums);
    t->hashes = (OptimHashes){t->sums, t->outputs ? TRACE_HASHES : 1};
    t->host_sums = memory_calloc(sums_size(t), sizeof *t->host_sums);
    t->values = device->alloc(values_size(t) * sizeof *t->values);
    t->host_values = memory_calloc(values_size(t), sizeof *t->host_values);
    *tracer = t;
    return state->step ? 0 : write_start(t, error);
}

int tracer_reaches(const Setup *setup, const Seeds *seeds, int step, Error *error)
{
    const Options *o = setup->options;
    json_t *header = trace_header(setup, seeds, !strcmp(o->trace_level, "outputs"));
    TraceWriter none;
    int code = trace_resume(&none, o->trace, header, (uint32_t)step, 0, error);
    json_decref(header);
    return code != EXIT_NO_INPUT
               ? code
               : error_set(error, EXIT_CONFIG,
                           "%s: no such file, so this run was begun without that trace; go on "
                           "without it, or begin anew with --resume never",
                           o->trace);
}

int tracer_close(Tracer *tracer, int whole, char hex[65], int code, Error *error)
{
    Tracer *t = tracer;
    Error first = *error;
    *hex = 0;
    if (!t) {
        return code;
    }
    const Device *device = t->setup->backend.device;
    if (!t->part) {
        sha256_text(hex, t->writer.chain);
    }
    int failed = trace_finish(&t->writer, whole && !code, error);
    for (size_t i = 0; i < t->chunk_count; i++) {
        device->release(t->chunks[i], CHUNK * sizeof(uint64_t));
    }
    device->release(t->sums, sums_size(t) * sizeof *t->sums);
    device->release(t->values, values_size(t) * sizeof *t->values);
    free(t->chunks);
    free(t->ops);
    free(t->host_sums);
    free(t->host_values);
    free(t->tensor);
    rounding_free(&t->rounding);
    free(t);
    if (code) { /* what ended the run matters more */
        *error = first;
        return code;
    }
    return failed;
}
