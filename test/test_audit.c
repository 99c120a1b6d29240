/* What no runs can have (eval/bounds.c), against runs: printed results of runs, rounded or cut off,
 * are never called impossible, and each bound is met by runs that touch it. */
#include "bounds.h"
#include "check.h"
#include "rng.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_RUNS = 14, MOST_EXAMPLES = 60 };

typedef struct Runs {
    int S, N, K;
    int pred[MOST_RUNS][MOST_EXAMPLES]; /* class 0 is right */
} Runs;

static uint64_t state = 7;

static int draw(int below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int)((state >> 33) % (uint64_t)below);
}

/* The four numbers in percent, by their definitions. */
static Cell exact(const Runs *r)
{
    double right[MOST_RUNS] = {0}, zeta = 0, VAR = 0, same = 0, both = 0;
    for (int s = 0; s < r->S; s++) {
        for (int i = 0; i < r->N; i++) {
            right[s] += r->pred[s][i] == 0;
            for (int t = 0; t < s; t++) {
                same += r->pred[s][i] == r->pred[t][i];
                both += r->pred[s][i] == 0 && r->pred[t][i] == 0;
            }
        }
        zeta += right[s] / r->N / r->S;
    }
    for (int s = 0; s < r->S; s++) {
        VAR += (right[s] / r->N - zeta) * (right[s] / r->N - zeta) / r->S;
    }
    double pairs = (double)r->N * r->S * (r->S - 1) / 2;
    return (Cell){
        100 * zeta, 100 * sqrt(VAR), 100 * same / pairs, 100 * both / pairs, r->K, r->N, r->S, {0}};
}

static double printed(double value, int decimals, int cut)
{
    double scale = pow(10, decimals);
    return (cut ? floor(value * scale + 1e-9) : rint(value * scale)) / scale;
}

/* All numbers with these decimals, or, below 0, each with some of its own. */
static Cell print_cell(const Cell *cell, int decimals, int cut)
{
    Cell c = *cell;
    double *numbers[CELL_NUMBERS] = {&c.zeta, &c.VAR, &c.CON, &c.CCON};
    for (int i = 0; i < CELL_NUMBERS; i++) {
        c.decimals[i] = decimals < 0 ? draw(4) : decimals;
        *numbers[i] = printed(*numbers[i], c.decimals[i], cut);
    }
    return c;
}

static json_t *verdict_of(const Cell *c)
{
    json_t *o = json_object();
    put_verdict(o, c, NULL);
    return o;
}

static int is(const json_t *o, const char *word)
{
    return !strcmp(json_string_value(json_object_get(o, "verdict")), word);
}

/* Runs of one kind of trouble or another. */
static Runs some_runs(int kind)
{
    Runs r = {.S = 2 + draw(MOST_RUNS - 1), .N = 1 + draw(MOST_EXAMPLES), .K = 2 + draw(3)};
    int wrong = draw(100), collapsed = draw(r.S + 1);
    for (int i = 0; i < r.N; i++) {
        int hard = draw(100) < wrong;
        for (int s = 0; s < r.S; s++) {
            int noise = draw(100) < 10;
            r.pred[s][i] = kind == 0   ? draw(r.K)
                           : kind == 1 ? (s < collapsed ? r.K - 1 : 0)
                           : kind == 2 ? (hard ? 1 : 0)
                           : kind == 3 ? (s == 0 && i < collapsed ? 1 : 0)
                                       : (hard || noise ? draw(r.K) : 0);
        }
    }
    return r;
}

static void check_possible(void)
{
    int bad = 0, off = 0, count = 0;
    for (int k = 0; k < 40000; k++) {
        Runs r = some_runs(k % 5);
        Cell e = exact(&r);
        for (int cut = 0; cut < 2; cut++) {
            for (int decimals = -1; decimals <= 4; decimals++) {
                Cell c = print_cell(&e, decimals, cut);
                json_t *o = verdict_of(&c);
                int good = cut ? !is(o, "inconsistent") && !is(o, "off the grid")
                               : is(o, "consistent");
                if (!good && bad++ < 5) {
                    printf("S %d, N %d, K %d, %d decimals%s: %g %g %g %g: %s\n", r.S, r.N, r.K,
                           decimals, cut ? ", cut" : "", c.zeta, c.VAR, c.CON, c.CCON,
                           json_string_value(json_object_get(o, "reason")));
                }
                off += cut && is(o, "truncated");
                count++;
                json_decref(o);
            }
        }
    }
    CHECK(bad == 0, "%d of %d printed results of runs are called impossible", bad, count);
    CHECK(off > 1000, "%d of %d cells are seen to be cut off", off, count / 2);
}

static int impossible(Cell c, const char *reason)
{
    json_t *o = verdict_of(&c);
    int found = is(o, "inconsistent") &&
                strstr(json_string_value(json_object_get(o, "reason")), reason) != NULL;
    json_decref(o);
    return found;
}

/* Each bound is touched by runs, and a little more VAR than theirs is impossible. */
static void check_tight(void)
{
    static const struct {
        const char *reason;
        Runs runs;
    } cases[] = {
        /* half of the runs always right, half never: VAR^2 = zeta (1 - zeta) */
        {"zeta (1 - zeta)", {4, 1, 2, {{0}, {0}, {1}, {1}}}},
        /* all examples move together: VAR^2 = (S - 1)/S (zeta - CCON) */
        {"(S - 1)/S (zeta - CCON)", {4, 2, 2, {{0, 0}, {0, 0}, {0, 0}, {1, 1}}}},
        /* one run apart from the others: VAR = sqrt(S - 1)/2 (1 - CON) */
        {"the scores of two runs", {5, 4, 2, {{0}, {0}, {0}, {0}, {0, 1, 1}}}},
        {"CON = 100 needs VAR = 0", {3, 4, 2, {{0, 0, 1}, {0, 0, 1}, {0, 0, 1}}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Cell e = exact(&cases[i].runs), c = print_cell(&e, 4, 0);
        json_t *o = verdict_of(&c);
        CHECK(is(o, "consistent"), "%s: met", cases[i].reason);
        json_decref(o);
        c.VAR += 0.01;
        CHECK(impossible(c, cases[i].reason), "%s: passed by .01", cases[i].reason);
    }
    /* every example right in half of the runs, and a little less CCON (and CON, as two classes have
     * it) */
    Runs even = {4, 2, 2, {{1, 0}, {1, 0}, {0, 1}, {0, 1}}};
    Cell e = exact(&even), c = print_cell(&e, 4, 0);
    json_t *o = verdict_of(&c);
    CHECK(is(o, "consistent"), "CCON of even runs: met");
    json_decref(o);
    c.CCON -= 0.01;
    c.CON -= 0.02;
    CHECK(impossible(c, "CCON is at least 16.67"), "CCON below that of even runs");
}

int main(void)
{
    check_possible();
    check_tight();
    return checks_close("test_audit");
}
