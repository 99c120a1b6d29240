/* cuRAND's device generator, whose source is the header curand_kernel.h, as functions of the host:
 * for test_curand.c, built where nvcc's headers are. */
#define QUALIFIERS static inline
#include <curand_kernel.h>

extern "C" void curand_device_words(unsigned long long seed, unsigned long long subsequence,
                                    unsigned long long offset, unsigned int words[4])
{
    curandStatePhilox4_32_10_t state;
    curand_init(seed, subsequence, offset, &state);
    uint4 block = curand4(&state);
    words[0] = block.x;
    words[1] = block.y;
    words[2] = block.z;
    words[3] = block.w;
}
