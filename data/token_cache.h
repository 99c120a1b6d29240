/* Data sets as token ids, kept from run to run in $XDG_CACHE_HOME/seedbed/tokens (~/.cache/seedbed/tokens). */
#ifndef TOKEN_CACHE_H
#define TOKEN_CACHE_H

#include "encode.h"

/* Data sets with fewer bytes of texts are encoded sooner than looked for; files beyond the largest sum
 * make the ones go that were used longest ago. */
enum { TOKEN_CACHE_LEAST = 4 << 20, TOKEN_CACHE_MOST = 1 << 30 };

/* encode, or, where no spans are wanted, what it gave an earlier run for the same texts, tokenizer, rule, lengths and sources of
 * data/. A file there that cannot be written or was damaged changes nothing but the time: one NOTE
 * on stderr says so. Of fewer than `least` bytes of texts nothing is kept: TOKEN_CACHE_LEAST, in tests
 * less. */
int encode_cached(Encoded *encoded, const Dataset *dataset, const Encoding *encoding, size_t least,
                  Error *error);

#endif
