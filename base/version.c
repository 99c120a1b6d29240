/* Alone in its file, so that a commit or an edited kernel rebuilds nothing else. */
#include "version.h"

#ifndef GIT_COMMIT
#define GIT_COMMIT "unknown"
#endif
#ifndef KERNELS_SHA256
#define KERNELS_SHA256 ""
#endif

#ifndef DATA_SHA256
#define DATA_SHA256 ""
#endif

const char *git_commit(void)
{
    return GIT_COMMIT;
}

const char *kernels_sha256(void)
{
    return KERNELS_SHA256;
}

const char *data_sha256(void)
{
    return DATA_SHA256;
}
