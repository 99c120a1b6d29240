/* The runs of a study as processes of this machine. */
#define _GNU_SOURCE
#include "study.h"
#include "study_claims.h"
#include "finished.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LOOK = 250 * 1000 * 1000 }; /* nanoseconds between two looks at the runs */
static const double RETRY = 2.0;   /* seconds until a run that goes elsewhere is looked at again */
enum { MOST_TRIES = 900 };         /* for one whose files another process writes */

typedef struct Job {
    StudyRun *run; /* NULL: free */
    pid_t pid;
    double began;
    Claim claim;
    int lost; /* another process took it over */
} Job;

typedef struct Work {
    const Study *study;
    StudyRun *runs;
    int count, jobs, threads, terminal, shown; /* shown: lines of the table on the terminal */
    Job *job;
    double began, looked, cost; /* cost: of what was finished since */
    int signals;                /* how many asked to stop */
    double asked;               /* when the last of them came */
    int ending;                 /* what goes is ended for an error of the study */
    int code;                   /* of the first run that failed */
    char *claims;               /* their folder */
} Work;

/* --- what there is --- */

int study_finished(const StudyRun *run)
{
    return predictions_finished(run->paths, run->path_count, run->receipts);
}

/* --- the table --- */

static void clear_table(Work *work)
{
    for (; work->shown; work->shown--) {
        fputs("\033[A\033[2K", stderr);
    }
}

static int count_state(const Work *work, RunState state)
{
    int count = 0;
    for (int i = 0; i < work->count; i++) {
        count += work->runs[i].state == state;
    }
    return count;
}

/* A line of what happened, with the time. */
__attribute__((format(printf, 2, 3))) static void tell(Work *work, const char *format, ...)
{
    char clock[16];
    time_t now = time(NULL);
    struct tm local;
    if (work->study->options.quiet) {
        return;
    }
    strftime(clock, sizeof clock, "%H:%M:%S", localtime_r(&now, &local));
    clear_table(work);
    fprintf(stderr, "%s  ", clock);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* The last step in the log of a run. */
static int last_step(const StudyRun *run)
{
    char *path = string_format("%.*s.jsonl", (int)(strlen(run->paths[0]) - strlen(".bin")),
                               run->paths[0]),
         tail[1024] = "";
    int step = 0, descriptor = open(path, O_RDONLY | O_CLOEXEC);
    off_t size = descriptor < 0 ? 0 : lseek(descriptor, 0, SEEK_END);
    off_t at = size > (off_t)sizeof tail - 1 ? size - (off_t)sizeof tail + 1 : 0;
    ssize_t got = descriptor < 0 ? 0 : pread(descriptor, tail, sizeof tail - 1, at);
    if (descriptor >= 0) {
        close(descriptor);
    }
    free(path);
    tail[got > 0 ? got : 0] = 0;
    for (const char *found = tail; (found = strstr(found, "\"step\":"));) {
        found += strlen("\"step\":");
        step = *found >= '0' && *found <= '9' ? atoi(found) : step;
    }
    return step;
}

/* Cost of what is still to do here, and how fast it is done; 0: unknown. */
static double seconds_left(const Work *work, double now)
{
    double left = 0, done = work->cost;
    for (int i = 0; i < work->count; i++) {
        left += work->runs[i].state == RUN_WAITS ? work->runs[i].cell->cost : 0;
    }
    for (int j = 0; j < work->jobs; j++) {
        const StudyRun *run = work->job[j].run;
        if (run) {
            double share = (double)last_step(run) / fmax(1, run->cell->steps);
            done += share * run->cell->cost;
            left += (1 - share) * run->cell->cost;
        }
    }
    return done > 0 ? left * (now - work->began) / done : 0;
}

static const char *time_text(char text[32], double seconds)
{
    long s = (long)seconds;
    if (s < 3600) {
        snprintf(text, 32, "%ld:%02ld", s / 60, s % 60);
    } else {
        snprintf(text, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    }
    return text;
}

static void show_table(Work *work, double now)
{
    char text[32];
    if (!work->terminal || work->study->options.quiet) {
        return;
    }
    clear_table(work);
    double left = seconds_left(work, now);
    fprintf(stderr, "%d of %d runs done, %d failed, %d elsewhere; %s%s\n",
            count_state(work, RUN_DONE), work->count, count_state(work, RUN_FAILED),
            count_state(work, RUN_ELSEWHERE), left > 0 ? "time left " : "time left unknown",
            left > 0 ? time_text(text, left) : "");
    work->shown = 1;
    for (int j = 0; j < work->jobs; j++) {
        const StudyRun *run = work->job[j].run;
        if (run) {
            fprintf(stderr, "  %.48s  step %d of %d  %s\n", run->name, last_step(run),
                    run->cell->steps, time_text(text, now - work->job[j].began));
            work->shown++;
        }
    }
}

/* --- processes --- */

static char *log_of(const Study *study, const StudyRun *run)
{
    return string_format("%s/logs/%s.txt", study->out, run->name);
}

/* What a run said at last: its result, or why it failed; the caller frees it. */
static char *last_word(const Study *study, const StudyRun *run, int failed)
{
    char *path = log_of(study, run), *found = NULL, *line = NULL;
    size_t room = 0;
    FILE *stream = fopen(path, "re");
    while (stream && getline(&line, &room, stream) >= 0) {
        line[strcspn(line, "\n")] = 0;
        const char *at = failed ? strstr(line, "train_gpt: ") : strstr(line, ": dev ");
        if (at) {
            free(found);
            found = string_copy(failed ? at + strlen("train_gpt: ") : at + 2);
        }
    }
    if (stream) {
        fclose(stream);
    }
    free(line);
    free(path);
    if (found) {
        text_plain(found);
    }
    return found ? found : string_copy(failed ? "it said nothing" : "done");
}

/* Of the child, between fork and exec. A process group of its own: what Ctrl-C sends to the
 * terminal's group comes to the study alone, which passes it on. */
static void become_run(char *const *argv, int log, const sigset_t *mask, pid_t parent)
{
    int nothing = open("/dev/null", O_RDONLY);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) {
        _exit(EXIT_STOPPED);
    }
    sigprocmask(SIG_SETMASK, mask, NULL);
    dup2(nothing, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execv("/proc/self/exe", argv); /* this very program, also if its file was replaced since */
    dprintf(STDERR_FILENO, "train_gpt: cannot start: %s\n", strerror(errno));
    _exit(EXIT_BUG);
}

static int start(Work *work, Job *job, StudyRun *run, const sigset_t *mask, Error *error)
{
    const Study *study = work->study;
    char *path = log_of(study, run), threads[24];
    unlink(path); /* a file of its own: a run of a study that was killed may still write to the old one */
    int log = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
    char **argv = memory_alloc((size_t)run->argc + 3, sizeof *argv);
    memcpy(argv, run->argv, (size_t)run->argc * sizeof *argv);
    snprintf(threads, sizeof threads, "%d", work->threads);
    argv[run->argc] = "--threads";
    argv[run->argc + 1] = threads;
    argv[run->argc + 2] = NULL;
    int code = log < 0 ? error_set_create(error, path) : 0;
    for (int i = 0; i < run->argc + 2 && !code; i++) {
        char *word = shell_quote(argv[i]);
        dprintf(log, "%s%s", i ? " " : "# ", word);
        free(word);
    }
    if (!code) {
        dprintf(log, "\n");
        pid_t parent = getpid(), pid = fork();
        if (pid == 0) {
            become_run(argv, log, mask, parent);
        }
        if (pid > 0) {
            job->pid = pid;
            job->run = run;
            job->began = clock_seconds();
            job->lost = 0;
            run->state = RUN_GOES;
        } else {
            code = error_set(error, EXIT_NO_MEMORY, "cannot start a process: %s", strerror(errno));
        }
    }
    if (log >= 0) {
        close(log);
    }
    free(argv);
    free(path);
    return code;
}

/* Claims a run and starts it; or learns that it is done, or goes on elsewhere. */
static int try_run(Work *work, Job *job, StudyRun *run, const sigset_t *mask, Error *error)
{
    int busy = claim_take(&job->claim, work->claims, run->name, error);
    if (busy && busy != EXIT_BUSY) {
        return busy;
    }
    if (busy) {
        if (run->state != RUN_ELSEWHERE) {
            tell(work, "elsewhere  %s", error->text);
        }
        run->state = RUN_ELSEWHERE;
        run->retry = clock_seconds() + RETRY;
        return 0;
    }
    if (study_finished(run)) { /* by another process, since this one looked */
        run->state = RUN_DONE;
        tell(work, "done elsewhere  %s", run->name);
        claim_release(&job->claim);
        return 0;
    }
    int code = start(work, job, run, mask, error);
    if (code) {
        claim_release(&job->claim);
    } else if (!work->terminal) {
        tell(work, "start  %s", run->name);
    }
    return code;
}

/* Whether another process writes the run's files. */
static int is_written(const StudyRun *run)
{
    NameClaim claim;
    Error ignored;
    int code = name_claim(&claim, run->paths[0], &ignored);
    name_release(&claim);
    return code == EXIT_BUSY && !path_is_folder(run->paths[0]);
}

static void end_job(Work *work, Job *job, int status)
{
    StudyRun *run = job->run;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    char *word = last_word(work->study, run, code != 0), text[32];
    job->run = NULL;
    claim_release(&job->claim);
    if (!code) {
        run->state = RUN_DONE;
        work->cost += run->cell->cost;
        tell(work, "%d/%d  %s  %s  %s", count_state(work, RUN_DONE), work->count, run->name, word,
             time_text(text, clock_seconds() - job->began));
    } else if (work->signals || work->ending) {
        run->state = RUN_WAITS;
    } else if (job->lost ||
               (code == EXIT_BUSY && run->tries++ < (is_written(run) ? MOST_TRIES : 1))) {
        /* its files are being written by a process that the claims do not know: one of a study that
         * was killed, which ends soon, or just has. Else a name is taken that it needs */
        run->state = RUN_ELSEWHERE;
        run->retry = clock_seconds() + RETRY;
        if (job->lost) {
            tell(work, "taken over  %s", run->name);
        }
    } else {
        run->state = RUN_FAILED;
        /* who is killed by the system is so for its memory */
        work->code = work->code                    ? work->code
                     : WIFEXITED(status)           ? code
                     : WTERMSIG(status) == SIGKILL ? EXIT_NO_MEMORY
                                                   : EXIT_BUG;
        tell(work, "FAILED  %s: %s%s%s (exit code %d)", run->name,
             WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "",
             WIFSIGNALED(status) ? ": " : "", word, code);
    }
    free(word);
}

static StudyRun *next_run(Work *work, double now)
{
    for (int i = 0; i < work->count; i++) {
        StudyRun *run = &work->runs[i];
        if (run->state == RUN_WAITS || (run->state == RUN_ELSEWHERE && now >= run->retry)) {
            return run;
        }
    }
    return NULL;
}

static int running(const Work *work)
{
    int count = 0;
    for (int j = 0; j < work->jobs; j++) {
        count += work->job[j].run != NULL;
    }
    return count;
}

static void stop_runs(Work *work, int number)
{
    for (int j = 0; j < work->jobs; j++) {
        if (work->job[j].run) {
            kill(work->job[j].pid, number);
        }
    }
}

static volatile sig_atomic_t suspended; /* Ctrl-Z came, to whichever thread */

static void on_suspend(int number)
{
    suspended = number;
}

/* Ctrl-Z: the runs stop with the study, whose claims beat no more. When it goes on, a run that another
 * process took over meanwhile is ended before it writes a thing; the others beat, and go on. */
static void suspend(Work *work)
{
    tell(work, "suspended; the runs too");
    stop_runs(work, SIGSTOP);
    raise(SIGSTOP);
    for (int j = 0; j < work->jobs; j++) {
        Job *job = &work->job[j];
        if (job->run && !claim_beat(&job->claim, 1)) {
            job->lost = 1;
            kill(job->pid, SIGKILL);
        }
    }
    stop_runs(work, SIGCONT);
    tell(work, "goes on");
}

/* Waits for a signal or the next look, and does what there is to do with the jobs that go. */
static void look(Work *work, const sigset_t *wanted)
{
    struct timespec until = {0, LOOK};
    int number = sigtimedwait(wanted, NULL, &until), status;
    double now = clock_seconds();
    /* SIGXCPU comes each second, and timeout(1) sends its signal twice: that is one request */
    int again = work->signals && (number == SIGXCPU || now < work->asked + 0.25);
    if (suspended) {
        suspended = 0;
        suspend(work);
    }
    if (number > 0 && number != SIGCHLD && !again) {
        work->signals++;
        work->asked = now;
        tell(work, work->signals == 1 ? "stopping: the runs end now" : "stopping at once");
        stop_runs(work, work->signals == 1 ? SIGTERM : SIGKILL);
    }
    for (int j = 0; j < work->jobs; j++) {
        Job *job = &work->job[j];
        if (job->run && waitpid(job->pid, &status, WNOHANG) == job->pid) {
            end_job(work, job, status);
        } else if (job->run && !job->lost && !claim_beat(&job->claim, 0)) {
            job->lost = 1;
            kill(job->pid, SIGTERM);
        }
    }
}

/* --- all of them --- */

static int work_all(Work *work, int alone, Error *error)
{
    static const int stops[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGXCPU};
    sigset_t wanted, mask;
    int code = 0;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        struct sigaction before;
        sigaction(stops[i], NULL, &before);
        if (before.sa_handler != SIG_IGN) { /* nohup */
            sigaddset(&wanted, stops[i]);
        }
    }
    struct sigaction old, action = {.sa_handler = on_suspend, .sa_flags = SA_RESTART};
    sigaction(SIGTSTP, NULL, &old);
    if (old.sa_handler != SIG_IGN) {
        sigaction(SIGTSTP, &action, NULL);
    }
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_BLOCK, &wanted, &mask);
    for (;;) {
        double now = clock_seconds();
        StudyRun *next = work->signals || code ? NULL : next_run(work, now);
        if (next && running(work) < work->jobs) {
            int j = 0;
            while (work->job[j].run) {
                j++;
            }
            code = try_run(work, &work->job[j], next, &mask, error);
            if (!code && alone && next->state == RUN_ELSEWHERE) {
                code = EXIT_BUSY;
            }
            if (code) {
                work->ending = 1;
                stop_runs(work, SIGTERM);
            }
            continue;
        }
        if (!running(work) && (work->signals || code || !count_state(work, RUN_ELSEWHERE))) {
            break;
        }
        look(work, &wanted);
        if (now > work->looked + 1) {
            show_table(work, now);
            work->looked = now;
        }
    }
    clear_table(work);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    sigaction(SIGTSTP, &old, NULL);
    return code;
}

int study_work(Study *study, int first, int count, Error *error)
{
    Work work = {.study = study,
                 .runs = study->runs + first,
                 .count = count,
                 .jobs = study->options.index ? 1 : study->options.jobs,
                 .threads = study->options.threads,
                 .terminal = isatty(STDERR_FILENO),
                 .began = clock_seconds()};
    work.job = memory_calloc((size_t)work.jobs, sizeof *work.job);
    work.claims = string_format("%s/claims", study->out);
    for (int i = 0; i < count; i++) { /* of studies that were killed as these runs ended */
        if (work.runs[i].state == RUN_DONE) {
            claim_clear(work.claims, work.runs[i].name);
        }
    }
    int code = work_all(&work, study->options.index != NULL, error);
    free(work.job);
    free(work.claims);
    if (code) {
        return code;
    }
    study->stopped = work.signals > 0;
    if (study->stopped) {
        return error_set(
            error, EXIT_STOPPED,
            "stopped by a signal with %d of %d runs finished; the same command goes on",
            count_state(&work, RUN_DONE), count);
    }
    int failed = count_state(&work, RUN_FAILED);
    return failed ? error_set(error, work.code,
                              "study: %d of %d runs failed%s; %s/logs says more; the same command "
                              "tries again",
                              failed, count, failed < count ? ", the others are finished" : "",
                              study->out)
                  : 0;
}
