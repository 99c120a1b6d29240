/* The twin of words.cu on the CPU, compiled for each instruction set. */
#include "words.h"

#define FUNCTION(name, value)                                                                      \
    static uint64_t name##_sum(uint32_t group)                                                     \
    {                                                                                              \
        uint64_t sum = 0;                                                                          \
        for (uint32_t k = 0; k < WORDS_GROUP; k++) {                                               \
            uint32_t i = group * WORDS_GROUP + k;                                                  \
            float x = bits_to_float(i);                                                            \
            (void)x;                                                                               \
            sum += (uint64_t)(value) * (2 * k + 1);                                                \
        }                                                                                          \
        return sum;                                                                                \
    }
#include "words.def"
#undef FUNCTION

void KERNEL(words_sums)(const Context *ctx, int function, uint64_t *sums, uint32_t first,
                        uint32_t every, uint32_t count)
{
    static uint64_t (*const list[])(uint32_t) = {
#define FUNCTION(name, value) name##_sum,
#include "words.def"
#undef FUNCTION
    };
#pragma omp parallel for num_threads(ctx->threads)
    for (uint32_t n = 0; n < count; n++) {
        sums[n] = list[function](first + n * every);
    }
}
