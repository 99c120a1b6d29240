/* How to get a model that is not there. */
#ifndef DOWNLOAD_H
#define DOWNLOAD_H

#include "base.h"

/* The command of huggingface_hub that puts a model into this folder, and what else it takes. The
 * repository is known by the folder's name, or is the folder as given (ORG/NAME); else ORG stands
 * for what is not known. The caller frees it. */
char *download_command(const char *folder);

/* Fills *error (66) for a folder that is missing, a file, or without config.json. */
int model_missing(const char *folder, Error *error);

#endif
