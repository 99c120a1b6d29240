/* The functions behind variants.def; only backend.c uses them. */
#ifndef VARIANTS_H
#define VARIANTS_H

#include "base.h"
#include "ops.h"

#define OP(name, parameters, ...) typedef void(*name##_op) parameters;
#include "ops.def"
#undef OP

#define VARIANT(op, variant, class, what) extern const op##_op op##_##variant##_variant;
#include "variants.def"
#undef VARIANT

/* Loads OpenBLAS. Error 69 if it is not installed. */
int variants_open_openblas(Error *error);

#endif
