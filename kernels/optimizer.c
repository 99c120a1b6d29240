/* What a step does with its gradients: their norm, then AdamW. */
#include "hash.h"
#include "rows.h"

void KERNEL(sum_squares)(Context *ctx, float *partial, const float *x, size_t n)
{
#pragma omp parallel for schedule(static) num_threads(threads_for(ctx, n / 8))
    for (size_t group = 0; group < (n + SUM_GROUP - 1) / SUM_GROUP; group++) {
        const float *x_g = x + group * SUM_GROUP;
        size_t count = n - group * SUM_GROUP < SUM_GROUP ? n - group * SUM_GROUP : SUM_GROUP;
        partial[group] = row_dot(x_g, x_g, count);
    }
}

static void norm_finish(StepSums *sums, double squares, double clip)
{
    /* torch.nn.utils.clip_grad_norm_: min(1, clip / (norm + 1e-6)) */
    double norm = sqrt(squares), scale = clip > 0.0 ? clip / (norm + 1e-6) : 1.0;
    sums->norm = norm;
    sums->gradient_scale = (float)(scale < 1.0 ? scale : 1.0);
    sums->finite = isfinite(norm) && isfinite(sums->loss);
}

void KERNEL(gradient_norm)(Context *ctx, StepSums *sums, const float *partial, size_t n,
                           double clip)
{
    enum { WIDE_LANES = 1024 };
    double lane[WIDE_LANES] = {0};
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        lane[i % WIDE_LANES] += (double)partial[i];
    }
    for (int half = WIDE_LANES / 2; half > 0; half /= 2) {
        for (int l = 0; l < half; l++) {
            lane[l] += lane[l + half];
        }
    }
    norm_finish(sums, lane[0], clip);
}

static inline void adamw_element(float *parameter, float *m, float *v, float *gradient,
                                 const AdamW *step, float gradient_scale, float shrink)
{
    float g = *gradient * gradient_scale;
    float first = fmaf(step->beta1_rest, g - *m, *m);
    float second = fmaf(step->beta2_rest * g, g, *v * step->beta2);
    *gradient = 0.0f;
    *m = first;
    *v = second;
    *parameter = fmaf(*parameter, shrink,
                      -(step->rate * first / (sqrtf(second) / step->correction + step->eps)));
}

static inline void adamw_element_double(float *parameter, float *m, float *v, float *gradient,
                                        const AdamW *step, float gradient_scale, float shrink)
{
    double g = (double)*gradient * (double)gradient_scale;
    double first = (double)*m + (double)step->beta1_rest * (g - (double)*m);
    double second = (double)*v * (double)step->beta2 + (double)step->beta2_rest * g * g;
    double move = first / (sqrt(second) / (double)step->correction + (double)step->eps);
    *gradient = 0.0f;
    *m = (float)first;
    *v = (float)second;
    *parameter = (float)((double)*parameter * (double)shrink - (double)step->rate * move);
}

/* Of a chunk of an array. */
static uint64_t chunk_hash(const float *x, size_t begin, size_t end, const uint64_t key[LANES])
{
    uint64_t sum = 0;
    for (size_t at = begin; at < end; at += HASH_BLOCK) {
        size_t left = end - at;
        sum += KERNEL(block_hash)((const uint32_t *)(const void *)(x + at),
                                  left < HASH_BLOCK ? left : HASH_BLOCK, at / HASH_BLOCK, key);
    }
    return sum;
}
_Static_assert(CHUNK % HASH_BLOCK == 0, "a block lies in one chunk");

/* The op; float64: the variant of that name. */
static void update(Context *ctx, float *parameter, float *m, float *v, float *gradient,
                   const StepSums *sums, const AdamW *step, int float64)
{
    AdamW a = *step; /* copies that no store can alias */
    float scale = sums->gradient_scale;
    int moves = sums->finite;
    uint64_t key[LANES], sum[4] = {0};
    for (size_t j = 0; j < LANES; j++) {
        key[j] = hash_key(j);
    }
    for (size_t s = 0, first = 0; s < (size_t)a.segments; s++) {
        size_t n = a.segment[s].end - first;
        float *p = parameter + first, *m1 = m + first, *v1 = v + first, *g = gradient + first,
              shrink = a.segment[s].shrink;
        int team = threads_for(ctx, n / 2);
#pragma omp parallel for schedule(static) reduction(+ : sum[:4]) num_threads(team)
        for (size_t begin = 0; begin < n; begin += CHUNK) {
            size_t end = n - begin < CHUNK ? n : begin + CHUNK, last = moves ? end : begin;
            sum[1] += a.hashes > 1 ? chunk_hash(g, begin, end, key) : 0;
            if (float64) {
#pragma omp simd
                for (size_t i = begin; i < last; i++) {
                    adamw_element_double(p + i, m1 + i, v1 + i, g + i, &a, scale, shrink);
                }
            } else {
#pragma omp simd
                for (size_t i = begin; i < last; i++) {
                    adamw_element(p + i, m1 + i, v1 + i, g + i, &a, scale, shrink);
                }
            }
            sum[0] += a.hashes > 0 ? chunk_hash(p, begin, end, key) : 0;
            sum[2] += a.hashes > 1 ? chunk_hash(m1, begin, end, key) : 0;
            sum[3] += a.hashes > 1 ? chunk_hash(v1, begin, end, key) : 0;
        }
        first += n;
    }
    for (int k = 0; k < a.hashes; k++) {
        a.hash[k] += sum[k];
    }
}

void KERNEL(adamw)(Context *ctx, float *parameter, float *m, float *v, float *gradient,
                   const StepSums *sums, const AdamW *step)
{
    update(ctx, parameter, m, v, gradient, sums, step, 0);
}

/* --- variants --- */

void KERNEL(sum_squares_float64)(Context *ctx, float *partial, const float *x, size_t n)
{
#pragma omp parallel for schedule(static) num_threads(ctx->threads)
    for (size_t group = 0; group < (n + SUM_GROUP - 1) / SUM_GROUP; group++) {
        size_t count = n - group * SUM_GROUP < SUM_GROUP ? n - group * SUM_GROUP : SUM_GROUP;
        partial[group] = dot_double(0.0, x + group * SUM_GROUP, 1, x + group * SUM_GROUP, 1, count);
    }
}

void KERNEL(gradient_norm_chain)(Context *ctx, StepSums *sums, const float *partial, size_t n,
                                 double clip)
{
    double squares = 0.0;
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        squares += (double)partial[i];
    }
    norm_finish(sums, squares, clip);
}

void KERNEL(adamw_float64)(Context *ctx, float *parameter, float *m, float *v, float *gradient,
                           const StepSums *sums, const AdamW *step)
{
    update(ctx, parameter, m, v, gradient, sums, step, 1);
}
