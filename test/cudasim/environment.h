/* What variables of the environment set of the emulator; environment.cc says how they are written. */
#ifndef CUDASIM_ENVIRONMENT_H
#define CUDASIM_ENVIRONMENT_H

struct Environment {
    const char *fail; /* CALL of $CUDASIM_FAIL, or NULL */
    long fail_at;     /* N */
    long memory;      /* MiB that the device has */
    long driver;      /* CUDA version of the driver, 0 for none */
};

extern Environment environment;

#endif
