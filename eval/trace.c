#include "trace.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char magic[8] = "sb-trace";

const char *const trace_passes[TRACE_PASSES] = {"embed", "forward",  "head",
                                                "loss",  "backward", "optimizer"};

/* What the file and every block begin with. */
typedef struct FileHead {
    char magic[8];
    uint32_t version, length; /* of the JSON that follows: a multiple of 8 */
} FileHead;

typedef struct BlockHead {
    uint32_t tag, number;
    uint64_t bytes; /* of the block with this head and the chain */
} BlockHead;

/* Layouts are those of the file. */
_Static_assert(sizeof(FileHead) == 16 && sizeof(BlockHead) == 16 && sizeof(TraceOp) == 32 &&
                   sizeof(TraceStep) == 64 && sizeof(TraceEvaluation) == 32,
               "records of the trace");

/* More than any header, or block of an evaluation, has. */
static const uint64_t most_header = 1u << 28, most_logits = (uint64_t)1 << 34;

/* Parts of a block, one behind the other. */
typedef struct Parts {
    uint64_t ops, hashes, sketch, losses, logits, chain, bytes; /* where each begins; of all */
} Parts;

static Parts parts_of(const TraceBlock *block)
{
    Parts p = {0};
    const TraceStep *s = &block->step;
    if (block->tag == TRACE_STEP) {
        p.ops = sizeof(BlockHead) + sizeof *s;
        p.hashes = p.ops + s->ops * sizeof(TraceOp);
        p.sketch = p.hashes + (uint64_t)s->parameters * s->hashes * sizeof(uint64_t);
        p.losses = p.sketch + s->sketch * sizeof(uint64_t);
        p.logits = p.losses + s->losses * sizeof(float);
        p.chain = p.logits + s->logits * sizeof(float);
    } else if (block->tag == TRACE_EVALUATION) {
        const TraceEvaluation *e = &block->evaluation;
        p.logits = sizeof(BlockHead) + sizeof *e;
        p.chain = p.logits + (uint64_t)e->rows * e->columns * sizeof(float);
    } else { /* the end: how many blocks there are */
        p.chain = sizeof(BlockHead) + sizeof(uint64_t);
    }
    p.chain = (p.chain + 7) / 8 * 8;
    p.bytes = p.chain + TRACE_CHAIN;
    return p;
}

/* chain = SHA-256(chain, bytes). */
static void chain_on(unsigned char chain[TRACE_CHAIN], const void *bytes, size_t size)
{
    sha256(chain, (Bytes[2]){{chain, TRACE_CHAIN}, {bytes, size}}, 2);
}

static void chain_begin(unsigned char chain[TRACE_CHAIN], const json_t *header)
{
    json_t *part = json_object();
    json_object_set(part, "run", json_object_get(header, "run"));
    json_object_set(part, "parameters", json_object_get(header, "parameters"));
    char *text = json_canonical(part);
    sha256(chain, &(Bytes){text, strlen(text)}, 1);
    free(text);
    json_decref(part);
}

/* --- reading --- */

static const json_t *op_of(const TraceReader *r, int op)
{
    return json_array_get(json_object_get(r->header, "ops"), (size_t)op);
}

const char *trace_op(const TraceReader *reader, int op)
{
    return text_of(op_of(reader, op), "name");
}

const char *trace_output(const TraceReader *reader, int op, int output)
{
    const char *name = json_string_value(
        json_array_get(json_object_get(op_of(reader, op), "outputs"), (size_t)output));
    return name ? name : "";
}

const char *trace_parameter(const TraceReader *reader, size_t parameter)
{
    return text_of(json_array_get(json_object_get(reader->header, "parameters"), parameter),
                   "name");
}

/* Bytes of the file as it is now. */
static int file_size(uint64_t *size, const TraceReader *r, Error *error)
{
    struct stat status;
    if (fstat(fileno(r->stream), &status)) {
        return error_set_errno(error, "read", r->path);
    }
    *size = (uint64_t)status.st_size;
    return 0;
}

/* Reads bytes at an offset into the buffer, behind `kept` that are there. */
static int read_on(TraceReader *r, uint64_t kept, uint64_t bytes, Error *error)
{
    if (kept + bytes > r->room) {
        r->room = kept + bytes;
        r->buffer = memory_realloc(r->buffer, r->room, 1);
    }
    if (fseeko(r->stream, (off_t)(r->offset + kept), SEEK_SET) ||
        fread(r->buffer + kept, 1, bytes, r->stream) != bytes) {
        return ferror(r->stream)
                   ? error_set_errno(error, "read", r->path)
                   : error_set(error, EXIT_IO, "cannot read %s: it was cut meanwhile", r->path);
    }
    return 0;
}

/* Every op has a name and names of outputs, every parameter a name. */
static int check_names(const TraceReader *r, Error *error)
{
    const json_t *ops = json_object_get(r->header, "ops"),
                 *parameters = json_object_get(r->header, "parameters");
    int bad = 0;
    for (size_t i = 0; i < json_array_size(ops); i++) {
        const json_t *op = json_array_get(ops, i), *outputs = json_object_get(op, "outputs");
        bad |= !string_of(op, "name") || !json_is_array(outputs) || json_array_size(outputs) > 255;
        for (size_t o = 0; o < json_array_size(outputs); o++) {
            bad |= !json_is_string(json_array_get(outputs, o));
        }
    }
    for (size_t i = 0; i < json_array_size(parameters); i++) {
        bad |= !string_of(json_array_get(parameters, i), "name");
    }
    return bad ? REFUSE("%s: an op or a parameter of its header has no name; the trace is damaged",
                        r->path)
               : 0;
}

static int read_header(TraceReader *r, Error *error)
{
    uint64_t size = 0;
    FileHead head;
    if (file_size(&size, r, error)) {
        return error->code;
    }
    if (!size) {
        return REFUSE("%s: empty; a trace has a header", r->path);
    }
    if (size < sizeof head) {
        return REFUSE("%s: no trace: %llu bytes", r->path, (unsigned long long)size);
    }
    if (read_on(r, 0, sizeof head, error)) {
        return error->code;
    }
    memcpy(&head, r->buffer, sizeof head);
    if (memcmp(head.magic, magic, sizeof magic) != 0) {
        return REFUSE("%s: no trace; name a file that --trace made", r->path);
    }
    if (head.version != TRACE_VERSION) {
        return REFUSE("%s: a trace of version %u; this program reads version %d", r->path,
                      head.version, TRACE_VERSION);
    }
    if (head.length > most_header || head.length % 8 || head.length > size - sizeof head) {
        return REFUSE("%s: its header of %u bytes is cut or damaged", r->path, head.length);
    }
    if (read_on(r, sizeof head, head.length, error) ||
        json_read_bytes(&r->header, r->buffer + sizeof head, head.length, r->path, error)) {
        return error->code;
    }
    const json_t *ops = json_object_get(r->header, "ops"),
                 *parameters = json_object_get(r->header, "parameters"),
                 *layers = json_object_get(r->header, "layers");
    if (!json_is_object(json_object_get(r->header, "run")) ||
        !json_is_object(json_object_get(r->header, "machine")) ||
        !json_is_array(json_object_get(r->header, "command")) || !json_is_array(ops) ||
        !json_is_array(parameters) || !json_is_integer(layers) || json_integer_value(layers) < 0 ||
        json_integer_value(layers) > INT16_MAX || json_array_size(parameters) > UINT32_MAX) {
        return REFUSE("%s: its header lacks run, machine, command, parameters, ops or layers; the "
                      "trace is damaged",
                      r->path);
    }
    r->ops = json_array_size(ops);
    r->parameters = json_array_size(parameters);
    r->layers = (int)json_integer_value(layers);
    r->offset = sizeof head + head.length;
    chain_begin(r->chain, r->header);
    return check_names(r, error);
}

int trace_open(TraceReader *reader, const char *path, Error *error)
{
    struct stat status;
    *reader = (TraceReader){.path = string_copy(path)};
    if (!stat(path, &status) && !S_ISREG(status.st_mode)) { /* of no pipe the rest can wait */
        REFUSE("%s: is %s, not a file; name a trace", path,
               S_ISDIR(status.st_mode) ? "a folder" : "special");
    } else if (!(reader->stream = fopen(path, "rbe"))) {
        error_set_errno(error, "read", path);
    } else if (!read_header(reader, error)) {
        return 0;
    }
    trace_close(reader);
    return error->code;
}

void trace_close(TraceReader *reader)
{
    if (reader->stream) {
        fclose(reader->stream);
    }
    json_decref(reader->header);
    free(reader->path);
    free(reader->buffer);
    *reader = (TraceReader){0};
}

static int damaged(const TraceReader *r, const TraceBlock *block, const char *what, Error *error)
{
    return REFUSE("%s: damaged at step %u, offset %llu: %s", r->path, block->number,
                  (unsigned long long)r->offset, what);
}

/* The block's head and counts, which say how long it is; `whole` is 0 where the file ends before. */
static int read_counts(TraceReader *r, TraceBlock *block, uint64_t left, int *whole, Error *error)
{
    BlockHead head;
    *whole = 0;
    if (left < sizeof head) {
        return 0;
    }
    if (read_on(r, 0, sizeof head, error)) {
        return error->code;
    }
    memcpy(&head, r->buffer, sizeof head);
    block->tag = (TraceTag)head.tag;
    block->number = head.number;
    size_t counts = block->tag == TRACE_STEP         ? sizeof block->step
                    : block->tag == TRACE_EVALUATION ? sizeof block->evaluation
                    : block->tag == TRACE_END        ? sizeof(uint64_t)
                                                     : 0;
    if (!counts) {
        return damaged(r, block, "a block of an unknown kind", error);
    }
    if (block->number < r->step ||
        (block->tag == TRACE_STEP && block->number == r->step && r->blocks)) {
        return damaged(r, block, "its steps do not ascend", error);
    }
    if (left < sizeof head + counts) {
        return 0;
    }
    if (read_on(r, sizeof head, counts, error)) {
        return error->code;
    }
    const unsigned char *at = r->buffer + sizeof head;
    if (block->tag == TRACE_STEP) {
        memcpy(&block->step, at, counts);
        const TraceStep *s = &block->step;
        if (s->parameters != r->parameters || (s->hashes != 1 && s->hashes != TRACE_HASHES) ||
            (s->sketch && s->sketch != TRACE_SKETCH)) {
            return damaged(r, block, "counts that no step has", error);
        }
    } else if (block->tag == TRACE_EVALUATION) {
        memcpy(&block->evaluation, at, counts);
        const TraceEvaluation *e = &block->evaluation;
        if (e->zero || (uint64_t)e->rows * e->columns > most_logits) {
            return damaged(r, block, "counts that no evaluation has", error);
        }
    }
    Parts parts = parts_of(block);
    if (head.bytes != parts.bytes) {
        return damaged(r, block, "its length is not that of its parts", error);
    }
    *whole = left >= parts.bytes;
    return *whole ? read_on(r, sizeof head + counts, parts.bytes - sizeof head - counts, error) : 0;
}

static int check_ops(const TraceReader *r, const TraceBlock *block, Error *error)
{
    for (uint32_t i = 0; i < block->step.ops; i++) {
        const TraceOp *op = &block->ops[i];
        if (op->op >= r->ops || op->pass >= TRACE_PASSES || op->layer < -1 ||
            op->layer >= r->layers || !*trace_output(r, op->op, op->output)) {
            return damaged(r, block, "an op, output, pass or layer that there is not", error);
        }
    }
    return 0;
}

/* The end repeats the chain. */
static int read_end(TraceReader *r, const TraceBlock *block, uint64_t left, Error *error)
{
    Parts parts = parts_of(block);
    uint64_t blocks;
    memcpy(&blocks, r->buffer + sizeof(BlockHead), sizeof blocks);
    if (block->number != r->step || blocks != r->blocks ||
        memcmp(r->buffer + parts.chain, r->chain, TRACE_CHAIN) != 0) {
        return damaged(r, block, "its end is that of another trace", error);
    }
    if (left > parts.bytes) {
        return damaged(r, block, "something follows its end", error);
    }
    r->ended = 1;
    r->cut = 0;
    return 0;
}

int trace_next(TraceReader *reader, TraceBlock *block, Error *error)
{
    TraceReader *r = reader;
    uint64_t size = 0;
    int whole;
    TraceBlock none = {0};
    *block = none;
    if (r->ended) {
        return 0;
    }
    if (file_size(&size, r, error)) {
        return error->code;
    }
    uint64_t left = size > r->offset ? size - r->offset : 0;
    if (read_counts(r, block, left, &whole, error)) {
        return error->code;
    }
    if (!whole || block->tag == TRACE_END) {
        r->cut = left;
        int code = whole ? read_end(r, block, left, error) : 0;
        *block = none;
        return code;
    }
    Parts parts = parts_of(block);
    chain_on(r->chain, r->buffer, parts.chain);
    if (memcmp(r->chain, r->buffer + parts.chain, TRACE_CHAIN) != 0) {
        return REFUSE("%s: chain broken at step %u; what stands there is not what the run wrote",
                      r->path, block->number);
    }
    memcpy(block->chain, r->chain, TRACE_CHAIN);
    /* the buffer is aligned as malloc's memory, the parts are to their types */
    block->ops = (const TraceOp *)(const void *)(r->buffer + parts.ops);
    block->hashes = (const uint64_t *)(const void *)(r->buffer + parts.hashes);
    block->sketch = (const uint64_t *)(const void *)(r->buffer + parts.sketch);
    block->losses = (const float *)(const void *)(r->buffer + parts.losses);
    block->logits = (const float *)(const void *)(r->buffer + parts.logits);
    if (block->tag == TRACE_STEP && check_ops(r, block, error)) {
        return error->code;
    }
    r->step = block->number;
    r->blocks++;
    r->offset += parts.bytes;
    r->cut = 0;
    return 0;
}

/* --- writing --- */

/* The stream has no buffer: what was written is in the file. */
static int write_bytes(const TraceWriter *w, const void *bytes, size_t size, Error *error)
{
    return fwrite(bytes, 1, size, w->stream) == size ? 0 : error_set_errno(error, "write", w->path);
}

int trace_create(TraceWriter *writer, const char *path, json_t *header, Error *error)
{
    char *text = json_canonical(header);
    size_t length = strlen(text), padded = (length + 7) / 8 * 8;
    FileHead head = {.version = TRACE_VERSION, .length = (uint32_t)padded};
    memcpy(head.magic, magic, sizeof magic);
    *writer = (TraceWriter){.path = string_copy(path), .stream = fopen(path, "wbe")};
    chain_begin(writer->chain, header);
    int code = writer->stream ? 0 : error_set_create(error, path);
    if (!code) {
        setvbuf(writer->stream, NULL, _IONBF, 0);
        char *bytes = memory_alloc(sizeof head + padded, 1);
        memcpy(bytes, &head, sizeof head);
        memcpy(bytes + sizeof head, text, length);
        memset(bytes + sizeof head + length, ' ', padded - length);
        code = write_bytes(writer, bytes, sizeof head + padded, error);
        if (!code && path_sync(path)) { /* a run can only go on with a trace that is there */
            code = error_set_errno(error, "create", path);
        }
        free(bytes);
    }
    free(text);
    json_decref(header);
    if (code) {
        if (writer->stream) {
            fclose(writer->stream);
        }
        free(writer->path);
        *writer = (TraceWriter){0};
    }
    return code;
}

static void put(unsigned char *bytes, uint64_t at, const void *from, size_t size)
{
    if (size) {
        memcpy(bytes + at, from, size);
    }
}

static unsigned char *block_bytes(const TraceBlock *block, const Parts *parts)
{
    unsigned char *bytes = memory_calloc(parts->bytes, 1);
    BlockHead head = {block->tag, block->number, parts->bytes};
    const TraceStep *s = &block->step;
    const TraceEvaluation *e = &block->evaluation;
    put(bytes, 0, &head, sizeof head);
    if (block->tag == TRACE_STEP) {
        put(bytes, sizeof head, s, sizeof *s);
        put(bytes, parts->ops, block->ops, s->ops * sizeof *block->ops);
        put(bytes, parts->hashes, block->hashes,
            (size_t)s->parameters * s->hashes * sizeof *block->hashes);
        put(bytes, parts->sketch, block->sketch, s->sketch * sizeof *block->sketch);
        put(bytes, parts->losses, block->losses, s->losses * sizeof *block->losses);
        put(bytes, parts->logits, block->logits, s->logits * sizeof *block->logits);
    } else {
        put(bytes, sizeof head, e, sizeof *e);
        put(bytes, parts->logits, block->logits,
            (size_t)e->rows * e->columns * sizeof *block->logits);
    }
    return bytes;
}

int trace_write(TraceWriter *writer, TraceBlock *block, Error *error)
{
    Parts parts = parts_of(block);
    unsigned char *bytes = block_bytes(block, &parts);
    chain_on(writer->chain, bytes, parts.chain);
    memcpy(block->chain, writer->chain, TRACE_CHAIN);
    memcpy(bytes + parts.chain, writer->chain, TRACE_CHAIN);
    int code = write_bytes(writer, bytes, parts.bytes, error);
    writer->step = block->number;
    writer->blocks++;
    free(bytes);
    return code;
}

int trace_finish(TraceWriter *writer, int whole, Error *error)
{
    int code = 0;
    if (whole) {
        TraceBlock end = {.tag = TRACE_END};
        Parts parts = parts_of(&end);
        BlockHead head = {TRACE_END, writer->step, parts.bytes};
        unsigned char bytes[sizeof head + sizeof writer->blocks + TRACE_CHAIN];
        put(bytes, 0, &head, sizeof head);
        put(bytes, sizeof head, &writer->blocks, sizeof writer->blocks);
        put(bytes, parts.chain, writer->chain, TRACE_CHAIN);
        code = write_bytes(writer, bytes, sizeof bytes, error);
        if (!code && file_sync(fileno(writer->stream))) {
            code = error_set_errno(error, "write", writer->path);
        }
    }
    if (fclose(writer->stream) && !code) {
        code = error_set_errno(error, "write", writer->path);
    }
    free(writer->path);
    *writer = (TraceWriter){0};
    return code;
}
