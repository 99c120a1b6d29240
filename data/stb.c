/* The one place that holds the code of stb_ds. */
#include "base.h"

#include <stdlib.h>

/* It looks at no result of its own. */
#define STBDS_REALLOC(context, old, bytes) memory_realloc(old, bytes, 1)
#define STBDS_FREE(context, memory) free(memory)
#define STB_DS_IMPLEMENTATION
#include <stb/stb_ds.h>
