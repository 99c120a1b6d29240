/* consistency --plan against simulation: runs are drawn from the model of its formulas, with the seeds
 * and examples that it asks for, and intervals are as wide, and differences found as often, as it
 * says. Seeded and small: a formula that is off by a factor of 1.4 fails. `make coverage` has the
 * larger ones. Needs no files. */
#include "compare.h"
#include "components.h"
#include "distributions.h"
#include "intervals.h"
#include "made_groups.h"
#include "planning.h"
#include "result.h"

#include <stdlib.h>
#include <string.h>

static double normal(void)
{
    double u = 1 - uniform(), v = uniform();
    return sqrt(-2 * log(u)) * cos(2 * acos(-1.0) * v);
}

/* The latent correlations of a model: of two runs on an example, of two examples in a run. */
typedef struct Model {
    double accuracy, same_example, same_run;
} Model;

/* Draws pred [S, N]: 0 where a run is right. */
static void draw(int *pred, const Model *m, size_t S, size_t N)
{
    double z = normal_quantile(m->accuracy), *d = memory_alloc(N, sizeof *d);
    for (size_t i = 0; i < N; i++) {
        d[i] = sqrt(m->same_example) * normal();
    }
    for (size_t s = 0; s < S; s++) {
        double b = sqrt(m->same_run) * normal();
        for (size_t i = 0; i < N; i++) {
            pred[s * N + i] = d[i] + b + sqrt(1 - m->same_example - m->same_run) * normal() >= z;
        }
    }
    free(d);
}

/* CON and the standard deviation of scores on N examples of a model, by drawing pairs of latent
 * variables is slow: the share of two normal variables below z at a correlation, on a grid. */
static double both_below(double z, double correlation)
{
    double sum = 0, weights = 0;
    for (int k = -4000; k <= 4000; k++) {
        double x = k / 500.0, w = exp(-x * x / 2),
               p = normal_cdf((z - sqrt(correlation) * x) / sqrt(1 - correlation));
        sum += w * p * p;
        weights += w;
    }
    return sum / weights;
}

static double con_of(const Model *m)
{
    double ccon = both_below(normal_quantile(m->accuracy), m->same_example);
    return 1 - 2 * (m->accuracy - ccon);
}

static double sd_of(const Model *m, double N)
{
    double z = normal_quantile(m->accuracy), a = m->accuracy;
    return sqrt((1 - 1 / N) * (both_below(z, m->same_run) - a * a) +
                (a - both_below(z, m->same_example)) / N);
}

/* Mean and its standard error. */
typedef struct Tally {
    double n, mean, squares;
} Tally;

static void tally(Tally *t, double x)
{
    double off = x - t->mean;
    t->n++;
    t->mean += off / t->n;
    t->squares += off * (x - t->mean);
}

static double variance(const Tally *t)
{
    return t->squares / (t->n - 1);
}

/* The mean is what was expected, within so many standard errors. */
static void meets(const char *what, const Tally *t, double expected)
{
    double error = sqrt(variance(t) / t->n);
    CHECK(fabs(t->mean - expected) <= 4 * error, "%s: %g, expected %g (+- %g)", what, t->mean,
          expected, error);
}

static void power_of_t(void)
{
    /* two samples of 20, and 10 pairs, one standard deviation apart: R's power.t.test, G*Power */
    near("two samples", "power", t_power(sqrt(10), 38, 0.95), 0.8689528, 1e-6);
    near("pairs", "power", t_power(sqrt(10), 9, 0.95), 0.8030969, 1e-6);
    near("3 pairs", "power", t_power(2, 2, 0.95), 0.2183071, 1e-6);
    near("none", "power", t_power(0, 7, 0.95), 0.05, 1e-6);
    static const int seeds[] = {2, 3, 5, 10, 40};
    for (size_t k = 0; k < sizeof seeds / sizeof *seeds; k++) {
        int S = seeds[k];
        double shift = t_shift(0.8, S - 1, 0.95), critical = t_quantile(0.975, S - 1);
        Tally found = {0};
        for (int repeat = 0; repeat < 4000; repeat++) {
            double x[40];
            for (int s = 0; s < S; s++) {
                x[s] = normal() + shift / sqrt(S);
            }
            double se = sqrt(squares(x, (size_t)S) / (S - 1) / S);
            tally(&found, fabs(mean(x, (size_t)S)) > critical * se);
        }
        meets("power of the paired t test", &found, 0.8);
    }
}

/* What the plan says of a goal. */
static json_t *plan_of(const char *given, const char *want)
{
    Arguments options = {.plan = 1, .given = given, .want = want, .level = 0.95};
    PlanNumbers numbers;
    Error error;
    json_t *plans = NULL, *groups = json_array();
    CHECK(!plan_read(&numbers, &options, &error) &&
              !plan_make(&plans, &numbers, NULL, groups, NULL, 0.95, &error),
          "%s", error.text);
    json_t *plan = json_incref(json_array_get(plans, 0));
    json_decref(plans);
    json_decref(groups);
    return plan;
}

static double answer(const json_t *plan, const char *key)
{
    return number(json_array_get(json_object_get(plan, "wanted"), 0), key);
}

/* A value of the row of S seeds. */
static double row_value(const json_t *plan, double S, const char *key)
{
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(plan, "rows"), i, row)
    {
        if (number(row, "S") == S) {
            return number(row, key);
        }
    }
    return NAN;
}

/* Intervals of s and of the mean with the seeds that are asked for. */
static void spread(void)
{
    json_t *plan = plan_of("VAR=3,S=10", "VAR=20%"), *points = plan_of("VAR=3,S=10", "zeta=1");
    double sd = 3 * sqrt(10.0 / 9), seeds = answer(plan, "seeds"),
           of_mean = answer(points, "seeds");
    CHECK(seeds == 53, "VAR within 20 %%: %g seeds", seeds);
    CHECK(of_mean == 41, "zeta within 1 point: %g seeds", of_mean);
    near("10 seeds", "SD_low", row_value(plan, 10, "SD_low"), 0.687836, 1e-5);
    near("10 seeds", "SD_high", row_value(plan, 10, "SD_high"), 1.825618, 1e-5);
    Tally hold = {0}, holds_mean = {0}, squared = {0}, squared_mean = {0};
    double x[64];
    for (int repeat = 0; repeat < 2000; repeat++) {
        for (int k = 0; k < 2; k++) {
            size_t S = (size_t)(k ? of_mean : seeds);
            json_t *o = json_object();
            for (size_t s = 0; s < S; s++) {
                x[s] = sd * normal();
            }
            put_spread(o, x, S, 0.95);
            const json_t *ends = json_object_get(o, k ? "mean_ci95_t" : "SD_ci95");
            double low = json_number_value(json_array_get(ends, 0)),
                   high = json_number_value(json_array_get(ends, 1)), truth = k ? 0 : sd,
                   half = (high - low) / 2 / (k ? 1 : 0.2 * sd);
            tally(k ? &holds_mean : &hold, low <= truth && truth <= high);
            tally(k ? &squared_mean : &squared, half * half);
            json_decref(o);
        }
    }
    meets("interval of s holds", &hold, 0.95);
    meets("interval of the mean holds", &holds_mean, 0.95);
    /* one seed less would be wider than asked: the square of the half is just below 1 */
    CHECK(squared.mean < 1.02 && squared.mean > 0.95, "interval of s: %g", squared.mean);
    CHECK(squared_mean.mean < 1.02 && squared_mean.mean > 0.95, "of the mean: %g",
          squared_mean.mean);
    json_decref(plan);
    json_decref(points);
}

/* Components from the three numbers of a model, against draws of it: the scores' spread, CON's true
 * variance, the mean of the two-way variance, and the mean of the estimates. */
static void components(void)
{
    enum { S = 6, N = 40, REPEATS = 1500 };
    static const Model models[] = {{0.8, 0.5, 0}, {0.7, 0.4, 0.08}};
    static int pred[S * N], label[N];
    for (size_t k = 0; k < sizeof models / sizeof *models; k++) {
        const Model *m = &models[k];
        double con = con_of(m), sd = sd_of(m, N);
        Components c = {0};
        CHECK(!components_model(&c, m->accuracy, con, sd, N), "no model of %g %g", con, sd);
        Tally zeta = {0}, cons = {0}, spread = {0}, two_ways = {0}, parts[5] = {{0}};
        for (int repeat = 0; repeat < REPEATS; repeat++) {
            draw(pred, m, S, N);
            Made made = made_group(S, N, 2, label, pred, NULL);
            StatisticsOptions options = {.level = 0.95, .summary = 1, .components = 1};
            json_t *o = statistics_compute(&made.group, &options),
                   *ci = json_object_get(o, "CON_ci");
            Components estimate;
            CHECK(components_of(&estimate, json_object_get(o, "CON_components")), "no components");
            tally(&zeta, number(o, "zeta"));
            tally(&cons, number(o, "CON"));
            tally(&spread, number(o, "SD_sample") * number(o, "SD_sample"));
            double two_way = number(ci, "V_examples") + number(ci, "V_seed_jackknife") -
                             number(ci, "V_interaction");
            tally(&two_ways, two_way);
            const double list[5] = {estimate.examples, estimate.runs, estimate.runs_on_examples,
                                    estimate.pairs, estimate.rest};
            for (int i = 0; i < 5; i++) {
                tally(&parts[i], list[i]);
            }
            if (repeat < 10) { /* of the same runs both are the same number */
                double again = estimate.examples / N +
                               4.0 / S * (estimate.runs + estimate.runs_on_examples / N) +
                               4.0 / (S * (S - 2)) * estimate.pairs +
                               2.0 / (S * (S - 1) * N) * estimate.rest;
                near("components", "two-way variance", again, two_way, 1e-9);
            }
            json_decref(o);
            made_free(&made, S);
        }
        meets("accuracy", &zeta, m->accuracy);
        meets("CON", &cons, con);
        meets("variance of scores", &spread, sd * sd);
        meets("two-way variance", &two_ways, components_variance(&c, S, N));
        double truth = c.examples / N + 4.0 / S * (c.runs + c.runs_on_examples / N) +
                       2.0 / (S * (S - 1)) * (c.pairs + c.rest / N);
        CHECK(fabs(variance(&cons) / truth - 1) < 4 * sqrt(2.0 / REPEATS),
              "variance of CON: %g, expected %g", variance(&cons), truth);
        static const char *const names[] = {"examples", "runs", "runs on examples", "pairs",
                                            "rest"};
        const double expected[5] = {c.examples, c.runs, c.runs_on_examples, c.pairs, c.rest};
        for (int i = 0; i < 5; i++) {
            meets(names[i], &parts[i], expected[i]);
        }
    }
    /* agreement is 0 or 1, so all parts together are CON (1 - CON), however seldom runs differ */
    Components c;
    static const double cons[] = {0.7, 0.9, 0.98, 0.999};
    for (size_t k = 0; k < 2 * sizeof cons / sizeof *cons; k++) {
        double con = cons[k / 2];
        CHECK(!components_model(&c, 0.6, con, k % 2 ? 0.0002 : 0, 1e6), "no model of CON %g", con);
        double all = c.examples + 2 * c.runs + 2 * c.runs_on_examples + c.pairs + c.rest;
        near("model", "all parts", all, con * (1 - con), con > 0.99 ? 5e-3 : 1e-4);
    }
    /* what no such runs have */
    CHECK(components_model(&c, 0.8, 0.6, 0, 100) == -1, "less CON than independent runs");
    CHECK(components_model(&c, 0.8, 0.9, 0.5, 100) == -1, "more spread than any");
    CHECK(!components_model(&c, 0.8, 1, 0, 100) && fabs(c.runs) < 1e-9 && fabs(c.rest) < 1e-9 &&
              fabs(c.examples) < 1e-9,
          "all the same");
}

static char *given_of(const Model *m, double N, double S)
{
    return string_format("zeta=%.9f,VAR=%.9f,CON=%.9f,N=%.0f,S=%.0f", 100 * m->accuracy,
                         100 * sd_of(m, N) * sqrt((S - 1) / S), 100 * con_of(m), N, S);
}

/* The interval of CON with as many examples as are asked for. */
static void interval_of_con(void)
{
    enum { S = 8 };
    const Model m = {0.8, 0.5, 0.01};
    char *given = given_of(&m, 100, S);
    json_t *plan = plan_of(given, "CON=5");
    size_t N = (size_t)answer(plan, "examples");
    CHECK(N > 50 && N < 400, "%zu examples", N);
    Tally squared = {0}, holds = {0};
    int *pred = memory_alloc(S * N, sizeof *pred), *label = memory_calloc(N, sizeof *label);
    for (int repeat = 0; repeat < 600; repeat++) {
        draw(pred, &m, S, N);
        Made made = made_group(S, N, 2, label, pred, NULL);
        Table t = table_make(&made.group, NULL, NULL);
        json_t *o = two_way(&t, 0, NULL, 0.95);
        double con = agreement(&t, pairs_same), half = t_quantile(0.975, S - 1) * number(o, "SE");
        tally(&squared, half * half / (0.05 * 0.05));
        tally(&holds, fabs(con - con_of(&m)) <= half);
        json_decref(o);
        table_free(&t);
        made_free(&made, S);
    }
    CHECK(squared.mean > 0.95 && squared.mean < 1.07, "square of the half: %g of what is asked",
          squared.mean);
    CHECK(holds.mean > 0.94, "holds %g", holds.mean);
    free(pred);
    free(label);
    free(given);
    json_decref(plan);
}

/* Differences of zeta and CON at equal seeds that share nothing: found four times of five. Both sides
 * vary alike: right and wrong are mirrored about one half, and CON moves little. */
static void differences(void)
{
    enum { S = 8, N = 150, REPEATS = 700 };
    static int pred[2 * S * N], label[N];
    for (int kind = 0; kind < 2; kind++) {
        Model a = {kind ? 0.75 : 0.5, 0.5, 0.02}, b = a;
        char *given = given_of(&a, N, S);
        json_t *plan = plan_of(given, NULL);
        double delta = row_value(plan, S, kind ? "delta_CON" : "delta_zeta") / 100;
        if (kind) {
            double middle = con_of(&a), low[2] = {0, 0}, high[2] = {0.999, 0.999};
            for (int k = 0; k < 40; k++) {
                a.same_example = (low[0] + high[0]) / 2;
                b.same_example = (low[1] + high[1]) / 2;
                *(con_of(&a) < middle + delta / 2 ? &low[0] : &high[0]) = a.same_example;
                *(con_of(&b) < middle - delta / 2 ? &low[1] : &high[1]) = b.same_example;
            }
        } else {
            a.accuracy += delta / 2;
            b.accuracy -= delta / 2;
        }
        Tally found = {0}, seen = {0};
        for (int repeat = 0; repeat < REPEATS; repeat++) {
            draw(pred, &a, S, N);
            draw(pred + S * N, &b, S, N);
            int seeds[2 * S][3];
            for (int s = 0; s < 2 * S; s++) {
                seeds[s][0] = seeds[s][1] = seeds[s][2] = s % S;
            }
            Made made = made_runs(2 * S, N, 2, label, pred, (const int(*)[3])seeds);
            Error error;
            for (int s = S; s < 2 * S; s++) {
                made.runs[s].side = 1;
            }
            CHECK(!group_join(&made.group, made.list, 2 * S, 0, &error), "%s", error.text);
            json_t *o = compare_groups(&made.group, 0.95);
            const json_t *of = json_object_get(json_object_get(o, "paired"),
                                               kind ? "delta_CON" : "delta_zeta");
            tally(&found, number(of, "p") < 0.05);
            tally(&seen, number(of, "delta"));
            json_decref(o);
            made_free(&made, 2 * S);
        }
        double error = sqrt(0.8 * 0.2 / REPEATS);
        meets("the difference itself", &seen, delta);
        CHECK(found.mean > 0.8 - 4 * error && found.mean < (kind ? 0.95 : 0.8 + 4 * error),
              "%s: found %g of times", kind ? "CON" : "zeta", found.mean);
        printf("%s apart by %.2f points with %d seeds: found %.3f\n", kind ? "CON" : "zeta",
               100 * delta, S, found.mean);
        free(given);
        json_decref(plan);
    }
}

int main(void)
{
    power_of_t();
    spread();
    components();
    interval_of_con();
    differences();
    return checks_close("planning");
}
