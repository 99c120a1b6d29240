/* Coverage of the intervals of consistency, simulated: build/coverage [REPEATS]. Run i of an
 * example of difficulty d predicts class 1 (the right one) if d + tau b_i + noise > 0; a collapsed
 * run never does. So the population values are integrals over d alone, and every number printed
 * here is a share of repeats. Same numbers everywhere: the generator is the project's own. */
#include "compare.h"
#include "components.h"
#include "distributions.h"
#include "intervals.h"
#include "result.h"
#include "rng.h"
#include "sources.h"
#include "statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Model {
    const char *name;
    double tau, collapse;
} Model;

static const Model models[] = {{"healthy", 0, 0}, {"shift", 0.4, 0}, {"collapse", 0, 0.2}};
static const double centre = 0.8, width = 1.2; /* of the difficulties */

typedef struct Stream {
    uint64_t key, at;
} Stream;

static double uniform(Stream *r)
{
    return ((double)rng_word(r->key, r->at++) + 0.5) / 4294967296.0;
}

static double normal(Stream *r)
{
    double u = uniform(r), v = uniform(r);
    return sqrt(-2 * log(u)) * cos(2 * acos(-1.0) * v);
}

/* CON and CCON of two runs drawn at random on an example drawn at random. */
static void population(double *con, double *ccon, const Model *m)
{
    double sum = 0;
    *con = *ccon = 0;
    for (int k = -4000; k <= 4000; k++) {
        double z = k / 500.0, weight = exp(-z * z / 2), d = centre + width * z;
        double p = (1 - m->collapse) * normal_cdf(d / sqrt(1 + m->tau * m->tau));
        *con += weight * (p * p + (1 - p) * (1 - p));
        *ccon += weight * p * p;
        sum += weight;
    }
    *con /= sum;
    *ccon /= sum;
}

typedef struct Sample {
    Group group;
    Preds *runs;
    int *label;
} Sample;

static Sample sample_make(size_t S, size_t N, size_t first_side)
{
    Sample sample = {.runs = memory_calloc(S, sizeof(Preds)),
                     .label = memory_alloc(N, sizeof(int))};
    Preds **list = memory_alloc(S, sizeof *list);
    for (size_t s = 0; s < S; s++) {
        char seed[24];
        snprintf(seed, sizeof seed, "%zu", s);
        sample.runs[s] = (Preds){.N = N, .K = 2, .side = s >= first_side};
        sample.runs[s].pred = memory_alloc(N, sizeof(int));
        sample.runs[s].metadata = json_pack("{s:s, s:s}", "seed", seed, "metric", "accuracy");
        list[s] = &sample.runs[s];
    }
    for (size_t i = 0; i < N; i++) {
        sample.label[i] = 1;
    }
    sample.group = (Group){.runs = list, .S = S, .N = N, .K = 2, .label = sample.label};
    return sample;
}

static void sample_free(Sample *sample)
{
    for (size_t s = 0; s < sample->group.S; s++) {
        preds_free(&sample->runs[s]);
    }
    free(sample->runs);
    free(sample->group.runs);
    free(sample->label);
}

static void draw(Sample *sample, const Model *m, Stream *r)
{
    size_t S = sample->group.S, N = sample->group.N;
    double *d = memory_alloc(N, sizeof *d);
    for (size_t i = 0; i < N; i++) {
        d[i] = centre + width * normal(r);
    }
    for (size_t s = 0; s < S; s++) {
        double shift = m->tau * normal(r);
        int collapsed = uniform(r) < m->collapse;
        for (size_t i = 0; i < N; i++) {
            sample->runs[s].pred[i] = !collapsed && d[i] + shift + normal(r) > 0;
        }
    }
    free(d);
}

/* Whether the interval [2] has the value; no interval has nothing. */
static int covers(const json_t *list, double value)
{
    return json_array_size(list) == 2 && json_number_value(json_array_get(list, 0)) <= value &&
           value <= json_number_value(json_array_get(list, 1));
}

static void intervals_table(int repeats)
{
    static const size_t seeds[] = {5, 10, 20}, sizes[] = {100, 277, 1500};
    printf("coverage of 95 %% intervals, %d repeats: CON / CCON\n\n| runs | N |", repeats);
    for (int m = 0; m < 3; m++) {
        printf(" %s |", models[m].name);
    }
    puts("\n|---:|---:|---|---|---|");
    for (int a = 0; a < 3; a++) {
        for (int b = 0; b < 3; b++) {
            printf("| %zu | %zu |", seeds[a], sizes[b]);
            for (int m = 0; m < 3; m++) {
                Sample sample = sample_make(seeds[a], sizes[b], seeds[a]);
                Stream r = {rng_key((uint64_t)(100 * a + 10 * b + m), "coverage"), 0};
                double con, ccon;
                int hits[2] = {0};
                population(&con, &ccon, &models[m]);
                for (int k = 0; k < repeats; k++) {
                    draw(&sample, &models[m], &r);
                    Table t = table_make(&sample.group, NULL, NULL);
                    for (int right = 0; right < 2; right++) {
                        json_t *o = two_way(&t, right, NULL, 0.95);
                        hits[right] += covers(json_object_get(o, "ci95"), right ? ccon : con);
                        json_decref(o);
                    }
                    table_free(&t);
                }
                printf(" %.3f / %.3f |", (double)hits[0] / repeats, (double)hits[1] / repeats);
                fflush(stdout);
                sample_free(&sample);
            }
            putchar('\n');
        }
    }
}

/* How often equal models are told apart at 5 %. */
static void tests_table(int repeats)
{
    printf(
        "\nshare of equal models that the test of CON tells apart at 5 %%, N = 277, %d repeats\n\n"
        "| runs each | healthy | shift | collapse |\n|---:|---:|---:|---:|\n",
        repeats);
    for (size_t S = 5; S <= 8; S += 3) {
        printf("| %zu |", S);
        for (int m = 0; m < 3; m++) {
            Sample sample = sample_make(2 * S, 277, S);
            Stream r = {rng_key(S * 10 + (uint64_t)m, "tests"), 0};
            int rejected = 0;
            for (int k = 0; k < repeats; k++) {
                draw(&sample, &models[m], &r);
                json_t *o = compare_groups(&sample.group, 0.95);
                double p = number_of(json_object_get(o, "CON"), "p");
                rejected += p < 0.05;
                json_decref(o);
            }
            printf(" %.1f %% |", 100.0 * rejected / repeats);
            fflush(stdout);
            sample_free(&sample);
        }
        putchar('\n');
    }
}

/* Components of scores init + data + rest with SDs 1, 0.5 and 0.5. */
static void sources_table(int repeats)
{
    static const size_t levels[] = {3, 5, 10};
    static const double truth[3] = {1, 0.25, 0.25};
    printf("\ncoverage of the intervals of variance components (SD 1, .5, .5), %d repeats\n\n"
           "| grid | init | data | rest |\n|---|---:|---:|---:|\n",
           repeats);
    for (int a = 0; a < 3; a++) {
        size_t L = levels[a], S = L * L;
        Sample sample = sample_make(S, 1, S);
        double *zeta = memory_alloc(S, sizeof *zeta);
        Stream r = {rng_key((uint64_t)a, "sources"), 0};
        int hits[3] = {0};
        for (size_t s = 0; s < S; s++) {
            char init[24], data[24];
            snprintf(init, sizeof init, "%zu", s / L);
            snprintf(data, sizeof data, "%zu", s % L);
            json_object_set_new(sample.runs[s].metadata, "seed_init", json_string(init));
            json_object_set_new(sample.runs[s].metadata, "seed_data", json_string(data));
        }
        for (int k = 0; k < repeats; k++) {
            double row[10], column[10];
            for (size_t l = 0; l < L; l++) {
                row[l] = normal(&r);
                column[l] = 0.5 * normal(&r);
            }
            for (size_t s = 0; s < S; s++) {
                zeta[s] = row[s / L] + column[s % L] + 0.5 * normal(&r);
            }
            json_t *o = json_object();
            put_sources(o, &sample.group, NULL, zeta, 0.95);
            const json_t *list = json_object_get(json_object_get(o, "sources"), "components");
            for (size_t c = 0; c < 3; c++) {
                hits[c] += covers(json_object_get(json_array_get(list, c), "variance_ci95"),
                                  truth[c]);
            }
            json_decref(o);
        }
        printf("| %zu x %zu | %.3f | %.3f | %.3f |\n", L, L, (double)hits[0] / repeats,
               (double)hits[1] / repeats, (double)hits[2] / repeats);
        free(zeta);
        sample_free(&sample);
    }
}

/* A change of the runs: run s of A and of B share their shift and rho of the noise's variance, and B
 * is better by shift. Collapses are each run's own. */
typedef struct Change {
    const char *name;
    double rho, shift;
    Model model;
} Change;

static const Change changes[] = {{"tiny", 0.998, 0, {NULL, 0, 0}},
                                 {"small", 0.9, 0, {NULL, 0, 0}},
                                 {"as a seed", 0, 0, {NULL, 0, 0}},
                                 {"shift", 0.9, 0.3, {NULL, 0.4, 0}},
                                 {"collapse", 0.9, 0, {NULL, 0, 0.2}}};

/* P(right) of a run on an example of difficulty d. */
static double p_right(const Model *m, double d)
{
    return (1 - m->collapse) * normal_cdf(d / sqrt(1 + m->tau * m->tau));
}

enum { CHANGE, SEED, RATIO, MINUS, DELTA_CON, DELTA_ZETA, VAR_RATIO, TRUTHS };

/* The population's values of all but the last two, which are those of the examples drawn. */
static void paired_population(double truth[TRUTHS], const Change *c)
{
    const Model *m = &c->model;
    double own = sqrt(1 - c->rho), common = sqrt(c->rho + m->tau * m->tau), sum = 0, change = 0,
           seed[2] = {0};
    for (int k = -400; k <= 400; k++) {
        double z = k / 50.0, weight = exp(-z * z / 2), d = centre + width * z, both = 0, all = 0;
        for (int j = -800; j <= 800; j++) {
            double u = j / 100.0, w = exp(-u * u / 2);
            both += w * normal_cdf((d + common * u) / own) *
                    normal_cdf((d + c->shift + common * u) / own);
            all += w;
        }
        double a = p_right(m, d), b = p_right(m, d + c->shift);
        both *= (1 - m->collapse) * (1 - m->collapse) / all;
        change += weight * (a + b - 2 * both);
        seed[0] += weight * 2 * a * (1 - a);
        seed[1] += weight * 2 * b * (1 - b);
        sum += weight;
    }
    truth[CHANGE] = change / sum;
    truth[SEED] = (seed[0] + seed[1]) / 2 / sum;
    truth[RATIO] = truth[CHANGE] / truth[SEED];
    truth[MINUS] = truth[SEED] - truth[CHANGE];
    truth[DELTA_CON] = (seed[1] - seed[0]) / sum;
}

/* The variance of the accuracy of runs on these examples. */
static double score_variance(const Model *m, double shift, const double *d, size_t N)
{
    double sum = 0, first = 0, second = 0, own = 0, n = (double)N;
    for (int j = -20; j <= 20; j++) {
        double b = j / 5.0, w = exp(-b * b / 2), score = 0;
        for (size_t i = 0; i < N; i++) {
            double p = normal_cdf(d[i] + shift + m->tau * b);
            score += p / n;
            own += w * p * (1 - p) / (n * n);
        }
        first += w * score;
        second += w * score * score;
        sum += w;
    }
    return own / sum + second / sum - first / sum * (first / sum);
}

static void draw_paired(Sample *sample, const Change *c, double truth[TRUTHS], Stream *r)
{
    size_t n = sample->group.S / 2, N = sample->group.N;
    const Model *m = &c->model;
    double *d = memory_alloc(N, sizeof *d), own = sqrt(1 - c->rho), common = sqrt(c->rho);
    truth[DELTA_ZETA] = 0;
    for (size_t i = 0; i < N; i++) {
        d[i] = centre + width * normal(r);
        truth[DELTA_ZETA] += (p_right(m, d[i]) - p_right(m, d[i] + c->shift)) / (double)N;
    }
    truth[VAR_RATIO] = c->shift == 0
                           ? 1
                           : sqrt(score_variance(m, 0, d, N) / score_variance(m, c->shift, d, N));
    for (size_t s = 0; s < n; s++) {
        double shift = m->tau * normal(r);
        int a = uniform(r) >= m->collapse, b = uniform(r) >= m->collapse;
        for (size_t i = 0; i < N; i++) {
            double x = d[i] + shift + common * normal(r);
            sample->runs[s].pred[i] = a && x + own * normal(r) > 0;
            sample->runs[n + s].pred[i] = b && x + c->shift + own * normal(r) > 0;
        }
    }
    free(d);
}

/* n pairs of runs of equal seeds. */
static Sample pairs_make(size_t n, size_t N)
{
    Sample sample = sample_make(2 * n, N, n);
    for (size_t s = 0; s < n; s++) {
        json_object_set(sample.runs[n + s].metadata, "seed",
                        json_object_get(sample.runs[s].metadata, "seed"));
    }
    return sample;
}

static void paired_table(int repeats)
{
    static const size_t seeds[] = {5, 10, 20}, sizes[] = {56, 277};
    static const char *const names[TRUTHS] = {
        "change",    "seed",       "change_over_seed", "seed_minus_change",
        "delta_CON", "delta_zeta", "VAR_ratio"};
    printf("\ncoverage of 95 %% intervals of runs that share seeds, %d repeats\n\n"
           "| change | seeds | N |",
           repeats);
    for (int t = 0; t < TRUTHS; t++) {
        printf(" %s |", names[t]);
    }
    puts("\n|---|---:|---:|---|---|---|---|---|---|---|");
    for (size_t k = 0; k < sizeof changes / sizeof *changes; k++) {
        double truth[TRUTHS];
        paired_population(truth, &changes[k]);
        for (int a = 0; a < 3; a++) {
            for (int b = 0; b < 2; b++) {
                Sample sample = pairs_make(seeds[a], sizes[b]);
                Stream r = {rng_key((uint64_t)(100 * a + 10 * b) + k, "paired"), 0};
                int hits[TRUTHS] = {0};
                for (int i = 0; i < repeats; i++) {
                    draw_paired(&sample, &changes[k], truth, &r);
                    json_t *o = compare_groups(&sample.group, 0.95);
                    for (int t = 0; t < TRUTHS; t++) {
                        const json_t *part = json_object_get(json_object_get(o, "paired"),
                                                             names[t]);
                        hits[t] += covers(json_object_get(part, "ci95"), truth[t]);
                    }
                    json_decref(o);
                }
                printf("| %s %.1f:%.1f %% | %zu | %zu |", changes[k].name, 100 * truth[CHANGE],
                       100 * truth[SEED], seeds[a], sizes[b]);
                for (int t = 0; t < TRUTHS; t++) {
                    printf(" %.3f |", (double)hits[t] / repeats);
                }
                putchar('\n');
                fflush(stdout);
                sample_free(&sample);
            }
        }
    }
}

/* Half of the interval of CON that --plan says from the three numbers of the model, against what it
 * is: its root mean square over repeats. And what it says from runs at hand of the width with 20. */
static void widths_table(int repeats)
{
    static const size_t seeds[] = {5, 10, 20};
    enum { N = 277, MOST = 20 };
    printf("\nhalf of the interval of CON in points, N = %d, %d repeats: said from zeta, VAR, CON; "
           "found\nand said of 20 seeds from the runs at hand (10 %%, median, 90 %%)\n\n"
           "| runs | healthy | shift | healthy, of 20 | shift, of 20 |\n|---:|---|---|---|---|\n",
           N, repeats);
    for (int a = 0; a < 3; a++) {
        size_t S = seeds[a];
        char said[2][64];
        printf("| %zu |", S);
        for (int m = 0; m < 2; m++) {
            Sample sample = sample_make(S, N, S);
            Stream r = {rng_key((uint64_t)(10 * a + m), "widths"), 0};
            double con, ccon, squared = 0, variance = 0,
                              *of_20 = memory_alloc((size_t)repeats, sizeof *of_20);
            population(&con, &ccon, &models[m]);
            for (int k = 0; k < repeats; k++) {
                draw(&sample, &models[m], &r);
                StatisticsOptions options = {.level = 0.95, .summary = 1, .components = 1};
                json_t *o = statistics_compute(&sample.group, &options);
                Components c;
                double se = number_of(json_object_get(o, "CON_ci"), "SE"),
                       s = number_of(o, "SD_sample");
                squared += se * se / repeats;
                variance += s * s / repeats;
                of_20[k] = components_of(&c, json_object_get(o, "CON_components"))
                               ? sqrt(components_variance(&c, MOST, N))
                               : NAN;
                json_decref(o);
            }
            qsort(of_20, (size_t)repeats, sizeof *of_20, by_size);
            Components c;
            double t = 100 * t_quantile(0.975, (double)S - 1),
                   t20 = 100 * t_quantile(0.975, MOST - 1);
            int none = components_model(&c, (1 + ccon * 2 - con) / 2, con, m ? sqrt(variance) : 0,
                                        N);
            printf(" %.2f; %.2f |", none ? NAN : t * sqrt(components_variance(&c, (double)S, N)),
                   t * sqrt(squared));
            snprintf(said[m], sizeof said[m], " %.2f, %.2f, %.2f |", t20 * of_20[repeats / 10],
                     t20 * of_20[repeats / 2], t20 * of_20[repeats * 9 / 10]);
            free(of_20);
            sample_free(&sample);
        }
        printf("%s%s\n", said[0], said[1]);
        fflush(stdout);
    }
}

enum { MOST_PAIRS = 400 };

/* The least number of pairs whose test finds this difference, from the components of CON's or from
 * the standard deviation of zeta's. shift [MOST_PAIRS + 1]. */
static double pairs_for(const double *shift, double delta, const Components *parts, double sd,
                        double N)
{
    int n = 3;
    while (n < MOST_PAIRS &&
           shift[n] * (parts ? sqrt(components_variance(parts, n, N)) : sd / sqrt(n)) > delta) {
        n++;
    }
    return n;
}

/* Seeds that --plan asks for, from the components of the difference, against how often as many pairs
 * of runs find it. */
static void power_table(int repeats)
{
    enum { N = 277, PILOT = 10 };
    static const Change planned[] = {{"small", 0.9, 0.15, {NULL, 0, 0}},
                                     {"shift", 0.9, 0.15, {NULL, 0.4, 0}},
                                     {"as a seed", 0, 0.15, {NULL, 0, 0}},
                                     {"as a seed, shift", 0, 0.15, {NULL, 0.4, 0}}};
    printf("\npairs that find a difference in 80 %%, N = %d, %d repeats: asked for, and how often "
           "they do; asked for by 10 pairs (10 %%, median, 90 %%)\n\n"
           "| change | of zeta | pairs | found | by 10 | of CON | pairs | found | by 10 |\n"
           "|---|---:|---:|---:|---|---:|---:|---:|---|\n",
           N, repeats);
    double shift[MOST_PAIRS + 1]; /* in standard errors, with so many pairs */
    for (int n = 3; n <= MOST_PAIRS; n++) {
        shift[n] = t_shift(0.8, n - 1, 0.95);
    }
    for (size_t k = 0; k < sizeof planned / sizeof *planned; k++) {
        const Change *c = &planned[k];
        double truth[TRUTHS], delta[2] = {0}, weights = 0, variance = 0;
        paired_population(truth, c);
        delta[1] = truth[DELTA_CON];
        for (int j = -4000; j <= 4000; j++) {
            double z = j / 500.0, w = exp(-z * z / 2), d = centre + width * z;
            delta[0] += w * (p_right(&c->model, d) - p_right(&c->model, d + c->shift));
            weights += w;
        }
        delta[0] /= weights;
        /* the population's spread is the mean of many; each of them alone is what a user has */
        Components mean_parts = {0};
        double *asked[2];
        Stream r = {rng_key(k, "power"), 0};
        Sample pilot = pairs_make(PILOT, N);
        for (int i = 0; i < 2; i++) {
            asked[i] = memory_alloc((size_t)repeats, sizeof **asked);
        }
        for (int i = 0; i < repeats; i++) {
            draw_paired(&pilot, c, truth, &r);
            json_t *o = compare_groups(&pilot.group, 0.95), *paired = json_object_get(o, "paired");
            double se = number_of(json_object_get(paired, "delta_zeta"), "SE");
            Components parts;
            if (components_of(
                    &parts, json_object_get(json_object_get(paired, "delta_CON"), "components"))) {
                mean_parts.examples += parts.examples / repeats;
                mean_parts.runs += parts.runs / repeats;
                mean_parts.runs_on_examples += parts.runs_on_examples / repeats;
                mean_parts.pairs += parts.pairs / repeats;
                mean_parts.rest += parts.rest / repeats;
            }
            variance += se * se * PILOT / repeats;
            asked[0][i] = pairs_for(shift, fabs(delta[0]), NULL, se * sqrt(PILOT), N);
            asked[1][i] = pairs_for(shift, fabs(delta[1]), &parts, 0, N);
            json_decref(o);
        }
        sample_free(&pilot);
        printf("| %s |", c->name);
        for (int i = 0; i < 2; i++) {
            double n = pairs_for(shift, fabs(delta[i]), i ? &mean_parts : NULL, sqrt(variance), N);
            int found = 0;
            Sample sample = pairs_make((size_t)n, N);
            for (int j = 0; j < repeats; j++) {
                draw_paired(&sample, c, truth, &r);
                json_t *o = compare_groups(&sample.group, 0.95);
                const json_t *of = json_object_get(json_object_get(o, "paired"),
                                                   i ? "delta_CON" : "delta_zeta");
                found += number_of(of, "p") < 0.05;
                json_decref(o);
            }
            sample_free(&sample);
            qsort(asked[i], (size_t)repeats, sizeof **asked, by_size);
            printf(" %.2f | %.0f | %.3f | %.0f, %.0f, %.0f |", 100 * delta[i], n,
                   (double)found / repeats, asked[i][repeats / 10], asked[i][repeats / 2],
                   asked[i][repeats * 9 / 10]);
            fflush(stdout);
            free(asked[i]);
        }
        putchar('\n');
    }
}

int main(int argc, char **argv)
{
    int repeats = argc > 1 ? atoi(argv[1]) : 2000;
    if (argc > 2 || repeats < 1) {
        fputs("usage: coverage [REPEATS]\n", stderr);
        return EXIT_USAGE;
    }
    intervals_table(repeats);
    tests_table(repeats / 2);
    sources_table(repeats);
    paired_table(repeats / 4);
    widths_table(repeats / 4);
    power_table(repeats / 4);
    return 0;
}
