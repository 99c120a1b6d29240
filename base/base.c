#define _GNU_SOURCE
#define OPENSSL_API_COMPAT 10101 /* SHA256_Update, which needs no provider and cannot fail */
#include "base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void text_plain(char *text)
{
    for (char *c = text; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7F) {
            *c = '?';
        }
    }
}

int error_set(Error *error, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    text_plain(error->text);
    error->code = code;
    return code;
}

int error_set_errno(Error *error, const char *verb, const char *path)
{
    int number = errno, code = EXIT_IO;
    const char *hint = "";
    if (number == ENOENT || number == ENOTDIR) {
        code = EXIT_NO_INPUT;
        hint = "; check the path";
    } else if (number == EACCES || number == EPERM || number == EROFS) {
        code = EXIT_PERMISSION;
        hint = "; check its permissions";
    } else if (number == EISDIR || number == EEXIST || number == ETXTBSY || number == ELOOP) {
        code = EXIT_BUSY;
        hint = "; choose another path";
    } else if (number == ENOMEM) {
        code = EXIT_NO_MEMORY;
        hint = "; free some memory and run again";
    } else if (number == EMFILE || number == ENFILE) {
        hint = "; raise the limit of open files (ulimit -n)";
    } else if (number == ENOSPC || number == EDQUOT) {
        hint = "; free some space and run again";
    } else if (number == EIO) {
        hint = "; check the disk and run again";
    }
    return error_set(error, code, "cannot %s %s: %s%s", verb, path, strerror(number), hint);
}

int error_set_create(Error *error, const char *path)
{
    int code = error_set_errno(error, "create", path);
    return error->code = code == EXIT_NO_INPUT ? EXIT_BUSY : code;
}

char *string_part(const char *text, size_t size)
{
    char *part = memory_alloc(size + 1, 1);
    memcpy(part, text, size);
    part[size] = 0;
    return part;
}

char *string_copy(const char *text)
{
    return string_part(text, strlen(text));
}

char *string_format_list(const char *format, va_list arguments)
{
    char *text;
    if (vasprintf(&text, format, arguments) < 0) {
        memory_exhausted("vasprintf", strlen(format));
    }
    return text;
}

char *string_format(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = string_format_list(format, arguments);
    va_end(arguments);
    return text;
}

void string_append(char **text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *more = string_format_list(format, arguments);
    va_end(arguments);
    size_t old = *text ? strlen(*text) : 0, size = strlen(more) + 1;
    *text = memory_realloc(*text, old + size, 1);
    memcpy(*text + old, more, size);
    free(more);
}

int path_is_folder(const char *path)
{
    struct stat status;
    return !stat(path, &status) && S_ISDIR(status.st_mode);
}

/* Whether errno says that nothing has this name. */
static int is_absent(void)
{
    return errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG;
}

int path_exists(const char *path)
{
    return !access(path, F_OK) || !is_absent();
}

int path_look(const char *path, int *is_folder, Error *error)
{
    struct stat status;
    int gone = stat(path, &status);
    *is_folder = !gone && S_ISDIR(status.st_mode);
    return gone && !is_absent() ? error_set_errno(error, "read", path) : 0;
}

int path_is_same(const char *a, const char *b)
{
    struct stat first, second;
    return !stat(a, &first) && !stat(b, &second) && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

int folder_check(const char *path, Error *error)
{
    struct stat status;
    char *part = string_copy(path);
    int gone, is_folder;
    /* up to what is there */
    while ((gone = lstat(part, &status)) && errno == ENOENT && strcmp(part, ".")) {
        size_t n = strlen(part);
        while (n > 0 && part[n - 1] == '/') {
            n--;
        }
        while (n > 0 && part[n - 1] != '/') {
            n--;
        }
        free(part);
        part = n ? string_format("%.*s", (int)n, path) : string_copy(".");
    }
    int code = 0;
    if (gone) {
        code = error_set_create(error, path);
    } else if (path_look(part, &is_folder, error)) {
        code = error->code;
    } else if (!is_folder) {
        code = error_set(error, EXIT_BUSY,
                         "cannot create the folder %s: a file has that name; choose another path",
                         part);
    } else if (access(part, W_OK | X_OK)) {
        code = error_set_errno(error, "write into the folder", part);
    }
    free(part);
    return code;
}

int folder_make(const char *path, Error *error)
{
    char *part = string_copy(path);
    for (char *c = part + 1;; c++) {
        if (*c == '/' || !*c) {
            char end = *c;
            *c = 0;
            int made = !mkdir(part, 0777);
            if (made ? path_sync(part) : errno != EEXIST) {
                int code = error_set_create(error, part);
                free(part);
                return code;
            }
            if (!end) {
                break;
            }
            *c = '/';
        }
    }
    free(part);
    return folder_check(path, error);
}

char *folder_temporary(Error *error)
{
    const char *parent = getenv("TMPDIR");
    char *folder = string_format("%s/seedbed-XXXXXX", parent && *parent ? parent : "/tmp");
    if (!mkdtemp(folder)) {
        error_set_create(error, folder);
        free(folder);
        return NULL;
    }
    return folder;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int is_dots(const char *name)
{
    return !strcmp(name, ".") || !strcmp(name, "..");
}

int folder_list(char ***names, size_t *count, const char *path, Error *error)
{
    DIR *stream = opendir(path);
    struct dirent *entry;
    *names = NULL;
    *count = 0;
    if (!stream) {
        return error_set_errno(error, "read the folder", path);
    }
    while (errno = 0, (entry = readdir(stream))) {
        if (!is_dots(entry->d_name)) {
            *names = memory_realloc(*names, *count + 1, sizeof **names);
            (*names)[(*count)++] = string_copy(entry->d_name);
        }
    }
    int code = errno ? error_set_errno(error, "read the folder", path) : 0;
    closedir(stream);
    if (*count) {
        qsort(*names, *count, sizeof **names, by_bytes);
    }
    return code;
}

void folder_list_free(char **names, size_t count)
{
    while (count) {
        free(names[--count]);
    }
    free(names);
}

int folder_remove(const char *path, Error *error)
{
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream = descriptor < 0 ? NULL : fdopendir(descriptor);
    struct dirent *entry;
    int code = stream || errno == ENOENT ? 0 : error_set_errno(error, "remove", path);
    while (stream && !code && (errno = 0, (entry = readdir(stream)))) {
        if (!is_dots(entry->d_name) && unlinkat(dirfd(stream), entry->d_name, 0)) {
            code = error_set_errno(error, "remove what is in", path);
        }
    }
    if (stream && !code && errno) {
        code = error_set_errno(error, "remove what is in", path);
    }
    if (stream) {
        closedir(stream);
    }
    return !code && rmdir(path) && errno != ENOENT ? error_set_errno(error, "remove", path) : code;
}

void sha256(unsigned char digest[SHA256_BYTES], const Bytes *parts, size_t count)
{
    SHA256_CTX context;
    (void)SHA256_Init(&context);
    for (size_t i = 0; i < count; i++) {
        (void)SHA256_Update(&context, parts[i].at, parts[i].size);
    }
    (void)SHA256_Final(digest, &context);
}

void sha256_text(char hex[65], const unsigned char digest[SHA256_BYTES])
{
    for (int i = 0; i < SHA256_BYTES; i++) {
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
}

void sha256_hex(char hex[65], const void *bytes, size_t size)
{
    unsigned char digest[SHA256_BYTES];
    sha256(digest, &(Bytes){bytes, size}, 1);
    sha256_text(hex, digest);
}

size_t utf8_valid_prefix(const char *text, size_t size)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t at = 0;
    while (at < size) {
        uint64_t eight;
        while (size - at >= 8 && !(memcpy(&eight, s + at, 8), eight & 0x8080808080808080u)) {
            at += 8; /* ASCII */
        }
        if (at == size) {
            break;
        }
        unsigned char lead = s[at];
        size_t length = lead < 0x80                    ? 1
                        : lead >= 0xC2 && lead <= 0xDF ? 2
                        : (lead & 0xF0) == 0xE0        ? 3
                        : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                       : 0;
        if (!length || length > size - at) {
            return at;
        }
        for (size_t i = 1; i < length; i++) {
            if ((s[at + i] & 0xC0) != 0x80) {
                return at;
            }
        }
        if ((lead == 0xE0 && s[at + 1] < 0xA0) || (lead == 0xED && s[at + 1] > 0x9F) ||
            (lead == 0xF0 && s[at + 1] < 0x90) || (lead == 0xF4 && s[at + 1] > 0x8F)) {
            return at;
        }
        at += length;
    }
    return at;
}

uint32_t utf8_next(const char *text, size_t *at)
{
    const unsigned char *s = (const unsigned char *)text + *at;
    if (s[0] < 0x80) {
        *at += 1;
        return s[0];
    }
    if (s[0] < 0xE0) {
        *at += 2;
        return (s[0] & 0x1Fu) << 6 | (s[1] & 0x3Fu);
    }
    if (s[0] < 0xF0) {
        *at += 3;
        return (s[0] & 0x0Fu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
    }
    *at += 4;
    return (s[0] & 0x07u) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 | (s[3] & 0x3Fu);
}

size_t utf8_before(const char *text, size_t at, size_t least)
{
    do {
        at--;
    } while (at > least && ((unsigned char)text[at] & 0xC0) == 0x80);
    return at;
}

size_t utf8_put(char *out, uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, code >>= 6) {
        out[i] = (char)(0x80 | (code & 0x3F));
    }
    out[0] = (char)((length == 2 ? 0xC0 : length == 3 ? 0xE0 : 0xF0) | code);
    return length;
}

static int edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 63 };
    int n = (int)strlen(b), row[LONGEST + 1];
    if (n > LONGEST || strlen(a) > LONGEST) {
        return LONGEST;
    }
    for (int j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[n];
}

const char *nearest_word(const char *word, const char *const *candidates, int count)
{
    const char *nearest = NULL;
    int length = (int)strlen(word), smallest = length / 2 + 2;
    for (int i = 0; i < count; i++) {
        int distance = edit_distance(word, candidates[i]);
        if (distance < smallest && distance < length) { /* a letter at least is the same */
            smallest = distance;
            nearest = candidates[i];
        }
    }
    return nearest;
}

double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
