/* A shim for LD_PRELOAD that lets the N-th call of one function of files fail, so that a test can
 * show what a program leaves behind: FAULT="rename 2 28" lets the second rename fail with errno 28
 * (ENOSPC); "rename 2 -15" sends the program signal 15 (SIGTERM) there. The file
 * $FAULT_HIT says that the call came. Functions: mkdir, open (of files that are made), fopen (for
 * writing), fflush, fsync, rename, fclose (of a written file). A failed fclose closes all the same,
 * as close(2) does. Built by faults.bats. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether this call of the function is the one to fail; sets errno. */
static int fails(const char *function)
{
    static int calls;
    char name[16];
    int at, number;
    const char *fault = getenv("FAULT");
    if (!fault || sscanf(fault, "%15s %d %d", name, &at, &number) != 3 || strcmp(name, function) ||
        ++calls != at) {
        return 0;
    }
    close(creat(getenv("FAULT_HIT"), 0600));
    if (number < 0) {
        raise(-number);
        return 0;
    }
    errno = number;
    return 1;
}

#define REAL(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))

int mkdir(const char *path, mode_t mode)
{
    return fails("mkdir") ? -1 : REAL(mkdir)(path, mode);
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return flags & O_CREAT && fails("open") ? -1 : REAL(open)(path, flags, mode);
}

FILE *fopen(const char *path, const char *mode)
{
    return *mode == 'w' && fails("fopen") ? NULL : REAL(fopen)(path, mode);
}

int fflush(FILE *stream)
{
    /* not of stdout: a real failure would mark the stream, and be seen at its end */
    return stream != stdout && fails("fflush") ? EOF : REAL(fflush)(stream);
}

int fsync(int descriptor)
{
    return fails("fsync") ? -1 : REAL(fsync)(descriptor);
}

int rename(const char *old, const char *new)
{
    return fails("rename") ? -1 : REAL(rename)(old, new);
}

int fclose(FILE *stream)
{
    int written = __fwritable(stream) && fileno(stream) >= 0, closed = REAL(fclose)(stream);
    return written && fails("fclose") ? EOF : closed;
}
