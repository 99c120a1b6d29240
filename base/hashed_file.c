#define _GNU_SOURCE
#include "hashed_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

/* Bytes that are hashed and then written, while a cache still has them; and those of which the disk
 * is told at a time. */
enum { PIECE = 1 << 18, BEGIN = 1 << 23 };

static void text_of_hash(char hex[17], XXH64_hash_t hash)
{
    snprintf(hex, 17, "%016llx", (unsigned long long)hash);
}

void hashed_text(char hex[17], const void *bytes, size_t size)
{
    text_of_hash(hex, XXH3_64bits(bytes, size));
}

int hashed_open(HashedFile *file, const char *path, Error *error)
{
    *file = (HashedFile){.path = path};
    file->descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file->descriptor < 0) {
        return error_set_create(error, path);
    }
    XXH3_state_t *hash = XXH3_createState();
    if (!hash) {
        memory_refused("XXH3_createState", 1024, memory_machine(), 0);
    }
    XXH3_64bits_reset(hash);
    file->hash = hash;
    return 0;
}

int hashed_put(void *user, const void *bytes, size_t size, Error *error)
{
    HashedFile *file = user;
    const char *at = bytes;
    for (size_t left = size, piece; left; left -= piece, at += piece) {
        piece = size_min(left, PIECE);
        XXH3_64bits_update(file->hash, at, piece);
        for (size_t done = 0; done < piece;) {
            ssize_t written = write(file->descriptor, at + done, piece - done);
            if (written < 0 && errno == EINTR) {
                continue;
            }
            if (written <= 0) {
                errno = written ? errno : ENOSPC;
                return error_set_errno(error, "write", file->path);
            }
            done += (size_t)written;
        }
        file->size += piece;
        if (file->size - file->begun >= BEGIN) { /* advice: fsync has the last word */
            (void)sync_file_range(file->descriptor, (off_t)file->begun,
                                  (off_t)(file->size - file->begun), SYNC_FILE_RANGE_WRITE);
            file->begun = file->size;
        }
    }
    return 0;
}

int hashed_close(HashedFile *file, char hex[17], int code, Error *error)
{
    if (!code && fsync(file->descriptor)) {
        code = error_set_errno(error, "write", file->path);
    }
    if (close(file->descriptor) && !code) {
        code = error_set_errno(error, "write", file->path);
    }
    text_of_hash(hex, XXH3_64bits_digest(file->hash));
    (void)XXH3_freeState(file->hash);
    return code;
}
