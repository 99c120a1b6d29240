/* AMX, the matrix unit of CPUs since Sapphire Rapids. test_amx runs this on a model of it. */
#ifndef AMX_H
#define AMX_H

#include <stddef.h>
#include <stdint.h>

/* Whether this CPU has it for bf16 and the kernel lets this process use it; asks for that, for all
 * threads. why: NULL, or what the kernel said where the CPU has it and it said no. */
int amx_start(const char **why);

/* Around the products of a thread, of which there may be several. */
void amx_begin(void);
void amx_end(void);

/* tile [32][32] += a [32][a_stride, depth of them] pairs [depth / 2][32], pairs of bf16 in words, in
 * blocks of 32; zeros stand in a behind depth as far as a whole block. */
void amx_product(float *tile, const uint16_t *a, size_t a_stride, const uint32_t *pairs,
                 size_t depth);

#endif
