/* How long a run will take: the work of its plan over what this machine does of it now. */
#include "setup.h"
#include "threads.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

/* The cores are ours if every thread computes for this share of 40 ms. */
static const double CALM = 0.9, LOOK = 0.04;

static double thread_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* The smallest share of a core that one of so many threads gets. */
static double share_of_cores(int threads)
{
    double smallest = 1.0;
#pragma omp parallel num_threads(threads) reduction(min : smallest)
    {
        double begin = clock_seconds(), used = thread_seconds(), now;
        do {
            now = clock_seconds();
        } while (now < begin + LOOK);
        smallest = (thread_seconds() - used) / (now - begin);
    }
    return smallest;
}

/* Operations a second of the products of this model, the slowest and the fastest of some bursts. */
static void measure_rate(double rate[2], Setup *setup)
{
    enum { BURSTS = 6, ROWS = 512 };
    const Config *c = &setup->model.config;
    int rows = setup->work.max_tokens < ROWS ? setup->work.max_tokens : ROWS;
    size_t F = (size_t)c->F, C = (size_t)c->C, N = (size_t)rows;
    const Device *device = setup->backend.device;
    float *weight = device->alloc(F * C * sizeof *weight), *x = device->alloc(N * C * sizeof *x),
          *out = device->alloc(N * F * sizeof *out);
    /* no zeros, which products of bf16 take longer for than for others */
    size_t numbers = size_max(F, N) * C;
    float *ones = memory_alloc(numbers, sizeof *ones);
    for (size_t i = 0; i < numbers; i++) {
        ones[i] = 1.0f;
    }
    device->put(weight, ones, F * C * sizeof *weight);
    device->put(x, ones, N * C * sizeof *x);
    Error ignored; /* an op that fails here fails in the run */
    /* the plan may have no product as large */
    backend_reserve(&setup->backend, matmul_scratch(N, F, C));
    rate[0] = INFINITY;
    rate[1] = 0;
    for (int burst = -1; burst < BURSTS; burst++) { /* the first touches the memory */
        double begin = clock_seconds(), now;
        int calls = 0;
        do {
            setup->backend.ops.matmul_forward(&setup->backend.ctx, out, x, (Weight){.f32 = weight},
                                              NULL, rows, c->C, c->F);
            calls++;
            (void)backend_wait(&setup->backend, &ignored);
            now = clock_seconds();
        } while (now < begin + 0.006);
        double found = 2.0 * (double)(N * C) * (double)F * calls / (now - begin);
        if (burst >= 0) {
            rate[0] = found < rate[0] ? found : rate[0];
            rate[1] = found > rate[1] ? found : rate[1];
        }
    }
    device->release(weight, F * C * sizeof *weight);
    device->release(x, N * C * sizeof *x);
    device->release(out, N * F * sizeof *out);
    free(ones);
}

static double tokens_of(const Encoded *encoded)
{
    size_t sequences = (size_t)encoded->dataset->count * (size_t)encoded->choices;
    return (double)(encoded->start[sequences] - encoded->start[0]);
}

/* Steps from one evaluation to the next; 0: the last alone. */
static long steps_between(const Setup *setup)
{
    const char *every = setup->options->eval_every;
    return (option_in_steps(every) ? 1L : setup->steps_per_epoch) * option_count(every);
}

int setup_evaluations_before(const Setup *setup, int step)
{
    long every = steps_between(setup);
    return every ? (int)((step - 1) / every) : 0;
}

int setup_evaluations(const Setup *setup)
{
    return setup->steps ? setup_evaluations_before(setup, setup->steps) + 1 : 1;
}

int setup_evaluates(const Setup *setup, int step)
{
    long every = steps_between(setup);
    return step == setup->steps || (every && step % every == 0);
}

int setup_estimate(Setup *setup, double seconds[2])
{
    const Model *m = &setup->model;
    const Config *c = &m->config;
    int threads = setup->backend.ctx.threads, cores = threads_available(),
        language = setup->task->kind == KIND_LANGUAGE;
    double rate[2];
    if (share_of_cores(threads < cores ? threads : cores) < CALM) {
        return 0;
    }
    measure_rate(rate, setup);
    if (rate[1] > 1.6 * rate[0]) {
        return 0;
    }
    double passes = (m->lora.targets ? 2.0 : 3.0) + (setup->work.recompute ? 1.0 : 0.0),
           tokens = passes * (double)setup->tokens +
                    setup_evaluations(setup) *
                        (tokens_of(&setup->dev_ids) +
                         (setup->half.count ? tokens_of(&setup->half_ids) : 0)),
           length = tokens_of(&setup->train_ids) /
                    ((double)setup->train.count * setup->train_ids.choices);
    for (int i = 0; i < setup->further_count; i++) {
        tokens += tokens_of(&setup->further_ids[i]);
    }
    /* The last layer computes keys and values for all tokens, the rest for one of each sequence. */
    double layers = language ? c->L : c->L - 0.8, embeddings = (double)c->V * c->C,
           matrices = ((double)model_counts(m).all - embeddings) * layers / c->L;
    if (language) {
        matrices += embeddings * (c->tied ? 4.0 : 1.0) / 3.0; /* the logits are computed twice */
    }
    /* Ops of a nanosecond a value that are too short for all threads run on fewer. */
    double team = fmin(threads, fmax(1.0, (double)setup->work.max_tokens * c->C / PACE_GRAIN));
    /* Products, each weight once for a token and attention's over whole sequences; everything that
     * is no product, at 2.2 ns for one of the 10 C + 2 F values of a layer; the optimizer's pass
     * over 7 arrays at 10 GB/s. The constants are from docs/BENCH.md. */
    double products = tokens * (2.0 * matrices + 4.0 * layers * c->C * length),
           others = tokens * layers * (10.0 * c->C + 2.0 * c->F) * 2.2e-9 / team +
                    (double)setup->steps * 28.0 * (double)m->params.trained / 1e10;
    seconds[0] = 0.75 * (products / rate[1] + others);
    seconds[1] = 1.4 * (products / rate[0] + others);
    return 1;
}

char *seconds_text(double low, double high)
{
    static const struct {
        double size;
        const char *name;
    } units[] = {{1, "s"}, {60, "min"}, {3600, "h"}, {86400, "d"}};
    int i = high < 100 ? 0 : high < 100 * 60 ? 1 : high < 48 * 3600 ? 2 : 3;
    low /= units[i].size;
    high /= units[i].size;
    if (high < 1) {
        return string_format("less than 1 %s", units[i].name);
    }
    return string_format("%.*f to %.*f %s", low < 9.95, low, high < 9.95, high, units[i].name);
}
