/* The emulator itself: right kernels give what they should in every order of threads, wrong ones
 * are noticed (test/cudasim/trials.cu), and launches that CUDA refuses are refused. */
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

static const char *program;

/* A process of its own (ThreadSanitizer sees nothing in one that was forked) runs the trial and
 * ends with this exit code, 1 for other values, and a line of this text. */
static void check_ends(const Trial *trial, int code, const char *says)
{
    char text[8000] = "";
    size_t length = 0;
    ssize_t got = 1;
    int ends[2], status = 0;
    CHECK(!pipe(ends), "pipe");
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[1]);
        setenv("CUDASIM_ORDER", cudasim_order(), 1);
        execl(program, program, trial->name, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    while (got > 0 && length < sizeof text - 1) {
        got = read(ends[0], text + length, sizeof text - 1 - length);
        length += got > 0 ? (size_t)got : 0;
    }
    close(ends[0]);
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
              WEXITSTATUS(status) == code,
          "%s, %s: status %d", trial->name, cudasim_order(), status);
    CHECK(strstr(text, says), "%s, %s: %s", trial->name, cudasim_order(), text);
}

static void run_trial(const Trial *trial)
{
    enum { RACES = 66 }; /* ThreadSanitizer's exit code */
    switch (trial->comes) {
    case TRIAL_RIGHT:
        CHECK(run_right(trial), "%s, %s", trial->name, cudasim_order());
        break;
    case TRIAL_WRONG:
        CHECK(!run_right(trial), "%s, %s", trial->name, cudasim_order());
        break;
    case TRIAL_RACE:
        check_ends(trial, trials_see_races ? RACES : 1, trials_see_races ? "data race" : "");
        break;
    case TRIAL_ENDS:
        check_ends(trial, 70, trial->says);
        break;
    }
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

/* With the name of a trial: runs it alone, in the order of $CUDASIM_ORDER. */
int main(int argc, char **argv)
{
    program = argv[0];
    for (const Trial *trial = trials; trial->name && argc > 1; trial++) {
        if (!strcmp(trial->name, argv[1])) {
            return !run_right(trial);
        }
    }
    for (CudasimOrder order = 0; order < CUDASIM_ORDERS; order++) {
        cudasim_set_order(order);
        for (const Trial *trial = trials; trial->name; trial++) {
            run_trial(trial);
        }
    }
    test_launches();
    CHECK(trial_late() == 2, "a copy is done when it is enqueued");
    return checks_close("test_cudasim");
}
