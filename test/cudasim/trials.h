/* Kernels that try the emulator out, each run on one block or a few; out and in are host memory
 * that the kernel uses. */
#ifndef TRIALS_H
#define TRIALS_H

#ifdef __cplusplus
extern "C" {
#endif

enum { TRIAL_SIZE = 1024 };

/* What comes of a trial in every order of threads: each out[i] is in[i]; some is not; or not, and
 * it is a race, which ThreadSanitizer reports; the program ends with 70 and says so. */
typedef enum Comes { TRIAL_RIGHT, TRIAL_WRONG, TRIAL_RACE, TRIAL_ENDS } Comes;

typedef struct Trial {
    const char *name;
    void (*run)(float *out, const float *in); /* [TRIAL_SIZE] */
    Comes comes;
    const char *says; /* where it ends */
} Trial;

extern const Trial trials[];       /* the last has no name */
extern const int trials_see_races; /* whether they run under ThreadSanitizer */

/* Launches a kernel that then never runs; allow: bytes of shared memory for
 * cudaFuncSetAttribute, 0 for no call. Returns the error of CUDA. */
int trial_launch(int grid, int z, int threads, int shared, int allow);

/* The value of pinned memory that a copy took which was enqueued when it was 1, before it was 2. */
float trial_late(void);

#ifdef __cplusplus
}
#endif

#endif
