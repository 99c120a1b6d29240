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

/* to [32][32] = from [32][32] + a pairs, in blocks of 32 of k; both with so many floats from row to
 * row, from 0 where all rows are the same; they may be one. a: [blocks][32][32] of bf16, zeros behind
 * depth; pairs [(depth + 1) / 2][32], pairs of bf16 in words, a zero behind an odd depth. */
void amx_product(float *to, size_t to_step, const float *from, size_t from_step, const uint16_t *a,
                 const uint32_t *pairs, size_t depth);

#endif
