/* Where the files of a task are: folders and names as data sets are unpacked, cloned and exported
 * under, and what to say where there is none. */
#include "task_reader.h"

#include <stdlib.h>
#include <string.h>

/* stb_ds array of owned texts. */
typedef char **Paths;

static void paths_free(Paths paths)
{
    for (ptrdiff_t i = 0; i < arrlen(paths); i++) {
        free(paths[i]);
    }
    arrfree(paths);
}

/* Appends the folders in parent that have one of the names, the spelling of the first one
 * in front. */
static int add_folders(Paths *folders, const char *parent, const char *const names[3],
                       Error *error)
{
    char **entries;
    size_t count;
    Error unseen; /* whoever opens the file says it */
    if (!path_is_folder(parent)) {
        return 0;
    }
    int code = folder_list(&entries, &count, parent, error);
    for (int official = 1; official >= 0 && !code; official--) {
        for (size_t i = 0; i < count; i++) {
            int match = 0, is_folder;
            for (int n = 0; n < 3; n++) {
                match = match || (*names[n] && same_name(entries[i], names[n]));
            }
            char *path = string_format("%s/%s", parent, entries[i]);
            int first = !strcmp(entries[i], names[0]);
            if (match && first == official && (path_look(path, &is_folder, &unseen) || is_folder)) {
                arrput(*folders, path);
            } else {
                free(path);
            }
        }
    }
    folder_list_free(entries, count);
    return code;
}

/* The folders where the files of a task may be, in the order of their looking. Errors: one cannot be
 * listed; *folders is the caller's then, too. */
static int find_folders(Paths *folders, const Task *task, const char *data, Error *error)
{
    const char *const benchmark[3] = {task->benchmark, "", ""};
    const char *const names[3] = {task->folder, task->name, task->alias};
    Paths parents = NULL;
    *folders = NULL;
    int code = add_folders(&parents, data, benchmark, error);
    for (ptrdiff_t i = 0; i < arrlen(parents) && !code; i++) {
        code = add_folders(folders, parents[i], names, error);
    }
    paths_free(parents);
    code = code ? code : add_folders(folders, data, names, error);
    arrput(*folders, string_copy(data));
    return code;
}

/* What the files of a split begin with in exports. */
static const char *const *stems_of(const char *split)
{
    static const char *const stems[3][3] = {
        {"train", "", ""}, {"validation", "val", "dev"}, {"test", "", ""}};
    return stems[!strcmp(split, "train") ? 0 : !strncmp(split, "validation", 10) ? 1 : 2];
}

/* One of the official names in a folder, or NULL. */
static char *find_official(const char *folder, const char *names)
{
    for (const char *at = names;; at++) {
        size_t length = strcspn(at, "|");
        char *path = string_format("%s/%.*s", folder, (int)length, at);
        if (path_exists(path)) {
            return path;
        }
        free(path);
        at += length;
        if (!*at) {
            return NULL;
        }
    }
}

/* The split's file in a folder: the official one, else one of the names of exports, Parquet last.
 * NULL if there is none. */
static char *find_in(const char *folder, const Task *task, const char *split)
{
    static const char *const endings[] = {".tsv", ".jsonl", ".json", ".csv", ".parquet"};
    static const char *const shards[] = {"", "-00000-of-00001"};
    const char *official = split_find(task, split)->files, *part = strchr(official, '_');
    int part_size = part ? (int)strcspn(part, ".") : 0; /* MNLI's "_matched" */
    char *path = find_official(folder, official);
    for (int i = 0; i < 5 * 3 * 2 && !path; i++) {
        const char *stem = stems_of(split)[i / 2 % 3];
        path = string_format("%s/%s%.*s%s%s", folder, stem, part_size, part ? part : "",
                             shards[i % 2], endings[i / 6]);
        if (!*stem || !path_exists(path)) {
            free(path);
            path = NULL;
        }
    }
    return path;
}

/* *path is NULL if there is none. Errors: of find_folders. */
static int find_file(char **path, const Task *task, const char *data, const char *split,
                     Error *error)
{
    Paths folders;
    int code = find_folders(&folders, task, data, error);
    *path = NULL;
    for (ptrdiff_t i = 0; i < arrlen(folders) && !*path && !code; i++) {
        /* the folder itself, the last one, may be that of the task whose runs predict this one */
        *path = task->trained && i == arrlen(folders) - 1
                    ? find_official(folders[i], split_find(task, split)->files)
                    : find_in(folders[i], task, split);
    }
    paths_free(folders);
    return code;
}

int dataset_exists(const Task *task, const char *data, const char *split)
{
    char *path;
    Error unseen;
    int code = find_file(&path, task, data, split, &unseen); /* then dataset_read says it */
    free(path);
    return code || path;
}

/* "FOLDER has a, b, c", the first names. */
static char *describe_folder(const char *folder)
{
    enum { SHOWN = 8 };
    char **names, *text = string_copy(folder);
    size_t count, seen = 0;
    Error error;
    int code = folder_list(&names, &count, folder, &error);
    for (size_t i = 0; i < count && !code; i++) {
        if (*names[i] != '.' && seen++ < SHOWN) {
            string_append(&text, "%s %.40s", seen == 1 ? " has" : ",", names[i]);
        }
    }
    if (code) {
        string_append(&text, ": %s", error.text);
    } else if (!seen) {
        string_append(&text, " is empty");
    } else if (seen > SHOWN) {
        string_append(&text, " and %zu more", seen - SHOWN);
    }
    folder_list_free(names, count);
    return text;
}

static void refuse_missing(const Task *task, const char *data, const char *split, Error *error)
{
    Paths folders;
    char *seen = string_copy("");
    (void)find_folders(&folders, task, data, error); /* find_file has just done so */
    for (ptrdiff_t i = 0; i < arrlen(folders); i++) {
        char *one = describe_folder(folders[i]);
        string_append(&seen, "; %s", one);
        free(one);
    }
    const char *official = split_find(task, split)->files, *const *stems = stems_of(split),
               *part = strchr(official, '_'); /* "_matched.tsv" */
    char *exported = part        ? string_format("%s%.*s", *stems, (int)strcspn(part, "."), part)
                     : *stems[1] ? string_copy("validation, val, dev")
                                 : string_copy(*stems);
    error_set(error, EXIT_NO_INPUT,
              "%s: the %s split of %s is missing; looked for %s (or %s in .tsv, .jsonl, .json or "
              ".csv) in %s/%s, in %s and there itself; docs/TASKS.md says where to get the files%s",
              data, split, task->name, official, exported, task->benchmark, task->folder,
              task->folder, seen);
    free(exported);
    free(seen);
    paths_free(folders);
}

char *task_file_find(const Task *task, const char *data, const char *split, Error *error)
{
    char *path;
    if (!find_file(&path, task, data, split, error) && !path) {
        refuse_missing(task, data, split, error);
    }
    return path;
}
