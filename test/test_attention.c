/* How far attention is off, by its definition and by the one that it replaced: both against
 * float64, as a table for docs/BENCH.md. The former definition, here as plain loops: out = chain of
 * p v with p = e r rounded; the row mean of the gradient = lanes over the keys of p dp. */
#include "backend.h"
#include "check.h"
#include "ops_reference.h"

#include <stdlib.h>
#include <string.h>

enum { HEADS = 2, TENSORS = 4 };

/* One sequence of HEADS heads; out, dq, dk, dv [T, H D]. */
typedef struct Sizes {
    int T, D, causal;
    float p, spread; /* of dropout; about the standard deviation of the scores */
} Sizes;

typedef struct Inputs {
    Sizes size;
    float scale;
    DropoutSite dropout;
    float *q, *k, *v, *dout; /* [T, H D] */
} Inputs;

static size_t values(const Sizes *s)
{
    return (size_t)s->T * HEADS * (size_t)s->D;
}

/* What a definition gives: out, dq, dk, dv. */
typedef struct Results {
    double *tensor[TENSORS];
} Results;

static Results results_new(const Sizes *s)
{
    Results r;
    for (int t = 0; t < TENSORS; t++) {
        r.tensor[t] = memory_calloc(values(s), sizeof(double));
    }
    return r;
}

static void results_free(Results *r)
{
    for (int t = 0; t < TENSORS; t++) {
        free(r->tensor[t]);
    }
}

static size_t row_at(const Inputs *in, int row, int head)
{
    return ((size_t)row * HEADS + (size_t)head) * (size_t)in->size.D;
}

static int seen(const Inputs *in, int i)
{
    return in->size.causal ? i + 1 : in->size.T;
}

/* Both definitions as formulas, everything in double. */
static Results in_double(const Inputs *in)
{
    Results r = results_new(&in->size);
    size_t T = (size_t)in->size.T, D = (size_t)in->size.D;
    double *p = memory_calloc(2 * T, sizeof *p), *dp = p + T;
    for (int task = 0; task < HEADS * in->size.T; task++) {
        int h = task % HEADS, i = task / HEADS, n = seen(in, i);
        const float *q = in->q + row_at(in, i, h), *dout = in->dout + row_at(in, i, h);
        double *out = r.tensor[0] + row_at(in, i, h), *dq = r.tensor[1] + row_at(in, i, h);
        double max = -INFINITY, sum = 0, mean = 0;
        for (int j = 0; j < n; j++) {
            const float *k = in->k + row_at(in, j, h), *v = in->v + row_at(in, j, h);
            p[j] = dp[j] = 0;
            for (size_t d = 0; d < D; d++) {
                p[j] += (double)in->scale * (double)q[d] * (double)k[d];
                dp[j] += (double)dout[d] * (double)v[d];
            }
            max = fmax(max, p[j]);
        }
        for (int j = 0; j < n; j++) {
            p[j] = exp(p[j] - max);
            sum += p[j];
        }
        for (int j = 0; j < n; j++) {
            double kept = (double)dropped(1.0f, &in->dropout, (size_t)j, i, h, 0);
            p[j] /= sum;
            dp[j] *= kept;
            mean += p[j] * dp[j];
        }
        for (int j = 0; j < n; j++) {
            const float *k = in->k + row_at(in, j, h), *v = in->v + row_at(in, j, h);
            double *dk = r.tensor[2] + row_at(in, j, h), *dv = r.tensor[3] + row_at(in, j, h);
            double ds = (double)in->scale * p[j] * (dp[j] - mean),
                   kept = p[j] * (double)dropped(1.0f, &in->dropout, (size_t)j, i, h, 0);
            for (size_t d = 0; d < D; d++) {
                out[d] += kept * (double)v[d];
                dq[d] += ds * (double)k[d];
                dk[d] += ds * (double)q[d];
                dv[d] += kept * (double)dout[d];
            }
        }
    }
    free(p);
    return r;
}

/* The former definition in float32. Sums are kept in the tensors of double, as the floats they
 * are. */
static Results former(const Inputs *in)
{
    Results r = results_new(&in->size);
    size_t T = (size_t)in->size.T, D = (size_t)in->size.D;
    float *p = memory_calloc(2 * T, sizeof *p), *dp = p + T;
#define ADD(sum, a, b) sum = (double)fmaf(a, b, (float)(sum))
    for (int task = 0; task < HEADS * in->size.T; task++) {
        int h = task % HEADS, i = task / HEADS, n = seen(in, i);
        const float *q = in->q + row_at(in, i, h), *dout = in->dout + row_at(in, i, h);
        double *out = r.tensor[0] + row_at(in, i, h), *dq = r.tensor[1] + row_at(in, i, h);
        float max = -INFINITY;
        Lanes sum = {{0}}, mean = {{0}};
        for (int j = 0; j < n; j++) {
            const float *k = in->k + row_at(in, j, h), *v = in->v + row_at(in, j, h);
            p[j] = dp[j] = 0.0f;
            for (size_t d = 0; d < D; d++) {
                p[j] = fmaf(q[d], k[d], p[j]);
                dp[j] = fmaf(dout[d], v[d], dp[j]);
            }
            p[j] *= in->scale;
            max = p[j] > max ? p[j] : max;
        }
        for (int j = 0; j < n; j++) {
            p[j] = scalar_exp(p[j] - max);
            sum.lane[j % 32] += p[j];
        }
        float one_over = 1.0f / lanes_sum(sum);
        for (int j = 0; j < n; j++) {
            p[j] *= one_over;
            dp[j] = dropped(dp[j], &in->dropout, (size_t)j, i, h, 0);
            mean.lane[j % 32] = fmaf(p[j], dp[j], mean.lane[j % 32]);
        }
        float row_mean = lanes_sum(mean);
        for (int j = 0; j < n; j++) {
            const float *k = in->k + row_at(in, j, h), *v = in->v + row_at(in, j, h);
            double *dk = r.tensor[2] + row_at(in, j, h), *dv = r.tensor[3] + row_at(in, j, h);
            float ds = p[j] * (dp[j] - row_mean) * in->scale,
                  kept = dropped(p[j], &in->dropout, (size_t)j, i, h, 0);
            for (size_t d = 0; d < D; d++) {
                ADD(out[d], kept, v[d]);
                ADD(dq[d], ds, k[d]);
                ADD(dk[d], ds, q[d]);
                ADD(dv[d], kept, dout[d]);
            }
        }
    }
#undef ADD
    free(p);
    return r;
}

/* The ops of this machine's widest build. */
static Results present(const Inputs *in, Backend *backend)
{
    Results r = results_new(&in->size);
    size_t n = values(&in->size);
    int T = in->size.T, D = in->size.D;
    int cu[] = {0, T}, zero[] = {0};
    AttentionShape shape = {.B = 1,
                            .H = HEADS,
                            .K = HEADS,
                            .D = D,
                            .q_rows = T,
                            .k_rows = T,
                            .longest = T,
                            .causal = in->size.causal,
                            .scale = in->scale,
                            .cu_q = cu,
                            .cu_k = cu,
                            .q_position = zero,
                            .slot = zero,
                            .q_stride = HEADS * D,
                            .kv_stride = HEADS * D};
    float *memory = memory_calloc(TENSORS * n + 2 * HEADS * (size_t)T, sizeof *memory);
    float *out = memory, *dq = memory + n, *dk = memory + 2 * n, *dv = memory + 3 * n,
          *max = memory + 4 * n, *rsum = max + HEADS * T;
    backend_reserve(backend, attention_scratch(&shape, backend->ctx.threads));
    backend->ops.attention_forward(&backend->ctx, out, max, rsum, in->q, in->k, in->v, &shape,
                                   &in->dropout);
    backend->ops.attention_backward(&backend->ctx, dq, dk, dv, in->dout, in->q, in->k, in->v, out,
                                    max, rsum, &shape, &in->dropout);
    for (size_t i = 0; i < TENSORS * n; i++) {
        r.tensor[i / n][i % n] = (double)memory[i];
    }
    free(memory);
    return r;
}

/* Errors relative to the root mean square of the tensor, in 2^-24: root mean square and largest. */
typedef struct Errors {
    double rms, largest;
} Errors;

static Errors errors_of(const double *ours, const double *truth, size_t n)
{
    double squares = 0, size = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        double off = fabs(ours[i] - truth[i]);
        largest = off <= largest ? largest : off;
        squares += off * off;
        size += truth[i] * truth[i];
    }
    double unit = 0x1p-24 * sqrt(size / (double)n);
    return (Errors){sqrt(squares / (double)n) / unit, largest / unit};
}

static float *normals(const char *name, size_t n, float factor)
{
    float *x = memory_alloc(n, sizeof *x);
    uint64_t key = rng_key(1, name);
    for (size_t i = 0; i < n; i++) {
        x[i] = factor * rng_normal(key, i);
    }
    return x;
}

/* Where one key has nearly all the weight, the sum of p dp had the rounding of that dp and the two
 * went out in dp - mean; the dot of dout and out has roundings of its own. So dq and dk may be a
 * tenth worse; out and dv may not. Means of the cases, as ratios to the former definition. */
static const double most_rms[TENSORS] = {1.02, 1.12, 1.12, 1.02};

int main(void)
{
    static const int lengths[] = {64, 128, 512}, sizes[] = {64, 128, 64};
    static const float spreads[] = {1.0f, 1.0f, 8.0f}, rates[] = {0.0f, 0.1f, 0.0f};
    static const char *const names[TENSORS] = {"out", "dq", "dk", "dv"};
    enum { CASES = 18 };
    double ratio[TENSORS][2] = {{0}}; /* sums of the logarithms of present / former */
    Backend backend;
    Error error;
    CHECK(!backend_init(&backend, "cpu", "auto", 1, &error), "%s", error.text);
    printf("| T, D | causal | dropout | scores | out: rms, largest | dq | dk | dv |\n"
           "|---|---|---|---|---|---|---|---|\n");
    for (int c = 0; c < CASES; c++) {
        Inputs in = {.size = {.T = lengths[c / 6],
                              .D = sizes[c / 6],
                              .causal = c / 3 % 2,
                              .p = rates[c % 3],
                              .spread = spreads[c % 3]}};
        const Sizes *s = &in.size;
        size_t n = values(s);
        in.scale = 1.0f / sqrtf((float)s->D);
        in.dropout = (DropoutSite){.seed = 7, .step = 1, .site = 4, .p = s->p};
        in.q = normals("q", n, s->spread);
        in.k = normals("k", n, 1.0f);
        in.v = normals("v", n, 1.0f);
        in.dout = normals("dout", n, 1.0f);
        Results truth = in_double(&in), old = former(&in), ours = present(&in, &backend);
        printf("| %d, %d | %s | %.1f | %g |", s->T, s->D, s->causal ? "yes" : "no", (double)s->p,
               (double)s->spread);
        for (int t = 0; t < TENSORS; t++) {
            Errors was = errors_of(old.tensor[t], truth.tensor[t], n),
                   is = errors_of(ours.tensor[t], truth.tensor[t], n);
            printf(" %.1f -> %.1f, %.0f -> %.0f |", was.rms, is.rms, was.largest, is.largest);
            ratio[t][0] += log(is.rms / was.rms) / CASES;
            ratio[t][1] += log(is.largest / was.largest) / CASES;
        }
        printf("\n");
        results_free(&truth);
        results_free(&old);
        results_free(&ours);
        free(in.q);
        free(in.k);
        free(in.v);
        free(in.dout);
    }
    for (int t = 0; t < TENSORS; t++) {
        double rms = exp(ratio[t][0]), largest = exp(ratio[t][1]);
        printf("%s: present / former, geometric mean: rms %.3f, largest %.3f\n", names[t], rms,
               largest);
        CHECK(rms <= most_rms[t], "%s has become worse", names[t]);
    }
    backend_free(&backend);
    return checks_close("test_attention");
}
