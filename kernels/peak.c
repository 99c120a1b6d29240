#include "peak.h"
#include "base.h"

#include <omp.h>

/* Twelve independent chains hide the latency of every known machine (5 cycles, 2 a cycle) and, with
 * their two factors, stay in AVX2's sixteen registers: a spilled chain would measure the store. */
enum { CHAINS = 12, ROUNDS = 1 << 15 };
#define PEAK(name, target_, vector_bytes)                                                          \
    __attribute__((target(target_), noinline)) static double name(float seed)                      \
    {                                                                                              \
        typedef float V __attribute__((vector_size(vector_bytes)));                                \
        V sum[CHAINS], a, b;                                                                       \
        for (size_t l = 0; l < sizeof(V) / 4; l++) {                                               \
            a[l] = 0.999f + seed;                                                                  \
            b[l] = 0.001f + seed;                                                                  \
        }                                                                                          \
        _Pragma("GCC unroll 16") for (int i = 0; i < CHAINS; i++)                                  \
        {                                                                                          \
            sum[i] = b * (float)i;                                                                 \
        }                                                                                          \
        for (int r = 0; r < ROUNDS; r++) {                                                         \
            _Pragma("GCC unroll 16") for (int i = 0; i < CHAINS; i++)                              \
            {                                                                                      \
                FMA_##name(sum[i], a, b);                                                          \
            }                                                                                      \
        }                                                                                          \
        _Pragma("GCC unroll 16") for (int i = 1; i < CHAINS; i++)                                  \
        {                                                                                          \
            sum[0] += sum[i];                                                                      \
        }                                                                                          \
        volatile float sink = sum[0][0];                                                           \
        (void)sink;                                                                                \
        return 2.0 * CHAINS * ROUNDS * (double)(sizeof(V) / 4);                                    \
    }
#if defined(__x86_64__)
#define FMA_peak512(c, x, y) __asm__("vfmadd231ps %1, %2, %0" : "+v"(c) : "v"(x), "v"(y))
#define FMA_peak256(c, x, y) __asm__("vfmadd231ps %1, %2, %0" : "+x"(c) : "x"(x), "x"(y))
PEAK(peak512, "avx512f", 64)
PEAK(peak256, "avx2,fma", 32)
#endif

double peak_flops(int threads)
{
    double best = 0.0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    double (*loop)(float) = __builtin_cpu_supports("avx512f") ? peak512
                            : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
                                ? peak256
                                : NULL;
    for (int run = 0; loop && run < 5; run++) {
        double flops = 0.0, start = 0.0, end = 0.0;
#pragma omp parallel num_threads(threads) reduction(+ : flops)
        {
            loop(0.0f); /* wake up */
#pragma omp barrier
#pragma omp master
            start = clock_seconds();
            for (int i = 0; i < 20; i++) {
                flops += loop(0.0f);
            }
#pragma omp barrier
#pragma omp master
            end = clock_seconds();
        }
        double rate = flops / (end - start);
        best = rate > best ? rate : best;
    }
#else
    (void)threads;
#endif
    return best;
}
