/* What peak.h says, of a GPU: float32 fma in registers. The emulator has none. */
#include "cuda.cuh"

extern "C" {
#include "base.h"
#include "peak.h"
}

/* 8 chains a thread hide the latency of an fma, 4 cycles, with the 8 warps of a scheduler. */
enum { CHAINS = 8, ROUNDS = 4096, BLOCK = 1024, LAUNCHES = 8, RUNS = 5 };

static __global__ void __launch_bounds__(BLOCK) multiply_add(float *out, float a, float b)
{
    float sum[CHAINS];
#pragma unroll
    for (int i = 0; i < CHAINS; i++) {
        sum[i] = b * (float)i;
    }
    for (int r = 0; r < ROUNDS; r++) {
#pragma unroll
        for (int i = 0; i < CHAINS; i++) {
            sum[i] = fmaf(sum[i], a, b);
        }
    }
#pragma unroll
    for (int i = 1; i < CHAINS; i++) {
        sum[0] += sum[i];
    }
    if (sum[0] == 1e30f) { /* never, which the compiler does not know */
        *out = sum[0];
    }
}

double KERNEL(peak_flops)(const Context *ctx)
{
    unsigned blocks = 2 * (unsigned)ctx->multiprocessors;
    double best = 0.0, flops = 2.0 * CHAINS * ROUNDS * BLOCK * blocks * LAUNCHES;
    for (int run = 0; run <= RUNS; run++) { /* the first wakes the device up */
        double start = clock_seconds();
        for (int i = 0; i < LAUNCHES; i++) {
            multiply_add<<<blocks, BLOCK, 0, stream_of(ctx)>>>(ctx->scratch, 0.999f, 0.001f);
        }
        if (cudaStreamSynchronize(stream_of(ctx)) != cudaSuccess) {
            return 0.0;
        }
        double rate = flops / (clock_seconds() - start);
        best = run && rate > best ? rate : best;
    }
    return best;
}
