#define _GNU_SOURCE
#include "trace_rerun.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Signals that end this process: not those that it ignores, as with nohup. */
static sigset_t stops(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    sigset_t set;
    struct sigaction action;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (!sigaction(numbers[i], NULL, &action) && action.sa_handler != SIG_IGN) {
            sigaddset(&set, numbers[i]);
        }
    }
    return set;
}

int trace_rerun_open(TraceRerun *rerun, Error *error)
{
    sigset_t waiting = stops();
    *rerun = (TraceRerun){0};
    signal(SIGCHLD, SIG_DFL);     /* who started us may have it ignored: then none comes */
    sigaddset(&waiting, SIGCHLD); /* waited for in trace_rerun */
    sigprocmask(SIG_BLOCK, &waiting, &rerun->signals);
    char *folder = folder_temporary(error);
    if (!folder) {
        sigprocmask(SIG_SETMASK, &rerun->signals, NULL);
        return error->code;
    }
    rerun->folder = realpath(folder, NULL); /* the program runs elsewhere */
    rerun->trace = string_format("%s/run.trace", rerun->folder);
    rerun->tensor = string_format("%s/tensor.safetensors", rerun->folder);
    free(folder);
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    (void)remove(path);
    return 0;
}

void trace_rerun_close(TraceRerun *rerun)
{
    if (!rerun->folder) {
        return;
    }
    (void)nftw(rerun->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(rerun->folder);
    free(rerun->trace);
    free(rerun->tensor);
    sigprocmask(SIG_SETMASK, &rerun->signals, NULL); /* a signal that waited ends us now */
    *rerun = (TraceRerun){0};
}

/* Whether an argument of the command is this option, or an abbreviation that getopt_long takes. */
static int is_option(const char *argument, const char *name)
{
    size_t n = strcspn(argument, "=");
    if (n < 3 || n - 2 > strlen(name) || strncmp(argument, "--", 2) != 0) {
        return 0;
    }
    for (size_t i = 2; i < n; i++) {
        if (argument[i] != name[i - 2] && !(argument[i] == '_' && name[i - 2] == '-')) {
            return 0;
        }
    }
    return 1;
}

/* Options of the command that write files, or say where it begins and stops. */
static int is_left_out(const char *argument)
{
    static const char *const names[] = {"save",   "save-every",  "keep-checkpoints", "profile",
                                        "resume", "trace-until", "trace-tensor"};
    int found = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        found |= is_option(argument, names[i]);
    }
    return found;
}

/* The arguments: those of the header, what this rerun adds, NULL. The strings belong to others. */
static const char **arguments_of(const TraceRerun *rerun, const TraceReader *trace,
                                 const char *program, const char *from, const char *until,
                                 const char *preds, const char *const *options)
{
    const char *own[] = {"--trace", rerun->trace, "--preds", preds, "--trace-until", until};
    const json_t *command = json_object_get(trace->header, "command");
    size_t n = 0, count = json_array_size(command), more = 0;
    while (options && options[more]) {
        more++;
    }
    const char **list = memory_calloc(count + more + sizeof own / sizeof *own + 6, sizeof *list);
    list[n++] = program;
    for (size_t i = 1; i < count; i++) {
        const char *argument = json_string_value(json_array_get(command, i));
        if (argument && is_left_out(argument)) {
            i += !strchr(argument, '=') && !is_option(argument, "keep-checkpoints"); /* its value */
        } else if (argument) {
            list[n++] = argument;
        }
    }
    for (size_t i = 0; i < more; i++) {
        list[n++] = options[i];
    }
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        list[n++] = own[i];
    }
    if (from) {
        list[n++] = "--resume";
        list[n++] = from;
    }
    if (strchr(until, '.')) {
        list[n++] = "--trace-tensor";
        list[n++] = rerun->tensor;
    }
    return list;
}

/* The program beside this one. NULL if there is none. */
static char *find_program(const char *program)
{
    char self[PATH_MAX];
    if (program) {
        return realpath(program, NULL);
    }
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    self[size > 0 ? size : 0] = 0;
    char *slash = strrchr(self, '/');
    if (!slash) {
        return NULL;
    }
    *slash = 0;
    char *beside = string_format("%s/train_gpt", self), *found = realpath(beside, NULL);
    free(beside);
    return found;
}

/* Starts the program in the run's folder; what it says goes to a file. Returns errno. */
static int start(pid_t *child, const char *const *arguments, const char *folder, const char *said)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    (void)posix_spawn_file_actions_init(&actions); /* this and those of attributes cannot fail */
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int code = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    code = code ? code
                : posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY,
                                                   0);
    code = code ? code
                : posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, said,
                                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
    code = code ? code : posix_spawn_file_actions_addchdir_np(&actions, folder);
    code = code ? code
                : posix_spawn(child, arguments[0], &actions, &attributes,
                              (char *const *)(uintptr_t)arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return code;
}

/* The program's status, as waitpid has it. A signal for this process ends the program, a second one
 * at once. */
static int wait_for(pid_t child)
{
    int status = 0, stopped = 0;
    sigset_t waited = stops();
    sigaddset(&waited, SIGCHLD);
    for (;;) {
        if (waitpid(child, &status, WNOHANG) == child) {
            if (stopped) {
                raise(stopped); /* waits until trace_rerun_close */
            }
            return status;
        }
        int number = sigwaitinfo(&waited, NULL);
        if (number > 0 && number != SIGCHLD) {
            kill(child, stopped ? SIGKILL : SIGTERM);
            stopped = number;
        }
    }
}

/* The last line that the program wrote to its standard error. */
static char *last_line(const char *path)
{
    char line[1024], *last = string_copy("it said nothing");
    FILE *stream = fopen(path, "r");
    while (stream && fgets(line, sizeof line, stream)) {
        line[strcspn(line, "\n")] = 0;
        if (*line) {
            free(last);
            last = string_copy(line);
        }
    }
    if (stream) {
        fclose(stream);
    }
    return last;
}

/* What became of the program. */
static int judge(int status, const TraceRerun *rerun, const TraceReader *trace, const char *program,
                 const char *said, Error *error)
{
    if (!WIFEXITED(status)) {
        return error_set(error, EXIT_BUG, "%s cannot be run again: %s was ended by signal %d",
                         trace->path, program, WTERMSIG(status));
    }
    int code = WEXITSTATUS(status);
    if (code == EXIT_DIVERGED && path_exists(rerun->trace)) {
        return 0; /* so may the run have done that is run again */
    }
    if (!code && !path_exists(rerun->trace)) {
        return REFUSE("%s cannot be run again: %s wrote no trace; is it a train_gpt?", trace->path,
                      program);
    }
    if (code) {
        char *line = last_line(said);
        /* its usage is not ours, and 1 is no error of ours */
        error_set(error, code > EXIT_USAGE ? code : EXIT_BAD_DATA, "%s cannot be run again: %s",
                  trace->path, line);
        free(line);
    }
    return code ? error->code : 0;
}

int trace_rerun(TraceRerun *rerun, const TraceReader *trace, const char *program, const char *from,
                const char *until, const char *const *options, Error *error)
{
    const char *folder = string_of(trace->header, "folder");
    char *found = find_program(program);
    if (!found && errno == ENOMEM) {
        return error_set_errno(error, "find", "train_gpt");
    }
    if (!found) {
        return error_set(error, EXIT_NO_INPUT, "%s: no such program; name one with --program",
                         program ? program : "train_gpt beside this program");
    }
    if (folder && access(folder, X_OK) && errno == EACCES) {
        free(found);
        return error_set_errno(error, "enter", folder);
    }
    int is_folder = 0;
    if (folder && path_look(folder, &is_folder, error)) {
        free(found);
        return error->code;
    }
    if (!is_folder) {
        free(found);
        return error_set(error, EXIT_NO_INPUT,
                         "%s cannot be run again: its folder, %s, is not there any more",
                         trace->path, folder ? folder : "");
    }
    char *preds = string_format("%s/preds", rerun->folder),
         *said = string_format("%s/said", rerun->folder);
    const char **arguments = arguments_of(rerun, trace, found, from, until, preds, options);
    pid_t child;
    (void)unlink(rerun->trace); /* of an earlier call */
    (void)unlink(rerun->tensor);
    int number = start(&child, arguments, folder, said);
    int few = number == ENOMEM || number == EAGAIN; /* memory, or processes */
    int code = number ? error_set(error, few ? EXIT_NO_MEMORY : EXIT_NO_INPUT,
                                  "%s cannot be started: %s", found, strerror(number))
                      : judge(wait_for(child), rerun, trace, found, said, error);
    free(arguments);
    free(preds);
    free(said);
    free(found);
    return code;
}
