/* The measure of "share of this machine's peak". */
#ifndef PEAK_H
#define PEAK_H

struct Context;

/* Float32 operations a second of so many threads at once that do nothing but fma in registers, with
 * the widest vectors of this machine: the best of five tries, a few milliseconds. 0 where the
 * machine has no vectors that this knows. */
double peak_flops(int threads);

/* The same of a GPU and of the emulator, which has none: 0. 0 too where the device fails. */
double peak_flops_cuda(const struct Context *ctx);
double peak_flops_sim(const struct Context *ctx);

#endif
