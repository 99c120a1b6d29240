#define _GNU_SOURCE
#include "folders.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

typedef struct List {
    char **files; /* [count], room for a power of 2 */
    size_t count;
} List;

static void add(List *list, char *file)
{
    if ((list->count & (list->count - 1)) == 0) {
        size_t room = list->count ? 2 * list->count : 1;
        list->files = memory_realloc(list->files, room, sizeof *list->files);
    }
    list->files[list->count++] = file;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_folder(List *list, const char *path, Error *error)
{
    DIR *folder = opendir(path);
    if (!folder) {
        return error_set_errno(error, "read the folder", path);
    }
    size_t first = list->count, n = strlen(path);
    for (const struct dirent *entry; (entry = readdir(folder));) {
        size_t size = strlen(entry->d_name);
        char *file = string_format("%s%s%s", path, path[n - 1] == '/' ? "" : "/", entry->d_name);
        if (*entry->d_name != '.' && size > 4 && !strcmp(entry->d_name + size - 4, ".bin") &&
            !path_is_folder(file)) {
            add(list, file);
        } else {
            free(file);
        }
    }
    closedir(folder);
    if (list->count == first) {
        return REFUSE("%s: a folder without prediction files (.bin); name files, or the folder "
                      "that --preds named",
                      path);
    }
    qsort(list->files + first, list->count - first, sizeof *list->files, by_name);
    return 0;
}

int folders_expand(char ***files, size_t *count, char *const *paths, size_t n, Error *error)
{
    List list = {0};
    int code = 0;
    for (size_t i = 0; i < n && !code; i++) {
        if (path_is_folder(paths[i])) {
            code = add_folder(&list, paths[i], error);
        } else if (!path_exists(paths[i])) {
            code = error_set_errno(error, "open", paths[i]);
        } else {
            add(&list, string_copy(paths[i]));
        }
    }
    if (code) {
        folders_free(list.files, list.count);
        list = (List){0};
    }
    *files = list.files;
    *count = list.count;
    return code;
}

void folders_free(char **files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(files[i]);
    }
    free(files);
}
