#include "download.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const repositories[] = {
    "FacebookAI/roberta-base",
    "FacebookAI/roberta-large",
    "google-bert/bert-base-uncased",
    "google-bert/bert-large-uncased",
    "google-bert/bert-base-cased",
    "google-bert/bert-large-cased",
    "meta-llama/Llama-3.2-1B",
    "meta-llama/Llama-3.2-3B",
    "HuggingFaceTB/SmolLM2-135M",
    "HuggingFaceTB/SmolLM2-135M-Instruct",
    "sentence-transformers/all-MiniLM-L6-v2",
};

/* Whether the text can be an organisation or a model of the hub. */
static int is_name(const char *text, size_t length)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "._-";
    return length && *text != '.' && *text != '-' && strspn(text, allowed) >= length;
}

/* ORG/NAME of a path without slashes at its end. */
static char *repository_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < sizeof repositories / sizeof *repositories; i++) {
        if (!strcasecmp(strchr(repositories[i], '/') + 1, name)) {
            return string_copy(repositories[i]);
        }
    }
    if (!is_name(name, strlen(name))) {
        return string_copy("ORG/NAME");
    }
    if (slash && is_name(path, (size_t)(slash - path))) {
        char *parent = string_format("%.*s", (int)(slash - path), path);
        int is_path = path_is_folder(parent);
        free(parent);
        if (!is_path) {
            return string_copy(path);
        }
    }
    return string_format("ORG/%s", name);
}

char *download_command(const char *folder)
{
    static const char gated[] = "meta-llama/";
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/') {
        length--;
    }
    char *path = string_format("%.*s", (int)length, folder), *repository = repository_of(path),
         *word = shell_quote(path);
    char *command = string_format(
        "hf download %s --local-dir %s%s", repository, word,
        strncmp(repository, gated, sizeof gated - 1)
            ? ""
            : " (accept its licence on huggingface.co first and log in: hf auth login)");
    free(path);
    free(repository);
    free(word);
    return command;
}

int model_missing(const char *folder, Error *error)
{
    char *command = download_command(folder);
    if (path_is_folder(folder)) {
        error_set(error, EXIT_NO_INPUT,
                  "%s: no config.json; name a Hugging Face folder, or get it with: %s", folder,
                  command);
    } else if (path_exists(folder)) {
        error_set(error, EXIT_NO_INPUT,
                  "%s: a file; name the folder with config.json that it lies in", folder);
    } else {
        error_set(error, EXIT_NO_INPUT, "%s: no such model folder; get it with: %s", folder,
                  command);
    }
    free(command);
    return error->code;
}
