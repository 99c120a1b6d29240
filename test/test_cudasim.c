/* The emulator itself: right kernels give what they should in every order of threads, wrong ones are
 * noticed (test/cudasim/trials.cu), and launches that CUDA refuses are refused. */
#include "check.h"
#include "cudasim.h"
#include "trials.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Whether out is in; what was enqueued is done by then. */
static int run_right(const Trial *trial)
{
    static float out[TRIAL_SIZE], in[TRIAL_SIZE];
    int right = 1;
    for (int i = 0; i < TRIAL_SIZE; i++) {
        out[i] = NAN;
        in[i] = (float)(i + 1);
    }
    trial->run(out, in);
    cudasim_finish();
    for (int i = 0; i < TRIAL_SIZE; i++) {
        right &= out[i] == in[i];
    }
    return right;
}

/* A child runs it: 70, and a line that says where and what. */
static void check_ends(const Trial *trial, const char *order)
{
    char text[4000] = "";
    size_t length = 0;
    ssize_t got = 1;
    int ends[2], status = 0;
    CHECK(!pipe(ends), "pipe");
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[1]);
        _exit(run_right(trial));
    }
    close(ends[1]);
    while (got > 0 && length < sizeof text - 1) {
        got = read(ends[0], text + length, sizeof text - 1 - length);
        length += got > 0 ? (size_t)got : 0;
    }
    close(ends[0]);
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
              WEXITSTATUS(status) == 70,
          "%s, %s: status %d", trial->name, order, status);
    CHECK(strstr(text, "cudasim: test/cudasim/trials.cu:") && strstr(text, trial->says),
          "%s, %s: %s", trial->name, order, text);
}

static void test_launches(void)
{
    enum { OK = 0, INVALID_VALUE = 1, INVALID_CONFIGURATION = 9, KIB = 1024 };
    static const struct {
        int grid, z, threads, shared, allow, error;
    } launches[] = {
        {0, 1, 32, 0, 0, INVALID_CONFIGURATION},
        {1, 1, 0, 0, 0, INVALID_CONFIGURATION},
        {1, 1, 1025, 0, 0, INVALID_CONFIGURATION},
        {1, 65536, 32, 0, 0, INVALID_CONFIGURATION},
        {1, 1, 32, 48 * KIB + 1, 0, INVALID_VALUE},
        {1, 1, 32, 100 * KIB + 1, 100 * KIB, INVALID_VALUE},
        {1, 1, 32, 1, 227 * KIB + 1, INVALID_VALUE},
    };
    for (size_t i = 0; i < sizeof launches / sizeof *launches; i++) {
        int error = trial_launch(launches[i].grid, launches[i].z, launches[i].threads,
                                 launches[i].shared, launches[i].allow);
        CHECK(error == launches[i].error, "launch %zu: error %d", i, error);
    }
}

int main(void)
{
    for (CudasimOrder order = 0; order < CUDASIM_ORDERS; order++) {
        cudasim_set_order(order);
        for (const Trial *trial = trials; trial->name; trial++) {
            if (trial->comes == TRIAL_ENDS) {
                check_ends(trial, cudasim_order());
            } else {
                CHECK(run_right(trial) == (trial->comes == TRIAL_RIGHT), "%s, %s", trial->name,
                      cudasim_order());
            }
        }
    }
    test_launches();
    return checks_close("test_cudasim");
}
