#include "trace_growth.h"
#include "result.h"
#include "trace_compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Distance over the first one's norm; 0 where they are equal, even if both are 0. */
static double relative(double squared_distance, double squared_norm)
{
    return squared_distance == 0 ? 0 : sqrt(squared_distance / squared_norm);
}

/* The sums of a sketch are linear in the weights, so their differences are the sketch of the
 * difference; the sum of their squares estimates its squared norm (Charikar, Chen and Farach-Colton
 * 2002), with a standard deviation of sqrt(2 / TRACE_SKETCH), 9 %; 4 % of the norm. */
static double sketch_distance(const TraceBlock *a, const TraceBlock *b)
{
    double distance = 0, norm = 0;
    for (uint32_t i = 0; i < a->step.sketch; i++) {
        double d = (double)(int64_t)(a->sketch[i] - b->sketch[i]),
               x = (double)(int64_t)a->sketch[i];
        distance += d * d;
        norm += x * x;
    }
    return relative(distance, norm);
}

/* The first largest of a row. */
static size_t largest(const float *row, size_t columns)
{
    size_t best = 0;
    for (size_t k = 1; k < columns; k++) {
        best = row[k] > row[best] ? k : best;
    }
    return best;
}

static json_t *step_point(const TraceBlock *a, const TraceBlock *b)
{
    const TraceStep *s = &a->step, *t = &b->step;
    json_t *o = json_object();
    put_count(o, "step", a->number);
    put(o, "weights", s->sketch == t->sketch ? sketch_distance(a, b) : NAN);
    put(o, "train_loss", fabs(s->loss / s->terms - t->loss / t->terms));
    return o;
}

static json_t *evaluation_point(const TraceBlock *a, const TraceBlock *b)
{
    const TraceEvaluation *e = &a->evaluation, *f = &b->evaluation;
    size_t rows = e->rows, columns = e->columns, flipped = 0;
    double distance = 0, norm = 0;
    json_t *o = json_object();
    put_count(o, "step", a->number);
    if (rows && rows == f->rows && columns && columns == f->columns) {
        for (size_t i = 0; i < rows; i++) {
            const float *x = a->logits + i * columns, *y = b->logits + i * columns;
            for (size_t k = 0; k < columns; k++) {
                double d = (double)x[k] - (double)y[k];
                distance += d * d;
                norm += (double)x[k] * (double)x[k];
            }
            flipped += largest(x, columns) != largest(y, columns);
        }
        put(o, "logits", relative(distance, norm));
        put(o, "flipped", columns > 1 ? (double)flipped / (double)rows : NAN);
    }
    put(o, "loss", fabs(e->loss - f->loss));
    put(o, "metric_a", e->metric);
    put(o, "metric_b", f->metric);
    return o;
}

int trace_growth(json_t **growth, TraceReader *a, TraceReader *b, Error *error)
{
    json_t *receipts;
    if (trace_receipts(&receipts, a, b, error)) {
        return error->code;
    }
    TraceReader *reader[2] = {a, b};
    TraceBlock block[2];
    json_t *steps = json_array(), *evaluations = json_array();
    int code;
    while (!(code = trace_next_pair(reader, block, error)) && block[0].tag && block[1].tag) {
        if (block[0].tag == TRACE_EVALUATION) {
            json_array_append_new(evaluations, evaluation_point(&block[0], &block[1]));
        } else if (block[0].number && block[0].step.sketch && block[1].step.sketch) {
            json_array_append_new(steps, step_point(&block[0], &block[1]));
        }
    }
    if (!code && !json_array_size(steps) && !json_array_size(evaluations)) {
        code = REFUSE("%s and %s have no step in common of which a distance can be told", a->path,
                      b->path);
    }
    if (code) {
        json_decref(receipts);
        json_decref(steps);
        json_decref(evaluations);
        return code;
    }
    json_t *o = json_object();
    json_object_set_new(o, "a", json_text(a->path));
    json_object_set_new(o, "b", json_text(b->path));
    json_object_set_new(o, "receipts", receipts);
    json_object_set_new(o, "steps", steps);
    json_object_set_new(o, "evaluations", evaluations);
    if (!*growth) {
        *growth = json_object();
        json_object_set_new(*growth, "format", json_string("trace-growth"));
        put_count(*growth, "version", 1);
        json_object_set_new(*growth, "pairs", json_array());
    }
    json_array_append_new(json_object_get(*growth, "pairs"), o);
    return 0;
}
