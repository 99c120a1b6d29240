/* Which seedbed this is: for --version, and for what the programs write. */
#ifndef VERSION_H
#define VERSION_H

#define TOOL_VERSION "0.1.0"

/* The commit that it was built from, 12 digits, with "-dirty" behind it where the tree was changed;
 * "unknown" outside of a repository. */
const char *git_commit(void);

/* SHA-256 of the names and bytes of all sources in kernels/, of rng.h and of scalar.h at that time,
 * in the names' order. */
const char *kernels_sha256(void);

/* SHA-256 of base.c and all sources in data/, which decide the ids of a text; "" if it is not known. */
const char *data_sha256(void);

#endif
