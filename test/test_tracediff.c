/* tracediff on traces that are made here: whatever one value of one block is changed, that is what
 * differs first; growth of known distances; refusals. */
#include "check.h"
#include "trace_compare.h"
#include "trace_growth.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 4, PARAMETERS = 3, OPS = 7, EXAMPLES = 4, COLUMNS = 2 };

/* What is changed in a trace. */
typedef struct Change {
    uint32_t step; /* 0: nothing */
    enum {
        OP,
        ONE_OP_LESS,
        LOGITS,
        LOSS_OF_EXAMPLE,
        LOSS,
        NORM,
        HASH,
        SKETCH,
        TERMS,
        EPOCH,
        EVALUATION
    } what;
    int at;
} Change;

/* And in its header. */
typedef struct Made {
    const char *lr, *kernels, *data, *simd;
    int micro, level_weights, every, numbered_otherwise;
    uint32_t steps; /* 0: STEPS */
    int whole;
} Made;
static const Made plain = {"0.001", "", "d", "avx2", 2, 0, 1, 0, 0, 1};

static json_t *header(const Made *m)
{
    json_t *o = json_pack(
        "{s:{s:{s:s, s:s}, s:s, s:i, s:i}, s:{s:s, s:s}, s:[s], s:s, s:[{s:s}, {s:s}, {s:s}], "
        "s:i}",
        "run", "hparams", "lr", m->lr, "kernels", m->kernels, "train_sha256", m->data,
        "micro_batch", m->micro, "every", m->every, "machine", "simd", m->simd, "created", "now",
        "command", "train_gpt", "folder", "/", "parameters", "name", "a", "name", "b", "name", "c",
        "layers", 2);
    json_t *ops = m->numbered_otherwise
                      ? json_pack("[{s:s, s:[s]}, {s:s, s:[s, s]}]", "name", "second", "outputs",
                                  "dx", "name", "first", "outputs", "out", "mean")
                      : json_pack("[{s:s, s:[s, s]}, {s:s, s:[s]}]", "name", "first", "outputs",
                                  "out", "mean", "name", "second", "outputs", "dx");
    json_object_set_new(o, "ops", ops);
    return o;
}

/* With EVALUATION, 1 the weights are apart by 1e-3 n of their norm from step 1 on. */
static void write_trace(const char *path, const Made *m, const Change *c)
{
    static TraceOp ops[OPS];
    static uint64_t hashes[PARAMETERS * TRACE_HASHES], sketch[TRACE_SKETCH];
    static float losses[EXAMPLES], logits[EXAMPLES * COLUMNS];
    TraceWriter writer;
    Error error = {0};
    uint32_t steps = m->steps ? m->steps : STEPS;
    CHECK(!trace_create(&writer, path, header(m), &error), "%s", error.text);
    for (uint32_t n = 1; n <= steps; n++) {
        int here = c->step == n, passes[OPS] = {0, 1, 1, 2, 3, 4, 5};
        for (int i = 0; i < OPS; i++) {
            int op = i % 2;
            ops[i] = (TraceOp){.hash = 1000 * n + (unsigned)i +
                                       (here && c->what == OP && c->at == i),
                               .rows = 3,
                               .columns = (unsigned)i + 1,
                               .micro = i == 5,
                               .layer = (int16_t)(i % 3 - 1),
                               .op = (uint16_t)(m->numbered_otherwise ? 1 - op : op),
                               .output = i == 2,
                               .pass = (uint8_t)passes[i]};
            if (m->micro != plain.micro) {
                ops[i].hash ^= passes[i] == TRACE_OPTIMIZER ? 0 : 1u << 20;
                ops[i].micro++;
            }
        }
        for (int i = 0; i < PARAMETERS * TRACE_HASHES; i++) {
            hashes[i] = n + 100 * (unsigned)i + (here && c->what == HASH && c->at == i);
        }
        for (int i = 0; i < TRACE_SKETCH; i++) {
            double w = (i % 2 ? -1.0 : 1.0) * 1099511627776.0; /* 2^40 */
            int grows = c->what == EVALUATION && c->at;
            sketch[i] = (uint64_t)(int64_t)(w + (grows ? w * 1e-3 * n : 0)) +
                        (here && c->what == SKETCH && c->at == i);
        }
        for (int i = 0; i < EXAMPLES; i++) {
            losses[i] = (float)n + (here && c->what == LOSS_OF_EXAMPLE && c->at == i);
        }
        for (int i = 0; i < EXAMPLES * COLUMNS; i++) {
            logits[i] = (float)(i + 1) + (here && c->what == LOGITS && c->at == i);
        }
        TraceBlock block = {.tag = TRACE_STEP, .number = n};
        block.step = (TraceStep){.loss = 10.0 / n + (here && c->what == LOSS),
                                 .terms = EXAMPLES - (here && c->what == TERMS),
                                 .epoch = here && c->what == EPOCH,
                                 .norm = 0.5 + (here && c->what == NORM),
                                 .lr = 1e-3,
                                 .micro_batches = m->level_weights ? 0 : 2,
                                 .ops = m->level_weights ? 0
                                                         : OPS - (here && c->what == ONE_OP_LESS),
                                 .parameters = PARAMETERS,
                                 .hashes = m->level_weights ? 1 : TRACE_HASHES,
                                 .sketch = TRACE_SKETCH,
                                 .losses = m->level_weights ? 0 : EXAMPLES,
                                 .logits = m->level_weights ? 0 : EXAMPLES * COLUMNS};
        block.ops = ops;
        uint64_t weights[PARAMETERS];
        for (int i = 0; i < PARAMETERS; i++) {
            weights[i] = hashes[i * TRACE_HASHES];
        }
        block.hashes = m->level_weights ? weights : hashes;
        block.sketch = sketch;
        block.losses = losses;
        block.logits = logits;
        if (n % (uint32_t)m->every == 0) {
            CHECK(!trace_write(&writer, &block, &error), "%s", error.text);
        }
        if (n % 2 == 0) { /* the last example's class is another one */
            for (int i = 0; i < EXAMPLES * COLUMNS; i++) {
                logits[i] = (float)(i + 1);
            }
            if (c->step) {
                logits[EXAMPLES * COLUMNS - 1] -= 2;
            }
            if (c->step && !(here && c->what == EVALUATION)) {
                logits[EXAMPLES * COLUMNS - 1] += n < c->step || c->what != EVALUATION ? 2 : 0;
            }
            TraceBlock e = {.tag = TRACE_EVALUATION, .number = n};
            e.evaluation = (TraceEvaluation){
                .metric = 0.5, .loss = 1, .rows = EXAMPLES, .columns = COLUMNS};
            e.logits = logits;
            CHECK(!trace_write(&writer, &e, &error), "%s", error.text);
        }
    }
    CHECK(!trace_finish(&writer, m->whole, &error), "%s", error.text);
}

static json_t *compared(const char *a, const char *b, Error *error)
{
    TraceReader x, y;
    json_t *result = NULL;
    if (trace_open(&x, a, error)) {
        return NULL;
    }
    if (!trace_open(&y, b, error)) {
        (void)trace_compare(&result, &x, &y, error);
        trace_close(&y);
    }
    trace_close(&x);
    return result;
}

static char *place_of(const json_t *result)
{
    const json_t *first = json_object_get(result, "first");
    return first ? trace_place(first) : string_copy("equal");
}

static char *path_a, *path_b;

/* Writes both and says what differs first, or the error. */
static void expect(const Made *a, const Made *b, Change change, const char *place)
{
    Error error = {0};
    write_trace(path_a, a, &(Change){0});
    write_trace(path_b, b, &change);
    json_t *result = compared(path_a, path_b, &error);
    char *found = result ? place_of(result) : string_copy(error.text);
    CHECK(strstr(found, place) != NULL, "expected %s, found %s", place, found);
    CHECK(result || error.code == EXIT_BAD_DATA, "exit code %d", error.code);
    free(found);
    json_decref(result);
}

static void test_first(void)
{
    expect(&plain, &plain, (Change){0}, "equal");
    static const char *const ops[OPS] = {
        "step 3, micro-batch 0, embed: out [3, 1] of first",
        "step 3, micro-batch 0, forward, layer 0: dx [3, 2] of second",
        "step 3, micro-batch 0, forward, layer 1: mean [3, 3] of first",
        "step 3, micro-batch 0, head: dx [3, 4] of second",
        "step 3, micro-batch 0, loss, layer 0: out [3, 5] of first",
        "step 3, micro-batch 1, backward, layer 1: dx [3, 6] of second",
        "step 3, micro-batch 0, optimizer: out [3, 7] of first",
    };
    Made renumbered = plain, cut = plain, weights = plain, other = plain, every = plain;
    renumbered.numbered_otherwise = 1;
    cut.whole = 0;
    weights.level_weights = 1;
    other.micro = 1;
    every.every = 2;
    expect(&plain, &renumbered, (Change){0}, "equal");
    expect(&plain, &cut, (Change){0}, "equal");
    expect(&plain, &weights, (Change){0}, "equal");
    expect(&plain, &other, (Change){0}, "equal");
    expect(&plain, &every, (Change){0}, "equal");
    for (int i = 0; i < OPS; i++) {
        expect(&plain, &plain, (Change){3, OP, i}, ops[i]);
        expect(&plain, &renumbered, (Change){3, OP, i}, ops[i]);
        expect(&plain, &weights, (Change){3, OP, i}, "equal");
        expect(&plain, &other, (Change){3, OP, i}, i == OPS - 1 ? ops[i] : "equal");
        expect(&plain, &every, (Change){4, OP, i}, "step 4, ");
    }
    expect(&plain, &plain, (Change){2, ONE_OP_LESS, 0}, "step 2, micro-batch 0, optimizer");
    expect(&plain, &other, (Change){2, LOGITS, 5}, "step 2: logits");
    expect(&plain, &other, (Change){2, LOSS_OF_EXAMPLE, 3}, "step 2: loss of an example");
    expect(&plain, &weights, (Change){4, LOSS, 0}, "step 4: loss");
    expect(&weights, &weights, (Change){1, NORM, 0}, "step 1: norm");
    static const char *const kinds[] = {"weight", "gradient", "m", "v"};
    for (int i = 0; i < PARAMETERS * TRACE_HASHES; i++) {
        char place[64];
        snprintf(place, sizeof place, "step 2: %s of %c", kinds[i % TRACE_HASHES],
                 'a' + i / TRACE_HASHES);
        expect(&plain, &other, (Change){2, HASH, i}, place);
        expect(&plain, &weights, (Change){2, HASH, i}, i % TRACE_HASHES ? "equal" : place);
    }
    expect(&plain, &weights, (Change){3, SKETCH, TRACE_SKETCH - 1},
           "step 3: sketch of the weights");
    expect(&plain, &weights, (Change){3, TERMS, 0}, "step 3: number of losses");
    expect(&plain, &weights, (Change){3, EPOCH, 0}, "step 3: epoch");
    expect(&plain, &every, (Change){2, EVALUATION, 0}, "step 2: logits of the evaluation");
}

static void test_refusals(void)
{
    Made lr = plain, data = plain, studied = plain, none = plain;
    lr.lr = "0.002";
    data.data = "e";
    studied.kernels = "layernorm_forward=float64";
    studied.simd = "scalar";
    none.steps = 1;
    none.every = 2;
    expect(&plain, &lr, (Change){0}, "lr is 0.001 in one, 0.002 in the other");
    expect(&plain, &data, (Change){0}, "train_sha256 is d in one, e in the other");
    expect(&plain, &none, (Change){0}, "no step in common");
    expect(&plain, &studied, (Change){0}, "equal");
    Error error = {0};
    json_t *result = compared(path_a, path_b, &error);
    const json_t *receipts = json_object_get(result, "receipts");
    CHECK(json_array_size(receipts) == 2, "%zu receipts", json_array_size(receipts));
    CHECK(!strcmp(text_of(json_array_get(receipts, 0), "key"), "kernels"), "kernels");
    CHECK(!strcmp(text_of(json_array_get(receipts, 1), "part"), "machine"), "machine");
    json_decref(result);
    /* a byte of the third step */
    write_trace(path_b, &plain, &(Change){0});
    FILE *file = fopen(path_b, "r+b");
    CHECK(file != NULL, "cannot open %s", path_b);
    if (file) {
        fseek(file, -2000, SEEK_END);
        int byte = fgetc(file);
        fseek(file, -2000, SEEK_END);
        fputc(byte ^ 1, file);
        fclose(file);
    }
    CHECK(!compared(path_a, path_b, &error) && error.code == EXIT_BAD_DATA &&
              strstr(error.text, "chain broken at step 4"),
          "%s", error.text);
}

static void test_growth(void)
{
    TraceReader a, b;
    Error error = {0};
    json_t *growth = NULL;
    write_trace(path_a, &plain, &(Change){0});
    write_trace(path_b, &plain, &(Change){3, EVALUATION, 1});
    CHECK(!trace_open(&a, path_a, &error) && !trace_open(&b, path_b, &error), "%s", error.text);
    CHECK(!trace_growth(&growth, &a, &b, &error), "%s", error.text);
    const json_t *pair = json_array_get(json_object_get(growth, "pairs"), 0),
                 *steps = json_object_get(pair, "steps"),
                 *evaluations = json_object_get(pair, "evaluations");
    CHECK(json_array_size(steps) == STEPS, "%zu steps", json_array_size(steps));
    for (size_t n = 1; n <= STEPS; n++) {
        double weights = json_number_value(
            json_object_get(json_array_get(steps, n - 1), "weights"));
        CHECK(fabs(weights - 1e-3 * (double)n) < 1e-9, "distance %g at step %zu", weights, n);
    }
    for (size_t i = 0; i < 2; i++) {
        const json_t *point = json_array_get(evaluations, i);
        double flipped = json_number_value(json_object_get(point, "flipped")),
               logits = json_number_value(json_object_get(point, "logits"));
        /* squares of 1 to 8 sum up to 204 */
        CHECK(fabs(flipped - (i ? 0.25 : 0)) < 1e-12, "flipped %g", flipped);
        CHECK(fabs(logits - (i ? 2 / sqrt(204) : 0)) < 1e-9, "logits %g", logits);
    }
    json_decref(growth);
    trace_close(&a);
    trace_close(&b);
}

/* Makes the chains of all blocks behind the header anew. */
static void chain_again(unsigned char *bytes, size_t size, size_t at,
                        const unsigned char first[TRACE_CHAIN])
{
    unsigned char chain[TRACE_CHAIN];
    memcpy(chain, first, TRACE_CHAIN);
    while (at < size) {
        uint64_t block;
        memcpy(&block, bytes + at + 8, sizeof block);
        if (block < 16 + TRACE_CHAIN || block > size - at) {
            return;
        }
        if (memcmp(bytes + at, "End.", 4) != 0) { /* it repeats the chain */
            sha256(chain,
                   (Bytes[2]){{chain, TRACE_CHAIN}, {bytes + at, block - TRACE_CHAIN}}, 2);
        }
        memcpy(bytes + at + block - TRACE_CHAIN, chain, TRACE_CHAIN);
        at += block;
    }
}

/* Puts words into the file at a place, with chains that fit: it is refused, or differs. */
static void forge(const File *file, const TraceReader *reader, size_t at, size_t result_of[2])
{
    static const uint32_t words[] = {0, 1, 0x7FC00000, 0x80000000, UINT32_MAX};
    unsigned char *bytes = memory_alloc(file->size, 1);
    for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
        Error error = {0};
        if (!memcmp(file->bytes + at, &words[w], sizeof words[w])) {
            continue;
        }
        memcpy(bytes, file->bytes, file->size);
        memcpy(bytes + at, &words[w], sizeof words[w]);
        chain_again(bytes, file->size, reader->offset, reader->chain);
        FILE *stream = fopen(path_b, "wb");
        CHECK(stream && fwrite(bytes, 1, file->size, stream) == file->size && !fclose(stream),
              "%s cannot be written", path_b);
        json_t *result = compared(path_a, path_b, &error);
        CHECK(result ? !json_is_true(json_object_get(result, "equal"))
                     : error.code == EXIT_BAD_DATA,
              "word %zu as %x: %s", (at - reader->offset) / 4, words[w],
              result ? "equal" : error.text);
        result_of[result != NULL]++;
        json_decref(result);
    }
    free(bytes);
}

/* The counts of step 1, of step 2 and its evaluation, and every 37th word behind them. The number of
 * step 1 is left as it is: 0 would be the block before it, which the other trace has not. */
static void test_forged(void)
{
    TraceReader reader;
    File file;
    Error error = {0};
    size_t result_of[2] = {0};
    write_trace(path_a, &plain, &(Change){0});
    CHECK(!trace_open(&reader, path_a, &error) && !file_map(&file, path_a, &error), "%s",
          error.text);
    size_t at = reader.offset;
    for (int i = 0; i < 3; i++) {
        uint64_t block;
        memcpy(&block, file.bytes + at + 8, sizeof block);
        for (size_t k = i ? 0 : 8; k < block - TRACE_CHAIN; k += k < 80 ? 4 : 4 * 37) {
            forge(&file, &reader, at + k, result_of);
        }
        at += block;
    }
    CHECK(result_of[0] > 50 && result_of[1] > 200, "%zu refused, %zu differ", result_of[0],
          result_of[1]);
    file_unmap(&file);
    trace_close(&reader);
}

int main(void)
{
    path_a = scratch_path("a.trace");
    path_b = scratch_path("b.trace");
    test_first();
    test_refusals();
    test_growth();
    test_forged();
    free(path_a);
    free(path_b);
    return checks_close("tracediff");
}
