#include "values.h"
#include "examples.h"
#include "intervals.h"
#include "metrics.h"
#include "result.h"
#include "sources.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t argmax(const double *x, size_t K)
{
    size_t best = 0;
    for (size_t c = 1; c < K; c++) {
        best = x[c] > x[best] ? c : best;
    }
    return best;
}

/* How many examples fall into each cell of confidence (20 rows of .05) and variability (20 columns
 * of .025): the data map of Swayamdipta et al. 2020, in counts. */
static void put_data_map(json_t *o, const double *confidence, const double *variability, size_t N)
{
    size_t counts[20][20] = {{0}};
    for (size_t i = 0; i < N; i++) {
        if (confidence[i] >= 0) { /* not where the label is hidden */
            int row = (int)(confidence[i] * 20), column = (int)(variability[i] * 40);
            counts[row < 20 ? row : 19][column < 20 ? column : 19]++;
        }
    }
    json_t *rows = json_array();
    for (int row = 0; row < 20; row++) {
        json_array_append_new(rows, count_list(counts[row], 20));
    }
    json_object_set_new(o, "data_map", rows);
}

/* What the runs together say of each example. */
typedef struct Ensembles {
    double *confidence, *variability;    /* [N] */
    double *squares;                     /* [N, K] of the sums of probabilities over runs */
    double *own;                         /* [N] sums over runs and classes of the squares of each */
    int *by_mean;                        /* [N] classes by mean probability */
    size_t probability, log_probability; /* how many are right by that, and by mean logarithm */
} Ensembles;

/* Probabilities p [S, N, K] and what rests on one example at a time. */
static void ensembles_make(Ensembles *e, double *p, const Group *g, const Table *t)
{
    size_t S = t->S, N = t->N, K = t->K, probability = 0, log_probability = 0;
    e->confidence = memory_alloc(N, sizeof *e->confidence);
    e->variability = memory_alloc(N, sizeof *e->variability);
    e->squares = memory_alloc(N * K, sizeof *e->squares);
    e->own = memory_calloc(N, sizeof *e->own);
    e->by_mean = memory_alloc(N, sizeof *e->by_mean);
#pragma omp parallel reduction(+ : probability, log_probability) if (is_worth_threads(S * N))
    {
        double *sum = memory_alloc(2 * K, sizeof *sum), *log_p = memory_alloc(K, sizeof *log_p),
               *own = memory_alloc(S, sizeof *own);
#pragma omp for
        for (size_t i = 0; i < N; i++) {
            memset(sum, 0, 2 * K * sizeof *sum);
            for (size_t s = 0; s < S; s++) {
                double *x = p + (s * N + i) * K;
                softmax(x, log_p, g->runs[s]->logits + i * K, K);
                own[s] = g->label[i] >= 0 ? x[g->label[i]] : NAN;
                for (size_t c = 0; c < K; c++) {
                    e->own[i] += x[c] * x[c];
                    sum[c] += x[c];
                    sum[K + c] += log_p[c];
                }
            }
            for (size_t c = 0; c < K; c++) {
                e->squares[i * K + c] = sum[c] * sum[c];
            }
            confidence_of(&e->confidence[i], &e->variability[i], own, S);
            e->by_mean[i] = (int)argmax(sum, K);
            probability += e->by_mean[i] == t->label[i];
            log_probability += (int)argmax(sum + K, K) == t->label[i];
        }
        free(sum);
        free(log_p);
        free(own);
    }
    e->probability = probability;
    e->log_probability = log_probability;
}

static void ensembles_free(Ensembles *e)
{
    free(e->confidence);
    free(e->variability);
    free(e->squares);
    free(e->own);
    free(e->by_mean);
}

/* The Jensen-Shannon divergence of two lists of probabilities, a sum from the first to the last. In
 * pieces, so that what is not a logarithm is done several at a time. */
static double divergence(const double *x, const double *y, size_t count, double N)
{
    enum { PIECE = 256 };
    double a[PIECE], b[PIECE], sum = 0;
    for (size_t first = 0; first < count; first += PIECE) {
        size_t n = size_min(PIECE, count - first);
        const double *p = x + first, *q = y + first;
        for (size_t j = 0; j < n; j++) {
            double m = (p[j] + q[j]) / 2;
            a[j] = p[j] / m;
            b[j] = q[j] / m;
        }
        for (size_t j = 0; j < n; j++) {
            a[j] = log(a[j]);
            b[j] = log(b[j]);
        }
        for (size_t j = 0; j < n; j++) {
            a[j] = ((p[j] > 0 ? p[j] * a[j] : 0) + (q[j] > 0 ? q[j] * b[j] : 0)) / 2 / N;
        }
        for (size_t j = 0; j < n; j++) {
            sum += a[j];
        }
    }
    return sum;
}

/* Of all pairs of runs, in nats, pairs in order. */
static void divergences(double *jsd, const double *p, size_t S, size_t N, size_t K)
{
#pragma omp parallel for schedule(dynamic) if (is_worth_threads(S * S * N))
    for (size_t s = 0; s < S; s++) {
        double *of_run = jsd + s * (2 * S - s - 1) / 2; /* behind the pairs of the runs before */
        for (size_t r = s + 1; r < S; r++) {
            of_run[r - s - 1] = divergence(p + s * N * K, p + r * N * K, N * K, (double)N);
        }
    }
}

/* Item 9: Jensen-Shannon divergence of all pairs, confidence and variability of examples,
 * ensembles. */
void put_logits(json_t *o, const Group *g, const Table *t, int list_all)
{
    size_t S = t->S, N = t->N, K = t->K, pairs = S * (S - 1) / 2;
    if (!has_logits(g)) {
        return;
    }
    double *p = memory_alloc(S * N * K, sizeof *p), *jsd = memory_alloc(pairs, sizeof *jsd),
           total = 0, agree = 0;
    Ensembles e;
    ensembles_make(&e, p, g, t);
    divergences(jsd, p, S, N, K);
    for (size_t k = 0; k < pairs; k++) {
        total += jsd[k] / (double)pairs;
    }
    for (size_t i = 0; i < N; i++) { /* all ordered pairs of distinct runs at once */
        for (size_t c = 0; c < K; c++) {
            agree += e.squares[i * K + c];
        }
        agree -= e.own[i];
    }
    json_t *logits = json_object();
    put(logits, "jsd_nats_mean", total);
    if (list_all) {
        json_object_set_new(logits, "jsd_pairs", real_list(jsd, pairs));
        json_object_set_new(logits, "confidence", real_list(e.confidence, N));
        json_object_set_new(logits, "variability", real_list(e.variability, N));
    }
    put(logits, "probabilistic_agreement", agree / ((double)N * (double)S * (double)(S - 1)));
    put_data_map(logits, e.confidence, e.variability, N);
    put(logits, "ensemble_probability_accuracy", (double)e.probability / (double)N);
    put(logits, "ensemble_log_probability_accuracy", (double)e.log_probability / (double)N);
    put(logits, "ensemble_probability_zeta",
        metric_of_classes(preds_meta(g->runs[0], "metric"), g->id, t->label, e.by_mean, N,
                          (int)K));
    json_object_set_new(o, "logits", logits);
    ensembles_free(&e);
    free(p);
    free(jsd);
}

/* Item 15: values of all runs as x [S, N]. Lin's concordance (1989), ICC(2,1) (Shrout and Fleiss
 * 1979), CON within a tolerance of the original scale of 0 to 5. */
void put_regression(json_t *o, const Group *g, double level)
{
    static const double tolerances[3] = {0.25, 0.5, 1.0};
    size_t S = g->S, N = g->N;
    double *x = memory_alloc(S * N, sizeof *x), *target = memory_alloc(N, sizeof *target),
           *pearson = memory_alloc(S, sizeof *pearson);
    double *spearman = memory_alloc(S, sizeof *spearman), *mae = memory_alloc(S, sizeof *mae),
           n = (double)N, s_count = (double)S;
    const char *metric = preds_meta(g->runs[0], "metric");
    for (size_t s = 0; s < S; s++) {
        for (size_t i = 0; i < N; i++) {
            x[s * N + i] = (double)g->runs[s]->value[i];
            target[i] = (double)g->target[i];
        }
        pearson[s] = metric_pearson(x + s * N, target, N);
        spearman[s] = metric_spearman(x + s * N, target, N);
        mae[s] = metric_mae(x + s * N, target, N);
    }
    json_object_set_new(o, "pearson", real_list(pearson, S));
    json_object_set_new(o, "spearman", real_list(spearman, S));
    json_object_set_new(o, "mae", real_list(mae, S));
    const double *zeta = !strcmp(metric, "spearman") ? spearman
                         : !strcmp(metric, "mae")    ? mae
                                                     : pearson;
    put_spread(o, zeta, S, level);
    put_sources(o, g, NULL, zeta, level);
    json_object_set_new(o, "zeta_by_run", real_list(zeta, S));
    double r_sum = 0, ccc_sum = 0, difference = 0, within[3] = {0},
           pairs = s_count * (s_count - 1) / 2;
    for (size_t s = 0; s < S; s++) {
        for (size_t r = s + 1; r < S; r++) {
            const double *a = x + s * N, *b = x + r * N;
            double ma = mean(a, N), mb = mean(b, N), cross = 0;
            for (size_t i = 0; i < N; i++) {
                double d = fabs(a[i] - b[i]);
                cross += (a[i] - ma) * (b[i] - mb);
                difference += d / n / pairs;
                for (int e = 0; e < 3; e++) {
                    within[e] += (d <= tolerances[e]) / n / pairs;
                }
            }
            r_sum += metric_pearson(a, b, N) / pairs;
            ccc_sum += 2 * cross / (squares(a, N) + squares(b, N) + n * (ma - mb) * (ma - mb)) /
                       pairs;
        }
    }
    if (S > 1) {
        double grand = mean(x, S * N), rows = 0, columns = 0, all = squares(x, S * N);
        for (size_t i = 0; i < N; i++) {
            double row = 0;
            for (size_t s = 0; s < S; s++) {
                row += x[s * N + i] / s_count;
            }
            rows += s_count * (row - grand) * (row - grand);
        }
        for (size_t s = 0; s < S; s++) {
            double column = mean(x + s * N, N);
            columns += n * (column - grand) * (column - grand);
        }
        double ms_rows = rows / (n - 1), ms_columns = columns / (s_count - 1),
               ms_error = (all - rows - columns) / ((n - 1) * (s_count - 1));
        put(o, "pair_pearson_mean", r_sum);
        put(o, "pair_ccc_mean", ccc_sum);
        put(o, "mean_abs_difference_over_5", difference / 5);
        json_t *eps = json_object();
        static const char *const names[3] = {"0.25", "0.5", "1.0"};
        for (int e = 0; e < 3; e++) {
            put(eps, names[e], within[e]);
        }
        json_object_set_new(o, "CON_eps", eps);
        put(o, "icc_2_1",
            (ms_rows - ms_error) /
                (ms_rows + (s_count - 1) * ms_error + s_count * (ms_columns - ms_error) / n));
    }
    json_t *none = json_array();
    json_object_set_new(o, "degenerate", none);
    free(x);
    free(target);
    free(pearson);
    free(spearman);
    free(mae);
}
