/* Traces, docs/FORMATS.md "Traces": what a run computed, step by step, as hashes, and a chain over
 * it. A trace grows while its run goes on and may be read meanwhile; what is read is whole blocks.
 *
 *     header   what decides the bits of the run, the machine, names
 *     blocks   of a step, of an evaluation; each ends with the chain:
 *              SHA-256(chain of the block before, the block without its own)
 *     end      in a run that went through
 *
 * The first chain is the SHA-256 of the canonical JSON of {"parameters", "run"}: machine, command
 * and the numbers of the ops are outside of it. Numbers are little-endian; so is the host. */
#ifndef TRACE_H
#define TRACE_H

#include "base.h"
#include "json.h"

enum { TRACE_VERSION = 1, TRACE_CHAIN = SHA256_BYTES, TRACE_SKETCH = 256 };

/* What a block is; the letters in the file. */
typedef enum TraceTag {
    TRACE_NONE = 0, /* no more whole blocks */
    TRACE_STEP = 'S' | 't' << 8 | 'e' << 16 | 'p' << 24,
    TRACE_EVALUATION = 'E' | 'v' << 8 | 'a' << 16 | 'l' << 24,
    TRACE_END = 'E' | 'n' << 8 | 'd' << 16 | '.' << 24
} TraceTag;

/* In which part of a step an op was called. */
typedef enum TracePass {
    TRACE_EMBED,    /* forward: before the layers */
    TRACE_FORWARD,  /* the layers */
    TRACE_HEAD,     /* behind the layers */
    TRACE_LOSS,     /* and the gradient of the head */
    TRACE_BACKWARD, /* layers and embeddings, with what --recompute computes again */
    TRACE_OPTIMIZER,
    TRACE_PASSES
} TracePass;
extern const char *const trace_passes[TRACE_PASSES]; /* "embed", ... */

/* One output of one call of an op, in the order of the calls. rows, columns: of the output in
 * ops.def, in elements. All but those of TRACE_OPTIMIZER depend on how the step's examples were cut
 * into micro-batches and packed. */
typedef struct TraceOp {
    uint64_t hash; /* of the op `hash` of ops.def */
    uint64_t rows, columns;
    uint16_t micro; /* micro-batch of the step */
    int16_t layer;  /* -1: in none */
    uint16_t op;    /* of the header's "ops" */
    uint8_t output; /* of its outputs */
    uint8_t pass;   /* TracePass */
} TraceOp;

/* What a step's block begins with. */
typedef struct TraceStep {
    double loss, terms; /* sum of the losses, and how many there are */
    double norm;        /* of the gradients, before clipping */
    double lr;
    uint32_t epoch;         /* from 0 on */
    uint32_t micro_batches; /* of the step; 0 at level weights */
    uint32_t ops;           /* op records */
    uint32_t parameters;    /* as many as the header has */
    uint32_t hashes;        /* of each parameter: TraceHash */
    uint32_t sketch;        /* TRACE_SKETCH, or 0 at steps without one */
    uint32_t losses;        /* of the examples in the order of the batch; lm: 0 */
    uint32_t logits;        /* floats of all examples; or 0 */
} TraceStep;

/* Hashes of a parameter behind the step, of its gradient before clipping. Level weights has the
 * first alone. */
typedef enum TraceHash { TRACE_WEIGHT, TRACE_GRADIENT, TRACE_M, TRACE_V, TRACE_HASHES } TraceHash;

/* What an evaluation's block begins with. */
typedef struct TraceEvaluation {
    double metric, loss;
    uint32_t epoch, zero;
    uint32_t rows, columns; /* of the logits: examples of the dev data, classes; lm: 0 */
} TraceEvaluation;

/* A block. Its arrays belong to the reader until its next call; a writer reads them. */
typedef struct TraceBlock {
    TraceTag tag;
    uint32_t number; /* of the step, or the last one; 0: before training, of weights alone */
    union {
        TraceStep step;
        TraceEvaluation evaluation;
    };
    const TraceOp *ops;               /* [step.ops] */
    const uint64_t *hashes;           /* [step.parameters, step.hashes] */
    const uint64_t *sketch;           /* [step.sketch] sums modulo 2^64: of the op `sketch` */
    const float *losses;              /* [step.losses] */
    const float *logits;              /* [step.logits], or [evaluation.rows, evaluation.columns] */
    unsigned char chain[TRACE_CHAIN]; /* behind the block */
} TraceBlock;

/* --- reading: memory of one block, however long the trace is --- */

typedef struct TraceReader {
    char *path;
    json_t *header; /* run, machine, command, folder, parameters, ops, layers; checkpoints, behind */
    size_t parameters, ops; /* how many the header has */
    int layers;
    uint32_t step;                    /* of the last block */
    uint64_t blocks;                  /* that were read, without the end */
    uint64_t offset;                  /* of the next block in the file */
    uint64_t cut;                     /* bytes behind the last whole block, once that was read */
    int ended;                        /* the end was read */
    unsigned char chain[TRACE_CHAIN]; /* behind what was read */

    FILE *stream; /* private to trace.c */
    unsigned char *buffer;
    size_t room;
} TraceReader;

/* Opens a trace and checks its header. Errors: 66, 77; 65 with what is wrong: empty, no trace,
 * another version, a header that is damaged or cut. */
int trace_open(TraceReader *reader, const char *path, Error *error);

/* The next block, whose form and chain are right; tag TRACE_NONE where there are no more whole ones:
 * reader->ended says whether the run went through, reader->cut whether a part of one follows. Called
 * again, it looks whether the file has grown. Errors: 65 "chain broken at step n" or what else is
 * wrong, 74. */
int trace_next(TraceReader *reader, TraceBlock *block, Error *error);
void trace_close(TraceReader *reader);

/* Names of the header; "" where there are none of that number. */
const char *trace_op(const TraceReader *reader, int op);
const char *trace_output(const TraceReader *reader, int op, int output);
const char *trace_parameter(const TraceReader *reader, size_t parameter);

/* --- writing --- */

typedef struct TraceWriter {
    char *path;
    FILE *stream;
    unsigned char chain[TRACE_CHAIN];
    uint32_t step;   /* of the last block */
    uint32_t behind; /* the step behind which the trace begins: of one that is gone on with */
    uint64_t blocks;
} TraceWriter;

/* Creates the file, over what is there, with its header (takes over the reference); what is written
 * is in the file when a call returns. Errors: 73, 74, 77. */
int trace_create(TraceWriter *writer, const char *path, json_t *header, Error *error);

/* Goes on behind a step with a trace of the same run and level: what it has behind the step is cut
 * off. The header is as for trace_create, whose reference stays. open 0: only whether that can be
 * done; the file stays as it is. Errors: those of reading; 65 it ends before the step; 78 another
 * run's; 74, 77. */
int trace_resume(TraceWriter *writer, const char *path, const json_t *header, uint32_t step, int open,
                 Error *error);

/* Appends a block of a step or an evaluation, and sets its chain. Errors: 74. */
int trace_write(TraceWriter *writer, TraceBlock *block, Error *error);

/* Closes the file: with its end, if the run went through. Errors: 74. */
int trace_finish(TraceWriter *writer, int whole, Error *error);

#endif
