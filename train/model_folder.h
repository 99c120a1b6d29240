/* What a folder holds beside the weights that model_write or adapter_write put there. */
#ifndef MODEL_FOLDER_H
#define MODEL_FOLDER_H

#include "base.h"

/* Copies every file of the tokenizer of one folder to another. Errors: those of file_copy. */
int tokenizer_copy(const char *from, const char *to, Error *error);

/* Removes what an older model left in a folder that has just been written: weights in other files
 * or shards, adapters beside a model or a model beside an adapter, tokenizer files that `from`
 * (NULL: a vocab.txt alone) has not. Only files with the names of Hugging Face's; says on stderr
 * which. Errors: 74, 77. */
int folder_remove_older(const char *folder, const char *from, int is_adapter, Error *error);

#endif
