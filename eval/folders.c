#include "folders.h"

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

static int add_folder(List *list, const char *path, Error *error)
{
    char **names;
    size_t count, first = list->count, n = strlen(path);
    int code = folder_list(&names, &count, path, error);
    for (size_t i = 0; i < count && !code; i++) {
        size_t size = strlen(names[i]);
        char *file = string_format("%s%s%s", path, path[n - 1] == '/' ? "" : "/", names[i]);
        if (*names[i] != '.' && size > 4 && !strcmp(names[i] + size - 4, ".bin") &&
            !path_is_folder(file)) {
            add(list, file);
        } else {
            free(file);
        }
    }
    folder_list_free(names, count);
    if (!code && list->count == first) {
        code = REFUSE("%s: a folder without prediction files (.bin); name files, or the folder "
                      "that --preds named",
                      path);
    }
    return code;
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
        folder_list_free(list.files, list.count);
        list = (List){0};
    }
    *files = list.files;
    *count = list.count;
    return code;
}
