#include "intervals.h"
#include "distributions.h"
#include "result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Item 1: the metric over runs. */
void put_spread(json_t *o, const double *zeta, size_t S, double level)
{
    double m = mean(zeta, S), s = S > 1 ? sqrt(squares(zeta, S) / (double)(S - 1)) : NAN,
           df = (double)S - 1, tail = (1 - level) / 2;
    double *sorted = memory_alloc(S, sizeof *sorted);
    memcpy(sorted, zeta, S * sizeof *sorted);
    qsort(sorted, S, sizeof *sorted, by_size);
    put(o, "zeta", m);
    put(o, "VAR", sqrt(squares(zeta, S) / (double)S));
    put(o, "SD_sample", s);
    char key[32];
    double half = S > 1 ? t_quantile(1 - tail, df) * s / sqrt((double)S) : NAN;
    json_object_set_new(o, leveled(key, "SD_ci", level),
                        S > 1 ? interval(s * sqrt(df / chi2_quantile(1 - tail, df)),
                                         s * sqrt(df / chi2_quantile(tail, df)))
                              : json_null());
    leveled(key, "mean_ci", level);
    strcat(key, "_t");
    json_object_set_new(o, key, interval(m - half, m + half));
    put(o, "rel_se_sd", S > 1 ? 1 / sqrt(2 * df) : NAN);
    put(o, "median", S % 2 ? sorted[S / 2] : (sorted[S / 2 - 1] + sorted[S / 2]) / 2);
    put(o, "iqm", mean(sorted + S / 4, S - 2 * (S / 4)));
    put(o, "min", sorted[0]);
    put(o, "max", sorted[S - 1]);
    free(sorted);
}

typedef struct Member {
    int cluster;
    size_t example;
} Member;

static int by_cluster(const void *a, const void *b)
{
    const Member *x = a, *y = b;
    return x->cluster != y->cluster ? (x->cluster > y->cluster) - (x->cluster < y->cluster)
                                    : (x->example > y->example) - (x->example < y->example);
}

/* G/(G-1) sum over clusters of (sum of a_i - con)^2 / N^2. */
static double cluster_variance(const double *a, const int *cluster, size_t N, double con)
{
    Member *members = memory_alloc(N, sizeof *members);
    double total = 0, sum = 0, n = (double)N;
    size_t G = 0;
    for (size_t i = 0; i < N; i++) {
        members[i] = (Member){cluster[i], i};
    }
    qsort(members, N, sizeof *members, by_cluster);
    for (size_t i = 0; i < N; i++) {
        sum += a[members[i].example] - con;
        if (i + 1 == N || members[i + 1].cluster != members[i].cluster) {
            total += sum * sum;
            sum = 0;
            G++;
        }
    }
    free(members);
    return G > 1 ? (double)G / (double)(G - 1) * total / (n * n) : NAN;
}

TwoWay two_way_variance(const double *value, Influence *influence, const void *context, size_t S,
                        size_t N, const int *cluster)
{
    TwoWay v = {0};
    double n = (double)N, runs = (double)S * (double)(S - 1), centre = mean(value, N);
    for (size_t i = 0; i < N; i++) {
        v.examples += (value[i] - centre) * (value[i] - centre) / (n * (n - 1));
    }
    for (size_t s = 0; s < S; s++) {
        const double *e = influence(context, s);
        double of_run = mean(e, N);
        v.seeds += of_run * of_run / runs;
        for (size_t i = 0; i < N; i++) {
            v.both += (e[i] - of_run) * (e[i] - of_run) / (runs * n * (n - 1));
        }
    }
    if (cluster) {
        v.examples = cluster_variance(value, cluster, N, centre);
    }
    v.all = fmax(v.examples + v.seeds - v.both, fmax(v.examples, v.seeds));
    return v;
}

/* Of CON or CCON: what a run's influence is made of. */
typedef struct Sharing {
    const Table *t;
    int right;
    double *a, *share, *own; /* [N] of each example; [S + 1] by its votes; [N] the influence */
} Sharing;

/* A run's part in an example is the share of the other runs that predict what it predicts; with
 * right, only if it is right. */
static const double *influence_of(const void *context, size_t s)
{
    const Sharing *sharing = context;
    const Table *t = sharing->t;
    const int *pred = t->pred[s];
    double factor = 2 * (double)(t->S - 1) / (double)(t->S - 2);
    for (size_t i = 0; i < t->N; i++) {
        int p = pred[i], counts = p >= 0 && (!sharing->right || p == t->label[i]);
        double u = counts ? sharing->share[t->votes[i * t->K + (size_t)p]] : 0;
        sharing->own[i] = factor * (u - sharing->a[i]);
    }
    return sharing->own;
}

json_t *two_way(const Table *t, int right, const int *cluster, double level)
{
    size_t S = t->S, N = t->N;
    if (S < 3 || N < 2) {
        return json_null();
    }
    double (*pairs)(const Table *, size_t) = right ? pairs_right : pairs_same;
    double con = agreement(t, pairs), scale = 1 / ((double)S * (double)(S - 1));
    Sharing sharing = {t, right, memory_alloc(N, sizeof(double)),
                       memory_alloc(S + 1, sizeof(double)), memory_alloc(N, sizeof(double))};
    for (size_t i = 0; i < N; i++) {
        sharing.a[i] = pairs(t, i) * scale;
    }
    for (size_t votes = 0; votes <= S; votes++) {
        sharing.share[votes] = ((double)votes - 1) / (double)(S - 1);
    }
    TwoWay v = two_way_variance(sharing.a, influence_of, &sharing, S, N, cluster);
    double half = t_quantile(1 - (1 - level) / 2, (double)S - 1) * sqrt(v.all);
    char key[32];
    json_t *o = json_object();
    put(o, "V_examples", v.examples);
    put(o, "V_seed_jackknife", v.seeds);
    put(o, "V_interaction", v.both);
    put(o, "SE", sqrt(v.all));
    json_object_set_new(o, leveled(key, "ci", level),
                        interval(fmax(0, con - half), fmin(1, con + half)));
    free(sharing.a);
    free(sharing.share);
    free(sharing.own);
    return o;
}
