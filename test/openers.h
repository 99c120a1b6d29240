/* Parsers as the file tests call them: open, check, close; the exit code. */
#ifndef OPENERS_H
#define OPENERS_H

#include "adapter.h"
#include "adapter_config.h"
#include "config.h"
#include "preds.h"

typedef int (*Opener)(const char *path, Error *error);

static inline int open_preds(const char *path, Error *error)
{
    Preds preds;
    int code = preds_read(&preds, path, error);
    if (!code) {
        preds_free(&preds);
    }
    return code;
}

static inline int open_config(const char *path, Error *error)
{
    Config config;
    int code = config_read(&config, path, error);
    if (!code) {
        config_free(&config);
    }
    return code;
}

/* An adapter's configuration for a base model of some architecture, the file under any name. */
static inline int open_adapter_config(const char *path, Error *error)
{
    static const Architecture all[] = {ARCH_BERT, ARCH_ROBERTA, ARCH_LLAMA};
    int code = EXIT_BAD_DATA;
    for (int i = 0; i < 3 && code; i++) {
        LoraConfig lora;
        Config config = {.architecture = all[i], .L = 2};
        code = adapter_config_read(&lora, path, &config, error);
    }
    return code;
}

#endif
