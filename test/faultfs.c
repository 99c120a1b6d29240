/* A shim for LD_PRELOAD that lets the N-th call of one function of the C library fail, so that a
 * test can show what a program leaves behind: FAULT="rename 2 28" lets the second rename fail with
 * errno 28 (ENOSPC); "rename 2 -15" sends the program signal 15 (SIGTERM) there. The file
 * $FAULT_HIT says that the call came. Functions: mkdir, open (of files that are made), fopen (for
 * writing), fflush, fsync, rename, unlink, fclose (of a written file), pthread_create, and malloc, which
 * counts calloc, realloc and aligned memory too, from the program's first signal() on: what is
 * before is the loader's. A failed fclose closes all the same, as close(2) does.
 *
 * $FAULT_SORT: qsort begins at the other end, so that an order that depends on it shows.
 * $FAULT_CLOCK: seconds that CLOCK_REALTIME and time() are wrong by; "jumps" lets them go to and
 * fro, by a day at every call. Built by common.bash; system calls fail by faultsys.c. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char function_of[16];
static int at_of, number_of;

__attribute__((constructor)) static void read_fault(void)
{
    const char *fault = getenv("FAULT");
    if (!fault || sscanf(fault, "%15s %d %d", function_of, &at_of, &number_of) != 3) {
        *function_of = 0;
    }
}

/* Whether this call of the function is the one to fail; sets errno. */
static int fails(const char *function)
{
    static atomic_int calls;
    if (strcmp(function_of, function) || atomic_fetch_add(&calls, 1) + 1 != at_of) {
        return 0;
    }
    close(creat(getenv("FAULT_HIT"), 0600));
    if (number_of < 0) {
        raise(-number_of);
        return 0;
    }
    errno = number_of;
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

int unlink(const char *path)
{
    return fails("unlink") ? -1 : REAL(unlink)(path);
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

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *argument)
{
    return fails("pthread_create") ? number_of
                                   : REAL(pthread_create)(thread, attributes, start, argument);
}

/* --- memory: glibc's own names, as dlsym takes memory itself --- */

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t),
    *__libc_memalign(size_t, size_t);
static atomic_int started;

void (*signal(int number, void (*handler)(int)))(int)
{
    started = 1;
    return REAL(signal)(number, handler);
}

static int memory_fails(void)
{
    return started && fails("malloc");
}

void *malloc(size_t bytes)
{
    return memory_fails() ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    return memory_fails() ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    return memory_fails() ? NULL : __libc_realloc(old, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    return memory_fails() ? NULL : __libc_memalign(alignment, bytes);
}

int posix_memalign(void **memory, size_t alignment, size_t bytes)
{
    void *made = memory_fails() ? NULL : __libc_memalign(alignment, bytes);
    *memory = made ? made : *memory;
    return made ? 0 : ENOMEM;
}

/* --- orders and clocks --- */

static void turn_round(char *first, size_t count, size_t size)
{
    for (size_t i = 0; i < count / 2; i++) {
        char *a = first + i * size, *b = first + (count - 1 - i) * size;
        for (size_t k = 0; k < size; k++) {
            char byte = a[k];
            a[k] = b[k];
            b[k] = byte;
        }
    }
}

void qsort(void *first, size_t count, size_t size, int (*order)(const void *, const void *))
{
    if (getenv("FAULT_SORT")) {
        turn_round(first, count, size);
    }
    REAL(qsort)(first, count, size, order);
}

static time_t wrong_by(void)
{
    static atomic_int calls;
    const char *wrong = getenv("FAULT_CLOCK");
    return !wrong                    ? 0
           : !strcmp(wrong, "jumps") ? atomic_fetch_add(&calls, 1) % 2 ? 86400 : -86400
                                     : (time_t)strtol(wrong, NULL, 10);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int code = REAL(clock_gettime)(clock, now);
    now->tv_sec += clock == CLOCK_REALTIME ? wrong_by() : 0;
    return code;
}

time_t time(time_t *now)
{
    time_t seconds = REAL(time)(NULL) + wrong_by();
    if (now) {
        *now = seconds;
    }
    return seconds;
}
