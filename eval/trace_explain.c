/* Both runs are run again, with traces of every output, to the step of the first difference. Each
 * must give its own trace once more; what differs between the two then is what differed before. An
 * element is judged by what float64 gives and the bound of its rounding error, which train_gpt
 * derives from the inputs of the op: those are equal in both, as all records before are. So both
 * values are within the bound of the same number, if both compute it, in any order; the one that is
 * not computes something else. */
#include "trace_explain.h"
#include "result.h"
#include "safetensors.h"
#include "trace_compare.h"
#include "trace_rerun.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LISTED = 8 }; /* elements that are shown */

/* An output of a run: its values; where train_gpt knows them, what float64 gives, and how far from it
 * rounding may lead. */
typedef struct Output {
    Safetensors file;
    const Tensor *values, *exact, *bound;
} Output;

static double element(const Tensor *t, size_t i)
{
    float f = 0;
    double d = 0;
    if (t->dtype == DTYPE_F32) {
        memcpy(&f, t->data + i * sizeof f, sizeof f);
        return f;
    }
    memcpy(&d, t->data + i * sizeof d, sizeof d);
    return d;
}

/* The place of a number among all of its type, in order; its sign bit counts down. */
static int64_t rank_of(const Tensor *t, size_t i)
{
    if (t->dtype == DTYPE_F32) {
        int32_t bits;
        memcpy(&bits, t->data + i * sizeof bits, sizeof bits);
        return bits < 0 ? -(int64_t)(bits & INT32_MAX) : bits;
    }
    int64_t bits;
    memcpy(&bits, t->data + i * sizeof bits, sizeof bits);
    return bits < 0 ? -(bits & INT64_MAX) : bits;
}

static int same_bits(const Tensor *a, const Tensor *b, size_t i)
{
    size_t size = a->bytes / a->count;
    return !memcmp(a->data + i * size, b->data + i * size, size);
}

/* Numbers between the two, one of them included; 0 and -0 are beside one another. */
static double ulps_between(const Tensor *a, const Tensor *b, size_t i)
{
    if (isnan(element(a, i)) || isnan(element(b, i))) {
        return NAN;
    }
    int64_t x = rank_of(a, i), y = rank_of(b, i);
    double between = fabs((double)x - (double)y);
    return between > 0 ? between : 1;
}

static int output_open(Output *output, const char *path, Error *error)
{
    *output = (Output){0};
    if (safetensors_open(&output->file, path, error)) {
        return error->code;
    }
    for (size_t i = 0; i < output->file.count; i++) {
        const Tensor *t = &output->file.tensors[i];
        *(!strcmp(t->name, "float64") ? &output->exact
          : !strcmp(t->name, "bound") ? &output->bound
                                      : &output->values) = t;
    }
    return 0;
}

/* Whether the two files are what train_gpt writes of one output. */
static int check_outputs(const Output *a, const Output *b, Error *error)
{
    const Tensor *x = a->values, *y = b->values;
    if (!x || !y || x->rank != 2 || y->rank != 2 || x->shape[0] != y->shape[0] ||
        x->shape[1] != y->shape[1] || x->dtype != y->dtype ||
        (x->dtype != DTYPE_F32 && x->dtype != DTYPE_F64)) {
        return REFUSE("%s and %s are not one output of two runs", a->file.path, b->file.path);
    }
    for (int s = 0; s < 2; s++) {
        const Output *side = s ? b : a;
        const Tensor *parts[] = {side->exact, side->bound};
        for (int i = 0; i < 2; i++) {
            if (!parts[i] != !side->bound ||
                (parts[i] && (parts[i]->count != x->count || parts[i]->dtype != DTYPE_F64))) {
                return REFUSE("%s: the bound is not that of its output", side->file.path);
            }
        }
    }
    return 0;
}

/* Whether an element is farther from what float64 gives than rounding can lead. */
static int is_outside(const Output *o, size_t i)
{
    return !(fabs(element(o->values, i) - element(o->exact, i)) <= element(o->bound, i));
}

static json_t *element_json(const Output *a, const Output *b, size_t i, double ulps)
{
    json_t *o = json_object();
    size_t columns = a->values->shape[1];
    char text[40];
    put_count(o, "row", i / columns);
    put_count(o, "column", i % columns);
    put(o, "a", element(a->values, i));
    put(o, "b", element(b->values, i));
    snprintf(text, sizeof text, "%a", element(a->values, i));
    json_object_set_new(o, "a_bits", json_string(text));
    snprintf(text, sizeof text, "%a", element(b->values, i));
    json_object_set_new(o, "b_bits", json_string(text));
    put(o, "ulps", ulps);
    if (a->bound && b->bound) {
        put(o, "float64", element(a->exact, i));
        put(o, "bound", fmax(element(a->bound, i), element(b->bound, i)));
    }
    return o;
}

/* What differs, element by element. *largest: where the two are farthest apart, in ulps. */
static json_t *elements_json(const Output *a, const Output *b, size_t *largest)
{
    json_t *o = json_object(), *list = json_array();
    size_t differ = 0, inside = 0, unknown = 0, outside[2] = {0}, count = a->values->count;
    double most = -1;
    int bounds = a->bound && b->bound;
    for (size_t i = 0; i < count; i++) {
        if (same_bits(a->values, b->values, i)) {
            continue;
        }
        double ulps = ulps_between(a->values, b->values, i);
        if (differ < LISTED) {
            json_array_append_new(list, element_json(a, b, i, ulps));
        }
        if (!differ || (!isnan(most) && !(ulps <= most))) { /* a NaN is the farthest */
            most = ulps;
            *largest = i;
        }
        differ++;
        if (!bounds || !isfinite(element(a->bound, i)) || !isfinite(element(b->bound, i))) {
            unknown++;
            continue;
        }
        outside[0] += is_outside(a, i);
        outside[1] += is_outside(b, i);
        inside += !is_outside(a, i) && !is_outside(b, i);
    }
    put_count(o, "rows", a->values->shape[0]);
    put_count(o, "columns", a->values->shape[1]);
    put_count(o, "differ", differ);
    put_count(o, "of", count);
    json_object_set_new(o, "inside_bound", bounds ? json_integer((json_int_t)inside) : json_null());
    json_object_set_new(o, "without_bound",
                        bounds ? json_integer((json_int_t)unknown) : json_null());
    json_object_set_new(
        o, "outside_bound",
        bounds ? json_pack("{s:I, s:I}", "a", (json_int_t)outside[0], "b", (json_int_t)outside[1])
               : json_null());
    if (differ) {
        json_object_set_new(o, "largest", element_json(a, b, *largest, most));
    }
    json_object_set_new(o, "list", list);
    return o;
}

/* Writes rows and columns of both around an element, and where they begin. */
static int write_window(const TraceExplain *explain, const Output outputs[2], size_t at,
                        const json_t *first, Error *error)
{
    const Tensor *values = outputs[0].values;
    size_t shape[2] = {values->shape[0], values->shape[1]}, from[2], size[2],
           place[2] = {at / shape[1], at % shape[1]}, bytes = values->bytes / values->count;
    for (int d = 0; d < 2; d++) {
        size[d] = explain->window < shape[d] ? explain->window : shape[d];
        from[d] = place[d] > size[d] / 2 ? place[d] - size[d] / 2 : 0;
        from[d] = from[d] + size[d] > shape[d] ? shape[d] - size[d] : from[d];
    }
    unsigned char *parts[2];
    TensorSource sources[2];
    for (int s = 0; s < 2; s++) {
        parts[s] = memory_alloc(size[0] * size[1], bytes);
        for (size_t r = 0; r < size[0]; r++) {
            memcpy(parts[s] + r * size[1] * bytes,
                   outputs[s].values->data + ((from[0] + r) * shape[1] + from[1]) * bytes,
                   size[1] * bytes);
        }
        sources[s] = (TensorSource){.name = s ? "b" : "a",
                                    .dtype = values->dtype,
                                    .rank = 2,
                                    .shape = {size[0], size[1]},
                                    .data = parts[s]};
    }
    char row[24], column[24], *where = trace_place(first);
    snprintf(row, sizeof row, "%zu", from[0]);
    snprintf(column, sizeof column, "%zu", from[1]);
    json_t *metadata = json_pack("{s:o, s:s, s:s}", "place", json_text(where), "first_row", row,
                                 "first_column", column);
    int code = safetensors_write(explain->file, sources, 2, metadata, error);
    json_decref(metadata);
    free(where);
    free(parts[0]);
    free(parts[1]);
    return code;
}

/* Two traces by their paths. */
static int compare_files(json_t **result, const char *a, const char *b, Error *error)
{
    TraceReader first, second;
    if (trace_open(&first, a, error)) {
        return error->code;
    }
    int code = trace_open(&second, b, error);
    if (!code) {
        code = trace_compare(result, &first, &second, error);
        trace_close(&second);
    }
    trace_close(&first);
    return code;
}

static const char prefix[] = "checkpoint-";

/* What the MANIFEST of a checkpoint says of weights and moments; NULL where that cannot be read. */
static json_t *state_of(const char *folder, long step)
{
    char *path = string_format("%s/%s%ld/MANIFEST", folder, prefix, step);
    json_t *manifest, *state = NULL;
    Error none;
    if (!json_read_file(&manifest, path, &none)) {
        json_t *files = json_object_get(manifest, "files");
        state = json_pack("[O, O]", json_object_get(files, "weights.safetensors"),
                          json_object_get(files, "optimizer.safetensors"));
        json_decref(manifest);
    }
    free(path);
    return state;
}

/* Whether both runs kept a checkpoint of this step, with the same weights and moments: traces that
 * are equal up to there may have neither. */
static int is_common(char *const folders[2], long step)
{
    json_t *a = state_of(folders[0], step), *b = state_of(folders[1], step);
    int common = a && json_equal(a, b);
    json_decref(a);
    json_decref(b);
    return common;
}

/* Where the run of a trace kept its checkpoints: NULL if it kept none. The caller frees it. */
static int kept_folder(char **place, const char *path, Error *error)
{
    TraceReader trace;
    *place = NULL;
    if (trace_open(&trace, path, error)) {
        return error->code;
    }
    const char *folder = string_of(trace.header, "folder"),
               *kept = string_of(trace.header, "checkpoints");
    if (folder && kept) {
        *place = *kept == '/' ? string_copy(kept) : string_format("%s/%s", folder, kept);
    }
    trace_close(&trace);
    return 0;
}

/* The last checkpoint, up to a step, that both runs kept and that is the same: sets explain->from. */
static int find_checkpoints(TraceExplain *explain, double step, Error *error)
{
    char *folders[2] = {NULL, NULL};
    int code = kept_folder(&folders[0], explain->traces[0], error) ||
                       kept_folder(&folders[1], explain->traces[1], error)
                   ? error->code
                   : 0;
    DIR *stream = folders[0] && folders[1] ? opendir(folders[0]) : NULL;
    struct dirent *entry;
    long last = 0;
    while (stream && (entry = readdir(stream))) {
        char *end;
        if (!strncmp(entry->d_name, prefix, sizeof prefix - 1)) {
            long number = strtol(entry->d_name + sizeof prefix - 1, &end, 10);
            last = !*end && number > last && (double)number <= step && is_common(folders, number)
                       ? number
                       : last;
        }
    }
    if (stream) {
        closedir(stream);
    }
    for (int s = 0; s < 2; s++) {
        explain->from[s] = last ? string_format("%s/%s%ld", folders[s], prefix, last) : NULL;
        free(folders[s]);
    }
    return code;
}

/* Runs one of the two again: from the checkpoint in front of the first difference where there is one
 * that is still of the run. */
static int run_again(TraceRerun *rerun, const TraceExplain *explain, int side, const char *until,
                     Error *error)
{
    static const char *const options[] = {"--trace-level", "outputs", "--trace-every", "1", NULL};
    TraceReader trace;
    if (trace_open(&trace, explain->traces[side], error)) {
        return error->code;
    }
    const char *from = explain->from[side];
    int code = EXIT_CONFIG;
    if (from) {
        code = trace_rerun(rerun, &trace, explain->programs[side], from, until, options, error);
    }
    if (code == EXIT_CONFIG || code == EXIT_BAD_DATA || code == EXIT_NO_INPUT) {
        code = trace_rerun(rerun, &trace, explain->programs[side], NULL, until, options, error);
    }
    trace_close(&trace);
    return code;
}

/* Whether it was the run that its trace is of, as far as it went. */
static int check_again(const TraceRerun *rerun, const TraceExplain *explain, int side, Error *error)
{
    json_t *result = NULL;
    int code = compare_files(&result, explain->traces[side], rerun->trace, error);
    const json_t *first = json_object_get(result, "first");
    if (!code && first) {
        char *place = trace_place(first);
        code = REFUSE(
            "run again, %s is another run from %s on; --program-%c names the program that "
            "wrote it",
            explain->traces[side], place, 'a' + side);
        free(place);
    }
    json_decref(result);
    return code;
}

/* Whether the first difference is an op's output, and no step before it is left out of the traces:
 * what came into the op is equal then. */
static int is_first_op(const json_t *result)
{
    const json_t *first = json_object_get(result, "first"),
                 *before = json_object_get(result, "equal_before");
    return !strcmp(text_of(first, "kind"), "op") &&
           number_of(before, "last_step") + 1 >= number_of(first, "step");
}

/* What the two outputs are once both runs have come to them. */
static int show_elements(json_t *result, const TraceExplain *explain, const TraceRerun reruns[2],
                         Error *error)
{
    Output outputs[2];
    size_t largest = 0;
    if (output_open(&outputs[0], reruns[0].tensor, error)) {
        return error->code;
    }
    int code = output_open(&outputs[1], reruns[1].tensor, error);
    if (!code) {
        code = check_outputs(&outputs[0], &outputs[1], error);
        if (!code) {
            json_object_set_new(result, "elements",
                                elements_json(&outputs[0], &outputs[1], &largest));
            code = explain->window ? write_window(explain, outputs, largest,
                                                  json_object_get(result, "first"), error)
                                   : 0;
        }
        safetensors_close(&outputs[1].file);
    }
    safetensors_close(&outputs[0].file);
    return code;
}

/* The first op of a step that differs, from traces of every output. */
static int find_op(json_t *result, const TraceExplain *explain, TraceRerun reruns[2], Error *error)
{
    char until[24];
    json_t *again = NULL;
    snprintf(until, sizeof until, "%.0f", number_of(json_object_get(result, "first"), "step"));
    for (int s = 0; s < 2; s++) {
        if (run_again(&reruns[s], explain, s, until, error) ||
            check_again(&reruns[s], explain, s, error)) {
            return error->code;
        }
    }
    if (compare_files(&again, reruns[0].trace, reruns[1].trace, error)) {
        return error->code;
    }
    json_t *first = json_object_get(again, "first");
    int code = is_first_op(again) ? 0
               : first ? REFUSE("what differs first in step %s is no output of an op%s", until,
                                json_is_true(json_object_get(again, "same_packing"))
                                    ? ""
                                    : ": run both with the same --micro-batch and --recompute")
                       : REFUSE("run again, both are equal up to step %s", until);
    if (!code) {
        json_object_set(result, "first", first);
        json_object_set(result, "equal_before", json_object_get(again, "equal_before"));
    }
    json_decref(again);
    return code;
}

static int explain_by(json_t *result, const TraceExplain *explain, TraceRerun reruns[2],
                      Error *error)
{
    int found = is_first_op(result);
    if (!found && find_op(result, explain, reruns, error)) {
        return error->code;
    }
    const json_t *first = json_object_get(result, "first");
    for (int s = 0; s < 2; s++) {
        char until[48];
        snprintf(until, sizeof until, "%.0f.%.0f", number_of(first, "step"),
                 number_of(s ? json_object_get(first, "in_b") : first, "record"));
        if (run_again(&reruns[s], explain, s, until, error) ||
            (found && check_again(&reruns[s], explain, s, error))) {
            return error->code;
        }
    }
    return show_elements(result, explain, reruns, error);
}

int trace_explain(json_t *result, TraceExplain *explain, Error *error)
{
    TraceRerun reruns[2];
    const json_t *first = json_object_get(result, "first");
    if (number_of(first, "step") < 1) {
        json_object_set_new(result, "unexplained",
                            json_string("they start from other weights, which no op made"));
        return 0;
    }
    if (strstr(text_of(first, "kind"), "evaluation") || !strcmp(text_of(first, "kind"), "metric")) {
        json_object_set_new(result, "unexplained",
                            json_string("it is in an evaluation, whose ops are not recorded"));
        return 0;
    }
    if (trace_rerun_open(&reruns[0], error)) {
        return error->code;
    }
    int code = trace_rerun_open(&reruns[1], error);
    if (!code) {
        double equal = number_of(json_object_get(result, "equal_before"), "last_step");
        code = find_checkpoints(explain, equal, error) || explain_by(result, explain, reruns, error)
                   ? error->code
                   : 0;
        free(explain->from[0]);
        free(explain->from[1]);
        trace_rerun_close(&reruns[1]);
    }
    trace_rerun_close(&reruns[0]);
    return code;
}
