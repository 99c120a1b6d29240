#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int compare_files(int *same, const char *a, const char *b, Error *error)
{
    File first, second;
    if (file_map(&first, a, error)) {
        return error->code;
    }
    int code = file_map(&second, b, error);
    if (!code) {
        *same = first.size == second.size &&
                (!first.size || !memcmp(first.bytes, second.bytes, first.size));
        file_unmap(&second);
    }
    file_unmap(&first);
    return code;
}

/* A second name for the file, so that it is never without one. Of a link the file at its end is
 * meant: that is the one that is written anew. */
static int keep_file(char **kept, const char *path, Error *error)
{
    int stem = (int)(strlen(path) - strlen(".bin"));
    for (int i = 1;; i++) {
        *kept = string_format("%.*s.%d.bin", stem, path, i);
        if (!linkat(AT_FDCWD, path, AT_FDCWD, *kept, AT_SYMLINK_FOLLOW)) {
            return 0;
        }
        if (errno != EEXIST && !path_exists(*kept)) {
            /* a file system without hard links, or the end of a link is on another one */
            return rename(path, *kept) ? error_set_errno(error, "rename", path) : 0;
        }
        free(*kept);
    }
}

int output_write(Preds *preds, char **kept, int *same, Error *error)
{
    char *path = preds->path;
    *kept = NULL;
    *same = 0;
    if (!path_exists(path)) {
        return preds_write(preds, error);
    }
    preds->path = string_format("%s.new", path);
    int code = preds_write(preds, error);
    if (!code) {
        code = compare_files(same, path, preds->path, error);
        unlink(preds->path);
    }
    free(preds->path);
    preds->path = path;
    if (code || *same) {
        return code;
    }
    return keep_file(kept, path, error) || preds_write(preds, error) ? error->code : 0;
}
