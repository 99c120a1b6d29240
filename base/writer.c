/* Files that appear whole, or not at all. */
#define _GNU_SOURCE
#include "base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* The temporary files and locks there are, for a signal handler; path is set once a file waits for
 * its name. */
static struct {
    char *volatile temporary, *volatile path; /* NULL: a free entry; no name yet */
} unfinished[64];
enum { UNFINISHED = sizeof unfinished / sizeof *unfinished };
static volatile sig_atomic_t gathering, naming; /* between writers_begin and _end; in _end */

/* The entry with this file, or a free one for NULL; -1 if there is none. */
static int find(const char *temporary)
{
    int i = 0;
    while (i < UNFINISHED && unfinished[i].temporary != temporary) {
        i++;
    }
    return i < UNFINISHED ? i : -1;
}

void writers_settle(void)
{
    for (int i = 0; i < UNFINISHED; i++) {
        const char *temporary = unfinished[i].temporary, *path = unfinished[i].path;
        if (temporary && naming && path) {
            rename(temporary, path);
        } else if (temporary) {
            unlink(temporary);
        }
    }
}

static void writer_release(Writer *writer)
{
    int i = writer->temporary ? find(writer->temporary) : -1;
    if (i >= 0) {
        unfinished[i].temporary = NULL;
    }
    free(writer->path);
    free(writer->temporary);
    *writer = (Writer){0};
}

/* Whether this is the number of a process that is not there. */
static int is_gone(const char *number)
{
    char *end;
    long pid = strtol(number, &end, 10);
    return end != number && !*end && pid > 0 && pid <= INT_MAX && kill((pid_t)pid, 0) &&
           errno == ESRCH;
}

/* Removes a file of ours that nobody is writing: its lock, which other machines see too,
 * is free. */
static void remove_unlocked(const char *path)
{
    struct stat status;
    int descriptor = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (descriptor >= 0) {
        if (!fstat(descriptor, &status) && S_ISREG(status.st_mode) && status.st_uid == geteuid() &&
            !flock(descriptor, LOCK_EX | LOCK_NB)) {
            unlink(path);
        }
        close(descriptor);
    }
}

/* Removes what killed processes left of files of this kind (".bin") in this folder. */
static void sweep(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path,
               *dot = strrchr(name, '.');
    char *kind = string_format("%s.tmp-", dot ? dot : name),
         *folder = string_format("%.*s", slash ? (int)(slash - path) + 1 : 2, slash ? path : "./");
    DIR *stream = opendir(folder);
    struct dirent *entry;
    while (stream && (entry = readdir(stream))) {
        char *at = strstr(entry->d_name, kind);
        if (at && is_gone(at + strlen(kind))) {
            char *left = string_format("%s%s", folder, entry->d_name);
            remove_unlocked(left);
            free(left);
        }
    }
    if (stream) {
        closedir(stream);
    }
    free(kind);
    free(folder);
}

/* Where the symbolic links of path end, whether or not a file is there; the caller frees it. */
static char *link_end(const char *path)
{
    char *end = string_copy(path), target[4096];
    for (int links = 0; links < 40; links++) {
        ssize_t size = readlink(end, target, sizeof target - 1);
        if (size <= 0) {
            break; /* not a link */
        }
        target[size] = 0;
        const char *slash = strrchr(end, '/');
        int folder = *target == '/' || !slash ? 0 : (int)(slash - end) + 1;
        char *next = string_format("%.*s%s", folder, end, target);
        free(end);
        end = next;
    }
    return end;
}

/* Standard output or error if path is one of them under another name (/dev/stdout), else -1. They
 * are written through their descriptor: opened anew, a socket would fail and a file would
 * be cut. */
static int own_descriptor(const struct stat *status)
{
    struct stat own;
    for (int i = STDOUT_FILENO; i <= STDERR_FILENO; i++) {
        if (!fstat(i, &own) && own.st_dev == status->st_dev && own.st_ino == status->st_ino) {
            return i;
        }
    }
    return -1;
}

/* A stream that writes into a descriptor, which is closed if there is none. */
static FILE *stream_of(int descriptor)
{
    FILE *stream = fdopen(descriptor, "wb");
    if (!stream) {
        int number = errno;
        close(descriptor);
        errno = number;
    }
    return stream;
}

/* Opens path.tmp-PID, locked for as long as it is written. */
static FILE *temporary_open(Writer *writer)
{
    sweep(writer->path);
    writer->temporary = string_format("%s.tmp-%ld", writer->path, (long)getpid());
    remove_unlocked(writer->temporary); /* of an earlier process that had our number */
    int i = find(NULL);
    if (i < 0) {
        errno = EMFILE;
        return NULL;
    }
    unfinished[i].path = NULL;
    unfinished[i].temporary = writer->temporary;
    int descriptor = open(writer->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor < 0) {
        return NULL;
    }
    (void)flock(descriptor, LOCK_EX | LOCK_NB); /* not every file system has locks */
    FILE *stream = stream_of(descriptor);
    if (!stream) {
        int number = errno;
        unlink(writer->temporary);
        errno = number;
    }
    return stream;
}

static int refuse_folder(const char *path, Error *error)
{
    return error_set(error, EXIT_BUSY,
                     "cannot create %s: a folder has that name; choose another path", path);
}

int writer_check(const char *path, Error *error)
{
    struct stat status;
    int found = !stat(path, &status);
    if (found && S_ISDIR(status.st_mode)) {
        return refuse_folder(path, error);
    }
    if (found && !S_ISREG(status.st_mode)) {
        return access(path, W_OK) ? error_set_create(error, path) : 0;
    }
    char *end = link_end(path), *slash = strrchr(end, '/'),
         *folder = string_format("%.*s.", slash ? (int)(slash - end) + 1 : 0, end);
    int code = access(folder, W_OK | X_OK) ? error_set_create(error, path) : 0;
    free(folder);
    free(end);
    return code;
}

int writer_open(Writer *writer, const char *path, Error *error)
{
    struct stat status, end;
    int linked = !lstat(path, &status) && S_ISLNK(status.st_mode), found = !stat(path, &end);
    int number = errno, special = found && !S_ISREG(end.st_mode);
    int own = special || (linked && found) ? own_descriptor(&end) : -1;
    *writer = (Writer){0};
    if (found && S_ISDIR(end.st_mode)) {
        return refuse_folder(path, error);
    }
    if (!found && number != ENOENT && number != ENOTDIR) { /* a link without an end, or none knows */
        errno = number;
        return error_set_create(error, path);
    }
    if (special || own >= 0) {
        int descriptor = own < 0 ? open(path, O_WRONLY | O_CLOEXEC)
                                 : fcntl(own, F_DUPFD_CLOEXEC, 3);
        writer->path = string_copy(path);
        writer->stream = descriptor < 0 ? NULL : stream_of(descriptor);
    } else {
        writer->path = linked ? link_end(path) : string_copy(path);
        writer->stream = temporary_open(writer);
    }
    if (!writer->stream) {
        int code = error_set_create(error, path);
        writer_release(writer);
        return code;
    }
    return 0;
}

int file_sync(int descriptor)
{
    return fsync(descriptor) && errno != EINVAL && errno != ENOTSUP && errno != EROFS ? -1 : 0;
}

int path_sync(const char *path)
{
    char *folder = string_copy(path), *slash = strrchr(folder, '/');
    if (slash) {
        slash[slash == folder] = 0;
    }
    int descriptor = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (descriptor < 0) {
        return errno == EACCES ? 0 : -1;
    }
    int failed = fsync(descriptor);
    if (failed && errno == EINVAL) {
        failed = 0; /* a file system that cannot sync a folder */
    }
    close(descriptor);
    return failed;
}

/* Ends a stream: 0, or the errno of what failed first. */
static int stream_close(FILE *stream, int sync)
{
    int earlier = ferror(stream) ? errno : 0, number = 0;
    if (fflush(stream) || (sync && fsync(fileno(stream)))) {
        number = errno;
    } else if (ferror(stream)) {
        number = earlier ? earlier : EIO;
    }
    if (fclose(stream) && !number) {
        number = errno;
    }
    return number;
}

int writer_commit(Writer *writer, Error *error)
{
    int number = stream_close(writer->stream, writer->temporary != NULL),
        code = files_unchanged(error), /* first: data that is gone looks like a failed write */
        i = writer->temporary ? find(writer->temporary) : -1;
    if (!number && !code && gathering && i >= 0) {
        unfinished[i].path = writer->path; /* the entry owns both until writers_end */
        *writer = (Writer){0};
        return 0;
    }
    if (!number && !code && writer->temporary &&
        (rename(writer->temporary, writer->path) || path_sync(writer->path))) {
        number = errno;
    }
    if (number && !code) {
        errno = number;
        code = error_set_errno(error, "write", writer->path);
    }
    if (code && writer->temporary) {
        unlink(writer->temporary);
    }
    writer_release(writer);
    return code;
}

void writer_abandon(Writer *writer)
{
    fclose(writer->stream);
    if (writer->temporary) {
        unlink(writer->temporary);
    }
    writer_release(writer);
}

void writers_begin(void)
{
    gathering = 1;
}

static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

int writers_end(int code, Error *error)
{
    const char *synced = NULL; /* one in the folder that was synced last */
    naming = !code;
    for (int i = 0; i < UNFINISHED; i++) {
        const char *temporary = unfinished[i].temporary, *path = unfinished[i].path;
        if (temporary && path && !code && rename(temporary, path)) {
            code = error_set_errno(error, "write", path);
            naming = 0;
        }
        if (temporary && path && code) {
            unlink(temporary);
        }
    }
    for (int i = 0; i < UNFINISHED && !code; i++) {
        const char *path = unfinished[i].path;
        size_t length = unfinished[i].temporary && path ? folder_length(path) : 0;
        if (!unfinished[i].temporary || !path ||
            (synced && folder_length(synced) == length && !strncmp(synced, path, length))) {
            continue;
        }
        synced = path;
        code = path_sync(path) ? error_set_errno(error, "write", path) : 0;
    }
    for (int i = 0; i < UNFINISHED; i++) {
        char *temporary = unfinished[i].temporary, *path = unfinished[i].path;
        if (temporary && path) {
            unfinished[i].temporary = NULL;
            free(temporary);
            free(path);
        }
    }
    naming = gathering = 0;
    return code;
}

int name_claim(NameClaim *claim, const char *path, Error *error)
{
    *claim = (NameClaim){string_format("%s.lock", path), -1};
    if (path_is_folder(path)) {
        return error_set(error, EXIT_BUSY,
                         "cannot create %s: a folder has that name; choose another path", path);
    }
    while (claim->descriptor < 0) {
        struct stat own, named;
        claim->descriptor = open(claim->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (claim->descriptor < 0) {
            return error_set_create(error, claim->path);
        }
        if (flock(claim->descriptor, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
            close(claim->descriptor);
            claim->descriptor = -1;
            return error_set(error, EXIT_BUSY,
                             "%s: another process is writing it now; wait for its end, or name "
                             "another folder",
                             path);
        }
        /* locked, or on a file system without locks; its last owner may just have removed it */
        if (fstat(claim->descriptor, &own) || stat(claim->path, &named) ||
            own.st_ino != named.st_ino) {
            close(claim->descriptor);
            claim->descriptor = -1;
        }
    }
    int i = find(NULL);
    if (i >= 0) {
        unfinished[i].path = NULL;
        unfinished[i].temporary = claim->path;
    }
    return 0;
}

void name_release(NameClaim *claim)
{
    if (claim->descriptor >= 0) {
        int i = find(claim->path);
        if (i >= 0) {
            unfinished[i].temporary = NULL;
        }
        unlink(claim->path);
        close(claim->descriptor);
    }
    free(claim->path);
    *claim = (NameClaim){NULL, -1};
}

int stdout_close(Error *error)
{
    int number = stream_close(stdout, 0);
    return number ? error_set(error, EXIT_IO,
                              "cannot write to standard output: %s; it is closed or full, and "
                              "lines are missing there",
                              strerror(number))
                  : 0;
}

int file_copy(const char *from, const char *to, Error *error)
{
    File file;
    Writer writer;
    if (file_map(&file, from, error)) {
        return error->code;
    }
    int code = writer_open(&writer, to, error);
    if (!code) {
        fwrite(file.bytes, 1, file.size, writer.stream);
        code = writer_commit(&writer, error);
    }
    file_unmap(&file);
    return code;
}
