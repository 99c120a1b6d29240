/* What every part of seedbed stands on: errors as values, checked memory, whole files.
 *
 * A function that can fail on its input returns 0 or one of the EXIT_ codes below and fills an
 * Error; the main program prints it as one line and exits with the code. Only running out of memory
 * ends the process at once (71): no caller could do anything about it. Nothing here ever asserts on
 * what a file contains. */
#ifndef BASE_H
#define BASE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Exit codes, after sysexits(3). */
enum {
    EXIT_DONE = 0,
    EXIT_USAGE = 64,    /* unknown option, task, kernel or value */
    EXIT_BAD_DATA = 65, /* damaged or unfitting file */
    EXIT_NO_INPUT = 66, /* missing file or folder */
    EXIT_UNAVAILABLE = 69, /* a library or device that is not there */
    EXIT_BUG = 70,      /* a mistake of this program */
    EXIT_NO_MEMORY = 71,
    EXIT_BUSY = 73,    /* output cannot be created */
    EXIT_IO = 74,      /* disk full, read or write error */
    EXIT_STOPPED = 75, /* stopped by a signal; run again */
    EXIT_PERMISSION = 77,
    EXIT_CONFIG = 78,   /* going on with other settings, data or kernels than it was begun with */
    EXIT_DIVERGED = 79 /* a loss or gradient is not finite */
};

typedef struct Error {
    int code;        /* 0 or an EXIT_ code */
    char text[1024]; /* what, where, what to do; one line, no newline */
} Error;

static inline int int_min(int a, int b)
{
    return a < b ? a : b;
}

static inline int int_max(int a, int b)
{
    return a > b ? a : b;
}

static inline size_t size_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t size_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Line breaks and other control characters become '?': a name in a file is not to move the cursor
 * of a terminal or begin a line. */
void text_plain(char *text);

/* Fills *error and returns code. The text is made plain. */
int error_set(Error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same of bad data, in a function whose Error is called error. */
#define REFUSE(...) error_set(error, EXIT_BAD_DATA, __VA_ARGS__)

/* The same from errno, for "cannot VERB PATH": chooses 66, 71, 73, 74 or 77. */
int error_set_errno(Error *error, const char *verb, const char *path);

/* For "cannot create PATH", an output: 73 where its folder is missing, else 71, 73, 74 or 77. */
int error_set_create(Error *error, const char *path);

/* Memory that is never NULL: on failure memory_exhausted. Sizes are count * size, checked. */
void *memory_alloc(size_t count, size_t size);
void *memory_calloc(size_t count, size_t size);
void *memory_realloc(void *old, size_t count, size_t size);
char *string_copy(const char *text);
char *string_part(const char *text, size_t size); /* bytes, no 0 needed behind */
char *string_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *string_format_list(const char *format, va_list arguments)
    __attribute__((format(printf, 1, 0)));

/* Puts more behind a text of such memory, or of NULL. What is formatted may not be *text. */
void string_append(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The text as one word of a shell (POSIX; $'...' where it holds control characters), as it is where
 * nothing in it is special. The caller frees it. */
char *shell_quote(const char *text);

/* Prints words on lines of at most 80 columns: the line stands at this column, the next ones begin
 * behind indent spaces. No line break at the end. A longer word stays whole, on its own line. */
void print_words(FILE *out, size_t column, size_t indent, const char *text);

/* One zeroed arena for tensors, 2 MiB aligned, huge pages advised where it fills them. Freed by
 * arena_free with the same size. */
void *arena_alloc(size_t bytes);
void arena_free(void *arena, size_t bytes);

/* A whole file in memory, or mapped read-only. bytes is NULL for an empty file that was mapped. */
typedef struct File {
    const unsigned char *bytes;
    size_t size;
} File;

/* Maps a regular file; any thread may. Where there is no room for it, memory_exhausted. Errors: 66
 * missing, 77 not readable, 65 a folder or special file, 74 I/O. Until file_unmap, a page that is
 * gone (the file was cut) ends the process with one line and 74. */
int file_map(File *file, const char *path, Error *error);
void file_unmap(File *file);

/* Whether every file that is mapped now is as it was then, by size and time of change; a file that
 * was replaced by another one under its name is. Errors: 65 with the path. */
int files_unchanged(Error *error);

/* Writing: path.tmp-PID in the same folder; writer_commit fsyncs, renames to path and fsyncs the
 * folder, or removes it on failure, also where a mapped file was changed (files_unchanged). So a
 * file under its final name is always whole. A symbolic link stays: the file at its end is the one
 * that is written. Devices, FIFOs and standard output under another name (/dev/stdout) are written
 * into. What killed processes of this machine left in the folder under such names, with the same
 * ending (.bin), is removed. Errors: 65, 73, 74, 77. */
typedef struct Writer {
    FILE *stream;
    char *path, *temporary; /* temporary is NULL where path is written into */
} Writer;

int writer_open(Writer *writer, const char *path, Error *error);

/* Whether writer_open would succeed, as far as can be seen without making anything. The same
 * errors. */
int writer_check(const char *path, Error *error);
int writer_commit(Writer *writer, Error *error);

/* Instead of committing: the file is not made. */
void writer_abandon(Writer *writer);

/* Files that belong together: from writers_begin on, what is committed waits under its temporary
 * name; writers_end gives all of them their names, or, if code is not 0 or one of them fails,
 * removes those that still wait. Returns code or the error. */
void writers_begin(void);
int writers_end(int code, Error *error);

/* A name that this process alone writes, by a lock on path.lock that ends with it. Release it also
 * after an error. Errors: 73 a live process has it; 73, 74, 77 as for any file. */
typedef struct NameClaim {
    char *path; /* of the lock */
    int descriptor;
} NameClaim;
int name_claim(NameClaim *claim, const char *path, Error *error);
void name_release(NameClaim *claim);

/* For a signal handler that ends the process: removes the temporary files and locks, or goes on
 * with giving names if writers_end was about it. */
void writers_settle(void);

/* Ends standard output: 74 if it is closed or full, or what was printed did not arrive. */
int stdout_close(Error *error);

/* Copies a file, whole or not at all. Errors: those of file_map and of Writer. */
int file_copy(const char *from, const char *to, Error *error);

/* Whether the disk holds what was written to an open file: 0, or -1 and errno. What no disk is behind,
 * such as a pipe, needs none. */
int file_sync(int descriptor);

/* Whether the folder that path is in holds on the disk what it holds now: 0, or -1 and errno. One that
 * may be written into but not read cannot be asked, and is no error. */
int path_sync(const char *path);

/* Removes a folder and the files in it. What is not there is no error. Errors: those of unlink and
 * rmdir: 74, 77. */
int folder_remove(const char *path, Error *error);

/* The names in a folder but . and .., in the order of their bytes; the caller frees them with
 * folder_list_free, also after an error. Errors: 66 there is no such folder, 71, 74, 77. */
int folder_list(char ***names, size_t *count, const char *path, Error *error);
void folder_list_free(char **names, size_t count);

/* Makes a folder and its parents; those that were not there stay after a crash of the machine. Errors:
 * 73, 74 or 77. */
int folder_make(const char *path, Error *error);

/* Makes a folder of the program's own in $TMPDIR, or /tmp. Returns its path, which the caller frees;
 * NULL after an error: 73, 74 or 77. */
char *folder_temporary(Error *error);

/* Whether folder_make would succeed, as far as can be seen without making anything. The same
 * errors. */
int folder_check(const char *path, Error *error);
int path_is_folder(const char *path);

/* Whether something has this name, or may have: what cannot be looked at is there, so that whoever
 * opens it says why it cannot be read. */
int path_exists(const char *path);

/* Whether it is a folder. Errors: it cannot be looked at, be there something or not: 73 links in a
 * ring, 74, 77. */
int path_look(const char *path, int *is_folder, Error *error);

/* Whether both exist and are the same file or folder, under whatever names. */
int path_is_same(const char *a, const char *b);

/* SHA-256 of parts, one behind the other, one of which may be the digest itself; as 64 lower-case
 * hexadecimal digits and a 0; and both for bytes in one piece. */
enum { SHA256_BYTES = 32 };
typedef struct Bytes {
    const void *at;
    size_t size;
} Bytes;
void sha256(unsigned char digest[SHA256_BYTES], const Bytes *parts, size_t count);
void sha256_text(char hex[65], const unsigned char digest[SHA256_BYTES]);
void sha256_hex(char hex[65], const void *bytes, size_t size);

/* Length of the longest valid UTF-8 prefix of text (RFC 3629: no surrogates, nothing overlong, at
 * most 10FFFF). */
size_t utf8_valid_prefix(const char *text, size_t size);

/* Decodes the code point at text[*at] of valid UTF-8 and moves *at behind it. */
uint32_t utf8_next(const char *text, size_t *at);

/* Where the character of valid UTF-8 in front of a place starts; least is as far as it may go. */
size_t utf8_before(const char *text, size_t at, size_t least);

/* Appends a code point as UTF-8 to out (at most 4 bytes) and returns how many were written. */
size_t utf8_put(char *out, uint32_t code);

/* Damerau-free edit distance, for did-you-mean. Returns the candidate nearest to word, or NULL if
 * none is near. */
const char *nearest_word(const char *word, const char *const *candidates, int count);

/* Seconds of a monotonic clock. */
double clock_seconds(void);

/* "1.5 GiB", "1.5 MiB" or "1.5 KiB". Returns text. */
enum { BYTES_TEXT = 32 };
const char *bytes_text(char text[BYTES_TEXT], size_t bytes);

/* What a run is told to do that could have so many bytes in all, the tensors that it has among them.
 * Whoever plans it says so here; advise NULL: nobody did. */
enum { ADVICE_TEXT = 256 };
typedef struct MemoryAdvice {
    void (*advise)(char text[ADVICE_TEXT], const void *user, size_t bytes);
    const void *user;
} MemoryAdvice;
extern MemoryAdvice memory_advice;

/* Ends the program with 71 and one line: the call that wanted more memory, how much, how much is
 * free, and the advice. held: bytes of the tensors that there are. */
void memory_refused(const char *call, size_t bytes, size_t room, size_t held)
    __attribute__((noreturn));

/* The same of the host's memory. */
void memory_exhausted(const char *call, size_t bytes) __attribute__((noreturn));

/* Bytes of memory that this process may have: the machine's memory and swap space, or what a cgroup
 * leaves of them; or what is left of ulimit's, if that is less. */
size_t memory_machine(void);

/* Bytes that the cgroups of this file allow, whose files are under this folder; -1: any number. */
double memory_quota(const char *cgroups, const char *mount);

/* Largest resident set of this process so far, in bytes; 0 where the system does not say. */
size_t memory_peak(void);

#endif
