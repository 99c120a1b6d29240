/* Statistics of groups that are made here, against values by hand, or from numpy 2.4 and scipy 1.17
 * with the definitions of docs/STATISTICS.md written anew; and what must not change them. Needs no
 * files. */
#include "compare.h"
#include "intervals.h"
#include "curves.h"
#include "made_groups.h"
#include "sources.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS = 6, ROWS = 8, CLASSES = 3 };
/* What is right, and what six runs say; the last one misses example 5. */
static const int truth[ROWS] = {0, 1, 2, 0, 1, 2, 0, 1};
static const int answers[RUNS * ROWS] = {
    0, 1, 2, 0, 1, 0, 0, 2, /**/ 0, 1, 1, 0, 2, 2, 2, 1, /**/ 0, 2, 2, 0, 1, 0,  1, 1, /**/
    0, 1, 2, 1, 1, 2, 0, 1, /**/ 0, 0, 2, 0, 1, 2, 0, 2, /**/ 1, 1, 2, 0, 1, -1, 0, 1,
};

static void near_pair(const char *name, const json_t *object, const char *key, double low,
                      double high)
{
    double *ends = reals(json_object_get(object, key));
    CHECK(json_array_size(json_object_get(object, key)) == 2, "%s has no %s", name, key);
    near(name, key, ends[0], low, 1e-9);
    near(name, key, ends[1], high, 1e-9);
    free(ends);
}

/* Degrees of freedom and divisors of item 1. */
static void check_spread(void)
{
    static const struct {
        size_t count;
        double zeta[6], level, VAR, SD, median, iqm, mean[2], spread[2], error;
    } cases[] = {
        {5,
         {0.5, 0.75, 0.625, 0.875, 0.5625},
         0.95,
         0.13462912017836259,
         0.1505199322349037,
         0.625,
         0.64583333333333337,
         {0.47560481913184982, 0.84939518086815013},
         {0.09018147950215602, 0.4325273993146791},
         0.35355339059327373},
        {2,
         {0.25, 0.75},
         0.9,
         0.25,
         0.35355339059327379,
         0.5,
         0.5,
         {-1.0784378786687612, 2.0784378786687592},
         {0.18038769762202667, 5.6382005612446866},
         0.70710678118654746},
        {6,
         {0.5, 0.75, 0.625, 0.875, 0.5625, 0.9375},
         0.95,
         0.16002386974726265,
         0.17529736639968857,
         0.6875,
         0.703125,
         {0.52437002945359534, 0.8922966372130714},
         {0.10942201888161049, 0.42993677298755234},
         0.31622776601683794},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *o = json_object();
        int percent = (int)lround(100 * cases[i].level);
        char mean_key[32], spread_key[32];
        snprintf(mean_key, sizeof mean_key, "mean_ci%d_t", percent);
        snprintf(spread_key, sizeof spread_key, "SD_ci%d", percent);
        put_spread(o, cases[i].zeta, cases[i].count, cases[i].level);
        near("spread", "VAR", number(o, "VAR"), cases[i].VAR, 1e-12);
        near("spread", "SD_sample", number(o, "SD_sample"), cases[i].SD, 1e-12);
        near("spread", "median", number(o, "median"), cases[i].median, 1e-12);
        near("spread", "iqm", number(o, "iqm"), cases[i].iqm, 1e-12);
        near("spread", "rel_se_sd", number(o, "rel_se_sd"), cases[i].error, 1e-12);
        near_pair("spread", o, mean_key, cases[i].mean[0], cases[i].mean[1]);
        near_pair("spread", o, spread_key, cases[i].spread[0], cases[i].spread[1]);
        json_decref(o);
    }
}

/* Item 7 at a level where the intervals are not cut off at 0 and 1: the jackknife leaves out one
 * run at a time, literally. */
static void check_two_way(void)
{
    static const int cluster[ROWS] = {0, 0, 1, 1, 2, 2, 2, 3};
    static const double expected[4][6] = {
        /* V of examples, seeds, both; SE; ends. CON, its clusters, CCON, its clusters */
        {0.0032440476190476182, 0.0052083333333333409, 0.012053571428571429, 0.072168783648703272,
         0.47255589438940832, 0.57744410561059178},
        {0.0029658564814814808, 0.0052083333333333409, 0.012053571428571429, 0.072168783648703272,
         0.47255589438940832, 0.57744410561059178},
        {0.0041170634920634904, 0.0040798611111111122, 0.013603670634920637, 0.064164347515294581,
         0.46170594615293037, 0.55496072051373624},
        {0.0037760416666666658, 0.0040798611111111122, 0.013603670634920637, 0.063873790486482895,
         0.46191709012314158, 0.55474957654352497},
    };
    Made made = made_group(RUNS, ROWS, CLASSES, truth, answers, NULL);
    Table table = table_make(&made.group, NULL, NULL);
    near("two-way", "CON", agreement(&table, pairs_same), 0.525, 1e-12);
    near("two-way", "CCON", agreement(&table, pairs_right), 0.5083333333333333, 1e-12);
    for (int i = 0; i < 4; i++) {
        json_t *o = two_way(&table, i / 2, i % 2 ? cluster : NULL, 0.5);
        near("two-way", "V_examples", number(o, "V_examples"), expected[i][0], 1e-10);
        near("two-way", "V_seed_jackknife", number(o, "V_seed_jackknife"), expected[i][1], 1e-10);
        near("two-way", "V_interaction", number(o, "V_interaction"), expected[i][2], 1e-10);
        near("two-way", "SE", number(o, "SE"), expected[i][3], 1e-10);
        near_pair("two-way", o, "ci50", expected[i][4], expected[i][5]);
        json_decref(o);
    }
    table_free(&table);
    made_free(&made, RUNS);
}

/* Runs 0 to 2 against 3 to 5. */
static void check_compare(void)
{
    static const double expected[2][7] = {
        /* delta, V of examples, V, t, p, ends: CON, CCON */
        {-0.125, 0.047371031746031758, 0.047371031746031758, -0.57431953818164005,
         0.5965048570829895, -0.58899404960962887, 0.33899404960962892},
        {-1.0 / 6, 0.047619047619047623, 0.047619047619047623, -0.76376261582597316,
         0.48757291479089654, -0.63187377468524852, 0.29854044135191526},
    };
    static const char *const keys[] = {"delta", "V_examples", "V", "t", "p"};
    /* runs 0 and 3 have equal seeds; 1 and 4 another order, 2 and 5 another dropout */
    static const int seeds[RUNS][3] = {{1, 1, 1}, {2, 1, 2}, {3, 3, 3},
                                       {1, 1, 1}, {2, 2, 2}, {3, 3, 4}};
    Made made = made_runs(RUNS, ROWS, CLASSES, truth, answers, seeds);
    Error error;
    for (int s = 3; s < RUNS; s++) {
        made.runs[s].side = 1;
    }
    CHECK(!group_join(&made.group, made.list, RUNS, 0, &error), "%s", error.text);
    json_t *o = compare_groups(&made.group, 0.9), *zeta = json_object_get(o, "zeta");
    for (int right = 0; right < 2; right++) {
        const json_t *d = json_object_get(o, right ? "CCON" : "CON");
        for (int k = 0; k < 5; k++) {
            near("compare", keys[k], number(d, keys[k]), expected[right][k], 1e-9);
        }
        near("compare", "df", number(d, "df"), 4, 0);
        near_pair("compare", d, "ci90", expected[right][5], expected[right][6]);
    }
    near("compare", "welch_t", number(zeta, "welch_t"), -2.1213203435596424, 1e-12);
    near("compare", "welch_df", number(zeta, "welch_df"), 4, 1e-12);
    near("compare", "welch_p", number(zeta, "welch_p"), 0.10119150721829535, 1e-9);
    near_pair("compare", zeta, "ci90", -0.25062027658852698, 0.00062027658852689682);
    near("compare", "CON_across", number(o, "CON_across"), 0.52777777777777779, 1e-12);
    near("compare", "equal_seeds", number(o, "equal_seeds"), 1, 0);
    near("compare", "CON_equal_seeds", number(o, "CON_equal_seeds"), 0.625, 1e-12);
    /* one comparison alone: adjusted p values are those of the permutation test and of CON's t */
    json_t *list = json_pack("[O]", o), *across = compare_across(list);
    near("compare", "zeta p_holm", number(zeta, "p_holm"), 6.0 / 20, 1e-12);
    near("compare", "CON p_bh", number(json_object_get(o, "CON"), "p_bh"), expected[0][4], 1e-9);
    json_decref(list);
    json_decref(across);
    json_decref(o);
    made_free(&made, RUNS);
}

/* The resampling of runs 0 to 3 by the words of the stream "bootstrap" of seed 3. */
static void check_bootstrap(void)
{
    Made made = made_group(4, ROWS, CLASSES, truth, answers, NULL);
    json_t *o = statistics_bootstrap(&made.group, 40, 3, 0.9);
    near("bootstrap", "mean", number(o, "mean"), 0.48364583333333339, 1e-12);
    near("bootstrap", "sd", number(o, "sd"), 0.17489924554940195, 1e-12);
    near_pair("bootstrap", o, "percentile90", 0.22375, 0.75625);
    near_pair("bootstrap", o, "CCON_percentile90", 0.2, 0.75625);
    json_decref(o);
    made_free(&made, 4);
}

static void check_component(const json_t *o, size_t at, const char *source, double df,
                            double square, double variance, double low, double high)
{
    const json_t *entry = json_array_get(json_object_get(o, "components"), at),
                 *name = json_object_get(entry, "source");
    CHECK(name && !strcmp(json_string_value(name), source), "component %zu is not %s", at, source);
    near(source, "df", number(entry, "df"), df, 0);
    near(source, "mean_square", number(entry, "mean_square"), square, 1e-12);
    near(source, "variance", number(entry, "variance"), variance, 1e-12);
    if (!isnan(low)) {
        near_pair(source, entry, "variance_ci90", low, high);
    }
}

static json_t *sources_of(Made *made, const double *zeta)
{
    json_t *o = json_object();
    Table table = table_make(&made->group, NULL, NULL);
    put_sources(o, &made->group, &table, zeta, 0.9);
    table_free(&table);
    return o;
}

/* Analyses of variance: 2 initial values x 3 orders; and 2 x 2 with two dropout seeds in each. */
static void check_sources(void)
{
    static const int crossed[6][3] = {{1, 1, 5}, {1, 2, 5}, {1, 3, 5},
                                      {2, 1, 5}, {2, 2, 5}, {2, 3, 5}};
    static const double zeta[6] = {0.75, 0.5, 0.625, 0.875, 0.875, 1.0};
    static const double shares[3] = {0.78947368421052622, 0, 0.21052631578947376};
    Made made = made_group(RUNS, ROWS, CLASSES, truth, answers, crossed);
    json_t *root = sources_of(&made, zeta), *o = json_object_get(root, "sources");
    check_component(o, 0, "init", 1, 0.12760416666666663, 0.0390625, 0, 10.812264560238653);
    check_component(o, 1, "data", 2, 0.010416666666666668, 0, 0, 0.095064719466407432);
    check_component(o, 2, "interaction and rest", 2, 0.010416666666666668, 0.010416666666666668,
                    0.0034771687572430652, 0.20308047652316347);
    for (size_t i = 0; i < 3; i++) {
        near("crossed", "share",
             number(json_array_get(json_object_get(o, "components"), i), "share"), shares[i],
             1e-12);
    }
    const json_t *pairs = json_object_get(o, "CON_of_pairs_that_share");
    near("pairs", "init", number(pairs, "init"), 0.52083333333333337, 1e-12);
    near("pairs", "data", number(pairs, "data"), 0.5, 1e-12);
    near("pairs", "none", number(pairs, "none"), 0.54166666666666663, 1e-12);
    json_decref(root);
    /* an effect of the initial values that the interval's lower end shows */
    static const double clear[6] = {0.5, 0.5625, 0.625, 0.875, 0.9375, 0.9375};
    root = sources_of(&made, clear);
    o = json_object_get(root, "sources");
    check_component(o, 0, "init", 1, 0.1881510416666666, 0.0625, 0.01773031865527382,
                    15.949534436072538);
    check_component(o, 1, "data", 2, 0.0045572916666666661, 0.001953125, 0, 0.04401622767780293);
    json_decref(root);
    made_free(&made, RUNS);

    static const int nested[8][3] = {{1, 1, 1}, {1, 1, 2}, {1, 2, 3}, {1, 2, 4},
                                     {2, 1, 5}, {2, 1, 6}, {2, 2, 7}, {2, 2, 8}};
    static const double eight[8] = {0.5, 0.625, 0.75, 0.5, 0.875, 0.75, 1.0, 0.625};
    int eight_pred[8 * ROWS];
    for (int i = 0; i < 8 * ROWS; i++) {
        eight_pred[i] = answers[i % (RUNS * ROWS)];
    }
    made = made_group(8, ROWS, CLASSES, truth, eight_pred, nested);
    root = sources_of(&made, eight);
    o = json_object_get(root, "sources");
    check_component(o, 0, "init", 1, 0.095703125, 0.0234375, 0, 6.0838689744160659);
    check_component(o, 1, "data", 1, 0.001953125, 0, NAN, NAN);
    check_component(o, 2, "init x data", 1, 0.001953125, -0.013671875, 0, 0.22982231560247796);
    check_component(o, 3, "dropout (within)", 4, 0.029296875, 0.029296875, NAN, NAN);
    json_decref(root);
    made_free(&made, 8);
}

/* Seeds of init, data and dropout that go together are one source; the order of sums another. */
static void check_order(void)
{
    static const int together[6][3] = {{1, 1, 1}, {1, 1, 1}, {1, 1, 1},
                                       {2, 2, 2}, {2, 2, 2}, {2, 2, 2}};
    static const double zeta[6] = {0.75, 0.5, 0.625, 0.875, 0.875, 1.0};
    Made made = made_runs(RUNS, ROWS, CLASSES, truth, answers, together);
    Error error;
    for (int s = 0; s < RUNS; s++) {
        char text[8];
        snprintf(text, sizeof text, "%d", s % 3);
        json_object_set_new(made.runs[s].metadata, "seed_order", json_string(text));
    }
    CHECK(!group_join(&made.group, made.list, RUNS, 0, &error), "%s", error.text);
    json_t *root = sources_of(&made, zeta), *o = json_object_get(root, "sources");
    check_component(o, 0, "init+data+dropout", 1, 0.12760416666666663, 0.0390625, 0,
                    10.812264560238653);
    check_component(o, 1, "order", 2, 0.010416666666666668, 0, 0, 0.095064719466407432);
    const json_t *pairs = json_object_get(o, "CON_of_pairs_that_share");
    near("pairs", "together", number(pairs, "init+data+dropout"), 0.52083333333333337, 1e-12);
    near("pairs", "order", number(pairs, "order"), 0.5, 1e-12);
    json_decref(root);
    made_free(&made, RUNS);
}

/* Ties, what nobody answers, and losses. */
static void check_classes(void)
{
    /* labels 0 and 1 are as frequent; nobody answers example 3; runs disagree on all others */
    static const int two[4] = {0, 1, 1, 0}, three[3 * 4] = {0, 1, 0, -1, 1, 0, 1, -1, 0, 1, 1, -1};
    static const int least_stable[3] = {3, 0, 1};
    Made made = made_group(3, 4, 2, two, three, NULL);
    json_object_set_new(made.runs[0].metadata, "final_train_loss", json_string("0.69"));
    json_object_set_new(made.runs[1].metadata, "final_train_loss", json_string("0.70"));
    json_t *o = statistics_of(&made);
    const json_t *lost = json_object_get(json_object_get(o, "degenerate"), "diverged"),
                 *list = json_object_get(o, "examples");
    near("tie", "majority_class", number(o, "majority_class"), 0, 0);
    near("tie", "majority_rate", number(o, "majority_rate"), 0.5, 0);
    /* log 2 = 0.693 */
    CHECK(json_array_size(lost) == 1 && json_integer_value(json_array_get(lost, 0)) == 1,
          "runs with a training loss above the entropy of the labels");
    near("identity", "residual", number(o, "identity_residual"), 0, 0);
    /* the vote says 0, 1, 1 and nothing */
    near("vote", "accuracy", number(o, "vote_accuracy"), 0.75, 1e-12);
    near("vote", "zeta", number(o, "vote_zeta"), 0.75, 1e-12);
    near("missing", "CON_pair_max", number(o, "CON_pair_max"), 0.5, 1e-12);
    for (size_t k = 0; k < 3; k++) { /* least agreement first, then the order of the rows */
        near("examples", "row", number(json_array_get(list, k), "row"), least_stable[k], 0);
    }
    json_decref(o);
    for (int s = 1; s < 3; s++) {
        made.runs[s].side = 1;
    }
    o = compare_groups(&made.group, 0.95);
    near("missing", "CON_across", number(o, "CON_across"), 0.25, 1e-12);
    json_decref(o);
    made_free(&made, 3);
    /* answers of 3, 2, 1 and 3 runs: the third has no pair. Observed (9 - 5) / 2, of 8 answers 5
     * and 3: 1 - 7 * 2 / (64 - 34) */
    static const int some[3 * 4] = {0, 1, 0, 0, 0, 1, -1, 0, 1, -1, -1, 0};
    made = made_group(3, 4, 2, two, some, NULL);
    o = statistics_of(&made);
    near("missing", "krippendorff_alpha", number(o, "krippendorff_alpha"), 16.0 / 30, 1e-12);
    json_decref(o);
    made_free(&made, 3);
}

/* Statistics of three runs whose probability of the label is p[s] in all four examples. */
static json_t *logits_of(Made *made, const float p[3])
{
    for (int s = 0; s < 3; s++) {
        for (int i = 0; i < 4; i++) {
            made->runs[s].logits[2 * i + made->runs[0].label[i]] = logf(p[s] / (1 - p[s]));
        }
    }
    return statistics_of(made);
}

static double cell(const json_t *logits, size_t row, size_t column)
{
    return (double)json_integer_value(
        json_array_get(json_array_get(json_object_get(logits, "data_map"), row), column));
}

static void check_logits(void)
{
    static const int two[4] = {0, 1, 0, 0}, three[3 * 4] = {0, 1, 0, 0, 1, 0, 0, 1, 0, 1, 1, 0};
    Made made = made_group(3, 4, 2, two, three, NULL);
    for (int s = 0; s < 3; s++) {
        made.runs[s].logits = memory_calloc(8, sizeof(float));
    }
    json_t *o = logits_of(&made, (float[]){0.5f, 0.5f, 0.5f});
    const json_t *logits = json_object_get(o, "logits");
    near("logits", "probabilistic_agreement", number(logits, "probabilistic_agreement"), 0.5,
         1e-12);
    near("logits", "ties go to class 0", number(logits, "ensemble_probability_accuracy"), 0.75,
         1e-12);
    near("logits", "jsd_nats_mean", number(logits, "jsd_nats_mean"), 0, 1e-15);
    near("data map", "confidence .5, variability 0", cell(logits, 10, 0), 4, 0);
    json_decref(o);
    /* mean .633, deviation .2055 */
    o = logits_of(&made, (float[]){0.9f, 0.4f, 0.6f});
    logits = json_object_get(o, "logits");
    near("data map", "confidence .63, variability .21", cell(logits, 12, 8), 4, 0);
    near("logits", "probabilistic_agreement", number(logits, "probabilistic_agreement"),
         ((0.9 * 0.4 + 0.1 * 0.6) + (0.9 * 0.6 + 0.1 * 0.4) + (0.4 * 0.6 + 0.6 * 0.4)) / 3, 1e-7);
    json_decref(o);
    /* logits 3, -1, -1: the mean of the probabilities is below 1/2, that of their logarithms not */
    o = logits_of(&made, (float[]){0.95257413f, 0.26894142f, 0.26894142f});
    logits = json_object_get(o, "logits");
    near("ensemble", "probability", number(logits, "ensemble_probability_accuracy"), 0, 0);
    near("ensemble", "log-probability", number(logits, "ensemble_log_probability_accuracy"), 1, 0);
    json_decref(o);
    made_free(&made, 3);
}

/* Regression: differences that are just tolerated. */
static void check_values(void)
{
    static const float values[2][3] = {{1.0f, 2.0f, 4.0f}, {1.25f, 2.5f, 3.0f}};
    static const float targets[3] = {1, 2, 3};
    static const int none[6] = {-1, -1, -1, -1, -1, -1};
    Made made = made_runs(2, 3, 1, none, none, NULL);
    Error error;
    for (int s = 0; s < 2; s++) {
        Preds *run = &made.runs[s];
        run->regression = 1;
        run->value = memory_alloc(3, sizeof *run->value);
        run->target = memory_alloc(3, sizeof *run->target);
        memcpy(run->value, values[s], sizeof values[s]);
        memcpy(run->target, targets, sizeof targets);
        json_object_set_new(run->metadata, "metric", json_string("mae"));
    }
    CHECK(!group_join(&made.group, made.list, 2, 0, &error), "%s", error.text);
    json_t *o = statistics_of(&made);
    const json_t *within = json_object_get(o, "CON_eps");
    near("values", "within 0.25", number(within, "0.25"), 1.0 / 3, 1e-12);
    near("values", "within 0.5", number(within, "0.5"), 2.0 / 3, 1e-12);
    near("values", "within 1", number(within, "1.0"), 1, 1e-12);
    near("values", "zeta, mean absolute error", number(o, "zeta"), (1.0 / 3 + 0.25) / 2, 1e-12);
    json_decref(o);
    made_free(&made, 2);
}

/* Joining: other labels are refused, other orders are not, and common examples are counted. */
static void check_joining(void)
{
    Error error;
    Made made = made_runs(2, ROWS, CLASSES, truth, answers, NULL);
    made.runs[1].label[3] = 2;
    CHECK(group_join(&made.group, made.list, 2, 0, &error) == EXIT_BAD_DATA &&
              strstr(error.text, "the label of example"),
          "another label is not refused: %s", error.text);
    made_free(&made, 2);

    made = made_runs(2, ROWS, CLASSES, truth, answers, NULL);
    for (int i = 0; i < ROWS; i++) { /* the second run has its rows reversed */
        made.runs[1].hash[i] = made.runs[0].hash[ROWS - 1 - i];
        made.runs[1].label[i] = truth[ROWS - 1 - i];
        made.runs[1].pred[i] = answers[ROWS + ROWS - 1 - i];
    }
    CHECK(!group_join(&made.group, made.list, 2, 0, &error), "%s", error.text);
    CHECK(!memcmp(made.runs[1].pred, answers + ROWS, sizeof truth), "rows in another order");
    made_free(&made, 2);

    made = made_runs(2, ROWS, CLASSES, truth, answers, NULL);
    made.runs[1].hash[2] = 5; /* the first run lacks this one, the second that in its place */
    CHECK(group_join(&made.group, made.list, 2, 0, &error) == EXIT_BAD_DATA, "other examples");
    made_free(&made, 2);

    made = made_runs(2, ROWS, CLASSES, truth, answers, NULL);
    made.runs[0].N = ROWS - 2; /* a shorter first run */
    CHECK(!group_join(&made.group, made.list, 2, 1, &error), "%s", error.text);
    CHECK(made.group.N == ROWS - 2 && made.group.lost == 2, "%zu common, %zu lost", made.group.N,
          made.group.lost);
    made_free(&made, 2);
}

/* Published mistakes (statistics of the study's neighbours): what goes wrong there must
 * not here. */
static void check_published_errors(void)
{
    enum { S = 10, N = 4000 };
    static const double chance[3] = {0.5, 0.7, 0.9};
    int *label = memory_alloc(N, sizeof *label), *pred = memory_alloc(S * N, sizeof *pred);
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < N; i++) {
            label[i] = uniform() < chance[k];
        }
        for (int i = 0; i < S * N; i++) {
            pred[i] = uniform() < chance[k];
        }
        Made made = made_group(S, N, 2, label, pred, NULL);
        json_t *o = statistics_of(&made);
        /* chance agreement by class, not by example: random predictions have kappa 0 */
        CHECK(fabs(number(o, "fleiss_kappa")) < 0.01, "kappa of random predictions: %g",
              number(o, "fleiss_kappa"));
        /* pairs of distinct runs: no self-pair lifts the mean of the bootstrap by (1 - CON) / S */
        json_t *boot = statistics_bootstrap(&made.group, 400, 3, 0.95);
        CHECK(fabs(number(boot, "mean") - number(o, "CON")) < 0.2 * (1 - number(o, "CON")) / S,
              "bootstrap mean %g, CON %g", number(boot, "mean"), number(o, "CON"));
        /* the majority vote counts every example, whatever its id */
        double right = 0;
        for (int i = 0; i < N; i++) {
            int ones = 0;
            for (int s = 0; s < S; s++) {
                ones += pred[s * N + i];
            }
            right += (ones > S / 2) == label[i];
        }
        near("vote", "accuracy", number(o, "vote_accuracy"), right / N, 1e-12);
        json_decref(boot);
        json_decref(o);
        made_free(&made, S);
    }
    free(label);
    free(pred);
}

/* What must not change the numbers, and what they are where everything is known. */
static void check_properties(void)
{
    enum { S = 6, N = 90, K = 3 };
    static const char *const same[] = {
        "zeta",         "VAR",      "CON",       "CCON",
        "fleiss_kappa", "gwet_ac1", "cochran_q", "krippendorff_alpha"};
    int label[N], pred[S * N], other_label[2 * N], other[2 * S * N];
    for (int i = 0; i < N; i++) {
        label[i] = (int)(splitmix() % K);
        for (int s = 0; s < S; s++) {
            pred[s * N + i] = uniform() < 0.6 ? label[i] : (int)(splitmix() % K);
        }
    }
    Made base = made_group(S, N, K, label, pred, NULL);
    json_t *o = statistics_of(&base);
    for (int kind = 0; kind < 3; kind++) {
        int n = kind == 2 ? 2 * N : N; /* reversed examples; other class names; all doubled */
        for (int i = 0; i < n; i++) {
            int from = kind == 0 ? N - 1 - i : i % N;
            other_label[i] = kind == 1 ? (label[from] + 1) % K : label[from];
            for (int s = 0; s < S; s++) {
                int p = pred[s * N + from];
                other[s * n + i] = kind == 1 ? (p + 1) % K : p;
            }
        }
        Made made = made_group(S, (size_t)n, K, other_label, other, NULL);
        json_t *x = statistics_of(&made);
        for (size_t k = 0; k < sizeof same / sizeof *same; k++) {
            double scale = kind == 2 && !strcmp(same[k], "cochran_q") ? 2 : 1;
            if (kind != 2 || strcmp(same[k], "krippendorff_alpha")) {
                near("property", same[k], number(x, same[k]), scale * number(o, same[k]), 1e-12);
            }
        }
        double V = number(json_object_get(x, "CON_ci"), "V_examples"),
               V0 = number(json_object_get(o, "CON_ci"), "V_examples");
        near("property", "V_examples", V, kind == 2 ? V0 * (N - 1) / (2.0 * N - 1) : V0, 1e-10);
        json_decref(x);
        made_free(&made, S);
    }
    for (int s = 1; s < S; s++) { /* the same run S times */
        memcpy(pred + s * N, pred, N * sizeof *pred);
    }
    Made made = made_group(S, N, K, label, pred, NULL);
    json_t *x = statistics_of(&made);
    near("identical", "CON", number(x, "CON"), 1, 0);
    near("identical", "CCON", number(x, "CCON"), number(x, "zeta"), 1e-15);
    near("identical", "VAR", number(x, "VAR"), 0, 0);
    CHECK(json_is_null(json_object_get(x, "cochran_q")), "Q of identical runs");
    json_decref(x);
    made_free(&made, S);
    json_decref(o);
    made_free(&base, S);
}

/* Runs with evaluations: at each step the curve has the numbers of runs that ended there. */
static void check_curves(void)
{
    enum { S = 4, N = 30, K = 3, E = 5 };
    int label[N], pred[E][S][N];
    splitmix_state = 99;
    for (size_t i = 0; i < N; i++) {
        label[i] = (int)(splitmix() % K);
        for (size_t e = 0; e < E; e++) {
            for (size_t s = 0; s < S; s++) {
                pred[e][s][i] = uniform() < 0.4 + 0.1 * (double)e ? label[i]
                                                                  : (int)(splitmix() % K);
            }
        }
    }
    Made made = made_group(S, N, K, label, &pred[E - 1][0][0], NULL);
    CHECK(!curves_runs(&made.group) && !curves_compute(&made.group), "a curve of no evaluations");
    for (size_t s = 0; s < S; s++) {
        Preds *run = made.list[s];
        run->E = s == 2 ? E - 1 : E; /* one has ended early, one lacks the step 30 */
        run->epoch_pred = memory_alloc(E * N, sizeof(int));
        run->epoch_step = memory_alloc(E, sizeof(int));
        for (size_t e = 0; e < E; e++) {
            run->epoch_step[e] = 10 * ((int)e + 1) + (s == 1 && e == 2);
            memcpy(run->epoch_pred + e * N, pred[e][s], sizeof pred[e][s]);
        }
    }
    static const int steps[] = {0, 1, 3};
    static const char *const names[] = {"zeta", "VAR", "CON", "CCON"};
    json_t *curve = curves_compute(&made.group);
    CHECK(curves_runs(&made.group) == S && json_array_size(json_object_get(curve, "step")) == 3,
          "%zu steps", json_array_size(json_object_get(curve, "step")));
    for (size_t i = 0; i < 3; i++) {
        int e = steps[i],
            step = (int)json_integer_value(json_array_get(json_object_get(curve, "step"), i));
        Made then = made_group(S, N, K, label, &pred[e][0][0], NULL);
        json_t *o = statistics_of(&then);
        CHECK(step == 10 * (e + 1), "step %d", step);
        for (int k = 0; k < 4; k++) {
            near("curve", names[k],
                 json_number_value(json_array_get(json_object_get(curve, names[k]), i)),
                 number(o, names[k]), 0);
        }
        json_decref(o);
        made_free(&then, S);
    }
    json_decref(curve);
    made.list[1]->epoch_step[0] = made.list[1]->epoch_step[1] = made.list[1]->epoch_step[3] = 7;
    CHECK(!curves_compute(&made.group), "a curve of no common step");
    made_free(&made, S);
}

int main(void)
{
    check_spread();
    check_two_way();
    check_compare();
    check_bootstrap();
    check_sources();
    check_order();
    check_classes();
    check_logits();
    check_values();
    check_joining();
    check_curves();
    check_published_errors();
    check_properties();
    return checks_close("test_groups");
}
