#define _GNU_SOURCE
#include "json.h"
#include "process.h"
#include "base.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char farewell[256], notice[256];
static struct {
    volatile sig_atomic_t descriptor;
    const char *volatile text;
} last_words = {-1, NULL};
static volatile sig_atomic_t deferred, stopping;
static struct timespec first; /* signal that was deferred */

/* Whether a signal is only noted: the first one, and what is no second request to stop. SIGXCPU
 * comes again each second; timeout(1) sends its signal twice, to the process and to its group. */
static int is_noted(int number)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!stopping) {
        first = now;
        stopping = 1;
        (void)!write(STDERR_FILENO, notice, strlen(notice));
        return 1;
    }
    double since = (double)(now.tv_sec - first.tv_sec) +
                   1e-9 * (double)(now.tv_nsec - first.tv_nsec);
    return number == SIGXCPU || since < 0.25;
}

/* Only what signal-safety(7) allows. A write that fails here cannot be reported. Runs on the main
 * thread, whose are the temporary files that writers_settle knows: another one hands the signal
 * on. */
static void on_signal(int number)
{
    if (gettid() != getpid()) {
        (void)tgkill(getpid(), getpid(), number);
        return;
    }
    if (deferred && is_noted(number)) {
        return;
    }
    writers_settle();
    if (last_words.descriptor >= 0) {
        (void)!write(last_words.descriptor, last_words.text, strlen(last_words.text));
    }
    (void)!write(STDERR_FILENO, farewell, strlen(farewell));
    _exit(EXIT_STOPPED);
}

static void on_end(int code, void *unused)
{
    (void)unused;
    if (code == EXIT_FAILURE) { /* libgomp has said what failed */
        fprintf(stderr,
                "%s: OpenMP could not get a thread or memory; free some, raise the limits of "
                "processes and memory (ulimit, cgroup), or run with --threads 1\n",
                program_invocation_short_name);
        writers_settle();
        _exit(EXIT_NO_MEMORY);
    }
}

void process_computes(void)
{
    on_exit(on_end, NULL);
}

void process_start(const char *program)
{
    json_prepare();
    atexit(writers_settle);
    for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++) {
        if (fcntl(i, F_GETFD) < 0) {
            (void)!open("/", O_RDONLY | O_DIRECTORY); /* gets the smallest number, i */
        }
    }
    snprintf(farewell, sizeof farewell, "%s%s: stopped by a signal; run again\n",
             isatty(STDERR_FILENO) ? "\r\033[K" : "", program);
    if (isatty(STDERR_FILENO)) {
        snprintf(notice, sizeof notice,
                 "\r\033[K%s: stopping behind this step; a second signal stops at once\n", program);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    static const int stops[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGXCPU};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, old;
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        sigaction(stops[i], &action, &old);
        if (stops[i] == SIGHUP && old.sa_handler == SIG_IGN) {
            signal(SIGHUP, SIG_IGN); /* nohup */
        }
    }
}

void process_last_words(int descriptor, const char *text)
{
    last_words.descriptor = -1;
    last_words.text = text;
    last_words.descriptor = descriptor;
}

void process_defer(int defer)
{
    deferred = defer;
}

int process_stopping(void)
{
    return stopping;
}
