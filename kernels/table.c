/* The op table of one build, and its variants in the order of variants.def: each a table of the ops
 * that it replaces, NULL for all others. With -DPARTIAL_BUILD, the builds of CUDA, what the build
 * lacks is NULL too. */
#include "build.h"

#if defined(PARTIAL_BUILD)
#define CUDA_REPLACES             REPLACES
#define OP(name, parameters, ...) void KERNEL(name) parameters __attribute__((weak));
#include "ops.def"
#undef OP
#define VARIANT(op, variant, class, what, replaced) replaced
#define REPLACES(op, variant)                                                                      \
    op##_op KERNEL(op##_##variant) __attribute__((weak));
#include "variants.def"
#undef VARIANT
#undef REPLACES
#else
#define CUDA_REPLACES(op, variant)
#endif

#define TEXT2(x) #x
#define TEXT(x)  TEXT2(x)

const Ops KERNEL(ops) = {
    .build = TEXT(BUILD),
#define OP(name, ...) .name = KERNEL(name),
#include "ops.def"
#undef OP
};

const Ops KERNEL(variants)[] = {
#define VARIANT(op, variant, class, what, replaced) {replaced},
#define REPLACES(op, variant)                       .op = KERNEL(op##_##variant),
#include "variants.def"
#undef VARIANT
#undef REPLACES
};
