/* Traces: what was written is read; a cut one up to its last whole block; a damaged one not at
 * all. */
#include "check.h"
#include "trace.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PARAMETERS = 3, OPS = 5, LOSSES = 3, LOGITS = 6, ROWS = 2, COLUMNS = 3 };

static json_t *header(const char *recipe)
{
    return json_pack("{s:{s:s}, s:{s:i}, s:[s, s], s:s, s:[{s:s, s:[i, i], s:s}, {s:s}, {s:s}], "
                     "s:[{s:s, s:[s, s]}, {s:s, s:[s]}], s:i}",
                     "run", "recipe", recipe, "machine", "threads", 2, "command", "train_gpt",
                     "--quiet", "folder", "/", "parameters", "name", "a.weight", "shape", 2, 3,
                     "group", "decay", "name", "b", "name", "c", "ops", "name", "first", "outputs",
                     "out", "mean", "name", "second", "outputs", "dx", "layers", 2);
}

/* The block of step n; the second step is of level weights and has no sketch. */
static TraceBlock step_block(uint32_t n)
{
    static TraceOp ops[OPS];
    static uint64_t hashes[PARAMETERS * TRACE_HASHES], sketch[TRACE_SKETCH];
    static float losses[LOSSES], logits[LOGITS];
    int all = n != 2;
    for (int i = 0; i < OPS; i++) {
        ops[i] = (TraceOp){.hash = n * 1000u + (unsigned)i,
                           .rows = 4,
                           .columns = 1u << i,
                           .layer = (int16_t)(i % 3 - 1),
                           .op = (uint16_t)(i % 2),
                           .pass = (uint8_t)i};
    }
    for (int i = 0; i < PARAMETERS * TRACE_HASHES; i++) {
        hashes[i] = n * 0x9E3779B97F4A7C15u + (unsigned)i;
    }
    for (int i = 0; i < TRACE_SKETCH; i++) {
        sketch[i] = n + (unsigned)i;
    }
    for (int i = 0; i < LOSSES; i++) {
        losses[i] = (float)n + 0.5f * (float)i;
        logits[i] = -losses[i];
    }
    TraceBlock block = {.tag = TRACE_STEP, .number = n};
    block.step = (TraceStep){.loss = 1.5 * n,
                             .terms = LOSSES,
                             .norm = 0.25,
                             .lr = 1e-3,
                             .micro_batches = all,
                             .ops = all ? OPS : 0,
                             .parameters = PARAMETERS,
                             .hashes = all ? TRACE_HASHES : 1,
                             .sketch = all ? TRACE_SKETCH : 0,
                             .losses = all ? LOSSES : 0,
                             .logits = all ? LOGITS : 0};
    block.ops = ops;
    block.hashes = hashes;
    block.sketch = sketch;
    block.losses = losses;
    block.logits = logits;
    return block;
}

static TraceBlock evaluation_block(uint32_t n)
{
    static const float logits[ROWS * COLUMNS] = {1, 2, 3, 4, 5, -0.0f};
    TraceBlock block = {.tag = TRACE_EVALUATION, .number = n};
    block.evaluation = (TraceEvaluation){
        .metric = 0.5, .loss = 0.7, .epoch = 1, .rows = ROWS, .columns = COLUMNS};
    block.logits = logits;
    return block;
}

static int equal(const TraceBlock *a, const TraceBlock *b)
{
    const TraceStep *s = &a->step;
    if (a->tag != b->tag || a->number != b->number) {
        return 0;
    }
    if (a->tag == TRACE_EVALUATION) {
        return !memcmp(&a->evaluation, &b->evaluation, sizeof a->evaluation) &&
               !memcmp(a->logits, b->logits, ROWS * COLUMNS * sizeof(float));
    }
    return !memcmp(s, &b->step, sizeof *s) && !memcmp(a->ops, b->ops, s->ops * sizeof *a->ops) &&
           !memcmp(a->hashes, b->hashes, (size_t)s->parameters * s->hashes * sizeof *a->hashes) &&
           !memcmp(a->sketch, b->sketch, s->sketch * sizeof *a->sketch) &&
           !memcmp(a->losses, b->losses, s->losses * sizeof *a->losses) &&
           !memcmp(a->logits, b->logits, s->logits * sizeof *a->logits);
}

enum { BLOCKS = 4 }; /* step 1, step 2, an evaluation, step 3 */
static TraceBlock block_of(int i)
{
    return i == 2 ? evaluation_block(2) : step_block(i < 2 ? (uint32_t)i + 1 : 3);
}

/* Where the blocks end in the file: [0] is the end of the header. */
static uint64_t ends[BLOCKS + 1];

/* Writes the trace, and reads it after every block as it grows. */
static void write_trace(const char *path)
{
    TraceWriter writer;
    TraceReader reader;
    TraceBlock block, written;
    Error error;
    CHECK(!trace_create(&writer, path, header("x"), &error), "%s", error.text);
    CHECK(!trace_open(&reader, path, &error), "%s", error.text);
    ends[0] = reader.offset;
    for (int i = 0; i < BLOCKS; i++) {
        CHECK(!trace_next(&reader, &block, &error) && !block.tag && !reader.ended && !reader.cut,
              "block %d was read before it was written", i);
        written = block_of(i);
        CHECK(!trace_write(&writer, &written, &error), "%s", error.text);
        CHECK(!trace_next(&reader, &block, &error) && equal(&block, &written), "block %d", i);
        CHECK(!memcmp(block.chain, written.chain, TRACE_CHAIN), "chain of block %d", i);
        ends[i + 1] = reader.offset;
    }
    CHECK(!trace_finish(&writer, 1, &error), "%s", error.text);
    CHECK(!trace_next(&reader, &block, &error) && !block.tag && reader.ended, "%s", error.text);
    CHECK(!strcmp(trace_op(&reader, 1), "second") && !*trace_op(&reader, 2), "names of ops");
    CHECK(!strcmp(trace_output(&reader, 0, 1), "mean") && !*trace_output(&reader, 1, 1),
          "names of outputs");
    CHECK(!strcmp(trace_parameter(&reader, 0), "a.weight"), "names of parameters");
    trace_close(&reader);
}

/* Reads to the end. Returns the code; how many blocks there were, whether the end, what was cut. */
static int read_all(const char *path, int *blocks, int *ended, uint64_t *cut, Error *error)
{
    TraceReader reader;
    TraceBlock block;
    *blocks = 0;
    int code = trace_open(&reader, path, error);
    if (code) {
        return code;
    }
    while (!(code = trace_next(&reader, &block, error)) && block.tag) {
        TraceBlock written = block_of(*blocks);
        CHECK(equal(&block, &written), "block %d is another", *blocks);
        ++*blocks;
    }
    *ended = reader.ended;
    *cut = reader.cut;
    trace_close(&reader);
    return code;
}

static char *file_bytes(const char *path, size_t *size)
{
    File file;
    Error error;
    CHECK(!file_map(&file, path, &error), "%s", error.text);
    char *bytes = memory_alloc(file.size, 1);
    memcpy(bytes, file.bytes, file.size);
    *size = file.size;
    file_unmap(&file);
    return bytes;
}

static void write_bytes(const char *path, const char *bytes, size_t size)
{
    FILE *stream = fopen(path, "wb");
    CHECK(stream && fwrite(bytes, 1, size, stream) == size && !fclose(stream), "write %s", path);
}

/* Every length: what is whole is read, and no more. */
static void test_cut(const char *path, const char *bytes, size_t size)
{
    for (size_t length = 0; length < size; length++) {
        int blocks, ended = 0, whole = 0;
        uint64_t cut = 0;
        Error error = {0};
        write_bytes(path, bytes, length);
        int code = read_all(path, &blocks, &ended, &cut, &error);
        if (length < ends[0]) {
            CHECK(code == EXIT_BAD_DATA, "%zu bytes: %d", length, code);
            continue;
        }
        while (whole < BLOCKS && ends[whole + 1] <= length) {
            whole++;
        }
        CHECK(!code && blocks == whole && !ended && cut == length - ends[whole],
              "%zu bytes: code %d, %d blocks, %llu cut: %s", length, code, blocks,
              (unsigned long long)cut, error.text);
    }
}

/* Every byte, one bit changed: nothing of its block or behind it is read. */
static void test_damage(const char *path, char *bytes, size_t size)
{
    int chain = 0;
    for (size_t at = 0; at < size; at++) {
        for (int bit = 0; bit < 8; bit += 7) {
            int blocks, ended = 0, before = 0;
            uint64_t cut = 0;
            Error error = {0};
            bytes[at] = (char)(bytes[at] ^ 1 << bit);
            write_bytes(path, bytes, size);
            bytes[at] = (char)(bytes[at] ^ 1 << bit);
            int code = read_all(path, &blocks, &ended, &cut, &error);
            while (before < BLOCKS && ends[before + 1] <= at) {
                before++;
            }
            chain += strstr(error.text, "chain broken at step") != NULL;
            /* machine, command and ops are outside of the chain: they may read as others */
            CHECK((at < ends[0] && !code) ||
                      (code == EXIT_BAD_DATA && blocks == (at < ends[0] ? 0 : before)) ||
                      (!code && !ended && at >= ends[0] && blocks == before),
                  "byte %zu, bit %d: code %d, %d blocks: %s", at, bit, code, blocks, error.text);
        }
    }
    CHECK(chain > 1000, "only %d of the damages broke the chain", chain);
}

/* What opens with one line and 65, or 66. */
static void test_refusals(const char *path, char *bytes, size_t size)
{
    int blocks, ended;
    uint64_t cut;
    Error error;
    CHECK(read_all("/nowhere/x.trace", &blocks, &ended, &cut, &error) == EXIT_NO_INPUT, "missing");
    CHECK(read_all(scratch_folder(), &blocks, &ended, &cut, &error) == EXIT_BAD_DATA &&
              strstr(error.text, "is a folder"),
          "%s", error.text);
    CHECK(read_all("/dev/null", &blocks, &ended, &cut, &error) == EXIT_BAD_DATA &&
              strstr(error.text, "is special"),
          "%s", error.text);
    char *pipe = scratch_path("pipe");
    CHECK(!mkfifo(pipe, 0600) && read_all(pipe, &blocks, &ended, &cut, &error) == EXIT_BAD_DATA &&
              strstr(error.text, "is special"),
          "%s", error.text);
    free(pipe);
    write_bytes(path, bytes, 0);
    CHECK(read_all(path, &blocks, &ended, &cut, &error) == EXIT_BAD_DATA &&
              strstr(error.text, "empty"),
          "%s", error.text);
    bytes[8] = 2;
    write_bytes(path, bytes, size);
    bytes[8] = 1;
    CHECK(read_all(path, &blocks, &ended, &cut, &error) == EXIT_BAD_DATA &&
              strstr(error.text, "version 2"),
          "%s", error.text);
    bytes[size] = 'x'; /* one more */
    write_bytes(path, bytes, size + 1);
    CHECK(read_all(path, &blocks, &ended, &cut, &error) == EXIT_BAD_DATA &&
              strstr(error.text, "follows its end"),
          "%s", error.text);
    /* two steps changed places */
    char *other = memory_alloc(size, 1);
    size_t first = ends[1] - ends[0], second = ends[2] - ends[1];
    memcpy(other, bytes, size);
    memcpy(other + ends[0], bytes + ends[1], second);
    memcpy(other + ends[0] + second, bytes + ends[0], first);
    write_bytes(path, other, size);
    CHECK(read_all(path, &blocks, &ended, &cut, &error) == EXIT_BAD_DATA &&
              strstr(error.text, "chain broken at step 2"),
          "%s", error.text);
    free(other);
}

/* What decides the chain, and what does not. */
static void test_chain(const char *path)
{
    unsigned char chain[3][TRACE_CHAIN];
    for (int i = 0; i < 3; i++) {
        TraceWriter writer;
        Error error;
        TraceBlock block = step_block(1);
        json_t *head = header(i == 2 ? "y" : "x");
        if (i == 1) {
            json_object_set_new(json_object_get(head, "machine"), "threads", json_integer(1));
            json_array_append_new(json_object_get(head, "command"), json_string("--threads"));
        }
        CHECK(!trace_create(&writer, path, head, &error), "%s", error.text);
        CHECK(!trace_write(&writer, &block, &error), "%s", error.text);
        CHECK(!trace_finish(&writer, 0, &error), "%s", error.text);
        memcpy(chain[i], block.chain, TRACE_CHAIN);
    }
    CHECK(!memcmp(chain[0], chain[1], TRACE_CHAIN), "the machine is in the chain");
    CHECK(memcmp(chain[0], chain[2], TRACE_CHAIN) != 0, "the recipe is not in the chain");
    char hex[65];
    const unsigned char bytes[TRACE_CHAIN] = {0xAB, 1};
    sha256_text(hex, bytes);
    CHECK(!strncmp(hex, "ab0100", 6) && strlen(hex) == 64, "%s", hex);
}

static void test_unwritable(void)
{
    TraceWriter writer;
    Error error;
    TraceBlock block = step_block(1);
    CHECK(trace_create(&writer, "/nowhere/x", header("x"), &error) == EXIT_BUSY, "%s", error.text);
    CHECK(trace_create(&writer, "/dev/full", header("x"), &error) == EXIT_IO, "%s", error.text);
    CHECK(!trace_create(&writer, "/dev/null", header("x"), &error), "%s", error.text);
    CHECK(!trace_write(&writer, &block, &error) && !trace_finish(&writer, 1, &error), "%s",
          error.text);
}

/* Copies a trace without one of its blocks, with a chain of its own: what a fault of the writer, or
 * someone who wants to, could leave. */
static int copy_without(const char *block, const char *from, const char *to)
{
    TraceReader reader;
    TraceWriter writer;
    TraceBlock next;
    Error error;
    int without = atoi(block), at = 0;
    if (trace_open(&reader, from, &error) ||
        trace_create(&writer, to, json_incref(reader.header), &error)) {
        return error.code;
    }
    while (!trace_next(&reader, &next, &error) && next.tag) {
        if (at++ != without && trace_write(&writer, &next, &error)) {
            return error.code;
        }
    }
    trace_close(&reader);
    return trace_finish(&writer, 1, &error) ? error.code : 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && !strcmp(argv[1], "--without-block")) {
        return copy_without(argv[2], argv[3], argv[4]);
    }
    char *path = scratch_path("x.trace"), *other = scratch_path("other.trace");
    size_t size;
    write_trace(path);
    char *bytes = file_bytes(path, &size);
    bytes = memory_realloc(bytes, size + 1, 1);
    test_cut(other, bytes, size);
    test_damage(other, bytes, size);
    test_refusals(other, bytes, size);
    test_chain(other);
    test_unwritable();
    free(bytes);
    free(path);
    free(other);
    return checks_close("trace");
}
