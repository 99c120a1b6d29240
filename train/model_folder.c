#include "model_folder.h"
#include "tokenizer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int tokenizer_copy(const char *from, const char *to, Error *error)
{
    const char *files[TOKENIZER_FILES];
    int count = tokenizer_files(from, files), code = 0;
    for (int i = 0; i < count && !code; i++) {
        char *source = string_format("%s/%s", from, files[i]),
             *target = string_format("%s/%s", to, files[i]);
        code = file_copy(source, target, error);
        free(source);
        free(target);
    }
    return code;
}

static int is_listed(const char *name, const char *const *list, int count)
{
    for (int i = 0; i < count; i++) {
        if (!strcmp(name, list[i])) {
            return 1;
        }
    }
    return 0;
}

/* model-00001-of-00002.safetensors, pytorch_model-00001-of-00002.bin */
static int is_shard(const char *name)
{
    int end = 0;
    return (sscanf(name, "model-%*5d-of-%*5d.safetensors%n", &end) == 0 && end > 0 && !name[end]) ||
           (sscanf(name, "pytorch_model-%*5d-of-%*5d.bin%n", &end) == 0 && end > 0 && !name[end]);
}

static int remove_file(const char *folder, const char *name, Error *error)
{
    struct stat status;
    char *path = string_format("%s/%s", folder, name);
    int gone = lstat(path, &status),
        code = gone && errno != ENOENT ? error_set_errno(error, "remove", path) : 0;
    if (!gone && (S_ISREG(status.st_mode) || S_ISLNK(status.st_mode))) {
        code = unlink(path) ? error_set_errno(error, "remove", path) : 0;
        if (!code) {
            fprintf(stderr, "removed, of an older model: %s\n", path);
        }
    }
    free(path);
    return code;
}

int folder_remove_older(const char *folder, const char *from, int is_adapter, Error *error)
{
    static const char *const adapter[] = {"adapter_config.json", "adapter_model.safetensors",
                                          "adapter_model.bin"},
                             *const model[] = {"config.json",       "generation_config.json",
                                               "model.safetensors", "model.safetensors.index.json",
                                               "pytorch_model.bin", "pytorch_model.bin.index.json",
                                               "tf_model.h5",       "flax_model.msgpack"},
                             *const written[2][2] = {
                                 {"config.json", "model.safetensors"},
                                 {"adapter_config.json", "adapter_model.safetensors"}};
    enum { ADAPTER = sizeof adapter / sizeof *adapter, MODEL = sizeof model / sizeof *model };
    const char *own[TOKENIZER_FILES] = {"vocab.txt"}, *there[TOKENIZER_FILES];
    int owned = from ? tokenizer_files(from, own) : 1, found = tokenizer_files(folder, there),
        code = 0;
    for (int i = 0; i < found && !code; i++) {
        code = is_listed(there[i], own, owned) ? 0 : remove_file(folder, there[i], error);
    }
    char **names = NULL;
    size_t count = 0;
    code = code ? code : folder_list(&names, &count, folder, error);
    for (size_t i = 0; i < count && !code; i++) {
        const char *name = names[i];
        if (!is_listed(name, written[is_adapter], 2) &&
            (is_shard(name) || is_listed(name, adapter, ADAPTER) ||
             is_listed(name, model, MODEL))) {
            code = remove_file(folder, name, error);
        }
    }
    folder_list_free(names, count);
    return code;
}
