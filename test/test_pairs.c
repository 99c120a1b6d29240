/* Groups that are large enough for several threads: pairs of runs against a plain count, by every
 * kind of instructions that this machine has; the same report from any number of threads; and the
 * first run's error whoever finds one first. Needs no files. */
#include "examples.h"
#include "made_groups.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* Its functions are called one by one. */
#define pair_bits_make own_pair_bits_make
#define pair_bits_free own_pair_bits_free
#define pair_count     own_pair_count
#include "../eval/pairs.c"

enum { RUNS = 33, ROWS = 8200 }; /* more predictions than is_worth_threads asks for */

/* Random predictions of classes from first to K - 1; -1 is none. */
static Made make(size_t S, size_t N, int K, int first)
{
    int *label = memory_alloc(N, sizeof *label), *pred = memory_alloc(S * N, sizeof *pred);
    for (size_t i = 0; i < N; i++) {
        label[i] = (int)(splitmix() % (unsigned)(K - first)) + first;
    }
    for (size_t j = 0; j < S * N; j++) {
        int right = uniform() < 0.6;
        pred[j] = right ? label[j % N] : (int)(splitmix() % (unsigned)(K - first)) + first;
    }
    Made made = made_group(S, N, K, label, pred, NULL);
    free(label);
    free(pred);
    return made;
}

static void check_pair(const char *how, PairCount got, const Table *t, size_t s, size_t r)
{
    size_t agree = 0, both = 0;
    for (size_t i = 0; i < t->N; i++) {
        int x = t->pred[s][i], y = t->pred[r][i];
        agree += x >= 0 && x == y;
        both += x >= 0 && x == y && x == t->label[i];
    }
    CHECK(got.agree == agree && got.both == both,
          "%zu examples of %zu classes, %s: %zu agree, %zu right, expected %zu and %zu", t->N, t->K,
          how, got.agree, got.both, agree, both);
}

static void check_counts(void)
{
    static const size_t sizes[] = {1, 2, 63, 64, 65, 511, 512, 513, 1000};
    static const int classes[] = {1, 2, 3, 4, 5, 64, 65, 1000};
    for (size_t a = 0; a < sizeof sizes / sizeof *sizes; a++) {
        for (size_t k = 0; k < 2 * sizeof classes / sizeof *classes; k++) {
            Made made = make(3, sizes[a], classes[k / 2], k % 2 ? -1 : 0);
            Table t = table_make(&made.group, NULL, NULL);
            PairBits bits = pair_bits_make(&t);
            for (size_t s = 0; s < 3; s++) {
                size_t r = (s + 1) % 3;
                const uint64_t *x = bits.bits + s * bits.planes * bits.words,
                               *y = bits.bits + r * bits.planes * bits.words;
                check_pair("as chosen", pair_count(&bits, s, r), &t, s, r);
                check_pair("plain", count(&bits, x, y), &t, s, r);
#ifdef __x86_64__
                if (__builtin_cpu_supports("popcnt")) {
                    check_pair("popcnt", count_popcnt(&bits, x, y), &t, s, r);
                }
#endif
            }
            pair_bits_free(&bits);
            table_free(&t);
            made_free(&made, 3);
        }
    }
}

/* What the report says of every pair: agreement, and the divergence of probabilities. */
static void check_listed(const Made *made)
{
    json_t *o = statistics_of(made), *list = json_object_get(o, "pairs");
    double *jsd = reals(json_object_get(json_object_get(o, "logits"), "jsd_pairs"));
    size_t at = 0;
    for (size_t s = 0; s < RUNS; s++) {
        for (size_t r = s + 1; r < RUNS; r++, at++) {
            const Preds *x = made->list[s], *y = made->list[r];
            double agree = 0, divergence = 0;
            for (size_t i = 0; i < ROWS; i++) {
                agree += x->pred[i] >= 0 && x->pred[i] == y->pred[i];
            }
            near("pair", "agree", number(json_array_get(list, at), "agree"), agree, 0);
            for (size_t i = 0; at % 100 == 0 && i < ROWS; i++) {
                double p[3], q[3], log_p[3], log_q[3];
                softmax(p, log_p, x->logits + 3 * i, 3);
                softmax(q, log_q, y->logits + 3 * i, 3);
                for (int c = 0; c < 3; c++) {
                    double log_m = log((p[c] + q[c]) / 2);
                    divergence += (p[c] * (log_p[c] - log_m) + q[c] * (log_q[c] - log_m)) / 2;
                }
            }
            if (at % 100 == 0) {
                near("pair", "divergence", jsd[at], divergence / ROWS, 1e-9);
            }
        }
    }
    CHECK(json_array_size(list) == at, "%zu of %zu pairs", json_array_size(list), at);
    free(jsd);
    json_decref(o);
}

/* The report as text, from so many threads. */
static char *report_of(const Made *made, int threads)
{
    omp_set_num_threads(threads);
    json_t *o = statistics_of(made);
    json_object_set_new(o, "bootstrap", statistics_bootstrap(&made->group, 5, 3, 0.95));
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return text;
}

static void check_threads(void)
{
    for (int first = -1; first < 1; first++) {
        Made made = make(RUNS, ROWS, 3, first);
        CHECK(is_worth_threads((size_t)RUNS * ROWS), "threads are not used");
        for (size_t s = 0; s < RUNS; s++) {
            Preds *run = &made.runs[s];
            run->logits = memory_alloc((size_t)ROWS * 3, sizeof *run->logits);
            for (size_t j = 0; j < (size_t)ROWS * 3; j++) {
                run->logits[j] = (float)(4 * uniform());
            }
        }
        check_listed(&made);
        char *one = report_of(&made, 1);
        CHECK(strstr(one, "jsd_nats_mean") && !strstr(one, "cohen_kappa") == (first < 0),
              "the report is not whole");
        for (int threads = 2; threads < 8; threads += 3) {
            char *other = report_of(&made, threads);
            CHECK(!strcmp(one, other), "%d threads: another report", threads);
            free(other);
        }
        free(one);
        made_free(&made, RUNS);
    }
}

/* Runs 7, 12 and 30 have another label somewhere: the seventh is named. */
static void check_first_error(void)
{
    for (int threads = 1; threads < 8; threads += 3) {
        Error error;
        omp_set_num_threads(threads);
        int *label = memory_calloc(ROWS, sizeof *label),
            *pred = memory_calloc((size_t)RUNS * ROWS, sizeof *pred);
        Made made = made_runs(RUNS, ROWS, 3, label, pred, NULL);
        made.runs[7].label[ROWS - 1] = made.runs[12].label[0] = made.runs[30].label[5] = 1;
        CHECK(group_join(&made.group, made.list, RUNS, 0, &error) == EXIT_BAD_DATA &&
                  !strncmp(error.text, "7: the label", 12),
              "%d threads: %s", threads, error.text);
        free(label);
        free(pred);
        made_free(&made, RUNS);
    }
}

int main(void)
{
    check_counts();
    check_threads();
    check_first_error();
    return checks_close("test_pairs");
}
