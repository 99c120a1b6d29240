/* digests FILE: what make verify compares, one line each.
 *     of safetensors  "NAME SHA256" of every tensor, in the order of the names
 *     of a trace      "records HEX", four digits of each op record of step 1, and "steps HEX", four
 *                     of all op records of each step
 * digests FILE.trace EXPECTED: where the trace is another than that of which EXPECTED has the lines. */
#include "safetensors.h"
#include "trace_compare.h"

#include <stdlib.h>
#include <string.h>

enum { DIGITS = 4 };

static int fail(const Error *error)
{
    fprintf(stderr, "digests: %s\n", error->text);
    return error->code;
}

static int show_tensors(const char *path)
{
    Safetensors st;
    Error error;
    if (safetensors_open(&st, path, &error)) {
        return fail(&error);
    }
    for (size_t i = 0; i < st.count; i++) {
        char hex[65];
        sha256_hex(hex, st.tensors[i].data, st.tensors[i].bytes);
        printf("%s %s\n", st.tensors[i].name, hex);
    }
    safetensors_close(&st);
    return 0;
}

/* The line of EXPECTED that begins so, without that; "" if there is none. */
static char *expected_line(const char *path, const char *name)
{
    char *line = NULL, *found = string_copy("");
    size_t room = 0, n = strlen(name);
    FILE *stream = fopen(path, "r");
    while (stream && getline(&line, &room, stream) > 0) {
        if (!strncmp(line, name, n) && line[n] == ' ') {
            line[strcspn(line, "\n")] = 0;
            free(found);
            found = string_copy(line + n + 1);
        }
    }
    free(line);
    if (stream) {
        fclose(stream);
    }
    return found;
}

/* Whether the digits at this place of an expected line are others, or not there. */
static int is_other(const char *expected, size_t place, const char digits[DIGITS + 1])
{
    return strlen(expected) < (place + 1) * DIGITS ||
           strncmp(expected + place * DIGITS, digits, DIGITS) != 0;
}

/* expected NULL: appends the trace's digits to both texts. Else prints the first place of which
 * they are others. */
static int read_trace(const char *path, char *expected[2], char **records, char **steps)
{
    TraceReader trace;
    TraceBlock block;
    Error error = {0};
    char digits[DIGITS + 1];
    int code, found = 0;
    if (trace_open(&trace, path, &error)) {
        return fail(&error);
    }
    while (!(code = trace_next(&trace, &block, &error)) && block.tag && !found) {
        uint64_t all = 0;
        if (block.tag != TRACE_STEP || !block.number) {
            continue;
        }
        for (uint32_t i = 0; i < block.step.ops && !found; i++) {
            all = all * 0x9E3779B97F4A7C15u + block.ops[i].hash;
            if (block.number > 1) {
                continue;
            }
            snprintf(digits, sizeof digits, "%04llx", (unsigned long long)block.ops[i].hash >> 48);
            if (!expected) {
                string_append(records, "%s", digits);
            } else if (is_other(expected[0], i, digits)) {
                json_t *op = trace_op_json(&trace, &block.ops[i]);
                json_object_update_new(op, json_pack("{s:s, s:i}", "kind", "op", "step", 1));
                char *place = trace_place(op);
                printf("%s\n", place);
                json_decref(op);
                free(place);
                found = 1;
            }
        }
        snprintf(digits, sizeof digits, "%04llx", (unsigned long long)all >> 48);
        if (!expected) {
            string_append(steps, "%s", digits);
        } else if (!found && is_other(expected[1], block.number - 1, digits)) {
            printf("step %u, and none before it\n", block.number);
            found = 1;
        }
    }
    trace_close(&trace);
    return code ? fail(&error) : 0;
}

static int show_trace(const char *path)
{
    char *records = string_copy(""), *steps = string_copy("");
    int code = read_trace(path, NULL, &records, &steps);
    if (!code) {
        printf("records %s\nsteps %s\n", records, steps);
    }
    free(records);
    free(steps);
    return code;
}

int main(int argc, char **argv)
{
    const char *dot = argc > 1 ? strrchr(argv[1], '.') : NULL;
    int trace = dot && !strcmp(dot, ".trace");
    if (argc == 2) {
        return (trace ? show_trace : show_tensors)(argv[1]);
    }
    if (argc != 3 || !trace) {
        fputs("usage: digests FILE.safetensors|FILE.trace\n       digests FILE.trace EXPECTED\n",
              stderr);
        return EXIT_USAGE;
    }
    char *expected[2] = {expected_line(argv[2], "records"), expected_line(argv[2], "steps")};
    int code = read_trace(argv[1], expected, NULL, NULL);
    free(expected[0]);
    free(expected[1]);
    return code;
}
