/* Names of one build. A build is all kernel files of one kind, .c or .cu, compiled with
 * -DBUILD=scalar, avx2 ...: its functions have that suffix, KERNEL(add) is add_avx512. Usable from
 * C and CUDA. */
#ifndef BUILD_H
#define BUILD_H

#include "ops.h"

#define BUILD_JOIN2(a, b) a##_##b
#define BUILD_JOIN(a, b)  BUILD_JOIN2(a, b)
#define KERNEL(name)      BUILD_JOIN(name, BUILD)

#ifdef __cplusplus
extern "C" {
#endif

#define OP(name, parameters, ...) void KERNEL(name) parameters;
#include "ops.def"
#undef OP

#define VARIANT(op, variant, class, what, replaced) replaced
#define REPLACES(op, variant)                       op##_op KERNEL(op##_##variant);
#define CUDA_REPLACES                               REPLACES
#include "variants.def"
#undef VARIANT
#undef REPLACES
#undef CUDA_REPLACES

/* table.c */
extern const Ops KERNEL(ops), KERNEL(variants)[];

#ifdef __cplusplus
}
#endif

#endif
