/* Runs a command and lets one of its system calls go wrong, whoever made it:
 *
 *     faultsys CALL N FAULT COMMAND...
 *
 * CALL is a name below, or `any`. FAULT: an errno, with which the N-th such call fails; `short`: it
 * is asked for half of its bytes; `kill`, or `after`: the program is killed (SIGKILL) before it, or
 * behind it. Threads count together, other processes do not; counted is from the first fcntl on,
 * with which a program of ours begins: what is before is the loader's. $FAULT_FROM: only from the
 * first call on that names a file with this in its path. The file $FAULT_HIT says that the call
 * came. Exits as the command does; 125: it could not be followed. A close that fails closes all the
 * same. Linux on x86-64: ptrace(2) stops at every call. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
    const char *name;
    int numbers[6]; /* 0 behind the last; it is read(2), which is the first of its own alone */
} calls[] = {
    {"read", {SYS_read, SYS_pread64, SYS_readv}},
    {"write", {SYS_write, SYS_pwrite64, SYS_writev}},
    {"open", {SYS_openat, SYS_open, SYS_creat}},
    {"stat", {SYS_newfstatat, SYS_fstat, SYS_stat, SYS_lstat, SYS_statx}},
    {"access", {SYS_access, SYS_faccessat, SYS_faccessat2}},
    {"list", {SYS_getdents64}},
    {"fsync", {SYS_fsync, SYS_fdatasync}},
    {"rename", {SYS_rename, SYS_renameat, SYS_renameat2}},
    {"unlink", {SYS_unlink, SYS_unlinkat, SYS_rmdir}},
    {"mkdir", {SYS_mkdir, SYS_mkdirat}},
    {"lock", {SYS_flock, SYS_fcntl}},
    {"close", {SYS_close}},
    {"mmap", {SYS_mmap}},
};

static int is_call(const char *name, long number)
{
    if (!strcmp(name, "any")) {
        return 1;
    }
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        for (int k = 0; !strcmp(name, calls[i].name) && k < 6; k++) {
            if (calls[i].numbers[k] == number && (k == 0 || number)) {
                return 1;
            }
        }
    }
    return 0;
}

/* Whether the call opens, makes or renames a path with this in it. */
static int names(pid_t pid, const struct user_regs_struct *r, const char *part)
{
    char path[512];
    unsigned long long call = r->orig_rax, at = call == SYS_openat                        ? r->rsi
                                                : call == SYS_mkdir || call == SYS_rename ? r->rdi
                                                                                          : 0;
    struct iovec here = {path, sizeof path - 1}, there = {(void *)(size_t)at, sizeof path - 1};
    ssize_t got = -1;
    while (there.iov_len && (got = process_vm_readv(pid, &here, 1, &there, 1, 0)) < 0) {
        there.iov_len /= 2; /* beyond the page is nothing */
    }
    path[got > 0 ? got : 0] = 0;
    return strstr(path, part) != NULL;
}

static void hit(void)
{
    const char *file = getenv("FAULT_HIT");
    if (file) {
        close(creat(file, 0600));
    }
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "faultsys CALL N FAULT COMMAND...\n");
        return 64;
    }
    const char *name = argv[1], *fault = argv[3], *from = getenv("FAULT_FROM");
    long at = atol(argv[2]), count = 0;
    int begun = 0, found = from == NULL, code = 125;
    pid_t inside = 0; /* in a call that is to end otherwise */
    pid_t first = fork();
    if (first == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL)) {
            _exit(125);
        }
        execvp(argv[4], argv + 4);
        _exit(127);
    }
    int status;
    if (first < 0 || waitpid(first, &status, 0) != first || !WIFSTOPPED(status)) {
        return 125;
    }
    ptrace(PTRACE_SETOPTIONS, first, NULL,
           PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
    ptrace(PTRACE_SYSCALL, first, NULL, NULL);
    for (pid_t pid; (pid = waitpid(-1, &status, __WALL)) > 0;) {
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (pid == first) {
                code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            }
            continue;
        }
        int signal = WSTOPSIG(status), passed = 0;
        struct user_regs_struct r;
        struct __ptrace_syscall_info info = {0};
        if (signal == (SIGTRAP | 0x80) && !ptrace(PTRACE_GETREGS, pid, NULL, &r) &&
            ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) > 0) {
            if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
                begun = begun || r.orig_rax == SYS_fcntl;
                found = found || (begun && names(pid, &r, from));
                if (begun && found && is_call(name, (long)r.orig_rax) && ++count == at) {
                    hit();
                    inside = pid;
                    if (!strcmp(fault, "kill")) {
                        kill(first, SIGKILL);
                    } else if (!strcmp(fault, "short")) {
                        r.rdx = (r.rdx + 1) / 2;
                        ptrace(PTRACE_SETREGS, pid, NULL, &r);
                    } else if (strcmp(fault, "after") && r.orig_rax != SYS_close) {
                        r.orig_rax = (unsigned long long)-1;
                        ptrace(PTRACE_SETREGS, pid, NULL, &r);
                    }
                }
            } else if (pid == inside) {
                inside = 0;
                if (!strcmp(fault, "after")) {
                    kill(first, SIGKILL);
                } else if (strcmp(fault, "short")) {
                    r.rax = (unsigned long long)-atol(fault);
                    ptrace(PTRACE_SETREGS, pid, NULL, &r);
                }
            }
        } else if (signal != SIGTRAP && signal != SIGSTOP) {
            passed = signal;
        }
        ptrace(PTRACE_SYSCALL, pid, NULL, passed);
    }
    return code;
}
