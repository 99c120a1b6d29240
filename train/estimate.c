/* How long a run will take: the work of its plan over what this machine does of it now. */
#include "study.h"
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
static void measure_rate(double rate[2], Study *study)
{
    enum { BURSTS = 6, ROWS = 512 };
    const Config *c = &study->model.config;
    int rows = study->work.max_tokens < ROWS ? study->work.max_tokens : ROWS;
    size_t F = (size_t)c->F, C = (size_t)c->C, N = (size_t)rows;
    const Device *device = study->backend.device;
    float *weight = device->alloc(F * C * sizeof *weight), *x = device->alloc(N * C * sizeof *x),
          *out = device->alloc(N * F * sizeof *out);
    Error ignored; /* an op that fails here fails in the run */
    /* the plan may have no product as large */
    backend_reserve(&study->backend, matmul_scratch(N, F, C));
    rate[0] = INFINITY;
    rate[1] = 0;
    for (int burst = -1; burst < BURSTS; burst++) { /* the first touches the memory */
        double begin = clock_seconds(), now;
        int calls = 0;
        do {
            study->backend.ops.matmul_forward(&study->backend.ctx, out, x, (Weight){.f32 = weight},
                                              NULL, rows, c->C, c->F);
            calls++;
            (void)backend_wait(&study->backend, &ignored);
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
}

static double tokens_of(const Encoded *encoded)
{
    size_t sequences = (size_t)encoded->dataset->count * (size_t)encoded->choices;
    return (double)(encoded->start[sequences] - encoded->start[0]);
}

/* Steps from one evaluation to the next; 0: the last alone. */
static long steps_between(const Study *study)
{
    const char *every = study->options->eval_every;
    return (option_in_steps(every) ? 1L : study->steps_per_epoch) * option_count(every);
}

int study_evaluations(const Study *study)
{
    long every = steps_between(study);
    return every && study->steps ? (int)((study->steps - 1) / every) + 1 : 1;
}

int study_evaluates(const Study *study, int step)
{
    long every = steps_between(study);
    return step == study->steps || (every && step % every == 0);
}

int study_estimate(Study *study, double seconds[2])
{
    const Model *m = &study->model;
    const Config *c = &m->config;
    int threads = study->backend.ctx.threads, cores = threads_available(),
        language = study->task->kind == KIND_LANGUAGE;
    double rate[2];
    if (share_of_cores(threads < cores ? threads : cores) < CALM) {
        return 0;
    }
    measure_rate(rate, study);
    if (rate[1] > 1.6 * rate[0]) {
        return 0;
    }
    double passes = (m->lora.targets ? 2.0 : 3.0) + (study->work.recompute ? 1.0 : 0.0),
           tokens = passes * (double)study->tokens +
                    study_evaluations(study) * tokens_of(&study->dev_ids),
           length = tokens_of(&study->train_ids) /
                    ((double)study->train.count * study->train_ids.choices);
    /* The last layer computes keys and values for all tokens, the rest for one of each sequence. */
    double layers = language ? c->L : c->L - 0.8, embeddings = (double)c->V * c->C,
           matrices = ((double)model_counts(m).all - embeddings) * layers / c->L;
    if (language) {
        matrices += embeddings * (c->tied ? 4.0 : 1.0) / 3.0; /* the logits are computed twice */
    }
    /* Ops of a nanosecond a value that are too short for all threads run on fewer. */
    double team = fmin(threads, fmax(1.0, (double)study->work.max_tokens * c->C / PACE_GRAIN));
    /* Products, each weight once for a token and attention's over whole sequences; everything that
     * is no product, at 2.2 ns for one of the 10 C + 2 F values of a layer; the optimizer's pass
     * over 7 arrays at 10 GB/s. The constants are from docs/BENCH.md. */
    double products = tokens * (2.0 * matrices + 4.0 * layers * c->C * length),
           others = tokens * layers * (10.0 * c->C + 2.0 * c->F) * 2.2e-9 / team +
                    (double)study->steps * 28.0 * (double)m->params.trained / 1e10;
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
