/* CUDA twins of optimizer.c, bit for bit. */
#include "cuda.cuh"

enum { WARPS = 8, THREADS = WARPS * LANES }; /* of a block */

/* A warp owns a group of SUM_GROUP floats: its 32 lanes are those of the definition, chains of 128.
 * Reads 4 n bytes and is bound by them: 0.5 ms for 355 M floats on an H100 (computed). */
static __global__ void __launch_bounds__(THREADS)
    square_groups(float *partial, const float *x, size_t n)
{
    size_t group = (size_t)blockIdx.x * WARPS + threadIdx.x / LANES, first = group * SUM_GROUP;
    if (first >= n) {
        return; /* the whole warp */
    }
    int count = n - first < SUM_GROUP ? (int)(n - first) : SUM_GROUP;
    float squares = 0.0f;
#pragma unroll 8
    for (int i = (int)threadIdx.x % LANES; i < count; i += LANES) {
        float value = x[first + (size_t)i];
        squares = fmaf(value, value, squares);
    }
    squares = warp_sum(squares);
    if (threadIdx.x % LANES == 0) {
        partial[group] = squares;
    }
}

void KERNEL(sum_squares)(Context *ctx, float *partial, const float *x, size_t n)
{
    unsigned blocks = blocks_for(n, (size_t)WARPS * SUM_GROUP);
    square_groups<<<blocks, THREADS, 0, stream_of(ctx)>>>(partial, x, n);
}

/* One block: its threads are the 1,024 lanes of the definition, in double, and combine by its tree.
 * n / 1024 additions deep: 85 for 355 M parameters. */
enum { NORM_LANES = 1024 };
static __global__ void __launch_bounds__(NORM_LANES)
    norm_of_groups(StepSums *sums, const float *partial, size_t n, double clip)
{
    __shared__ double lane[NORM_LANES];
    double sum = 0.0;
    for (size_t i = threadIdx.x; i < n; i += NORM_LANES) {
        sum += (double)partial[i];
    }
    lane[threadIdx.x] = sum;
    block_sum<double, NORM_LANES>(lane);
    if (threadIdx.x == 0) {
        double norm = sqrt(lane[0]), scale = clip > 0.0 ? clip / (norm + 1e-6) : 1.0;
        sums->norm = norm;
        sums->gradient_scale = (float)(scale < 1.0 ? scale : 1.0);
        sums->finite = isfinite(norm) && isfinite(sums->loss);
    }
}

void KERNEL(gradient_norm)(Context *ctx, StepSums *sums, const float *partial, size_t n,
                           double clip)
{
    norm_of_groups<<<1, NORM_LANES, 0, stream_of(ctx)>>>(sums, partial, n, clip);
}

/* One launch over the arena, a thread 4 elements, which may lie in both segments. Reads 16 bytes
 * and writes 16 an element and is bound by them: 3.9 ms for 355 M on an H100 (computed). */
static __global__ void __launch_bounds__(THREADS)
    adamw_pieces(float *parameter, float *m, float *v, float *gradient, const StepSums *sums,
                 AdamW step, size_t n, int wide)
{
    size_t first = ((size_t)blockIdx.x * THREADS + threadIdx.x) * FOUR;
    if (first >= n || !sums->finite) {
        return;
    }
    int count = four_count(first, n);
    float scale = sums->gradient_scale, p[FOUR], m1[FOUR], v1[FOUR], g[FOUR];
    four_get(p, parameter + first, count, wide);
    four_get(m1, m + first, count, wide);
    four_get(v1, v + first, count, wide);
    four_get(g, gradient + first, count, wide);
#pragma unroll
    for (int i = 0; i < FOUR; i++) {
        float shrink = first + (size_t)i < step.segment[0].end ? step.segment[0].shrink
                                                               : step.segment[1].shrink;
        g[i] *= scale;
        m1[i] = fmaf(step.beta1_rest, g[i] - m1[i], m1[i]);
        v1[i] = fmaf(step.beta2_rest * g[i], g[i], v1[i] * step.beta2);
        p[i] = fmaf(p[i], shrink,
                    -(step.rate * m1[i] / (sqrtf(v1[i]) / step.correction + step.eps)));
        g[i] = 0.0f;
    }
    four_put(parameter + first, p, count, wide);
    four_put(m + first, m1, count, wide);
    four_put(v + first, v1, count, wide);
    four_put(gradient + first, g, count, wide);
}

void KERNEL(adamw)(Context *ctx, float *parameter, float *m, float *v, float *gradient,
                   const StepSums *sums, const AdamW *step)
{
    size_t n = adamw_size(step);
    int wide = aligned(parameter) && aligned(m) && aligned(v) && aligned(gradient);
    if (step->hashes > 1) {
        KERNEL(hash)(ctx, step->hash + 1, gradient, NULL, 1, n, n, 0);
    }
    adamw_pieces<<<blocks_for(n, (size_t)THREADS * FOUR), THREADS, 0, stream_of(ctx)>>>(
        parameter, m, v, gradient, sums, *step, n, wide);
    const float *made[4] = {parameter, NULL, m, v};
    for (int k = 0; k < step->hashes; k++) {
        if (made[k]) {
            KERNEL(hash)(ctx, step->hash + k, made[k], NULL, 1, n, n, 0);
        }
    }
}
