/* scalar.h and rng.h on a device: a thread makes the sum of one group of words.h. */
#include "cuda.cuh"
#include "words.h"

enum { BLOCK = 128 };

#define FUNCTION(name, value)                                                                      \
    struct name##_function {                                                                       \
        static __device__ uint32_t of(uint32_t i)                                                  \
        {                                                                                          \
            float x = bits_to_float(i);                                                            \
            (void)x;                                                                               \
            return value;                                                                          \
        }                                                                                          \
    };
#include "words.def"
#undef FUNCTION

template <class Function>
static __global__ void group_sums(uint64_t *sums, uint32_t first, uint32_t every, uint32_t count)
{
    uint32_t n = blockIdx.x * BLOCK + threadIdx.x, group = first + n * every;
    uint64_t sum = 0;
    for (uint32_t k = 0; n < count && k < WORDS_GROUP; k++) {
        sum += (uint64_t)Function::of(group * WORDS_GROUP + k) * (2 * k + 1);
    }
    if (n < count) {
        sums[n] = sum;
    }
}

void KERNEL(words_sums)(const Context *ctx, int function, uint64_t *sums, uint32_t first,
                        uint32_t every, uint32_t count)
{
#define FUNCTION(name, value)                                                                      \
    if (function == WORDS_##name) {                                                                \
        group_sums<name##_function><<<blocks_for(count, BLOCK), BLOCK, 0, stream_of(ctx)>>>(       \
            sums, first, every, count);                                                            \
    }
#include "words.def"
#undef FUNCTION
}
