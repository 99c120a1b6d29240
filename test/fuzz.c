#define _GNU_SOURCE
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fuzz_fail(const char *file, int line, const char *condition, const char *format, ...)
{
    va_list list;
    fprintf(stderr, "%s:%d: not %s: ", file, line, condition);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    abort();
}

int fuzz_split(FuzzFile files[FUZZ_FILES], const uint8_t *bytes, size_t size)
{
    static const char between[] = "\n%%";
    const size_t length = sizeof between - 1;
    int count = 0;
    for (size_t at = 0; at < size && count < FUZZ_FILES;) {
        const uint8_t *end = memmem(bytes + at, size - at, between, length);
        size_t last = end ? (size_t)(end - bytes) : size, n = last - at;
        FuzzFile *file = &files[count++];
        *file = (FuzzFile){.letter = n ? (char)bytes[at] : 'a', .size = n ? n - 1 : 0};
        file->bytes = memory_alloc(file->size, 1);
        memcpy(file->bytes, bytes + at + (n ? 1 : 0), file->size);
        at = last + length;
    }
    return count;
}

void fuzz_free(FuzzFile *files, int count)
{
    for (int i = 0; i < count; i++) {
        free(files[i].bytes);
    }
}

static char *folder; /* in $TMPDIR */

static void remove_folder(void)
{
    Error error;
    if (folder_remove(folder, &error)) {
        fprintf(stderr, "%s\n", error.text);
    }
    free(folder);
}

const char *fuzz_folder(void)
{
    if (!folder) {
        Error error;
        folder = folder_temporary(&error);
        REQUIRE(folder, "%s", error.text);
        atexit(remove_folder);
    }
    return folder;
}

char *fuzz_path(const char *name)
{
    return string_format("%s/%s", fuzz_folder(), name);
}

void fuzz_write(const char *name, const void *bytes, size_t size)
{
    char *path = fuzz_path(name);
    FILE *file = fopen(path, "wb");
    REQUIRE(file && fwrite(bytes, 1, size, file) == size && !fclose(file), "%s", path);
    free(path);
}

void fuzz_remove(const char *name)
{
    char *path = fuzz_path(name);
    (void)unlink(path);
    free(path);
}
