/* What tests set of the emulator. */
#ifndef CUDASIM_H
#define CUDASIM_H

/* Which of the threads that can run goes on: the next one up or down, so that all go the same way
 * from wait to wait; anyone; or one of the same warp, which so runs ahead of the others. Blocks run
 * up, down or in random order. No right kernel depends on it. $CUDASIM_ORDER names the first one.
 */
typedef enum CudasimOrder {
    CUDASIM_FORWARD,
    CUDASIM_REVERSE,
    CUDASIM_RANDOM,
    CUDASIM_WARPS,
    CUDASIM_ORDERS
} CudasimOrder;

#ifdef __cplusplus
extern "C" {
#endif
extern const char *const cudasim_order_names[CUDASIM_ORDERS];
void cudasim_set_order(CudasimOrder order);
const char *cudasim_order(void); /* its name */
void cudasim_finish(void);       /* does all that was enqueued */

/* Compute capability of the device, 90 for 9.0: what its tensor cores sum like. A backend asks when
 * it starts. $CUDASIM_CAPABILITY has it first. */
extern int cudasim_capability;
#ifdef __cplusplus
}
#endif

#endif
