#include "planning.h"
#include "components.h"
#include "distributions.h"
#include "report.h"
#include "result.h"
#include "text_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SEEDS = 100000, MOST_EXAMPLES = 1000000000, GIVEN = 6 };

static const double power = 0.8;

static const char *const goals[GOALS] = {"VAR", "zeta", "CON", "delta-zeta", "delta-CON"};

/* What a plan rests on, in points; NaN where it is not known. */
typedef struct Basis {
    double S, N;
    double zeta, CON;
    double sd, sd_of_difference, df; /* of the two standard deviations */
    const Components *con, *difference;
} Basis;

/* Reads NAME=NUMBER,... into values in the order of names; percent NULL: no % behind a number. */
static int read_list(const char *option, const char *text, const char *const *names, int count,
                     double *values, int *percent, Error *error)
{
    char *copy = string_copy(text), *rest = NULL;
    int code = 0;
    for (char *item = strtok_r(copy, ",", &rest); item && !code;
         item = strtok_r(NULL, ",", &rest)) {
        char *equals = strchr(item, '='), *end = NULL;
        size_t size = equals ? (size_t)(equals - item) : strlen(item);
        int k = 0;
        while (k < count && (strlen(names[k]) != size || strncmp(names[k], item, size))) {
            k++;
        }
        double x = equals ? strtod(equals + 1, &end) : NAN;
        if (k == count) {
            char list[128] = "";
            for (int i = 0; i < count; i++) {
                strcat(strcat(list, i ? ", " : ""), names[i]);
            }
            code = error_set(error, EXIT_USAGE, "--%s %s: '%.*s' is none of %s", option, text,
                             (int)size, item, list);
        } else if (!equals || end == equals + 1 || strcmp(end, percent && *end ? "%" : "") ||
                   !(x >= 0) || !(x <= MOST_EXAMPLES) || (percent && !(x > 0))) {
            code = error_set(error, EXIT_USAGE, "--%s %s: '%s' is not %s=NUMBER%s", option, text,
                             item, names[k], percent ? ", in points or with %" : "");
        } else if (!isnan(values[k])) {
            code = error_set(error, EXIT_USAGE, "--%s %s: %s is named twice", option, text,
                             names[k]);
        } else {
            values[k] = x;
            if (percent) {
                percent[k] = *end == '%';
            }
        }
    }
    free(copy);
    return code;
}

int plan_read(PlanNumbers *numbers, const Arguments *o, Error *error)
{
    static const char *const names[GIVEN] = {"zeta", "VAR", "CON", "N", "S", "accuracy"};
    double given[GIVEN] = {NAN, NAN, NAN, NAN, NAN, NAN};
    *numbers = (PlanNumbers){.want = {NAN, NAN, NAN, NAN, NAN}};
    if ((o->want || o->given) && !o->plan) {
        return error_set(error, EXIT_USAGE, "--%s is of --plan; name that too",
                         o->want ? "want" : "given");
    }
    if (o->given && o->reference) {
        return error_set(error, EXIT_USAGE, "--given %s with --reference: one of them", o->given);
    }
    if (o->given && o->count) {
        return error_set(error, EXIT_USAGE, "--given %s: numbers or files, not both", o->given);
    }
    if ((o->want &&
         read_list("want", o->want, goals, GOALS, numbers->want, numbers->percent, error)) ||
        (o->given && read_list("given", o->given, names, GIVEN, given, NULL, error))) {
        return error->code;
    }
    double S = isnan(given[4]) ? 10 : given[4];
    numbers->zeta = given[0];
    numbers->VAR = given[1];
    numbers->CON = given[2];
    numbers->N = given[3];
    numbers->S = S;
    numbers->accuracy = given[5];
    if (given[0] > 100 || given[2] > 100 || given[5] > 100) {
        return error_set(error, EXIT_USAGE, "--given %s: zeta, CON and accuracy are at most 100 %%",
                         o->given);
    }
    if (S < 2 || S != floor(S) || given[3] < 2 || (given[3] != floor(given[3]) && given[3] > 0)) {
        return error_set(error, EXIT_USAGE, "--given %s: S and N are whole numbers from 2",
                         o->given);
    }
    return 0;
}

/* Half of the interval, or the difference that is found, with S seeds and N examples, in points; NaN
 * where something is not known. It falls with S and with N. */
static double reach(const Basis *b, Goal goal, double S, double N, double level)
{
    double df = S - 1, tail = (1 - level) / 2;
    const Components *parts = goal == GOAL_CON ? b->con : b->difference;
    switch (goal) {
    case GOAL_VAR:
        return b->sd *
               (sqrt(df / chi2_quantile(tail, df)) - sqrt(df / chi2_quantile(1 - tail, df))) / 2;
    case GOAL_ZETA:
        return t_quantile(1 - tail, df) * b->sd / sqrt(S);
    case GOAL_DELTA_ZETA:
        return t_shift(power, df, level) * b->sd_of_difference / sqrt(S);
    default:
        if (!parts || S < 3) {
            return NAN;
        }
        return (goal == GOAL_CON ? t_quantile(1 - tail, df) : t_shift(power, df, level)) * 100 *
               sqrt(components_variance(parts, S, N));
    }
}

/* The least number of seeds (or, with examples, of examples for the seeds at hand) with which the
 * goal is within this width; NaN if there is none. */
static double least(const Basis *b, Goal goal, double width, int examples, double level)
{
    double low = examples || goal == GOAL_VAR || goal == GOAL_ZETA || goal == GOAL_DELTA_ZETA ? 2
                                                                                              : 3,
           most = examples ? MOST_EXAMPLES : MOST_SEEDS, high = low;
    for (;;) { /* then high is enough, and what is below low is not */
        double S = examples ? b->S : high, N = examples ? high : b->N;
        if (reach(b, goal, S, N, level) <= width) {
            break;
        }
        if (high == most) {
            return NAN;
        }
        low = high + 1;
        high = fmin(most, 2 * high);
    }
    while (low < high) {
        double middle = floor((low + high) / 2), S = examples ? b->S : middle,
               N = examples ? middle : b->N;
        if (reach(b, goal, S, N, level) <= width) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return high;
}

/* One goal: seeds with the examples at hand, and what they would be if the standard deviation, which
 * the runs at hand tell roughly, were at an end of its interval; examples with the seeds at hand. */
static json_t *wanted(const Basis *b, Goal goal, double want, int percent, double level)
{
    double value = goal == GOAL_VAR                               ? b->sd
                   : goal == GOAL_ZETA || goal == GOAL_DELTA_ZETA ? b->zeta
                                                                  : b->CON;
    double tail = (1 - level) / 2, width = percent ? want * value / 100 : want;
    int relative = goal == GOAL_VAR && percent; /* whatever the standard deviation is */
    Basis unit = *b;
    char key[40];
    if (relative) {
        unit.sd = 100;
        width = want;
    }
    json_t *o = json_object();
    json_object_set_new(o, "goal", json_string(goals[goal]));
    put(o, "want", want);
    json_object_set_new(o, "unit", json_string(percent ? "%" : "points"));
    json_object_set_new(o, "known",
                        json_boolean(!isnan(reach(&unit, goal, 10, b->N, level) - width)));
    put(o, "points", relative ? want * value / 100 : width);
    put(o, "seeds", least(&unit, goal, width, 0, level));
    if (goal == GOAL_CON || goal == GOAL_DELTA_CON) {
        put(o, "examples", least(b, goal, width, 1, level));
    } else if (!relative && b->df > 0) {
        double ends[2];
        for (int end = 0; end < 2; end++) {
            double factor = sqrt(b->df / chi2_quantile(end ? tail : 1 - tail, b->df));
            unit.sd = b->sd * factor;
            unit.sd_of_difference = b->sd_of_difference * factor;
            ends[end] = least(&unit, goal, width, 0, level);
        }
        json_object_set_new(o, leveled(key, "seeds_ci", level),
                            isnan(ends[0]) ? json_null() : real_list(ends, 2));
    }
    return o;
}

/* A row for each number of seeds, that at hand among them; and the goals. */
static void put_plan(json_t *o, const Basis *b, const PlanNumbers *numbers, double level)
{
    static const double seeds[] = {3, 5, 10, 20, 30, 50, 100};
    static const char *const keys[GOALS] = {NULL, "zeta", "CON", "delta_zeta", "delta_CON"};
    enum { ROWS = sizeof seeds / sizeof *seeds };
    json_t *rows = json_array(), *list = json_array();
    double tail = (1 - level) / 2;
    put(o, "S", b->S);
    put(o, "N", b->N);
    put(o, "SD", b->sd);
    put(o, "zeta", b->zeta);
    put(o, "CON", b->CON);
    put(o, "SD_of_difference", b->sd_of_difference);
    json_object_set_new(o, "CON_components", b->con ? components_json(b->con) : json_null());
    json_object_set_new(o, "delta_CON_components",
                        b->difference ? components_json(b->difference) : json_null());
    for (int i = 0, here = 0; i < ROWS || !here;) {
        double S = i < ROWS && (here || seeds[i] < b->S) ? seeds[i] : b->S;
        here = here || S == b->S;
        i += i < ROWS && seeds[i] == S;
        json_t *row = json_object();
        put(row, "S", S);
        put(row, "SD_low", sqrt((S - 1) / chi2_quantile(1 - tail, S - 1)));
        put(row, "SD_high", sqrt((S - 1) / chi2_quantile(tail, S - 1)));
        for (int goal = GOAL_ZETA; goal < GOALS; goal++) {
            put(row, keys[goal], reach(b, (Goal)goal, S, b->N, level));
        }
        json_array_append_new(rows, row);
    }
    for (int goal = isnan(b->df) || !isnan(b->sd) ? 0 : GOAL_DELTA_ZETA; goal < GOALS; goal++) {
        if (!isnan(numbers->want[goal])) {
            json_array_append_new(
                list, wanted(b, (Goal)goal, numbers->want[goal], numbers->percent[goal], level));
        }
    }
    put(o, "power", power);
    put(o, "level", level);
    json_object_set_new(o, "rows", rows);
    json_object_set_new(o, "wanted", list);
}

/* Another such set of runs varies alike and shares nothing with this one, so a difference has twice
 * the variance. parts [2]: the components of CON, if known; filled with those of the difference. */
static Basis basis_of(Components parts[2], int known, double S, double N, double sd)
{
    const Components *c = &parts[0];
    parts[1] = (Components){2 * c->examples, 2 * c->runs, 2 * c->runs_on_examples, 2 * c->pairs,
                            2 * c->rest};
    return (Basis){.S = S,
                   .N = N,
                   .sd = sd,
                   .sd_of_difference = sd * sqrt(2),
                   .con = known ? &parts[0] : NULL,
                   .difference = known ? &parts[1] : NULL};
}

/* The components of CON by the model, from accuracy and CON in points; sd: of the accuracy, 0 where it is
 * not known. 0, or -1 if no such runs exist or a number is missing. */
static int model_components(Components *parts, double accuracy, double CON, double sd, double N)
{
    return isnan(accuracy) || isnan(CON) || isnan(N) ||
                   components_model(parts, accuracy / 100, CON / 100, isnan(sd) ? 0 : sd / 100, N)
               ? -1
               : 0;
}

static int plan_of_numbers(json_t *list, const PlanNumbers *n, double level, Error *error)
{
    double sd = n->VAR * sqrt(n->S / (n->S - 1)), accuracy = isnan(n->accuracy) ? n->zeta : n->accuracy;
    Components parts[2] = {{0}};
    /* how accuracy varies is not known where zeta is another metric */
    int model = !model_components(parts, accuracy, n->CON, isnan(n->accuracy) ? sd : NAN, n->N);
    if (!model && !isnan(accuracy) && !isnan(n->CON) && !isnan(n->N)) {
        return error_set(error, EXIT_USAGE,
                         "--given: no runs of the model in docs/STATISTICS.md have %s %g, CON %g "
                         "and VAR %g; leave out CON",
                         isnan(n->accuracy) ? "zeta" : "accuracy", accuracy, n->CON,
                         isnan(n->VAR) ? 0 : n->VAR);
    }
    Basis b = basis_of(parts, model, n->S, n->N, sd);
    b.zeta = n->zeta;
    b.CON = n->CON;
    b.df = NAN; /* how well the numbers are known is not */
    json_t *o = json_pack("{s:s}", "from", "numbers");
    if (model && isnan(n->accuracy)) {
        json_object_set_new(o, "note",
                            json_string("zeta is taken as the accuracy; where it is another "
                                        "metric, give accuracy too, for CON"));
    }
    put_plan(o, &b, n, level);
    json_array_append_new(list, o);
    return 0;
}

/* The same of a cell of a table, whose S and N may be the study's and the public task's. */
static json_t *plan_of_cell(const json_t *cell, const PlanNumbers *n, double level)
{
    const KnownTask *known = known_task(text_of(cell, "task"), NULL);
    int accuracy = !known || !strcmp(known->metric, "accuracy");
    double S = number_of(cell, "S"), N = number_of(cell, "N"), zeta = number_of(cell, "zeta"),
           CON = number_of(cell, "CON"), sd = number_of(cell, "VAR") * sqrt(S / (S - 1));
    Components parts[2] = {{0}};
    int model = !model_components(parts, accuracy ? zeta : NAN, CON, sd, N);
    Basis b = basis_of(parts, model, S, N, sd);
    b.zeta = zeta;
    b.CON = CON;
    b.df = S - 1;
    json_t *o = json_pack("{s:s}", "from", "table");
    json_object_set(o, "task", json_object_get(cell, "task"));
    json_object_set(o, "model", json_object_get(cell, "model"));
    if (!model && !isnan(CON)) {
        char *text = !accuracy
                         ? string_format("CON: zeta is %s, which does not say how many are right",
                                         known->metric)
                     : isnan(N) ? string_copy("CON: the table has no N")
                                : string_copy("CON: no runs of the model in docs/STATISTICS.md "
                                              "have these numbers");
        json_object_set_new(o, "note", json_text(text));
        free(text);
    }
    put_plan(o, &b, n, level);
    return o;
}

static json_t *plan_of_group(const json_t *group, const PlanNumbers *n, double level)
{
    static const char *const copied[] = {"benchmark",     "task",  "split", "model",
                                         "recipe_sha256", "apart", "side"};
    json_t *o = json_pack("{s:s}", "from", "runs");
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) {
        if (json_object_get(group, copied[i])) {
            json_object_set(o, copied[i], json_object_get(group, copied[i]));
        }
    }
    Components parts[2];
    int known = components_of(parts, json_object_get(group, "CON_components"));
    double scale = percent_scale(group), S = number_of(group, "S");
    Basis b = basis_of(parts, known, S, number_of(group, "N"),
                       scale * number_of(group, "SD_sample"));
    b.zeta = scale * number_of(group, "zeta");
    b.CON = 100 * number_of(group, "CON");
    b.df = S - 1;
    put_plan(o, &b, n, level);
    put_count(o, "collapsed", json_array_size(collapsed_runs(group)));
    return o;
}

/* Of a comparison whose sides share seeds, three or more; else NULL. */
static json_t *plan_of_pairs(const json_t *comparison, const PlanNumbers *n, double level)
{
    const json_t *paired = json_object_get(comparison, "paired");
    double S = number_of(paired, "seeds"),
           sd = 100 * number_of(json_object_get(paired, "delta_zeta"), "SE") * sqrt(S);
    Components parts;
    int known = components_of(&parts,
                              json_object_get(json_object_get(paired, "delta_CON"), "components"));
    if (isnan(sd)) {
        return NULL;
    }
    Basis b = {.S = S,
               .N = number_of(comparison, "N"),
               .zeta = NAN,
               .CON = NAN,
               .sd = NAN,
               .sd_of_difference = sd,
               .df = S - 1,
               .difference = known ? &parts : NULL};
    json_t *o = json_pack("{s:s}", "from", "equal seeds");
    json_object_set(o, "task", json_object_get(comparison, "task"));
    put_plan(o, &b, n, level);
    return o;
}

int plan_make(json_t **plans, const PlanNumbers *numbers, const json_t *cells,
              const json_t *groups, const json_t *comparisons, double level, Error *error)
{
    json_t *list = json_array(), *entry;
    size_t i;
    if (cells) {
        json_array_foreach((json_t *)cells, i, entry)
        {
            json_array_append_new(list, plan_of_cell(entry, numbers, level));
        }
    } else if (json_array_size(groups) == 0 && plan_of_numbers(list, numbers, level, error)) {
        json_decref(list);
        return error->code;
    }
    json_array_foreach((json_t *)groups, i, entry)
    {
        if (number_of(entry, "S") > 1) {
            json_array_append_new(list, plan_of_group(entry, numbers, level));
        }
    }
    json_array_foreach((json_t *)comparisons, i, entry)
    {
        json_t *plan = plan_of_pairs(entry, numbers, level);
        if (plan) {
            json_array_append_new(list, plan);
        }
    }
    *plans = list;
    return 0;
}

static char *plus_minus(const json_t *row, const char *key, const Arguments *o)
{
    char text[32];
    double value = number_of(row, key);
    return string_format("%s%s", isnan(value) ? "" : o->ascii ? "+-" : "±",
                         decimal(text, value, 1, 2));
}

static void show_rows(FILE *out, const json_t *plan, const Arguments *o)
{
    static const char *const all[] = {"seeds", "s from",     "s to",     "zeta",
                                      "CON",   "zeta A - B", "CON A - B"};
    static const char *const pairs[] = {"seeds", "zeta A - B", "CON A - B"};
    int paired = !strcmp(text_of(plan, "from"), "equal seeds");
    TextTable t = {.title = paired ? pairs : all, .columns = paired ? 3 : 7};
    json_t *row;
    size_t i;
    char text[32];
    json_array_foreach(json_object_get(plan, "rows"), i, row)
    {
        text_table_add(&t, string_format("%.0f", number_of(row, "S")));
        if (!paired) {
            text_table_add(&t, string_format("%.0f %%",
                                             rounded(100 * (number_of(row, "SD_low") - 1), 0)));
            text_table_add(&t, string_format("+%.0f %%", 100 * (number_of(row, "SD_high") - 1)));
            text_table_add(&t, plus_minus(row, "zeta", o));
            text_table_add(&t, plus_minus(row, "CON", o));
        }
        text_table_add(&t, string_copy(decimal(text, number_of(row, "delta_zeta"), 1, 2)));
        text_table_add(&t, string_copy(decimal(text, number_of(row, "delta_CON"), 1, 2)));
    }
    text_table_show(out, &t, o);
    text_table_free(&t);
}

static char *count_text(const json_t *entry, const char *key)
{
    double count = number_of(entry, key);
    return !isnan(count)
               ? string_format("%.0f", count)
               : string_copy(json_is_true(json_object_get(entry, "known")) ? "none" : "n/a");
}

static void show_wanted(FILE *out, const json_t *plan, const Arguments *o)
{
    static const char *const titles[] = {"wanted", "seeds", "if s is off", "or examples"};
    static const char *const words[GOALS] = {"VAR within", "zeta within", "CON within",
                                             "zeta A - B of", "CON A - B of"};
    TextTable t = {.title = titles, .columns = 4, .left = 1};
    json_t *entry;
    size_t i;
    json_array_foreach(json_object_get(plan, "wanted"), i, entry)
    {
        char key[40];
        int goal = 0;
        while (strcmp(goals[goal], text_of(entry, "goal"))) {
            goal++;
        }
        double want = number_of(entry, "want");
        const char *unit = text_of(entry, "unit");
        text_table_add(&t, string_format("%s %g %s", words[goal], want,
                                         want == 1 && *unit == 'p' ? "point" : unit));
        text_table_add(&t, count_text(entry, "seeds"));
        const json_t *ends = json_object_get(entry, leveled(key, "seeds_ci", o->level)),
                     *high = json_array_get(ends, 1);
        text_table_add(&t, !json_array_size(ends) ? string_copy("")
                           : json_is_null(high)
                               ? string_format("%.0f to none", json_number_value(json_array_get(ends, 0)))
                               : string_format("%.0f to %.0f",
                                               json_number_value(json_array_get(ends, 0)),
                                               json_number_value(high)));
        text_table_add(&t, json_object_get(entry, "examples") ? count_text(entry, "examples")
                                                              : string_copy(""));
    }
    if (t.count) {
        fputc('\n', out);
        text_table_show(out, &t, o);
    }
    text_table_free(&t);
}

static char *heading_of(const json_t *plan)
{
    char sd[32], zeta[32], con[32];
    const char *from = text_of(plan, "from");
    if (!strcmp(from, "equal seeds")) {
        return string_format("plan for %s, A - B at %.0f equal seeds, %.0f examples: s %s",
                             text_of(plan, "task"), number_of(plan, "S"), number_of(plan, "N"),
                             decimal(sd, number_of(plan, "SD_of_difference"), 1, 2));
    }
    char *name = !strcmp(from, "runs")    ? group_name(plan)
                 : !strcmp(from, "table") ? string_copy(text_of(plan, "model"))
                                          : string_copy("given numbers"),
         examples[32];
    char *text = string_format(
        "plan for %s%s%s: S %.0f, N %s, s %s, zeta %s, CON %s", text_of(plan, "task"),
        *text_of(plan, "task") ? ", " : "", name, number_of(plan, "S"),
        decimal(examples, number_of(plan, "N"), 1, 0), decimal(sd, number_of(plan, "SD"), 1, 2),
        decimal(zeta, number_of(plan, "zeta"), 1, 2), decimal(con, number_of(plan, "CON"), 1, 2));
    free(name);
    return text;
}

void plan_show(FILE *out, const json_t *plans, const Arguments *o)
{
    const json_t *plan;
    size_t i;
    json_array_foreach((json_t *)plans, i, plan)
    {
        char *heading = heading_of(plan);
        text_heading(out, heading, o);
        free(heading);
        show_rows(out, plan, o);
        show_wanted(out, plan, o);
        if (*text_of(plan, "note")) {
            text_note(out, text_of(plan, "note"), o);
        }
        if (number_of(plan, "collapsed") > 0) {
            char *text = string_format(
                "%.0f of the runs collapsed: s is not that of normal scores; "
                "--drop-degenerate leaves them out",
                number_of(plan, "collapsed"));
            text_note(out, text, o);
            free(text);
        }
        if (!strcmp(text_of(plan, "from"), "runs") &&
            isnan(number_of(json_object_get(plan, "CON_components"), "rest")) &&
            !isnan(number_of(plan, "CON"))) {
            text_note(out, "CON: four runs or more are needed", o);
        }
    }
    if (plans && !json_array_size(plans)) {
        text_heading(out, "plan: two runs of a group or more are needed", o);
    } else if (plans) {
        char *text = string_format("points; %g %% intervals; A - B is found in %.0f %% of studies "
                                   "by a test of equal seeds%s",
                                   100 * o->level, 100 * power,
                                   o->side[0]
                                       ? ""
                                       : ", where both sides vary as these runs do and share "
                                         "nothing (--compare A B --plan: what they share)");
        text_note(out, text, o);
        free(text);
    }
}
