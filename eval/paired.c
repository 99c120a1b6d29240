#include "paired.h"
#include "components.h"
#include "distributions.h"
#include "inference.h"
#include "intervals.h"
#include "result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The runs of both sides, pair by pair. */
typedef struct Pairs {
    const Preds **run[2]; /* [n] */
    size_t n, N;
    const int *label; /* [N] */
    int regression;
} Pairs;

/* A mean over examples of a statistic of n runs, as two_way_variance takes it. */
typedef struct Measure {
    size_t N;
    double mean;
    double *value;     /* [N] */
    double *influence; /* [n, N] */
} Measure;

/* What is measured between two runs of an example: whether they differ (a missing answer differs
 * from any, as in CON), whether not both are right, or how far values are apart. */
typedef enum Distance { DIFFER, NOT_BOTH_RIGHT, FAR } Distance;

static double distance(const Pairs *p, Distance kind, const Preds *x, const Preds *y, size_t i)
{
    return kind == FAR ? fabs((double)x->value[i] - (double)y->value[i])
           : kind == DIFFER
               ? x->pred[i] < 0 || x->pred[i] != y->pred[i]
               : x->pred[i] < 0 || x->pred[i] != p->label[i] || y->pred[i] != p->label[i];
}

/* Whether pairs s and r agree on an example in A and not in B: 1, 0, or -1 the other way round. */
static double agree_more(const void *context, size_t s, size_t r, size_t i)
{
    const Pairs *p = context;
    return distance(p, DIFFER, p->run[1][s], p->run[1][r], i) -
           distance(p, DIFFER, p->run[0][s], p->run[0][r], i);
}

static Measure measure_make(const Pairs *p)
{
    return (Measure){p->N, 0, memory_calloc(p->N, sizeof(double)),
                     memory_calloc(p->n * p->N, sizeof(double))};
}

static void measure_free(Measure *m)
{
    free(m->value);
    free(m->influence);
}

/* influence holds what belongs to each run and example, a sum of scale's inverse. Makes the means
 * of it, and of it the influence: factor times what it is above the mean of its example. */
static void measure_finish(Measure *m, const Pairs *p, double scale, double factor)
{
    for (size_t i = 0; i < p->N; i++) {
        double sum = 0;
        for (size_t s = 0; s < p->n; s++) {
            sum += m->influence[s * p->N + i];
        }
        m->mean += sum;
        m->value[i] = sum * scale / (double)p->n;
        for (size_t s = 0; s < p->n; s++) {
            double *e = &m->influence[s * p->N + i];
            *e = factor * (*e * scale - m->value[i]);
        }
    }
    m->mean *= scale / ((double)p->n * (double)p->N);
}

/* Between the two runs of each pair. */
static Measure between_sides(const Pairs *p, Distance kind)
{
    Measure m = measure_make(p);
    for (size_t s = 0; s < p->n; s++) {
        for (size_t i = 0; i < p->N; i++) {
            m.influence[s * p->N + i] = distance(p, kind, p->run[0][s], p->run[1][s], i);
        }
    }
    measure_finish(&m, p, 1, 1);
    return m;
}

/* Between runs of side x and side y of different pairs: a U-statistic of order 2, whose influence
 * is 2 (n - 1) / (n - 2) times a run's mean distance from the others, about the mean. */
static Measure between_seeds(const Pairs *p, Distance kind, int x, int y)
{
    Measure m = measure_make(p);
    double n = (double)p->n;
    for (size_t s = 0; s < p->n; s++) {
        for (size_t r = 0; r < p->n; r++) {
            for (size_t i = 0; i < p->N && r != s; i++) {
                double d = distance(p, kind, p->run[x][s], p->run[y][r], i);
                m.influence[s * p->N + i] += d;
                m.influence[r * p->N + i] += d;
            }
        }
    }
    measure_finish(&m, p, 1 / (2 * (n - 1)), 2 * (n - 1) / (n - 2));
    return m;
}

/* a x + b y. */
static Measure combine(const Pairs *p, double a, const Measure *x, double b, const Measure *y)
{
    Measure m = measure_make(p);
    m.mean = a * x->mean + b * y->mean;
    for (size_t i = 0; i < p->N; i++) {
        m.value[i] = a * x->value[i] + b * y->value[i];
    }
    for (size_t i = 0; i < p->n * p->N; i++) {
        m.influence[i] = a * x->influence[i] + b * y->influence[i];
    }
    return m;
}

static const double *influence_of(const void *measure, size_t s)
{
    const Measure *m = measure;
    return m->influence + s * m->N;
}

/* Standard error over pairs and examples; NaN where there are too few. */
static double error_of(const Measure *m, const Pairs *p)
{
    return p->n > 2 && p->N > 1
               ? sqrt(two_way_variance(m->value, influence_of, m, p->n, p->N, NULL).all)
               : NAN;
}

static double student(const Pairs *p, double level)
{
    return p->n > 2 ? t_quantile(1 - (1 - level) / 2, (double)p->n - 1) : NAN;
}

/* A share of predictions with the interval of Korn and Graubard (1998): Clopper and Pearson's, of
 * as many independent examples as would have this variance, and of those of the data set where
 * nothing varies. Of values: the mean distance with Student's t. */
static void put_moved(json_t *o, const char *name, const Measure *m, const Pairs *p, double level)
{
    double x = m->mean, se = error_of(m, p), t = student(p, level), tail = (1 - level) / 2;
    double low = fmax(0, x - t * se), high = x + t * se;
    if (!p->regression) {
        double z = normal_quantile(1 - tail);
        double n = se > 0 ? x * (1 - x) / (se * se) * z * z / (t * t) : (double)p->N;
        low = isnan(se) ? NAN : x > 0 ? beta_quantile(tail, x * n, n - x * n + 1) : 0;
        high = isnan(se) ? NAN : x < 1 ? beta_quantile(1 - tail, x * n + 1, n - x * n) : 1;
    }
    char key[32];
    json_t *entry = json_object();
    put(entry, p->regression ? "distance" : "flips", x);
    put(entry, "SE", se);
    json_object_set_new(entry, leveled(key, "ci", level), interval(low, high));
    json_object_set_new(o, name, entry);
}

/* A difference with Student's t; df are one less than the pairs. */
static void put_difference(json_t *o, const char *name, double delta, double se, const Pairs *p,
                           double level)
{
    char key[32];
    double t = delta / se, df = (double)p->n - 1, half = student(p, level) * se;
    json_t *entry = json_object();
    put(entry, "delta", delta);
    put(entry, "SE", se);
    put(entry, "t", t);
    put(entry, "df", df);
    put(entry, "p", isfinite(t) && df > 1 ? t_two_sided(t, df) : NAN);
    json_object_set_new(entry, leveled(key, "ci", level), interval(delta - half, delta + half));
    json_object_set_new(o, name, entry);
}

static void put_measure(json_t *o, const char *name, Measure m, const Pairs *p, double level)
{
    put_difference(o, name, m.mean, error_of(&m, p), p, level);
    measure_free(&m);
}

/* change / seed; its interval by the delta method on the logarithm. */
static void put_ratio(json_t *o, const Measure *change, const Measure *seed, const Pairs *p,
                      double level)
{
    char key[32];
    json_t *entry = json_object();
    double ratio = change->mean / seed->mean, half = NAN;
    if (ratio > 0 && isfinite(ratio)) {
        Measure m = combine(p, 1 / change->mean, change, -1 / seed->mean, seed);
        half = student(p, level) * error_of(&m, p);
        measure_free(&m);
    }
    put(entry, "ratio", ratio);
    json_object_set_new(entry, leveled(key, "ci", level),
                        interval(ratio * exp(-half), ratio * exp(half)));
    json_object_set_new(o, "change_over_seed", entry);
}

/* VAR of A over VAR of B, with the interval and test of Pitman (1939) and Morgan (1939) for two
 * correlated variances, as their SDs. */
static void put_var_ratio(json_t *o, const double *x, const double *y, size_t n, double level)
{
    char key[32];
    double xx = squares(x, n), yy = squares(y, n), xy = 0, mx = mean(x, n), my = mean(y, n);
    for (size_t s = 0; s < n; s++) {
        xy += (x[s] - mx) * (y[s] - my);
    }
    json_t *entry = json_object();
    double w = xx / yy, df = (double)n - 2, apart = fmax(0, 1 - xy * xy / (xx * yy));
    double q = df > 0 ? t_quantile(1 - (1 - level) / 2, df) : NAN, k = 2 * apart * q * q / df;
    double factor = 1 + k + sqrt(k * (2 + k)), t = (w - 1) * sqrt(df) / sqrt(4 * w * apart);
    put(entry, "ratio", yy > 0 ? sqrt(w) : NAN);
    put(entry, "r", xy / sqrt(xx * yy));
    put(entry, "p", df > 0 && isfinite(t) ? t_two_sided(t, df) : NAN);
    json_object_set_new(entry, leveled(key, "ci", level),
                        w > 0 ? interval(sqrt(w / factor), sqrt(w * factor)) : json_null());
    json_object_set_new(o, "VAR_ratio", entry);
}

static void put_zeta(json_t *o, const double *x, const double *y, const Pairs *p, double level)
{
    double *d = memory_alloc(p->n, sizeof *d), statistic;
    for (size_t s = 0; s < p->n; s++) {
        d[s] = x[s] - y[s];
    }
    double n = (double)p->n, se = p->n > 2 ? sqrt(squares(d, p->n) / (n - 1) / n) : NAN;
    put_difference(o, "delta_zeta", mean(d, p->n), se, p, level);
    put(json_object_get(o, "delta_zeta"), "wilcoxon_exact_p", wilcoxon_p(&statistic, d, p->n));
    free(d);
}

size_t paired_runs(size_t *at[2], const Group *a, const Group *b)
{
    size_t n = 0;
    for (size_t s = 0; s < a->S; s++) {
        for (size_t r = 0; r < b->S; r++) {
            size_t taken = 0;
            while (taken < n && at[1][taken] != r) {
                taken++;
            }
            if (taken == n && preds_same_seeds(a->runs[s], b->runs[r])) {
                at[0][n] = s;
                at[1][n++] = r;
                break; /* of several orders the first */
            }
        }
    }
    return n;
}

/* Mean distance of a run of a and a run of b, or of two runs of one group; NaN without any. */
static double mean_distance(const Group *a, const Group *b)
{
    Pairs p = {.label = a->label};
    double sum = 0, count = 0;
    for (size_t s = 0; s < a->S; s++) {
        for (size_t r = 0; r < b->S; r++) {
            for (size_t i = 0; i < a->N && (a != b || r != s); i++) {
                sum += distance(&p, a->regression ? FAR : DIFFER, a->runs[s], b->runs[r], i);
                count++;
            }
        }
    }
    return sum / count;
}

/* Pairs whose runs say the same of every example. */
static size_t identical_pairs(const Pairs *p)
{
    size_t count = 0;
    for (size_t s = 0; s < p->n; s++) {
        const Preds *x = p->run[0][s], *y = p->run[1][s];
        count += !(p->regression ? memcmp(x->value, y->value, p->N * sizeof *x->value)
                                 : memcmp(x->pred, y->pred, p->N * sizeof *x->pred));
    }
    return count;
}

static void put_pairs(json_t *o, const Pairs *p, const double *x, const double *y, double level)
{
    Distance kind = p->regression ? FAR : DIFFER;
    Measure change = between_sides(p, kind);
    put_moved(o, "change", &change, p, level);
    if (p->n > 1) {
        Measure a = between_seeds(p, kind, 0, 0), b = between_seeds(p, kind, 1, 1),
                both = between_seeds(p, kind, 0, 1), seed = combine(p, 0.5, &a, 0.5, &b);
        put_moved(o, "seed", &seed, p, level);
        put_moved(o, "seed_A", &a, p, level);
        put_moved(o, "seed_B", &b, p, level);
        put_moved(o, "change_and_seed", &both, p, level);
        put_measure(o, "seed_minus_change", combine(p, 1, &seed, -1, &change), p, level);
        put_ratio(o, &change, &seed, p, level);
        if (!p->regression) {
            Measure right_a = between_seeds(p, NOT_BOTH_RIGHT, 0, 0),
                    right_b = between_seeds(p, NOT_BOTH_RIGHT, 1, 1);
            put_measure(o, "delta_CON", combine(p, 1, &b, -1, &a), p, level);
            if (p->n > 3 && p->N > 1) {
                Components parts = components_estimate(agree_more, p, p->n, p->N);
                json_object_set_new(json_object_get(o, "delta_CON"), "components",
                                    components_json(&parts));
            }
            put_measure(o, "delta_CCON", combine(p, 1, &right_b, -1, &right_a), p, level);
            measure_free(&right_a);
            measure_free(&right_b);
        }
        measure_free(&a);
        measure_free(&b);
        measure_free(&both);
        measure_free(&seed);
        put_var_ratio(o, x, y, p->n, level);
    }
    put_zeta(o, x, y, p, level);
    measure_free(&change);
}

json_t *compare_paired(const Group *a, const Group *b, const double *zeta_a, const double *zeta_b,
                       double level)
{
    size_t least = size_min(a->S, b->S), *at[2];
    Pairs p = {.N = a->N, .label = a->label, .regression = a->regression};
    double *zeta[2];
    for (int side = 0; side < 2; side++) {
        at[side] = memory_alloc(least, sizeof *at[side]);
        zeta[side] = memory_alloc(least, sizeof *zeta[side]);
        p.run[side] = memory_alloc(least, sizeof *p.run[side]);
    }
    p.n = paired_runs(at, a, b);
    for (size_t k = 0; k < p.n; k++) {
        p.run[0][k] = a->runs[at[0][k]];
        p.run[1][k] = b->runs[at[1][k]];
        zeta[0][k] = zeta_a[at[0][k]];
        zeta[1][k] = zeta_b[at[1][k]];
    }
    json_t *o = json_object();
    put_count(o, "seeds", p.n);
    put_count(o, "only_A", a->S - p.n);
    put_count(o, "only_B", b->S - p.n);
    put_count(o, "identical", identical_pairs(&p));
    if (p.n) {
        put_pairs(o, &p, zeta[0], zeta[1], level);
    } else {
        put(o, "across", mean_distance(a, b));
        put(o, "within_A", mean_distance(a, a));
        put(o, "within_B", mean_distance(b, b));
    }
    if (!a->regression && group_is_hidden(a)) {
        json_object_del(o, "delta_CCON");
    }
    char *text = paired_sentence(o, a->regression, level);
    json_object_set_new(o, "sentence", json_text(text));
    free(text);
    for (int side = 0; side < 2; side++) {
        free(at[side]);
        free(zeta[side]);
        free(p.run[side]);
    }
    return o;
}
