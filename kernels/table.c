/* The op table of one build. */
#include "build.h"

#define TEXT2(x) #x
#define TEXT(x)  TEXT2(x)

const Ops KERNEL(ops) = {
    .build = TEXT(BUILD),
#define OP(name, ...) .name = KERNEL(name),
#include "ops.def"
#undef OP
};
