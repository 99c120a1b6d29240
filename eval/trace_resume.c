/* A run that goes on behind a step writes on in its trace, from there. */
#include "trace.h"

#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* Reads up to the first block that is behind the checkpoint of a step, which is from before an
 * evaluation there. What that block will have before it is in the writer. */
static int read_to(TraceWriter *writer, uint64_t *offset, TraceReader *reader, uint32_t step,
                   Error *error)
{
    TraceBlock block;
    do {
        *offset = reader->offset;
        writer->step = reader->step;
        writer->blocks = reader->blocks;
        memcpy(writer->chain, reader->chain, TRACE_CHAIN);
        if (trace_next(reader, &block, error)) {
            return error->code;
        }
    } while (block.tag &&
             (block.number < step || (block.number == step && block.tag == TRACE_STEP)));
    json_int_t every = json_integer_value(
                   json_object_get(json_object_get(reader->header, "run"), "every")),
               behind = json_integer_value(json_object_get(reader->header, "behind"));
    uint32_t last = writer->blocks ? writer->step : (uint32_t)behind;
    if (behind < 0 || behind > step) {
        return REFUSE("%s begins behind step %lld, and the checkpoint is of step %u", reader->path,
                      (long long)behind, step);
    }
    writer->behind = (uint32_t)behind;
    return every > 0 && (writer->blocks || behind) && last >= step - step % every
               ? 0
               : REFUSE("%s has no step behind %u, and the checkpoint is of step %u", reader->path,
                        last, step);
}

int trace_resume(TraceWriter *writer, const char *path, const json_t *header, uint32_t step,
                 int open, Error *error)
{
    static const char *const decisive[] = {"run", "parameters"};
    TraceReader reader;
    uint64_t offset;
    *writer = (TraceWriter){0};
    if (trace_open(&reader, path, error)) {
        return error->code;
    }
    int code = 0;
    for (int i = 0; i < 2 && !code; i++) {
        if (!json_equal(json_object_get(reader.header, decisive[i]),
                        json_object_get(header, decisive[i]))) {
            code = error_set(error, EXIT_CONFIG,
                             "%s is the trace of another run, or records something else; give the "
                             "trace with which this run was begun and its options, or begin anew "
                             "with --resume never",
                             path);
        }
    }
    code = code ? code : read_to(writer, &offset, &reader, step, error);
    trace_close(&reader);
    if (code || !open) {
        return code;
    }
    writer->stream = fopen(path, "r+be");
    if (!writer->stream || ftruncate(fileno(writer->stream), (off_t)offset) ||
        fseeko(writer->stream, (off_t)offset, SEEK_SET)) {
        code = error_set_errno(error, "write", path);
        if (writer->stream) {
            fclose(writer->stream);
        }
        return code;
    }
    setvbuf(writer->stream, NULL, _IONBF, 0);
    writer->path = string_copy(path);
    return 0;
}
