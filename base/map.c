/* Files mapped for reading, and what happens when another program changes one meanwhile: a page
 * that is gone ends the process with one line instead of SIGBUS, and a file that was written into
 * is noticed before anything that rests on it is written. */
#define _GNU_SOURCE
#include "base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Mapping {
    const unsigned char *bytes;
    size_t size;
    struct timespec modified;
    int descriptor; /* of the mapped file itself, whatever its path names later */
    char *path;
} Mapping;

/* All that are mapped now. A lock that a signal handler can take: whoever has it touches no mapped
 * page. */
static atomic_flag mappings_busy = ATOMIC_FLAG_INIT;
static Mapping *mappings;
static size_t mapping_count;

static void mappings_lock(void)
{
    while (atomic_flag_test_and_set_explicit(&mappings_busy, memory_order_acquire)) {
    }
}

static void mappings_unlock(void)
{
    atomic_flag_clear_explicit(&mappings_busy, memory_order_release);
}

static void put(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0) {
        return; /* nobody reads it; the exit code says it too */
    }
}

/* A page of a mapped file cannot be read: the file was cut, or its disk failed. Only calls that are
 * safe in a signal handler. */
static void on_bus_error(int number, siginfo_t *info, void *context)
{
    (void)context;
    const unsigned char *at = info->si_addr;
    mappings_lock();
    for (size_t i = 0; i < mapping_count; i++) {
        if (at >= mappings[i].bytes && at - mappings[i].bytes < (ptrdiff_t)mappings[i].size) {
            writers_settle();
            put(program_invocation_short_name);
            put(": ");
            put(mappings[i].path);
            put(": was cut while it was in use, or its disk failed; get the file again and run "
                "again\n");
            _exit(EXIT_IO);
        }
    }
    mappings_unlock();
    signal(number, SIG_DFL); /* not ours: the access is repeated and ends the process */
}

static void mapping_add(const File *file, int descriptor, const struct stat *status,
                        const char *path)
{
    mappings_lock();
    if (!mappings) {
        struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
        sigaction(SIGBUS, &action, NULL);
    }
    mappings = memory_realloc(mappings, mapping_count + 1, sizeof *mappings);
    mappings[mapping_count++] = (Mapping){file->bytes, file->size, status->st_mtim, descriptor,
                                          string_copy(path)};
    mappings_unlock();
}

int file_map(File *file, const char *path, Error *error)
{
    *file = (File){0};
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) {
        return error_set_errno(error, "open", path);
    }
    struct stat status;
    if (fstat(descriptor, &status)) {
        int code = error_set_errno(error, "read", path);
        close(descriptor);
        return code;
    }
    if (!S_ISREG(status.st_mode)) {
        close(descriptor);
        return REFUSE("%s: is %s, not a file; name a file", path,
                      S_ISDIR(status.st_mode) ? "a folder" : "special");
    }
    if (!status.st_size) {
        close(descriptor);
        return 0;
    }
    void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (bytes == MAP_FAILED && errno == ENOMEM) {
        memory_exhausted("mmap", (size_t)status.st_size);
    }
    if (bytes == MAP_FAILED) {
        int code = error_set_errno(error, "map", path);
        close(descriptor);
        return code;
    }
    *file = (File){bytes, (size_t)status.st_size};
    mapping_add(file, descriptor, &status, path);
    return 0;
}

void file_unmap(File *file)
{
    Mapping gone = {0};
    mappings_lock();
    for (size_t i = 0; file->bytes && i < mapping_count; i++) {
        if (mappings[i].bytes == file->bytes) {
            gone = mappings[i];
            mappings[i] = mappings[--mapping_count];
            break;
        }
    }
    mappings_unlock();
    if (gone.bytes) {
        munmap((void *)(uintptr_t)gone.bytes, gone.size);
        close(gone.descriptor);
        free(gone.path);
    }
    *file = (File){0};
}

int files_unchanged(Error *error)
{
    int code = 0;
    mappings_lock();
    for (size_t i = 0; i < mapping_count && !code; i++) {
        const Mapping *m = &mappings[i];
        struct stat status;
        if (fstat(m->descriptor, &status)) {
            code = error_set_errno(error, "look at", m->path);
        } else if ((size_t)status.st_size != m->size ||
                   status.st_mtim.tv_sec != m->modified.tv_sec ||
                   status.st_mtim.tv_nsec != m->modified.tv_nsec) {
            code = REFUSE("%s: was changed by another program while it was in use; nothing that "
                          "rests on it was written, run again",
                          m->path);
        }
    }
    mappings_unlock();
    return code;
}
