#include "shards.h"
#include "download.h"

#include <stdlib.h>
#include <string.h>

void shards_free(Shards *shards)
{
    for (int i = 0; shards && i < shards->count; i++) {
        safetensors_close(&shards->files[i]);
    }
    free(shards ? shards->files : NULL);
    free(shards);
}

static int shards_add(Shards *shards, const char *folder, const char *name, Error *error)
{
    char *path = string_format("%s/%s", folder, name);
    shards->files = memory_realloc(shards->files, (size_t)shards->count + 1, sizeof *shards->files);
    int code = safetensors_open(&shards->files[shards->count], path, error);
    shards->count += !code;
    free(path);
    return code;
}

/* Of a tensor in two files nobody could say which one is meant. */
static int check_twice(const Shards *shards, Error *error)
{
    for (int i = 1; i < shards->count; i++) {
        for (size_t t = 0; t < shards->files[i].count; t++) {
            const char *name = shards->files[i].tensors[t].name;
            for (int j = 0; j < i; j++) {
                if (safetensors_find(&shards->files[j], name)) {
                    return error_set(error, EXIT_BAD_DATA,
                                     "%s: tensor '%s' is in %s too; get the whole model folder "
                                     "again",
                                     shards->files[i].path, name, shards->files[j].path);
                }
            }
        }
    }
    return 0;
}

/* Every file that an index names; a name that leaves the folder is refused. */
static int shards_open_index(Shards *shards, const char *folder, const char *index_path,
                             Error *error)
{
    json_t *index, *file;
    const char *tensor;
    if (json_read_file(&index, index_path, error)) {
        return error->code;
    }
    json_t *map = json_object_get(index, "weight_map"), *seen = json_object();
    int code = json_is_object(map) && json_object_size(map)
                   ? 0
                   : error_set(
                         error, EXIT_BAD_DATA,
                         "%s: weight_map is missing or empty; get the whole model folder again",
                         index_path);
    json_object_foreach(map, tensor, file)
    {
        const char *name = json_string_value(file);
        if (code) {
            break;
        }
        if (!name || !*name || strchr(name, '/') || !strcmp(name, "..")) {
            code = error_set(
                error, EXIT_BAD_DATA,
                "%s: tensor '%s' is said to be in '%s', which is not a file of this folder",
                index_path, tensor, name ? name : "?");
        } else if (!json_object_get(seen, name)) {
            json_object_set_new(seen, name, json_true());
            code = shards_add(shards, folder, name, error);
        }
    }
    json_decref(seen);
    json_decref(index);
    return code ? code : check_twice(shards, error);
}

int shards_open(Shards **opened, const char *folder, Error *error)
{
    Shards *shards = memory_calloc(1, sizeof *shards);
    char *single = string_format("%s/model.safetensors", folder),
         *index = string_format("%s/model.safetensors.index.json", folder);
    int code;
    if (path_exists(single)) {
        code = shards_add(shards, folder, "model.safetensors", error);
    } else if (path_exists(index)) {
        code = shards_open_index(shards, folder, index, error);
    } else {
        char *command = download_command(folder);
        code = error_set(error, EXIT_NO_INPUT,
                         "%s: neither model.safetensors nor model.safetensors.index.json is there; "
                         "get it with: %s",
                         folder, command);
        free(command);
    }
    free(single);
    free(index);
    if (code) {
        shards_free(shards);
        return code;
    }
    *opened = shards;
    return 0;
}

static const Tensor *find_exactly(const Shards *shards, const char *name, const char **path)
{
    for (int i = 0; i < shards->count; i++) {
        const Tensor *tensor = safetensors_find(&shards->files[i], name);
        if (tensor) {
            *path = shards->files[i].path;
            return tensor;
        }
    }
    return NULL;
}

const Tensor *shards_find(const Shards *shards, const char *name, const char **path)
{
    const char *dot = strncmp(name, "bert.", 5) && strncmp(name, "roberta.", 8) ? NULL
                                                                                : strchr(name, '.');
    const Tensor *tensor = find_exactly(shards, name, path);
    if (!tensor && dot) {
        tensor = find_exactly(shards, dot + 1, path);
    }
    size_t length = strlen(name);
    const char *ends[][2] = {{"LayerNorm.weight", "LayerNorm.gamma"},
                             {"LayerNorm.bias", "LayerNorm.beta"}};
    for (int i = 0; i < 2 && !tensor; i++) {
        size_t end = strlen(ends[i][0]);
        if (length >= end && !strcmp(name + length - end, ends[i][0])) {
            char *old = string_format("%.*s%s", (int)(length - end), name, ends[i][1]);
            tensor = find_exactly(shards, old, path);
            if (!tensor && dot) {
                tensor = find_exactly(shards, old + (dot - name) + 1, path);
            }
            free(old);
        }
    }
    return tensor;
}
