/* Plain text for a language model: documents, cut into windows of tokens. */
#ifndef TEXT_H
#define TEXT_H

#include "encode.h"

/* Reads UTF-8 text in which an empty line ends a document. path is one file, whose last tenth of
 * windows (at least one) is for evaluation, or a folder with train.txt and validation.txt. A
 * document is tokenized with what the tokenizer puts around a text and cut into windows of at most
 * encoding->longest tokens; each begins with the last token of the one before, so every token but a
 * document's first is predicted once. limits > 0 keep the first windows. Fills data sets and
 * encodings, to be freed as those of tasks. Errors: 66 missing; 65 not UTF-8, a byte 0, fewer than two
 * windows, an id outside of the model's vocabulary of V. */
int text_read(Dataset *train, Dataset *dev, Encoded *train_ids, Encoded *dev_ids, const Task *task,
              const char *path, const Encoding *encoding, int max_train, int max_dev, Error *error);

#endif
