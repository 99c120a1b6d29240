/* Comparisons of runs that share seeds, against the definitions of docs/STATISTICS.md written anew:
 * every jackknife leaves a pair out and computes again. And cases whose answers are known. Needs no
 * files. */
#include "compare.h"
#include "distributions.h"
#include "made_groups.h"
#include "result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PAIRS = 6, ROWS = 23, CLASSES = 3, ONLY_A = 1, ONLY_B = 2 };
enum { S_A = PAIRS + ONLY_A, RUNS = S_A + PAIRS + ONLY_B };
static const double level = 0.9;

/* What the pairs say, [side, pair, example], and whether a pair has a part in it. */
static int said[2][PAIRS][ROWS], label[ROWS], use[PAIRS];

typedef double (*Statistic)(int example);

static int differ(int x, int y, int right, int i)
{
    return right ? !(x == label[i] && y == label[i]) : x < 0 || x != y;
}

/* Mean over two different pairs in use; over the runs of each one if own. */
static double mean_of(int a, int b, int own, int right, int i)
{
    double sum = 0, count = 0;
    for (int s = 0; s < PAIRS; s++) {
        for (int r = 0; r < PAIRS; r++) {
            if (use[s] && use[r] && (s == r) == own) {
                sum += differ(said[a][s][i], said[b][r][i], right, i);
                count++;
            }
        }
    }
    return sum / count;
}

static double change(int i)
{
    return mean_of(0, 1, 1, 0, i);
}

static double seed_a(int i)
{
    return mean_of(0, 0, 0, 0, i);
}

static double seed_b(int i)
{
    return mean_of(1, 1, 0, 0, i);
}

static double both(int i)
{
    return mean_of(0, 1, 0, 0, i);
}

static double seed(int i)
{
    return (seed_a(i) + seed_b(i)) / 2;
}

static double minus(int i)
{
    return seed(i) - change(i);
}

static double delta_con(int i)
{
    return (1 - seed_a(i)) - (1 - seed_b(i));
}

static double delta_ccon(int i)
{
    return mean_of(1, 1, 0, 1, i) - mean_of(0, 0, 0, 1, i);
}

static double mean_over_rows(Statistic f)
{
    double sum = 0;
    for (int i = 0; i < ROWS; i++) {
        sum += f(i) / ROWS;
    }
    return sum;
}

static double overall_change, overall_seed; /* with all pairs */

/* The change over the seed, to first order: its relative error is that of the ratio. */
static double log_ratio(int i)
{
    return change(i) / overall_change - seed(i) / overall_seed;
}

/* The two-way variance by leaving out one pair after the other. */
static double standard_error(Statistic f)
{
    double centre = mean_over_rows(f), row[ROWS], e[PAIRS][ROWS], n = PAIRS, N = ROWS;
    double examples = 0, seeds = 0, interaction = 0;
    for (int i = 0; i < ROWS; i++) {
        row[i] = f(i);
        examples += pow(row[i] - centre, 2) / (N * (N - 1));
    }
    for (int s = 0; s < PAIRS; s++) {
        use[s] = 0;
        double without = mean_over_rows(f);
        seeds += (n - 1) / n * pow(without - centre, 2);
        for (int i = 0; i < ROWS; i++) {
            e[s][i] = f(i) - row[i] - (without - centre);
            interaction += (n - 1) / n * e[s][i] * e[s][i] / (N * (N - 1));
        }
        use[s] = 1;
    }
    return sqrt(fmax(examples + seeds - interaction, fmax(examples, seeds)));
}

static const json_t *part_of(const json_t *comparison, const char *name)
{
    return json_object_get(json_object_get(comparison, "paired"), name);
}

static void ends(double out[2], const json_t *part, const char *key)
{
    const json_t *ci = json_object_get(part, key);
    CHECK(json_array_size(ci) == 2, "no %s", key);
    out[0] = json_number_value(json_array_get(ci, 0));
    out[1] = json_number_value(json_array_get(ci, 1));
}

/* The ends of the interval of a share are those at which the binomial distribution of the effective
 * number of examples has the tails of the level. */
static void check_share(const json_t *comparison, const char *name, Statistic f)
{
    const json_t *part = part_of(comparison, name);
    double x = mean_over_rows(f), se = standard_error(f), ci[2];
    near(name, "flips", number(part, "flips"), x, 1e-12);
    near(name, "SE", number(part, "SE"), se, 1e-10);
    ends(ci, part, "ci90");
    double n = x * (1 - x) / (se * se) *
               pow(normal_quantile(0.95) / t_quantile(0.95, PAIRS - 1), 2);
    near(name, "lower tail", beta_cdf(ci[0], n * x, n - n * x + 1), 0.05, 1e-8);
    near(name, "upper tail", beta_cdf(ci[1], n * x + 1, n - n * x), 0.95, 1e-8);
}

static void check_difference(const json_t *comparison, const char *name, Statistic f)
{
    const json_t *part = part_of(comparison, name);
    double x = mean_over_rows(f), se = standard_error(f), t = t_quantile(0.95, PAIRS - 1), ci[2];
    near(name, "delta", number(part, "delta"), x, 1e-12);
    near(name, "SE", number(part, "SE"), se, 1e-10);
    near(name, "p", number(part, "p"), t_two_sided(x / se, PAIRS - 1), 1e-9);
    ends(ci, part, "ci90");
    near(name, "low", ci[0], x - t * se, 1e-10);
    near(name, "high", ci[1], x + t * se, 1e-10);
}

/* Whether two variances are equal: Pearson's correlation of sums and differences. */
static double morgan_t(const double *x, const double *y, double factor)
{
    double sum[PAIRS], difference[PAIRS], cross = 0;
    for (int s = 0; s < PAIRS; s++) {
        sum[s] = x[s] + factor * y[s];
        difference[s] = x[s] - factor * y[s];
    }
    for (int s = 0; s < PAIRS; s++) {
        cross += (sum[s] - mean(sum, PAIRS)) * (difference[s] - mean(difference, PAIRS));
    }
    double r = cross / sqrt(squares(sum, PAIRS) * squares(difference, PAIRS));
    return r * sqrt((PAIRS - 2) / (1 - r * r));
}

static void check_scores(const json_t *comparison)
{
    double x[PAIRS] = {0}, y[PAIRS] = {0}, d[PAIRS], ci[2];
    for (int s = 0; s < PAIRS; s++) {
        for (int i = 0; i < ROWS; i++) {
            x[s] += said[0][s][i] == label[i] ? 1.0 / ROWS : 0;
            y[s] += said[1][s][i] == label[i] ? 1.0 / ROWS : 0;
        }
        d[s] = x[s] - y[s];
    }
    const json_t *zeta = part_of(comparison, "delta_zeta"), *var = part_of(comparison, "VAR_ratio");
    double se = sqrt(squares(d, PAIRS) / (PAIRS - 1) / PAIRS);
    near("zeta", "delta", number(zeta, "delta"), mean(d, PAIRS), 1e-12);
    near("zeta", "p", number(zeta, "p"), t_two_sided(mean(d, PAIRS) / se, PAIRS - 1), 1e-9);
    near("VAR", "ratio", number(var, "ratio"), sqrt(squares(x, PAIRS) / squares(y, PAIRS)), 1e-12);
    near("VAR", "p", number(var, "p"), t_two_sided(morgan_t(x, y, 1), PAIRS - 2), 1e-9);
    ends(ci, var, "ci90");
    near("VAR", "low", morgan_t(x, y, ci[0]), t_quantile(0.95, PAIRS - 2), 1e-8);
    near("VAR", "high", morgan_t(x, y, ci[1]), -t_quantile(0.95, PAIRS - 2), 1e-8);
}

/* Pairs among other runs, in any order, with missing answers. */
static void check_random(void)
{
    static const int seed_of[RUNS] = {4, 9, 1, 77, 3, 5, 2, /**/ 3, 2, 50, 1, 9, 51, 4, 5};
    static const int order[PAIRS] = {1, 2, 3, 4, 5, 9};
    int pred[RUNS * ROWS], seeds[RUNS][3];
    for (int i = 0; i < ROWS; i++) {
        label[i] = (int)(splitmix() % CLASSES);
    }
    for (int s = 0; s < RUNS; s++) {
        for (int k = 0; k < 3; k++) {
            seeds[s][k] = seed_of[s];
        }
        for (int i = 0; i < ROWS; i++) {
            /* a run has an opinion of its own; side B is drawn to side A's of this seed */
            splitmix_state = (uint64_t)(seed_of[s] * 1000 + i);
            int own = uniform() < 0.7 ? label[i] : (int)(splitmix() % CLASSES);
            splitmix_state = (uint64_t)(s * 77777 + i);
            pred[s * ROWS + i] = uniform() < 0.8    ? own
                                 : uniform() < 0.15 ? -1
                                                    : (int)(splitmix() % CLASSES);
        }
        for (int k = 0; k < PAIRS; k++) {
            if (seed_of[s] == order[k]) {
                memcpy(said[s >= S_A][k], pred + s * ROWS, ROWS * sizeof *pred);
                use[k] = 1;
            }
        }
    }
    Made made = made_runs(RUNS, ROWS, CLASSES, label, pred, seeds);
    Error error;
    for (int s = S_A; s < RUNS; s++) {
        made.runs[s].side = 1;
    }
    CHECK(!group_join(&made.group, made.list, RUNS, 0, &error), "%s", error.text);
    json_t *o = compare_groups(&made.group, level);
    near("pairs", "seeds", number(json_object_get(o, "paired"), "seeds"), PAIRS, 0);
    near("pairs", "only_A", number(json_object_get(o, "paired"), "only_A"), ONLY_A, 0);
    near("pairs", "only_B", number(json_object_get(o, "paired"), "only_B"), ONLY_B, 0);
    near("pairs", "identical", number(json_object_get(o, "paired"), "identical"), 0, 0);
    near("pairs", "CON_equal_seeds", number(o, "CON_equal_seeds"), 1 - mean_over_rows(change),
         1e-12);
    check_share(o, "change", change);
    check_share(o, "seed", seed);
    check_share(o, "seed_A", seed_a);
    check_share(o, "seed_B", seed_b);
    check_share(o, "change_and_seed", both);
    check_difference(o, "seed_minus_change", minus);
    check_difference(o, "delta_CON", delta_con);
    check_difference(o, "delta_CCON", delta_ccon);
    overall_change = mean_over_rows(change);
    overall_seed = mean_over_rows(seed);
    double ci[2], half = t_quantile(0.95, PAIRS - 1) * standard_error(log_ratio),
                  ratio = overall_change / overall_seed;
    const json_t *part = part_of(o, "change_over_seed");
    near("ratio", "ratio", number(part, "ratio"), ratio, 1e-12);
    ends(ci, part, "ci90");
    near("ratio", "low", ci[0], ratio * exp(-half), 1e-9);
    near("ratio", "high", ci[1], ratio * exp(half), 1e-9);
    check_scores(o);
    json_decref(o);
    made_free(&made, RUNS);
}

/* n runs a side that predict pred [2 n, 4] of two classes, all labels 0; seeds of side B begin at
 * first. */
static json_t *compare_few(int n, const int *pred, int first)
{
    static const int zeros[4];
    int seeds[16][3];
    for (int s = 0; s < 2 * n; s++) {
        for (int k = 0; k < 3; k++) {
            seeds[s][k] = s < n ? s : first + s - n;
        }
    }
    Made made = made_runs(2 * (size_t)n, 4, 2, zeros, pred, seeds);
    Error error;
    for (int s = n; s < 2 * n; s++) {
        made.runs[s].side = 1;
    }
    CHECK(!group_join(&made.group, made.list, 2 * (size_t)n, 0, &error), "%s", error.text);
    json_t *o = compare_groups(&made.group, 0.95);
    made_free(&made, 2 * (size_t)n);
    return o;
}

static void says(const json_t *comparison, const char *expected)
{
    const char *text = text_of(json_object_get(comparison, "paired"), "sentence");
    CHECK(!strcmp(text, expected), "says\n  %s, expected\n  %s", text, expected);
}

static void check_known(void)
{
    /* the same runs twice: 3 * 2 / 12 of pairs of seeds differ in example 3, 2 * 2 / 6 */
    static const int same[24] = {0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, /**/
                                 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0};
    double ci[2];
    json_t *o = compare_few(3, same, 0), *paired = json_object_get(o, "paired");
    near("same", "identical", number(paired, "identical"), 3, 0);
    near("same", "change", number(part_of(o, "change"), "flips"), 0, 0);
    near("same", "seed", number(part_of(o, "seed"), "flips"), 1.0 / 3, 1e-12);
    near("same", "delta_CON", number(part_of(o, "delta_CON"), "delta"), 0, 0);
    near("same", "VAR", number(part_of(o, "VAR_ratio"), "ratio"), 1, 0);
    ends(ci, part_of(o, "change"), "ci95");
    near("same", "low", ci[0], 0, 0);
    near("same", "high", ci[1], 1 - pow(0.025, 0.25), 1e-10); /* of four examples none changes */
    ends(ci, part_of(o, "VAR_ratio"), "ci95");
    near("same", "VAR low", ci[0], 1, 1e-6);
    near("same", "VAR high", ci[1], 1, 1e-6);
    json_decref(o);
    /* without seed variance there is no ratio; B says the other of example 0 */
    static const int flip[24] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /**/
                                 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0};
    o = compare_few(3, flip, 0);
    near("flip", "change", number(part_of(o, "change"), "flips"), 0.25, 0);
    near("flip", "seed", number(part_of(o, "seed"), "flips"), 0, 0);
    near("flip", "change and seed", number(part_of(o, "change_and_seed"), "flips"), 0.25, 0);
    near("flip", "ratio", number(part_of(o, "change_over_seed"), "ratio"), NAN, 0);
    near("flip", "VAR", number(part_of(o, "VAR_ratio"), "ratio"), NAN, 0);
    near("flip", "zeta", number(part_of(o, "delta_zeta"), "delta"), 0.25, 0);
    json_decref(o);
    /* two pairs have no interval, one has no seed, and none no change */
    o = compare_few(2, same, 0); /* side A: 0000 0001, side B: 0010 0000 */
    near("two", "change", number(part_of(o, "change"), "flips"), 0.25, 0);
    near("two", "seed_B", number(part_of(o, "seed_B"), "flips"), 0.25, 0);
    near("two", "SE", number(part_of(o, "seed_minus_change"), "SE"), NAN, 0);
    says(o,
         "Of 2 seeds that A and B share, the change flips 25 % of predictions, the seed flips 25 "
         "%; two seeds are too few for intervals.");
    json_decref(o);
    o = compare_few(2, same, 1);
    near("one", "change", number(part_of(o, "change"), "flips"), 0.5, 0);
    near("one", "only_A", number(json_object_get(o, "paired"), "only_A"), 1, 0);
    CHECK(!part_of(o, "seed"), "one seed says what a seed does");
    says(o,
         "Of 1 seed that A and B share (1 of A and 1 of B have no partner and no part in it), the "
         "change flips 50 % of predictions; what a seed does takes two of them.");
    json_decref(o);
    o = compare_few(2, same, 5);
    near("none", "across", number(json_object_get(o, "paired"), "across"), 0.25, 0);
    says(o, "A and B share no seed, so what the change flips cannot be told from what seeds do: a "
            "run of A and one of B differ in 25 % of predictions, two runs of A in 25 %, two runs "
            "of B in 25 %.");
    json_decref(o);
}

/* Verdicts of eight pairs of runs on 400 examples, where B differs in a share of them. */
static void check_verdicts(void)
{
    enum { N = 8, MANY = 400 };
    static const struct {
        double change, seed;
        const char *verdict;
    } cases[] = {{0.01, 0.1, "the change matters less than the seed"},
                 {0.4, 0.05, "the change matters more than the seed"},
                 {0, 0.05, "the change flips 0 % [0, 0.92]"},
                 {0, 0, "neither matters"}};
    static int zeros[MANY], pred[2 * N * MANY];
    splitmix_state = 15;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        int seeds[2 * N][3];
        for (int s = 0; s < N; s++) {
            for (int i = 0; i < MANY; i++) {
                pred[s * MANY + i] = uniform() < cases[c].seed / 2;
                pred[(N + s) * MANY + i] = pred[s * MANY + i] ^ (uniform() < cases[c].change);
            }
            for (int k = 0; k < 3; k++) {
                seeds[s][k] = seeds[N + s][k] = s;
            }
        }
        Made made = made_runs(2 * N, MANY, 2, zeros, pred, seeds);
        Error error;
        for (int s = N; s < 2 * N; s++) {
            made.runs[s].side = 1;
        }
        CHECK(!group_join(&made.group, made.list, 2 * N, 0, &error), "%s", error.text);
        json_t *o = compare_groups(&made.group, 0.95);
        const char *text = text_of(json_object_get(o, "paired"), "sentence");
        CHECK(strstr(text, cases[c].verdict), "case %zu: %s", c, text);
        json_decref(o);
        made_free(&made, 2 * N);
    }
}

/* Values: B lies half a point above A, seeds are a point apart. */
static void check_regression(void)
{
    enum { N = 3, MANY = 5 };
    static const int zeros[MANY], pred[2 * N * MANY];
    static float target[MANY] = {0, 1, 2, 3, 4};
    int seeds[2 * N][3];
    for (int s = 0; s < 2 * N; s++) {
        for (int k = 0; k < 3; k++) {
            seeds[s][k] = s % N;
        }
    }
    Made made = made_runs(2 * N, MANY, 1, zeros, pred, seeds);
    for (int s = 0; s < 2 * N; s++) {
        Preds *run = made.list[s];
        run->side = s >= N;
        run->regression = 1;
        run->value = memory_alloc(MANY, sizeof *run->value);
        json_object_set_new(run->metadata, "metric", json_string("mae"));
        for (int i = 0; i < MANY; i++) {
            run->value[i] = target[i] + (float)(s % N) + (s >= N ? 0.5f : 0);
        }
    }
    made.group = (Group){.runs = made.list,
                         .S = 2 * N,
                         .N = MANY,
                         .K = 1,
                         .regression = 1,
                         .label = zeros,
                         .target = target};
    json_t *o = compare_groups(&made.group, 0.95);
    near("regression", "change", number(part_of(o, "change"), "distance"), 0.5, 1e-12);
    near("regression", "seed", number(part_of(o, "seed"), "distance"), 4.0 / 3, 1e-12);
    near("regression", "zeta", number(part_of(o, "delta_zeta"), "delta"), -0.5, 1e-12);
    near("regression", "VAR", number(part_of(o, "VAR_ratio"), "ratio"), 1, 1e-12);
    CHECK(!part_of(o, "delta_CON"), "a regression has no CON");
    CHECK(strstr(text_of(json_object_get(o, "paired"), "sentence"),
                 "the change moves a prediction by 0.5 [0.5, 0.5] on average, the seed by 1.3 ["),
          "%s", text_of(json_object_get(o, "paired"), "sentence"));
    json_decref(o);
    made_free(&made, 2 * N);
}

/* Zeros have no sign, however they came to be; ties go to the even digit, as printf's do. */
static void check_zeros(void)
{
    static const struct {
        double value;
        int decimals;
        const char *shown;
    } cases[] = {{-0.0, 2, "0.00"},  {-0.004, 2, "0.00"},  {-0.006, 2, "-0.01"},
                 {-0.5, 0, "0"},     {-0.05, 1, "-0.1"},   {-1e-300, 4, "0.0000"},
                 {0.996, 2, "1.00"}, {-12.345, 1, "-12.3"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *shown = string_format("%.*f", cases[i].decimals,
                                    rounded(cases[i].value, cases[i].decimals));
        CHECK(!strcmp(shown, cases[i].shown), "%g: %s", cases[i].value, shown);
        free(shown);
    }
    json_t *o = json_object(), *ends = interval(-0.0, 1);
    put(o, "zero", -0.0);
    CHECK(!signbit(number_of(o, "zero")) && !signbit(json_number_value(json_array_get(ends, 0))),
          "a zero of JSON has a sign");
    json_decref(ends);
    json_decref(o);
}

int main(void)
{
    check_zeros();
    check_random();
    check_known();
    check_verdicts();
    check_regression();
    return checks_close("test_paired");
}
