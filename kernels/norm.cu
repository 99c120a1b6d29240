/* CUDA twins of norm.c, bit for bit. A warp owns a row: its 32 lanes are the 32 lanes of the
 * definition, and shuffles add them up in the definition's tree, so no other grid or block can
 * change a sum. A lane holds SLAB channels at a time, all loads of which are under way at once: a
 * row of at most 1,024 channels is read once and stays in registers, a longer one is read again for
 * each pass, out of the cache. */
#include "tokens.cuh"

enum { WARPS = 8, SLAB = 32 };

/* v[i] = row[c0 + 32 i], for those i that the row has. */
static __device__ __forceinline__ void slab_read(float v[SLAB], const float *row, int c0, int C)
{
#pragma unroll
    for (int i = 0; i < SLAB; i++) {
        int c = c0 + LANES * i;
        v[i] = c < C ? row[c] : 0.0f;
    }
}

static __device__ __forceinline__ void slab_write(float *row, const float v[SLAB], int c0, int C)
{
#pragma unroll
    for (int i = 0; i < SLAB; i++) {
        int c = c0 + LANES * i;
        if (c < C) {
            row[c] = v[i];
        }
    }
}

/* The four forward ops: of x, or of sum = residual + x if there is a residual; mean and bias NULL:
 * RMSNorm.
 *
 *     m = lanes(x) / C, r = 1 / sqrt(lanes((x - m)^2) / C + eps); RMSNorm: m = 0
 *     out = fma((x - m) r, weight, bias) or x r weight
 *
 * Reads x, residual, writes sum, out: 8 or 16 bytes for 8 or 9 FLOPs; memory bounds it. */
static __global__ void __launch_bounds__(WARPS *LANES)
    norm_rows(float *out, float *sum, float *mean, float *rstd, const float *residual,
              const float *x, const float *weight, const float *bias, int N, int C, float eps)
{
    int lane = (int)threadIdx.x % LANES, n = (int)(blockIdx.x * WARPS + threadIdx.x / LANES);
    if (n >= N) {
        return; /* the whole warp */
    }
    size_t row = (size_t)n * (size_t)C;
    const float *x_n = residual ? sum + row : x + row; /* of the later passes */
    int kept = C <= SLAB * LANES;
    float v[SLAB], other[SLAB], total = 0.0f, squares = 0.0f, m = 0.0f;
    for (int c0 = lane; c0 < C; c0 += SLAB * LANES) {
        slab_read(v, x + row, c0, C);
        if (residual) {
            slab_read(other, residual + row, c0, C);
#pragma unroll
            for (int i = 0; i < SLAB; i++) {
                v[i] = other[i] + v[i];
            }
            slab_write(sum + row, v, c0, C);
        }
#pragma unroll
        for (int i = 0; i < SLAB; i++) {
            total = c0 + LANES * i < C ? total + v[i] : total;
        }
    }
    if (mean) {
        m = warp_sum(total) / (float)C;
    }
    for (int c0 = lane; c0 < C; c0 += SLAB * LANES) {
        if (!kept) {
            slab_read(v, x_n, c0, C);
        }
#pragma unroll
        for (int i = 0; i < SLAB; i++) {
            float d = v[i] - m;
            squares = c0 + LANES * i < C ? fmaf(d, d, squares) : squares;
        }
    }
    float r = 1.0f / sqrtf(warp_sum(squares) / (float)C + eps);
    for (int c0 = lane; c0 < C; c0 += SLAB * LANES) {
        if (!kept) {
            slab_read(v, x_n, c0, C);
        }
        slab_read(other, weight, c0, C);
        if (bias) {
            float shift[SLAB];
            slab_read(shift, bias, c0, C);
#pragma unroll
            for (int i = 0; i < SLAB; i++) {
                v[i] = fmaf((v[i] - m) * r, other[i], shift[i]);
            }
        } else {
#pragma unroll
            for (int i = 0; i < SLAB; i++) {
                v[i] = v[i] * r * other[i];
            }
        }
        slab_write(out + row, v, c0, C);
    }
    if (lane == 0) {
        rstd[n] = r;
        if (mean) {
            mean[n] = m;
        }
    }
}

static void forward(Context *ctx, float *out, float *sum, float *mean, float *rstd,
                    const float *residual, const float *x, const float *weight, const float *bias,
                    int N, int C, float eps)
{
    norm_rows<<<blocks_for((size_t)N, WARPS), WARPS * LANES, 0, stream_of(ctx)>>>(
        out, sum, mean, rstd, residual, x, weight, bias, N, C, eps);
}

void KERNEL(layernorm_forward)(Context *ctx, float *out, float *mean, float *rstd, const float *x,
                               const float *weight, const float *bias, int N, int C, float eps)
{
    forward(ctx, out, NULL, mean, rstd, NULL, x, weight, bias, N, C, eps);
}

void KERNEL(residual_layernorm_forward)(Context *ctx, float *out, float *sum, float *mean,
                                        float *rstd, const float *residual, const float *x,
                                        const float *weight, const float *bias, int N, int C,
                                        float eps)
{
    forward(ctx, out, sum, mean, rstd, residual, x, weight, bias, N, C, eps);
}

void KERNEL(rmsnorm_forward)(Context *ctx, float *out, float *rstd, const float *x,
                             const float *weight, int N, int C, float eps)
{
    forward(ctx, out, NULL, NULL, rstd, NULL, x, weight, NULL, N, C, eps);
}

void KERNEL(residual_rmsnorm_forward)(Context *ctx, float *out, float *sum, float *rstd,
                                      const float *residual, const float *x, const float *weight,
                                      int N, int C, float eps)
{
    forward(ctx, out, sum, NULL, rstd, residual, x, weight, NULL, N, C, eps);
}

/* g = dout weight and xhat = (x - m) r, a slab of each. */
static __device__ __forceinline__ void slab_terms(float g[SLAB], float xhat[SLAB],
                                                  const float *dout, const float *x,
                                                  const float *weight, float m, float r, int c0,
                                                  int C)
{
    float w[SLAB];
    slab_read(g, dout, c0, C);
    slab_read(xhat, x, c0, C);
    slab_read(w, weight, c0, C);
#pragma unroll
    for (int i = 0; i < SLAB; i++) {
        g[i] = g[i] * w[i];
        xhat[i] = (xhat[i] - m) * r;
    }
}

/* dx of both backward ops; mean NULL: RMSNorm.
 *
 *     dx = r fma(-xhat, lanes(g xhat) / C, g - lanes(g) / C); RMSNorm: without lanes(g)
 *
 * dx may be dout: a lane has read the channels of a slab before it writes them. Reads dout and x,
 * writes dx: 12 bytes for 10 FLOPs; memory bounds it. */
static __global__ void __launch_bounds__(WARPS *LANES)
    norm_rows_backward(float *dx, const float *dout, const float *x, const float *mean,
                       const float *rstd, const float *weight, int N, int C)
{
    int lane = (int)threadIdx.x % LANES, n = (int)(blockIdx.x * WARPS + threadIdx.x / LANES);
    if (n >= N) {
        return; /* the whole warp */
    }
    size_t row = (size_t)n * (size_t)C;
    int kept = C <= SLAB * LANES;
    float g[SLAB], xhat[SLAB], sum = 0.0f, dot = 0.0f;
    float m = mean ? mean[n] : 0.0f, r = rstd[n]; /* x - 0 is x */
    for (int c0 = lane; c0 < C; c0 += SLAB * LANES) {
        slab_terms(g, xhat, dout + row, x + row, weight, m, r, c0, C);
#pragma unroll
        for (int i = 0; i < SLAB; i++) {
            sum = c0 + LANES * i < C ? sum + g[i] : sum;
            dot = c0 + LANES * i < C ? fmaf(g[i], xhat[i], dot) : dot;
        }
    }
    float g_mean = mean ? warp_sum(sum) / (float)C : 0.0f, gx_mean = warp_sum(dot) / (float)C;
    for (int c0 = lane; c0 < C; c0 += SLAB * LANES) {
        if (!kept) {
            slab_terms(g, xhat, dout + row, x + row, weight, m, r, c0, C);
        }
#pragma unroll
        for (int i = 0; i < SLAB; i++) {
            g[i] = r * fmaf(-xhat[i], gx_mean, g[i] - g_mean);
        }
        slab_write(dx + row, g, c0, C);
    }
}

static void backward_rows(Context *ctx, float *dx, const float *dout, const float *x,
                          const float *mean, const float *rstd, const float *weight, int N, int C)
{
    norm_rows_backward<<<blocks_for((size_t)N, WARPS), WARPS * LANES, 0, stream_of(ctx)>>>(
        dx, dout, x, mean, rstd, weight, N, C);
}

/* dweight and dbias come before dx, which may be dout. */
static void backward(Context *ctx, float *dx, float *dweight, float *dbias, const float *dout,
                     const float *x, const float *mean, const float *rstd, const float *weight,
                     const int *cu_seqlens, int B, int N, int C)
{
    if (dweight) {
        add_token_sums(ctx, dweight, dbias, dout, x, mean, rstd, cu_seqlens, B, N, C);
    }
    backward_rows(ctx, dx, dout, x, mean, rstd, weight, N, C);
}

void KERNEL(layernorm_backward)(Context *ctx, float *dx, float *dweight, float *dbias,
                                const float *dout, const float *x, const float *mean,
                                const float *rstd, const float *weight, const int *cu_seqlens,
                                int B, int N, int C)
{
    backward(ctx, dx, dweight, dbias, dout, x, mean, rstd, weight, cu_seqlens, B, N, C);
}

void KERNEL(rmsnorm_backward)(Context *ctx, float *dx, float *dweight, const float *dout,
                              const float *x, const float *rstd, const float *weight,
                              const int *cu_seqlens, int B, int N, int C)
{
    backward(ctx, dx, dweight, NULL, dout, x, NULL, rstd, weight, cu_seqlens, B, N, C);
}

/* --- variants --- */

/* As backward, the sums over tokens by atomics. */
static void backward_atomic(Context *ctx, float *dx, float *dweight, float *dbias,
                            const float *dout, const float *x, const float *mean, const float *rstd,
                            const float *weight, int N, int C)
{
    if (dweight) {
        add_atomic_sums(ctx, dweight, dbias, dout, x, mean, rstd, N, C);
    }
    backward_rows(ctx, dx, dout, x, mean, rstd, weight, N, C);
}

void KERNEL(layernorm_backward_atomic)(Context *ctx, float *dx, float *dweight, float *dbias,
                                       const float *dout, const float *x, const float *mean,
                                       const float *rstd, const float *weight,
                                       const int *cu_seqlens, int B, int N, int C)
{
    (void)cu_seqlens, (void)B;
    backward_atomic(ctx, dx, dweight, dbias, dout, x, mean, rstd, weight, N, C);
}

void KERNEL(rmsnorm_backward_atomic)(Context *ctx, float *dx, float *dweight, const float *dout,
                                     const float *x, const float *rstd, const float *weight,
                                     const int *cu_seqlens, int B, int N, int C)
{
    (void)cu_seqlens, (void)B;
    backward_atomic(ctx, dx, dweight, NULL, dout, x, NULL, rstd, weight, N, C);
}
