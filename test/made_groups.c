#include "made_groups.h"

#include <stdlib.h>
#include <string.h>

Made made_runs(size_t S, size_t N, int K, const int *label, const int *pred, const int (*seeds)[3])
{
    Made made = {memory_calloc(S, sizeof *made.runs), memory_alloc(S, sizeof *made.list), {0}};
    for (size_t s = 0; s < S; s++) {
        int number = (int)s, all[3] = {number, number, number};
        const int *own = seeds ? seeds[s] : all;
        char text[3][24];
        Preds *run = &made.runs[s];
        for (int i = 0; i < 3; i++) {
            snprintf(text[i], sizeof text[i], "%d", own[i]);
        }
        *run = (Preds){.path = string_format("%zu", s), .N = N, .K = K};
        run->pred = memory_alloc(N, sizeof *run->pred);
        run->label = memory_alloc(N, sizeof *run->label);
        run->hash = memory_alloc(N, sizeof *run->hash);
        memcpy(run->pred, pred + s * N, N * sizeof *pred);
        memcpy(run->label, label, N * sizeof *label);
        for (size_t i = 0; i < N; i++) {
            run->hash[i] = 1000 + 7 * i; /* ids need not be 0 to N - 1 */
        }
        run->metadata = json_pack("{s:s, s:s, s:s, s:s, s:s}", "seed", text[0], "seed_init",
                                  text[0], "seed_data", text[1], "seed_dropout", text[2], "metric",
                                  "accuracy");
        made.list[s] = run;
    }
    return made;
}

Made made_group(size_t S, size_t N, int K, const int *label, const int *pred,
                const int (*seeds)[3])
{
    Made made = made_runs(S, N, K, label, pred, seeds);
    Error error;
    CHECK(!group_join(&made.group, made.list, S, 0, &error), "%s", error.text);
    return made;
}

void made_free(Made *made, size_t S)
{
    for (size_t s = 0; s < S; s++) {
        preds_free(&made->runs[s]);
    }
    free(made->runs);
    free(made->list);
}

json_t *statistics_of(const Made *made)
{
    StatisticsOptions options = {.level = 0.95, .pairs = 1, .examples = 3};
    return statistics_compute(&made->group, &options);
}

double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

double *reals(const json_t *list)
{
    double *values = memory_alloc(json_array_size(list) + 1, sizeof *values);
    for (size_t i = 0; i < json_array_size(list); i++) {
        values[i] = json_number_value(json_array_get(list, i));
    }
    return values;
}

void near(const char *name, const char *key, double got, double expected, double tolerance)
{
    CHECK((isnan(got) && isnan(expected)) ||
              fabs(got - expected) <= tolerance * fabs(expected) + 1e-12,
          "%s %s: %.17g, expected %.17g", name, key, got, expected);
}

uint64_t splitmix_state;

uint64_t splitmix(void)
{
    uint64_t z = splitmix_state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

double uniform(void)
{
    return (double)(splitmix() >> 11) / 9007199254740992.0;
}
