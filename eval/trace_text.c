/* A comparison of traces as text. */
#include "result.h"
#include "trace_compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Prints a line and frees it. Names come from files: what a terminal would obey is '?'. */
static void print_line(FILE *out, char *line)
{
    text_plain(line);
    fprintf(out, "%s\n", line);
    free(line);
}

void trace_receipts_text(FILE *out, const char *indent, const json_t *receipts)
{
    const json_t *entry;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)receipts, i, entry)
    {
        print_line(out,
                   string_format("%s%s %s: %s against %s", indent, text_of(entry, "part"),
                                 text_of(entry, "key"), text_of(entry, "a"), text_of(entry, "b")));
    }
}

/* The part of an op's place behind the step. */
static void append_op(char **text, const json_t *op)
{
    const json_t *layer = json_object_get(op, "layer");
    string_append(text, "micro-batch %.0f, %s", number_of(op, "micro_batch"), text_of(op, "pass"));
    if (json_is_integer(layer)) {
        string_append(text, ", layer %d", (int)json_integer_value(layer));
    }
    string_append(text, ": %s [%.0f, %.0f] of %s", text_of(op, "output"), number_of(op, "rows"),
                  number_of(op, "columns"), text_of(op, "op"));
}

char *trace_place(const json_t *first)
{
    const char *kind = text_of(first, "kind");
    double step = number_of(first, "step");
    char *text = step > 0 ? string_format("step %.0f", step) : string_copy("before step 1");
    if (!strcmp(kind, "op") || !strcmp(kind, "calls")) {
        string_append(&text, ", ");
        append_op(&text, first);
    } else if (json_object_get(first, "parameter")) {
        string_append(&text, ": %s of %s", kind, text_of(first, "parameter"));
    } else {
        string_append(&text, ": %s", kind);
    }
    return text;
}

/* A number of the comparison; null is one that is not finite. */
static const char *value_text(char text[32], const json_t *object, const char *key)
{
    snprintf(text, 32, "%.9g", number_of(object, key));
    return json_is_number(json_object_get(object, key)) ? text : "not finite";
}

static void show_first(FILE *out, const json_t *result, const json_t *first)
{
    const char *kind = text_of(first, "kind");
    int op = !strcmp(kind, "op");
    char *place = trace_place(first);
    print_line(out, string_format("first difference: %s", place));
    free(place);
    if (op) {
        fprintf(out, "  record %.0f.%.0f, hash %s against %s\n", number_of(first, "step"),
                number_of(first, "record"), text_of(first, "hash"),
                text_of(json_object_get(first, "in_b"), "hash"));
    } else if (json_object_get(first, "only_in")) {
        fprintf(out, "  there is no such record in %s\n",
                strcmp(text_of(first, "only_in"), "a") ? "A" : "B");
    } else if (json_object_get(first, "in_b")) {
        char *other = string_copy("  B has in its place ");
        append_op(&other, json_object_get(first, "in_b"));
        print_line(out, other);
    } else if (json_object_get(first, "a")) {
        if (json_object_get(first, "example")) {
            fprintf(out, "  example %.0f, column %.0f:", number_of(first, "example"),
                    number_of(first, "column"));
        }
        char a[32], b[32];
        fprintf(out, "  %s against %s\n", value_text(a, first, "a"), value_text(b, first, "b"));
    }
    const json_t *before = json_object_get(result, "equal_before"),
                 *last = json_object_get(first, "last_equal");
    fprintf(out, "equal before it: %.0f steps, %.0f evaluations", number_of(before, "steps"),
            number_of(before, "evaluations"));
    if (op || last) {
        fprintf(out, ", %.0f records of this step", number_of(before, "records"));
    }
    fputc('\n', out);
    if (last) {
        char *text = string_copy("  the last of them: ");
        append_op(&text, last);
        print_line(out, text);
    }
    if (number_of(first, "of") > 1) {
        fprintf(out, "in this step %.0f of %.0f %s differ\n", number_of(first, "differ"),
                number_of(first, "of"),
                json_object_get(first, "parameter")           ? "parameters"
                : op || json_object_get(first, "micro_batch") ? "records"
                                                              : "examples");
    }
}

static void show_element(FILE *out, const json_t *e, const char *what)
{
    const json_t *bound = json_object_get(e, "bound");
    char ulps[32] = "no";
    if (json_is_number(json_object_get(e, "ulps"))) {
        snprintf(ulps, sizeof ulps, "%.0f", number_of(e, "ulps"));
    }
    char a[32], b[32];
    fprintf(out, "  %s[%.0f, %.0f]: %s (%s) against %s (%s), %s ulp%s", what, number_of(e, "row"),
            number_of(e, "column"), value_text(a, e, "a"), text_of(e, "a_bits"),
            value_text(b, e, "b"), text_of(e, "b_bits"), ulps, strcmp(ulps, "1") ? "s" : "");
    if (json_is_number(bound)) {
        double exact = number_of(e, "float64");
        fprintf(out, "; off by %.2g and %.2g, bound %.2g", number_of(e, "a") - exact,
                number_of(e, "b") - exact, number_of(e, "bound"));
    }
    fputc('\n', out);
}

/* Which of the two is not what float64 gives, of the elements that are beyond the bounds. */
static void show_sides(FILE *out, const json_t *outside)
{
    double of[] = {number_of(outside, "a"), number_of(outside, "b")};
    if (of[0] > 0 && of[1] > 0) {
        fprintf(out, "beside float64 both are wrong: A in %.0f of them, B in %.0f\n", of[0], of[1]);
    } else {
        fprintf(out,
                "beside float64 it is %s that is wrong: the values of %s are within the bounds\n",
                of[0] > 0 ? "A" : "B", of[0] > 0 ? "B" : "A");
    }
}

/* The elements of the output that differs first. */
static void show_elements(FILE *out, const json_t *elements)
{
    const json_t *inside = json_object_get(elements, "inside_bound"), *list, *e;
    double differ = number_of(elements, "differ");
    size_t i;
    fprintf(out, "run again: %.0f of its %.0f elements differ\n", differ,
            number_of(elements, "of"));
    list = json_object_get(elements, "list");
    json_array_foreach((json_t *)(uintptr_t)list, i, e)
    {
        show_element(out, e, "");
    }
    if (differ > (double)json_array_size(list)) {
        fputs("  ...\n", out);
        show_element(out, json_object_get(elements, "largest"), "farthest ");
    }
    if (!json_is_integer(inside)) {
        fputs("no bound of this op's rounding error is known\n", out);
        return;
    }
    double within = (double)json_integer_value(inside), none = number_of(elements, "without_bound"),
           beyond = differ - within - none;
    if (none > 0) {
        fprintf(out, "of %.0f of them no bound is known: it is near what is not finite\n", none);
    }
    if (beyond > 0) {
        fprintf(out,
                "%.0f of them beyond the bounds of rounding: another formula or a fault, no other "
                "order of sums\n",
                beyond);
        show_sides(out, json_object_get(elements, "outside_bound"));
    } else if (within > 0) {
        fprintf(out,
                "all%s within the bounds of rounding: another order or precision of the same sum "
                "can do this\n",
                none > 0 ? " others" : "");
    }
}

void trace_compare_text(FILE *out, const json_t *result)
{
    const json_t *first = json_object_get(result, "first");
    static const char *const sides[] = {"a", "b"};
    trace_receipts_text(out, "", json_object_get(result, "receipts"));
    if (!json_is_true(json_object_get(result, "same_packing"))) {
        fputs("micro-batches or recomputation differ: what depends on them is not compared\n", out);
    }
    if (first) {
        const json_t *elements = json_object_get(result, "elements");
        show_first(out, result, first);
        if (elements) {
            show_elements(out, elements);
        } else if (*text_of(result, "unexplained")) {
            fprintf(out, "nothing to run again: %s\n", text_of(result, "unexplained"));
        }
        return;
    }
    const json_t *before = json_object_get(result, "equal_before");
    fprintf(out, "equal: %.0f steps, %.0f evaluations\n", number_of(before, "steps"),
            number_of(before, "evaluations"));
    for (int s = 0; s < 2; s++) {
        const json_t *side = json_object_get(result, sides[s]);
        if (!json_is_true(json_object_get(side, "whole"))) {
            print_line(out, string_format("%s has no end behind step %.0f: its run goes on, was "
                                          "stopped or diverged",
                                          text_of(side, "trace"), number_of(side, "step")));
        }
    }
}
