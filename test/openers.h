/* Parsers as the file tests call them: open, check, close; the exit code. */
#ifndef OPENERS_H
#define OPENERS_H

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

#endif
