#include "profile.h"
#include "json.h"
#include "watch.h"

#include <stdlib.h>

int profile_open(Profile *profile, Backend *backend, const char *path, Error *error)
{
    *profile = (Profile){.backend = backend};
    if (writer_open(&profile->writer, path, error)) {
        return error->code;
    }
    watch_begin(backend, WATCH_TIME);
    profile->start = clock_seconds();
    return 0;
}

typedef struct Line {
    const char *op;
    OpTally tally;
} Line;

static int by_time(const void *a, const void *b)
{
    double x = ((const Line *)a)->tally.seconds, y = ((const Line *)b)->tally.seconds;
    return (x < y) - (x > y);
}

static void print_table(FILE *out, const Line *lines, int count, double wall, double peak)
{
    double inside = 0.0;
    fprintf(out, "%-27s %9s %10s %6s %9s %6s %8s\n", "op", "calls", "ms", "time", "GFLOP/s", "peak",
            "GB/s");
    for (int i = 0; i < count; i++) {
        const OpTally *t = &lines[i].tally;
        char share[16] = "-";
        if (peak > 0.0) {
            snprintf(share, sizeof share, "%.1f%%", 100.0 * t->flops / t->seconds / peak);
        }
        fprintf(out, "%-27s %9zu %10.1f %5.1f%% %9.2f %6s %8.2f\n", lines[i].op, t->calls,
                1e3 * t->seconds, 100.0 * t->seconds / wall, 1e-9 * t->flops / t->seconds, share,
                1e-9 * t->bytes / t->seconds);
        inside += t->seconds;
    }
    fprintf(out, "%-27s %9s %10.1f %5.1f%%\n", "outside of ops", "", 1e3 * (wall - inside),
            100.0 * (wall - inside) / wall);
    if (peak > 0.0) {
        fprintf(out, "peak: float32 fma in registers, %.1f GFLOP/s\n", 1e-9 * peak);
    }
}

static void write_json(FILE *out, const Backend *backend, const Line *lines, int count, double wall,
                       double peak)
{
    json_t *ops = json_array();
    for (int i = 0; i < count; i++) {
        const OpTally *t = &lines[i].tally;
        json_array_append_new(ops, json_pack("{s:s, s:I, s:f, s:f, s:f}", "op", lines[i].op,
                                             "calls", (json_int_t)t->calls, "seconds", t->seconds,
                                             "flops", t->flops, "bytes", t->bytes));
    }
    json_t *all = json_pack("{s:s, s:i, s:f, s:o, s:o}", "simd", backend->ops.build, "threads",
                            backend->ctx.threads, "seconds", wall, "peak_flops",
                            peak > 0.0 ? json_real(peak) : json_null(), "ops", ops);
    json_dumpf(all, out, JSON_INDENT(1)); /* a write that fails is seen by writer_commit */
    fputc('\n', out);
    json_decref(all);
}

int profile_close(Profile *profile, int code, FILE *table, Error *error)
{
    Backend *backend = profile->backend;
    Line lines[OPS];
    int count = 0;
    double wall = clock_seconds() - profile->start;
    watch_end(backend, WATCH_TIME);
    if (code) { /* nothing gets its name */
        Error ignored;
        writers_begin();
        (void)writer_commit(&profile->writer, &ignored);
        return writers_end(code, error);
    }
    for (int op = 0; op < OPS; op++) {
        lines[count] = (Line){op_names[op], backend->ctx.watch->timed[op]};
        count += lines[count].tally.calls > 0;
    }
    qsort(lines, (size_t)count, sizeof *lines, by_time);
    double peak = backend->device->peak(&backend->ctx);
    if (table) {
        print_table(table, lines, count, wall, peak);
    }
    write_json(profile->writer.stream, backend, lines, count, wall, peak);
    return writer_commit(&profile->writer, error);
}
