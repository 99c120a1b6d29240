/* The CUDA twin of rope.c, bit for bit. */
#include "cuda.cuh"

enum { THREADS = 256 };

/* a' = fma(-b, t, a cos), b' = fma(a, t, b cos), t = sign sin, of the channels i and i + D / 2 of a
 * head, by the angle of (position, i). A block owns a row of H heads and a thread its pairs.
 *
 * Reads and writes x, reads the row's angles once for all heads: 8 bytes an element for 3 FLOPs;
 * memory bounds it. */
static __global__ void __launch_bounds__(THREADS)
    rotate(float *x, const int *positions, const float *cosine, const float *sine, int H, int D,
           int stride, float sign)
{
    size_t n = blockIdx.x, half = (size_t)D / 2, angle = (size_t)positions[n] * half;
    float *x_n = x + n * (size_t)stride;
    for (unsigned pair = threadIdx.x; pair < (unsigned)H * (unsigned)half; pair += THREADS) {
        unsigned head = pair / (unsigned)half, i = pair % (unsigned)half;
        float *a = x_n + (size_t)head * (size_t)D + i, *b = a + half;
        float p = *a, q = *b, c = cosine[angle + i], turn = sign * sine[angle + i];
        *a = fmaf(-q, turn, p * c);
        *b = fmaf(p, turn, q * c);
    }
}

void KERNEL(rope)(Context *ctx, float *x, const int *positions, const float *cosine,
                  const float *sine, int N, int H, int D, int stride, int direction)
{
    if (N > 0) {
        rotate<<<(unsigned)N, THREADS, 0, stream_of(ctx)>>>(x, positions, cosine, sine, H, D,
                                                            stride, direction < 0 ? -1.0f : 1.0f);
    }
}
