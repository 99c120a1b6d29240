/* What differs first in two traces. Where both record the ops of steps that were packed alike, that
 * is the first op record that differs: all that was computed before it is equal. Else only what
 * does not depend on packing is compared, in the order in which a step computes it. */
#include "trace_compare.h"
#include "result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Blocks that are compared, and how. */
typedef struct Pair {
    const TraceReader *reader[2];
    const TraceBlock *block[2];
    int same_packing; /* op records of all passes can be compared */
    int same_names;   /* the headers number the ops alike */
} Pair;

/* The first difference of a block, as JSON, and how many records there are like it. */
typedef struct Found {
    json_t *first;
    size_t differ, of, equal; /* records; equal: before the first */
} Found;

static json_t *new_first(const Pair *p, const char *kind)
{
    json_t *first = json_object();
    json_object_set_new(first, "kind", json_string(kind));
    put_count(first, "step", p->block[0]->number);
    return first;
}

static int same_op(const Pair *p, const TraceOp *x, const TraceOp *y)
{
    if (p->same_names ? x->op != y->op || x->output != y->output
                      : strcmp(trace_op(p->reader[0], x->op), trace_op(p->reader[1], y->op)) ||
                            strcmp(trace_output(p->reader[0], x->op, x->output),
                                   trace_output(p->reader[1], y->op, y->output))) {
        return 0;
    }
    /* the optimizer's are those of the last micro-batch, wherever that is */
    return (x->micro == y->micro || !p->same_packing) && x->layer == y->layer &&
           x->pass == y->pass && x->rows == y->rows && x->columns == y->columns;
}

json_t *trace_op_json(const TraceReader *r, const TraceOp *op)
{
    char hash[20];
    json_t *o = json_object();
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)op->hash);
    put_count(o, "micro_batch", op->micro);
    json_object_set_new(o, "pass", json_string(trace_passes[op->pass]));
    json_object_set_new(o, "layer", op->layer < 0 ? json_null() : json_integer(op->layer));
    json_object_set_new(o, "op", json_text(trace_op(r, op->op)));
    json_object_set_new(o, "output", json_text(trace_output(r, op->op, op->output)));
    put_count(o, "rows", op->rows);
    put_count(o, "columns", op->columns);
    json_object_set_new(o, "hash", json_string(hash));
    return o;
}

/* Op records from these places on, one beside the other. */
static void compare_ops(const Pair *p, uint32_t at_a, uint32_t at_b, Found *found)
{
    const TraceBlock *a = p->block[0], *b = p->block[1];
    uint32_t na = a->step.ops - at_a, nb = b->step.ops - at_b, n = na < nb ? na : nb;
    const TraceOp *x = a->ops + at_a, *y = b->ops + at_b;
    if (na == nb && p->same_names && !memcmp(x, y, n * sizeof *x)) {
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        int same = same_op(p, &x[i], &y[i]);
        if (same && x[i].hash == y[i].hash) {
            continue;
        }
        if (!found->first) {
            found->first = new_first(p, same ? "op" : "calls");
            json_object_update_new(found->first, trace_op_json(p->reader[0], &x[i]));
            json_object_set_new(found->first, "in_b", trace_op_json(p->reader[1], &y[i]));
            put_count(found->first, "record", at_a + i);
            put_count(json_object_get(found->first, "in_b"), "record", at_b + i);
            if (i) {
                json_object_set_new(found->first, "last_equal",
                                    trace_op_json(p->reader[0], &x[i - 1]));
            }
            found->equal = i;
        }
        found->differ++;
    }
    if (!found->first && na != nb) {
        const TraceOp *more = na > nb ? x : y;
        found->first = new_first(p, "calls");
        json_object_update_new(found->first, trace_op_json(p->reader[na < nb], &more[n]));
        json_object_set_new(found->first, "only_in", json_string(na > nb ? "a" : "b"));
        put_count(found->first, "record", at_a + n);
        found->equal = n;
    }
    found->differ += na > nb ? na - nb : nb - na;
    found->of = na > nb ? na : nb;
}

/* The first record of the optimizer. */
static uint32_t optimizer_ops(const TraceBlock *block)
{
    uint32_t at = block->step.ops;
    while (at && block->ops[at - 1].pass == TRACE_OPTIMIZER) {
        at--;
    }
    return at;
}

/* Values of examples, `count` of them of the same number of floats each. */
static void compare_examples(const Pair *p, const char *kind, const float *a, const float *b,
                             size_t count, size_t each, Found *found)
{
    if (!count || !each || !memcmp(a, b, count * each * sizeof *a)) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        while (k < each && !memcmp(&a[i * each + k], &b[i * each + k], sizeof *a)) {
            k++;
        }
        if (k == each) {
            continue;
        }
        if (!found->first) {
            found->first = new_first(p, kind);
            put_count(found->first, "example", i);
            put_count(found->first, "column", k);
            put(found->first, "a", (double)a[i * each + k]);
            put(found->first, "b", (double)b[i * each + k]);
            found->equal = i;
        }
        found->differ++;
    }
    found->of = count;
}

static void compare_number(const Pair *p, const char *kind, double a, double b, Found *found)
{
    if (memcmp(&a, &b, sizeof a) != 0) {
        found->first = new_first(p, kind);
        put(found->first, "a", a);
        put(found->first, "b", b);
        found->differ = found->of = 1;
    }
}

/* One kind of hash, of all parameters. */
static void compare_parameters(const Pair *p, TraceHash hash, Found *found)
{
    static const char *const kinds[TRACE_HASHES] = {"weight", "gradient", "m", "v"};
    const TraceBlock *a = p->block[0], *b = p->block[1];
    if (hash >= a->step.hashes || hash >= b->step.hashes) {
        return;
    }
    for (size_t i = 0; i < a->step.parameters; i++) {
        if (a->hashes[i * a->step.hashes + hash] == b->hashes[i * b->step.hashes + hash]) {
            continue;
        }
        if (!found->first) {
            found->first = new_first(p, kinds[hash]);
            json_object_set_new(found->first, "parameter",
                                json_text(trace_parameter(p->reader[0], i)));
            found->equal = i;
        }
        found->differ++;
    }
    found->of = a->step.parameters;
}

static void compare_step(const Pair *p, Found *found)
{
    const TraceBlock *a = p->block[0], *b = p->block[1];
    const TraceStep *s = &a->step, *t = &b->step;
    int ops = s->ops && t->ops;
    if (ops && p->same_packing) {
        compare_ops(p, 0, 0, found);
    }
    if (!found->first && s->losses == t->losses && s->losses && s->logits == t->logits) {
        compare_examples(p, "logits", a->logits, b->logits, s->losses, s->logits / s->losses,
                         found);
    }
    if (!found->first && s->losses == t->losses) {
        compare_examples(p, "loss of an example", a->losses, b->losses, s->losses, 1, found);
    }
    if (!found->first) {
        compare_number(p, "loss", s->loss, t->loss, found);
    }
    if (!found->first) {
        compare_parameters(p, TRACE_GRADIENT, found);
    }
    if (!found->first) {
        compare_number(p, "norm", s->norm, t->norm, found);
    }
    if (!found->first && ops && !p->same_packing) {
        compare_ops(p, optimizer_ops(a), optimizer_ops(b), found);
    }
    static const TraceHash last[] = {TRACE_WEIGHT, TRACE_M, TRACE_V};
    for (int i = 0; i < 3 && !found->first; i++) {
        compare_parameters(p, last[i], found);
    }
    if (!found->first && s->sketch == t->sketch &&
        memcmp(a->sketch, b->sketch, s->sketch * sizeof *a->sketch) != 0) {
        found->first = new_first(p, "sketch of the weights");
        found->differ = found->of = 1;
    }
    if (!found->first) {
        compare_number(p, "learning rate", s->lr, t->lr, found);
    }
    if (!found->first) {
        compare_number(p, "number of losses", s->terms, t->terms, found);
    }
    if (!found->first) {
        compare_number(p, "epoch", s->epoch, t->epoch, found);
    }
    if (!found->first && ops && p->same_packing) {
        compare_number(p, "number of micro-batches", s->micro_batches, t->micro_batches, found);
    }
}

static void compare_evaluation(const Pair *p, Found *found)
{
    const TraceEvaluation *e = &p->block[0]->evaluation, *f = &p->block[1]->evaluation;
    if (e->rows == f->rows && e->columns == f->columns) {
        compare_examples(p, "logits of the evaluation", p->block[0]->logits, p->block[1]->logits,
                         e->rows, e->columns, found);
    }
    if (!found->first) {
        compare_number(p, "loss of the evaluation", e->loss, f->loss, found);
    }
    if (!found->first) {
        compare_number(p, "metric", e->metric, f->metric, found);
    }
    if (!found->first) {
        compare_number(p, "epoch of the evaluation", e->epoch, f->epoch, found);
    }
}

int trace_next_pair(TraceReader *reader[2], TraceBlock block[2], Error *error)
{
    if (trace_next(reader[0], &block[0], error) || trace_next(reader[1], &block[1], error)) {
        return error->code;
    }
    while (block[0].tag && block[1].tag) {
        const TraceBlock *a = &block[0], *b = &block[1];
        if (a->number == b->number && a->tag == b->tag) {
            break;
        }
        /* an evaluation stands behind the step of its number */
        int behind = a->number < b->number || (a->number == b->number && a->tag == TRACE_STEP) ? 0
                                                                                               : 1;
        if (trace_next(reader[behind], &block[behind], error)) {
            return error->code;
        }
    }
    return 0;
}

/* Reads what one alone has behind the last block of both: it is no damage, and has an end or not. */
static int read_rest(TraceReader *reader[2], Error *error)
{
    for (int s = 0; s < 2; s++) {
        TraceBlock block;
        do {
            if (trace_next(reader[s], &block, error)) {
                return error->code;
            }
        } while (block.tag);
    }
    return 0;
}

/* How far a trace was read, and whether its run went through. */
static json_t *extent(const TraceReader *r)
{
    char chain[65];
    json_t *o = json_object();
    sha256_text(chain, r->chain);
    json_object_set_new(o, "trace", json_text(r->path));
    put_count(o, "step", r->step);
    json_object_set_new(o, "whole", json_boolean(r->ended));
    put_count(o, "cut_bytes", r->cut);
    json_object_set_new(o, "chain", json_string(chain));
    return o;
}

static const json_t *run_value(const TraceReader *r, const char *key)
{
    return json_object_get(json_object_get(r->header, "run"), key);
}

/* Level weights, which has no op records, does not say what they depend on. */
static int same_if_there(const TraceReader *a, const TraceReader *b, const char *key)
{
    const json_t *x = run_value(a, key), *y = run_value(b, key);
    return !x || !y || json_equal(x, y);
}

/* The step behind which a trace begins. */
static uint32_t behind(const TraceReader *r)
{
    return (uint32_t)json_integer_value(json_object_get(r->header, "behind"));
}

int trace_compare(json_t **result, TraceReader *a, TraceReader *b, Error *error)
{
    json_t *receipts;
    *result = NULL;
    if (trace_receipts(&receipts, a, b, error)) {
        return error->code;
    }
    TraceReader *reader[2] = {a, b};
    TraceBlock block[2];
    Found found = {0};
    size_t steps = 0, evaluations = 0;
    /* what runs that go on from a checkpoint are equal in before it, their checkpoints say */
    uint32_t last = behind(a) > behind(b) ? behind(a) : behind(b);
    Pair pair = {{a, b},
                 {&block[0], &block[1]},
                 same_if_there(a, b, "micro_batch") && same_if_there(a, b, "recompute"),
                 json_equal(json_object_get(a->header, "ops"), json_object_get(b->header, "ops"))};
    for (;;) {
        if (trace_next_pair(reader, block, error)) {
            json_decref(receipts);
            return error->code;
        }
        if (!block[0].tag || !block[1].tag) {
            break;
        }
        int step = block[0].tag == TRACE_STEP;
        (step ? compare_step : compare_evaluation)(&pair, &found);
        if (found.first) {
            break;
        }
        steps += step && block[0].number;
        evaluations += (size_t)!step;
        last = block[0].number;
    }
    if (!found.first && read_rest(reader, error)) {
        json_decref(receipts);
        return error->code;
    }
    if (!found.first && !steps && !evaluations) {
        json_decref(receipts);
        return REFUSE("%s and %s have no step in common: one ends before, or they record other "
                      "steps (--trace-every)",
                      a->path, b->path);
    }
    json_t *o = json_object(), *equal = json_object();
    put_count(equal, "steps", steps);
    put_count(equal, "evaluations", evaluations);
    put_count(equal, "last_step", last);
    put_count(equal, "records", found.equal);
    json_object_set_new(o, "format", json_string("trace-comparison"));
    put_count(o, "version", 1);
    json_object_set_new(o, "a", extent(a));
    json_object_set_new(o, "b", extent(b));
    json_object_set_new(o, "receipts", receipts);
    json_object_set_new(o, "same_packing", json_boolean(pair.same_packing));
    json_object_set_new(o, "equal", json_boolean(!found.first));
    json_object_set_new(o, "equal_before", equal);
    if (found.first) {
        put_count(found.first, "differ", found.differ);
        put_count(found.first, "of", found.of);
        json_object_set_new(o, "first", found.first);
    }
    *result = o;
    return 0;
}
