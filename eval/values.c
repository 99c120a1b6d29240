#include "values.h"
#include "examples.h"
#include "intervals.h"
#include "metrics.h"
#include "result.h"
#include "sources.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Softmax in double of float32 logits; log-probabilities too. */
static void softmax(double *p, double *log_p, const float *z, size_t K)
{
    double max = -INFINITY, sum = 0;
    for (size_t c = 0; c < K; c++) {
        max = fmax(max, (double)z[c]);
    }
    for (size_t c = 0; c < K; c++) {
        sum += exp((double)z[c] - max);
    }
    for (size_t c = 0; c < K; c++) {
        log_p[c] = (double)z[c] - max - log(sum);
        p[c] = exp((double)z[c] - max) / sum;
    }
}

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

/* Item 9: Jensen-Shannon divergence of all pairs, confidence and variability of examples,
 * ensembles. */
void put_logits(json_t *o, const Group *g, const Table *t, int list_all)
{
    size_t S = t->S, N = t->N, K = t->K, pair = 0, pairs = S * (S - 1) / 2, by_probability = 0,
           by_log = 0;
    double *confidence = memory_calloc(N, sizeof *confidence),
           *variability = memory_calloc(N, sizeof *variability);
    if (label_confidence(confidence, variability, g)) {
        free(confidence);
        free(variability);
        return;
    }
    double *p = memory_alloc(S * N * K, sizeof *p), *log_p = memory_alloc(S * N * K, sizeof *log_p),
           total = 0;
    double *jsd = memory_calloc(pairs ? pairs : 1, sizeof *jsd), agree = 0;
    double *sum = memory_alloc(2 * K, sizeof *sum);
    int *ensemble = memory_alloc(N, sizeof *ensemble);
    for (size_t s = 0; s < S; s++) {
        for (size_t i = 0; i < N; i++) {
            size_t at = (s * N + i) * K;
            softmax(p + at, log_p + at, g->runs[s]->logits + i * K, K);
        }
    }
    for (size_t s = 0; s < S; s++) {
        for (size_t r = s + 1; r < S; r++, pair++) {
            for (size_t j = 0; j < N * K; j++) {
                double x = p[s * N * K + j], y = p[r * N * K + j], m = (x + y) / 2;
                jsd[pair] += ((x > 0 ? x * log(x / m) : 0) + (y > 0 ? y * log(y / m) : 0)) / 2 /
                             (double)N;
            }
            total += jsd[pair] / (double)pairs;
        }
    }
    for (size_t i = 0; i < N; i++) {
        memset(sum, 0, 2 * K * sizeof *sum);
        double own = 0;
        for (size_t s = 0; s < S; s++) {
            const double *x = p + (s * N + i) * K;
            for (size_t c = 0; c < K; c++) {
                own += x[c] * x[c];
                sum[c] += x[c];
                sum[K + c] += log_p[(s * N + i) * K + c];
            }
        }
        for (size_t c = 0; c < K; c++) { /* all ordered pairs of distinct runs at once */
            agree += sum[c] * sum[c];
        }
        agree -= own;
        ensemble[i] = (int)argmax(sum, K);
        by_probability += ensemble[i] == t->label[i];
        by_log += (int)argmax(sum + K, K) == t->label[i];
    }
    json_t *logits = json_object();
    put(logits, "jsd_nats_mean", total);
    if (list_all) {
        json_object_set_new(logits, "jsd_pairs", real_list(jsd, pairs));
        json_object_set_new(logits, "confidence", real_list(confidence, N));
        json_object_set_new(logits, "variability", real_list(variability, N));
    }
    put(logits, "probabilistic_agreement", agree / ((double)N * (double)S * (double)(S - 1)));
    put_data_map(logits, confidence, variability, N);
    put(logits, "ensemble_probability_accuracy", (double)by_probability / (double)N);
    put(logits, "ensemble_log_probability_accuracy", (double)by_log / (double)N);
    put(logits, "ensemble_probability_zeta",
        metric_of_classes(preds_meta(g->runs[0], "metric"), t->label, ensemble, N, (int)K));
    free(ensemble);
    json_object_set_new(o, "logits", logits);
    free(p);
    free(log_p);
    free(jsd);
    free(confidence);
    free(variability);
    free(sum);
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
