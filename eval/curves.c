/* Learning curves: the statistics of a group at each evaluation, as of runs that had ended there. */
#include "curves.h"
#include "result.h"
#include "statistics.h"

#include <stdlib.h>

/* The step of an evaluation; where files do not have it, evaluations count from 1. */
static int step_of(const Preds *run, size_t e)
{
    return run->epoch_step ? run->epoch_step[e] : (int)e + 1;
}

/* The evaluation of a run behind this step, or E. */
static size_t evaluation_at(const Preds *run, int step)
{
    size_t e = 0;
    while (e < run->E && step_of(run, e) != step) {
        e++;
    }
    return e;
}

/* The run as it was at an evaluation; it borrows all it has. */
static Preds run_at(const Preds *run, size_t e)
{
    Preds then = *run;
    then.pred = run->epoch_pred + e * run->N;
    then.value = run->regression ? run->epoch_logits + e * run->N : NULL;
    then.logits = NULL;
    return then;
}

size_t curves_runs(const Group *group)
{
    size_t runs = 0;
    for (size_t s = 0; s < group->S; s++) {
        runs += group->runs[s]->E > 0;
    }
    return runs;
}

json_t *curves_compute(const Group *group)
{
    static const char *const names[] = {"zeta", "VAR", "CON", "CCON"};
    const StatisticsOptions summary = {.level = 0.95, .summary = 1};
    const Preds *first = group->runs[0];
    Preds *then = memory_alloc(group->S, sizeof *then),
          **runs = memory_alloc(group->S, sizeof *runs);
    json_t *steps = json_array(), *curve = json_object();
    json_object_set_new(curve, "step", steps);
    for (int k = 0; k < 4; k++) {
        json_object_set_new(curve, names[k], json_array());
    }
    for (size_t e = 0; e < first->E; e++) {
        int step = step_of(first, e), all = 1;
        for (size_t s = 0; s < group->S; s++) {
            size_t at = evaluation_at(group->runs[s], step);
            all = all && at < group->runs[s]->E;
            then[s] = all ? run_at(group->runs[s], at) : (Preds){0};
            runs[s] = &then[s];
        }
        if (!all) {
            continue;
        }
        Group part = *group;
        part.runs = runs;
        json_t *o = statistics_compute(&part, &summary);
        json_array_append_new(steps, json_integer(step));
        for (int k = 0; k < 4; k++) {
            json_t *value = json_object_get(o, names[k]);
            json_array_append(json_object_get(curve, names[k]), value ? value : json_null());
        }
        json_decref(o);
    }
    free(then);
    free(runs);
    if (!json_array_size(steps)) {
        json_decref(curve);
        return NULL;
    }
    return curve;
}
