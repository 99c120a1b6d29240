#include "sources.h"
#include "distributions.h"
#include "pairs.h"
#include "result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SOURCES = 4 };
static const char *const *const seeds = seed_keys + 1; /* of each source */

/* Sources that have the same levels in all runs, as --seed sets them, are one: the first of them has
 * the names of all, the others have one level. */
typedef struct Grid {
    size_t S, levels[SOURCES];
    size_t *level[SOURCES]; /* [S] */
    char name[SOURCES][32];
    int of[SOURCES]; /* the source that each is one with, or itself */
} Grid;

typedef struct Seed {
    const char *text;
    size_t run;
} Seed;

static int by_text(const void *a, const void *b)
{
    return strcmp(((const Seed *)a)->text, ((const Seed *)b)->text);
}

static Grid grid_make(const Group *g)
{
    Grid grid = {.S = g->S};
    Seed *sorted = memory_alloc(g->S, sizeof *sorted);
    for (int f = 0; f < SOURCES; f++) {
        grid.level[f] = memory_alloc(g->S, sizeof *grid.level[f]);
        for (size_t s = 0; s < g->S; s++) {
            sorted[s] = (Seed){preds_meta(g->runs[s], seeds[f]), s};
        }
        qsort(sorted, g->S, sizeof *sorted, by_text);
        for (size_t s = 0; s < g->S; s++) {
            grid.levels[f] += s == 0 || strcmp(sorted[s].text, sorted[s - 1].text) != 0;
            grid.level[f][sorted[s].run] = grid.levels[f] - 1;
        }
    }
    free(sorted);
    static const char *const names[SOURCES] = {"init", "data", "dropout", "order"};
    for (int f = 0; f < SOURCES; f++) {
        snprintf(grid.name[f], sizeof grid.name[f], "%s", names[f]);
        grid.of[f] = f;
        for (int e = 0; e < f && grid.levels[f] > 1; e++) {
            if (grid.levels[e] > 1 &&
                !memcmp(grid.level[e], grid.level[f], g->S * sizeof *grid.level[f])) {
                strcat(strcat(grid.name[e], "+"), names[f]);
                memset(grid.level[f], 0, g->S * sizeof *grid.level[f]);
                grid.levels[f] = 1;
                grid.of[f] = e;
            }
        }
    }
    return grid;
}

/* Runs in each combination of the sources of mask, if all have as many; else 0. */
static size_t runs_per_cell(const Grid *grid, unsigned mask)
{
    size_t cells = 1, each;
    for (int f = 0; f < SOURCES; f++) {
        cells *= mask >> f & 1 ? grid->levels[f] : 1;
        if (cells > grid->S) {
            return 0;
        }
    }
    size_t *count = memory_calloc(cells, sizeof *count);
    each = grid->S / cells;
    for (size_t s = 0; s < grid->S; s++) {
        size_t cell = 0;
        for (int f = 0; f < SOURCES; f++) {
            cell = mask >> f & 1 ? cell * grid->levels[f] + grid->level[f][s] : cell;
        }
        count[cell]++;
    }
    for (size_t c = 0; c < cells; c++) {
        each = count[c] == each ? each : 0;
    }
    free(count);
    return each;
}

/* Sum of squares about the grand mean of the means of the cells of mask, times the runs of each. */
static double between(const Grid *grid, unsigned mask, const double *zeta)
{
    double grand = mean(zeta, grid->S), sum = 0;
    for (size_t s = 0; s < grid->S; s++) {
        double total = 0, count = 0;
        for (size_t r = 0; r < grid->S; r++) {
            int same = 1;
            for (int f = 0; f < SOURCES; f++) {
                same = same && (!(mask >> f & 1) || grid->level[f][r] == grid->level[f][s]);
            }
            total += same ? zeta[r] : 0;
            count += same;
        }
        sum += (total / count - grand) * (total / count - grand);
    }
    return sum;
}

/* A mean square of df, and what it is compared with. */
typedef struct Square {
    const char *source;
    double value, df, per; /* runs that share one level */
} Square;

/* Interval of (E a - E b) / per: Ting, Burdick, Graybill, Jeyaratnam, Lu (1990). */
static json_t *difference_interval(const Square *a, const Square *b, double level)
{
    double tail = (1 - level) / 2;
    double g1 = 1 - a->df / chi2_quantile(1 - tail, a->df),
           h1 = a->df / chi2_quantile(tail, a->df) - 1;
    double g2 = 1 - b->df / chi2_quantile(1 - tail, b->df),
           h2 = b->df / chi2_quantile(tail, b->df) - 1;
    double f = f_quantile(1 - tail, a->df, b->df), e = f_quantile(tail, a->df, b->df);
    double g12 = ((f - 1) * (f - 1) - g1 * g1 * f * f - h2 * h2) / f;
    double h12 = ((1 - e) * (1 - e) - h1 * h1 * e * e - g2 * g2) / e;
    double x = a->value, y = b->value;
    double down = g1 * g1 * x * x + h2 * h2 * y * y + g12 * x * y;
    double up = h1 * h1 * x * x + g2 * g2 * y * y + h12 * x * y;
    return interval(fmax(0, (x - y - sqrt(fmax(0, down))) / a->per),
                    fmax(0, (x - y + sqrt(fmax(0, up))) / a->per));
}

static json_t *component(const Square *square, const Square *error, double level)
{
    char key[32];
    double tail = (1 - level) / 2;
    double variance = error ? (square->value - error->value) / square->per : square->value;
    json_t *o = json_object();
    json_object_set_new(o, "source", json_string(square->source));
    put(o, "df", square->df);
    put(o, "mean_square", square->value);
    put(o, "variance", variance);
    put(o, "SD", sqrt(fmax(0, variance)));
    json_object_set_new(
        o, leveled(key, "variance_ci", level),
        error ? difference_interval(square, error, level)
              : interval(square->value * square->df / chi2_quantile(1 - tail, square->df),
                         square->value * square->df / chi2_quantile(tail, square->df)));
    return o;
}

/* Mean agreement of the pairs of runs that share exactly the seeds of each set of sources. */
static void put_shared(json_t *o, const Grid *grid, const Table *t, unsigned varying)
{
    double same[1 << SOURCES] = {0}, pairs[1 << SOURCES] = {0};
    PairBits bits = pair_bits_make(t);
    for (size_t s = 0; s < t->S; s++) {
        for (size_t r = s + 1; r < t->S; r++) {
            unsigned shared = 0;
            for (int f = 0; f < SOURCES; f++) {
                shared |= (unsigned)(grid->level[f][s] == grid->level[f][r]) << f;
            }
            same[shared & varying] += (double)pair_count(&bits, s, r).agree;
            pairs[shared & varying]++;
        }
    }
    pair_bits_free(&bits);
    json_t *shares = json_object();
    for (unsigned m = 0; m < 1 << SOURCES; m++) {
        char key[64] = "";
        for (int f = 0; f < SOURCES; f++) {
            if (m >> f & 1) {
                strcat(strcat(key, *key ? "+" : ""), grid->name[f]);
            }
        }
        if (pairs[m] > 0) {
            put(shares, *key ? key : "none", same[m] / pairs[m] / (double)t->N);
        }
    }
    json_object_set_new(o, "CON_of_pairs_that_share", shares);
}

static void grid_free(Grid *grid)
{
    for (int f = 0; f < SOURCES; f++) {
        free(grid->level[f]);
    }
}

/* " 42-52-62": the seeds of a combination of levels; of each source those of a run that has its. */
static void append_combination(char **text, const Group *g, const Grid *grid,
                               const size_t at[SOURCES])
{
    for (int f = 0; f < SOURCES; f++) {
        size_t s = 0;
        int e = grid->of[f];
        while (grid->level[e][s] != at[e]) {
            s++;
        }
        const char *seed = preds_meta(g->runs[s], seeds[f]);
        if (*seed) { /* runs without shuffled kernels have no order */
            string_append(text, "%s%s", f ? "-" : " ", seed);
        }
    }
}

char *grid_gaps(const Group *g)
{
    enum { SHOWN = 4 };
    Grid grid = grid_make(g);
    size_t varying = 0, cells = 1, at[SOURCES], missing = 0;
    char *which = string_copy(""), *text = NULL;
    for (int f = 0; f < SOURCES; f++) {
        if (grid.levels[f] > 1) {
            string_append(&which, "%s%s", varying++ ? ", " : "", grid.name[f]);
        }
        cells *= grid.levels[f]; /* at most S^4 */
    }
    if (varying > 1 && cells > g->S) {
        text = string_format("the seeds of %s form no complete grid: %zu of %zu combinations, "
                             "without",
                             which, g->S, cells);
        for (size_t cell = 0; cell < cells && missing <= SHOWN; cell++) {
            size_t rest = cell, s = 0;
            for (int f = SOURCES - 1; f >= 0; f--) {
                at[f] = rest % grid.levels[f];
                rest /= grid.levels[f];
            }
            for (int f = 0; s < g->S && f < SOURCES; f++) {
                if (grid.level[f][s] != at[f]) {
                    s++;
                    f = -1;
                }
            }
            if (s == g->S && missing++ == SHOWN) {
                string_append(&text, ", ...");
            } else if (s == g->S) {
                string_append(&text, "%s", missing > 1 ? "," : "");
                append_combination(&text, g, &grid, at);
            }
        }
    }
    free(which);
    grid_free(&grid);
    return text;
}

void put_sources(json_t *object, const Group *g, const Table *t, const double *zeta, double level)
{
    Grid grid = grid_make(g);
    unsigned varying = 0;
    int factors = 0;
    for (int f = 0; f < SOURCES; f++) {
        varying |= (unsigned)(grid.levels[f] > 1) << f;
        factors += grid.levels[f] > 1;
    }
    /* init and data, and dropout or the order within their cells */
    unsigned two = varying & 3;
    int within = varying == 7 ? 2 : varying == 11 ? 3 : 0;
    size_t inside = within ? runs_per_cell(&grid, two) : 0;
    int crossed = factors >= 2 && runs_per_cell(&grid, varying) == 1,
        nested = !crossed && inside > 1;
    Square squares_of[SOURCES + 2];
    int count = 0, defined = 1;
    for (size_t s = 0; s < g->S; s++) {
        defined = defined && isfinite(zeta[s]);
    }
    if ((crossed || nested) && defined) {
        double S = (double)g->S, rest = squares(zeta, g->S), rest_df = S - 1;
        for (int f = 0; f < SOURCES; f++) {
            unsigned mask = 1u << f;
            if (!(varying & mask) || (nested && f == within)) {
                continue;
            }
            double df = (double)grid.levels[f] - 1, sum = between(&grid, mask, zeta);
            squares_of[count++] = (Square){grid.name[f], sum / df, df, S / (double)grid.levels[f]};
            rest -= sum;
            rest_df -= df;
        }
        int mains = count;
        if (nested) {
            double df = squares_of[0].df * squares_of[1].df;
            double sum = between(&grid, two, zeta) - squares_of[0].value * squares_of[0].df -
                         squares_of[1].value * squares_of[1].df;
            squares_of[count++] = (Square){"init x data", sum / df, df, (double)inside};
            rest -= sum;
            rest_df -= df;
        }
        char last[48] = "interaction and rest";
        if (nested) {
            snprintf(last, sizeof last, "%s (within)", grid.name[within]);
        }
        squares_of[count] = (Square){last, fmax(0, rest) / rest_df, rest_df, 1};
        json_t *o = json_object(), *list = json_array();
        double total = 0, most = -1;
        int largest = 0;
        for (int c = 0; c <= count; c++) {
            const Square *error = c == count ? NULL : &squares_of[c < mains ? mains : count];
            json_t *entry = component(&squares_of[c], error, level);
            double variance = fmax(0, number_of(entry, "variance"));
            total += variance;
            largest = variance > most ? c : largest;
            most = fmax(most, variance);
            json_array_append_new(list, entry);
        }
        for (int c = 0; c <= count; c++) {
            json_t *entry = json_array_get(list, (size_t)c);
            put(entry, "share", fmax(0, number_of(entry, "variance")) / total);
        }
        json_object_set_new(o, "components", list);
        json_object_set_new(o, "largest",
                            total > 0 ? json_string(squares_of[largest].source) : json_null());
        if (t) {
            put_shared(o, &grid, t, varying);
        }
        json_object_set_new(object, "sources", o);
    }
    grid_free(&grid);
}
